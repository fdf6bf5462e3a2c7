"""The choice of mesh, elements, scheme and time steps with which an error is within a tolerance.

Nested meshes are solved on from coarse to fine. On the coarsest one the steps are chosen: the time
error hardly depends on the mesh. The finer meshes take the same steps, until the order that
is observed says which mesh suffices. The coarser solutions are those of `error_estimates`, so that
only one of them, on the coarsest mesh with longer steps, is computed for the estimates alone. If
the estimate is not within the tolerance, the next mesh takes the last one as a coarser one.

The sum of the two errors is to be at most the tolerance at every snapshot. In one dimension nodes
cost little and steps do not, elsewhere it is the other way round: this splits the tolerance.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from uf_diffusion.core import mpi
from uf_diffusion.core.arguments import undamaged
from uf_diffusion.core.arrays import Array
from uf_diffusion.core.errors import InputError
from uf_diffusion.core.progress import Watch
from uf_diffusion.diffusion.error_estimates import (
    LEAST_CELLS,
    SHORT,
    Coarser,
    Level,
    coarser_than,
    onto,
    order_of,
    ratio_of,
)
from uf_diffusion.diffusion.history import DiffusionHistory
from uf_diffusion.diffusion.petsc import StageFailure
from uf_diffusion.diffusion.schemes import scheme
from uf_diffusion.diffusion.states import SolverFailure
from uf_diffusion.diffusion.time_stepping import Evolution
from uf_diffusion.grids.base import Grid
from uf_diffusion.grids.built_in import grid_of
from uf_diffusion.problem import Problem

__all__ = ["Choice", "Climb", "first_choice", "solver_of"]

TIGHT = 5e-4  # tolerance below which schemes and elements of higher order take less time
COARSE = 3e-3  # that above which linear elements do, in two and three dimensions
RESOLVED = {1: 0.3, 2: 1.0, 3: 1.0}  # interpolation error on the coarsest mesh, at most; see below
ROUGH = 0.4  # L1 norm of the change from the coarsest mesh to the next one, at most
PLANNED = {1: 1.3, 2: 1.2, 3: 1.2}  # factor by which predicted errors are kept below the tolerance
AIMED = {1: 0.5, 2: 0.15, 3: 0.15}  # part of the tolerance that the time error is to be at first
SHARE = {1: 0.4, 2: 0.75, 3: 0.75}  # of the tolerance that is planned for the mesh, by dimension
ALMOST = 0.9  # its largest share, where there are few meshes
CAREFUL = 0.6  # the part of what is left for the time error that is aimed at
IDLE = {1: 8.0, 2: 2.5, 3: 2.5}  # how far the time error may be below what is left for it
FEW = 20  # ratio of the numbers of cells up to which longer steps are not worth a try
LOOSEST, SMALLEST = 0.02, 1e-12  # rtol
ASSUMED = {1: 3.5, 2: 2.0, 3: 2.0}  # order of the mesh error before it is observed, at most
RISING = 0.3  # how much higher the order may be on finer meshes
MARGIN = {1: 2.0, 2: 1.05, 3: 1.05}  # factor by which meshes are finer than is predicted
LEAST_RATIO = 1.3  # of the spacings of two meshes
FURTHEST = {1: 6.0, 2: 4.0, 3: 4.0}  # the same, at most
HOPEFUL = 8.0  # such a ratio may turn out to be smaller, before the order is observed
FAR, NEAR = 6.0, 3.4
OTHER = 0.1  # relative change of the number of steps for which the time error is estimated anew
STUCK = 0.9  # ratio of the estimates of two solutions beyond which there is no third one
TRIES = 4


@dataclass(frozen=True)
class Choice:
    """What determines the solver of a problem: keys of the section [diffusion]."""

    cells: int
    degree: int
    scheme: str
    rtol: float

    def grid(self, problem: Problem) -> Grid:
        """The built-in mesh of a problem."""
        return grid_of(problem, self.cells, self.degree)


def first_choice(problem: Problem, tolerance: float) -> Choice:
    """The coarsest mesh that shows the densities, and the elements, scheme and rtol to begin with.

    Raises:
        InputError: for a problem without built-in mesh.
    """
    tight = tolerance < TIGHT
    dim = 1 if problem.meridian is not None else problem.manifold.dim
    degree = 1 if problem.meridian is not None else _degree(dim, tolerance)
    # estimated time errors on the circle and on tori are, at least for small rtol, at most
    # 0.06 rtol^(2/3) and 0.02 rtol^(2/3) with sdirk2, and 0.7 rtol and 0.4 rtol with esdirk4
    aim = AIMED[min(dim, 3)] * tolerance
    if tight:
        rtol = aim / (0.7 if dim == 1 else 0.4)
    else:
        rtol = (aim / 0.06) ** 1.5 / (1 + 200 * aim) if dim == 1 else (aim / 0.02) ** 1.5
    cells = LEAST_CELLS[min(dim, 3)]
    while True:
        grid, finer = (grid_of(problem, n, degree) for n in (cells, cells * 2**dim))
        if grid.cell_count >= 4**5 * LEAST_CELLS[min(dim, 3)] or (
            _interpolation(problem, grid, finer) <= RESOLVED[min(dim, 3)] * math.sqrt(tolerance)
        ):
            break
        cells = finer.cell_count
    name = "esdirk4" if tight else "sdirk2"
    return Choice(grid.cell_count, degree, name, min(LOOSEST, max(SMALLEST, rtol)))


@undamaged("The checkpoint")
def solver_of(base: Evolution, attributes: Mapping[Any, Any]) -> Evolution:
    """The solver of the problem of another one, with the cells, degree, scheme and rtol that the
    attributes of a checkpoint name.

    Raises:
        InputError: if these are missing or no such numbers.
    """
    grid = grid_of(base.problem, int(attributes["cells"]), int(attributes["degree"]))
    return base.on(grid, float(attributes["rtol"]), scheme(str(attributes["scheme"])))


def _degree(dim: int, tolerance: float) -> int:
    """The degree that is fastest in this dimension; see ``scripts/benchmarks/tolerance.py``."""
    if dim == 1:
        return 3
    if tolerance >= COARSE:
        return 1
    return 3 if tolerance < TIGHT and dim == 2 else 2


def _interpolation(problem: Problem, grid: Grid, finer: Grid) -> float:
    """The larger relative L1 error of both densities' interpolation, at a finer mesh's nodes."""
    between, found = onto(finer, grid), []
    for density in (problem.teacher, problem.initial):
        exact, rough = density(finer.nodes), between(density(grid.nodes)[None])[0]
        found.append(float(np.abs(exact - rough).mean() / np.abs(exact).mean()))
    return max(found)


class Climb:
    """The way from coarse meshes to one that suffices. Use it on all ranks.

    Args:
        base: the solver of the `first_choice`.
        times: the snapshot times ``(snapshots,)``, dimensionless.
        tolerance: of the density's error in L1, dimensionless.
        fits: refuses a mesh on which the solution does not fit into memory, by an InputError.
        watch: functions to call with each state on the coarser meshes.
    """

    _steps: int

    def __init__(
        self, base: Evolution, times: Array, tolerance: float, fits: Callable[[Grid], None],
        watch: Watch = (),
    ) -> None:  # fmt: skip
        self._base, self._times, self._tolerance, self._fits = base, times, tolerance, fits
        self._watch, self._coarser = watch, Coarser(times, 1)
        self._rtol, self._before = 0.0, math.inf
        self._dim = min(3, base.grid.manifold.dim)

    def solver(self) -> Evolution:
        """The solver that should suffice, after solving on coarser meshes where that is needed.

        Raises:
            InputError: on all ranks, if the mesh that is needed does not fit.
            SolverFailure: if no time step is small enough.
        """
        if not self._coarser.levels:
            self._start()
        while True:
            plan = mpi.from_root(self._plan)
            self._require(plan)
            if plan.last:
                self._pace(plan)
                return self._on(plan.cells, self._rtol)
            self._coarser.add(self._on(plan.cells, self._rtol), long=False)

    def errors(self, solver: Evolution, history: DiffusionHistory) -> dict[str, Array]:
        """The estimated errors of a solution, as `estimated_errors` names them.

        Args:
            solver: one of `solver`, or that of a run which is continued.
            history: its records, complete.
        """
        steps, level = history.series("t"), Level.of(solver, history)
        if not self._coarser.levels:
            self._rtol, self._coarser = solver.rtol, coarser_than(solver, history) or self._coarser
        elif abs(len(steps) - self._steps) > OTHER * self._steps:
            self._coarser.begin(self._coarser.far, steps)  # the mesh has changed the steps
        if not self._coarser.levels:
            return {}
        found = self._coarser.errors(level)
        self._steps = len(steps)
        finer = solver.grid.cell_count
        self._coarser.levels = [x for x in self._coarser.levels if x.grid.cell_count < finer]
        self._coarser.levels.append(level)
        return found

    def suffices(self, found: dict[str, Array]) -> bool:
        """Whether these errors are within the tolerance, on all ranks.

        Raises:
            SolverFailure: on all ranks, if they hardly change any more.
        """
        total = mpi.from_root(lambda: _total(found))
        if total <= self._tolerance:
            return True
        if math.isfinite(total) and total > STUCK * self._before:
            raise SolverFailure(
                f"diffusion.tolerance = {self._tolerance:g} cannot be reached: the estimated error "
                f"stays at {total:.1e} on finer meshes with shorter steps."
            )
        self._before = total
        return False

    def _start(self) -> None:
        """Choose the steps on the coarsest mesh, and solve on the next one."""
        for _ in range(TRIES):
            self._coarser = Coarser(self._times, SHORT, self._watch)
            self._measure(self._rtol or self._base.rtol)
            finer = self._base.grid.cell_count * 2**self._base.grid.manifold.dim
            near = self._on(finer, self._rtol)
            self._coarser.add(near, long=False)
            if mpi.from_root(lambda: _distance(*self._coarser.levels) < ROUGH):
                return
            self._base = near  # the coarsest mesh says too little

    def _measure(self, rtol: float) -> None:
        """Choose steps with a tolerance of the step control, and measure their error."""
        base = self._base
        far = base if rtol == base.rtol else base.on(base.grid, rtol)
        history = DiffusionHistory(far, self._times)
        for state in far.iterate(self._times[-1]):
            history(state)
            for look in self._watch:
                look(state)
        steps = history.series("t")
        try:
            self._coarser.begin(far, steps, Level.of(far, history))
        except StageFailure as failure:
            raise SolverFailure(f"The time error cannot be estimated: {failure}.") from None
        self._rtol, self._steps = rtol, len(steps)

    def _pace(self, plan: _Plan) -> None:
        """Adapt the steps to what the mesh leaves of the tolerance."""
        order, coarse = self._base.scheme, self._base.grid.cell_count
        if self._dim > 1 and plan.cells > FAR**self._dim * coarse:
            least, levels = plan.cells / NEAR**self._dim, self._coarser.levels
            coarse = max(n for x in levels if (n := x.grid.cell_count) <= least)
        for _ in range(TRIES):
            error, rtol = mpi.from_root(lambda: float(self._coarser.time[0].max())), self._rtol
            idle = error < plan.rest / IDLE[self._dim] and rtol < LOOSEST
            idle &= self._dim == 1 or plan.cells > FEW * self._base.grid.cell_count
            if error > plan.rest or idle:
                change = CAREFUL * plan.rest / max(error, 1e-300)
                change = change ** (order.error_order / order.order)
                rtol = min(LOOSEST, rtol * min(1e3, max(1e-3, change)))
            if rtol < SMALLEST:
                raise self._refusal(f"its time steps would need diffusion.rtol < {SMALLEST:g}")
            if coarse > self._base.grid.cell_count:
                self._base = self._on(coarse, rtol)
            elif rtol == self._rtol:
                return
            self._measure(rtol)

    def _plan(self) -> _Plan:
        """What comes next, on rank 0."""
        levels, problem, dim = self._coarser.levels, self._base.problem, self._dim
        grid, sure = levels[-1].grid, len(levels) > 2
        error, order = _extrapolated(levels, RISING if self._before == math.inf else 0.0)
        most = self._tolerance / PLANNED[dim]

        def cells(wanted: float) -> int:
            finer = (error / wanted) ** (1 / order)
            return math.ceil(grid.cell_count * float(max(finer, LEAST_RATIO) ** dim))

        if sure and dim > 1 and error <= ALMOST * most:
            chosen = grid  # with other steps
        else:
            chosen = grid_of(problem, cells(ALMOST * most), grid.degree)
            usual = cells(SHARE[dim] * most / MARGIN[dim] ** order)
            if chosen.cell_count < usual:
                better = grid_of(problem, usual, grid.degree)
                chosen = better if better.cell_count <= 1.5 * usual else chosen
        ratio = ratio_of(grid, chosen)
        rest = max((1 - ALMOST) * most, most - error * ratio**-order)
        if ratio <= (FURTHEST[dim] if sure or dim == 1 else 2.1):
            return _Plan(chosen.cell_count, rest, True, chosen.cell_count)
        step = min(FURTHEST[dim] if sure else 2.0, max(2.0, ratio / 2))
        near = grid_of(problem, round(grid.cell_count * step**dim), grid.degree)
        if not sure and ratio <= HOPEFUL:  # it may suffice, and is solved on in any case
            return _Plan(near.cell_count, rest, True, near.cell_count)
        return _Plan(near.cell_count, rest, False, chosen.cell_count if sure else near.cell_count)

    def _require(self, plan: _Plan) -> None:
        """Refuse meshes that do not fit, before the way to them."""
        for count in (plan.cells, plan.goal):
            try:
                self._fits(grid_of(self._base.problem, count, self._base.grid.degree))
            except InputError as reason:
                raise self._refusal(f"it takes about {count} cells. {reason}") from None

    def _refusal(self, reason: str) -> InputError:
        return InputError(
            f"diffusion.tolerance = {self._tolerance:g} cannot be reached: {reason.rstrip('.')}."
        )

    def _on(self, cells: int, rtol: float) -> Evolution:
        return self._base.on(grid_of(self._base.problem, cells, self._base.grid.degree), rtol)


@dataclass(frozen=True)
class _Plan:
    """The number of cells of the next mesh, what is left for the time error, whether the mesh
    should suffice, and the number of cells that is expected to.
    """

    cells: int
    rest: float
    last: bool
    goal: int


def _total(found: dict[str, Array]) -> float:
    """The largest sum of both errors over the snapshots; infinite if they are not known."""
    if "mesh_error" not in found:
        return math.inf
    return float(np.max(found["mesh_error"] + found["time_error"]))


def _distance(far: Level, near: Level) -> float:
    """The largest L1 norm of the difference of two levels over the snapshots."""
    assert far.density is not None and near.density is not None and near.volume is not None
    change = near.density - onto(near.grid, far.grid)(far.density)
    return float((np.abs(change) @ near.volume).max())


def _extrapolated(levels: Sequence[Level], rising: float) -> tuple[float, float]:
    """The largest mesh error of the last level in L1, and the order with which it falls: the one
    that is observed, and some more where it is still ``rising``.
    """
    smooth, dim = levels[-1].grid.degree + 1.0, min(3, levels[-1].grid.manifold.dim)
    ratios = [ratio_of(a.grid, b.grid) for a, b in itertools.pairwise(levels[-3:])]
    first = _distance(*levels[-2:])
    order = min(smooth, ASSUMED[dim])
    if len(levels) > 2:
        order = order_of(first, _distance(*levels[-3:-1]), (ratios[1], ratios[0]), smooth)
        order = min(smooth, order + rising)
    return first / (ratios[-1] ** order - 1), order
