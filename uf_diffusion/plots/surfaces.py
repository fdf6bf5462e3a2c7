"""Moving pictures of densities on maps and on the sphere S^2."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go

from uf_diffusion.core.arrays import Array
from uf_diffusion.grids.icosphere import Icosphere
from uf_diffusion.plots.interactive import (
    DARK,
    PALE,
    VIRIDIS,
    Picture,
    Reel,
    axis_title,
    blank,
    colour_bar,
    single,
)
from uf_diffusion.plots.maps import Chart
from uf_diffusion.plots.reduced import Reduced
from uf_diffusion.problem.manifolds import Axis

__all__ = ["SmallChart", "globe_pictures", "map_pictures"]


@dataclass(frozen=True)
class SmallChart(Chart):
    """A chart with few pixels."""

    @property
    def shape(self) -> tuple[int, ...]:
        further = len(self.manifold.axes) - 2
        return ((80, 80) if not further else (56, 56)) + (8,) * further


def map_pictures(reduced: Reduced, chart: Chart) -> list[Picture]:
    """Diffusion, network and teacher in a chart."""
    shown: list[tuple[str, str, list[Array]]] = []
    d = reduced.diffusion
    if d is not None:
        shown.append(("diffusion", "Diffusion μ", reduced.densities(chart.pixels)))
    if reduced.network is not None:
        estimates = reduced.estimates(chart.manifold, chart.pixels)
        shown.append(("network", "Network, kernel density estimate", estimates))
    if d is not None:
        teacher = reduced.grid.interpolate(d.teacher.values, chart.pixels)
        shown.append(("teacher", "Teacher ν̄", [teacher]))
    images = [(name, title, [single(chart.image(row)) for row in rows])
              for name, title, rows in shown]  # fmt: skip
    top = max(float(image.max()) for _, _, rows in images for image in rows)
    neurons = [] if reduced.network is None else list(reduced.network.feature.values)
    dots = list(map(chart.place, neurons))
    return [_map(chart, *each, top, dots if each[0] == "network" else []) for each in images]


def _map(
    chart: Chart, name: str, title: str, images: list[Any], top: float, dots: list[Array]
) -> Picture:
    a, b = chart.manifold.axes[:2]
    x, y = (_centres(axis, n) for axis, n in zip((a, b), chart.shape, strict=False))
    reel = Reel(blank(title, 430, showlegend=False))
    colours = {"zmin": 0, "zmax": top, "colorscale": VIRIDIS}
    map_ = go.Heatmap(x=x, y=y, zsmooth="best", colorbar=colour_bar(chart.manifold), **colours)
    if len(images) > 1:
        reel.add(map_, z=images)
    else:
        reel.add(map_.update(z=images[0]))
    said = "The colours are those of the square root of the density."
    if dots:
        marker = {"color": "white", "size": 3, "opacity": 0.55}
        xs, ys = zip(*(single(dot.T) for dot in dots), strict=True)
        reel.add(go.Scatter(mode="markers", hoverinfo="skip", marker=marker), x=xs, y=ys)
        said = "The neurons (white), and their density, smoothed; colours as for the diffusion."
    reel.figure.update_xaxes(title=axis_title(a), range=[a.low, a.high], constrain="domain")
    equal = {"scaleanchor": "x", "constrain": "domain"} if a.length == b.length else {}
    reel.figure.update_yaxes(title=axis_title(b), range=[b.low, b.high], **equal)
    return reel.picture(name, said)


def _centres(axis: Axis, n: int) -> Any:
    return single(axis.low + axis.length * (np.arange(n) + 0.5) / n)


def globe_pictures(reduced: Reduced, mesh: Icosphere) -> list[Picture]:
    """The sphere, coloured by the diffusion or else the network, and the teacher's."""
    d, n = reduced.diffusion, reduced.network
    dots = None if n is None else [single(1.012 * row.T) for row in n.feature.values]
    turn = "turn it with the mouse or a finger."
    if d is None:
        estimates = reduced.estimates(mesh.manifold, mesh.nodes)
        said = f"The network's neurons (white), and their density, smoothed; {turn}"
        view = _View.of(estimates, estimates[-1], mesh.nodes)
        title = "Network, kernel density estimate"
        return [_globe(mesh, view, "network", title, said, estimates, dots)]
    densities = reduced.densities(mesh.nodes)
    teacher = reduced.grid.interpolate(d.teacher.values, mesh.nodes)
    view = _View.of([teacher, *densities], teacher, mesh.nodes)
    title, said = "Diffusion μ", f"Coloured by the diffusion; {turn}"
    if dots is not None:
        title += " and features ω<sub>i</sub>"
        said = f"Coloured by the diffusion, the network's neurons in white; {turn}"
    return [
        _globe(mesh, view, "diffusion", title, said, densities, dots),
        _globe(mesh, view, "teacher", "Teacher ν̄", f"The same colours; {turn}", [teacher], None),
    ]


@dataclass(frozen=True)
class _View:
    """What the spheres of a page share: the colours' end, and where they are seen from."""

    top: float
    eye: Array

    @staticmethod
    def of(densities: Sequence[Array], seen: Array, nodes: Array) -> _View:
        """From where most of a density is."""
        middle = seen @ nodes / seen.sum()
        length = float(np.linalg.norm(middle))
        side = middle / length if length > 1e-3 else np.array([1.0, 0.0, 0.0])
        return _View(max(float(row.max()) for row in densities), 2.1 * side + [0, 0, 0.45])

    @property
    def scene(self) -> dict[str, Any]:
        """Axes from -1 to 1."""
        axis = {"range": [-1.05, 1.05], "tickvals": [-1, 0, 1], "showbackground": False,
                "gridcolor": PALE, "zerolinecolor": PALE, "showspikes": False}  # fmt: skip
        named = {f"{a}axis": axis | {"title": {"text": f"ω<sub>{a}</sub>"}} for a in "xyz"}
        eye = dict(zip("xyz", map(float, self.eye), strict=True))
        camera = {"eye": eye, "center": {"x": 0, "y": 0, "z": -0.1}}
        return {**named, "aspectmode": "cube", "camera": camera, "dragmode": "orbit"}


def _globe(
    mesh: Icosphere, view: _View, name: str, title: str, said: str, densities: list[Array],
    dots: list[Array] | None,
) -> Picture:  # fmt: skip
    margin = {"l": 0, "r": 0, "t": 44, "b": 0}
    reel = Reel(blank(title, 470, showlegend=False, margin=margin, scene=view.scene))
    ball = go.Mesh3d(
        dict(zip("xyz", single(mesh.nodes.T), strict=True)),
        **dict(zip("ijk", mesh.cells.T.astype(np.int32), strict=True)),
        cmin=0, cmax=view.top, colorscale=VIRIDIS, colorbar=colour_bar(mesh.manifold),
        lighting={"ambient": 0.95, "diffuse": 0.1, "specular": 0},
        hovertemplate="density %{intensity:.3g}<extra></extra>",
    )  # fmt: skip
    values = [single(np.maximum(row, 0)) for row in densities]
    if len(values) > 1:
        reel.add(ball, intensity=values)
    else:
        reel.add(ball.update(intensity=values[0]))
    if dots is not None:
        marker = {"size": 2.4, "color": "white", "line": {"width": 0.5, "color": DARK}}
        columns = dict(zip("xyz", zip(*dots, strict=True), strict=True))
        reel.add(go.Scatter3d(mode="markers", hoverinfo="skip", marker=marker), **columns)
    return reel.picture(name, said)
