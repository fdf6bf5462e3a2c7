"""The three jobs of the command line, as functions of a configuration: solve, train, compare.

Both sides run on one clock t; their results are groups of one xarray tree, whose names and shapes
are those of a run folder's result.nc.
"""

from __future__ import annotations

import importlib.util
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from uf_diffusion import parallel
from uf_diffusion.checkpoints import Checkpoints
from uf_diffusion.comparison.distances import energy_distance_series, w2
from uf_diffusion.comparison.identifiability import Identifiability, identifiability
from uf_diffusion.comparison.measures import Measure
from uf_diffusion.comparison.networks import Training, feature_of
from uf_diffusion.config import Config
from uf_diffusion.errors import InputError
from uf_diffusion.meshfiles import read_usable_mesh
from uf_diffusion.network.feature_maps import Atoms
from uf_diffusion.observers import DIFFUSION_SERIES, DiffusionHistory, with_progress
from uf_diffusion.problem import Problem
from uf_diffusion.problem.densities import Diracs
from uf_diffusion.problem.grids import Grid, grid_on, with_degree
from uf_diffusion.problem.manifolds import Array, Manifold
from uf_diffusion.store import dataset, read_result, run_attributes

if TYPE_CHECKING:
    from uf_diffusion.diffusion.evolution import DiffusionState, Evolution
    from uf_diffusion.diffusion.schemes import Scheme
    from uf_diffusion.diffusion.solver import UltraFastDiffusion

__all__ = [
    "CHECKPOINT",
    "compare",
    "follow",
    "grid_of",
    "interrupted",
    "solve",
    "spectrum",
    "train",
]

CHECKPOINT = "checkpoint.nc"
W2_PAIRS = 2**24  # of neurons and nodes up to which W2 takes a few seconds a snapshot
RATE_NODES = 20_000  # the eigenvalue problem is factorised: it would dominate larger runs


def solve(config: Config, folder: Path | None = None) -> xr.DataTree:
    """Solve the PDE.

    Args:
        config: the run; its network section is not used.
        folder: the run's folder: densities for ParaView and checkpoints go there, and the run goes
            on from a checkpoint found there. None: nothing is written.

    Returns:
        The tree with the group /diffusion on rank 0; elsewhere the attributes alone.

    Raises:
        InputError: for a problem that cannot be solved, or without DOLFINx.
        SolverFailure: when no time step is small enough.
    """
    clock = time.perf_counter()
    solver = _evolution(config, config.build())
    with _checkpoints(config, folder, "solve") as checkpoints:
        group = _diffusion(solver, config, config.times(), folder, checkpoints)
    return _tree(config, clock, diffusion=group)


def train(config: Config, folder: Path | None = None) -> xr.DataTree:
    """Train the network.

    Args:
        config: the run; of its diffusion section only the snapshots and the time between
            checkpoints are used.
        folder: as in `solve`.

    Returns:
        The tree with the group /network on rank 0; elsewhere the attributes alone.

    Raises:
        InputError: for a network that cannot be trained.
        TrainingFailure: when the features leave the finite numbers.
    """
    clock = time.perf_counter()
    training = Training(config, config.build())
    with _checkpoints(config, folder, "train") as checkpoints:
        group = training.run(checkpoints)
    return _tree(config, clock, network=group)


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
    clock = time.perf_counter()
    if not 1 <= count <= 100:
        raise InputError(f"The number of eigenvalues must lie between 1 and 100, not {count}.")
    problem = config.build()
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
    solver = _solver(config, problem)
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


def compare(config: Config, folder: Path | None = None) -> xr.DataTree:
    """Solve the PDE, train the network, and measure how far they are apart.

    Args, Returns, Raises: as `solve` and `train`; the tree has /diffusion, /network, /comparison.
    """
    clock = time.perf_counter()
    problem = config.build()
    training = Training(config, problem)  # its mistakes first: they cost nothing
    solver = _evolution(config, problem)
    with _checkpoints(config, folder, "compare") as checkpoints:
        diffusion = _diffusion(solver, config, config.clock_times(), folder, checkpoints)
        trained = training.run(checkpoints)
    compared = None
    if diffusion is not None and trained is not None:
        compared = distances(
            problem.manifold, solver.grid, diffusion, trained, training.teacher
        ).assign_attrs(_seen(config, problem).attributes)
    return _tree(config, clock, diffusion=diffusion, network=trained, comparison=compared)


def follow(config: Config) -> xr.DataTree:
    """Train the network, and measure its energy distances to teacher and diffusion: what figures
    of many runs show of each, without the diffusion's fields.

    Args, Raises: as `compare`; a teacher without a density has no distance to a diffusion.

    Returns:
        The tree with /network and /comparison on rank 0; elsewhere the attributes alone.
    """
    clock = time.perf_counter()
    problem = config.build()
    training = Training(config, problem)
    diffusion, nothing = None, Checkpoints(None, math.inf, "follow")
    if not isinstance(problem.teacher, Diracs):
        solver = _evolution(config, problem)
        diffusion = _diffusion(solver, config, config.clock_times(), None, nothing)
    trained = training.run(nothing)
    compared = None
    if trained is not None:
        compared = dataset(**_energies(problem.manifold, diffusion, trained, training.teacher))
    return _tree(config, clock, network=trained, comparison=compared)


def interrupted(folder: Path) -> Callable[[Config, Path], xr.DataTree]:
    """The job, `solve`, `train` or `compare`, whose checkpoint lies in a run's folder.

    Raises:
        InputError: on all ranks, when there is none.
    """

    def read() -> str:
        if not (folder / CHECKPOINT).exists():
            done = (folder / "result.nc").exists()
            raise InputError(
                f"'{folder}' holds no checkpoint: "
                + ("the run is complete." if done else "there is nothing to go on with.")
            )
        return str(read_result(folder / CHECKPOINT).attrs.get("job", ""))

    name = parallel.broadcast(parallel.on_root(read))
    jobs = {"solve": solve, "train": train, "compare": compare}
    if name not in jobs:
        raise InputError(f"'{folder / CHECKPOINT}' is not a checkpoint of {', '.join(jobs)}.")
    return jobs[name]


def _checkpoints(config: Config, folder: Path | None, job: str) -> Checkpoints:
    path = None if folder is None else folder / CHECKPOINT
    return Checkpoints(path, config.diffusion.checkpoint, job)


def _tree(config: Config, clock: float, **groups: xr.Dataset | None) -> xr.DataTree:
    present: dict[str, Any] = {f"/{k}": v for k, v in groups.items() if v is not None}
    root = xr.Dataset(attrs=run_attributes(config, time.perf_counter() - clock))
    return xr.DataTree.from_dict({"/": root, **present}, name=config.name)


def _seen(config: Config, problem: Problem) -> Identifiability:
    phi = feature_of(config.network, problem.manifold)
    return identifiability(phi, problem.teacher, problem.initial)


def _installed(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except ImportError:
        return False


def _evolution(config: Config, problem: Problem) -> Evolution:
    """The equation that problem.limit names."""
    if config.problem.limit == "unconstrained":
        return _solver(config, problem)
    grid = grid_of(config, problem.manifold)
    from uf_diffusion.diffusion.constrained import ConstrainedDiffusion

    return ConstrainedDiffusion(problem, grid, *_stepping(config))


def _solver(config: Config, problem: Problem) -> UltraFastDiffusion:
    grid = grid_of(config, problem.manifold)
    from uf_diffusion.diffusion.solver import UltraFastDiffusion

    return UltraFastDiffusion(problem, grid, *_stepping(config))


def _stepping(config: Config) -> tuple[Scheme, float, Any]:
    """Time scheme, tolerance and the ranks that share the mesh."""
    from uf_diffusion.diffusion.schemes import scheme

    return scheme(config.diffusion.scheme), config.diffusion.rtol, parallel.communicator()


def grid_of(config: Config, manifold: Manifold) -> Grid:
    """The mesh of a run."""
    d = config.diffusion
    if d.mesh:
        return with_degree(read_usable_mesh(Path(d.mesh)), d.degree)
    return grid_on(manifold, d.cells, d.degree)


def _diffusion(
    solver: Evolution,
    config: Config,
    times: Array,
    folder: Path | None,
    checkpoints: Checkpoints,
) -> xr.Dataset | None:
    """Run the PDE to the last of the times; the dataset on rank 0."""
    from uf_diffusion.diffusion.checkpoints import pack, restore

    history = DiffusionHistory(solver, times)
    stored = checkpoints.stored("diffusion")
    start = None if stored is None else restore(stored, solver, history)
    fixed = config.diffusion.step or None
    if fixed and start is not None and start.t < times[-1] * (1 - 1e-12):
        raise InputError("A diffusion with diffusion.step cannot go on halfway: run it again.")

    def packed(state: DiffusionState) -> xr.Dataset | None:
        return pack(state, solver, history)

    watch = checkpoints.watch("diffusion", packed)
    for state in with_progress(solver.iterate(times[-1], fixed, start), times[-1], "diffusion"):
        history(state)
        watch(state)
    if history.last is not None:
        checkpoints.write("diffusion", packed(history.last))  # what comes next may be longer
    if folder is not None:
        from uf_diffusion.diffusion.fields import write_fields

        write_fields(folder / "fields.bp", solver, zip(times, history.ratios, strict=True))
    ratios, outer = np.array(history.ratios), [solver.outer_weight(h) for h in history.ratios]
    ratio, u, teacher, volume = (
        solver.gathered(a) for a in (ratios, np.array(outer), solver.teacher, solver.volume)
    )
    rate = _rate(solver)
    if ratio is None or teacher is None:
        return None
    cell = {}
    if config.diffusion.mesh:  # readers of the result may not have the file
        cell["cell"] = (("cell", "corner"), solver.grid.cells)
    return dataset(
        **cell,
        time=(("step",), history.series("t")),
        **{name: (("step",), history.series(name)) for name in DIFFUSION_SERIES[1:]},
        snapshot_time=(("snapshot",), times),
        node=(("node", "ambient"), solver.grid.nodes),
        node_measure=(("node",), volume),
        teacher=(("node",), teacher),
        density=(("snapshot", "node"), ratio * teacher),
        outer_weight=(("snapshot", "node"), u),
    ).assign_attrs(rate)


def _rate(solver: Evolution) -> dict[str, float]:
    """The attribute decay_rate: f''(1) lambda_1, the rate of the potential near equilibrium,
    f''(1) = 1 / f*''(f'(1)). Nothing where that is too large to compute, or another equation.
    """
    from uf_diffusion.diffusion.solver import UltraFastDiffusion
    from uf_diffusion.diffusion.spectrum import spectrum as eigenpairs

    if not isinstance(solver, UltraFastDiffusion) or len(solver.grid.nodes) > RATE_NODES:
        return {}
    f, one = solver.problem.divergence, np.ones(1)
    return {"decay_rate": float(eigenpairs(solver, 1)[0][0] / f.d2conjugate(f.df(one))[0])}


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
    )


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
