"""Draws panels with plotly for an HTML page, with a frame for each time.

The figures work offline: no text is TeX, and nothing is loaded when they are shown.
"""

from __future__ import annotations

import math
import re
from typing import Any, Literal

import matplotlib
import numpy as np
import plotly.graph_objects as go
from matplotlib.colors import to_hex

from uf_diffusion.plots.ball import Ball
from uf_diffusion.plots.panels import Bars, Field, Panel, Series, evenly
from uf_diffusion.plots.style import DARK, PALE

__all__ = ["plotly_figure"]

POINTS = 2000  # largest number of points of a curve
# the colour follows the square root of the density, which shows small densities better
VIRIDIS = [[s * s, to_hex(matplotlib.colormaps["viridis"](s))] for s in np.linspace(0, 1, 33)]
LINES: dict[str, dict[str, Any]] = {
    "line": {"width": 2}, "marked": {"width": 2}, "thick": {"width": 5}, "thin": {"width": 1.5},
    "dashed": {"width": 2, "dash": "dash"}, "dotted": {"width": 2, "dash": "dot"},
}  # fmt: skip
MARKERS: dict[str, dict[str, Any]] = {
    "points": {"size": 5, "opacity": 0.5},
    "dots": {"size": 2},
    "crosses": {"symbol": "x", "size": 6},
    "rug": {"symbol": "line-ns-open", "size": 9, "opacity": 0.5},
}
RUG = 0.05  # distance of a rug below zero, relative to the length of the axis

type Trace = tuple[Any, list[dict[str, Any]]]  # a plotly trace, and what each frame changes


def plotly_figure(panel: Panel) -> Any:
    """The plotly figure of a panel. Its frames are named "0", "1", ... in order of time."""
    figure, moving, changes = _blank(panel), [], []
    for layer in panel.layers:
        for trace, frames in _traces(panel, layer):
            if frames:
                trace.update(frames[0])
                moving.append(len(figure.data))
                changes.append([type(trace)(frame) for frame in frames])
            figure.add_trace(trace)
    figure.frames = [go.Frame(name=str(k), data=data, traces=moving)
                     for k, data in enumerate(zip(*changes, strict=True))]  # fmt: skip
    return figure


def _traces(panel: Panel, layer: Series | Bars | Field) -> list[Trace]:
    if isinstance(layer, Series):
        return [_series(panel, layer)]
    if isinstance(layer, Bars):
        bars = go.Bar(y=layer.names, x=_single(layer.values), orientation="h",
                      marker={"color": layer.colours})  # fmt: skip
        return [(bars, [])]
    return _ball(layer) if isinstance(layer.canvas, Ball) else _map(layer)


def _series(panel: Panel, series: Series) -> Trace:
    x, y = series.x, series.y
    if series.kind == "rug":
        y = np.full(y.shape, -RUG * (panel.y.high or 1.0))
    if panel.y.scale == "log":
        y = np.where(y > 0, y, np.nan)
    trace = go.Scatter(name=_html(series.label), showlegend=bool(series.label), **_look(series))
    axes = {"x": x, "y": y}
    some = evenly(x.shape[-1], POINTS)
    trace.update({k: _single(a[some]) for k, a in axes.items() if a.ndim == 1})
    moving = {k: a for k, a in axes.items() if a.ndim == 2}
    return trace, [
        {k: _single(a[i][some]) for k, a in moving.items()} for i in range(series.frames)
    ]


def _look(series: Series) -> dict[str, Any]:
    if series.kind == "area":
        return {"mode": "lines", "fill": "tozeroy", "line": {"width": 0},
                "fillcolor": series.colour}  # fmt: skip
    if series.kind in MARKERS:
        marker = {"color": series.colour, **MARKERS[series.kind]}
        return {"mode": "markers", "marker": marker}
    return {"mode": "lines+markers" if series.kind == "marked" else "lines",
            # plotly would otherwise leave out points of thick curves until corners can be seen
            "line": {"color": series.colour, "simplify": False, **LINES[series.kind]},
            "opacity": 0.5 if series.kind == "thick" else 1}  # fmt: skip


def _images(field: Field, name: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The first image of a field, and its frames, as properties of a trace."""
    rows = [{name: _single(image)} for image in field.images]
    return rows[0], rows if field.moving else []


def _map(field: Field) -> list[Trace]:
    first, frames = _images(field, "z")
    x, y = map(_single, field.canvas.centres[:2])
    colours = go.Heatmap(x=x, y=y, zmin=0, zmax=field.top, colorscale=VIRIDIS, zsmooth="best",
                         colorbar=_colour_bar(field), **first)  # fmt: skip
    marker = {"color": "white", "size": 3, "opacity": 0.55}
    dots = go.Scatter(mode="markers", hoverinfo="skip", marker=marker)
    return [(colours, frames), *_dots(dots, field, "xy")]


def _ball(field: Field) -> list[Trace]:
    first, frames = _images(field, "intensity")
    mesh = field.canvas.mesh
    ball = go.Mesh3d(
        dict(zip("xyz", _single(mesh.nodes.T), strict=True)),
        **dict(zip("ijk", mesh.cells.T.astype(np.int32), strict=True)), **first,
        cmin=0, cmax=field.top, colorscale=VIRIDIS, colorbar=_colour_bar(field),
        lighting={"ambient": 0.95, "diffuse": 0.1, "specular": 0},
        hovertemplate="density %{intensity:.3g}<extra></extra>",
    )  # fmt: skip
    marker = {"size": 2.4, "color": "white", "line": {"width": 0.5, "color": DARK}}
    dots = go.Scatter3d(mode="markers", hoverinfo="skip", marker=marker)
    return [(ball, frames), *_dots(dots, field, "xyz")]


def _dots(trace: Any, field: Field, names: str) -> list[Trace]:
    frames = [dict(zip(names, _single(dot.T), strict=True)) for dot in field.points]
    return [(trace, frames)] if frames else []


def _colour_bar(field: Field) -> dict[str, Any]:
    title = {"text": field.label, "side": "right"}
    return {"title": title, "thickness": 12, "len": 0.85, "outlinewidth": 0}


def _blank(panel: Panel) -> Any:
    """The figure of a panel with its layout, but without traces."""
    named = sum(isinstance(s, Series) and bool(s.label) for s in panel.layers)
    plain = all(isinstance(s, Series) for s in panel.layers)
    height = (430 if panel.moves or not plain else 340) + 20 * max(0, named - 4)
    figure = go.Figure(layout={
        "template": "none", "height": height, "paper_bgcolor": "white", "plot_bgcolor": "white",
        "title": {"text": _html(panel.title), "x": 0.02, "xanchor": "left", "y": 0.97,
                  "yanchor": "top", "font": {"size": 15}},
        "font": {"family": "system-ui, sans-serif", "size": 12, "color": DARK},
        "margin": {"l": 62, "r": 18, "t": 48, "b": 84 if named else 68}, "showlegend": named > 0,
        "legend": {"orientation": "h", "x": 0, "y": 0.01, "yref": "container", "yanchor": "bottom"},
        "hoverlabel": {"font": {"family": "system-ui, sans-serif"}},
        "xaxis": _axis(panel, "x"), "yaxis": _axis(panel, "y"),
    })  # fmt: skip
    for layer in panel.layers:
        if isinstance(layer, Bars):
            figure.update_yaxes(autorange="reversed")
        elif isinstance(layer, Field) and isinstance(layer.canvas, Ball):
            figure.update_layout(scene=_scene(layer), margin={"l": 0, "r": 0, "t": 44, "b": 0})
        elif isinstance(layer, Field):
            a, b = layer.canvas.manifold.axes[:2]
            equal = {"scaleanchor": "x"} if a.length == b.length else {}
            figure.update_xaxes(constrain="domain")
            figure.update_yaxes(constrain="domain", **equal)
    return figure


def _axis(panel: Panel, name: Literal["x", "y"]) -> dict[str, Any]:
    axis = panel.x if name == "x" else panel.y
    line: dict[str, Any] = {
        "showline": True, "linecolor": DARK, "gridcolor": "#eceef1", "zeroline": False,
        "ticks": "outside", "tickcolor": DARK, "automargin": True, "exponentformat": "power",
        "title": {"standoff": 8, "text": _html(axis.label)}, "type": axis.scale,
    }  # fmt: skip
    ends = np.array([np.nan if end is None else end for end in (axis.low, axis.high)])
    if axis.scale == "log":
        values = panel.positive(name)
        low, high = np.where(np.isfinite(ends), ends, [values.min(), values.max()])
        decades, ends = math.log10(high / low), np.log10(ends)
        line["dtick"] = "D1" if decades < 1 else "D2" if decades < 4 else 1
    if np.isfinite(ends).all():
        line["range"] = ends.tolist()
    return line


def _scene(field: Field) -> dict[str, Any]:
    """The layout of a three-dimensional picture, with axes from -1 to 1."""
    axis = {"range": [-1.05, 1.05], "tickvals": [-1, 0, 1], "showbackground": False,
            "gridcolor": PALE, "zerolinecolor": PALE, "showspikes": False}  # fmt: skip
    named = {f"{a}axis": axis | {"title": {"text": f"ω<sub>{a}</sub>"}} for a in "xyz"}
    eye = dict(zip("xyz", map(float, field.canvas.eye), strict=True))
    camera = {"eye": eye, "center": {"x": 0, "y": 0, "z": -0.1}}
    return {**named, "aspectmode": "cube", "camera": camera, "dragmode": "orbit"}


def _single(values: Any) -> Any:
    """The values in single precision, which is enough for a screen and halves the file."""
    return np.asarray(values, dtype=np.float32)


def _html(text: str) -> str:
    """A text of a panel, with its subscripts and superscripts, in plotly's HTML."""
    parts = text.split("$")
    parts[1::2] = [re.sub(r"\^(\w)", r"<sup>\1</sup>", re.sub(r"_(\w)", r"<sub>\1</sub>", part))
                   for part in parts[1::2]]  # fmt: skip
    return "".join(parts)
