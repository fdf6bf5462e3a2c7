"""Conjugate gradients with a V-cycle on nested spaces, for diag(d) + s K with many d and s.

The coarse stiffness matrices are the Galerkin products P'KP, which are computed once, and the
coarse diagonals are P'd. One V-cycle with a forward and a backward Gauss-Seidel sweep is the
preconditioner. Gauss-Seidel needs no estimates of eigenvalues and is suitable for every diagonal.
"""

from __future__ import annotations

import numpy as np
from petsc4py import PETSc

from uf_diffusion.core.arrays import Array
from uf_diffusion.diffusion.petsc import PREFIX, StageFailure, chosen, configure, solved, told

__all__ = ["Multigrid"]


class Multigrid:
    """A `LinearSolver` by conjugate gradients with one V-cycle on nested spaces as preconditioner.

    Args:
        K: the stiffness matrix of the finest space.
        prolongations: the interpolation matrices of the hierarchy, finest first.
        gain: factor by which the V-cycle of the last stopping test is assumed to reduce the error.
    """

    def __init__(self, K: PETSc.Mat, prolongations: list[PETSc.Mat], gain: float = 1.0) -> None:
        self._prolongations, self._restrictions, stiffness = prolongations, [], [K]
        for P in prolongations:
            self._restrictions.append(P.transpose(PETSc.Mat()))
            stiffness.append(stiffness[-1].PtAP(P))
        self._diagonals = [matrix.getDiagonal() for matrix in stiffness]
        self._shifted = [matrix.duplicate(copy=True) for matrix in stiffness]
        self._restricted = [matrix.createVecRight() for matrix in stiffness]
        self._sums = [matrix.createVecRight() for matrix in stiffness]
        self._right, self._left = K.createVecs()
        self._gain = gain
        self._work = [self._left.duplicate() for _ in range(3)]
        self._ksp = self._solver(K.comm)
        self._chosen = chosen("ksp_")

    def _solver(self, comm: PETSc.Comm) -> PETSc.KSP:
        ksp = PETSc.KSP().create(comm)
        ksp.setOptionsPrefix(PREFIX)
        ksp.setOperators(self._shifted[0])
        ksp.setType(PETSc.KSP.Type.CG)
        pc, levels = ksp.getPC(), len(self._shifted)
        pc.setType(PETSc.PC.Type.MG)
        pc.setMGLevels(levels)
        for level in range(1, levels):
            fine = levels - 1 - level
            pc.setMGInterpolation(level, self._prolongations[fine])
            pc.setMGRestriction(level, self._restrictions[fine])
            for smoother, sweep in (
                (pc.getMGSmootherDown(level), "forward"), (pc.getMGSmootherUp(level), "backward"),
            ):  # fmt: skip
                _gauss_seidel(smoother, self._shifted[fine], sweep, level)
        coarse = pc.getMGCoarseSolve()
        coarse.setOperators(self._shifted[-1])
        coarse.setType(PETSc.KSP.Type.PREONLY)
        coarse.getPC().setType(PETSc.PC.Type.REDUNDANT)
        configure(ksp)
        return ksp

    def set(self, diagonal: Array, shift: float) -> None:
        self._shift = shift
        np.divide(diagonal, shift, out=self._restricted[0].array_w)
        for level, matrix in enumerate(self._shifted):
            if level:
                self._restrictions[level - 1].mult(*self._restricted[level - 1 : level + 1])
            self._sums[level].waxpy(1.0, self._restricted[level], self._diagonals[level])
            matrix.setDiagonal(self._sums[level])
        self._ksp.setOperators(self._shifted[0])
        with told():
            self._ksp.setUp()

    def solve(self, rhs: Array, rtol: float) -> tuple[Array, int]:
        np.divide(rhs, self._shift, out=self._left.array_w)
        if self._chosen:
            return solved(self._ksp, self._left, self._right, rtol)
        return self._conjugate_gradients(rtol)

    def _conjugate_gradients(self, rtol: float) -> tuple[Array, int]:
        """As PETSc's CG, except that the V-cycle of the last stopping test is added to the solution
        as a correction, and not discarded.
        """
        A, cycle, r, x = self._shifted[0], self._ksp.getPC(), self._left, self._right
        z, p, q = self._work
        cycle.apply(r, z)
        square = first = r.dot(z)
        z.copy(p)
        x.set(0.0)
        if first == 0:
            return np.zeros_like(r.array_r), 0
        for its in range(1, 501):
            A.mult(p, q)
            step = square / p.dot(q)
            x.axpy(step, p)
            r.axpy(-step, q)
            cycle.apply(r, z)
            square, last = r.dot(z), square
            if not square > (self._gain * rtol) ** 2 * first:
                x.axpy(1.0, z)
                return np.array(x.array_r), its
            p.aypx(square / last, z)
        raise StageFailure("conjugate gradients did not converge in 500 iterations")


def _gauss_seidel(smoother: PETSc.KSP, matrix: PETSc.Mat, sweep: str, level: int) -> None:
    """One sweep as the smoother; forward before and backward after make the V-cycle symmetric."""
    prefix = f"{PREFIX}{sweep}_{level}_"
    options = PETSc.Options()
    if not options.hasName(f"{prefix}pc_type"):
        options[f"{prefix}pc_sor_local_{sweep}"] = None
    smoother.setOptionsPrefix(prefix)
    smoother.setOperators(matrix)
    smoother.setType(PETSc.KSP.Type.RICHARDSON)
    smoother.setTolerances(max_it=1)
    smoother.setNormType(PETSc.KSP.NormType.NONE)
    smoother.getPC().setType(PETSc.PC.Type.SOR)
    configure(smoother)
    options.delValue(f"{prefix}pc_sor_local_{sweep}")
