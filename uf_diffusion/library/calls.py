"""The calls of the library: solve, train, compare and their kin, each a function of objects."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from uf_diffusion.core.arrays import Array
from uf_diffusion.core.errors import InputError
from uf_diffusion.core.progress import Watch
from uf_diffusion.core.wording import shown, unknown
from uf_diffusion.grids.base import Grid
from uf_diffusion.grids.built_in import with_degree
from uf_diffusion.grids.mesh_files import read_usable_mesh
from uf_diffusion.grids.triangulations import Triangulation
from uf_diffusion.kernels.features import Radial, ReLU
from uf_diffusion.kernels.own_features import placed_features
from uf_diffusion.library.objects import Comparison, Outcome, Solution, Spectrum, TrainedNetwork
from uf_diffusion.library.objects import outcome as object_of
from uf_diffusion.library.running import JOBS, complete
from uf_diffusion.library.saving import load_result
from uf_diffusion.network.run import Training
from uf_diffusion.problem import Problem
from uf_diffusion.results.timings import Timings
from uf_diffusion.runs import jobs
from uf_diffusion.runs.checkpoints import Job
from uf_diffusion.runs.comparing import distances
from uf_diffusion.runs.config import Config
from uf_diffusion.runs.describing import features_keys, problem_keys
from uf_diffusion.runs.reading import changes_of, load_config
from uf_diffusion.runs.setup import Setup
from uf_diffusion.runs.solving import equation
from uf_diffusion.runs.training import training as training_of
from uf_diffusion.runs.warnings_after import findings

if TYPE_CHECKING:
    from uf_diffusion.diffusion.time_stepping import DiffusionState, Evolution

__all__ = ["compare", "evolution", "load", "run", "solve", "spectrum", "stepping", "train",
           "training"]  # fmt: skip

SNAPSHOTS = 17  # sixteenths of a run: training steps of a power of two meet them
TOGETHER = 1e-9  # times closer than this are one time


def solve(
    problem: Problem,
    *,
    until: float,
    snapshots: int | Sequence[float] = SNAPSHOTS,
    limit: str = "unconstrained",
    cells: int = 4096,
    mesh: Any = None,
    degree: int = 1,
    scheme: str = "sdirk2",
    rtol: float = 1e-4,
    step: float = 0.0,
    watch: Watch = (),
    cautious: bool = True,
) -> Solution:
    """Solve the diffusion of a problem.

    Args:
        problem: what to solve.
        until: final time, dimensionless.
        snapshots: how many times are kept, evenly spaced from 0 on, or these times.
        limit: "unconstrained", or "constrained": the limit of bias-free ReLU networks.
        cells: of the built-in mesh, at least.
        mesh: another mesh: a grid, a `Triangulation` of the sphere, or a file with one.
        degree: of the finite elements, 1 to 3.
        scheme: of the time steps: "euler", "sdirk2", "sdirk3", "esdirk4", of orders 1 to 4.
        rtol: tolerance of the adaptive steps, dimensionless.
        step: a fixed time step; 0: adaptive.
        watch: functions to call with each `DiffusionState`.
        cautious: whether to measure what could make the numbers wrong, and to warn.

    Raises:
        InputError: for a problem that cannot be solved, or without DOLFINx.
        SolverFailure: when no time step is small enough.
    """
    setup = _diffusion_setup(problem, until, snapshots, limit, cells, mesh, degree, scheme, rtol,
                             step)  # fmt: skip
    return Solution(setup, jobs.solve(setup, None, watch, cautious=cautious).tree)


def stepping(problem: Problem, *, until: float, **settings: Any) -> Iterator[DiffusionState]:
    """The states of a diffusion one by one, for a loop of one's own.

    Args:
        problem: what to solve.
        until: final time, dimensionless.
        settings: as `solve` takes them, but for ``watch`` and ``cautious``.

    Raises:
        InputError, SolverFailure: as `solve`.
    """
    step = settings.get("step", 0.0)
    return evolution(problem, until=until, **settings).iterate(until, step or None)


def evolution(problem: Problem, *, until: float = 1.0, **settings: Any) -> Evolution:
    """The solver of a diffusion before it has begun: `stepping` with the mesh in view.

    Args:
        problem: what to solve.
        until: final time, dimensionless; `iterate` of the solver takes any other.
        settings: as `stepping` takes them.

    Raises:
        InputError: as `solve`.
    """
    defaults: dict[str, Any] = {"snapshots": 2, "limit": "unconstrained", "cells": 4096,
                                "mesh": None, "degree": 1, "scheme": "sdirk2", "rtol": 1e-4,
                                "step": 0.0}  # fmt: skip
    for name in settings:
        if name not in defaults:
            raise unknown("argument", name, defaults)
    return equation(_diffusion_setup(problem, until, **(defaults | settings)))


def train(
    problem: Problem,
    features: Any = None,
    *,
    until: float,
    snapshots: int | Sequence[float] = SNAPSHOTS,
    watch: Watch = (),
    cautious: bool = True,
    **settings: Any,
) -> TrainedNetwork:
    """Train a network on a problem.

    Args:
        problem: what to solve.
        features: phi: a value such as ``ReLU()``, or a class or function that makes a `Feature` of
            the manifold; not given: ReLU on spheres, radial functions on tori.
        until: final time, dimensionless: training steps times their length.
        snapshots: how many times are kept, evenly spaced from 0 on, or these times; they are moved
            to whole training steps.
        watch: functions to call with each `NetworkState`.
        cautious: whether to measure what could make the numbers wrong, and to warn.
        settings: the fields of `NetworkConfig`: width, regularisation, kernel, samples,
            teacher_width, truncation, algorithm, step, ratio, rtol, seed, placement,
            teacher_placement.

    Raises:
        InputError: for a network that cannot be trained.
        TrainingFailure: when the features leave the finite numbers, or have no optimal weights.
    """
    setup = _network_setup(problem, features, until, snapshots, settings)
    return TrainedNetwork(setup, jobs.train(setup, None, watch, cautious=cautious).tree)


def training(
    problem: Problem, features: Any = None, *, until: float,
    snapshots: int | Sequence[float] = SNAPSHOTS, **settings: Any,
) -> Training:  # fmt: skip
    """A training that has not begun: its `states` come one by one, for a loop of one's own.

    Args, Raises: as `train`.
    """
    return training_of(_network_setup(problem, features, until, snapshots, settings))


def compare(network: TrainedNetwork, limit: Solution) -> Comparison:
    """How far a trained network is from a solved diffusion, at the times that both have.

    Args:
        network: of `train`.
        limit: of `solve`, for the same problem.

    Raises:
        InputError: for results of different problems, or without a common time.
    """
    for value, kind in ((network, TrainedNetwork), (limit, Solution)):
        if not isinstance(value, kind):
            raise InputError(f"compare takes a {kind.__name__} here, not {shown(value)}.")
    if network.problem != limit.problem:
        raise InputError("The network and the diffusion are those of different problems.")
    rows, columns = _common(network.times, limit.times)
    trained, solved = network.group("network"), limit.group("diffusion")
    assert trained is not None and solved is not None
    trained, solved = trained.isel(snapshot=rows), solved.isel(snapshot=columns)
    setup = _joined(network, limit, [float(t) for t in network.times[rows]])
    clock = Timings()
    with clock.part("distances"):
        group = distances(setup.manifold, limit.grid, solved, trained, network.teacher)
        group = group.assign_attrs(jobs.seen_attributes(setup))
    result = jobs.gathered(setup, clock, diffusion=solved, network=trained, comparison=group)
    result.warn([*limit.warnings, *network.warnings, *findings(result)])
    return Comparison(setup, result.tree)


def spectrum(
    problem: Problem, features: Any = None, *, count: int = 6, cells: int = 4096, **settings: Any
) -> Spectrum:
    """What sets the last rate of a diffusion, and what features see.

    Args:
        problem: what to solve.
        features: as in `train`.
        count: how many eigenvalues of the weighted Laplacian, from 1 to 100.
        cells: of the built-in mesh, at least.
        settings: the fields of `NetworkConfig`, as for `train`.

    Raises:
        InputError: for a problem that cannot be solved, or a count out of range.
    """
    setup = _network_setup(problem, features, 1.0, 2, settings, {"cells": cells})
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
    """Do what a configuration says: what the command line does.

    Args:
        source: a preset, a TOML file, or a `Config`.
        job: "solve", "train", "compare", "compare --budget" or "spectrum".
        out: the run's folder, where checkpoints and all files of the complete run go, and where an
            interrupted run of this job goes on; none: nothing is written.
        overrides: "section.key=value" each.
        watch: functions to call with each state.
        cautious: whether to measure what could make the numbers wrong, and to warn.
        force: whether to give up another run's checkpoint that lies in the folder.

    Returns:
        A `Solution`, a `TrainedNetwork`, a `Comparison` or a `Spectrum`.

    Raises:
        InputError: for a mistake, before any work.
        RunFailure: when a computation cannot go on.
        Unwritable: when a file cannot be written.
    """
    config = source if isinstance(source, Config) else load_config(source, overrides)
    if isinstance(source, Config) and overrides:
        config = source.changed(**changes_of(overrides))
    setup, folder = Setup(config), None if out is None else Path(out)
    if job == "compare --budget" and folder is None:
        raise InputError("An error budget keeps its reference problems: it needs a folder out.")
    if job == "spectrum":
        work = partial(jobs.spectrum, setup, cautious=cautious)
    elif job in JOBS:
        work = partial(JOBS[job], setup, folder, watch, cautious=cautious)
    else:
        raise unknown("job", job, [*JOBS, "spectrum"])
    return object_of(work() if folder is None else complete(Job(job, config), work, folder, force))


def load(folder: str | Path) -> Any:
    """Read a result back, from a run's folder or its result.nc.

    Returns:
        As `run`.

    Raises:
        InputError: where there is none, or it cannot be read.
    """
    return object_of(load_result(Path(folder)))


def _diffusion_setup(
    problem: Problem, until: float, snapshots: Any, limit: str, cells: int, mesh: Any, degree: int,
    scheme: str, rtol: float, step: float,
) -> Setup:  # fmt: skip
    grid = _grid(mesh, degree)
    sections = {
        "problem": {**_described(problem), "t_end": _until(until), "limit": limit},
        "diffusion": {"snapshots": _times(snapshots), "cells": cells, "scheme": scheme,
                      "degree": degree if grid is None else grid.degree, "rtol": rtol,
                      "step": step},
    }  # fmt: skip
    return Setup(Config().changed(**sections), problem, None, grid)


def _network_setup(
    problem: Problem, features: Any, until: float, snapshots: Any, settings: dict[str, Any],
    diffusion: dict[str, Any] | None = None,
) -> Setup:  # fmt: skip
    described = _described(problem)
    if features is None:
        features = ReLU() if problem.manifold.antipodal else Radial()
    phi = placed_features(features, problem.manifold)
    known = set(Config().network.__dataclass_fields__) - {"features", "scale", "profile"}
    for name in settings:
        if name not in known:
            raise unknown("argument", name, known)
    sections = {
        "problem": {**described, "t_end": _until(until)},
        "diffusion": {"snapshots": _times(snapshots), **(diffusion or {})},
        "network": {**features_keys(phi), **settings},
    }
    return Setup(Config().changed(**sections), problem, phi)


def _described(problem: Problem) -> dict[str, Any]:
    if not isinstance(problem, Problem):
        raise InputError(f"A Problem is needed here, not {shown(problem)}.")
    return problem_keys(problem)


def _until(until: Any) -> float:
    """A final time that a caller gave."""
    if not isinstance(until, int | float | np.number) or not 0 < until < np.inf:
        raise InputError(f"until must be a positive number, not {shown(until)}.")
    return float(until)


def _times(snapshots: Any) -> Any:
    return snapshots.tolist() if isinstance(snapshots, np.ndarray) else snapshots


def _grid(mesh: Any, degree: int) -> Grid | None:
    """A mesh that a caller gave."""
    if mesh is None or mesh == "":
        return None
    if isinstance(mesh, str | Path):
        return with_degree(read_usable_mesh(Path(mesh)), degree)
    if isinstance(mesh, Triangulation):
        return with_degree(mesh, degree)
    if not hasattr(mesh, "interpolate") or not hasattr(mesh, "coarser"):
        raise InputError(f"A mesh is a grid, a Triangulation or a file, not {shown(mesh)}.")
    grid: Grid = mesh
    return with_degree(grid, degree) if grid.degree == 1 else grid


def _common(a: Array, b: Array) -> tuple[list[int], list[int]]:
    """The rows of two increasing series of times that are equal; at least two."""
    nearest = [int(np.argmin(np.abs(b - t))) for t in a]
    pairs = [(i, k) for i, k in enumerate(nearest) if abs(b[k] - a[i]) <= TOGETHER * (1 + a[i])]
    if len(pairs) < 2:
        raise InputError(
            "The network and the diffusion have fewer than two snapshot times in common; give "
            "both the same until and snapshots, and a training step that divides these times."
        )
    return [i for i, _ in pairs], [k for _, k in pairs]


def _joined(network: Outcome, limit: Outcome, times: list[float]) -> Setup:
    """The setup of a comparison of two results."""
    c = network.config
    problem = {"t_end": times[-1], "limit": limit.config.problem.limit}
    diffusion = {f: getattr(limit.config.diffusion, f) for f in ("cells", "degree", "scheme",
                                                                 "rtol", "step")}  # fmt: skip
    config = c.changed(problem=problem, diffusion={**diffusion, "snapshots": times})
    return Setup(config, network.setup.given_problem, network.setup.given_features, limit.grid)
