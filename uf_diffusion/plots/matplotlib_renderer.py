"""Draws panels with matplotlib, as still pictures with a colour for each time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator
from matplotlib.transforms import ScaledTranslation

from uf_diffusion.core.arrays import Array
from uf_diffusion.core.errors import InputError
from uf_diffusion.plots.maps import density_scale
from uf_diffusion.plots.panels import Axis, Bars, Field, Panel, Series

__all__ = ["draw_panel", "legend_below", "log_ticks"]

LOOKS: dict[str, dict[str, Any]] = {
    "line": {},
    "thick": {"linewidth": 3, "alpha": 0.55},
    "thin": {"linewidth": 0.8, "zorder": 1},
    "dashed": {"linestyle": "--"},
    "dotted": {"linestyle": ":"},
    "marked": {"marker": "o", "markersize": 3},
    "points": {"linestyle": "", "marker": ".", "markersize": 4, "alpha": 0.6},
    "dots": {"linestyle": "", "marker": ".", "markersize": 1.5},
    "crosses": {"linestyle": "", "marker": "x", "markersize": 4},
}


def draw_panel(ax: Axes, panel: Panel, frames: Sequence[int] = (-1,)) -> int:
    """Draw a panel, and return the number of lines of its legend.

    Args:
        ax: the axes to draw into.
        panel: the panel.
        frames: the indices of the frames to draw; a `Field` shows only the last of them.

    Raises:
        InputError: if an axis is logarithmic and has no positive values.
    """
    at = [panel.times[k] for k in frames] if panel.moves else []
    ax.set(title=panel.title + (f", t = {at[0]:.3g}" if len(at) == 1 else ""),
           xlabel=panel.x.label, ylabel=panel.y.label)  # fmt: skip
    for layer in panel.layers:
        if isinstance(layer, Series):
            _series(ax, panel, layer, frames)
        elif isinstance(layer, Bars):
            ax.barh(layer.names, layer.values, color=layer.colours)
            ax.invert_yaxis()
        else:
            _field(ax, layer, frames[-1])
    if not panel.is_map:
        fewer = len(frames) < len(panel.times)
        _set_axis(ax, "x", panel.x, panel, fewer)
        _set_axis(ax, "y", panel.y, panel, fewer)
    return legend_below(ax)


def _series(ax: Axes, panel: Panel, series: Series, frames: Sequence[int]) -> None:
    """Draw a series: once, or once for each frame if it moves."""
    if not series.frames:
        _line(ax, series, *series.at(0), series.label, series.colour)
    elif len(frames) == 1:
        _line(ax, series, *series.at(frames[0]), series.label, series.colour)
    else:
        moving = [s for s in panel.layers if isinstance(s, Series) and s.frames]
        colours = matplotlib.colormaps["viridis"](np.linspace(0, 0.9, len(frames)))
        for colour, k in zip(colours, frames, strict=True):
            label = f"t = {panel.times[k]:.3g}"
            label = label if len(moving) == 1 else f"{series.label}, {label}"
            _line(ax, series, *series.at(k), label, colour)


def _line(ax: Axes, series: Series, x: Array, y: Array, label: str, colour: Any) -> None:
    if series.kind == "area":
        ax.fill_between(x, y, color=colour, lw=0, label=label)
    elif series.kind == "rug":
        ax.plot(x, np.full(len(x), 0.03), "|", ms=7, mew=0.6, color=colour, alpha=0.5, label=label,
                transform=ax.get_xaxis_transform())  # fmt: skip
    else:
        ax.plot(x, y, color=colour, label=label, **LOOKS[series.kind])


def _field(ax: Axes, field: Field, frame: int) -> None:
    image = field.images[frame if field.frames else 0]
    shown = field.canvas.show(ax, image, density_scale(field.top))
    if field.points:
        dots = field.points[frame]
        ax.plot(dots[:, 0], dots[:, 1], ".", ms=1.6, mew=0, color="white", alpha=0.6)
    figure: Any = ax.figure
    figure.colorbar(shown, ax=ax, label=field.label, pad=0.02)


def _set_axis(ax: Axes, name: Literal["x", "y"], axis: Axis, panel: Panel, fewer: bool) -> None:
    """Set the scale, ends and ticks of an axis.

    If fewer times are drawn than the panel's ends are made for, the data set the ends.
    """
    if axis.scale == "log":
        if not panel.positive(name).size:
            raise InputError(
                f"The panel '{panel.name}' has nothing above 0 for a logarithmic {name} axis."
            )
        ax.set(**{f"{name}scale": "log"})
    if not (fewer and axis.all_times):
        low = None if axis.scale == "log" and (axis.low or 0) <= 0 else axis.low
        ax.set(**{f"{name}lim": (low, axis.high)})
    if axis.scale == "log":
        log_ticks(getattr(ax, f"{name}axis"))


def log_ticks(axis: Any) -> None:
    """Label a logarithmic axis with a few plain numbers, however short it is."""
    low, high = sorted(axis.get_view_interval())
    decades = math.log10(high / low)
    if decades >= 3:
        axis.set_major_locator(LogLocator(numticks=6))
        axis.set_minor_formatter("")
        return
    steps = (1, 2, 5) if decades < 1.5 else (1, 3)
    ticks = LogLocator(subs=steps, numticks=20)
    inside = [t for t in ticks.tick_values(low, high) if low <= t <= high]
    axis.set_major_locator(ticks if len(inside) > 2 else MaxNLocator(4))
    axis.set_major_formatter(_plain)
    axis.set_minor_locator(NullLocator())


def _plain(value: float, _: Any = None) -> str:
    """A number as plain digits, or as a multiple of a power of ten if it is small or large."""
    if value == 0 or 1e-3 <= abs(value) < 1e5:
        return f"{value:.10g}"
    digits, power = f"{value:.10e}".split("e")
    factor = f"{float(digits):g}"
    return ("" if factor == "1" else rf"${factor}\times$") + f"$10^{{{int(power)}}}$"


def legend_below(ax: Axes) -> int:
    """Draw a legend below the axis label if anything is labelled; return its number of lines."""
    handles, labels = ax.get_legend_handles_labels()
    if not handles:
        return 0
    drop = 3.4 * matplotlib.rcParams["font.size"] / 72  # inches, for the ticks and the label
    figure: Any = ax.figure
    below = ax.transAxes + ScaledTranslation(0, -drop, figure.dpi_scale_trans)
    columns = 1 if max(map(len, labels)) > 30 else 2 if max(map(len, labels)) > 11 else 3
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, 0), bbox_transform=below, ncols=columns,
              borderaxespad=0.2, columnspacing=1.2)  # fmt: skip
    return -(-len(labels) // columns)
