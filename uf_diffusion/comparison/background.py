"""What distances between densities need beside two measures: a mesh with the teacher on it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from uf_diffusion.comparison.measures import Measure
from uf_diffusion.errors import InputError
from uf_diffusion.problem.densities import Density
from uf_diffusion.problem.grids import Curved, Grid
from uf_diffusion.problem.manifolds import Array

__all__ = ["Background"]

_SHIFT = 1e-6  # of the stiffness by the teacher's mass, in units of the unweighted spectral gap


@dataclass(frozen=True, eq=False)
class Background:
    """A mesh with the teacher's density at its nodes, and the width of a smoothing kernel.

    Attributes:
        grid: the mesh.
        volume: the lumped volume of each node, ``(n,)``.
        teacher: the density nu there, ``(n,)``, positive.
        bandwidth: standard deviation of the smoothing kernel along one direction, in the
            manifold's unit of length, at least half the mesh's spacing. Where it is not given it is
            the mesh's spacing, or 2 / dim times the mean spacing of as many even points as the
            smaller measure has atoms, if that is more.

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
    def of(cls, grid: Grid, teacher: Density, bandwidth: float | None = None) -> Background:
        """The background of a density, scaled to mass 1 on the mesh. It takes DOLFINx."""
        from mpi4py import MPI

        from uf_diffusion.diffusion.solver import UltraFastDiffusion
        from uf_diffusion.problem import Problem
        from uf_diffusion.problem.divergences import Unbiased

        problem = Problem(teacher.manifold, teacher, teacher, Unbiased(), 1.0)
        solver = UltraFastDiffusion(problem, grid, comm=MPI.COMM_SELF)
        volume, nu = (solver.everywhere(values) for values in (solver.volume, solver.teacher))
        return cls(grid, volume, nu, bandwidth)

    def width(self, mu: Measure, nu: Measure) -> float:
        """The bandwidth for two measures."""
        if self.bandwidth is not None:
            return self.bandwidth
        dim, few = mu.manifold.dim, min(len(mu.points), len(nu.points))
        return max(self.grid.spacing, 2 / dim * math.pow(mu.manifold.volume / few, 1 / dim))

    def loads(self, measure: Measure) -> Array:
        """The integrals ``(n,)`` of the nodal basis functions against a measure."""
        corners, share = self.grid.locate(measure.points)
        if isinstance(self.grid, Curved):
            corners, share = self.grid.numbers(corners), self.grid.element.basis(share)
        loads = share * measure.weights[:, None]
        return np.bincount(corners.ravel(), loads.ravel(), len(self.grid.nodes))

    @cached_property
    def inverse_laplacian(self) -> Callable[[Array], Array]:
        """b -> psi with integral of nu grad psi . grad v equal to b . v for all nodal v, for loads
        b of sum 0; both ``(n,)`` in the grid's numbering. It takes DOLFINx, in this process alone.

        The stiffness matrix K is singular. K + delta C, C the lumped mass, is not, and corrections
        with the residual of K take away what the small shift delta does.
        """
        from mpi4py import MPI

        from dolfinx import fem
        from dolfinx.fem.petsc import assemble_matrix

        from uf_diffusion.diffusion.forms import weighted_stiffness
        from uf_diffusion.diffusion.linear import FluxForm, compressed, linear_solver
        from uf_diffusion.diffusion.meshes import space_on

        V, node = space_on(self.grid, MPI.COMM_SELF)
        nu = fem.Function(V)
        nu.x.array[:] = self.teacher[node]
        K = assemble_matrix(weighted_stiffness(V, nu))
        K.assemble()
        K = compressed(K)
        stiffness, manifold = FluxForm(K), self.grid.manifold
        linear = linear_solver(K, self.grid, node, manifold.dim)
        weight = (self.volume * self.teacher)[node]
        linear.set(_SHIFT * manifold.spectral_gap * weight, 1.0)

        def solve(b: Array) -> Array:
            residual, psi = b[node], np.zeros(len(b))
            for _ in range(20):
                change = linear.solve(residual - weight * (residual.sum() / weight.sum()), 1e-12)[0]
                psi[node] += change
                if abs(b[node] @ change) <= 1e-14 * abs(b @ psi):
                    break
                residual = b[node] - stiffness(psi[node])
            return psi

        return solve
