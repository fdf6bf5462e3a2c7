"""A training before its start: an algorithm, the initial features and the snapshot times."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from uf_diffusion.core.arrays import Array
from uf_diffusion.core.errors import RunFailure
from uf_diffusion.core.reprs import one_line
from uf_diffusion.kernels.feature_maps import Atoms, FeatureMap
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

# each makes an algorithm from a network, the step, the ratio of outer steps, and the flow's rtol
ALGORITHMS: dict[str, Callable[[Network, float, float, float], Algorithm]] = {
    "varpro": lambda network, step, ratio, rtol: VarProDescent(network, step),
    "two-timescale": lambda network, step, ratio, rtol: two_timescale(network, step, ratio),
    "joint": lambda network, step, ratio, rtol: joint(network, step),
    "fixed": lambda network, step, ratio, rtol: FixedFeatures(network, step),
    "flow": lambda network, step, ratio, rtol: GradientFlow(network, rtol),
}


@dataclass(frozen=True, eq=False)
class Training:
    """A training whose settings are checked and which has not started.

    Attributes:
        algorithm: the algorithm, which contains the network.
        features: this rank's initial features, ``(M, ambient)``.
        teacher: the teacher's neurons.
        times: increasing snapshot times from 0 to the end, dimensionless.
        draws: the state of the random generator after all draws; it is compared when a run is
            resumed, to detect a generator that draws other numbers.
        errors: feature maps of inputs at which the mean squared error of the outputs is recorded,
            by the names of the variables.
    """

    algorithm: Algorithm
    features: Array
    teacher: Atoms
    times: Array
    draws: str = ""
    errors: Mapping[str, FeatureMap] = field(default_factory=dict)

    def __repr__(self) -> str:
        algorithm, end = type(self.algorithm).__name__, float(self.times[-1])
        return one_line("Training", network=repr(self.network), algorithm=algorithm, t_end=end)

    @property
    def network(self) -> Network:
        """The network that is trained."""
        return self.algorithm.network

    def states(self, start: NetworkState | None = None) -> Iterator[NetworkState]:
        """Iterate over the states up to the last snapshot time, with this rank's neurons.

        Args:
            start: a state from which to continue; it is not yielded again. By default the states
                begin at t = 0.

        Raises:
            TrainingFailure: when the features become infinite or NaN, or when their optimal outer
                weights cannot be computed.
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
