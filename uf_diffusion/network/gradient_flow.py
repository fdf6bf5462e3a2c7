"""The gradient flow d omega / dt = u grad w with error control, stable as lambda -> 0.

Near equilibrium a perturbation of wave number k decays at the rate
k^2 kappa_k / (kappa_k + lambda), where kappa_k is the kernel's eigenvalue. Up to the wave number
with kappa_k = lambda the flow acts as a diffusion; beyond it the rate decreases. So the Jacobian
has a real spectrum whose radius grows like lambda^(-1/2) for kernels with kappa_k ~ k^-4; far from
equilibrium it also grows with the square of the outer weights. The problem is moderately stiff, and
the projections dominate the cost. Stabilised Runge-Kutta-Chebyshev methods suit such problems: they
are explicit, need no Jacobian and work with every feature map. With s projections a step may be as
long as 0.65 s^2 / radius, so the work grows only like lambda^(-1/4).

The method is RKC of order 2 (Sommeijer, Shampine, Verwer, J. Comput. Appl. Math. 88, 1998), applied
in the ambient space of the manifold, with all points retracted to the manifold.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from uf_diffusion.core.arrays import Array
from uf_diffusion.core.errors import InputError, RunFailure
from uf_diffusion.kernels.projection import OuterLayer
from uf_diffusion.network.training import Algorithm, NetworkState, TrainingFailure

__all__ = ["GradientFlow", "chebyshev"]

DAMPING = 2 / 13
STAGES = 200  # the largest number of stages in a step
DIFFERENCE = 1e-7  # length of the displacements in the finite differences for the spectral radius
AGE = 25  # number of steps after which the spectral radius is estimated again


@dataclass(frozen=True)
class Chebyshev:
    """The coefficients of the method with s stages, see `chebyshev`; arrays of length s + 1."""

    mu: Array
    nu: Array
    rate: Array
    first: Array


def chebyshev(stages: int) -> Chebyshev:
    """The coefficients of  D_j = mu_j D_(j-1) + nu_j D_(j-2) + h (rate_j F_(j-1) + first_j F_0).

    D_j is the displacement of stage j from the start of the step and F_j the velocity there;
    D_0 = 0 and D_1 = h rate_1 F_0.

    Args:
        stages: number of stages s, at least 2.
    """
    w0 = 1 + DAMPING / stages**2
    T, dT, ddT = np.zeros((3, stages + 1))
    T[:2], dT[1] = (1, w0), 1
    for j in range(2, stages + 1):
        T[j] = 2 * w0 * T[j - 1] - T[j - 2]
        dT[j] = 2 * T[j - 1] + 2 * w0 * dT[j - 1] - dT[j - 2]
        ddT[j] = 4 * dT[j - 1] + 2 * w0 * ddT[j - 1] - ddT[j - 2]
    w1 = dT[-1] / ddT[-1]
    b = np.empty(stages + 1)
    b[2:] = ddT[2:] / dT[2:] ** 2
    b[0], b[1] = b[2], 1 / w0
    mu, nu, rate, first = np.zeros((4, stages + 1))
    rate[1] = b[1] * w1
    mu[2:] = 2 * w0 * b[2:] / b[1:-1]
    nu[2:] = -b[2:] / b[:-2]
    rate[2:] = 2 * w1 * b[2:] / b[1:-1]
    first[2:] = -(1 - b[1:-1] * T[1:-1]) * rate[2:]
    return Chebyshev(mu, nu, rate, first)


@dataclass(frozen=True)
class GradientFlow(Algorithm):
    """The gradient flow of the reduced risk.

    Attributes:
        tolerance: largest error of a step, as a root mean square over the mass, in units of
            1 / sqrt(spectral gap) of the manifold; between 0 and 1.

    Raises:
        InputError: for a tolerance out of this range.
    """

    tolerance: float = 1e-5

    def __post_init__(self) -> None:
        if not 0 < self.tolerance < 1:
            raise InputError(f"network.rtol must lie between 0 and 1, not {self.tolerance}.")

    def start(self, feature: Array) -> NetworkState:
        outer = self.network.project(feature)
        radius, direction, count = self._radius(feature, outer, outer.velocity)
        # in a step h the velocity changes by at most about h * radius times its norm
        step = math.sqrt(self.tolerance / (radius * self._norm(outer.velocity) + 1e-300))
        pace = _Pace(min(step, 1 / radius), 0.0, 0.0, radius, 0)
        return NetworkState(0.0, 0, feature, outer, 1 + count, pace.numbers, direction)

    def step(self, state: NetworkState, until: float) -> NetworkState:
        pace, direction = _Pace.of(state.pace), state.carried
        count, left = state.projections, until - state.t
        for attempt in range(30):
            if pace.age >= AGE or attempt > 2:  # the radius may have grown
                radius, direction, more = self._radius(state.feature, state.outer, direction)
                pace, count = replace(pace, radius=radius, age=0), count + more
            h = min(pace.next_step, 0.65 * (STAGES**2 - 1) / pace.radius)
            h = left if h >= left else min(h, left / 2) if 2 * h > left else h
            stages = max(2, 1 + math.isqrt(math.ceil(1 + 1.54 * h * pace.radius)))
            try:
                feature, outer, error = self._attempt(state, h, stages)
            except RunFailure:  # the features of a stage have no computable optimal weights
                error = math.inf
            count += stages
            if error <= 1:
                break
            pace = replace(pace, next_step=h * max(0.1, 0.8 * error ** (-1 / 2)))
        else:
            raise TrainingFailure(
                f"No step of the gradient flow was small enough at t = {state.t:.6g}; "
                "use a larger network.lambda or network.rtol."
            )
        t = until if h == left else state.t + h
        numbers = pace.after(h, max(error, 1e-10)).numbers
        return NetworkState(t, state.step + 1, feature, outer, count, numbers, direction)

    def _attempt(
        self, state: NetworkState, h: float, stages: int
    ) -> tuple[Array, OuterLayer, float]:
        """Features and outer layer after a step, and its error as a multiple of the tolerance."""
        net, start = self.network, state.outer
        c = chebyshev(stages)
        older, newer = np.zeros_like(state.feature), h * c.rate[1] * start.velocity
        outer = start
        for j in range(2, stages + 1):
            outer = net.project(net.manifold.retract(state.feature, newer), outer.outer_weight)
            F = c.rate[j] * outer.velocity + c.first[j] * start.velocity
            older, newer = newer, c.mu[j] * newer + c.nu[j] * older + h * F
            if net.share.max(float(not np.isfinite(newer).all())):
                return state.feature, start, math.inf
        feature = net.manifold.retract(state.feature, newer)
        outer = net.project(feature, outer.outer_weight)
        estimate = 0.4 * h * (start.velocity + outer.velocity) - 0.8 * newer
        return feature, outer, self._norm(estimate) / self.tolerance

    def _norm(self, vectors: Array) -> float:
        """Root mean square over the mass, in units of the manifold's length."""
        squared = self.network.mass @ np.einsum("ij,ij->i", vectors, vectors)
        total = float(self.network.share.sum(np.array(squared)))
        return math.sqrt(total * self.network.manifold.spectral_gap)

    def _radius(
        self, feature: Array, outer: OuterLayer, direction: Array
    ) -> tuple[float, Array, int]:
        """An upper bound of the Jacobian's spectral radius, by the power method with differences.

        Also returns the last vector, from which the next estimate starts, and the number of
        projections that were computed.
        """
        net, radius = self.network, 0.0
        for count in range(1, 11):
            size = self._norm(direction)
            if size == 0:
                return 1.0, direction, count
            nudge = DIFFERENCE / size * direction
            there = net.project(net.manifold.retract(feature, nudge), outer.outer_weight)
            direction = net.manifold.tangent(feature, there.velocity - outer.velocity)
            last, radius = radius, self._norm(direction) / DIFFERENCE
            if abs(radius - last) <= 0.1 * radius:
                break
        return 1.2 * radius, direction / max(self._norm(direction), 1e-300), count


@dataclass(frozen=True)
class _Pace:
    """The state of the step control."""

    next_step: float
    last_step: float
    error: float
    radius: float
    age: int

    @classmethod
    def of(cls, numbers: Array) -> _Pace:
        next_step, last_step, error, radius, age = numbers
        return cls(float(next_step), float(last_step), float(error), float(radius), int(age))

    @property
    def numbers(self) -> Array:
        return np.array([self.next_step, self.last_step, self.error, self.radius, self.age])

    def after(self, h: float, error: float) -> _Pace:
        """The state after an accepted step h; takes the previous error into account (Gustafsson,
        ACM TOMS 20, 1994).
        """
        factor = 0.7 * error ** (-1 / 3)
        if self.last_step > 0 and self.error > 0:
            factor *= min(1.0, h / self.last_step * (self.error / error) ** (1 / 3))
        proposed = h * min(5.0, max(0.2, factor))
        if h < self.next_step and proposed > h:  # the step was shortened to end at a given time
            proposed = max(proposed, self.next_step)
        return _Pace(proposed, h, error, self.radius, self.age + 1)
