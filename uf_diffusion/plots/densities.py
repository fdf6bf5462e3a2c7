"""Panels of what moves: densities, features and outer weights at some of a result's times."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from uf_diffusion.core.arrays import Array
from uf_diffusion.core.errors import InputError
from uf_diffusion.plots.globe import ball_of
from uf_diffusion.plots.maps import MOST_AXES, Chart
from uf_diffusion.plots.panels import Axis, Catalogue, Field, Panel, Series, evenly, fitted
from uf_diffusion.plots.shown import Shown
from uf_diffusion.plots.snapshots import Snapshots, along_axis, by_coordinate, snapshot_times
from uf_diffusion.plots.style import BLUE, GREY, ORANGE, PALE
from uf_diffusion.problem.manifolds import Manifold

__all__ = ["Animation", "animation", "density_panels", "density_unit"]

FRAMES = 25  # of an animation, at most
NODES = 2000  # of a curve that moves, at most
SHOWN = (1, 99)  # percentiles of the outer weights that an axis must show
OVERLAID = ("densities", "outer-weights")  # all curves in two panels
NETWORK = "Network, kernel density estimate"


@dataclass(frozen=True, eq=False)
class Animation:
    """Panels with one frame for each time.

    Attributes:
        times: of the frames, dimensionless.
        panels: none where the manifold cannot be drawn.
        note: what is left out, and why.
    """

    times: Array
    panels: Sequence[Panel] = ()
    note: str = ""


def animation(result: Shown) -> Animation:
    """What moves in a result, with as many points as a page can carry."""
    times = snapshot_times(result)
    if not len(times):
        return Animation(times)
    try:
        manifold: Manifold = result.manifold
    except InputError as error:
        return Animation(times, note=f"There is no picture: {error}")
    axes = len(manifold.axes)
    if not 0 < axes <= MOST_AXES:
        place = f"the manifold '{result.manifold_name}' of dimension {manifold.dim}"
        return Animation(times, note=f"There is no picture of {place}.")
    shots = Snapshots.of(result, evenly(len(times), FRAMES))
    canvas, points = None, min(NODES, shots.nodes)
    if axes > 1:
        canvas = ball_of(manifold, shots.middle) or Chart(manifold, 80 if axes == 2 else 56, 8)
        points = len(canvas.pixels)
    made = density_panels(shots, canvas)
    names = OVERLAID if axes == 1 else made
    return Animation(
        shots.times, [made[name]() for name in names if name in made], shots.note(points)
    )


def density_panels(shots: Snapshots, canvas: Any) -> Catalogue:
    """Densities and outer weights, as curves where no canvas is given.

    Args:
        shots: densities at the times of the frames.
        canvas: where densities of manifolds of more than one axis are shown.
    """
    made = _Curves(shots) if canvas is None else _Fields(shots, canvas)
    solved, trained = shots.diffusion is not None, shots.network is not None
    found: dict[str, Callable[[], Panel]] = {}
    if isinstance(made, _Curves):
        found["densities"] = made.densities
    if solved:
        found["diffusion"] = made.diffusion
    if trained:
        found["network"] = made.network
    if solved and isinstance(made, _Fields):
        found["teacher"] = made.teacher
    if solved and trained:
        found["outer-weights"] = made.outer_weights
    return found


def density_unit(manifold: Manifold) -> str:
    """What a density is per, on an axis or a scale of colours."""
    per = {1: "length", 2: "area"}.get(manifold.dim, "volume")
    return f"density (per unit {per})"


@dataclass(frozen=True, eq=False)
class _Curves:
    """Panels over the only axis of a manifold."""

    shots: Snapshots

    def _nodal(self, name: str, label: str, colour: str, kind: Any = "line") -> Series:
        d = self.shots.solved
        x, y = by_coordinate(self.shots.manifold, d.node_position.values, d[name].values)
        some = evenly(len(x), NODES)
        return Series(x[some], y[..., some], label, colour, kind)

    @property
    def _places(self) -> Array:
        """Coordinates of the neurons, ``(times, n)``."""
        return np.array([self.shots.manifold.chart(x)[:, 0] for x in self.shots.features])

    @cached_property
    def _teacher(self) -> list[Series]:
        known = self.shots.diffusion is not None
        return [self._nodal("teacher", "teacher ν̄", PALE, "area")] if known else []

    @cached_property
    def _diffusion(self) -> Series:
        return self._nodal("density", "diffusion μ", BLUE)

    @cached_property
    def _network(self) -> Series:
        points = along_axis(self.shots.manifold, 801)
        x = self.shots.manifold.chart(points)[:, 0]
        return Series(x, self.shots.estimates(points), NETWORK.lower(), ORANGE, "thick")

    def _panel(self, name: str, title: str, layers: Sequence[Series], said: str, y: Axis | None,
               together: int) -> Panel:  # fmt: skip
        top = max(float(s.y.max()) for s in layers)
        low = -0.1 if any(s.kind == "rug" for s in layers) else 0.0
        y = y or Axis(density_unit(self.shots.manifold), "linear", low * top, 1.05 * top)
        axis = self.shots.manifold.axes[0]
        x = Axis(axis.label, "linear", axis.low, axis.high)
        return Panel(name, title, x, y, tuple(layers), said, self.shots.moments, together, True)

    def densities(self) -> Panel:
        """Teacher, network and diffusion; the features as a rug below."""
        layers, said = [*self._teacher], ["grey: the teacher"] * len(self._teacher)
        if self.shots.network is not None:
            places = self._places
            rug = Series(places, np.zeros(places.shape[1]), "features ωᵢ", ORANGE, "rug")
            layers += [self._network, rug]
            said += ["orange: the network's neurons, smoothed, and as marks below the curves"]
        if self.shots.diffusion is not None:
            layers += [self._diffusion]
            said += ["blue: the diffusion"]
        text = "; ".join(said)
        return self._panel("densities", "Densities", layers, f"{text[0].upper()}{text[1:]}.", None,
                           5)  # fmt: skip

    def diffusion(self) -> Panel:
        layers = [*self._teacher, self._diffusion]
        return self._panel("diffusion", "Diffusion μ", layers, "Grey: the teacher.", None, 5)

    def network(self) -> Panel:
        layers = [*self._teacher, self._network]
        return self._panel("network", NETWORK, layers, "Grey: the teacher.", None, 5)

    def outer_weights(self) -> Panel:
        """The neurons' outer weights, and the limit's curve."""
        limit, own = self._nodal("outer_weight", "limit u", BLUE), self.shots.outer_weight
        neurons = Series(self._places, own, "neurons uᵢ", ORANGE, "points")
        shown = np.concatenate([np.ravel(limit.y), np.percentile(own, SHOWN)])
        said = ("Blue: the outer weight of the limit, ν̄/μ without constraint; orange: those of "
                "the neurons, each at its feature.")  # fmt: skip
        y = fitted("outer weight (dimensionless)", shown)
        return self._panel("outer-weights", "Outer weights", (neurons, limit), said, y, 2)


@dataclass(frozen=True, eq=False)
class _Fields:
    """Panels of densities in colours, which share one scale."""

    shots: Snapshots
    canvas: Any

    def _images(self, rows: Array) -> Array:
        return np.array([self.canvas.image(row) for row in rows])

    @cached_property
    def _teacher(self) -> Array:
        return self._images(self.shots.interpolated("teacher", self.canvas.pixels))

    @cached_property
    def _diffusion(self) -> Array:
        return self._images(self.shots.interpolated("density", self.canvas.pixels))

    @cached_property
    def _network(self) -> Array:
        return self._images(self.shots.estimates(self.canvas.pixels))

    @cached_property
    def _neurons(self) -> tuple[Array, ...]:
        known = self.shots.network is not None
        return tuple(self.canvas.place(x) for x in self.shots.features) if known else ()

    def _panel(self, name: str, title: str, images: Array, said: str, moving: bool = True,
               points: tuple[Array, ...] = ()) -> Panel:  # fmt: skip
        solved = self.shots.diffusion is not None
        top = max(float(a.max()) for a in
                  ([self._teacher, self._diffusion] if solved else [self._network]))  # fmt: skip
        manifold = self.shots.manifold
        field = Field(self.canvas, images, top, density_unit(manifold), moving, points)
        x, y = (Axis(a.label, "linear", a.low, a.high) for a in manifold.axes[:2])
        return Panel(name, title, x, y, (field,), said + self.canvas.hint, self.shots.moments)

    def diffusion(self) -> Panel:
        title, said = "Diffusion μ", "The colours are those of the square root of the density."
        points = self._neurons if self.canvas.shows_neurons else ()
        if points:
            title, said = "Diffusion μ and features ωᵢ", f"{said} White: the network's neurons."
        return self._panel("diffusion", title, self._diffusion, said, points=points)

    def network(self) -> Panel:
        said = "The neurons (white), and their density, smoothed; the same colours."
        return self._panel("network", NETWORK, self._network, said, points=self._neurons)

    def teacher(self) -> Panel:
        return self._panel("teacher", "Teacher ν̄", self._teacher, "The same colours.", False)

    def outer_weights(self) -> Panel:
        """u_i of the neurons against the limit's u where they are."""
        d, own, grid = self.shots.solved, self.shots.outer_weight, self.shots.result.grid
        pairs = zip(d.outer_weight.values, self.shots.features, strict=True)
        limit = np.array([grid.interpolate(u, x) for u, x in pairs])
        shown = np.percentile([limit, own], SHOWN)
        layers = (Series(shown, shown, "equal", GREY, "thin"),
                  Series(limit, own, "neurons", ORANGE, "points"))  # fmt: skip
        said = ("Each neuron's outer weight against the limit's at its feature; on the line they "
                "agree. The axes show 98 % of the values.")  # fmt: skip
        x = fitted("limit u at the neuron (dimensionless)", shown)
        y = fitted("uᵢ of the neuron (dimensionless)", shown)
        return Panel("outer-weights", "Outer weights", x, y, layers, said, self.shots.moments)
