"""What a run does: solve, train, compare, spectrum, each a function of a `Setup`.

Both sides run on one clock t; their results are groups of one xarray tree, whose names and shapes
are those of a run folder's result.nc.
"""

from __future__ import annotations

import importlib.util
import warnings
from pathlib import Path
from typing import Any

import xarray as xr

from uf_diffusion.core import mpi
from uf_diffusion.core.arguments import whole_number
from uf_diffusion.core.errors import Caution, Finding, InputError
from uf_diffusion.core.progress import Watch, watchers
from uf_diffusion.core.wording import shown
from uf_diffusion.kernels.identifiability import Identifiability, identifiability
from uf_diffusion.results.names import dataset
from uf_diffusion.results.provenance import run_attributes
from uf_diffusion.results.timings import Timings
from uf_diffusion.runs.checkpoints import Checkpoints, Job
from uf_diffusion.runs.comparing import distances, energies
from uf_diffusion.runs.resources import require_memory_of_spectrum
from uf_diffusion.runs.result import Result
from uf_diffusion.runs.setup import Setup
from uf_diffusion.runs.solving import equation, solved, unconstrained
from uf_diffusion.runs.training import trained, training
from uf_diffusion.runs.warnings_after import findings
from uf_diffusion.runs.warnings_before import cautions

__all__ = ["Folder", "compare", "follow", "gathered", "seen_attributes", "solve", "spectrum",
           "train"]  # fmt: skip

type Folder = str | Path | None

PACKAGE = str(Path(__file__).parents[1])


def solve(
    setup: Setup, folder: Folder = None, watch: Watch = (), *, cautious: bool = True
) -> Result:
    """Solve the PDE.

    Args:
        setup: the run; its network is not used.
        folder: the run's folder: densities for ParaView and checkpoints go there, and the run goes
            on from a checkpoint of the same run found there; `resume` of the command line makes it
            a complete run. None: nothing is written.
        watch: functions to call with each `DiffusionState`, on all ranks.
        cautious: whether to measure beforehand what could make the numbers wrong, see `cautions`,
            and to look for it afterwards, see `findings`. Each is a `Caution`, Python's kind of
            warning, and one of the result's `warnings`. It takes a second or two. Where
            warnings are made errors, a `Finding` takes the place of the result.

    Returns:
        A result with the group /diffusion on rank 0; elsewhere with the attributes alone.

    Raises:
        InputError: for a problem that cannot be solved, or without DOLFINx.
        SolverFailure: when no time step is small enough.
        Unwritable: when a file cannot be written.
        Interrupted: after a checkpoint, on Ctrl-C or SIGTERM.
    """
    clock = Timings()
    with clock.part("set-up"):
        folder, watch, solver = _path(folder), watchers(watch), equation(setup)
        before = _cautions(cautious, setup, trained=False)
    with Checkpoints(folder, Job("solve", setup.config)) as checkpoints, clock.part("diffusion"):
        group = solved(solver, setup, setup.times, folder, checkpoints, watch)
    clock.include(solver.timings, "diffusion")
    return _noted(gathered(setup, clock, diffusion=group), before)


def train(
    setup: Setup, folder: Folder = None, watch: Watch = (), *, cautious: bool = True
) -> Result:
    """Train the network.

    Args:
        setup: the run; of its diffusion only the snapshots and the time between checkpoints are
            used.
        folder: as in `solve`.
        watch: functions to call with each `NetworkState`, on all ranks.
        cautious: as in `solve`.

    Returns:
        A result with the group /network on rank 0; elsewhere with the attributes alone.

    Raises:
        InputError: for a network that cannot be trained.
        TrainingFailure: when the features leave the finite numbers, or have no optimal weights.
        Unwritable, Interrupted: as `solve`.
    """
    clock = Timings()
    with clock.part("set-up"):
        folder, watch, network = _path(folder), watchers(watch), training(setup)
        before = _cautions(cautious, setup, solved=False)
    with Checkpoints(folder, Job("train", setup.config)) as checkpoints, clock.part("network"):
        group = trained(network, checkpoints, watch)
    return _noted(gathered(setup, clock, network=group), before)


def compare(
    setup: Setup, folder: Folder = None, watch: Watch = (), job: str = "compare", *,
    cautious: bool = True,
) -> Result:  # fmt: skip
    """Solve the PDE, train the network, and measure how far they are apart.

    Args:
        setup, folder: as in `solve`.
        watch: functions to call with each state of either side, on all ranks.
        job: what `resume` does.
        cautious: as in `solve`.

    Returns, Raises: as `solve` and `train`; the result has /diffusion, /network, /comparison.
    """
    clock = Timings()
    with clock.part("set-up"):
        folder, watch = _path(folder), watchers(watch)
        network = training(setup)  # its mistakes first: they cost nothing
        solver = equation(setup)
        before = _cautions(cautious, setup)
    with Checkpoints(folder, Job(job, setup.config)) as checkpoints:
        with clock.part("diffusion"):
            diffusion = solved(solver, setup, setup.clock_times, folder, checkpoints, watch)
        with clock.part("network"):
            particles = trained(network, checkpoints, watch)
    clock.include(solver.timings, "diffusion")

    def measured() -> xr.Dataset:
        assert diffusion is not None and particles is not None
        compared = distances(setup.manifold, setup.grid, diffusion, particles, network.teacher)
        return compared.assign_attrs(seen_attributes(setup))

    with clock.part("distances"):
        compared = mpi.on_root(measured)
    result = gathered(setup, clock, diffusion=diffusion, network=particles, comparison=compared)
    return _noted(result, before)


def follow(setup: Setup) -> Result:
    """Train the network, and measure its energy distances to teacher and diffusion: what figures
    of many runs show of each, without the diffusion's fields.

    Args, Raises: as `compare`; a teacher without a density has no distance to a diffusion.

    Returns:
        A result with /network and /comparison on rank 0; elsewhere with the attributes alone.
    """
    clock = Timings()
    network = training(setup)
    diffusion, nothing = None, Checkpoints(None, Job("follow", setup.config))
    if setup.problem.teacher.has_values:
        diffusion = solved(equation(setup), setup, setup.clock_times, None, nothing)
    particles = trained(network, nothing)

    def measured() -> xr.Dataset:
        assert particles is not None
        return dataset(**energies(setup.manifold, diffusion, particles, network.teacher))

    compared = mpi.on_root(measured)
    return gathered(setup, clock, network=particles, comparison=compared)


def spectrum(setup: Setup, count: int = 6, *, cautious: bool = True) -> Result:
    """What governs the last rate, and what the features see.

    The smallest non-zero eigenvalues of the weighted Laplacian -(1/nu) div(nu grad), and the
    eigenvalues of the kernel with the two densities' shares, see `identifiability`.

    Args:
        setup: the run; its manifold, densities, features and mesh are used.
        count: how many of the Laplacian's, from 1 to 100.
        cautious: whether to look for what makes the numbers wrong, see `findings`.

    Returns:
        A result with the groups /kernel and /spectrum on rank 0, without /spectrum where there is
        no DOLFINx; elsewhere with the attributes alone.

    Raises:
        InputError: for a problem that cannot be solved, or a count out of range.
        SolverFailure: when the eigenvalue solver fails.
    """
    clock = Timings()
    before: list[str] | None = [] if cautious else None
    whole_number("The number of eigenvalues", count, 1, 100)
    seen = _seen(setup)
    kernel = dataset(
        degree=(("row",), seen.degree),
        wave=(("row", "axis"), seen.wave),
        multiplicity=(("row",), seen.multiplicity),
        eigenvalue=(("row",), seen.eigenvalue),
        teacher_share=(("row",), seen.teacher_share),
        initial_share=(("row",), seen.initial_share),
    ).assign_attrs(seen.attributes)
    if not _installed("dolfinx"):
        return _noted(gathered(setup, clock, kernel=kernel), before)
    require_memory_of_spectrum(setup.grid)
    solver = unconstrained(setup)
    if len(solver.grid.nodes) < 4 * count + 20:
        raise InputError(f"{len(solver.grid.nodes)} nodes are too few for {count} eigenvalues.")
    from uf_diffusion.diffusion.spectrum import spectrum as eigenpairs

    values, functions = eigenpairs(solver, count)
    function, teacher = solver.gathered(functions), solver.gathered(solver.teacher)
    if function is None:
        return _noted(gathered(setup, clock), before)
    group = dataset(
        eigenvalue=(("mode",), values),
        node_position=(("node", "ambient"), solver.grid.nodes),
        teacher=(("node",), teacher),
        eigenfunction=(("mode", "node"), function),
    )
    return _noted(gathered(setup, clock, kernel=kernel, spectrum=group), before)


def gathered(setup: Setup, clock: Timings, **groups: xr.Dataset | None) -> Result:
    """A result of the groups that this rank has."""
    present: dict[str, Any] = {f"/{k}": v for k, v in groups.items() if v is not None}
    if present:
        present["/timings"] = clock.group()
    config = setup.config
    attributes = run_attributes(config.to_toml(), config.network.seed, clock.total)
    root = xr.Dataset(attrs=attributes)
    return Result(setup, xr.DataTree.from_dict({"/": root, **present}, name=config.name))


def seen_attributes(setup: Setup) -> dict[str, Any]:
    """What the features see; nothing where the kernel's eigenvalues are not known, as those of a
    user's features.
    """
    try:
        return _seen(setup).attributes
    except InputError:
        return {}


def _seen(setup: Setup) -> Identifiability:
    return identifiability(setup.features, setup.problem.teacher, setup.problem.initial)


def _path(folder: Folder) -> Path | None:
    if not isinstance(folder, str | Path | None):
        raise InputError(f"A run's folder is a path, not {shown(folder)}.")
    return None if folder is None else Path(folder)


def _cautions(
    wanted: bool, setup: Setup, *, solved: bool = True, trained: bool = True
) -> list[str] | None:
    """Reasons not to trust the run, told on rank 0: who looks on can stop it. None: not wanted."""
    if not wanted:
        return None
    found = cautions(setup, solved, trained)
    mpi.on_root(lambda: _warn(found, Caution))
    return found


def _noted(result: Result, before: list[str] | None) -> Result:
    """The result with what cannot be trusted about it as its `warnings`, on all ranks."""
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
        warnings.warn(sentence, kind, skip_file_prefixes=(PACKAGE,))  # the caller's line


def _installed(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except ImportError:
        return False
