"""Figures of results, whatever form they come in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from uf_diffusion.core.errors import InputError
from uf_diffusion.runs.result import result_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw"]


def draw(
    result: Any, path: str | Path | None = None, *, panels: str | Sequence[str] | None = None,
    times: float | Sequence[float] | None = None, ax: Axes | None = None,
    style: Mapping[str, Any] | None = None, xscale: str | None = None, yscale: str | None = None,
) -> Figure:  # fmt: skip
    """The figure of a run: densities, outer weights, distances and risks over time, eigenvalues.

    Args:
        result: what `solve`, `train`, `compare`, `run` returned, or a result.nc that xarray read.
        path: a file to write it to, by its suffix.
        panels: one name or several, such as "densities", "distances", "risks"; all that stand in a
            run's figure.png where none is given. A wrong name is answered by those that exist.
        times: at which what moves is drawn; the nearest snapshots are taken.
        ax: axes of your own to draw one panel into, of a map the last time; their figure comes
            back.
        style: matplotlib's rcParams that are to differ, such as {"font.size": 12}.
        xscale, yscale: "log" or "linear", for all panels that are no maps.

    Raises:
        InputError: for anything that is no result, or one without groups, as ranks other than 0
            have it; for a panel, a time, a style or a scale that does not exist.
    """
    from uf_diffusion import plots  # matplotlib takes long to load

    try:
        found = result_of(result)
    except InputError:
        raise InputError("Nothing can be drawn: this is not a result of uf_diffusion.") from None
    return plots.draw(found, path, panels=panels, times=times, ax=ax, style=style, xscale=xscale,
                      yscale=yscale)  # fmt: skip
