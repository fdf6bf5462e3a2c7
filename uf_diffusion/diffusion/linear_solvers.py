"""Linear algebra of the implicit stages: solutions with diag(d) + s K for many d and s.

Only d and s change between solutions, so everything that depends on K only is computed once. The
solvers are

* multigrid in two and three dimensions (`uf_diffusion.diffusion.multigrid`).
* a banded factorisation in one dimension, on a circle with one node as a border of the matrix.
* PETSc's sparse Cholesky factorisation (MUMPS) in all other cases.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from petsc4py import PETSc

from uf_diffusion.core.arrays import Array, Index
from uf_diffusion.diffusion.direct_solvers import Band, Cholesky
from uf_diffusion.diffusion.fluxes import FluxForm
from uf_diffusion.diffusion.halos import reduced
from uf_diffusion.diffusion.multigrid import Multigrid
from uf_diffusion.diffusion.nested_spaces import prolongations
from uf_diffusion.diffusion.petsc import chosen
from uf_diffusion.grids.base import Grid

__all__ = ["LinearSolver", "compressed", "linear_solver", "reduced"]

GAIN = 3.0  # assumed factor by which a V-cycle reduces the error at degree 1 (measured: 5 to 10)


class LinearSolver(Protocol):
    """Solves (diag(d) + s K) x = r; every rank has the values at its own nodes."""

    def set(self, diagonal: Array, shift: float) -> None:
        """Set d ``(owned,)``, positive, and s > 0 for the next solutions."""
        ...

    def solve(self, rhs: Array, rtol: float) -> tuple[Array, int]:
        """The solution ``(owned,)``, and the number of iterations; 0 for direct solvers.

        Args:
            rhs: r, ``(owned,)``.
            rtol: relative tolerance in the energy norm.

        Raises:
            StageFailure: on all ranks, if the solver fails.
        """
        ...


def compressed(K: PETSc.Mat) -> PETSc.Mat:
    """K without entries that are zero up to round-off, as for edges opposite to right angles."""
    starts, columns, entries = K.getValuesCSR()
    row = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    kept = np.abs(entries) > 1e-14 * K.getDiagonal().array_r[row]
    starts = np.append(0, np.cumsum(np.bincount(row[kept], minlength=len(starts) - 1)))
    return PETSc.Mat().createAIJ(
        size=K.getSizes(),
        csr=(starts.astype(columns.dtype), columns[kept], entries[kept]),
        comm=K.comm,
    )


def linear_solver(
    K: PETSc.Mat, grid: Grid, node: Index, fluxes: FluxForm | None = None
) -> LinearSolver:
    """The solver for a grid; PETSc options with the prefix ``uf_`` apply to PETSc's solvers.

    Args:
        K: the stiffness matrix.
        grid: the grid, which may have a hierarchy of coarser ones.
        node: the grid's number of each owned node, ``(owned,)``.
        fluxes: the form of K, if there is one already, whose arrays multigrid shares.

    Raises:
        InputError: for an option that PETSc does not accept.
    """
    dim = grid.manifold.dim
    if dim == 1 and not chosen():
        return Band(K)
    nested = prolongations(grid, node, K.comm) if dim > 1 else []
    if not nested:
        return Cholesky(K)
    solver = Multigrid(K, nested, GAIN if grid.degree == 1 else 1.0, fluxes)
    for matrix in nested:  # PETSc keeps distributed matrices that Python has dropped
        matrix.destroy()
    return solver
