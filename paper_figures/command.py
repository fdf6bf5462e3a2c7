"""The command ``uf-diffusion figures``, which is added to the command line by an entry point."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

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
        cyclopts.Parameter(
            help="Runs of each network; 1 with --quick, else the paper's 6 (widest on T^2: 2)."
        ),
    ] = None,
    draws: Annotated[
        Literal["paper", "own"], cyclopts.Parameter(help="Whose random draws the networks have.")
    ] = "paper",
    keep: Annotated[
        bool,
        cyclopts.Parameter(
            negative="",
            show_default=False,
            help="Store the curves of finished runs beside this package, from where figures are "
            "drawn without computing.",
        ),
    ] = False,
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
    from paper_figures.scale import TORUS_SEEDS, Scale
    from paper_figures.work import draw_figures

    usual = (1, 1) if quick else (6, TORUS_SEEDS)
    few, torus = usual if seeds is None else (seeds, seeds)
    scale = Scale(few, quick, widest, torus, draws)
    draw_figures(names, scale, out, verbosity, force, keep)
