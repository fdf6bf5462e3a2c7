"""A result, thinned to what moving pictures can show."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import xarray as xr

from uf_diffusion.core.arrays import Array
from uf_diffusion.grids.base import Grid
from uf_diffusion.plots.interactive import chosen
from uf_diffusion.plots.shown import Shown
from uf_diffusion.plots.style import smoothed
from uf_diffusion.problem.manifolds import Manifold

__all__ = ["Reduced"]

FRAMES = 25  # times shown, at most
NEURONS = 2000  # shown, at most


@dataclass(frozen=True)
class Reduced:
    """What a result's pictures show.

    Attributes:
        result: what is thinned.
        times: of the frames, dimensionless.
        left_out: how many snapshots are not shown.
        diffusion, network: the result's groups at these times, those that it has.
        every: one neuron in so many is shown.
    """

    result: Shown
    times: Array
    left_out: int
    diffusion: xr.Dataset | None
    network: xr.Dataset | None
    every: int

    @staticmethod
    def of(result: Shown) -> Reduced | None:
        """Of a result; nothing where it has neither side."""
        diffusion, network = result.group("diffusion"), result.group("network")
        some = diffusion if diffusion is not None else network
        if some is None:
            return None
        frames, every = chosen(some.sizes["snapshot"], FRAMES), 1
        if network is not None:
            every = -(-network.sizes["neuron"] // NEURONS)
            network = network.isel(snapshot=frames, neuron=slice(None, None, every))
        if diffusion is not None:
            diffusion = diffusion.isel(snapshot=frames)
        return Reduced(
            result, some.snapshot_time.values[frames],
            some.sizes["snapshot"] - len(frames), diffusion, network, every,
        )  # fmt: skip

    @property
    def nodes(self) -> int:
        """How many the diffusion has."""
        return 0 if self.diffusion is None else int(self.diffusion.sizes["node"])

    @cached_property
    def grid(self) -> Grid:
        """The diffusion's mesh."""
        assert self.diffusion is not None
        found: Grid = self.result.grid
        return found

    def estimates(self, manifold: Manifold, points: Array) -> list[Array]:
        """Kernel density estimates of the neurons at points, for each frame."""
        assert self.network is not None
        masses = self.network.neuron_mass.values
        return [smoothed(manifold, x, masses, points) for x in self.network.feature.values]

    def densities(self, points: Array) -> list[Array]:
        """The diffusion's densities at points, for each frame."""
        assert self.diffusion is not None
        return [self.grid.interpolate(row, points) for row in self.diffusion.density.values]

    def note(self, points: int, axes: int) -> str:
        """What is not shown, and what is not as it was computed."""
        said = []
        if self.nodes not in (0, points):
            said.append(f"Densities computed at {self.nodes} nodes are shown by {points} points.")
        if self.left_out:
            said.append(f"{self.left_out} of {len(self.times) + self.left_out} snapshots "
                        "are left out.")  # fmt: skip
        if self.every > 1:
            said.append(f"Of the neurons, one in {self.every} is shown.")
        if axes > 2:
            said.append("Densities are averaged over the axes beyond the second.")
        return " ".join(said)
