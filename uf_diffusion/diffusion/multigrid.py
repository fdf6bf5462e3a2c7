"""Conjugate gradients with a V-cycle on nested spaces, for diag(d) + s K with many d and s.

The coarse stiffness matrices are the Galerkin products P'KP, which are computed once, and the
coarse diagonals are P'd. One V-cycle with a forward and a backward Gauss-Seidel sweep is the
preconditioner. Gauss-Seidel needs no estimates of eigenvalues and is suitable for every diagonal.

The fine levels are distributed as K is. Levels of at most `REPLICATED` nodes every rank treats as a
whole, which is faster than to exchange messages, and has the same bits on all ranks. The coarsest
level is solved by a sparse factorisation.
"""

from __future__ import annotations

import numpy as np
from petsc4py import PETSc
from scipy import sparse

from uf_diffusion.core.arrays import Array
from uf_diffusion.core.compiled import reordered, vectorised
from uf_diffusion.core.mpi import REPLICATED
from uf_diffusion.diffusion.fluxes import FluxForm
from uf_diffusion.diffusion.halos import Halo, halo_of, reduced, triangle
from uf_diffusion.diffusion.petsc import (
    PREFIX,
    StageFailure,
    chosen,
    configure,
    rows_of,
    solved,
    told,
    whole_matrix,
)
from uf_diffusion.diffusion.v_cycle import Coarse, Coarsest, Gathered, Level

__all__ = ["Multigrid"]

MOST = 500  # iterations


class Multigrid:
    """A `LinearSolver` by conjugate gradients with one V-cycle on nested spaces as preconditioner.

    If the user has set options of the linear solver, PETSc iterates instead, by default with the
    same preconditioner.

    Args:
        K: the stiffness matrix of the finest space.
        prolongations: the interpolation matrices of the hierarchy, finest first.
        gain: factor by which the V-cycle of the last stopping test is assumed to reduce the error.
        fluxes: the form of K, if there is one already; the solver shares its arrays.
    """

    def __init__(
        self,
        K: PETSc.Mat,
        prolongations: list[PETSc.Mat],
        gain: float = 1.0,
        fluxes: FluxForm | None = None,
    ) -> None:
        self._K, self._gain, self._comm = K, gain, K.comm.tompi4py()
        self._fluxes = fluxes or FluxForm(K)
        self._cycle, n = _levels(self._fluxes, K, prolongations), self._fluxes.halo.owned
        self._d, self._z, self._p = self._cycle.d[:n], self._cycle.x[:n], np.empty(n)
        self._ksp = _petsc_solver(K, self._cycle) if chosen() else None

    def set(self, diagonal: Array, shift: float) -> None:
        self._shift = shift
        np.divide(diagonal, shift, out=self._d)
        self._cycle.set()
        if self._ksp is not None:
            right, left = self._K.createVecs()
            left.array_w[:] = self._d
            shifted = self._ksp.getOperators()[0]
            right.waxpy(1.0, left, self._K.getDiagonal())
            shifted.setDiagonal(right)
            self._ksp.setOperators(shifted)
            with told():
                self._ksp.setUp()

    def solve(self, rhs: Array, rtol: float) -> tuple[Array, int]:
        if self._ksp is not None:
            right, left = self._K.createVecs()
            np.divide(rhs, self._shift, out=left.array_w)
            return solved(self._ksp, left, right, rtol)
        return self._conjugate_gradients(rhs / self._shift, rtol)

    def _conjugate_gradients(self, r: Array, rtol: float) -> tuple[Array, int]:
        """As PETSc's CG, except that the V-cycle of the last stopping test is added to the solution
        as a correction, and not discarded.
        """
        x, d, z, p = np.zeros_like(r), self._d, self._z, self._p
        square = first = self._sum(self._cycle.apply(r))
        if first == 0:
            return x, 0
        p[:] = z
        for its in range(1, MOST + 1):
            q = self._fluxes(p)
            product = self._sum(_shifted(d, p, q))
            _advance(square / product, p, q, x, r)
            square, last = self._sum(self._cycle.apply(r)), square
            if not square > (self._gain * rtol) ** 2 * first:
                x += z
                return x, its
            _turn(square / last, z, p)
        raise StageFailure(f"conjugate gradients did not converge in {MOST} iterations")

    def _sum(self, value: float) -> float:
        return float(reduced(np.array([value]), self._comm)[0])


@reordered
def _shifted(d: Array, p: Array, q: Array) -> float:
    """Add d p to q, and return the product of p and q."""
    product = 0.0
    for i in range(len(p)):
        q[i] += d[i] * p[i]
        product += p[i] * q[i]
    return product


@vectorised
def _advance(step: float, p: Array, q: Array, x: Array, r: Array) -> None:
    for i in range(len(p)):
        x[i] += step * p[i]
        r[i] -= step * q[i]


@vectorised
def _turn(factor: float, z: Array, p: Array) -> None:
    for i in range(len(p)):
        p[i] = z[i] + factor * p[i]


def _levels(fluxes: FluxForm, K: PETSc.Mat, prolongations: list[PETSc.Mat]) -> Coarse:
    """The finest level."""
    entries, halo = fluxes.triangle, fluxes.halo
    distributed: list[Level] = []
    finest = K
    while prolongations and K.size[0] > REPLICATED:
        P, *prolongations = prolongations
        K, fine, finer = _galerkin(K, P), K, halo
        if fine is not finest:
            fine.destroy()  # or else PETSc would keep it until all ranks have dropped it
        rows, shares = K.getValuesCSR(), rows_of(P)
        halo = halo_of(K, rows[1], shares.indices)
        distributed.append(Level(entries, finer, shares, halo))
        entries = triangle(rows[0], rows[1], rows[2], halo)
    whole = _replicated(*(whole_matrix(matrix) for matrix in (K, *prolongations)))
    level: Coarse = Gathered(halo, K.comm.tompi4py(), whole)
    for above in reversed(distributed):
        above.coarse, level = level, above
    return level


def _galerkin(K: PETSc.Mat, P: PETSc.Mat) -> PETSc.Mat:
    """P'KP, without the intermediate products that PETSc would keep for another one.

    Each rank computes its own rows. PETSc's PtAP adds the parts of other ranks as they arrive, so
    it does not have the same bits in every run.
    """
    right, left = K.matMult(P), P.transpose(PETSc.Mat())
    product = left.matMult(right)
    copy = product.duplicate(copy=True)
    for matrix in (product, left, right):
        matrix.destroy()
    return copy


def _replicated(K: sparse.csr_array, *prolongations: sparse.csr_array) -> Coarse:
    """The levels from K downwards, which this rank has as a whole."""
    halo = Halo(np.array([0, K.shape[0]]), np.empty(0, dtype=np.int64), PETSc.COMM_SELF)
    if not prolongations:
        return Coarsest(K, halo)
    P, *others = prolongations
    K.sort_indices()
    coarse = _replicated((P.T @ K @ P).tocsr(), *others)
    level = Level(triangle(K.indptr, K.indices, K.data, halo), halo, P, coarse.halo)
    level.coarse = coarse
    return level


def _petsc_solver(K: PETSc.Mat, cycle: Coarse) -> PETSc.KSP:
    """PETSc's solver with the user's options."""
    ksp = PETSc.KSP().create(K.comm)
    ksp.setOptionsPrefix(PREFIX)
    ksp.setOperators(K.duplicate(copy=True))
    ksp.setType(PETSc.KSP.Type.CG)
    ksp.getPC().setType(PETSc.PC.Type.PYTHON)
    ksp.getPC().setPythonContext(_Preconditioner(cycle))
    configure(ksp)
    return ksp


class _Preconditioner:
    """The V-cycle in the form that PETSc calls."""

    def __init__(self, cycle: Coarse) -> None:
        self._cycle = cycle

    def apply(self, pc: PETSc.PC, r: PETSc.Vec, z: PETSc.Vec) -> None:
        self._cycle.apply(r.array_r)
        z.array_w[:] = self._cycle.x[: self._cycle.halo.owned]
