"""Solves the diffusion of a run, from the start or a checkpoint, as a group of the result."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import xarray as xr

from uf_diffusion.core import mpi
from uf_diffusion.core.arrays import Array
from uf_diffusion.core.errors import Caution, Unwritable
from uf_diffusion.core.progress import Watch, with_progress
from uf_diffusion.grids.base import Grid
from uf_diffusion.results import sizes
from uf_diffusion.results.names import dataset
from uf_diffusion.results.timings import Timings
from uf_diffusion.runs.checkpoints import Checkpoints
from uf_diffusion.runs.fields import shown_fields
from uf_diffusion.runs.folders import FIELDS
from uf_diffusion.runs.inputs import require_density
from uf_diffusion.runs.limit import constrained_space
from uf_diffusion.runs.mean_field import kernel_at_nodes
from uf_diffusion.runs.resources import require_memory_of_diffusion
from uf_diffusion.runs.setup import Setup

if TYPE_CHECKING:
    from uf_diffusion.diffusion.history import DiffusionHistory
    from uf_diffusion.diffusion.schemes import Scheme
    from uf_diffusion.diffusion.states import DiffusionState
    from uf_diffusion.diffusion.time_stepping import Evolution
    from uf_diffusion.diffusion.ultra_fast import UltraFastDiffusion

__all__ = ["Solved", "equation", "solved", "unconstrained"]


class Solved(NamedTuple):
    """The group /diffusion of a result on rank 0, None on other ranks, and the solver of it."""

    group: xr.Dataset | None
    solver: Evolution


def equation(setup: Setup) -> Evolution:
    """The solver of the equation that problem.limit names. Call it on all ranks.

    With diffusion.tolerance it is the one from which `solved` begins, on a coarse mesh.

    Raises:
        InputError: if the problem cannot be solved or DOLFINx is missing.
    """
    require_density(setup)
    limit = setup.config.problem.limit
    if setup.config.diffusion.tolerance:
        return _coarsest(setup)
    if limit == "unconstrained":
        return unconstrained(setup)
    problem, grid = setup.problem, _fitting_grid(setup)
    if limit == "mean-field":
        from uf_diffusion.diffusion.mean_field import MeanFieldDiffusion

        c = setup.config.network
        scheme, rtol, comm = _stepping(setup)
        return MeanFieldDiffusion(
            problem, grid, kernel_at_nodes(setup), c.regularisation, scheme, rtol, comm,
            spreads=c.kernel == "low-rank",
        )  # fmt: skip
    space = constrained_space(setup)
    from uf_diffusion.diffusion.constrained import ConstrainedDiffusion

    return ConstrainedDiffusion(problem, grid, *_stepping(setup), space=space)


def unconstrained(setup: Setup) -> UltraFastDiffusion:
    """The solver of the unconstrained ultra-fast diffusion. Call it on all ranks.

    Raises:
        InputError: as `equation`.
    """
    problem, grid = setup.problem, _fitting_grid(setup)
    from uf_diffusion.diffusion.ultra_fast import UltraFastDiffusion

    return UltraFastDiffusion(problem, grid, *_stepping(setup))


def _coarsest(setup: Setup) -> UltraFastDiffusion:
    from uf_diffusion.diffusion.schemes import scheme
    from uf_diffusion.diffusion.tolerance import first_choice
    from uf_diffusion.diffusion.ultra_fast import UltraFastDiffusion

    problem = setup.problem
    first = first_choice(problem, setup.config.diffusion.tolerance)
    comm = mpi.communicator()
    return UltraFastDiffusion(problem, first.grid(problem), scheme(first.scheme), first.rtol, comm)


def _stepping(setup: Setup) -> tuple[Scheme, float, Any]:
    """The time scheme, the tolerance and the communicator of the ranks that share the mesh."""
    from uf_diffusion.diffusion.schemes import scheme

    d = setup.config.diffusion
    return scheme(d.scheme), d.rtol, mpi.communicator()


def _fitting_grid(setup: Setup) -> Grid:
    """The mesh of a run, after a check that a solution on it fits into memory.

    Raises:
        InputError: on all ranks, if it does not fit.
    """
    require_memory_of_diffusion(setup.config, setup.grid)
    return setup.grid


def solved(
    solver: Evolution,
    setup: Setup,
    times: Array,
    folder: Path | None,
    checkpoints: Checkpoints,
    watch: Watch = (),
    estimate: bool = True,
) -> Solved:
    """Solve the PDE to the last of the times, and return the group /diffusion on rank 0.

    With diffusion.tolerance, coarser meshes are solved on first, and finer ones until the estimated
    error is within it; ``watch`` is called with the states on meshes that are expected to suffice.
    A run that is continued goes on with the last mesh.

    Args:
        solver: the `equation`.
        setup: the objects of the run.
        times: snapshot times ``(snapshots,)``, dimensionless.
        folder: where to write densities for ParaView; if None, they are not written.
        checkpoints: the checkpoints to write; if they hold a diffusion, it is continued.
        watch: functions to call with each state.
        estimate: whether to estimate the errors of the density, also without a tolerance.

    Raises:
        SolverFailure, Unwritable, Interrupted: as `uf_diffusion.runs.jobs.solve`. Where the fields
            cannot be written after the work, there is only a `Caution`.
        InputError: on all ranks, for a tolerance that cannot be reached in the memory.
    """
    stored, step = checkpoints.stored("diffusion"), setup.config.diffusion.step or None

    def run(solver: Evolution, stored: xr.Dataset | None) -> DiffusionHistory:
        if folder is not None:
            from uf_diffusion.diffusion.paraview import try_fields

            try_fields(folder / FIELDS, solver)
        return _history(solver, times, step, checkpoints, watch, stored, folder)

    if setup.config.diffusion.tolerance:
        solver, history, errors = _within(solver, setup, times, checkpoints, run)
    else:
        history = run(solver, stored)
        errors = _errors(solver, history) if estimate else {}
    if folder is not None:
        with solver.timings.part("fields for ParaView"):
            _write_fields(folder, solver, list(zip(times, history.ratios, strict=True)))
    group = _group(solver, history, errors, folder)
    if group is not None and setup.config.diffusion.tolerance:
        group = group.assign_attrs(_chosen(solver))
    return Solved(group, solver)


def _history(
    solver: Evolution, times: Array, step: float | None, checkpoints: Checkpoints, watch: Watch,
    stored: xr.Dataset | None, folder: Path | None,
) -> DiffusionHistory:  # fmt: skip
    """The records of a solution, which goes on from what is stored."""
    from uf_diffusion.diffusion.history import DiffusionHistory
    from uf_diffusion.diffusion.stored_state import pack, restore

    history = DiffusionHistory(solver, times)
    start = None if stored is None else restore(stored, solver, history, folder)

    def packed(state: DiffusionState) -> xr.Dataset | None:
        data = pack(state, solver, history, folder)
        return None if data is None else data.assign_attrs(_chosen(solver))

    lookers: Watch = [history, *watch, checkpoints.watch("diffusion", packed)]
    states = solver.iterate(times[-1], step, start)
    for state in with_progress(states, times[-1], "diffusion"):
        for look in lookers:
            look(state)
    last = history.last
    if last is not None:  # store it, as later parts of the run may take long
        checkpoints.write("diffusion", lambda: packed(last))
    return history


def _within(
    base: Evolution, setup: Setup, times: Array, checkpoints: Checkpoints,
    run: Callable[[Evolution, xr.Dataset | None], DiffusionHistory],
) -> tuple[Evolution, DiffusionHistory, dict[str, Array]]:  # fmt: skip
    """The solver, records and estimated errors of the first solution within the tolerance."""
    from uf_diffusion.diffusion.tolerance import Climb, solver_of

    def fits(grid: Grid) -> None:
        require_memory_of_diffusion(setup.config, grid)

    coarse = checkpoints.watch("coarser", lambda state: None)  # to be interrupted there, too
    climb = Climb(base, times, setup.config.diffusion.tolerance, fits, [coarse])
    stored, before = checkpoints.stored("diffusion"), Timings()
    solver = None if stored is None else solver_of(base, stored.attrs)
    while True:
        if solver is None:
            with before.part("coarser meshes"):
                solver = climb.solver()
        history = run(solver, stored)
        with before.part("error estimates"):
            errors = climb.errors(solver, history)
        if climb.suffices(errors):
            solver.timings.include(before, "tolerance")
            return solver, history, errors
        solver = stored = None


def _chosen(solver: Evolution) -> dict[str, Any]:
    """The keys of [diffusion] that determine a solver on a built-in mesh."""
    grid = solver.grid
    return {"cells": grid.cell_count, "degree": grid.degree, "scheme": solver.scheme.name,
            "rtol": solver.rtol}  # fmt: skip


def _errors(solver: Evolution, history: DiffusionHistory) -> dict[str, Array]:
    from uf_diffusion.diffusion.error_estimates import estimated_errors

    if solver.grid.node_count > sizes.WHOLE:  # they compare whole fields
        return {}
    with solver.timings.part("error estimates"):
        return estimated_errors(solver, history)


def _write_fields(folder: Path, solver: Evolution, snapshots: list[tuple[float, Array]]) -> None:
    """Write the densities for ParaView; where that fails the run goes on without them."""
    from uf_diffusion.diffusion.paraview import write_fields

    try:
        write_fields(folder / FIELDS, solver, snapshots)
    except Unwritable as error:
        sentence = str(error)
        mpi.on_root(lambda: warnings.warn(sentence, Caution, stacklevel=2))


def _group(
    solver: Evolution, history: DiffusionHistory, errors: dict[str, Array], folder: Path | None
) -> xr.Dataset | None:
    from uf_diffusion.diffusion.history import DIFFUSION_SERIES
    from uf_diffusion.diffusion.spectrum import decay_rate

    shown = shown_fields(solver, history, folder)
    errors = errors | solver.bounds(history.ratios)
    rate = decay_rate(solver)
    if shown is None:
        return None
    series = {name: history.series(name) for name in DIFFUSION_SERIES[1:]}
    return dataset(
        **shown.fields,
        time=(("step",), history.series("t")),
        **{
            name: (("step",), values)
            for name, values in series.items()
            if not np.isnan(values).all()
        },
        snapshot_time=(("snapshot",), history.times),
        **{name: (("snapshot",), values) for name, values in errors.items()},
    ).assign_attrs(
        **({} if rate is None else {"decay_rate": rate}), slack=solver.slack, **shown.attributes
    )
