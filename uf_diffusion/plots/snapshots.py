"""Densities of the diffusion and the network at some snapshot times, at any points."""

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

NEURONS = 2000  # largest number of neurons in a picture
ROOT_TWO_PI = math.sqrt(2 * math.pi)


@dataclass(frozen=True, eq=False)
class Snapshots:
    """A result at some of its snapshot times.

    Attributes:
        result: the result.
        times: the chosen times, dimensionless.
        left_out: number of snapshots that are not chosen.
        diffusion, network: the groups of the result at these times; None if it has no such group.
        every: every how many neurons one is kept.
    """

    result: Shown
    times: tuple[float, ...]
    left_out: int
    diffusion: xr.Dataset | None
    network: xr.Dataset | None
    every: int

    @staticmethod
    def of(result: Shown, snapshots: Index) -> Snapshots:
        """The snapshots with these indices, of a result with a diffusion or a network."""
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
        """The number of nodes of the diffusion; 0 without a diffusion."""
        return 0 if self.diffusion is None else int(self.diffusion.sizes["node"])

    @property
    def whole_nodes(self) -> int:
        """The number of nodes that have been computed, if these are some of them; else 0."""
        return 0 if self.diffusion is None else int(self.diffusion.attrs.get("whole_nodes", 0))

    @property
    def manifold(self) -> Manifold:
        """The feature space."""
        found: Manifold = self.result.manifold
        return found

    def interpolated(self, name: str, points: Array) -> Array:
        """A variable of the diffusion at points ``(n, ambient)``.

        The shape is ``(times, n)``, or ``(1, n)`` if the variable does not depend on time.
        """
        assert self.diffusion is not None
        rows = np.atleast_2d(self.diffusion[name].values)
        return np.array([self.result.grid.interpolate(row, points) for row in rows])

    def estimates(self, points: Array) -> Array:
        """Estimated densities ``(times, n)`` of the neurons at points ``(n, ambient)``."""
        assert self.network is not None
        masses = self.network.neuron_mass.values
        features = self.network.feature.values
        return np.array([neuron_density(self.manifold, x, masses, points) for x in features])

    @property
    def middle(self) -> Array:
        """The mean position ``(ambient,)`` of the teacher.

        Without a diffusion it is the mean of the neurons at the last time.
        """
        if (d := self.diffusion) is not None:
            mass = d.teacher.values * d.node_measure.values
            return np.asarray(mass @ d.node_position.values / mass.sum())
        assert self.network is not None
        return np.asarray(self.network.feature.values[-1].mean(axis=0))

    def note(self, points: int) -> str:
        """Sentences on what is left out or changed if densities are shown at ``points`` points."""
        count = len(self.times) + self.left_out
        said = {
            f"Densities computed at {self.nodes} nodes are shown by {points} points.":
                self.nodes not in (0, points) and not self.whole_nodes,
            f"Densities computed at {self.whole_nodes} nodes, all of which are in the file "
            f"fields.nc, are shown by {points} of those {self.nodes} that a coarser mesh has.":
                bool(self.whole_nodes),
            f"{self.left_out} of {count} snapshots are left out.": self.left_out,
            f"Of the neurons, one in {self.every} is shown.": self.every > 1,
            "Densities are averaged over the axes beyond the second.": len(self.manifold.axes) > 2,
        }  # fmt: skip
        return " ".join(sentence for sentence, holds in said.items() if holds)


def snapshot_times(result: Shown) -> Array:
    """The times ``(snapshots,)`` of all snapshots of a result, dimensionless.

    They are the same for the diffusion and the network; the array is empty without either.
    """
    for name in ("diffusion", "network"):
        if (side := result.group(name)) is not None:
            return np.asarray(side.snapshot_time.values)
    return np.empty(0)


def by_coordinate(manifold: Manifold, nodes: Array, values: Array) -> tuple[Array, Array]:
    """The first chart coordinates of nodes and values ``(..., nodes)``, sorted by coordinate."""
    x = manifold.chart(nodes)[:, 0]
    order = np.argsort(x)
    return x[order], values[..., order]


def along_axis(manifold: Manifold, n: int) -> Array:
    """``n`` evenly spaced points ``(n, ambient)`` along the only axis of a manifold."""
    axis = manifold.axes[0]
    return manifold.unchart(np.linspace(axis.low, axis.high - 1e-9 * axis.length, n)[:, None])


def neuron_density(
    manifold: Manifold, feature: Array, mass: Array, points: Array, width: float | None = None
) -> Array:
    """A kernel density estimate of neurons, with Gaussians of the chord distance.

    Args:
        manifold: the manifold.
        feature: the features of the neurons, ``(M, ambient)``.
        mass: the masses of the neurons, ``(M,)``.
        points: the points ``(n, ambient)`` at which the density is estimated.
        width: the width of the Gaussians, a length. If it is not given, each neuron has its own,
            inversely proportional to the square root of a first estimate of the density (Abramson,
            Ann. Statist. 10, 1982), so that peaks keep their height and flat parts are smooth.

    Returns:
        The density ``(n,)``, per unit volume.
    """
    mass = mass / mass.sum()
    if width is not None:
        return _gaussians(manifold, feature, mass, points, width)
    n, dim = len(feature), manifold.dim
    width = (manifold.volume / (3 * dim**2 * math.sqrt(n))) ** (1 / dim)
    first = _gaussians(manifold, feature, mass, feature, width)
    relative = np.sqrt(math.exp(mass @ np.log(first)) / first)
    step = np.rint(4 * np.log2(relative)).astype(int)  # few different widths, as each takes one sum
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
