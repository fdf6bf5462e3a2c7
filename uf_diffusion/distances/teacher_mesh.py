"""A mesh with the teacher's density, which the distances between densities need."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from uf_diffusion.core.arrays import Array
from uf_diffusion.core.errors import InputError
from uf_diffusion.distances.measures import Measure
from uf_diffusion.grids.base import Grid
from uf_diffusion.problem.densities import Density

__all__ = ["TeacherMesh"]


@dataclass(frozen=True, eq=False)
class TeacherMesh:
    """A mesh with the teacher's density at its nodes, and the width of a smoothing kernel.

    Attributes:
        grid: the mesh.
        volume: the lumped volume of each node, ``(n,)``, positive.
        teacher: the density nu at the nodes, ``(n,)``, positive.
        bandwidth: standard deviation of the smoothing kernel along one direction, in the
            manifold's unit of length, at least half the mesh's spacing. By default it is the larger
            of the mesh's spacing and 2 / dim times the mean spacing of evenly spread points, as
            many as the smaller measure has atoms.

    Raises:
        InputError: for nodal values of the wrong shape or sign, or too small a bandwidth.
    """

    grid: Grid
    volume: Array
    teacher: Array
    bandwidth: float | None = None

    def __post_init__(self) -> None:
        n = len(self.grid.nodes)
        for name, values in (("volume", self.volume), ("teacher", self.teacher)):
            if np.shape(values) != (n,) or not (np.isfinite(values).all() and np.min(values) > 0):
                raise InputError(f"The {name} must be positive and finite at the {n} nodes.")
        least = self.grid.spacing / 2
        if self.bandwidth is not None and not least <= self.bandwidth < np.inf:
            raise InputError(
                f"The bandwidth must be at least {least:.3g}, half the mesh's spacing, "
                f"not {self.bandwidth}."
            )

    @classmethod
    def of(cls, grid: Grid, teacher: Density, bandwidth: float | None = None) -> TeacherMesh:
        """A mesh with a teacher whose density is scaled to mass 1 on the mesh. It needs DOLFINx.

        Raises:
            InputError: without DOLFINx, and as `TeacherMesh`.
        """
        from uf_diffusion.diffusion.inverse_laplacian import lumped_teacher

        return cls(grid, *lumped_teacher(grid, teacher), bandwidth)

    def width(self, mu: Measure, nu: Measure) -> float:
        """The bandwidth for two measures: the given one or the default, see `TeacherMesh`."""
        if self.bandwidth is not None:
            return self.bandwidth
        dim, few = mu.manifold.dim, min(len(mu.points), len(nu.points))
        return max(self.grid.spacing, 2 / dim * math.pow(mu.manifold.volume / few, 1 / dim))

    def loads(self, measure: Measure) -> Array:
        """The integrals ``(n,)`` of the nodal basis functions against a measure."""
        numbers, basis = self.grid.basis(measure.points)
        loads = basis * measure.weights[:, None]
        return np.bincount(numbers.ravel(), loads.ravel(), len(self.grid.nodes))

    @cached_property
    def inverse_laplacian(self) -> Callable[[Array], Array]:
        """Maps loads with sum 0 to the potential, both ``(n,)``; see `diffusion.inverse_laplacian`.
        It needs DOLFINx and works in this process alone.
        """
        from uf_diffusion.diffusion.inverse_laplacian import inverse_laplacian

        return inverse_laplacian(self.grid, self.volume, self.teacher)
