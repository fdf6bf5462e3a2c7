"""Training algorithms: particles moving on the manifold, states on the clock t.

Every algorithm yields `NetworkState`s; a state holds all that the next one depends on, so that a
run can be continued from it bit for bit.
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
    """Training cannot go on, say as the network left the finite numbers; the message says where."""


@dataclass(frozen=True)
class Network:
    """What is trained, whatever the algorithm.

    Attributes:
        manifold: the feature space.
        feature_map: Psi, bound to the teacher.
        divergence: the regulariser f of the outer weights.
        regularisation: lambda > 0.
        masses: of all M neurons, ``(M,)``, summing to 1.
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
        """The masses of this rank's neurons."""
        return self.masses[self.share.rows]

    def at(self, feature: Array) -> Neurons:
        """The feature map at this rank's features."""
        return self.feature_map.at(feature, self.share)

    def project(self, feature: Array, start: Array | None = None) -> OuterLayer:
        """The optimal outer layer of this rank's features, from outer weights near it."""
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
        projections: how many times the outer layer has been computed so far.
        pace: what the step control remembers, ``(k,)``; empty for fixed steps.
        carried: what else is carried from step to step for each neuron, ``(M, k)``.
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
        """Of the outer layer."""
        return self.outer.risk

    def __repr__(self) -> str:
        return one_line(
            "NetworkState", t=self.t, step=self.step, risk=self.risk,
            neurons=len(self.feature), projections=self.projections,
        )  # fmt: skip


@dataclass(frozen=True)
class Algorithm(ABC):
    """A way of training a network."""

    network: Network

    @abstractmethod
    def start(self, feature: Array) -> NetworkState:
        """The state at t = 0 with this rank's features."""

    @abstractmethod
    def step(self, state: NetworkState, until: float) -> NetworkState:
        """The next state; adaptive steps do not pass ``until``.

        Raises:
            TrainingFailure: when the features are not finite any more.
        """

    def iterate(self, state: NetworkState, times: Iterable[float]) -> Iterator[NetworkState]:
        """``state`` and all that follow until the first at or after the last of the times.

        Algorithms with adaptive steps meet every time that lies ahead exactly.
        """
        yield state
        for until in times:
            while state.t < until * (1 - 1e-12):
                state = self.step(state, until)
                yield state


@dataclass(frozen=True)
class _Stepwise(Algorithm):
    """Steps of one size tau > 0, dimensionless; the velocity is the outer layer's."""

    step_size: float

    def __post_init__(self) -> None:
        if not self.step_size > 0:
            raise InputError(f"network.step must be positive, not {self.step_size}.")

    @abstractmethod
    def outer(self, feature: Array, before: NetworkState | None) -> tuple[OuterLayer, int]:
        """The outer layer after a move to ``feature``, and how many projections it took."""

    def start(self, feature: Array) -> NetworkState:
        outer, count = self.outer(feature, None)
        carried = np.column_stack([outer.outer_weight] * 2)  # u of the last two steps
        return NetworkState(0.0, 0, feature, outer, count, carried=carried)

    def step(self, state: NetworkState, until: float) -> NetworkState:
        with np.errstate(over="ignore", invalid="ignore"):  # the next line says so
            move = self.step_size * state.outer.velocity
            lost = not (np.abs(move) < LARGEST).all()
        if self.network.share.max(float(lost)):
            raise TrainingFailure(
                f"Training left the finite numbers at t = {state.t:.6g}; "
                "use a smaller network.step or a larger network.lambda."
            )
        feature = self.network.manifold.retract(state.feature, move)
        outer, count = self.outer(feature, state)
        step = state.step + 1
        carried = np.column_stack([state.outer.outer_weight, state.carried[:, 0]])
        return NetworkState(
            step * self.step_size, step, feature, outer, state.projections + count, carried=carried
        )


@dataclass(frozen=True)
class VarProDescent(_Stepwise):
    """Gradient descent on the reduced risk, omega <- retract(omega + tau u grad w).

    The outer layer is solved exactly before every step (arXiv:2504.18208, section 2); in terms of
    the usual loss this is a learning rate M tau on the inner weights.
    """

    def outer(self, feature: Array, before: NetworkState | None) -> tuple[OuterLayer, int]:
        start = None
        if before is not None:  # u is smooth in t; a step back at most halves it, so u > 0 stays
            u, (last, older) = before.outer.outer_weight, before.carried.T
            start = u + np.maximum(2 * (u - last) - (last - older), -np.abs(u) / 2)
        return self.network.project(feature, start), 1


@dataclass(frozen=True)
class TwoTimescale(_Stepwise):
    """Both layers take gradient steps, the outer one ``repeats`` times for each of the inner one.

    An outer step of rate 1 is the paper's, u <- u - (lambda f'(u) - Psi.r), a learning rate
    lambda M. For f that is not quadratic it is a step of mirror descent, f'(u) <- f'(u) - rate
    (lambda f'(u) - Psi.r), which keeps u in the domain of f. The outer layer moves first, so that
    many repeats are VarPro. Source: arXiv:2504.18208, section 2.

    Attributes:
        rate: of an outer step, > 0. The paper's two-timescale algorithm has 1; with tau / lambda
            both layers have the same rate in the same risk.
        repeats: outer steps for each inner one.
    """

    rate: float = 1.0
    repeats: int = 1

    def outer(self, feature: Array, before: NetworkState | None) -> tuple[OuterLayer, int]:
        net = self.network
        f, neurons, mass = net.divergence, net.at(feature), net.mass
        u = f.dconjugate(np.zeros_like(mass)) if before is None else before.outer.outer_weight
        with np.errstate(over="ignore", invalid="ignore"):  # the step says so
            for _ in range(self.repeats):
                z = f.df(u)
                psi_r = neurons.potential(mass * u)
                u = f.dconjugate(z - self.rate * (net.regularisation * z - psi_r))
            return measure(neurons, mass, f, net.regularisation, u), 0


@dataclass(frozen=True)
class FixedFeatures(_Stepwise):
    """Features that do not move: ridge regression on random features, the kernel baseline."""

    def outer(self, feature: Array, before: NetworkState | None) -> tuple[OuterLayer, int]:
        return self.network.project(feature), 1

    def step(self, state: NetworkState, until: float) -> NetworkState:
        step = state.step + 1
        return replace(state, t=step * self.step_size, step=step)


def two_timescale(network: Network, step_size: float, ratio: float) -> TwoTimescale:
    """The paper's algorithm with outer steps of total rate ``ratio`` > 0, none above 1."""
    if not ratio > 0:
        raise InputError(f"network.ratio must be positive, not {ratio}.")
    repeats = math.ceil(ratio)
    return TwoTimescale(network, step_size, ratio / repeats, repeats)


def joint(network: Network, step_size: float) -> TwoTimescale:
    """Gradient descent in both layers with one rate: the time step of both is ``step_size``."""
    return TwoTimescale(network, step_size, step_size / network.regularisation)
