"""Training algorithms: particles moving on the manifold, states on the clock t."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from uf_diffusion.errors import InputError, RunFailure
from uf_diffusion.network.feature_maps import FeatureMap
from uf_diffusion.network.projection import Projection, project, quadratic_centre
from uf_diffusion.problem.divergences import Divergence
from uf_diffusion.problem.manifolds import Array, Manifold

__all__ = ["NetworkState", "TrainingFailure", "VarProDescent"]


class TrainingFailure(RunFailure):
    """The network left the finite numbers; the message names t and the step."""


@dataclass(frozen=True)
class NetworkState:
    """A network at one time.

    Attributes:
        t: time, dimensionless: iterations times the step.
        step: number of iterations so far.
        feature: omega, ``(M, ambient)`` points of the manifold.
        projection: the exact outer layer for these features: weights, risk, velocity.
        rng: generator state, so that a run can be continued.
    """

    t: float
    step: int
    feature: Array
    projection: Projection
    rng: np.random.Generator = field(repr=False)


@dataclass(frozen=True)
class VarProDescent:
    """Gradient descent on the reduced risk, omega <- retract(omega + tau u grad w).

    The outer layer is solved exactly before every step (arXiv:2504.18208, section 2); in terms of
    the usual loss this is a learning rate M tau on the inner weights.

    Args:
        manifold: the feature space.
        feature_map: Psi, bound to the teacher.
        divergence: unbiased or biased.
        regularisation: lambda > 0.
        step_size: tau > 0, dimensionless.
    """

    manifold: Manifold
    feature_map: FeatureMap
    divergence: Divergence
    regularisation: float
    step_size: float

    def __post_init__(self) -> None:
        if not self.step_size > 0:
            raise InputError(f"network.step must be positive, not {self.step_size}.")
        quadratic_centre(self.divergence)

    def start(self, feature: Array, rng: np.random.Generator) -> NetworkState:
        """The state at t = 0."""
        return NetworkState(0.0, 0, feature, self._project(feature), rng)

    def step(self, state: NetworkState) -> NetworkState:
        """One iteration.

        Raises:
            TrainingFailure: when the features are not finite any more.
        """
        velocity = state.projection.velocity
        if not np.isfinite(velocity).all():
            raise TrainingFailure(
                f"Training left the finite numbers at t = {state.t:.6g}; "
                "use a smaller network.step or a larger network.lambda."
            )
        feature = self.manifold.retract(state.feature, self.step_size * velocity)
        step = state.step + 1
        return NetworkState(
            step * self.step_size, step, feature, self._project(feature), state.rng
        )  # fmt: skip

    def iterate(self, state: NetworkState, t_end: float) -> Iterator[NetworkState]:
        """The states from ``state`` to the first at or after ``t_end``, both included."""
        yield state
        while state.t < t_end * (1 - 1e-12):
            state = self.step(state)
            yield state

    def _project(self, feature: Array) -> Projection:
        return project(
            self.feature_map.at(feature), len(feature), self.divergence, self.regularisation
        )
