"""The three jobs of the command line, as functions of a configuration: solve, train, compare.

Both sides run on one clock t; their results are groups of one xarray tree, whose names and shapes
are those of a run folder's result.nc.
"""

from __future__ import annotations

import importlib.util
import math
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from uf_diffusion import parallel
from uf_diffusion.checkpoints import Checkpoints, Job
from uf_diffusion.comparison.cautions import cautions
from uf_diffusion.comparison.diffusions import equation, grid_of, solved, unconstrained
from uf_diffusion.comparison.distances import energy_distance_series, w2
from uf_diffusion.comparison.energy import negative_type
from uf_diffusion.comparison.findings import note, warnings_of
from uf_diffusion.comparison.identifiability import Identifiability, identifiability
from uf_diffusion.comparison.measures import Measure
from uf_diffusion.comparison.networks import Training, feature_of
from uf_diffusion.config import Config
from uf_diffusion.errors import Caution, Finding, InputError, shown
from uf_diffusion.memory import require_memory_of_spectrum
from uf_diffusion.network.feature_maps import Atoms
from uf_diffusion.observers import Watch, watchers
from uf_diffusion.problem import Problem
from uf_diffusion.problem.arguments import whole_number
from uf_diffusion.problem.densities import Diracs
from uf_diffusion.problem.grids import Grid
from uf_diffusion.problem.manifolds import Array, Manifold
from uf_diffusion.store import dataset, run_attributes
from uf_diffusion.timings import Timings

if TYPE_CHECKING:
    from uf_diffusion.diffusion.evolution import Evolution

__all__ = [
    "compare",
    "evolution",
    "follow",
    "solve",
    "spectrum",
    "train",
    "training",
]

type Folder = str | Path | None

PACKAGE = str(Path(__file__).parents[1])
W2_PAIRS = 2**24  # of neurons and nodes up to which W2 takes a few seconds a snapshot


def solve(
    config: Config, folder: Folder = None, watch: Watch = (), *, cautious: bool = True
) -> xr.DataTree:
    """Solve the PDE.

    Args:
        config: the run; its network section is not used.
        folder: the run's folder: densities for ParaView and checkpoints go there, and the run goes
            on from a checkpoint of the same run found there; `resume` of the command line makes it
            a complete run. None: nothing is written.
        watch: functions to call with each `DiffusionState`, on all ranks.
        cautious: whether to measure beforehand what could make the numbers wrong, see `cautions`,
            and to look for it afterwards, see `findings`. Each is a `Caution`, Python's kind of
            warning, and a line of the attribute "warnings". It takes a second or two. Where
            warnings are made errors, a `Finding` takes the place of the result.

    Returns:
        The tree with the group /diffusion on rank 0; elsewhere the attributes alone.

    Raises:
        InputError: for a problem that cannot be solved, or without DOLFINx.
        SolverFailure: when no time step is small enough.
        Unwritable: when a file cannot be written.
        Interrupted: after a checkpoint, on Ctrl-C or SIGTERM.
    """
    clock = Timings()
    with clock.part("set-up"):
        folder, watch, solver = _path(folder), watchers(watch), evolution(config)
        before = _cautions(cautious, config, solver.problem, solver.grid, trained=False)
    with Checkpoints(folder, Job("solve", config)) as checkpoints, clock.part("diffusion"):
        group = solved(solver, config, config.times(), folder, checkpoints, watch)
    clock.include(solver.timings, "diffusion")
    return _noted(_tree(config, clock, diffusion=group), before)


def train(
    config: Config, folder: Folder = None, watch: Watch = (), *, cautious: bool = True
) -> xr.DataTree:
    """Train the network.

    Args:
        config: the run; of its diffusion section only the snapshots and the time between
            checkpoints are used.
        folder: as in `solve`.
        watch: functions to call with each `NetworkState`, on all ranks.
        cautious: as in `solve`.

    Returns:
        The tree with the group /network on rank 0; elsewhere the attributes alone.

    Raises:
        InputError: for a network that cannot be trained.
        TrainingFailure: when the features leave the finite numbers, or have no optimal weights.
        Unwritable, Interrupted: as `solve`.
    """
    clock = Timings()
    with clock.part("set-up"):
        folder, watch, problem = _path(folder), watchers(watch), _problem(config)
        network = Training(config, problem)
        before = _cautions(cautious, config, problem, None)
    with Checkpoints(folder, Job("train", config)) as checkpoints, clock.part("network"):
        group = network.run(checkpoints, watch)
    return _noted(_tree(config, clock, network=group), before)


def evolution(config: Config) -> Evolution:
    """The solver of the PDE, for loops of one's own: its `iterate` yields `DiffusionState`s.

    Raises:
        InputError: as `solve`.
    """
    return equation(config, _problem(config))


def training(config: Config) -> Training:
    """The network, for loops of one's own: its `states` yields `NetworkState`s.

    Raises:
        InputError: as `train`.
    """
    return Training(config, _problem(config))


def spectrum(config: Config, count: int = 6) -> xr.DataTree:
    """What governs the last rate, and what the features see.

    The smallest non-zero eigenvalues of the weighted Laplacian -(1/nu) div(nu grad), and the
    eigenvalues of the kernel with the two densities' shares, see `identifiability`.

    Args:
        config: the run; its manifold, densities, features and mesh are used.
        count: how many of the Laplacian's, from 1 to 100.

    Returns:
        The tree with the groups /kernel and /spectrum on rank 0, without /spectrum where there is
        no DOLFINx; elsewhere the attributes alone.

    Raises:
        InputError: for a problem that cannot be solved, or a count out of range.
        SolverFailure: when the eigenvalue solver fails.
    """
    clock = Timings()
    whole_number("The number of eigenvalues", count, 1, 100)
    problem = _problem(config)
    seen = _seen(config, problem)
    kernel = dataset(
        degree=(("row",), seen.degree),
        wave=(("row", "axis"), seen.wave),
        multiplicity=(("row",), seen.multiplicity),
        eigenvalue=(("row",), seen.eigenvalue),
        teacher_share=(("row",), seen.teacher_share),
        initial_share=(("row",), seen.initial_share),
    ).assign_attrs(seen.attributes)
    if not _installed("dolfinx"):
        return _tree(config, clock, kernel=kernel)
    require_memory_of_spectrum(grid_of(config, problem.manifold))
    solver = unconstrained(config, problem)
    if len(solver.grid.nodes) < 4 * count + 20:
        raise InputError(f"{len(solver.grid.nodes)} nodes are too few for {count} eigenvalues.")
    from uf_diffusion.diffusion.spectrum import spectrum as eigenpairs

    values, functions = eigenpairs(solver, count)
    function, teacher = solver.gathered(functions), solver.gathered(solver.teacher)
    if function is None:
        return _tree(config, clock)
    group = dataset(
        eigenvalue=(("mode",), values),
        node=(("node", "ambient"), solver.grid.nodes),
        teacher=(("node",), teacher),
        eigenfunction=(("mode", "node"), function),
    )
    return _tree(config, clock, kernel=kernel, spectrum=group)


def compare(
    config: Config, folder: Folder = None, watch: Watch = (), job: str = "compare", *,
    cautious: bool = True,
) -> xr.DataTree:  # fmt: skip
    """Solve the PDE, train the network, and measure how far they are apart.

    Args:
        config, folder: as in `solve`.
        watch: functions to call with each state of either side, on all ranks.
        job: what `resume` does.
        cautious: as in `solve`.

    Returns, Raises: as `solve` and `train`; the tree has /diffusion, /network, /comparison.
    """
    clock = Timings()
    with clock.part("set-up"):
        folder, watch, problem = _path(folder), watchers(watch), _problem(config)
        network = Training(config, problem)  # its mistakes first: they cost nothing
        solver = equation(config, problem)
        before = _cautions(cautious, config, problem, solver.grid)
    with Checkpoints(folder, Job(job, config)) as checkpoints:
        with clock.part("diffusion"):
            diffusion = solved(solver, config, config.clock_times(), folder, checkpoints, watch)
        with clock.part("network"):
            trained = network.run(checkpoints, watch)
    clock.include(solver.timings, "diffusion")

    def measured() -> xr.Dataset:
        assert diffusion is not None and trained is not None
        return distances(
            problem.manifold, solver.grid, diffusion, trained, network.teacher
        ).assign_attrs(_seen_attributes(config, problem))

    with clock.part("distances"):
        compared = parallel.on_root(measured)
    result = _tree(config, clock, diffusion=diffusion, network=trained, comparison=compared)
    return _noted(result, before)


def follow(config: Config) -> xr.DataTree:
    """Train the network, and measure its energy distances to teacher and diffusion: what figures
    of many runs show of each, without the diffusion's fields.

    Args, Raises: as `compare`; a teacher without a density has no distance to a diffusion.

    Returns:
        The tree with /network and /comparison on rank 0; elsewhere the attributes alone.
    """
    clock = Timings()
    problem = _problem(config)
    network = Training(config, problem)
    diffusion, nothing = None, Checkpoints(None, Job("follow", config))
    if not isinstance(problem.teacher, Diracs):
        solver = equation(config, problem)
        diffusion = solved(solver, config, config.clock_times(), None, nothing)
    trained = network.run(nothing)

    def measured() -> xr.Dataset:
        assert trained is not None
        return dataset(**_energies(problem.manifold, diffusion, trained, network.teacher))

    compared = parallel.on_root(measured)
    return _tree(config, clock, network=trained, comparison=compared)


def _problem(config: Config) -> Problem:
    if not isinstance(config, Config):
        raise InputError(f"A run needs a Config, as load_config returns it, not {shown(config)}.")
    return config.build()


def _path(folder: Folder) -> Path | None:
    if not isinstance(folder, str | Path | None):
        raise InputError(f"A run's folder is a path, not {shown(folder)}.")
    return None if folder is None else Path(folder)


def _cautions(
    wanted: bool, config: Config, problem: Problem, grid: Grid | None, trained: bool = True
) -> list[str] | None:
    """Reasons not to trust the run, told on rank 0: who looks on can stop it. None: not wanted."""
    if not wanted:
        return None
    found = cautions(config, problem, grid, trained)
    parallel.on_root(lambda: _warn(found, Caution))
    return found


def _noted(result: xr.DataTree, before: list[str] | None) -> xr.DataTree:
    """The result with what cannot be trusted about it as its attribute "warnings", on all ranks."""
    result.attrs["warnings"] = ""
    if before is None:
        return result

    def noted() -> str:
        note(result, before)
        _warn([s for s in warnings_of(result) if s not in before], Finding)
        return str(result.attrs["warnings"])

    result.attrs["warnings"] = parallel.from_root(noted)
    return result


def _warn(sentences: list[str], kind: type[Caution]) -> None:
    for sentence in sentences:
        warnings.warn(sentence, kind, skip_file_prefixes=(PACKAGE,))  # the caller's line


def _tree(config: Config, clock: Timings, **groups: xr.Dataset | None) -> xr.DataTree:
    present: dict[str, Any] = {f"/{k}": v for k, v in groups.items() if v is not None}
    if present:
        present["/timings"] = clock.group()
    root = xr.Dataset(attrs=run_attributes(config, clock.total))
    return xr.DataTree.from_dict({"/": root, **present}, name=config.name)


def _seen(config: Config, problem: Problem) -> Identifiability:
    phi = feature_of(config, problem.manifold)
    return identifiability(phi, problem.teacher, problem.initial)


def _seen_attributes(config: Config, problem: Problem) -> dict[str, Any]:
    """Nothing where the kernel's eigenvalues are not known, as those of a user's features."""
    try:
        return _seen(config, problem).attributes
    except InputError:
        return {}


def _installed(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except ImportError:
        return False


def distances(
    manifold: Manifold, grid: Grid, diffusion: xr.Dataset, network: xr.Dataset, teacher: Atoms
) -> xr.Dataset:
    """The group /comparison of two runs with the same snapshot times.

    Args:
        manifold: measures distances.
        grid: the diffusion's mesh, for its outer weight at the neurons.
        diffusion, network: the groups of the two runs.
        teacher: the teacher's neurons.
    """
    node, feature = diffusion.node.values, network.feature.values
    mass = diffusion.density.values * diffusion.node_measure.values
    masses = network.neuron_mass.values
    outer = zip(
        network.outer_weight.values, diffusion.outer_weight.values, feature, strict=True
    )  # fmt: skip
    error = [np.median(np.abs(u - grid.interpolate(limit, x))) for u, limit, x in outer]
    return dataset(
        **_energies(manifold, diffusion, network, teacher),
        w2_diffusion=(
            ("snapshot",),
            [
                _w2(Measure(manifold, x, masses), Measure(manifold, node, m / m.sum()))
                for x, m in zip(feature, mass, strict=True)
            ],
        ),
        outer_weight_error=(("snapshot",), error),
    ).assign_attrs(negative_type=int(negative_type(manifold)))


def _energies(
    manifold: Manifold, diffusion: xr.Dataset | None, network: xr.Dataset, teacher: Atoms
) -> dict[str, Any]:
    """The energy distances of `distances`, and their times; to the diffusion where there is one."""
    feature, masses = network.feature.values, network.neuron_mass.values

    def to(points: Array, weights: Array) -> tuple[tuple[str], Array]:
        rows = np.broadcast_to(weights, (len(feature), len(points)))
        return ("snapshot",), energy_distance_series(feature, points, rows, manifold, masses)

    found: dict[str, Any] = {"time": (("snapshot",), network.snapshot_time.values)}
    found["energy_distance_teacher"] = to(teacher.points, teacher.weights)
    if diffusion is not None:
        mass = diffusion.density.values * diffusion.node_measure.values
        found["energy_distance_diffusion"] = to(diffusion.node.values, mass)
    return found


def _w2(mu: Measure, nu: Measure) -> float:
    """W2; not a number where it would take more than a few seconds."""
    if mu.manifold.dim > 1 and len(mu.points) * len(nu.points) > W2_PAIRS:
        return math.nan
    return w2(mu, nu).value
