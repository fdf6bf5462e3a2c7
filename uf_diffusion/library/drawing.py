"""Draws figures of results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
    """Draw densities, outer weights, distances and risks over time, or eigenvalues of a result.

    Args:
        result: a result of `solve`, `train`, `compare`, `spectrum` or `run`, or the xarray tree of
            a result.nc.
        path: a file to which the figure is written, in the format of its suffix.
        panels: the name of a panel, or several, such as "densities", "distances", "risks". The
            default is the panels of a run's figure.png. An unknown name raises an error that lists
            the names that exist.
        times: the times at which densities are drawn, dimensionless; the nearest snapshots are
            used.
        ax: your own axes, into which a single panel is drawn; a map is drawn at the last time.
        style: rcParams of matplotlib to change, such as {"font.size": 12}.
        xscale, yscale: "log" or "linear" for all panels except maps.

    Returns:
        The matplotlib figure; with ``ax`` the figure of these axes.

    Raises:
        InputError: if ``result`` is not a result, or has no groups, as on ranks other than 0; or
            for a panel, a time, a style or a scale that does not exist.
    """
    from uf_diffusion import plots  # matplotlib takes long to load

    return plots.draw(result_of(result), path, panels=panels, times=times, ax=ax, style=style,
                      xscale=xscale, yscale=yscale)  # fmt: skip
