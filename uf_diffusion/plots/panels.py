"""Descriptions of panels as plain values, which are drawn by a matplotlib and a plotly renderer.

Texts are Unicode; between dollar signs ``_`` and ``^`` make the next letter a subscript or a
superscript. Data that change over time have one row for each of the panel's times (a frame).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from uf_diffusion.core.arrays import Array, Index
from uf_diffusion.plots.style import BLUE

__all__ = ["Axis", "Bars", "Field", "Panel", "Series", "evenly", "fitted", "scale_of"]

type Scale = Literal["linear", "log"]
type Kind = Literal["line", "thick", "thin", "dashed", "dotted", "marked", "points", "dots",
                    "crosses", "area", "rug"]  # fmt: skip


@dataclass(frozen=True)
class Axis:
    """An axis of a panel.

    Attributes:
        label: the label, with the unit.
        scale: "linear" or "log".
        low, high: the ends of the axis; None lets the data choose.
        all_times: whether the ends are made for all times, so that a picture with fewer times may
            choose others.
    """

    label: str
    scale: Scale = "linear"
    low: float | None = None
    high: float | None = None
    all_times: bool = False


@dataclass(frozen=True, eq=False)
class Series:
    """A curve or a set of points.

    Attributes:
        x, y: coordinates ``(n,)``, or ``(times, n)`` if they change over time. A rug, which marks
            points by ticks on the axis, uses only x.
        label: the label in the legend.
        colour: the colour.
        kind: how the series is drawn.
    """

    x: Array
    y: Array
    label: str = ""
    colour: str = BLUE
    kind: Kind = "line"

    @property
    def frames(self) -> int:
        """The number of frames; 0 if the series does not change over time."""
        return max((len(a) for a in (self.x, self.y) if a.ndim == 2), default=0)

    def at(self, k: int) -> tuple[Array, Array]:
        """The coordinates x and y, each ``(n,)``, of frame ``k``."""
        x, y = (a[k] if a.ndim == 2 else a for a in (self.x, self.y))
        return x, y


@dataclass(frozen=True, eq=False)
class Bars:
    """Horizontal bars, the first one on top, with names, values ``(bars,)`` and colours."""

    names: tuple[str, ...]
    values: Array
    colours: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Field:
    """A density on a surface or a map, shown by colours, with points in white.

    Attributes:
        canvas: a `uf_diffusion.plots.maps.Chart` or a `uf_diffusion.plots.ball.Ball`.
        images: what the canvas's `image` returns, for one time or for each time.
        top: the density at the end of the scale of colours, which follows the square root.
        label: the label of the colour bar.
        moving: whether there is an image for each time.
        points: positions on the canvas, an array ``(m, 2)`` or ``(m, 3)`` for each time, or empty.
    """

    canvas: Any
    images: Array
    top: float
    label: str
    moving: bool = True
    points: tuple[Array, ...] = ()

    @property
    def frames(self) -> int:
        """The number of frames; 0 if the field does not change over time."""
        return len(self.images) if self.moving else 0


@dataclass(frozen=True, eq=False)
class Panel:
    """A picture with two axes.

    Attributes:
        name: the name of letters and hyphens by which a caller chooses it.
        title: the title above it.
        x, y: the axes.
        layers: what is drawn; later layers cover earlier ones.
        caption: one or two sentences on what it shows.
        times: the times of the frames, dimensionless.
        together: how many frames a still picture can show at once and stay clear.
        wide: whether it gets a row of its own on a page.
    """

    name: str
    title: str
    x: Axis
    y: Axis
    layers: tuple[Series | Bars | Field, ...]
    caption: str
    times: tuple[float, ...] = ()
    together: int = 1
    wide: bool = False

    @property
    def moves(self) -> bool:
        """Whether any layer changes over time."""
        return any(not isinstance(layer, Bars) and layer.frames for layer in self.layers)

    @property
    def is_map(self) -> bool:
        """Whether it shows a field, so that a still picture can show only one time."""
        return any(isinstance(layer, Field) for layer in self.layers)

    def positive(self, axis: Literal["x", "y"]) -> Array:
        """All finite values above 0, ``(n,)``, that its series and bars have along an axis."""
        found = [np.empty(0)]
        found += [np.ravel(getattr(s, axis)) for s in self.layers if isinstance(s, Series)]
        found += [b.values for b in self.layers if isinstance(b, Bars) and axis == "x"]
        values = np.concatenate(found)
        return values[np.isfinite(values) & (values > 0)]


def evenly(count: int, most: int) -> Index:
    """At most ``most`` evenly spaced indices below ``count``, with the first and the last."""
    return np.unique(np.rint(np.linspace(0, count - 1, min(count, most))).astype(np.int64))


def scale_of(values: Iterable[Array]) -> Scale:
    """The scale for some values: logarithmic if they are positive and span more than a factor 3."""
    found = np.concatenate([np.ravel(a) for a in values])
    found = found[np.isfinite(found)]
    low, high = found.min(initial=math.inf), found.max(initial=0.0)
    return "log" if 0 < 3 * low < high else "linear"


def fitted(label: str, values: Array) -> Axis:
    """An axis that shows all these values, with some room at both ends."""
    scale = scale_of([values])
    shown = np.log10(values) if scale == "log" else values
    room = 0.04 * float(np.ptp(shown)) + 1e-3
    low, high = float(shown.min()) - room, float(shown.max()) + room
    ends = (10**low, 10**high) if scale == "log" else (low, high)
    return Axis(label, scale, *ends, all_times=True)
