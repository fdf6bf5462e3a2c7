"""One implicit stage: a strictly convex problem, solved by Newton's method with a guarantee.

Given b with sum c_i b_i > 0 and s > 0, the stage finds

    w = argmin  Phi(w) = sum_i c_i [ b_i w_i - G(w_i) ] + (s / 2) w.K w,       G' = 1 / f*',

whose stationarity is c (1/f*'(w) - b) = s K w. The ratio h = 1/f*'(w) is positive by construction:
-G is a barrier, not a penalty; nothing is clipped or regularised.

**Damping.** Let u = f*'(w), f'(t) = t^(p-1) up to an affine map, q = 1/(p-1), and rho the largest
relative change |u' dw / u| that a Newton direction dw asks for. Along w + t dw the curvature of
every barrier term, and hence Phi'' =: phi'', obeys

    phi''(t) <= phi''(0) (1 - t rho/q)^(-(q+1)),         with phi'(0) = -phi''(0) for a Newton step.

Integrated once: phi' <= 0 up to  t* = (q/rho) (1 - (1 + rho)^(-1/q)), which is 1/(1+rho) for p = 2
and log(1+rho)/rho for the entropy. So the step t* never leaves the domain and always decreases Phi;
p = 2 is the damped Newton of self-concordant barriers (Nesterov and Nemirovskii), with the local
norm taken node by node, free of the small weights c_i. Near the solution rho falls quadratically
and full steps are taken.
"""

from __future__ import annotations

from mpi4py import MPI

from dataclasses import dataclass

import numpy as np
from petsc4py import PETSc

from uf_diffusion.problem.divergences import Divergence
from uf_diffusion.problem.manifolds import Array

__all__ = ["ShiftedLaplacian", "Stage", "StageFailure", "StageReport", "guaranteed_step"]


class StageFailure(RuntimeError):
    """Newton's method or the linear solver did not reach its tolerance."""


@dataclass(frozen=True)
class StageReport:
    """Work of one stage."""

    newton_iterations: int
    linear_iterations: int


def guaranteed_step(rho: float, power: float) -> float:
    """The step t* of the module docstring, or 1 once Newton converges quadratically.

    Args:
        rho: largest relative change of the outer weight along the full Newton step.
        power: the divergence's p; 1 for the entropy.
    """
    if rho <= 0.25 * min(1.0, 1 / max(power - 1, 1e-300)):
        return 1.0  # the region of quadratic convergence
    if power == 1.0:
        return float(np.log1p(rho) / rho)
    return float(-np.expm1(-(power - 1) * np.log1p(rho)) / ((power - 1) * rho))


class ShiftedLaplacian:
    """Solves with diag(d) + s K by PETSc, for many d and s and one K.

    Options have the prefix ``uf_``; the default is a sparse Cholesky factorisation in one and two
    dimensions and conjugate gradients with algebraic multigrid in three.

    Args:
        K: the stiffness matrix, K 1 = 0.
        dim: dimension of the manifold, which chooses the default solver.
    """

    def __init__(self, K: PETSc.Mat, dim: int) -> None:
        self.K = K
        self._shifted = K.duplicate(copy=True)
        self._shifted.setOption(PETSc.Mat.Option.SPD, True)
        self._right, self._left = K.createVecs()
        starts, columns, self._entries = K.getValuesCSR()
        first, last = K.getOwnershipRange()
        owned = (first <= columns) & (columns < last)
        ghosts = np.unique(columns[~owned])
        self._neighbour = np.where(
            owned, columns - first, last - first + np.searchsorted(ghosts, columns)
        )
        self._row = np.repeat(np.arange(last - first), np.diff(starts))
        self._ghosted = PETSc.Vec().createGhost(ghosts, size=K.getSizes()[0], comm=K.comm)
        self._ksp = PETSc.KSP().create(K.comm)
        self._ksp.setOptionsPrefix("uf_")
        self._ksp.setOperators(self._shifted)
        pc = self._ksp.getPC()
        if dim <= 2:
            self._ksp.setType(PETSc.KSP.Type.PREONLY)
            pc.setType(PETSc.PC.Type.CHOLESKY)
            serial_line = dim == 1 and K.comm.size == 1
            pc.setFactorSolverType("petsc" if serial_line else "mumps")
        else:
            self._ksp.setType(PETSc.KSP.Type.CG)
            self._ksp.setTolerances(rtol=1e-12, atol=1e-50, max_it=500)
            pc.setType(PETSc.PC.Type.GAMG)
        self._ksp.setFromOptions()

    def apply(self, w: Array) -> Array:
        """K w for the owned values of w, as the sum of K_ij (w_j - w_i) over the neighbours j.

        The differences are exact near equilibrium and where w is small, and the fluxes cancel in
        pairs, so the mass does not feel the round-off of a plain matrix-vector product.
        """
        self._ghosted.array_w[:] = w
        self._ghosted.ghostUpdate(PETSc.InsertMode.INSERT, PETSc.ScatterMode.FORWARD)
        with self._ghosted.localForm() as local:
            values = local.array_r
            flux = self._entries * (values[self._neighbour] - values[self._row])
        return np.bincount(self._row, weights=flux, minlength=len(w))

    def set(self, diagonal: Array, shift: float) -> None:
        """Choose d and s for the next solves."""
        self.K.copy(self._shifted, structure=PETSc.Mat.Structure.SAME_NONZERO_PATTERN)
        self._shifted.scale(shift)
        self._left.array_w[:] = diagonal
        self._shifted.setDiagonal(self._left, addv=PETSc.InsertMode.ADD_VALUES)
        self._ksp.setOperators(self._shifted)

    def solve(self, rhs: Array) -> tuple[Array, int]:
        """The owned values of the solution, and the number of linear iterations.

        Raises:
            StageFailure: with PETSc's reason, on all ranks.
        """
        self._left.array_w[:] = rhs
        self._ksp.solve(self._left, self._right)
        if self._ksp.reason < 0:
            raise StageFailure(f"the linear solver stopped with PETSc's reason {self._ksp.reason}")
        return np.array(self._right.array_r), self._ksp.its


class Stage:
    """The convex problem of the module docstring, for one K, one c and one divergence.

    Args:
        laplacian: solves with diag(d) + s K.
        weight: c, the teacher's mass at each owned node, positive.
        divergence: gives f*' and f*''.
        comm: the ranks that share K.
        tolerance: Newton stops once a full step changes no outer weight by more than this fraction;
            the error is then of the order of its square.
    """

    def __init__(
        self,
        laplacian: ShiftedLaplacian,
        weight: Array,
        divergence: Divergence,
        comm: MPI.Comm,
        tolerance: float = 1e-8,
        max_iterations: int = 100,
    ) -> None:
        self.laplacian, self.weight, self.divergence = laplacian, weight, divergence
        self._comm, self._tolerance, self._max_iterations = comm, tolerance, max_iterations

    def relative_slope(self, w: Array) -> Array:
        """D log u / dw = f*''(w) / f*'(w)."""
        return self.divergence.d2conjugate(w) / self.divergence.dconjugate(w)

    def solve(self, b: Array, s: float, start: Array) -> tuple[Array, StageReport]:
        """The minimiser w, from any ``start`` in the domain (f*'(start) > 0).

        Raises:
            StageFailure: when the iteration does not converge, on all ranks.
        """
        w, linear = start.copy(), 0
        with np.errstate(all="ignore"):  # overflow ends in a rho that is not finite, on all ranks
            for newton in range(1, self._max_iterations + 1):
                direction, slope, its = self._direction(w, b, s)
                linear += its
                largest = float(np.abs(slope * direction).max(initial=0.0))
                rho = self._comm.allreduce(largest, MPI.MAX)
                if not np.isfinite(rho):
                    raise StageFailure("Newton's direction is not finite")
                w += guaranteed_step(rho, self.divergence.power) * direction
                if rho <= self._tolerance:
                    return w, StageReport(newton, linear)
        raise StageFailure(f"Newton's method did not converge in {self._max_iterations} iterations")

    def _direction(self, w: Array, b: Array, s: float) -> tuple[Array, Array, int]:
        """Newton's direction, d log u / dw there, and the linear iterations that it took."""
        ratio, slope = 1 / self.divergence.dconjugate(w), self.relative_slope(w)
        self.laplacian.set(self.weight * ratio * slope, s)
        residual = self.weight * (ratio - b) - s * self.laplacian.apply(w)
        direction, its = self.laplacian.solve(residual)
        return direction, slope, its

    def relative_error(self, error: Array, w: Array) -> Array:
        """The relative change of u = f*'(w) that an error of b brings about.

        Solves with the matrix of the last Newton step, which damps the stiff components: they must
        not steer the step size (Hosea and Shampine, Appl. Numer. Math. 20, 1996).
        """
        change, _ = self.laplacian.solve(self.weight * error)
        return self.relative_slope(w) * change
