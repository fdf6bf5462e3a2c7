"""Direct solvers for sparse and for banded matrices."""

from __future__ import annotations

from mpi4py import MPI

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from petsc4py import PETSc
from scipy import sparse
from scipy.linalg import lapack
from scipy.sparse.csgraph import reverse_cuthill_mckee

from uf_diffusion.core.arrays import Array, Index
from uf_diffusion.core.mpi import REPLICATED
from uf_diffusion.diffusion.petsc import PREFIX, StageFailure, configure, solved, whole_matrix

__all__ = ["LU", "Band", "BandLU", "Cholesky", "lu_of"]

WIDEST = 16  # half the width of a band up to which banded factors are faster


class Cholesky:
    """A `LinearSolver` by sparse Cholesky factorisation (PETSc's MUMPS) for each diagonal.

    Several ranks share the factorisation of a large matrix, where MUMPS adds in an order that is
    not the same in every run. A small matrix they all factorise (by PETSc's LU), with the same bits
    in every run.

    Args:
        K: the stiffness matrix.
    """

    def __init__(self, K: PETSc.Mat) -> None:
        self._K, self._shifted = K, K.duplicate(copy=True)
        self._shifted.setOption(PETSc.Mat.Option.SPD, True)
        self._diagonal = K.getDiagonal()
        self._right, self._left = K.createVecs()
        if K.comm.size > 1 and K.size[0] <= REPLICATED:
            self._ksp = _direct(self._shifted, PETSc.PC.Type.REDUNDANT)
        else:
            self._ksp = _mumps(self._shifted, PETSc.PC.Type.CHOLESKY)
        self._ksp.setOptionsPrefix(PREFIX)
        configure(self._ksp)

    def set(self, diagonal: Array, shift: float) -> None:
        self._shift = shift
        self._left.array_w[:] = diagonal / shift
        self._right.waxpy(1.0, self._left, self._diagonal)
        self._shifted.setDiagonal(self._right)
        self._ksp.setOperators(self._shifted)

    def solve(self, rhs: Array, rtol: float) -> tuple[Array, int]:
        np.divide(rhs, self._shift, out=self._left.array_w)
        return solved(self._ksp, self._left, self._right, rtol)


class LU:
    """Solves with sparse matrices of a fixed pattern by LU factorisation (PETSc's MUMPS).

    By default every rank works alone. The order of elimination depends on the pattern only, so that
    equal matrices have identical factors. Several ranks can share the factors; then MUMPS adds in
    an order that is not the same in every run.

    Args:
        places: a matrix whose pattern contains those of all matrices; of this rank's rows, with
            columns in the numbering of all ranks' rows in turn.
        comm: the ranks that share the rows.
    """

    def __init__(self, places: sparse.csr_matrix, comm: MPI.Comm = MPI.COMM_SELF) -> None:
        self._places, self._comm = places, comm
        self._create()

    def _create(self) -> None:
        own = (self._places.shape[0], None)
        self._matrix = PETSc.Mat().createAIJ((own, own), csr=_csr(self._places), comm=self._comm)
        self._right, self._left = self._matrix.createVecs()
        self._ksp = _mumps(self._matrix, PETSc.PC.Type.LU)
        pc = self._ksp.getPC()
        pc.setFactorSetUpSolverType()
        for choice in (6, 8):  # no permutation and scaling, which would depend on the entries
            pc.getFactorMatrix().setMumpsIcntl(choice, 0)

    def set(self, matrix: sparse.csr_matrix) -> None:
        """Set the matrix for the next solves."""
        self._matrix.zeroEntries()
        self._matrix.setValuesCSR(*_csr(matrix))
        self._matrix.assemble()
        self._ksp.setOperators(self._matrix)

    def solve(self, rhs: Array) -> Array:
        """The solutions for right-hand sides ``(n,)`` or ``(n, k)``.

        Raises:
            StageFailure: on all ranks, for a matrix that is singular or not finite.
        """
        solutions = np.empty_like(rhs)
        for x, b in zip(np.atleast_2d(solutions.T), np.atleast_2d(rhs.T), strict=True):
            self._left.array_w[:] = b
            try:
                x[:] = solved(self._ksp, self._left, self._right, 1e-12)[0]
            except StageFailure:
                self._create()  # MUMPS cannot be used any more after a failure
                raise
        return solutions


def _direct(matrix: PETSc.Mat, kind: str) -> PETSc.KSP:
    ksp = PETSc.KSP().create(matrix.comm)
    ksp.setOperators(matrix)
    ksp.setType(PETSc.KSP.Type.PREONLY)
    ksp.getPC().setType(kind)
    return ksp


def _mumps(matrix: PETSc.Mat, factorisation: str) -> PETSc.KSP:
    ksp = _direct(matrix, factorisation)
    ksp.getPC().setFactorSolverType("mumps")
    return ksp


def _csr(matrix: sparse.csr_matrix) -> tuple[Index, Index, Array]:
    starts, columns = (a.astype(PETSc.IntType) for a in (matrix.indptr, matrix.indices))
    return starts, columns, matrix.data


class BandLU:
    """As `LU`, for matrices that are banded in a suitable order of the unknowns (LAPACK)."""

    def __init__(self, places: sparse.csr_matrix, order: Index) -> None:
        place = np.argsort(order)
        rows = np.repeat(place, np.diff(places.indptr))
        columns = place[places.indices]
        self._order, self._place = order, place
        self._width = int(np.abs(rows - columns).max())
        self._at = (2 * self._width + rows - columns, columns)
        self._factor: tuple[Any, Any] = (None, None)

    def set(self, matrix: sparse.csr_matrix) -> None:
        band = np.zeros((3 * self._width + 1, len(self._order)), order="F")
        band[self._at] = matrix.data
        *factor, info = lapack.dgbtrf(band, self._width, self._width, overwrite_ab=1)
        if info or not np.isfinite(matrix.data).all():
            raise StageFailure("the matrix of Newton's method is singular")
        self._factor = (factor[0], factor[1])

    def solve(self, rhs: Array) -> Array:
        """As `LU.solve`."""
        if rhs.size == 0:
            return rhs
        band, pivots = self._factor
        x, _ = lapack.dgbtrs(band, self._width, self._width, rhs[self._order], pivots)
        return np.asarray(x[self._place])


def lu_of(places: sparse.csr_matrix) -> LU | BandLU:
    """The faster one of `LU` and `BandLU` for matrices with this pattern."""
    order = np.asarray(reverse_cuthill_mckee(places, symmetric_mode=True), dtype=np.int64)
    place = np.argsort(order)
    rows = np.repeat(place, np.diff(places.indptr))
    if np.abs(rows - place[places.indices]).max() <= WIDEST:
        return BandLU(places, order)
    return LU(places)


class Band:
    """A `LinearSolver` for a circle or an interval; every rank solves the whole system.

    Without its first node the circle is an open chain, whose matrix is banded. The first node is
    eliminated separately. A solution takes as long as sending its right-hand side, so the ranks do
    not share the work. Unlike the parallel MUMPS, this gives the same bits in every run.

    Args:
        K: the stiffness matrix, its rows in their order along the line, beginning with a corner of
            a cell.
    """

    def __init__(self, K: PETSc.Mat) -> None:
        self._comm, self._own = K.comm.tompi4py(), slice(*K.getOwnershipRange())
        self._kept = K  # with its last matrix PETSc frees the communicator
        matrix = whole_matrix(K).tocoo()
        self._back: Callable[..., Any]
        row, column = matrix.coords
        chain = (row > 0) & (column > 0) & (row >= column)
        below = (row - column)[chain]
        width = int(below.max())
        self._chain = np.zeros((width + 1, matrix.shape[0] - 1), order="F")
        self._chain[below, column[chain] - 1] = matrix.data[chain]
        self._border = np.zeros(matrix.shape[0])
        self._border[column[row == 0]] = matrix.data[row == 0]

    def set(self, diagonal: Array, shift: float) -> None:
        d = self._everywhere(diagonal)
        chain = shift * self._chain
        chain[0] += d[1:]
        if len(chain) == 2:
            main, side, info = lapack.dpttrf(chain[0], chain[1, :-1])
            self._back = partial(lapack.dpttrs, main, side)
        else:
            factor, info = lapack.dpbtrf(chain, lower=1, overwrite_ab=1)
            self._back = partial(lapack.dpbtrs, factor, lower=1)
        if info:
            raise StageFailure("the matrix of Newton's method is not positive definite")
        self._coupling = shift * self._border[1:]
        self._corner = d[0] + shift * self._border[0]

    def solve(self, rhs: Array, rtol: float) -> tuple[Array, int]:
        r = self._everywhere(rhs)
        both = np.empty((len(r) - 1, 2), order="F")
        both[:, 0], both[:, 1] = r[1:], self._coupling
        y, reply = self._back(both, overwrite_b=1)[0].T
        x = np.empty_like(r)
        x[0] = (r[0] - self._coupling @ y) / (self._corner - self._coupling @ reply)
        x[1:] = y - x[0] * reply
        return x[self._own], 0

    def _everywhere(self, values: Array) -> Array:
        """The values ``(n,)`` of all ranks, from this rank's ``(owned,)``."""
        return values if self._comm.size == 1 else np.concatenate(self._comm.allgather(values))
