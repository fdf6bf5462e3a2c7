"""Linear algebra of the implicit stages: K w, and solutions with diag(d) + s K for many d and s.

Only d and s change between solutions, so everything that depends on K only is computed once. The
solvers are

* multigrid in two and three dimensions (`uf_diffusion.diffusion.multigrid`).
* a banded factorisation in one dimension, on a circle with one node as a border of the matrix.
* PETSc's sparse Cholesky factorisation (MUMPS) in all other cases.
"""

from __future__ import annotations

from mpi4py import MPI

from typing import Protocol

import numpy as np
from petsc4py import PETSc

from uf_diffusion.core.arrays import Array, Index
from uf_diffusion.diffusion.direct_solvers import Band, Cholesky
from uf_diffusion.diffusion.multigrid import Multigrid
from uf_diffusion.diffusion.nested_spaces import prolongations
from uf_diffusion.diffusion.petsc import chosen
from uf_diffusion.grids.base import Grid

__all__ = ["FluxForm", "LinearSolver", "compressed", "linear_solver", "reduced"]

GAIN = 3.0  # assumed factor by which a V-cycle reduces the error at degree 1 (measured: 5 to 10)


def reduced(values: Array, comm: MPI.Comm, op: MPI.Op = MPI.SUM) -> Array:
    """Reduce values over all ranks in place, by default to their sums; returns the same array."""
    if comm.size > 1:
        comm.Allreduce(MPI.IN_PLACE, values, op)
    return values


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


class FluxForm:
    """The product K w, computed as the sum of K_ij (w_j - w_i) over the neighbours j.

    Near equilibrium these differences have smaller round-off than a matrix-vector product, and the
    fluxes cancel in pairs, so that mass is conserved.

    Args:
        K: the stiffness matrix, symmetric with K 1 = 0.

    Attributes:
        monotone: whether K has no positive entry off the diagonal.
    """

    def __init__(self, K: PETSc.Mat) -> None:
        starts, columns, entries = K.getValuesCSR()
        first, last = K.getOwnershipRange()
        row = np.repeat(np.arange(first, last, dtype=columns.dtype), np.diff(starts))
        once = (columns > row) & (entries != 0)
        ends = np.column_stack([row[once], columns[once]])
        self._conductance = -entries[once]
        count = len(ends)
        self._difference = PETSc.Mat().createAIJ(
            size=((count, None), (last - first, K.getSizes()[1][1])),
            csr=(
                np.arange(0, 2 * count + 1, 2, dtype=columns.dtype), ends.ravel(),
                np.tile([-1.0, 1.0], count),
            ),
            comm=K.comm,
        )  # fmt: skip
        self._w, self._flux = self._difference.createVecs()
        self._result = self._w.duplicate()
        extremes = np.array([-self._conductance.min(initial=0.0), abs(entries).max(initial=0.0)])
        positive, largest = reduced(extremes, K.comm.tompi4py(), MPI.MAX)
        self.monotone = bool(positive <= 1e-12 * largest)

    def __call__(self, w: Array) -> Array:
        """The values of K w at the owned nodes, from those of w, both ``(owned,)``."""
        self._w.array_w[:] = w
        self._difference.mult(self._w, self._flux)
        self._flux.array_w[:] *= self._conductance
        self._difference.multTranspose(self._flux, self._result)
        return np.array(self._result.array_r)


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


def linear_solver(K: PETSc.Mat, grid: Grid, node: Index) -> LinearSolver:
    """The solver for a grid; PETSc options with the prefix ``uf_`` apply to PETSc's solvers.

    Args:
        K: the stiffness matrix.
        grid: the grid, which may have a hierarchy of coarser ones.
        node: the grid's number of each owned node, ``(owned,)``.

    Raises:
        InputError: for an option that PETSc does not accept.
    """
    dim = grid.manifold.dim
    if dim == 1 and not chosen():
        everywhere = np.concatenate(K.comm.tompi4py().allgather(node))
        chart = grid.manifold.chart(grid.nodes[everywhere])
        return Band(K, np.argsort(chart[:, 0], kind="stable"))
    nested = prolongations(grid, node, K.comm) if dim > 1 else []
    return Multigrid(K, nested, GAIN if grid.degree == 1 else 1.0) if nested else Cholesky(K)
