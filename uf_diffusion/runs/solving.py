"""Solves the diffusion of a run, from the start or a checkpoint, as a group of the result."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from uf_diffusion.core import mpi
from uf_diffusion.core.arrays import Array
from uf_diffusion.core.errors import Caution, Unwritable
from uf_diffusion.core.progress import Watch, with_progress
from uf_diffusion.grids.base import Grid
from uf_diffusion.results import sizes
from uf_diffusion.results.names import dataset
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
    from uf_diffusion.diffusion.time_stepping import DiffusionState, Evolution
    from uf_diffusion.diffusion.ultra_fast import UltraFastDiffusion

__all__ = ["equation", "solved", "unconstrained"]


def equation(setup: Setup) -> Evolution:
    """The solver of the equation that problem.limit names. Call it on all ranks.

    Raises:
        InputError: if the problem cannot be solved or DOLFINx is missing.
    """
    require_density(setup)
    limit = setup.config.problem.limit
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
) -> xr.Dataset | None:
    """Solve the PDE to the last of the times, and return the group /diffusion on rank 0.

    Args:
        solver: the solver of the equation.
        setup: the objects of the run.
        times: snapshot times ``(snapshots,)``, dimensionless.
        folder: where to write densities for ParaView; if None, they are not written.
        checkpoints: the checkpoints to write; if they hold a diffusion, it is continued.
        watch: functions to call with each state.
        estimate: whether to estimate the errors of the density.

    Raises:
        SolverFailure, Unwritable, Interrupted: as `uf_diffusion.runs.jobs.solve`. Where the fields
            cannot be written after the work, there is only a `Caution`.
    """
    from uf_diffusion.diffusion.history import DiffusionHistory
    from uf_diffusion.diffusion.stored_state import pack, restore

    history = DiffusionHistory(solver, times)
    stored = checkpoints.stored("diffusion")
    start = None if stored is None else restore(stored, solver, history, folder)

    def packed(state: DiffusionState) -> xr.Dataset | None:
        return pack(state, solver, history, folder)

    if folder is not None:
        from uf_diffusion.diffusion.paraview import try_fields

        try_fields(folder / FIELDS, solver)
    lookers: Watch = [history, *watch, checkpoints.watch("diffusion", packed)]
    states = solver.iterate(times[-1], setup.config.diffusion.step or None, start)
    for state in with_progress(states, times[-1], "diffusion"):
        for look in lookers:
            look(state)
    last = history.last
    if last is not None:  # store it, as later parts of the run may take long
        checkpoints.write("diffusion", lambda: packed(last))
    if folder is not None:
        with solver.timings.part("fields for ParaView"):
            _write_fields(folder, solver, list(zip(times, history.ratios, strict=True)))
    return _group(solver, history, _errors(solver, history) if estimate else {}, folder)


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
