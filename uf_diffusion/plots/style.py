"""Colours and sizes of figures; figures as files and in notebooks."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from uf_diffusion.core.files import appearing

__all__ = ["BLUE", "DARK", "GREEN", "GREY", "ORANGE", "PALE", "PALETTE", "STYLE",
           "NotebookFigure", "save"]  # fmt: skip

# the colours of Okabe and Ito, which colour-blind readers can tell apart
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#8c8c8c"
PALETTE = (BLUE, ORANGE, GREEN, "#CC79A7", "#E69F00", "#56B4E9", GREY, "#F0E442")
DARK, PALE = "#24292f", "#d4d7dc"
STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.titlesize": "medium",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.formatter.useoffset": False,
    "figure.titlesize": "large",
    "legend.fontsize": "small",
    "legend.frameon": False,
    "lines.linewidth": 1.3,
    "savefig.dpi": 150,
}


class NotebookFigure(Figure):
    """A figure that a notebook shows whether or not pyplot has been imported."""

    def _repr_png_(self) -> bytes:
        buffer = BytesIO()
        self.savefig(buffer, format="png")
        return buffer.getvalue()


def save(figure: Figure, path: Path) -> None:
    """Write a figure in the format of the path's suffix; the file appears only when complete.

    Raises:
        Unwritable: if the file cannot be written.
    """
    with appearing(path) as partial:
        figure.savefig(partial, format=path.suffix[1:], dpi=STYLE["savefig.dpi"])
