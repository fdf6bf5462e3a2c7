"""The command ``uf-diffusion figures``, which is added to the command line by an entry point."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import cyclopts

from paper_figures import GROUP_NAMES
from uf_diffusion.reports.terminal import Verbosity, path_argument

__all__ = ["figures"]

USUAL = Verbosity()

Names = Annotated[
    str,
    cyclopts.Parameter(
        help=f"Of {', '.join(GROUP_NAMES)}, or of a single figure; all but 'longer' if none."
    ),
]
Quick = Annotated[
    bool, cyclopts.Parameter(negative="", help="The first 1000 steps, small networks.")
]
Widest = Annotated[
    int, cyclopts.Parameter(help="Leave out wider networks: those on the torus take longest.")
]
Seeds = Annotated[
    int | None,
    cyclopts.Parameter(
        help="Runs of each network; 1 with --quick, else the paper's 6 (on T^2 those that are "
        "kept in the repository)."
    ),
]
WhoseDraws = Annotated[
    Literal["paper", "own"], cyclopts.Parameter(help="Whose random draws the networks have.")
]
Keep = Annotated[
    bool,
    cyclopts.Parameter(
        negative="", show_default=False,
        help="Store the curves of finished runs beside this package, from where figures are drawn "
        "without computing.",
    ),
]  # fmt: skip
Out = Annotated[
    Path | None,
    cyclopts.Parameter(
        name="--out", converter=path_argument, help="Default runs/figures or runs/quick."
    ),
]
Force = Annotated[
    bool,
    cyclopts.Parameter(
        negative="", show_default=False, help="Replace figures of other --seeds or --widest."
    ),
]
Telling = Annotated[Verbosity, cyclopts.Parameter(name="*", negative="", show_default=False)]


def figures(
    *names: Names,
    quick: Quick = False,
    widest: Widest = 1024,
    seeds: Seeds = None,
    draws: WhoseDraws = "paper",
    keep: Keep = False,
    out: Out = None,
    force: Force = False,
    verbosity: Telling = USUAL,
) -> None:
    """Regenerate the paper's figures and further ones. Repeat the command after an interruption."""
    from paper_figures.scale import AS_KEPT, Scale
    from paper_figures.work import draw_figures

    few = (1 if quick else 6) if seeds is None else seeds
    torus = AS_KEPT if seeds is None and not quick and draws == "paper" else few
    scale = Scale(few, quick, widest, torus, draws)
    draw_figures(names, scale, out, verbosity, force, keep)
