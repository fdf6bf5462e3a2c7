"""Densities of both sides of a result at some of its times, at any points of the manifold."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import xarray as xr

from uf_diffusion.core.arrays import Array, Index
from uf_diffusion.distances.density_estimates import kernel_sums
from uf_diffusion.plots.shown import Shown
from uf_diffusion.problem.manifolds import Manifold

__all__ = ["Snapshots", "along_axis", "by_coordinate", "neuron_density", "snapshot_times"]

NEURONS = 2000  # in a picture, at most
ROOT_TWO_PI = math.sqrt(2 * math.pi)


@dataclass(frozen=True, eq=False)
class Snapshots:
    """A result at some of its snapshot times.

    Attributes:
        result: whose they are.
        times: dimensionless.
        left_out: how many snapshots are not among them.
        diffusion, network: the result's groups at these times, those that it has.
        every: one neuron in so many is kept.
    """

    result: Shown
    times: tuple[float, ...]
    left_out: int
    diffusion: xr.Dataset | None
    network: xr.Dataset | None
    every: int

    @staticmethod
    def of(result: Shown, snapshots: Index) -> Snapshots:
        """Of a result with at least one side, at snapshots of these numbers."""
        diffusion, network = result.group("diffusion"), result.group("network")
        times, every = snapshot_times(result), 1
        if network is not None:
            every = -(-network.sizes["neuron"] // NEURONS)
            network = network.isel(snapshot=snapshots, neuron=slice(None, None, every))
        if diffusion is not None:
            diffusion = diffusion.isel(snapshot=snapshots)
        left_out = len(times) - len(snapshots)
        return Snapshots(
            result, tuple(times[snapshots].tolist()), left_out, diffusion, network, every
        )

    @property
    def nodes(self) -> int:
        """How many the diffusion has."""
        return 0 if self.diffusion is None else int(self.diffusion.sizes["node"])

    @property
    def manifold(self) -> Manifold:
        """The feature space."""
        found: Manifold = self.result.manifold
        return found

    def interpolated(self, name: str, points: Array) -> Array:
        """A variable of the diffusion at points, ``(times, n)``, or ``(1, n)`` of a constant."""
        assert self.diffusion is not None
        rows = np.atleast_2d(self.diffusion[name].values)
        return np.array([self.result.grid.interpolate(row, points) for row in rows])

    def estimates(self, points: Array) -> Array:
        """Densities of the neurons at points, ``(times, n)``."""
        assert self.network is not None
        masses = self.network.neuron_mass.values
        features = self.network.feature.values
        return np.array([neuron_density(self.manifold, x, masses, points) for x in features])

    @property
    def middle(self) -> Array:
        """Of the teacher where it is known, or else of the neurons at the end, ``(ambient,)``."""
        if (d := self.diffusion) is not None:
            mass = d.teacher.values * d.node_measure.values
            return np.asarray(mass @ d.node_position.values / mass.sum())
        assert self.network is not None
        return np.asarray(self.network.feature.values[-1].mean(axis=0))

    def note(self, points: int) -> str:
        """What is not shown, and what is not as it was computed."""
        count = len(self.times) + self.left_out
        said = {
            f"Densities computed at {self.nodes} nodes are shown by {points} points.":
                self.nodes not in (0, points),
            f"{self.left_out} of {count} snapshots are left out.": self.left_out,
            f"Of the neurons, one in {self.every} is shown.": self.every > 1,
            "Densities are averaged over the axes beyond the second.": len(self.manifold.axes) > 2,
        }  # fmt: skip
        return " ".join(sentence for sentence, holds in said.items() if holds)


def snapshot_times(result: Shown) -> Array:
    """Of all snapshots of a result, which are those of both sides; none without sides."""
    for name in ("diffusion", "network"):
        if (side := result.group(name)) is not None:
            return np.asarray(side.snapshot_time.values)
    return np.empty(0)


def by_coordinate(manifold: Manifold, nodes: Array, values: Array) -> tuple[Array, Array]:
    """The nodes' first chart coordinates in increasing order, and values ``(..., nodes)`` so."""
    x = manifold.chart(nodes)[:, 0]
    order = np.argsort(x)
    return x[order], values[..., order]


def along_axis(manifold: Manifold, n: int) -> Array:
    """``(n, ambient)`` points evenly along the whole of a manifold's only axis."""
    axis = manifold.axes[0]
    return manifold.unchart(np.linspace(axis.low, axis.high - 1e-9 * axis.length, n)[:, None])


def neuron_density(
    manifold: Manifold, feature: Array, mass: Array, points: Array, width: float | None = None
) -> Array:
    """A kernel density estimate of neurons at points ``(n, ambient)``, with Gaussians of the chord.

    Where no width is given, each neuron has its own, below which about sqrt(n) neurons are: it
    falls with the square root of a first estimate of the density (Abramson 1982), so that peaks
    keep their height and flat parts are smooth.
    """
    mass = mass / mass.sum()
    if width is not None:
        return _gaussians(manifold, feature, mass, points, width)
    n, dim = len(feature), manifold.dim
    width = (manifold.volume / (3 * dim**2 * math.sqrt(n))) ** (1 / dim)
    first = _gaussians(manifold, feature, mass, feature, width)
    relative = np.sqrt(math.exp(mass @ np.log(first)) / first)
    step = np.rint(4 * np.log2(relative)).astype(int)  # few widths: each is one sum
    parts = (
        _gaussians(manifold, feature[step == s], mass[step == s], points, width * 2.0 ** (s / 4))
        for s in np.unique(step)
    )
    return np.asarray(sum(parts))


def _gaussians(
    manifold: Manifold, feature: Array, mass: Array, points: Array, width: float
) -> Array:
    sums = kernel_sums(manifold, points, np.ascontiguousarray(feature), mass, width)
    return np.asarray(sums / (ROOT_TWO_PI * width) ** manifold.dim)
