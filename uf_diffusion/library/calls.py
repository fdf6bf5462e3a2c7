"""The functions of the library, such as solve, train and compare, which take and return objects."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from uf_diffusion.core import mpi
from uf_diffusion.core.arrays import Array
from uf_diffusion.core.errors import Caution, InputError
from uf_diffusion.core.paths import user_path
from uf_diffusion.core.progress import Watch
from uf_diffusion.core.wording import shown, unknown
from uf_diffusion.library.objects import Comparison, Outcome, Solution, Spectrum, TrainedNetwork
from uf_diffusion.library.objects import outcome as object_of
from uf_diffusion.library.running import JOBS, complete
from uf_diffusion.library.saving import load_result
from uf_diffusion.library.setups import diffusion_setup, network_setup
from uf_diffusion.network.run import Training
from uf_diffusion.problem import Problem
from uf_diffusion.results.timings import Timings
from uf_diffusion.runs import jobs
from uf_diffusion.runs.config import Config
from uf_diffusion.runs.inputs import require_density
from uf_diffusion.runs.limit import mismatches, settled_limit
from uf_diffusion.runs.reading import changes_of, load_config
from uf_diffusion.runs.setup import Setup
from uf_diffusion.runs.solving import equation
from uf_diffusion.runs.stored import Job
from uf_diffusion.runs.training import training as training_of

if TYPE_CHECKING:
    from uf_diffusion.diffusion.states import DiffusionState
    from uf_diffusion.diffusion.time_stepping import Evolution

__all__ = ["compare", "evolution", "load", "run", "solve", "spectrum", "stepping", "train",
           "training"]  # fmt: skip

SNAPSHOTS = 17  # a snapshot at each sixteenth of a run, so that steps of a power of two meet them
TOGETHER = 1e-9  # times that differ relatively by less than this are regarded as equal


def solve(
    problem: Problem,
    *,
    until: float,
    snapshots: int | Sequence[float] = SNAPSHOTS,
    limit: str = "unconstrained",
    features: Any = None,
    network: Mapping[str, Any] | None = None,
    cells: int = 4096,
    mesh: Any = None,
    degree: int = 1,
    scheme: str = "sdirk2",
    rtol: float = 1e-4,
    step: float = 0.0,
    tolerance: float = 0.0,
    watch: Watch = (),
    cautious: bool = True,
) -> Solution:
    """Solve the diffusion of a problem.

    Args:
        problem: the problem to solve.
        until: final time, dimensionless.
        snapshots: the times at which densities are stored, or how many evenly spaced from 0 on.
        limit: "unconstrained"; "constrained" for the limit of features that see even or odd
            functions and little more, such as ReLU without bias; "mean-field" for a network of
            infinite width at its regularisation; or "auto" for the limit of the features as
            lambda -> 0, or "mean-field" where that is not known.
        features: the features that these limits belong to, as in `train`.
        network: further settings of `train` that the limit "mean-field" depends on, such as
            regularisation, kernel, samples, truncation and seed.
        cells: least number of cells of the built-in mesh.
        mesh: a mesh to use instead: a grid, a `Triangulation` of the sphere, or a file with one.
        degree: degree of the finite elements: 1 to 8 on the circle, 1 to 3 on S^2 and T^2, 1 or 2
            on T^3.
        scheme: "euler", "sdirk2", "sdirk3", "esdirk4", "esdirk5", "rodas4" or "rodas5p".
        rtol: relative tolerance of the adaptive time steps, dimensionless.
        step: length of fixed time steps, dimensionless; 0 chooses adaptive steps.
        tolerance: how large the density's error in L1 may be, by estimate, at all snapshots. It
            chooses cells, degree, scheme and rtol, which are then left out; 0 for none.
        watch: functions to call with each `DiffusionState`.
        cautious: whether to check if the numbers can be trusted, and to warn if not.

    Raises:
        InputError: if the problem cannot be solved or DOLFINx is missing.
        SolverFailure: if no time step is small enough.
    """
    setup = diffusion_setup(problem, until, snapshots, limit, features, network, cells, mesh,
                             degree, scheme, rtol, step, tolerance)  # fmt: skip
    return Solution(setup, jobs.solve(setup, None, watch, cautious=cautious).tree)


def stepping(problem: Problem, *, until: float, **settings: Any) -> Iterator[DiffusionState]:
    """Solve a diffusion and yield its states one by one, for use in your own loop.

    Args:
        problem: the problem to solve.
        until: final time, dimensionless.
        settings: the other arguments of `solve` except for ``watch``, ``cautious`` and
            ``tolerance``.

    Raises:
        InputError, SolverFailure: as `solve`.
    """
    step = settings.get("step", 0.0)
    return evolution(problem, until=until, **settings).iterate(until, step or None)


def evolution(problem: Problem, *, until: float = 1.0, **settings: Any) -> Evolution:
    """The solver of a diffusion before its first step. It gives access to the mesh.

    Its method `iterate` yields the same states as `stepping`.

    Args:
        problem: the problem to solve.
        until: final time, dimensionless; `iterate` also accepts other final times.
        settings: the other arguments of `stepping`.

    Raises:
        InputError: as `solve`.
    """
    defaults = dict(solve.__kwdefaults__ or {})
    del defaults["watch"], defaults["cautious"], defaults["tolerance"]
    for name in settings:
        if name not in defaults:
            raise unknown("argument", name, defaults)
    return equation(diffusion_setup(problem, until, **(defaults | settings), tolerance=0.0))


def train(
    problem: Problem,
    features: Any = None,
    *,
    until: float,
    snapshots: int | Sequence[float] = SNAPSHOTS,
    draws: Any = None,
    watch: Watch = (),
    cautious: bool = True,
    **settings: Any,
) -> TrainedNetwork:
    """Train a network on a problem.

    Args:
        problem: the problem that the network learns.
        features: the feature function phi: a value such as ``ReLU()``, or a class or function that
            makes a `Feature` from the manifold. The default is ReLU on spheres and radial features
            on tori.
        until: final time, dimensionless: the number of training steps times their length.
        snapshots: the times at which neurons are stored, or how many evenly spaced from 0 on; each
            is moved to the nearest whole number of training steps.
        draws: random draws that are given: `Draws`, a mapping from names to arrays as in `Draws`, a
            file with them, or "paper" for those of the paper with seeds 0 to 5. The numbers of
            neurons and inputs are then those of the arrays. By default they are drawn anew.
        watch: functions to call with each `NetworkState`.
        cautious: whether to check if the numbers can be trusted, and to warn if not.
        settings: further keys of the section [network] of a configuration by their names in
            `NetworkConfig`: width, regularisation, kernel, samples, teacher_width, truncation,
            algorithm, step, ratio, rtol, seed, placement, teacher_placement, noise, held_out; and
            inputs ``(n, d)``, labels ``(n,)`` and weights ``(n,)`` of the inputs, as arrays or
            files. Labels replace the teacher of the problem.

    Raises:
        InputError: if the network cannot be trained.
        TrainingFailure: if features become infinite or NaN, or optimal outer weights do not exist.
    """
    setup = network_setup(problem, features, until, snapshots, settings, draws=draws)
    return TrainedNetwork(setup, jobs.train(setup, None, watch, cautious=cautious).tree)


def training(
    problem: Problem, features: Any = None, *, until: float,
    snapshots: int | Sequence[float] = SNAPSHOTS, draws: Any = None, **settings: Any,
) -> Training:  # fmt: skip
    """A training before its first step. Its method `states` yields the states one by one.

    The arguments are those of `train`.

    Raises:
        InputError: as `train`.
    """
    setup = network_setup(problem, features, until, snapshots, settings, draws=draws)
    return training_of(setup)


def compare(network: TrainedNetwork, limit: Solution) -> Comparison:
    """Measure how far a trained network is from a diffusion, at the times that both have.

    Args:
        network: a result of `train`.
        limit: a result of `solve` for the same problem. That of a run with a large field uses all
            nodes in the file fields.nc of its folder.

    A solution of an equation that does not belong to the network gets a `Caution`.

    Raises:
        InputError: if the problems differ, there are fewer than two common times, or fields.nc is
            damaged.
    """
    for value, kind in ((network, TrainedNetwork), (limit, Solution)):
        if not isinstance(value, kind):
            raise InputError(f"compare takes a {kind.__name__} here, not {shown(value)}.")
    require_density(network.setup)
    if network.problem != limit.problem:
        raise InputError("The network and the diffusion are those of different problems.")
    rows, columns, times = mpi.from_root(lambda: _common(network.times, limit.times))
    setup = _joined(network, limit, times)
    trained, solved = network.group("network"), limit.group("diffusion")
    if trained is not None and solved is not None:
        trained, solved = trained.isel(snapshot=rows), solved.isel(snapshot=columns)
    wrong = mpi.from_root(lambda: mismatches(network.setup, limit.setup))
    if mpi.rank() == 0:
        for sentence in wrong:
            warnings.warn(sentence, Caution, stacklevel=2)
    before = list(dict.fromkeys([*limit.warnings, *network.warnings, *wrong]))
    result = jobs.compared(setup, Timings(), solved, trained, network.teacher, before, "compare",
                           {**limit.inputs, **network.inputs}, limit.folder)  # fmt: skip
    return Comparison(setup, result.tree)


def spectrum(
    problem: Problem, features: Any = None, *, count: int = 6, cells: int = 4096, **settings: Any
) -> Spectrum:
    """Compute the spectra of the weighted Laplacian and of the features' kernel.

    The first sets the decay rate of the diffusion at late times; the second says which parts of a
    density the features can distinguish.

    Args:
        problem: the problem.
        features: the feature function, as in `train`.
        count: number of eigenvalues of the weighted Laplacian, from 1 to 100.
        cells: least number of cells of the built-in mesh.
        settings: as in `train`.

    Raises:
        InputError: if the problem cannot be solved, or ``count`` is out of range.
        SolverFailure: if the eigenvalue solver fails.
    """
    setup = network_setup(problem, features, 1.0, 2, settings, {"cells": cells})
    return Spectrum(setup, jobs.spectrum(setup, count).tree)


def run(
    source: str | Path | Config,
    job: str = "compare",
    *,
    out: str | Path | None = None,
    overrides: Sequence[str] = (),
    watch: Watch = (),
    cautious: bool = True,
    force: bool = False,
) -> Any:
    """Run a job that a configuration describes, as the command line does.

    Args:
        source: the name of a preset, a TOML file, or a `Config`.
        job: "solve", "train", "compare", "compare --budget" or "spectrum".
        out: the run's folder, which gets checkpoints and all files of the complete run. If it holds
            a checkpoint of this job, or its result up to an earlier time, that run is continued.
            If None, nothing is written.
        overrides: strings "section.key=value" that change the configuration.
        watch: functions to call with each state.
        cautious: whether to check if the numbers can be trusted, and to warn if not.
        force: whether to discard the checkpoint or the result of something else in the folder.

    Returns:
        A `Solution`, a `TrainedNetwork`, a `Comparison` or a `Spectrum`, according to the job.

    Raises:
        InputError: for a mistake in the arguments, before any computation.
        RunFailure: if a computation cannot continue.
        Unwritable: if a file cannot be written.
    """
    config = source if isinstance(source, Config) else load_config(source, overrides)
    if isinstance(source, Config) and overrides:
        config = source.changed(**changes_of(overrides))
    config = settled_limit(Setup(config)).config
    folder = None if out is None else user_path(out)
    if job == "compare --budget" and folder is None:
        raise InputError("An error budget keeps its reference problems: it needs a folder out.")
    if job == "spectrum":
        work, name = partial(jobs.spectrum, cautious=cautious), "spectrum --count 6"
    elif job in JOBS:
        work = partial(JOBS[job], folder=folder, watch=watch, cautious=cautious)
        name = job
    else:
        raise unknown("job", job, [*JOBS, "spectrum"])
    if folder is None:
        result = work(Setup(config))
    else:
        result = complete(Job(name, config), work, folder, force)
    return object_of(replace(result, folder=folder), job)


def load(folder: str | Path, *, trust: bool = False) -> Any:
    """Read the result in a run's folder, or in a file result.nc.

    Args:
        folder: the folder or the file.
        trust: whether code that the result names as "module:name" may be imported, from the
            working folder or Python's import path, where a property such as ``problem`` needs it.

    Returns:
        A `Solution`, a `TrainedNetwork`, a `Comparison` or a `Spectrum`.

    Raises:
        InputError: if there is no result, or it cannot be read.
    """
    return object_of(load_result(user_path(folder), trust))


def _common(a: Array, b: Array) -> tuple[list[int], list[int], list[float]]:
    """The indices of the times that two increasing series have in common; at least two."""
    nearest = [int(np.argmin(np.abs(b - t))) for t in a]
    pairs = [(i, k) for i, k in enumerate(nearest) if abs(b[k] - a[i]) <= TOGETHER * (1 + a[i])]
    if len(pairs) < 2:
        raise InputError(
            "The network and the diffusion have fewer than two snapshot times in common; give "
            "both the same until and snapshots, and a training step that divides these times."
        )
    return [i for i, _ in pairs], [k for _, k in pairs], [float(a[i]) for i, _ in pairs]


def _joined(network: Outcome, limit: Outcome, times: list[float]) -> Setup:
    """The setup that describes a comparison of two results."""
    c = network.config
    problem = {"t_end": times[-1], "limit": limit.config.problem.limit}
    diffusion = {**vars(limit.config.diffusion), "snapshots": times}
    config = c.changed(problem=problem, diffusion=diffusion)
    given = network.setup
    return replace(given, config=config, given_grid=limit.whole_grid)
