"""The diffusion that a configuration describes: its mesh and equation, solved, continued."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from uf_diffusion import parallel
from uf_diffusion.checkpoints import Checkpoints
from uf_diffusion.config import Config
from uf_diffusion.memory import require_memory_of_diffusion
from uf_diffusion.meshfiles import read_usable_mesh
from uf_diffusion.observers import DIFFUSION_SERIES, DiffusionHistory, Watch, with_progress
from uf_diffusion.problem import Problem
from uf_diffusion.problem.grids import Grid, grid_on, with_degree
from uf_diffusion.problem.manifolds import Array, Manifold
from uf_diffusion.store import dataset

if TYPE_CHECKING:
    from uf_diffusion.diffusion.evolution import DiffusionState, Evolution
    from uf_diffusion.diffusion.schemes import Scheme
    from uf_diffusion.diffusion.solver import UltraFastDiffusion

__all__ = ["equation", "fitting_grid", "grid_of", "solved", "unconstrained"]

RATE_NODES = 20_000  # the eigenvalue problem is factorised: it would dominate larger runs


def equation(config: Config, problem: Problem) -> Evolution:
    """The solver of the equation that problem.limit names.

    Raises:
        InputError: for a problem that cannot be solved, or without DOLFINx.
    """
    if config.problem.limit == "unconstrained":
        return unconstrained(config, problem)
    grid = fitting_grid(config, problem.manifold)
    from uf_diffusion.diffusion.constrained import ConstrainedDiffusion

    return ConstrainedDiffusion(problem, grid, *_stepping(config))


def unconstrained(config: Config, problem: Problem) -> UltraFastDiffusion:
    """The solver of the ultra-fast diffusion."""
    grid = fitting_grid(config, problem.manifold)
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


def fitting_grid(config: Config, manifold: Manifold) -> Grid:
    """The mesh of a run that is to be solved. Call it on all ranks.

    Raises:
        InputError: on all ranks, where a solution on it does not fit into memory.
    """
    grid = grid_of(config, manifold)
    require_memory_of_diffusion(config, grid)
    return grid


def solved(
    solver: Evolution,
    config: Config,
    times: Array,
    folder: Path | None,
    checkpoints: Checkpoints,
    watch: Watch = (),
) -> xr.Dataset | None:
    """Run the PDE to the last of the times; the group /diffusion on rank 0.

    Args:
        solver: of the equation.
        config: the run.
        times: of the snapshots.
        folder: where densities for ParaView go; none: nowhere.
        checkpoints: written now and then; what they hold of a diffusion is gone on from.
        watch: functions to call with each state.
    """
    from uf_diffusion.diffusion.checkpoints import pack, restore

    history = DiffusionHistory(solver, times)
    stored = checkpoints.stored("diffusion")
    start = None if stored is None else restore(stored, solver, history)

    def packed(state: DiffusionState) -> xr.Dataset | None:
        return pack(state, solver, history)

    lookers: Watch = [history, *watch, checkpoints.watch("diffusion", packed)]
    states = solver.iterate(times[-1], config.diffusion.step or None, start)
    for state in with_progress(states, times[-1], "diffusion"):
        for look in lookers:
            look(state)
    last = history.last
    if last is not None:
        checkpoints.write("diffusion", lambda: packed(last))  # what comes next may be longer
    if folder is not None:
        from uf_diffusion.diffusion.fields import write_fields

        with solver.timings.part("fields for ParaView"):
            write_fields(
                folder / "fields.bp", solver, list(zip(times, history.ratios, strict=True))
            )
    return _group(solver, config, history)


def _group(solver: Evolution, config: Config, history: DiffusionHistory) -> xr.Dataset | None:
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
        snapshot_time=(("snapshot",), history.times),
        node=(("node", "ambient"), solver.grid.nodes),
        node_measure=(("node",), volume),
        teacher=(("node",), teacher),
        density=(("snapshot", "node"), ratio * teacher),
        outer_weight=(("snapshot", "node"), u),
    ).assign_attrs(**rate, slack=solver.slack)


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
