"""The network that a configuration describes: checked, built, trained, continued."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator

import numpy as np
import xarray as xr

from uf_diffusion import parallel
from uf_diffusion.checkpoints import Checkpoints
from uf_diffusion.config import Config, NetworkConfig
from uf_diffusion.errors import InputError, RunFailure
from uf_diffusion.memory import require_memory
from uf_diffusion.network.factory import feature_map
from uf_diffusion.network.feature_maps import Atoms, place
from uf_diffusion.network.features import Feature, feature
from uf_diffusion.network.flow import GradientFlow
from uf_diffusion.network.projection import OuterLayer
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
from uf_diffusion.notebook import one_line
from uf_diffusion.observers import NetworkHistory, Watch, with_progress
from uf_diffusion.problem import Problem
from uf_diffusion.problem.manifolds import Manifold
from uf_diffusion.threads import using_threads

__all__ = ["Training", "feature_of"]

THREADED = 2**24  # bytes of a projection from which more than one thread pays

ALGORITHMS: dict[str, Callable[[Network, NetworkConfig], Algorithm]] = {
    "varpro": lambda network, c: VarProDescent(network, c.step),
    "two-timescale": lambda network, c: two_timescale(network, c.step, c.ratio),
    "joint": lambda network, c: joint(network, c.step),
    "fixed": lambda network, c: FixedFeatures(network, c.step),
    "flow": lambda network, c: GradientFlow(network, c.rtol),
}


def feature_of(config: Config, manifold: Manifold) -> Feature:
    """The features of a configuration's network."""
    c = config.network
    return feature(c.features, manifold, c.scale, c.profile, config.folder)


def _teacher(problem: Problem, c: NetworkConfig, rng: np.random.Generator) -> Atoms:
    """The teacher's neurons; a lattice has at most ``teacher_width`` of them."""
    placement, count = c.teacher_placement or c.placement, c.teacher_width
    if placement != "random":
        count = problem.manifold.even_count(count)
    return place(problem.teacher, count, placement, rng)


class Training:
    """A configuration's training, checked but not started.

    Attributes:
        teacher: the teacher's neurons.
        features: this rank's initial features, ``(M, ambient)``.

    Raises:
        InputError: for a network that cannot be trained, or does not fit into memory.
    """

    def __init__(self, config: Config, problem: Problem) -> None:
        c, manifold = config.network, problem.manifold
        self._times = config.clock_times()
        phi = feature_of(config, manifold)
        points = (12 + len(self._times)) * c.width + 4 * c.teacher_width + 2 * c.samples
        steps = 0 if c.algorithm == "flow" else self._times[-1] / c.step  # that the history keeps
        plain = 8 * points * (manifold.ambient + 1) + int(64 * steps)
        require_memory(plain, "use a smaller network.width, or fewer snapshots, samples or steps")
        rng = np.random.default_rng(c.seed)
        student = place(problem.initial, c.width, c.placement, rng)
        self.teacher = _teacher(problem, c, rng)
        psi = feature_map(
            phi, c.kernel, c.samples, self.teacher, rng, c.width, c.truncation * c.regularisation
        )
        require_memory(
            plain + psi.memory(c.width),
            "use a smaller network.width, network.kernel = 'low-rank', or more machines",
        )
        # a neuron without mass has no part in the network
        kept = student.weights > 0
        masses = student.weights[kept]
        network = Network(manifold, psi, problem.divergence, c.regularisation, masses)
        self.features = student.points[kept][network.share.rows]
        self._algorithm = ALGORITHMS[c.algorithm](network, c)
        self._draws = json.dumps(rng.bit_generator.state)

    def __repr__(self) -> str:
        algorithm, end = type(self._algorithm).__name__, float(self._times[-1])
        return one_line("Training", network=repr(self.network), algorithm=algorithm, t_end=end)

    @property
    def network(self) -> Network:
        """What is trained."""
        return self._algorithm.network

    def states(self, start: NetworkState | None = None) -> Iterator[NetworkState]:
        """The states to the end, with this rank's neurons: from t = 0 on, or all after one.

        Raises:
            TrainingFailure: when the features leave the finite numbers, or have no optimal weights.
        """
        last = start
        try:
            if last is None:
                last = self._algorithm.start(self.features)
                yield last
            for state in itertools.islice(self._algorithm.iterate(last, self._times), 1, None):
                last = state
                yield state
        except TrainingFailure:
            raise
        except RunFailure as error:
            where = f"after t = {last.t:.6g}, step {last.step}" if last else "at the start"
            raise TrainingFailure(f"Training failed {where}: {error}") from None

    def run(self, checkpoints: Checkpoints, watch: Watch = ()) -> xr.Dataset | None:
        """Train to the end; the group /network on rank 0.

        Args:
            checkpoints: written now and then; what they hold of a network is gone on from.
            watch: functions to call with each state.
        """
        history = NetworkHistory(self.network, self._times)
        work = self.network.feature_map.memory(len(self.network.masses))
        with using_threads(many=work > THREADED):
            last = self._run(history, checkpoints, watch)
        return history.group(last.projections) if parallel.rank() == 0 else None

    def _run(
        self,
        history: NetworkHistory,
        checkpoints: Checkpoints,
        watch: Watch,
    ) -> NetworkState:
        """Train to the end; the last state."""
        stored = checkpoints.stored("network")

        def pack(state: NetworkState) -> xr.Dataset | None:
            return self._packed(state, history)

        lookers: Watch = [history, *watch, checkpoints.watch("network", pack)]
        state = None if stored is None else self._restored(stored, history)
        for state in with_progress(self.states(state), self._times[-1], "network"):
            for look in lookers:
                look(state)
        assert state is not None
        last = state
        checkpoints.write("network", lambda: pack(last))
        return last

    def _packed(self, state: NetworkState, history: NetworkHistory) -> xr.Dataset | None:
        """Everything that the next step depends on, bit for bit, on rank 0."""
        gathered = self.network.share.gathered
        outer = state.outer
        rows = {
            "feature": gathered(state.feature),
            "velocity": gathered(outer.velocity),
            "outer_weight": gathered(outer.outer_weight),
            "potential": gathered(outer.potential),
            "carried": gathered(state.carried),
        }
        keepsake = self.network.feature_map.keepsake()  # made by all ranks together
        if parallel.rank() != 0:
            return None
        variables = {k: (("neuron", f"{k}_column")[: v.ndim], v) for k, v in rows.items()}
        numbers = {
            "t": state.t,
            "step": state.step,
            "projections": state.projections,
            "risk": outer.risk,
            "residual": outer.residual,
            "draws": self._draws,
        }
        pace = {"pace": (("pace_number",), state.pace)}
        kept = {
            f"kept_{k}": (("neuron", "feature_column")[: v.ndim], v) for k, v in keepsake.items()
        }
        return xr.Dataset({**variables, **pace, **kept, **history.packed()}, attrs=numbers)

    def _restored(self, stored: xr.Dataset, history: NetworkHistory) -> NetworkState:
        values, numbers = {str(k): v.values for k, v in stored.items()}, stored.attrs
        rows = self.network.share.rows
        if values["feature"].shape[0] != len(self.network.masses):
            raise InputError("The checkpoint is not one of this network.")
        if numbers["draws"] != self._draws:
            raise InputError(
                "This version of numpy draws other random numbers than the one that began the run."
            )
        history.resume(values)
        self.network.feature_map.recall(
            {k.removeprefix("kept_"): v for k, v in values.items() if k.startswith("kept_")}
        )
        own = {k: np.ascontiguousarray(values[k][rows]) for k in
               ("feature", "velocity", "outer_weight", "potential", "carried")}  # fmt: skip
        outer = OuterLayer(own["outer_weight"], own["velocity"], own["potential"],
                           float(numbers["risk"]), float(numbers["residual"]))  # fmt: skip
        return NetworkState(
            float(numbers["t"]), int(numbers["step"]), own["feature"], outer,
            int(numbers["projections"]), values["pace"], own["carried"],
        )  # fmt: skip
