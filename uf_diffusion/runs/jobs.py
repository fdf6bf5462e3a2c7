"""The jobs that a run can do: solve, train, compare and spectrum, each a function of a `Setup`.

The diffusion and the network use the same time t. Their results are groups of one xarray tree, with
the same names and shapes as in the file result.nc of a run's folder.
"""

from __future__ import annotations

import importlib.util
import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from uf_diffusion.core import mpi
from uf_diffusion.core.arguments import whole_number
from uf_diffusion.core.errors import Caution, Finding, InputError
from uf_diffusion.core.paths import user_path
from uf_diffusion.core.progress import Watch, watchers
from uf_diffusion.grids.base import coarse_enough
from uf_diffusion.kernels.feature_maps import Atoms
from uf_diffusion.results.names import dataset
from uf_diffusion.results.provenance import run_attributes
from uf_diffusion.results.timings import Timings
from uf_diffusion.runs.checkpoints import Checkpoints
from uf_diffusion.runs.comparing import distances, energies
from uf_diffusion.runs.fingerprint import code, fingerprint
from uf_diffusion.runs.inputs import require_density
from uf_diffusion.runs.resources import require_memory_of_spectrum
from uf_diffusion.runs.result import Result
from uf_diffusion.runs.setup import Setup
from uf_diffusion.runs.solving import equation, solved, unconstrained
from uf_diffusion.runs.stored import Job
from uf_diffusion.runs.training import trained, training
from uf_diffusion.runs.warnings_after import findings
from uf_diffusion.runs.warnings_before import cautions
from uf_diffusion.runs.whole_fields import whole_distances

__all__ = ["Folder", "compare", "compared", "follow", "solve", "spectrum", "train"]

type Folder = str | Path | None

PACKAGE = str(Path(__file__).parents[1])


def solve(
    setup: Setup, folder: Folder = None, watch: Watch = (), *, cautious: bool = True
) -> Result:
    """Solve the PDE.

    Args:
        setup: the objects of the run; its network is not used.
        folder: the run's folder, which gets densities for ParaView and checkpoints. If it holds a
            checkpoint of the same run, that run is continued. If None, nothing is written.
        watch: functions to call with each `DiffusionState`, on all ranks.
        cautious: whether to check before the run (`cautions`) and after it (`findings`) if the
            numbers can be trusted, which takes a second or two. Each reason not to trust them is
            issued as a `Caution`, a Python warning, and recorded in the result's `warnings`. If
            warnings are turned into errors, a `Finding` is raised instead of returning a result.

    Returns:
        A result with the group /diffusion on rank 0; on other ranks it has only attributes.

    Raises:
        InputError: if the problem cannot be solved or DOLFINx is missing.
        SolverFailure: if no time step is small enough.
        Unwritable: if a file cannot be written.
        Interrupted: on Ctrl-C or SIGTERM, after a checkpoint.
    """
    clock = Timings()
    with clock.part("set-up"):
        folder, watch, solver = _path(folder), watchers(watch), equation(setup)
        before = _cautions(cautious, setup, trained=False)
        inputs = fingerprint(setup, "solve")
    job = Job("solve", setup.config)
    with Checkpoints(folder, job, inputs, before) as checkpoints, clock.part("diffusion"):
        found = solved(solver, setup, setup.times, folder, checkpoints, watch, cautious)
    clock.include(found.solver.timings, "diffusion")
    return _noted(_gathered(setup, job.name, clock, inputs, diffusion=found.group), before)


def train(
    setup: Setup, folder: Folder = None, watch: Watch = (), *, cautious: bool = True
) -> Result:
    """Train the network.

    Args:
        setup: the objects of the run; of the section [diffusion] only ``snapshots`` and
            ``checkpoint`` are used.
        folder: as in `solve`.
        watch: functions to call with each `NetworkState`, on all ranks.
        cautious: as in `solve`.

    Returns:
        A result with the group /network on rank 0; on other ranks it has only attributes.

    Raises:
        InputError: if the network cannot be trained.
        TrainingFailure: if features become infinite or NaN, or optimal outer weights do not exist.
        Unwritable, Interrupted: as `solve`.
    """
    clock = Timings()
    with clock.part("set-up"):
        folder, watch, network = _path(folder), watchers(watch), training(setup)
        before = _cautions(cautious, setup, solved=False)
        inputs = fingerprint(setup, "train")
    job = Job("train", setup.config)
    with Checkpoints(folder, job, inputs, before) as checkpoints, clock.part("network"):
        group = trained(network, checkpoints, watch)
    return _noted(_gathered(setup, job.name, clock, inputs, network=group), before)


def compare(
    setup: Setup, folder: Folder = None, watch: Watch = (), job: str = "compare", *,
    cautious: bool = True,
) -> Result:  # fmt: skip
    """Solve the PDE, train the network, and measure how far they are apart.

    Args:
        setup, folder: as in `solve`.
        watch: functions to call with each state of the diffusion and the network, on all ranks.
        job: the name of the job in checkpoints, which `resume` continues.
        cautious: as in `solve`.

    Returns:
        A result with /diffusion, /network and /comparison on rank 0; on other ranks it has only
        attributes.

    Raises:
        InputError, SolverFailure, TrainingFailure, Unwritable, Interrupted: as `solve`, `train`.
    """
    clock = Timings()
    with clock.part("set-up"):
        folder, watch = _path(folder), watchers(watch)
        require_density(setup)
        network = training(setup)  # first, as checking its input is cheap
        solver = equation(setup)
        before = _cautions(cautious, setup)
        inputs = fingerprint(setup, job)
    with Checkpoints(folder, Job(job, setup.config), inputs, before) as checkpoints:
        with clock.part("diffusion"):
            diffusion, solver = solved(
                solver, setup, setup.clock_times, folder, checkpoints, watch, cautious
            )
            setup = setup.on(solver.grid) if setup.config.diffusion.tolerance else setup
        with clock.part("network"):
            particles = trained(network, checkpoints, watch)
    clock.include(solver.timings, "diffusion")
    return compared(setup, clock, diffusion, particles, network.teacher, before, job, inputs,
                    folder)  # fmt: skip


def compared(
    setup: Setup, clock: Timings, diffusion: xr.Dataset | None, network: xr.Dataset | None,
    teacher: Atoms, before: list[str] | None, job: str = "compare",
    inputs: Mapping[str, str] | None = None, folder: Path | None = None,
) -> Result:  # fmt: skip
    """Measure how far a network and a diffusion that are ready are apart. Call it on all ranks.

    Args:
        setup: the run; its manifold and the grid of the diffusion are used.
        clock: the times of the parts so far.
        diffusion, network: the groups /diffusion and /network with the same snapshot times on rank
            0, and None on other ranks.
        teacher: the teacher's neurons.
        before: warnings that have been issued; None: no checks.
        job: the name of the job.
        inputs: the `fingerprint` of what the two sides have read.
        folder: the folder with the file of a large field, if there is one.

    Raises:
        InputError: if that file is damaged, or not that of this diffusion.
    """

    def measured() -> xr.Dataset:
        assert diffusion is not None and network is not None
        shown = coarse_enough(setup.grid, diffusion.sizes["node"])  # of large fields a picture
        group = distances(setup.problem, shown or setup.grid, diffusion, network, teacher, whole)
        return group.assign_attrs(_seen_attributes(setup))

    with clock.part("distances"):
        whole = whole_distances(setup.grid, folder, diffusion, network)
        comparison = mpi.on_root(measured)
    result = _gathered(setup, job, clock, inputs or {}, diffusion=diffusion, network=network,
                       comparison=comparison)  # fmt: skip
    return _noted(result, before)


def follow(setup: Setup) -> Result:
    """Train the network, and measure only its energy distances to the teacher and the diffusion.

    Figures of many runs need no more than that, and the result is smaller without the diffusion.
    For a teacher without a density only the distance to the teacher is measured.

    Args:
        setup: the objects of the run.

    Returns:
        A result with /network and /comparison on rank 0; on other ranks it has only attributes.

    Raises:
        InputError, SolverFailure, TrainingFailure: as `compare`.
    """
    clock = Timings()
    require_density(setup)
    network = training(setup)
    diffusion, nothing = None, Checkpoints(None, Job("follow", setup.config))
    if setup.problem.teacher.has_values:
        diffusion = _limit(setup, nothing)
    particles = trained(network, nothing)

    def measured() -> xr.Dataset:
        assert particles is not None
        return dataset(**energies(setup.problem, diffusion, particles, network.teacher))

    comparison = mpi.on_root(measured)
    return _gathered(setup, "follow", clock, {}, network=particles, comparison=comparison)


def _limit(setup: Setup, nothing: Checkpoints) -> xr.Dataset | None:
    """The diffusion at the times of a training; the last one is remembered, since the networks of
    a figure mostly differ in what the diffusion does not depend on.
    """
    c, times = setup.config, setup.clock_times
    kernel = c.network if c.problem.limit == "mean-field" else ""
    parts = (c.problem, c.diffusion, kernel, times.tolist(), fingerprint(setup, "solve"))
    key = f"{parts} {mpi.size()}"
    if key not in _LIMITS:
        _LIMITS.clear()
        _LIMITS[key] = solved(equation(setup), setup, times, None, nothing, estimate=False).group
    return _LIMITS[key]


_LIMITS: dict[str, xr.Dataset | None] = {}


def spectrum(setup: Setup, count: int = 6, *, cautious: bool = True) -> Result:
    """Compute the spectra of the weighted Laplacian and of the features' kernel.

    The smallest non-zero eigenvalues of -(1/nu) div(nu grad) set the decay rate of the diffusion at
    late times. The eigenvalues of the kernel say what the features see, see `identifiability`.

    Args:
        setup: the objects of the run; manifold, densities, features and mesh are used.
        count: number of eigenvalues of the Laplacian, from 1 to 100.
        cautious: whether to check afterwards if the numbers can be trusted, see `findings`.

    Returns:
        A result with the groups /kernel and /spectrum on rank 0, without /spectrum if DOLFINx is
        missing; on other ranks it has only attributes.

    Raises:
        InputError: if the problem cannot be solved, or ``count`` is out of range.
        SolverFailure: if the eigenvalue solver fails.
    """
    clock = Timings()
    before: list[str] | None = [] if cautious else None
    whole_number("The number of eigenvalues", count, 1, 100)
    kernel, job = _kernel(setup), f"spectrum --count {count}"
    if not _installed("dolfinx"):
        return _noted(_gathered(setup, job, clock, {}, kernel=kernel), before)
    require_memory_of_spectrum(setup.grid)
    solver = unconstrained(setup)
    if solver.grid.node_count < 4 * count + 20:
        raise InputError(f"{solver.grid.node_count} nodes are too few for {count} eigenvalues.")
    from uf_diffusion.diffusion.spectrum import spectrum as eigenpairs

    values, functions = eigenpairs(solver, count)
    inputs = fingerprint(setup, job)
    function, teacher = solver.gathered(functions), solver.gathered(solver.teacher)
    if function is None:
        return _noted(_gathered(setup, job, clock, inputs), before)
    group = dataset(
        eigenvalue=(("mode",), values),
        node_position=(("node", "ambient"), solver.grid.nodes),
        teacher=(("node",), teacher),
        eigenfunction=(("mode", "node"), function),
    )
    return _noted(_gathered(setup, job, clock, inputs, kernel=kernel, spectrum=group), before)


def _kernel(setup: Setup) -> xr.Dataset:
    """The group /kernel: what the features see."""
    seen = setup.seen
    learnt = seen.eigenvalue / (seen.eigenvalue + setup.config.network.regularisation)
    return dataset(
        degree=(("row",), seen.degree),
        wave=(("row", "axis"), seen.wave),
        multiplicity=(("row",), seen.multiplicity),
        eigenvalue=(("row",), seen.eigenvalue),
        teacher_share=(("row",), seen.teacher_share),
        initial_share=(("row",), seen.initial_share),
        learnt=(("row",), learnt),
    ).assign_attrs(seen.attributes)


def _gathered(
    setup: Setup, job: str, clock: Timings, inputs: Mapping[str, str], **groups: xr.Dataset | None
) -> Result:
    """A result with the groups that are not None, and with attributes on how it was made."""
    present: dict[str, Any] = {f"/{k}": v for k, v in groups.items() if v is not None}
    if present:
        present["/timings"] = clock.group()
    config = setup.config
    attributes = run_attributes(config.to_toml(), config.network.seed, clock.total)
    attributes |= {"command": job, "inputs": json.dumps(dict(inputs)), "code": code()}
    if setup.problem.axis is not None:
        attributes["axis"] = np.array(setup.problem.axis)
    root = xr.Dataset(attrs=attributes)
    return Result(setup, xr.DataTree.from_dict({"/": root, **present}, name=config.name))


def _seen_attributes(setup: Setup) -> dict[str, Any]:
    """The attributes of `identifiability`; empty if the eigenvalues of the kernel are not known,
    as for a user's own features.
    """
    try:
        return setup.seen.attributes
    except InputError:
        return {}


def _path(folder: Folder) -> Path | None:
    return None if folder is None else user_path(folder)


def _cautions(
    wanted: bool, setup: Setup, *, solved: bool = True, trained: bool = True
) -> list[str] | None:
    """The `cautions` of a run, after rank 0 has issued them as warnings; None if not wanted."""
    if not wanted:
        return None
    found = cautions(setup, solved, trained)
    mpi.on_root(lambda: _warn(found, Caution))
    return found


def _noted(result: Result, before: list[str] | None) -> Result:
    """The result after its `findings` have been issued and added to its `warnings`, on all ranks.

    If ``before`` is None, there are no checks.
    """
    attributes = result.attributes
    attributes["warnings"] = ""
    if before is None:
        return result

    def noted() -> str:
        result.warn([*before, *findings(result)])
        _warn([s for s in result.warnings if s not in before], Finding)
        return str(attributes["warnings"])

    attributes["warnings"] = mpi.from_root(noted)
    return result


def _warn(sentences: list[str], kind: type[Caution]) -> None:
    for sentence in sentences:
        warnings.warn(sentence, kind, skip_file_prefixes=(PACKAGE,))  # names the caller's line


def _installed(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except ImportError:
        return False
