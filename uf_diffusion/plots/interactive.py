"""Interactive figures: what those of a report have in common.

They are plotly's, complete in themselves: no text is TeX, nothing is fetched when they are shown.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
import plotly.graph_objects as go
from matplotlib.colors import to_hex

from uf_diffusion.core.arrays import Array, Index
from uf_diffusion.plots.style import BLUE, ORANGE, PALETTE
from uf_diffusion.problem.manifolds import Axis, Manifold

__all__ = ["COLOURS", "DARK", "PALE", "VIRIDIS", "Picture", "Reel", "axis_title", "blank", "chosen",
           "colour_bar", "density_unit", "scale", "single"]  # fmt: skip

DARK, PALE = "#24292f", "#d4d7dc"
COLOURS = (BLUE, ORANGE, *(c if c.startswith("#") else "#8c8c8c" for c in PALETTE[2:]))
# finer where densities are small: the colour is that of the square root
VIRIDIS = [[s * s, to_hex(matplotlib.colormaps["viridis"](s))] for s in np.linspace(0, 1, 33)]


@dataclass(frozen=True)
class Picture:
    """A figure of a page.

    Attributes:
        name: of the element that shows it: letters and hyphens.
        caption: what is to be seen, in a sentence or two.
        figure: its frames, if it has any, are those of the page's slider.
        wide: whether it takes the page's whole width.
    """

    name: str
    caption: str
    figure: go.Figure
    wide: bool = False


def blank(title: str, height: int = 340, **layout: Any) -> go.Figure:
    """A figure without traces: a white card with dark text."""
    line: dict[str, Any] = {
        "showline": True, "linecolor": DARK, "gridcolor": "#eceef1", "zeroline": False,
        "ticks": "outside", "tickcolor": DARK, "automargin": True, "exponentformat": "power",
        "title": {"standoff": 8},
    }  # fmt: skip
    figure = go.Figure(layout={
        "template": "none", "height": height, "paper_bgcolor": "white", "plot_bgcolor": "white",
        "title": {"text": title, "x": 0.02, "xanchor": "left", "y": 0.97, "yanchor": "top",
                  "font": {"size": 15}},
        "font": {"family": "system-ui, sans-serif", "size": 12, "color": DARK},
        "margin": {"l": 62, "r": 18, "t": 48, "b": 84 if layout.get("showlegend", True) else 68},
        "legend": {"orientation": "h", "x": 0, "y": 0.01, "yref": "container", "yanchor": "bottom"},
        "hoverlabel": {"font": {"family": "system-ui, sans-serif"}},
        "xaxis": line, "yaxis": line,
    })  # fmt: skip
    return figure.update_layout(**layout)


class Reel:
    """A figure, and what changes of its traces from frame to frame."""

    def __init__(self, figure: go.Figure) -> None:
        self.figure = figure
        self._moving: list[int] = []
        self._frames: list[tuple[Any, ...]] = []

    def add(self, trace: Any, **changes: Sequence[Any]) -> None:
        """Add a trace; of each change, such as ``y``, the values of all frames. The trace begins
        with the first ones.
        """
        frames = [dict(zip(changes, values, strict=True))
                  for values in zip(*changes.values(), strict=True)]  # fmt: skip
        if frames:
            kind = type(trace)
            trace.update(frames[0])
            self._moving.append(len(self.figure.data))
            before = self._frames or [()] * len(frames)
            self._frames = [(*f, kind(new)) for f, new in zip(before, frames, strict=True)]
        self.figure.add_trace(trace)

    def picture(self, name: str, caption: str, wide: bool = False) -> Picture:
        """The figure with its frames."""
        self.figure.frames = [
            go.Frame(name=str(k), data=data, traces=self._moving)
            for k, data in enumerate(self._frames)
        ]
        return Picture(name, caption, self.figure, wide)


def chosen(count: int, most: int) -> Index:
    """At most so many of ``count`` indices, evenly, the first and the last among them."""
    return np.unique(np.rint(np.linspace(0, count - 1, min(count, most))).astype(np.int64))


def single(values: Array) -> Any:
    """Single precision: half the bytes, and more than a screen shows."""
    return np.asarray(values, dtype=np.float32)


def scale(values: Array) -> dict[str, Any]:
    """The kind of an axis: logarithmic for positive values that span a factor of 3 or more."""
    low, high = float(values.min(initial=np.inf)), float(values.max(initial=0.0))
    if not 0 < 3 * low < high:
        return {"type": "linear"}
    decades = math.log10(high / low)
    return {"type": "log", "dtick": "D1" if decades < 1 else "D2" if decades < 4 else 1}


def axis_title(axis: Axis) -> str:
    """An axis's label in plotly's markup."""
    return re.sub(r"_(\w)", r"<sub>\1</sub>", axis.label.replace("$", ""))


def density_unit(manifold: Manifold) -> str:
    """What a density is per, on an axis or a scale."""
    per = {1: "length", 2: "area", 3: "volume"}.get(manifold.dim, "volume")
    return f"density (per unit {per})"


def colour_bar(manifold: Manifold) -> dict[str, Any]:
    """The scale of a density's colours."""
    title = {"text": density_unit(manifold), "side": "right"}
    return {"title": title, "thickness": 12, "len": 0.85, "outlinewidth": 0}
