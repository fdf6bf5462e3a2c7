"""What a panel shows: plain values, which one renderer turns into matplotlib's and another into
plotly's.

Texts are Unicode; between dollar signs ``_`` and ``^`` set one letter lower or higher. What moves
has one row for each of the panel's times.
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
    """An axis: its label with the unit, its scale, and its ends where the data do not set them.

    Attributes:
        all_times: whether the ends fit all times, so that a picture of fewer may set its own.
    """

    label: str
    scale: Scale = "linear"
    low: float | None = None
    high: float | None = None
    all_times: bool = False


@dataclass(frozen=True, eq=False)
class Series:
    """Points ``(n,)`` or, where it moves, ``(times, n)``; of a rug, x alone counts."""

    x: Array
    y: Array
    label: str = ""
    colour: str = BLUE
    kind: Kind = "line"

    @property
    def frames(self) -> int:
        """How many rows it has; 0 where it does not move."""
        return max((len(a) for a in (self.x, self.y) if a.ndim == 2), default=0)

    def at(self, k: int) -> tuple[Array, Array]:
        """The points of a frame."""
        x, y = (a[k] if a.ndim == 2 else a for a in (self.x, self.y))
        return x, y


@dataclass(frozen=True, eq=False)
class Bars:
    """Horizontal bars, the first one on top."""

    names: tuple[str, ...]
    values: Array
    colours: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Field:
    """A density on a surface or a map, in colours from 0 to ``top``; its points in white.

    Attributes:
        canvas: a `uf_diffusion.plots.maps.Chart`, or a `uf_diffusion.plots.ball.Ball`.
        images: of the canvas, one or one for each time.
        top: the end of the colours, that of the square root in the middle.
        label: of the colours.
        moving: whether there is an image for each time.
        points: places on the canvas ``(m, 2 or 3)``, one array for each time, or none.
    """

    canvas: Any
    images: Array
    top: float
    label: str
    moving: bool = True
    points: tuple[Array, ...] = ()

    @property
    def frames(self) -> int:
        """How many images it has; 0 where it does not move."""
        return len(self.images) if self.moving else 0


@dataclass(frozen=True, eq=False)
class Panel:
    """One picture.

    Attributes:
        name: by which it is asked for; letters and hyphens.
        title: above it.
        x, y: its axes.
        layers: what is drawn, the first one lowest.
        caption: what is to be seen, in a sentence or two.
        times: of the frames of what moves, dimensionless.
        together: at how many of them a still picture is clear.
        wide: whether it takes a row of its own where there are several.
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
        """Whether it shows one time or another."""
        return any(not isinstance(layer, Bars) and layer.frames for layer in self.layers)

    @property
    def is_map(self) -> bool:
        """Whether its axes are those of a place, and a picture of it shows one time."""
        return any(isinstance(layer, Field) for layer in self.layers)

    def positive(self, axis: Literal["x", "y"]) -> Array:
        """All values above 0 that its series and bars have along an axis."""
        found = [np.empty(0)]
        found += [np.ravel(getattr(s, axis)) for s in self.layers if isinstance(s, Series)]
        found += [b.values for b in self.layers if isinstance(b, Bars) and axis == "x"]
        values = np.concatenate(found)
        return values[np.isfinite(values) & (values > 0)]


def evenly(count: int, most: int) -> Index:
    """At most so many of ``count`` indices, evenly, the first and the last among them."""
    return np.unique(np.rint(np.linspace(0, count - 1, min(count, most))).astype(np.int64))


def scale_of(values: Iterable[Array]) -> Scale:
    """Logarithmic for positive values that span a factor of 3 or more."""
    found = np.concatenate([np.ravel(a) for a in values])
    found = found[np.isfinite(found)]
    low, high = found.min(initial=math.inf), found.max(initial=0.0)
    return "log" if 0 < 3 * low < high else "linear"


def fitted(label: str, values: Array) -> Axis:
    """An axis that shows all these values, with a little room at both ends."""
    scale = scale_of([values])
    shown = np.log10(values) if scale == "log" else values
    room = 0.04 * float(np.ptp(shown)) + 1e-3
    low, high = float(shown.min()) - room, float(shown.max()) + room
    ends = (10**low, 10**high) if scale == "log" else (low, high)
    return Axis(label, scale, *ends, all_times=True)
