"""Figures of results: drawn from the result tree alone, never from a running solver."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from uf_diffusion.core.errors import InputError
from uf_diffusion.plots.histories import budget_panels, time_panels
from uf_diffusion.plots.lines import line_panels
from uf_diffusion.plots.maps import MOST_AXES, map_panels
from uf_diffusion.plots.shown import Shown
from uf_diffusion.plots.spectra import spectrum_panels
from uf_diffusion.plots.style import STYLE, Panel, save

__all__ = ["draw", "save"]

_GROUPS = ("diffusion", "network", "kernel")  # one of them is in every result


def draw(result: Shown, path: str | Path | None = None) -> Figure:
    """The figure of a run: densities, outer weights, distances and risks over time.

    Args:
        result: what `solve`, `train` or `compare` returned, or a result.nc read back.
        path: a file to write it to, by its suffix.

    Raises:
        InputError: for anything that is no result, or one without groups, as ranks other than 0
            have it.
    """
    if all(result.group(name) is None for name in _GROUPS):
        raise InputError(
            f"Nothing can be drawn: this is not a result with a group of {', '.join(_GROUPS)}."
        )
    manifold = result.manifold
    with matplotlib.rc_context(STYLE):
        rows: list[Sequence[Panel]] = []
        if result.group("kernel") is not None:
            rows.append(spectrum_panels(result, manifold))
        elif len(manifold.axes) == 1:
            rows.append(line_panels(result, manifold))
        elif 0 < len(manifold.axes) <= MOST_AXES:
            rows += map_panels(result)
        if result.group("kernel") is None:
            rows.append(time_panels(result))
        if (budget := result.group("budget")) is not None:
            rows.append(budget_panels(budget))
        columns = max(map(len, rows))
        figure = Figure(figsize=(3.6 * columns, 2.9 * len(rows)), layout="constrained")
        grid = figure.subplots(len(rows), columns, squeeze=False)
        for axes, panels in zip(grid, rows, strict=True):
            for ax, panel in zip(axes, panels, strict=False):
                panel(ax)
            for ax in axes[len(panels) :]:
                ax.set_axis_off()
        lines = textwrap.wrap(result.title, int(14 * figure.get_figwidth()))
        figure.suptitle("\n".join(lines), fontsize=10)
    if path is not None:
        save(figure, Path(path))
    return figure
