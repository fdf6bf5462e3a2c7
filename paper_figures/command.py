"""The command ``uf-diffusion figures``, which is added to the command line by an entry point."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import cyclopts

from paper_figures import GROUP_NAMES
from uf_diffusion.reports.terminal import Verbosity, path_argument

__all__ = ["figures"]

USUAL = Verbosity()


def figures(
    *names: Annotated[
        str,
        cyclopts.Parameter(
            help=f"Of {', '.join(GROUP_NAMES)}, or of a single figure; all if none."
        ),
    ],
    quick: Annotated[
        bool, cyclopts.Parameter(negative="", help="The first 1000 steps, small networks.")
    ] = False,
    widest: Annotated[
        int, cyclopts.Parameter(help="Leave out wider networks: those on the torus take longest.")
    ] = 1024,
    seeds: Annotated[
        int | None,
        cyclopts.Parameter(help="Runs of each network; 1 with --quick, else the paper's 6."),
    ] = None,
    out: Annotated[
        Path | None,
        cyclopts.Parameter(
            name="--out", converter=path_argument, help="Default runs/figures or runs/quick."
        ),
    ] = None,
    force: Annotated[
        bool,
        cyclopts.Parameter(
            negative="", show_default=False, help="Replace figures of other --seeds or --widest."
        ),
    ] = False,
    verbosity: Annotated[
        Verbosity, cyclopts.Parameter(name="*", negative="", show_default=False)
    ] = USUAL,
) -> None:
    """Regenerate the paper's figures and further ones. Repeat the command after an interruption."""
    from paper_figures.work import draw_figures

    seeds = (1 if quick else 6) if seeds is None else seeds
    draw_figures(names, quick, widest, seeds, out, verbosity, force)
