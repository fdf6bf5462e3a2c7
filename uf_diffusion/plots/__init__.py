"""Figures of results: drawn from the result tree alone, never from a running solver."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import xarray as xr
from matplotlib.figure import Figure

from uf_diffusion.config import Config, config_of
from uf_diffusion.errors import InputError
from uf_diffusion.plots.histories import budget_panels, time_panels
from uf_diffusion.plots.lines import line_panels
from uf_diffusion.plots.maps import MOST_AXES, map_panels
from uf_diffusion.plots.spectra import spectrum_panels
from uf_diffusion.plots.style import STYLE, Panel, save

__all__ = ["draw", "save"]

_GROUPS = ("diffusion", "network", "kernel")  # one of them is in every result


def draw(result: xr.DataTree, path: str | Path | None = None) -> Figure:
    """The figure of a run: densities, outer weights, distances and risks over time.

    Args:
        result: what `solve`, `train` or `compare` returned, or a result.nc read back.
        path: a file to write it to, by its suffix.

    Raises:
        InputError: for anything that is no result, or one without groups, as ranks other than 0
            have it.
    """
    if not isinstance(result, xr.DataTree) or not set(_GROUPS) & set(result.children):
        raise InputError(
            f"Nothing can be drawn: this is not a result with a group of {', '.join(_GROUPS)}."
        )
    config = config_of(result)
    manifold = config.shape()
    with matplotlib.rc_context(STYLE):
        rows: list[Sequence[Panel]] = []
        if "kernel" in result:
            rows.append(spectrum_panels(result, manifold))
        elif len(manifold.axes) == 1:
            rows.append(line_panels(result, manifold))
        elif 0 < len(manifold.axes) <= MOST_AXES:
            rows += map_panels(result, config, manifold)
        if "kernel" not in result:
            rows.append(time_panels(result))
        if "budget" in result:
            rows.append(budget_panels(result["budget"].to_dataset()))
        columns = max(map(len, rows))
        figure = Figure(figsize=(3.6 * columns, 2.9 * len(rows)), layout="constrained")
        grid = figure.subplots(len(rows), columns, squeeze=False)
        for axes, panels in zip(grid, rows, strict=True):
            for ax, panel in zip(axes, panels, strict=False):
                panel(ax)
            for ax in axes[len(panels) :]:
                ax.set_axis_off()
        lines = textwrap.wrap(_title(config, result), int(14 * figure.get_figwidth()))
        figure.suptitle("\n".join(lines), fontsize=10)
    if path is not None:
        save(figure, Path(path))
    return figure


def _title(config: Config, result: xr.DataTree) -> str:
    p, n = config.problem, config.network
    text = f"{p.manifold} (dimension {p.dim}), {p.regulariser} regulariser"
    if p.limit == "constrained":
        text += ", constrained limit"
    if "network" in result:
        text += (
            f"; {n.features} network of width {n.width}, $\\lambda$ = {n.regularisation:g}, "
            f"{n.algorithm}, {n.pace}"
        )
    return text
