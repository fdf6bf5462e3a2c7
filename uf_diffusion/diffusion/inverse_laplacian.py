"""The inverse of the teacher-weighted Laplacian on a mesh, computed in this process alone."""

from __future__ import annotations

from mpi4py import MPI

from collections.abc import Callable

import numpy as np

from uf_diffusion.core.arrays import Array
from uf_diffusion.diffusion.fluxes import FluxForm
from uf_diffusion.diffusion.linear_solvers import linear_solver
from uf_diffusion.diffusion.spaces import space_of
from uf_diffusion.grids.base import Grid
from uf_diffusion.problem.densities import Density

__all__ = ["inverse_laplacian", "lumped_teacher"]

_SHIFT = 1e-6  # delta in units of the spectral gap of the manifold


def lumped_teacher(grid: Grid, teacher: Density) -> tuple[Array, Array]:
    """The lumped volumes of the nodes, and the teacher at the nodes, scaled to mass 1; ``(n,)``."""
    space, nu = space_of(grid, MPI.COMM_SELF), teacher(grid.nodes)
    volume = np.empty(len(nu))
    volume[space.node] = space.volumes
    return volume, nu / (volume @ nu)


def inverse_laplacian(grid: Grid, volume: Array, teacher: Array) -> Callable[[Array], Array]:
    """The map from loads b to psi with int nu grad psi . grad v dx = b . v for all nodal v.

    The stiffness matrix K is singular, but K + delta C with the lumped mass matrix C is not. The
    effect of the small shift delta is removed by corrections with the residual of K.

    Args:
        grid: the mesh.
        volume: the lumped volume of each node, ``(n,)``.
        teacher: nu at the nodes, ``(n,)``, positive.

    Returns:
        A function of b that returns psi, both ``(n,)`` in the grid's numbering. The sum of b must
        be 0.
    """
    space = space_of(grid, MPI.COMM_SELF)
    node = space.node
    K = space.stiffness(teacher[node])
    stiffness, manifold = FluxForm(K), grid.manifold
    linear = linear_solver(K, grid, node)
    weight = (volume * teacher)[node]
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
