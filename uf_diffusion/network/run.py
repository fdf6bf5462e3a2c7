"""A training, ready to begin: an algorithm, the features that it begins with, the times to meet."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from uf_diffusion.core.arrays import Array
from uf_diffusion.core.errors import RunFailure
from uf_diffusion.core.reprs import one_line
from uf_diffusion.kernels.feature_maps import Atoms
from uf_diffusion.network.gradient_flow import GradientFlow
from uf_diffusion.network.training import (
    Algorithm,
    FixedFeatures,
    Network,
    NetworkState,
    TrainingFailure,
    VarProDescent,
    joint,
    two_timescale,
)

__all__ = ["ALGORITHMS", "Training"]

# from a network, the training step, the ratio of outer steps and the tolerance of the flow
ALGORITHMS: dict[str, Callable[[Network, float, float, float], Algorithm]] = {
    "varpro": lambda network, step, ratio, rtol: VarProDescent(network, step),
    "two-timescale": lambda network, step, ratio, rtol: two_timescale(network, step, ratio),
    "joint": lambda network, step, ratio, rtol: joint(network, step),
    "fixed": lambda network, step, ratio, rtol: FixedFeatures(network, step),
    "flow": lambda network, step, ratio, rtol: GradientFlow(network, rtol),
}


@dataclass(frozen=True, eq=False)
class Training:
    """A training, checked but not started.

    Attributes:
        algorithm: with the network that it trains.
        features: this rank's initial features, ``(M, ambient)``.
        teacher: the teacher's neurons.
        times: increasing snapshot times, from 0 to the end.
        draws: the state of the random numbers after all draws: the same draws end in the same.
    """

    algorithm: Algorithm
    features: Array
    teacher: Atoms
    times: Array
    draws: str = ""

    def __repr__(self) -> str:
        algorithm, end = type(self.algorithm).__name__, float(self.times[-1])
        return one_line("Training", network=repr(self.network), algorithm=algorithm, t_end=end)

    @property
    def network(self) -> Network:
        """What is trained."""
        return self.algorithm.network

    def states(self, start: NetworkState | None = None) -> Iterator[NetworkState]:
        """The states to the end, with this rank's neurons: from t = 0 on, or all after one.

        Raises:
            TrainingFailure: when the features leave the finite numbers, or have no optimal weights.
        """
        last = start
        try:
            if last is None:
                last = self.algorithm.start(self.features)
                yield last
            for state in itertools.islice(self.algorithm.iterate(last, self.times), 1, None):
                last = state
                yield state
        except TrainingFailure:
            raise
        except RunFailure as error:
            where = f"after t = {last.t:.6g}, step {last.step}" if last else "at the start"
            raise TrainingFailure(f"Training failed {where}: {error}") from None
