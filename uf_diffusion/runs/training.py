"""Trains the network of a run, from the start or a checkpoint, as a group of the result."""

from __future__ import annotations

import json
from typing import NamedTuple

import numpy as np
import xarray as xr

from uf_diffusion.core import mpi
from uf_diffusion.core.progress import Watch, with_progress
from uf_diffusion.core.threads import using_threads
from uf_diffusion.kernels.choice import feature_map, sampled_map
from uf_diffusion.kernels.feature_maps import Atoms, nothing
from uf_diffusion.network.data import TEACHER
from uf_diffusion.network.history import NetworkHistory
from uf_diffusion.network.placement import place
from uf_diffusion.network.run import ALGORITHMS, Training
from uf_diffusion.network.stored_state import pack, restore
from uf_diffusion.network.training import Algorithm, Network, NetworkState
from uf_diffusion.runs.checkpoints import Checkpoints
from uf_diffusion.runs.config import NetworkConfig
from uf_diffusion.runs.inputs import inputs_of, measures_errors, require_data
from uf_diffusion.runs.resources import require_memory
from uf_diffusion.runs.setup import Setup

__all__ = ["Neurons", "algorithm", "neurons", "trained", "training"]

THREADED = 2**24  # bytes of a projection above which several threads are faster than one


class Neurons(NamedTuple):
    """The neurons of student and teacher, and the random generator after they have been drawn."""

    student: Atoms
    teacher: Atoms
    rng: np.random.Generator


def neurons(setup: Setup) -> Neurons:
    """The initial neurons of the student, and those of the teacher, drawn or as they are given.

    A teacher on a lattice has the largest possible number of neurons up to ``teacher_width``. One
    that is known by labels has a single neuron without mass.

    Raises:
        InputError: as `place`, `Setup.draws` and `Draws.atoms`.
    """
    c, problem = setup.config.network, setup.problem
    rng = np.random.default_rng(c.seed)
    if setup.draws is not None:
        return Neurons(*setup.draws.atoms(problem.manifold), rng)
    student = place(problem.initial, c.width, c.placement, rng, problem.meridian)
    if c.labels != TEACHER:
        return Neurons(student, nothing(problem.manifold), rng)
    placement, count = c.teacher_placement or c.placement, c.teacher_width
    if placement != "random":
        count = problem.manifold.even_count(count)
    teacher = place(problem.teacher, count, placement, rng, problem.meridian)
    return Neurons(student, teacher, rng)


def training(setup: Setup) -> Training:
    """The training of a run, checked but not started. Call it on all ranks.

    Raises:
        InputError: if the network cannot be trained, or does not fit into memory.
    """
    c, problem, times = setup.config.network, setup.problem, setup.clock_times
    features = setup.features
    points = (12 + len(times)) * c.width + 4 * c.teacher_width + 2 * c.samples
    steps = 0 if c.algorithm == "flow" else times[-1] / c.step  # recorded in the history
    plain = 8 * points * (problem.manifold.ambient + 1) + int(64 * steps)
    require_memory(plain, "use a smaller network.width, or fewer snapshots, samples or steps")
    require_data(setup)
    student, teacher, rng = neurons(setup)
    data, held = inputs_of(setup, teacher, rng) if c.kernel == "sampled" else (None, None)
    psi = feature_map(
        features, c.kernel, c.samples, teacher, rng, c.width, c.truncation * c.regularisation, data
    )
    left = None if held is None else sampled_map(features, held, teacher, split=False)
    require_memory(
        plain + psi.memory(c.width) + (0 if left is None else left.memory(c.width)),
        "use a smaller network.width, network.kernel = 'low-rank', or more machines",
    )
    # a neuron without mass has no part in the network
    kept = student.weights > 0
    masses = student.weights[kept]
    network = Network(problem.manifold, psi, problem.divergence, c.regularisation, masses)
    own = student.points[kept][network.share.rows]
    draws = json.dumps(rng.bit_generator.state)
    errors = {"training_error": psi} if measures_errors(c) else {}
    errors |= {} if left is None else {"held_out_error": left}
    return Training(algorithm(network, c), own, teacher, times, draws, errors)


def algorithm(network: Network, c: NetworkConfig) -> Algorithm:
    """The training algorithm that a configuration names."""
    return ALGORITHMS[c.algorithm](network, c.step, c.ratio, c.rtol)


def trained(training: Training, checkpoints: Checkpoints, watch: Watch = ()) -> xr.Dataset | None:
    """Train a network to the last time, and return the group /network on rank 0.

    Args:
        training: the training that is to be carried out.
        checkpoints: the checkpoints to write; if they hold a network, its training is continued.
        watch: functions to call with each state.

    Raises:
        TrainingFailure, Unwritable, Interrupted: as `uf_diffusion.runs.jobs.train`.
    """
    history = NetworkHistory(training.network, training.times, training.errors)
    work = training.network.feature_map.memory(len(training.network.masses))
    with using_threads(many=work > THREADED):
        last = _last_state(training, history, checkpoints, watch)
    return history.group(last.projections) if mpi.rank() == 0 else None


def _last_state(
    training: Training, history: NetworkHistory, checkpoints: Checkpoints, watch: Watch
) -> NetworkState:
    """Train to the last time, and return the last state."""
    stored = checkpoints.stored("network")

    def packed(state: NetworkState) -> xr.Dataset | None:
        return pack(state, training, history)

    lookers: Watch = [history, *watch, checkpoints.watch("network", packed)]
    state = None if stored is None else restore(stored, training, history)
    for state in with_progress(training.states(state), training.times[-1], "network"):
        for look in lookers:
            look(state)
    assert state is not None
    last = state
    checkpoints.write("network", lambda: packed(last))
    return last
