"""An implicit stage: a strictly convex problem, solved by Newton's method with guaranteed descent.

Given b with sum c_i b_i > 0 and s > 0, the stage finds

    w = argmin  Phi(w) = sum_i c_i [ b_i w_i - G(w_i) ] + (s / 2) w.K w,       G' = 1 / f*',

whose optimality condition is c (1/f*'(w) - b) = s K w. The ratio h = 1/f*'(w) is positive, because
u = f*'(w) is: -G is a barrier at u = 0 (for p > 2 it has an infinite slope there). So nothing needs
to be clipped or regularised.

**Damping.** Let u = f*'(w), f'(t) = t^(p-1) up to an affine map, q = 1/(p-1), and let rho be the
largest relative change |u' dw / u| for a Newton direction dw. Write phi(t) = Phi(w + t dw). The
curvature of every barrier term, and hence phi'', obeys

    phi''(t) <= phi''(0) (1 - t rho/q)^(-(q+1)),         with phi'(0) = -phi''(0) for a Newton step.

Integration gives phi' <= 0 up to  t* = (q/rho) (1 - (1 + rho)^(-1/q)), which is 1/(1+rho) for p = 2
and log(1+rho)/rho for the entropy. So the step t* never leaves the domain and always decreases Phi.
For p = 2 this is the damped Newton method for self-concordant barriers (Nesterov and Nemirovskii),
but with a local norm taken node by node, which does not depend on the small weights c_i. Near the
solution rho decreases quadratically and full steps are taken.

**Longer steps.** Far from the solution t* is cautious. There u exp(u' dw / u) is tried first, node
by node. It is positive, and never too far if a node is alone: for p = 2 and K = 0 it moves u = r/b
to r exp(1 - r)/b, which is at most 1/b. It is taken if it does not increase Phi. Else, and after
`FAST` iterations, the step is t* dw, which converges from everywhere. This saves iterations where a
front passes.

**Accuracy.** After a full step with a linear solver of relative tolerance eta the error is about
rho (rho + eta). The iteration stops when this is below the tolerance, and eta is not smaller than
useful for the next step (Eisenstat and Walker, SIAM J. Sci. Comput. 17, 1996). At the end Phi is
minimised exactly along the constants, the null space of K. This shifts w by one number, after which
sum c_i h_i = sum c_i b_i holds to round-off for every tolerance.
"""

from __future__ import annotations

from mpi4py import MPI

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from uf_diffusion.core.arrays import Array
from uf_diffusion.core.compiled import compiled
from uf_diffusion.diffusion.fluxes import FluxForm
from uf_diffusion.diffusion.linear_solvers import LinearSolver, reduced
from uf_diffusion.diffusion.petsc import StageFailure
from uf_diffusion.problem.divergences import Divergence

__all__ = [
    "FAST",
    "LEAST",
    "LONGEST",
    "MOST_NEWTON",
    "NOT_POSITIVE",
    "NO_CONVERGENCE",
    "Stage",
    "StageReport",
    "guaranteed_step",
    "rise",
]

MOST_NEWTON = 100  # iterations
FAST = 10  # iterations in which longer steps are tried
LONGEST = 2.0  # change of log u in such a step, at most
LEAST = 1e-13  # tolerance that an iterative linear solver can reach
NOT_POSITIVE = "a density is not positive at a stage"
NO_CONVERGENCE = f"Newton's method did not converge in {MOST_NEWTON} iterations"


@dataclass(frozen=True)
class StageReport:
    """The work of a stage, and its error.

    Attributes:
        newton_iterations, linear_iterations: numbers of iterations.
        error: estimate of the largest relative error of u that Newton's method left.
    """

    newton_iterations: int
    linear_iterations: int
    error: float


@compiled
def guaranteed_step(rho: float, power: float) -> float:
    """The step length t* of the module, or 1 in the region of quadratic convergence.

    Args:
        rho: largest relative change of the outer weight in the full Newton step, >= 0.
        power: the divergence's p; 1 for the entropy.
    """
    if rho <= 0.25 * min(1.0, 1 / max(power - 1, 1e-300)):
        return 1.0  # Newton's method converges quadratically
    if power == 1.0:
        return float(np.log1p(rho) / rho)
    return float(-np.expm1(-(power - 1) * np.log1p(rho)) / ((power - 1) * rho))


class _Linearised(NamedTuple):
    """The diagonal d of Newton's matrix, the derivative of log u and the residual, ``(owned,)``."""

    diagonal: Array
    slope: Array
    residual: Array


class Stage:
    """The convex problem of the module, for given K, c and divergence.

    Args:
        stiffness: the map from w to K w.
        linear: the solver for diag(d) + s K.
        weight: c, the teacher's mass at each owned node, ``(owned,)``, positive.
        divergence: f, with f*' and f*''.
        comm: the ranks over which K is distributed.
    """

    def __init__(
        self,
        stiffness: FluxForm,
        linear: LinearSolver,
        weight: Array,
        divergence: Divergence,
        comm: MPI.Comm,
    ) -> None:
        self.stiffness, self.linear, self.weight = stiffness, linear, weight
        self.divergence, self._comm = divergence, comm

    def relative_slope(self, w: Array) -> Array:
        """The derivative of log u with respect to w, f*''(w) / f*'(w), ``(owned,)``."""
        return self.divergence.d2conjugate(w) / self.divergence.dconjugate(w)

    def solve(
        self, b: Array, s: float, start: Array, tolerance: float
    ) -> tuple[Array, Array, StageReport]:
        """Solve the stage.

        Args:
            b, s: the data of the module, ``(owned,)`` and a positive number.
            start: first guess of w, ``(owned,)``; any with f*'(start) > 0.
            tolerance: tolerance for the largest relative error of u.

        Returns:
            The minimiser w and the ratio h, ``(owned,)`` each, and a report.

        Raises:
            StageFailure: on all ranks, when the iteration does not converge.
        """
        w, linear = start.copy(), 0
        eta = min(1e-2, 0.5 * math.sqrt(tolerance))  # enough for one iteration from a good guess
        with np.errstate(all="ignore"):  # after an overflow rho is not finite, on all ranks
            here = self._at(w, b, s)
            for newton in range(1, MOST_NEWTON + 1):
                self.linear.set(here.diagonal, s)
                direction, its = self.linear.solve(here.residual, eta)
                linear += its
                if its:
                    tolerance = max(tolerance, LEAST)
                else:
                    eta = 0.0  # direct solvers are exact
                rho = self._reduced_largest(_largest(here.slope, direction))
                if not np.isfinite(rho):
                    raise StageFailure("Newton's direction is not finite")
                step = guaranteed_step(rho, self.divergence.power)
                if step < 1.0:
                    error, fast = rho, newton <= FAST
                    w, here = self._far_step(w, here, direction, step, fast, b, s)
                else:
                    error = rho * (rho + eta)
                    _advance(1.0, direction, w)
                    if error <= tolerance:
                        w, ratio = self.balanced(w, b)
                        return w, ratio, StageReport(newton, linear, error)
                    here = self._at(w, b, s)
                eta = min(0.1, max(error, 0.3 * tolerance / error, 1e-11))
        raise StageFailure(NO_CONVERGENCE)

    def _at(self, w: Array, b: Array, s: float) -> _Linearised:
        """Newton's method at a potential w."""
        u = self.divergence.dconjugate(w)
        slope = self.divergence.d2conjugate(w)
        product = self.stiffness(w)
        _linearise(b, self.weight, s, u, slope, product)
        return _Linearised(diagonal=u, slope=slope, residual=product)

    def _far_step(
        self, w: Array, here: _Linearised, direction: Array, step: float, fast: bool, b: Array,
        s: float,
    ) -> tuple[Array, _Linearised]:  # fmt: skip
        """The potential after a step far from the solution: a longer one if it is ``fast`` and does
        not go too far, else the guaranteed one.
        """
        if fast:
            growth = np.exp(np.clip(here.slope * direction, -LONGEST, LONGEST))
            further = self.divergence.df(self.divergence.dconjugate(w) * growth)
            there = self._at(further, b, s)
            change = rise(self.divergence.power, self.weight, b, w, *here, further, *there)
            if float(reduced(np.array([change]), self._comm)[0]) <= 0:
                return further, there
        _advance(step, direction, w)
        return w, self._at(w, b, s)

    def balanced(self, w: Array, b: Array) -> tuple[Array, Array]:
        """The potential w, shifted by a constant for which sum c_i h_i = sum c_i b_i, and h.

        Args:
            w: the potential, ``(owned,)``.
            b: a ratio with the mass that is wanted, ``(owned,)``.
        """
        for _ in range(3):
            ratio = 1 / self.divergence.dconjugate(w)
            mass, slope = self.weight * ratio, self.divergence.d2conjugate(w)
            slope *= ratio
            sums = np.array([self.weight @ b, mass.sum(), mass @ slope])
            wanted, found, rise = reduced(sums, self._comm)
            if abs(found - wanted) <= 4e-16 * wanted:
                break
            w = w + (found - wanted) / rise
        return w, ratio

    def relative_error(self, error: Array, w: Array) -> Array:
        """The relative change of u = f*'(w) that an error of b causes, ``(owned,)``.

        It is the solution with the matrix of the last Newton step. This damps the stiff components,
        which must not determine the step size (Hosea and Shampine, Appl. Numer. Math. 20, 1996).

        Args:
            error: the error of b, ``(owned,)``.
            w: the potential, ``(owned,)``.

        Raises:
            StageFailure: on all ranks, if the linear solver fails.
        """
        change, _ = self.linear.solve(self.weight * error, 0.1)
        return self.relative_slope(w) * change

    def largest(self, values: Array) -> float:
        """The largest absolute value over all ranks; infinite if one is NaN."""
        return self._reduced_largest(float(np.abs(values).max(initial=0.0)))

    def _reduced_largest(self, local: float) -> float:
        local = local if local < np.inf else np.inf
        return float(reduced(np.array([local]), self._comm, MPI.MAX)[0])


@compiled
def _linearise(b: Array, c: Array, s: float, u: Array, slope: Array, product: Array) -> None:
    """Replace, in place, K w by the residual c (h - b) - s K w for h = 1/u, f*''(w) by the
    derivative of log u, and u by the diagonal c h f*''(w) / u of Newton's matrix.
    """
    for i in range(len(u)):
        h = 1.0 / u[i]
        steep = slope[i] * h
        product[i] = (h - b[i]) * c[i] - s * product[i]
        slope[i] = steep
        u[i] = h * c[i] * steep


@compiled
def rise(
    power: float, c: Array, b: Array,
    w0: Array, d0: Array, slope0: Array, r0: Array, w1: Array, d1: Array, slope1: Array, r1: Array,
) -> float:  # fmt: skip
    """How much Phi increases between two potentials w, from their d, slope and residual r.

    As s K w = c (h - b) - r, Phi is the sum of c ((b + h) w / 2 - G(w)) - w r / 2.

    Args:
        power: the divergence's p; 1 for the entropy.
        c, b, w0, d0, slope0, r0, w1, d1, slope1, r1: ``(owned,)`` each.
    """
    total = 0.0
    for i in range(len(c)):
        h0, h1 = d0[i] / (c[i] * slope0[i]), d1[i] / (c[i] * slope1[i])
        if power == 2.0:
            gain = math.log(h0 / h1)
        elif power == 1.0:
            gain = h0 - h1
        else:
            gain = (h1 ** (2 - power) - h0 ** (2 - power)) / (power - 2)
        both = b[i] * (w1[i] - w0[i]) + (h1 * w1[i] - h0 * w0[i])
        total += c[i] * (0.5 * both - gain) - 0.5 * (w1[i] * r1[i] - w0[i] * r0[i])
    return total


@compiled
def _largest(x: Array, y: Array) -> float:
    """The largest |x y|, or NaN if a product is NaN."""
    largest = 0.0
    for i in range(len(x)):
        size = abs(x[i] * y[i])
        if size > largest:
            largest = size
        elif size != size:
            return math.nan
    return largest


@compiled
def _advance(step: float, direction: Array, w: Array) -> None:
    for i in range(len(w)):
        w[i] += step * direction[i]
