"""Variable projection: the optimal outer weights of given features, up to round-off.

The reduced risk of features omega_i with masses m_i is the minimum over u of
|r|^2 / (2 lambda) + sum_i m_i f(u_i), with the residual r = t - sum_i m_i u_i Psi(omega_i). At the
optimum u = f*'(w) with w = Psi.r / lambda. Newton's matrix for the unknowns v = m u is
K + diag(lambda f''(u) / m). The class of the neurons solves with it, either in the M neurons or in
the R coordinates of Psi, whichever is cheaper. For quadratic f one step is exact, and a second one
removes the round-off. For the entropy and powers p < 2 the step is taken in the variable f'(u),
which is close to w where u is small; so u stays in the domain of f. The objective decreases in
every step. Source: arXiv:2504.18208, section 2.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from uf_diffusion.core.arrays import Array
from uf_diffusion.core.errors import InputError, RunFailure
from uf_diffusion.kernels.feature_maps import Neurons, Projectable, Solver
from uf_diffusion.problem.divergences import Divergence, Unbiased, quadratic

__all__ = ["OuterLayer", "measure", "optimum", "project"]

EXACT = 1e-11  # tolerance of u = f*'(w), relative to the largest |u|
CONVERGED = 1e-6  # tolerance that suffices when round-off prevents EXACT
ITERATIONS = 100
LOWEST = 0.02  # smallest outer weight of Newton's first guess, for p < 2


@dataclass(frozen=True)
class OuterLayer:
    """Outer weights of given features, with the quantities that training needs.

    All are dimensionless; M is the number of this rank's neurons.

    Attributes:
        outer_weight: u, ``(M,)``.
        velocity: u grad w at the neurons, ``(M, ambient)``; for optimal u this is minus the
            gradient of the reduced risk, divided by the masses.
        potential: w, ``(M,)``.
        risk: |r|^2 / (2 lambda) + sum m f(u), with the neurons of all ranks.
        residual: the largest |u - f*'(w)|, or |f'(u) - w| where that is the smooth one (p > 2),
            relative to the largest |u|, over all ranks.
    """

    outer_weight: Array
    velocity: Array
    potential: Array
    risk: float
    residual: float


def measure(
    neurons: Neurons,
    mass: Array,
    divergence: Divergence,
    regularisation: float,
    u: Array,
    known: tuple[Array, Array] | None = None,
) -> OuterLayer:
    """The outer layer with given weights u, which need not be optimal.

    Args:
        neurons: the feature map at this rank's features.
        mass: the masses m of these neurons, ``(M,)``.
        divergence: f.
        regularisation: lambda.
        u: outer weights, ``(M,)``.
        known: m u and the potential w, ``(M,)`` each, if they are known already.
    """
    if known is None:
        known = _potential(neurons, mass, regularisation, u)
    v, w = known
    penalty = neurons.share.sum(np.array(mass @ divergence.f(u)))
    return OuterLayer(
        outer_weight=u,
        velocity=u[:, None] * neurons.potential_gradient(v) / regularisation,
        potential=w,
        risk=neurons.misfit(v) / (2 * regularisation) + float(penalty),
        residual=_violation(neurons, divergence, u, w),
    )


def project(
    neurons: Neurons,
    mass: Array,
    divergence: Divergence,
    regularisation: float,
    start: Array | None = None,
) -> OuterLayer:
    """The optimal outer layer of given features.

    Args:
        neurons: the feature map at this rank's features.
        mass: the masses m of these neurons, ``(M,)``, summing to 1 over all ranks.
        divergence: f.
        regularisation: lambda > 0.
        start: Newton's first guess of the outer weights, ``(M,)``, in the domain of f.

    Raises:
        InputError: for lambda <= 0.
        RunFailure: when lambda is lost in round-off, or Newton's method does not converge.
    """
    u, known = optimum(neurons, mass, divergence, regularisation, start)
    return measure(neurons, mass, divergence, regularisation, u, known)


def optimum(
    neurons: Projectable,
    mass: Array,
    divergence: Divergence,
    regularisation: float,
    start: Array | None = None,
) -> tuple[Array, tuple[Array, Array]]:
    """The optimal outer weights u, and m u with the potential w, ``(M,)`` each.

    The arguments and errors are those of `project`.
    """
    if not regularisation > 0:
        raise InputError(f"network.lambda must be positive, not {regularisation}.")
    problem = _Problem(neurons, mass, divergence, regularisation)
    if start is not None:
        u = start
    elif problem.quadratic:
        u = divergence.dconjugate(np.zeros_like(mass))
    else:  # the optimum for the unbiased f is close, and bounded as lambda -> 0
        u, _ = optimum(neurons, mass, Unbiased(), regularisation)
        u = np.maximum(u, LOWEST) if divergence.power < 2 else u
    try:
        u, v, w = _newton(problem, u)
    except RunFailure:
        if start is not None or problem.quadratic or regularisation > 1:
            raise
        # far from the optimum Newton's steps are short; that of a larger lambda is close to it
        nearer, _ = optimum(neurons, mass, divergence, 10 * regularisation)
        u, v, w = _newton(problem, nearer)
    return u, (v, w)


class _Problem:
    """The minimisation over u of lambda times the risk."""

    def __init__(
        self, neurons: Projectable, mass: Array, divergence: Divergence, regularisation: float
    ) -> None:
        self.neurons, self.mass, self.divergence = neurons, mass, divergence
        self.regularisation = regularisation
        self.quadratic = quadratic(divergence)
        # for other f a small u = f*'(w) may be less accurate than w, so the tolerance is smaller
        self.exact = EXACT if self.quadratic else EXACT / 10
        self._solver: Solver | None = None

    def potential(self, u: Array) -> tuple[Array, Array]:
        """The coefficients v and the potential w, ``(M,)``."""
        return _potential(self.neurons, self.mass, self.regularisation, u)

    def newton(self, u: Array, w: Array) -> Callable[[float], Array]:
        """Maps a step length to u after Newton's step: a line in u, or in f'(u) if p < 2."""
        f, z = self.divergence, self.divergence.df(u)
        # larger or smaller curvatures would be lost in the matrix's round-off
        with np.errstate(divide="ignore"):
            curvature = np.clip(f.d2conjugate(z), 1e-100, 1e8)
        if self._solver is None or not self.quadratic:
            self._solver = self.neurons.solver(self.regularisation / (self.mass * curvature))
        # for quadratic f, u - f*'(w) is the residual of the linear system divided by lambda
        size = self.neurons.share.max(np.abs(u).max()) if self.quadratic else 1.0
        goal = self.exact / 4 * self.regularisation * size
        change = self._solver(self.regularisation * (w - z), goal) / self.mass
        if f.power >= 2:
            return lambda s: u + s * change
        return lambda s: f.dconjugate(z + s * change / curvature)

    @cached_property
    def _target(self) -> Array:
        return self.neurons.potential(np.zeros_like(self.mass))

    def objective(self, u: Array, w: Array) -> float:
        """Lambda times the risk, up to a constant."""
        half = (self._target + self.regularisation * w) / 2  # Psi.t - K v / 2
        terms = self.mass * (self.regularisation * self.divergence.f(u) - u * half)
        return float(self.neurons.share.sum(np.array(terms.sum())))


def _newton(problem: _Problem, u: Array) -> tuple[Array, Array, Array]:
    """The optimal outer weights u, with m u and the potential w."""
    (v, w), last = problem.potential(u), np.inf
    for _ in range(ITERATIONS):
        with np.errstate(over="ignore"):
            violation = _violation(problem.neurons, problem.divergence, u, w)
        if violation <= problem.exact or last / 2 < violation <= CONVERGED:
            return u, v, w
        last = violation
        u, v, w = _descended(problem, u, w, problem.newton(u, w))
    raise RunFailure(f"The projection did not converge in {ITERATIONS} steps of Newton's method.")


def _descended(
    problem: _Problem, u: Array, w: Array, path: Callable[[float], Array]
) -> tuple[Array, Array, Array]:
    """Newton's step, halved until the objective decreases; for quadratic f the full step."""
    if problem.quadratic:
        u = path(1.0)
        return u, *problem.potential(u)
    old = problem.objective(u, w)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # long steps may overflow
        for halvings in range(60):
            nearer = path(0.5**halvings)
            v, potential = problem.potential(nearer)
            if problem.objective(nearer, potential) <= old + 1e-14 * (1 + abs(old)):
                return nearer, v, potential
    raise RunFailure("The projection found no step that lowers its objective.")


def _potential(
    neurons: Projectable, mass: Array, regularisation: float, u: Array
) -> tuple[Array, Array]:
    v = mass * u
    return v, neurons.potential(v) / regularisation


def _violation(neurons: Projectable, divergence: Divergence, u: Array, w: Array) -> float:
    """The relative violation of the optimality condition: of w = f'(u) or of u = f*'(w), whichever
    function is smooth; f*' has an infinite slope at u = 0 for p > 2.
    """
    gap = divergence.df(u) - w if divergence.power > 2 else u - divergence.dconjugate(w)
    largest = neurons.share.max(np.abs(u).max())
    return neurons.share.max(np.abs(gap).max()) / max(largest, 1e-300)
