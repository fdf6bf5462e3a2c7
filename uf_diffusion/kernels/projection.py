"""Variable projection: the optimal outer weights of given features, exactly.

The reduced risk of features omega_i with masses m_i is the minimum over u of
|r|^2 / (2 lambda) + sum_i m_i f(u_i), with the residual r = t - sum_i m_i u_i Psi(omega_i). At the
optimum u = f*'(w), w = Psi.r / lambda. Newton's matrix, with v = m u for unknowns, is
K + diag(lambda f''(u) / m); to solve with it is the neurons' affair, who do it on the cheaper of
two sides, M neurons or R coordinates of Psi. For quadratic f one step is exact and a second removes
what round-off left. For the entropy and powers p < 2 the step is taken in f'(u), which is nearly
what w says where u is small; so u stays in the domain of f. The objective falls in every step.
Source: arXiv:2504.18208, section 2.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from uf_diffusion.core.arrays import Array
from uf_diffusion.core.errors import InputError, RunFailure
from uf_diffusion.kernels.feature_maps import Neurons, Solver
from uf_diffusion.problem.divergences import Divergence, Unbiased

__all__ = ["OuterLayer", "measure", "project"]

EXACT = 1e-11  # of u = f*'(w), relative to the largest |u|
CONVERGED = 1e-6  # where Newton may stop when round-off keeps it from EXACT
ITERATIONS = 100
LOWEST = 0.02  # outer weight from which Newton's method starts


@dataclass(frozen=True)
class OuterLayer:
    """Outer weights of given features, and what training needs to know of them.

    Attributes:
        outer_weight: u, this rank's ``(M,)``.
        velocity: u grad w at the neurons, ``(M, ambient)``; for optimal u minus the gradient of
            the reduced risk, per mass.
        potential: w, ``(M,)``.
        risk: |r|^2 / (2 lambda) + sum m f(u), over all ranks.
        residual: largest violation of u = f*'(w), relative to max |u|, over all ranks.
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
    """What training needs to know of outer weights u, optimal or not.

    Args:
        neurons: the feature map at this rank's features.
        mass: m, ``(M,)``.
        divergence: f.
        regularisation: lambda.
        u: outer weights, ``(M,)``.
        known: mass times u, and the potential, where they are known.
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
        residual=_relative(neurons, u - divergence.dconjugate(w), u),
    )


def project(
    neurons: Neurons,
    mass: Array,
    divergence: Divergence,
    regularisation: float,
    start: Array | None = None,
) -> OuterLayer:
    """The optimal outer layer.

    Args:
        neurons: the feature map at this rank's features.
        mass: their masses, ``(M,)``, summing to 1 over all ranks.
        divergence: f.
        regularisation: lambda > 0.
        start: outer weights near the optimum, where Newton's method begins; in the domain of f.

    Raises:
        InputError: for lambda <= 0.
        RunFailure: when lambda is lost in round-off, or Newton's method does not converge.
    """
    if not regularisation > 0:
        raise InputError(f"network.lambda must be positive, not {regularisation}.")
    problem = _Problem(neurons, mass, divergence, regularisation)
    if start is not None:
        u = start
    elif problem.quadratic:
        u = divergence.dconjugate(np.zeros_like(mass))
    else:  # the unbiased weights are bounded as lambda -> 0, and near
        u = project(neurons, mass, Unbiased(), regularisation).outer_weight
        u = np.maximum(u, LOWEST) if divergence.power < 2 else u
    u, v, w = _newton(problem, u)
    return measure(neurons, mass, divergence, regularisation, u, (v, w))


class _Problem:
    """The minimisation of lambda times the risk over u."""

    def __init__(
        self, neurons: Neurons, mass: Array, divergence: Divergence, regularisation: float
    ) -> None:
        self.neurons, self.mass, self.divergence = neurons, mass, divergence
        self.regularisation = regularisation
        self.quadratic = bool(np.all(divergence.d2conjugate(np.array([0.25, 0.5, 2.0])) == 1.0))
        # where f* is not smooth, a small u is less exact than its potential
        self.exact = EXACT if self.quadratic else EXACT / 10
        self._solver: Solver | None = None

    def potential(self, u: Array) -> tuple[Array, Array]:
        """The coefficients v and the potential w, ``(M,)``."""
        return _potential(self.neurons, self.mass, self.regularisation, u)

    def violation(self, u: Array, w: Array) -> float:
        """How far u and w are from the optimum, relative, where f' or its inverse is smooth."""
        if self.divergence.power > 2:
            return _relative(self.neurons, self.divergence.df(u) - w, u)
        return _relative(self.neurons, u - self.divergence.dconjugate(w), u)

    def newton(self, u: Array, w: Array) -> Callable[[float], Array]:
        """The path from u along Newton's direction: straight in u, or in f'(u) where p < 2."""
        f, z = self.divergence, self.divergence.df(u)
        # curvatures beyond these bounds would be lost in the matrix
        with np.errstate(divide="ignore"):
            curvature = np.clip(f.d2conjugate(z), 1e-100, 1e8)
        if self._solver is None or not self.quadratic:
            self._solver = self.neurons.solver(self.regularisation / (self.mass * curvature))
        # what is left of the equation u = f*'(w), for quadratic f, is the residual over lambda
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
        """Lambda times the risk, less a constant."""
        half = (self._target + self.regularisation * w) / 2  # Psi.t - K v / 2
        terms = self.mass * (self.regularisation * self.divergence.f(u) - u * half)
        return float(self.neurons.share.sum(np.array(terms.sum())))


def _newton(problem: _Problem, u: Array) -> tuple[Array, Array, Array]:
    """The optimal outer weights, and `_Problem.potential` of them."""
    (v, w), last = problem.potential(u), np.inf
    for _ in range(ITERATIONS):
        with np.errstate(over="ignore"):
            violation = problem.violation(u, w)
        if violation <= problem.exact or last / 2 < violation <= CONVERGED:
            return u, v, w
        last = violation
        u, v, w = _descended(problem, u, w, problem.newton(u, w))
    raise RunFailure(f"The projection did not converge in {ITERATIONS} steps of Newton's method.")


def _descended(
    problem: _Problem, u: Array, w: Array, path: Callable[[float], Array]
) -> tuple[Array, Array, Array]:
    """The whole Newton step, or the first half of a half of it that lowers the objective."""
    if problem.quadratic:
        u = path(1.0)
        return u, *problem.potential(u)
    old = problem.objective(u, w)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # steps too long
        for halvings in range(60):
            nearer = path(0.5**halvings)
            v, potential = problem.potential(nearer)
            if problem.objective(nearer, potential) <= old + 1e-14 * (1 + abs(old)):
                return nearer, v, potential
    raise RunFailure("The projection found no step that lowers its objective.")


def _potential(
    neurons: Neurons, mass: Array, regularisation: float, u: Array
) -> tuple[Array, Array]:
    v = mass * u
    return v, neurons.potential(v) / regularisation


def _relative(neurons: Neurons, gap: Array, scale: Array) -> float:
    largest = neurons.share.max(np.abs(scale).max())
    return neurons.share.max(np.abs(gap).max()) / max(largest, 1e-300)
