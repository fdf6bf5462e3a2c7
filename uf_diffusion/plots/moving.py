"""What moves: densities, features and outer weights at the times of a slider."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go
import xarray as xr

from uf_diffusion.core.arrays import Array
from uf_diffusion.core.errors import InputError
from uf_diffusion.grids.icosphere import Icosphere
from uf_diffusion.plots.interactive import (
    PALE,
    Picture,
    Reel,
    axis_title,
    blank,
    chosen,
    density_unit,
    scale,
    single,
)
from uf_diffusion.plots.lines import line_points
from uf_diffusion.plots.maps import MOST_AXES
from uf_diffusion.plots.reduced import Reduced
from uf_diffusion.plots.shown import Shown
from uf_diffusion.plots.style import BLUE, ORANGE, by_coordinate
from uf_diffusion.plots.surfaces import SmallChart, globe_pictures, map_pictures
from uf_diffusion.problem.manifolds import Manifold, Sphere

__all__ = ["Movie", "movie"]

NODES = 2000  # of a curve, at most
LEVEL = 4  # of the icosphere on which a sphere is shown: 2562 nodes
SHOWN = (1, 99)  # percentiles of the outer weights that an axis must show
NEURON = {"color": ORANGE, "size": 5, "opacity": 0.5}


@dataclass(frozen=True)
class Movie:
    """Pictures with one frame for each time.

    Attributes:
        times: of the frames, dimensionless.
        pictures: none where the manifold cannot be drawn.
        note: what is left out, and why.
    """

    times: Array
    pictures: Sequence[Picture] = ()
    note: str = ""


def movie(result: Shown) -> Movie:
    """The moving pictures of a result: of densities on curves, maps or spheres, and of outer
    weights.
    """
    reduced = Reduced.of(result)
    if reduced is None:
        return Movie(np.empty(0))
    try:
        manifold = result.manifold
    except InputError as error:
        return Movie(np.empty(0), note=f"There is no picture: {error}")
    if not 0 < len(manifold.axes) <= MOST_AXES:
        place = f"the manifold '{result.manifold_name}' of dimension {manifold.dim}"
        return Movie(np.empty(0), note=f"There is no picture of {place}.")
    if len(manifold.axes) == 1:
        pictures, points = _lines(reduced, manifold), min(NODES, reduced.nodes)
    elif isinstance(manifold, Sphere):
        mesh = Icosphere(manifold, LEVEL)
        pictures, points = globe_pictures(reduced, mesh), len(mesh.nodes)
    else:
        chart = SmallChart(manifold)
        pictures, points = map_pictures(reduced, chart), math.prod(chart.shape)
    both = reduced.diffusion is not None and reduced.network is not None
    if both and len(manifold.axes) > 1:
        pictures.append(_scatter(reduced, wide=len(pictures) % 2 == 0))
    return Movie(reduced.times, pictures, reduced.note(points, len(manifold.axes)))


def _lines(reduced: Reduced, manifold: Manifold) -> list[Picture]:
    pictures = [_densities(reduced, manifold)]
    if reduced.diffusion is not None and reduced.network is not None:
        pictures.append(_weights(reduced.diffusion, reduced.network, manifold))
    return pictures


def _curves(manifold: Manifold, d: xr.Dataset, rows: Iterable[Array]) -> tuple[Any, list[Any]]:
    """Nodal values along the axis, of no more nodes than are shown."""
    x, number = by_coordinate(
        manifold, d.node_position.values, np.arange(d.sizes["node"], dtype=float)
    )
    some = chosen(len(x), NODES)
    return single(x[some]), [single(row[number[some].astype(int)]) for row in rows]


def _densities(reduced: Reduced, manifold: Manifold) -> Picture:
    """Teacher, network and diffusion on one axis; the features as a rug below it."""
    axis, d, n = manifold.axes[0], reduced.diffusion, reduced.network
    reel, shown, said = Reel(blank("Densities", 430)), [], []
    if d is not None:
        x, (teacher, *curves) = _curves(manifold, d, [d.teacher.values, *d.density.values])
        reel.add(go.Scatter(x=x, y=teacher, fill="tozeroy", line={"width": 0}, fillcolor=PALE,
                            name="teacher ν̄", mode="lines"))  # fmt: skip
        shown += [teacher, *curves]
        said += ["grey: the teacher"]
    if n is not None:
        points = line_points(manifold, 801)
        estimates = [single(row) for row in reduced.estimates(manifold, points)]
        reel.add(go.Scatter(x=single(manifold.chart(points)[:, 0]), mode="lines", opacity=0.5,
                            line={"color": ORANGE, "width": 5},
                            name="network, kernel density estimate"), y=estimates)  # fmt: skip
        shown += estimates
        said += ["orange: the network's neurons, smoothed, and as marks below the curves"]
    if d is not None:
        reel.add(go.Scatter(x=x, mode="lines", name="diffusion μ",
                            line={"color": BLUE, "width": 1.8}), y=curves)  # fmt: skip
        said += ["blue: the diffusion"]
    top = float(np.concatenate(shown).max())
    if n is not None:
        _rug(reel, manifold, n, -0.05 * top)
    reel.figure.update_xaxes(title=axis_title(axis), range=[axis.low, axis.high])
    reel.figure.update_yaxes(title=density_unit(manifold), range=[-0.1 * top, 1.05 * top])
    caption = "; ".join(said)
    return reel.picture("densities", f"{caption[0].upper()}{caption[1:]}.", wide=True)


def _rug(reel: Reel, manifold: Manifold, n: xr.Dataset, height: float) -> None:
    """The features on the axis."""
    marker = {"symbol": "line-ns-open", "size": 9, "color": ORANGE, "opacity": 0.5}
    rug = [single(manifold.chart(row)[:, 0]) for row in n.feature.values]
    reel.add(go.Scatter(y=single(np.full(len(rug[0]), height)), mode="markers", marker=marker,
                        name="features ω<sub>i</sub>", hoverinfo="skip"), x=rug)  # fmt: skip


def _weights(d: xr.Dataset, n: xr.Dataset, manifold: Manifold) -> Picture:
    """The neurons' outer weights, and the limit's curve."""
    axis, reel = manifold.axes[0], Reel(blank("Outer weights", 360))
    x, limit = _curves(manifold, d, d.outer_weight.values)
    place = [single(manifold.chart(row)[:, 0]) for row in n.feature.values]
    own = [single(row) for row in n.outer_weight.values]
    reel.add(go.Scatter(mode="markers", name="neurons u<sub>i</sub>", marker=NEURON),
             x=place, y=own)  # fmt: skip
    reel.add(go.Scatter(x=x, mode="lines", name="limit u", line={"color": BLUE, "width": 1.8}),
             y=limit)  # fmt: skip
    reel.figure.update_xaxes(title=axis_title(axis), range=[axis.low, axis.high])
    shown = np.concatenate([np.ravel(limit), np.percentile(own, SHOWN)])
    reel.figure.update_yaxes(title="outer weight (dimensionless)", **_range(shown))
    said = ("Blue: the outer weight of the limit, ν̄/μ without constraint; orange: those of the "
            "neurons, each at its feature.")  # fmt: skip
    return reel.picture("outer-weights", said, wide=True)


def _range(values: Array) -> dict[str, Any]:
    """An axis that shows all these values."""
    kind = scale(values)
    shown = np.log10(values) if kind["type"] == "log" else values
    low, high = float(shown.min()), float(shown.max())
    room = 0.04 * (high - low) + 1e-3
    return {**kind, "range": [low - room, high + room]}


def _scatter(reduced: Reduced, wide: bool) -> Picture:
    """u_i of the neurons against the limit's u where they are."""
    d, n = reduced.diffusion, reduced.network
    assert d is not None and n is not None
    own = [single(row) for row in n.outer_weight.values]
    limit = [
        single(reduced.grid.interpolate(u, x))
        for u, x in zip(d.outer_weight.values, n.feature.values, strict=True)
    ]
    shown = np.percentile([limit, own], SHOWN)
    reel = Reel(blank("Outer weights", 430, showlegend=False))
    reel.add(go.Scatter(x=single(shown), y=single(shown), mode="lines", hoverinfo="skip",
                        line={"color": BLUE, "width": 1.8}))  # fmt: skip
    reel.add(go.Scatter(mode="markers", marker=NEURON), x=limit, y=own)
    reel.figure.update_xaxes(title="limit u at the neuron (dimensionless)", **_range(shown))
    reel.figure.update_yaxes(title="u<sub>i</sub> of the neuron (dimensionless)", **_range(shown))
    said = ("Each neuron's outer weight against the limit's at its feature; on the line they "
            "agree. The axes show 98 % of the values.")  # fmt: skip
    return reel.picture("outer-weights", said, wide)
