"""Training algorithms: they move the neurons on the manifold and yield states at times t.

The time t is that of the gradient flow. A `NetworkState` contains everything that the next state
depends on, so that a run continued from it has identical bits.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from uf_diffusion.core.arguments import LARGEST, weights
from uf_diffusion.core.arrays import Array
from uf_diffusion.core.errors import InputError, RunFailure
from uf_diffusion.core.mpi import Share
from uf_diffusion.core.reprs import one_line
from uf_diffusion.kernels.feature_maps import FeatureMap, Neurons
from uf_diffusion.kernels.projection import OuterLayer, measure, project
from uf_diffusion.problem.divergences import Divergence
from uf_diffusion.problem.manifolds import Manifold

__all__ = ["Algorithm", "FixedFeatures", "Network", "NetworkState", "TrainingFailure",
           "TwoTimescale", "VarProDescent"]  # fmt: skip


class TrainingFailure(RunFailure):
    """Training cannot continue, for instance as features are infinite; the message has the time."""


@dataclass(frozen=True)
class Network:
    """A network with its teacher and its risk: what all algorithms train.

    Attributes:
        manifold: the manifold of the features.
        feature_map: Psi, together with the teacher.
        divergence: the regulariser f of the outer weights.
        regularisation: lambda > 0.
        masses: positive masses of all M neurons, ``(M,)``, summing to 1.

    Raises:
        InputError: for lambda <= 0, or masses that are not positive or do not sum to 1.
    """

    manifold: Manifold
    feature_map: FeatureMap
    divergence: Divergence
    regularisation: float
    masses: Array

    def __post_init__(self) -> None:
        if not self.regularisation > 0:
            raise InputError(f"network.lambda must be positive, not {self.regularisation}.")
        weights(self.masses, np.size(self.masses))
        if not (self.masses > 0).all():
            raise InputError("The masses of the neurons must be positive.")

    def __repr__(self) -> str:
        return one_line(
            "Network", manifold=repr(self.manifold), neurons=len(self.masses),
            feature_map=type(self.feature_map).__name__, regulariser=self.divergence.name,
            regularisation=self.regularisation,
        )  # fmt: skip

    @property
    def share(self) -> Share:
        """How the neurons are spread over the ranks."""
        return self.feature_map.share(len(self.masses))

    @property
    def mass(self) -> Array:
        """The masses of this rank's neurons, ``(M,)`` with M their number."""
        return self.masses[self.share.rows]

    def at(self, feature: Array) -> Neurons:
        """The feature map at this rank's features ``(M, ambient)``."""
        return self.feature_map.at(feature, self.share)

    def project(self, feature: Array, start: Array | None = None) -> OuterLayer:
        """The optimal outer layer of this rank's features ``(M, ambient)``.

        Args:
            feature: the features.
            start: outer weights ``(M,)`` from which Newton's method starts.

        Raises:
            RunFailure: as `uf_diffusion.kernels.projection.project`.
        """
        return project(
            self.at(feature), self.mass, self.divergence, self.regularisation, start
        )  # fmt: skip


@dataclass(frozen=True)
class NetworkState:
    """A network at one time, on this rank.

    Attributes:
        t: time, dimensionless.
        step: number of steps so far.
        feature: omega, ``(M, ambient)`` points of the manifold.
        outer: the outer layer: weights, velocity of the features, risk.
        projections: how many optimal outer layers have been computed so far; 0 if the steps of the
            algorithm compute none, so that only the one at the start is optimal.
        pace: the state of the step control, ``(k,)``; empty for fixed steps.
        carried: other values that the algorithm stores for each neuron, ``(M, k)``.
    """

    t: float
    step: int
    feature: Array
    outer: OuterLayer
    projections: int = 1
    pace: Array = field(default_factory=lambda: np.empty(0))
    carried: Array = field(default_factory=lambda: np.empty((0, 0)))

    @property
    def risk(self) -> float:
        """The reduced risk, |r|^2 / (2 lambda) + sum m f(u)."""
        return self.outer.risk

    def __repr__(self) -> str:
        return one_line(
            "NetworkState", t=self.t, step=self.step, risk=self.risk,
            neurons=len(self.feature), projections=self.projections,
        )  # fmt: skip


@dataclass(frozen=True)
class Algorithm(ABC):
    """A way of training a network.

    Attributes:
        network: the network.
    """

    network: Network

    @abstractmethod
    def start(self, feature: Array) -> NetworkState:
        """The state at t = 0 with this rank's features ``(M, ambient)``."""

    @abstractmethod
    def step(self, state: NetworkState, until: float) -> NetworkState:
        """The next state.

        Args:
            state: the current state.
            until: a time that adaptive steps must not pass; fixed steps ignore it.

        Raises:
            TrainingFailure: when the features would not be finite, or no step is small enough.
        """

    def iterate(self, state: NetworkState, times: Iterable[float]) -> Iterator[NetworkState]:
        """Iterate over ``state`` and its successors, up to the first at or after the last time.

        Algorithms with adaptive steps have a state at each of the times that is after ``state``.

        Args:
            state: the state from which to start.
            times: increasing times, dimensionless.

        Raises:
            TrainingFailure: as `step`.
        """
        yield state
        for until in times:
            while state.t < until * (1 - 1e-12):
                state = self.step(state, until)
                yield state


@dataclass(frozen=True)
class _Stepwise(Algorithm):
    """Steps of fixed size tau > 0, dimensionless; they begin with the optimal outer layer."""

    step_size: float

    def __post_init__(self) -> None:
        if not self.step_size > 0:
            raise InputError(f"network.step must be positive, not {self.step_size}.")

    def start(self, feature: Array) -> NetworkState:
        outer = self.network.project(feature)
        carried = np.column_stack([outer.outer_weight] * 2)  # u of the two steps before
        return NetworkState(0.0, 0, feature, outer, 1, carried=carried)

    def moved(self, state: NetworkState, velocity: Array) -> Array:
        """The features after a step along a velocity, both ``(M, ambient)``."""
        with np.errstate(over="ignore", invalid="ignore"):  # checked in the next lines
            move = self.step_size * velocity
            lost = not (np.abs(move) < LARGEST).all()
        if self.network.share.max(float(lost)):
            raise TrainingFailure(
                f"Training left the finite numbers at t = {state.t:.6g}; "
                "use a smaller network.step or a larger network.lambda."
            )
        return self.network.manifold.retract(state.feature, move)

    def after(self, state: NetworkState, feature: Array, outer: OuterLayer) -> NetworkState:
        """The state one step after another one, with features ``(M, ambient)``."""
        step = state.step + 1
        carried = np.column_stack([state.outer.outer_weight, state.carried[:, 0]])
        return replace(
            state, t=step * self.step_size, step=step, feature=feature, outer=outer, carried=carried
        )


@dataclass(frozen=True)
class VarProDescent(_Stepwise):
    """Gradient descent on the reduced risk, omega <- retract(omega + tau u grad w).

    The outer layer is solved exactly before every step (arXiv:2504.18208, section 2). For the usual
    loss, the step tau corresponds to a learning rate M tau of the inner weights. The gradient is
    tangent to the manifold; the paper's program keeps its radial part on the circle before it
    normalises, which is a difference of second order in tau.
    """

    def step(self, state: NetworkState, until: float) -> NetworkState:
        feature = self.moved(state, state.outer.velocity)
        # extrapolate u, which is smooth in t; it decreases by at most half, so that u > 0 is kept
        u, (last, older) = state.outer.outer_weight, state.carried.T
        start = u + np.maximum(2 * (u - last) - (last - older), -np.abs(u) / 2)
        new = self.after(state, feature, self.network.project(feature, start))
        return replace(new, projections=state.projections + 1)

    def moves(self, feature: Array, u: Array) -> tuple[Array, Array]:
        """The velocity ``(M, ambient)`` of a step, and the outer weights ``(M,)`` that it leads to.

        Args:
            feature: the features before the step, ``(M, ambient)``.
            u: the outer weights before the step, ``(M,)``.
        """
        outer = self.network.project(feature, u)
        return outer.velocity, outer.outer_weight


@dataclass(frozen=True)
class TwoTimescale(_Stepwise):
    """Gradient steps in both layers: ``repeats`` steps of the outer layer for one of the inner.

    As in the paper's program, the outer layer is optimal at the start, and then both layers move at
    once, each along the gradient at the old state. With several outer steps all but the last come
    first, at the old features, and the features move with the last: so the algorithm tends to
    VarPro for many repeats. With a velocity from before these steps it would lag by one step.

    An outer step of rate 1 is that of the paper, u <- u - (lambda f'(u) - Psi.r), with a learning
    rate lambda M. For f that is not quadratic it is a step of mirror descent, f'(u) <- f'(u) - rate
    (lambda f'(u) - Psi.r), which keeps u in the domain of f. Source: arXiv:2504.18208, section 2.

    Attributes:
        rate: rate of an outer step, > 0. It is 1 in the paper's two-timescale algorithm; with
            rate tau / lambda both layers follow the gradient of the same risk with the same step.
        repeats: number of outer steps for each inner step.
    """

    rate: float = 1.0
    repeats: int = 1

    def start(self, feature: Array) -> NetworkState:
        return replace(super().start(feature), projections=0)

    def step(self, state: NetworkState, until: float) -> NetworkState:
        outer = self._settled(state.feature, state.outer)
        feature = self.moved(state, outer.velocity)
        u = self._pushed(outer.outer_weight, outer.potential)
        return self.after(state, feature, self._measured(self.network.at(feature), u))

    def moves(self, feature: Array, u: Array) -> tuple[Array, Array]:
        """As `VarProDescent.moves`."""
        outer = self._settled(feature, self._measured(self.network.at(feature), u))
        return outer.velocity, self._pushed(outer.outer_weight, outer.potential)

    def _settled(self, feature: Array, outer: OuterLayer) -> OuterLayer:
        """The outer layer after all outer steps but the last, at features ``(M, ambient)``."""
        if self.repeats == 1:
            return outer
        net, neurons = self.network, self.network.at(feature)
        u = self._pushed(outer.outer_weight, outer.potential)
        for _ in range(self.repeats - 2):
            u = self._pushed(u, neurons.potential(net.mass * u) / net.regularisation)
        return self._measured(neurons, u)

    def _pushed(self, u: Array, w: Array) -> Array:
        """The outer weights after a step, from those before and the potential, all ``(M,)``."""
        f = self.network.divergence
        with np.errstate(over="ignore", invalid="ignore"):  # `moved` checks the velocity
            z = f.df(u)
            return f.dconjugate(z - self.rate * self.network.regularisation * (z - w))

    def _measured(self, neurons: Neurons, u: Array) -> OuterLayer:
        net = self.network
        with np.errstate(over="ignore", invalid="ignore"):
            return measure(neurons, net.mass, net.divergence, net.regularisation, u)


@dataclass(frozen=True)
class FixedFeatures(_Stepwise):
    """Features that do not move: for quadratic f, ridge regression, as a baseline."""

    def step(self, state: NetworkState, until: float) -> NetworkState:
        return self.after(state, state.feature, state.outer)


def two_timescale(network: Network, step_size: float, ratio: float) -> TwoTimescale:
    """The paper's algorithm, with outer steps of rate at most 1 whose rates sum to ``ratio`` > 0.

    Raises:
        InputError: for a ratio that is not positive.
    """
    if not ratio > 0:
        raise InputError(f"network.ratio must be positive, not {ratio}.")
    repeats = math.ceil(ratio)
    return TwoTimescale(network, step_size, ratio / repeats, repeats)


def joint(network: Network, step_size: float) -> TwoTimescale:
    """Gradient descent in both layers, with the same time step ``step_size``."""
    return TwoTimescale(network, step_size, step_size / network.regularisation)
