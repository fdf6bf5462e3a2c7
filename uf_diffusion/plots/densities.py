"""Panels that change over time: densities, features and outer weights at some snapshot times."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from uf_diffusion.core.arrays import Array
from uf_diffusion.core.errors import InputError
from uf_diffusion.plots.ball import ball_of
from uf_diffusion.plots.lines import Line, density_unit, line_of
from uf_diffusion.plots.maps import MOST_AXES, Chart
from uf_diffusion.plots.panels import Axis, Field, Panel, Series, evenly, fitted
from uf_diffusion.plots.shown import Shown
from uf_diffusion.plots.snapshots import Snapshots, snapshot_times
from uf_diffusion.plots.style import BLUE, GREY, ORANGE, PALE
from uf_diffusion.problem.manifolds import Manifold

__all__ = ["Animation", "animation", "density_panels"]

FRAMES = 25  # largest number of frames of an animation
NODES = 2000  # largest number of points of a curve that moves
SHOWN = (1, 99)  # percentiles of the outer weights that are the ends of an axis
OVERLAID = ("densities", "outer-weights")  # the panels of an animation in one dimension
NETWORK = "Network, kernel density estimate"


class Animation(NamedTuple):
    """Animated panels.

    Attributes:
        times: the time of each frame, dimensionless.
        panels: the panels; empty if the manifold cannot be drawn.
        note: what is left out and why, in sentences.
    """

    times: Sequence[float] = ()
    panels: Sequence[Panel] = ()
    note: str = ""


def animation(result: Shown) -> Animation:
    """The animation of the densities of a result, with few enough points for an HTML page."""
    times = snapshot_times(result)
    if not len(times):
        return Animation()
    try:
        manifold: Manifold = result.manifold
        line = line_of(result)
    except InputError as error:
        return Animation(note=f"There is no picture: {error}")
    axes = len(manifold.axes) if line is None else 1
    if not 0 < axes <= MOST_AXES:
        place = f"the manifold '{result.manifold_name}' of dimension {manifold.dim}"
        return Animation(note=f"There is no picture of {place}.")
    shots = Snapshots.of(result, evenly(len(times), FRAMES))
    canvas, points = None, min(NODES, shots.nodes)
    if axes > 1:
        canvas = ball_of(manifold, shots.middle) or Chart(manifold, 80 if axes == 2 else 56, 8)
        points = len(canvas.pixels)
    panels = [p for p in density_panels(shots, canvas, line) if axes > 1 or p.name in OVERLAID]
    return Animation(shots.times, panels, shots.note(points))


def density_panels(shots: Snapshots, canvas: Any, line: Line | None = None) -> list[Panel]:
    """Panels of densities and outer weights.

    Args:
        shots: the densities at the times of the frames.
        canvas: a `Chart` or a `Ball`, on which densities are shown as colours; not used with a
            line.
        line: the axis of curves, for functions of one coordinate.
    """
    return _fields(shots, canvas) if line is None else _curves(shots, line)


def _curves(shots: Snapshots, line: Line) -> list[Panel]:
    """Curves over one coordinate: all densities in one panel, each side alone, outer weights."""
    d, n = shots.diffusion, shots.network
    teacher, diffusion, network, rug = _layers(shots, line)
    said = ["grey: the teacher"] * len(teacher)
    said += ["orange: the network's neurons, smoothed, and as marks below the curves"] * len(rug)
    said += ["blue: the diffusion"] * len(diffusion)
    text = "; ".join(said)
    wanted = [
        ("densities", "Densities", [*teacher, *network, *rug, *diffusion],
         f"{text[0].upper()}{text[1:]}.", -0.1),
        ("diffusion", "Diffusion μ", [*teacher, *diffusion] if diffusion else [],
         "Grey: the teacher.", 0),
        ("network", NETWORK, [*teacher, *network] if network else [], "Grey: the teacher.", 0),
    ]  # fmt: skip
    main = (diffusion or network)[0]
    panels, x = [], line.fitted(main.x, main.y)
    for name, title, layers, caption, low in wanted:
        if layers:
            top = max(float(s.y.max()) for s in layers)
            y = Axis(line.unit, "linear", low * top, 1.05 * top)
            panels.append(
                Panel(name, title, x, y, tuple(layers), caption, shots.times, 5, wide=True)
            )
    if d is not None and n is not None:
        limit, own = _nodal(shots, line, "outer_weight", "limit u", BLUE), n.outer_weight.values
        there: Any = limit.y
        if line.fits:  # where there are neurons, as it may be huge where there is nothing
            pairs = zip(rug[0].x, limit.y, strict=True)
            there = np.percentile([np.interp(x, limit.x, y) for x, y in pairs], SHOWN)
        shown = np.concatenate([np.ravel(there), np.percentile(own, SHOWN)])
        y = fitted("outer weight (dimensionless)", shown)
        pair = (Series(rug[0].x, own, "neurons uᵢ", ORANGE, "points"), limit)
        caption = ("Blue: the outer weight of the limit, ν̄/μ without constraint; orange: those of "
                   "the neurons, each at its feature.")  # fmt: skip
        panels.append(
            Panel("outer-weights", "Outer weights", x, y, pair, caption, shots.times, 2, True)
        )
    return panels


def _layers(shots: Snapshots, line: Line) -> tuple[list[Series], ...]:
    """The series of teacher, diffusion, network and features; empty if a side is missing."""
    network, rug = [], []
    if shots.network is not None:
        masses, features = shots.network.neuron_mass.values, shots.network.feature.values
        found = [line.estimate(x, masses) for x in features]
        y = np.array([density for _, density in found])
        network = [Series(found[0][0], y, "network (smoothed)", ORANGE, "thick")]
        places = np.array([line.place(x) for x in features])
        rug = [Series(places, np.zeros(places.shape[1]), "features ωᵢ", ORANGE, "rug")]
    if shots.diffusion is None:
        return [], [], network, rug
    teacher = replace(_density(shots, line, "teacher", "teacher ν̄", PALE), kind="area")
    return [teacher], [_density(shots, line, "density", "diffusion μ", BLUE)], network, rug


def _density(shots: Snapshots, line: Line, name: str, label: str, colour: str) -> Series:
    """A density of the diffusion, per unit of the coordinate, as a curve."""
    d = shots.diffusion
    assert d is not None
    volume = line.volume(d.node_position.values)
    return _nodal(shots, line, name, label, colour, volume)


def _nodal(
    shots: Snapshots, line: Line, name: str, label: str, colour: str, factor: Array | float = 1.0
) -> Series:
    """A variable of the diffusion, times a factor ``(nodes,)``, as a curve."""
    d = shots.diffusion
    assert d is not None
    x = line.place(d.node_position.values)
    order = np.argsort(x, kind="stable")
    some = order[evenly(len(x), NODES)]
    return Series(x[some], (d[name].values * factor)[..., some], label, colour)


def _fields(shots: Snapshots, canvas: Any) -> list[Panel]:
    """Densities as colours on one scale, and the neurons' outer weights against the limit's."""
    manifold, d, n = shots.manifold, shots.diffusion, shots.network
    dots = () if n is None else tuple(canvas.place(x) for x in n.feature.values)
    white = canvas.shows_neurons and bool(dots)
    wanted: list[tuple[str, str, Array, str, bool, tuple[Array, ...]]] = []
    if d is not None:
        title = "Diffusion μ and features ωᵢ" if white else "Diffusion μ"
        said = "The colours are those of the square root of the density."
        said += " White: the network's neurons." if white else ""
        wanted.append(("diffusion", title, shots.interpolated("density", canvas.pixels), said, True,
                       dots if white else ()))  # fmt: skip
    if n is not None:
        said = "The neurons (white), and their density, smoothed; the same colours."
        wanted.append(("network", NETWORK, shots.estimates(canvas.pixels), said, True, dots))
    if d is not None:
        teacher = shots.interpolated("teacher", canvas.pixels)
        wanted.append(("teacher", "Teacher ν̄", teacher, "The same colours.", False, ()))
    images = {name: np.array([canvas.image(row) for row in rows]) for name, _, rows, *_ in wanted}
    top = max(float(a.max()) for name, a in images.items() if d is None or name != "network")
    x, y = (Axis(a.label, "linear", a.low, a.high) for a in manifold.axes[:2])
    unit = density_unit(manifold)
    panels = [
        Panel(name, title, x, y, (Field(canvas, images[name], top, unit, moving, points),),
              said + canvas.hint, shots.times) for name, title, _, said, moving, points in wanted
    ]  # fmt: skip
    return panels + ([] if d is None or n is None else [_scatter(shots)])


def _scatter(shots: Snapshots) -> Panel:
    """The outer weights u_i of the neurons against the limit's u at their features."""
    d, n, grid = shots.diffusion, shots.network, shots.result.grid
    assert d is not None and n is not None
    pairs = zip(d.outer_weight.values, n.feature.values, strict=True)
    own, limit = n.outer_weight.values, np.array([grid.interpolate(u, x) for u, x in pairs])
    shown = np.percentile([limit, own], SHOWN)
    layers = (Series(shown, shown, "equal", GREY, "thin"),
              Series(limit, own, "neurons", ORANGE, "points"))  # fmt: skip
    said = ("Each neuron's outer weight against the limit's at its feature; on the line they "
            "agree. The axes show 98 % of the values.")  # fmt: skip
    x = fitted("limit u at the neuron (dimensionless)", shown)
    y = fitted("uᵢ of the neuron (dimensionless)", shown)
    return Panel("outer-weights", "Outer weights", x, y, layers, said, shots.times)
