"""Estimates of the errors of a density that the mesh and the time steps leave.

Let mu be the computed density on a mesh of spacing h, with the steps that the step control chose.
The equation is solved three times more, on coarser meshes and with steps that are made of those of
mu, so that the errors have the same structure:

    A  on spacing s h, with steps of L = `LONG` steps of mu,
    B  on spacing s^2 h, with the same long steps,
    C  on spacing s^2 h, with the steps of mu.

The time error hardly depends on the mesh. So the steps of mu would give about A + C - B on the
spacing s h. Let d_1 be a norm of mu - (A + C - B), as a function, and d_2 that of A - B. Then

    mesh error of mu ~ d_1 / (s^p - 1),      where p = log(d_2 / d_1) / log s is the observed order,
    time error of mu ~ |C - B| / (L^q - 1),     where q is the order of the scheme.

This is Richardson's extrapolation. Where the ratios r_1, r_2 of the spacings differ, p solves
d_2 / d_1 = (r_2^p - 1) / (1 - r_1^-p). It is limited to `LEAST_ORDER` and to the order of smooth
solutions. If one of the errors is below a twentieth of the other, its estimate is mostly too large.
The work is a seventh of that of mu in two dimensions, and less in three
(`python scripts/benchmarks/errors.py`). Linearly implicit schemes fail for long steps, so they take
L = 1/2, each step in two halves, in place of long steps.

A mesh from a file has no coarser ones. It gets the time error, from coarser built-in meshes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from uf_diffusion.core.arrays import Array
from uf_diffusion.core.errors import InputError
from uf_diffusion.core.progress import Watch
from uf_diffusion.diffusion.history import DiffusionHistory
from uf_diffusion.diffusion.petsc import StageFailure
from uf_diffusion.diffusion.states import DiffusionState
from uf_diffusion.diffusion.time_stepping import Evolution
from uf_diffusion.grids.base import Grid
from uf_diffusion.grids.built_in import grid_of

__all__ = ["Coarser", "Level", "coarser_than", "estimated_errors", "onto", "order_of",
           "ratio_of"]  # fmt: skip

LONG = 4  # number of steps of the solution that are one step of a coarser one
SHORT = 2  # the same on meshes of at most `FEW` nodes, where accuracy costs less than a second
FEW = 5000
HALVES = 0.5  # the same with linearly implicit schemes
LOOSER = 10  # factor between the tolerances of the stages
LEAST_ORDER = 1.0
MANY = 20_000  # nodes in one dimension beyond which s = 4 instead of 2, to save time
LEAST_CELLS = {1: 8, 2: 20, 3: 162}  # of the coarsest mesh


def estimated_errors(solver: Evolution, history: DiffusionHistory) -> dict[str, Array]:
    """The estimated errors of the density at the snapshot times. Call it on all ranks.

    Args:
        solver: the solver of the solution.
        history: its records, complete.

    Returns:
        On rank 0, arrays ``(snapshots,)``: ``mesh_error`` and ``time_error`` are L1 norms,
        dimensionless; ``mesh_error_max`` and ``time_error_max`` are maxima, per unit volume;
        ``mesh_error_node`` is the node with the largest error. Those that cannot be estimated are
        missing: the first three for a mesh from a file, all where the coarser meshes would have too
        few cells. Empty on other ranks.
    """
    found = coarser_than(solver, history)
    return {} if found is None else found.errors(Level.of(solver, history))


def coarser_than(solver: Evolution, history: DiffusionHistory) -> Coarser | None:
    """The coarser solutions from which the errors of a solution are estimated.

    The arguments are those of `estimated_errors`. None where the meshes would be too coarse.
    """
    stride: float = SHORT if len(solver.grid.nodes) <= FEW else LONG
    stride = HALVES if solver.scheme.linear else stride
    shrink = 4 if solver.grid.manifold.dim == 1 and len(solver.grid.nodes) > MANY else 2
    try:
        found = Coarser(history.times, stride)
        found.begin(_coarser(solver, shrink**2), history.series("t"))
        if solver.grid.built_in:
            found.add(_coarser(solver, shrink))
    except (InputError, StageFailure):
        return None
    return found


@dataclass(frozen=True)
class Level:
    """The densities on one mesh.

    Attributes:
        grid: the mesh.
        volume: the volumes of all nodes, ``(nodes,)``; None on ranks other than 0.
        density: the densities ``(snapshots, nodes)``; None on ranks other than 0.
    """

    grid: Grid
    volume: Array | None
    density: Array | None

    @staticmethod
    def of(solver: Evolution, history: DiffusionHistory) -> Level:
        """The level of a solution; call it on all ranks."""
        density = solver.gathered(np.array(history.ratios) * solver.teacher)
        return Level(solver.grid, solver.gathered(solver.volume), density)


class Coarser:
    """Solutions on meshes from coarse to fine, and what they say about finer ones.

    Args:
        times: the snapshot times ``(snapshots,)``, dimensionless.
        stride: the number L of the module, a whole number or `HALVES`.
        watch: functions to call with each state, on all ranks.

    Attributes:
        far: the solver on the mesh on which the time error is measured, after `begin`.
        levels: the densities from coarse to fine, about as the steps of `begin` give them.
        time: the estimated time errors, L1 norms and maxima, ``(2, snapshots)``, on rank 0.
    """

    far: Evolution

    def __init__(self, times: Array, stride: float, watch: Watch = ()) -> None:
        self.times, self._stride, self._watch = times, stride, watch
        self.levels: list[Level] = []
        self.time = np.zeros((2, 0))

    def begin(self, far: Evolution, steps: Array, own: Level | None = None) -> None:
        """Solve on a coarse mesh with the steps between given times, and with long steps.

        Levels that are there already become those with these steps.

        Args:
            far: the solver on that mesh.
            steps: the times, ``(steps + 1,)``.
            own: the solution with these steps; None to compute it.

        Raises:
            StageFailure: if a step fails.
        """
        self.far, stride, order = far, self._stride, far.scheme.order
        self._own, self._long = steps, _other_steps(steps, stride)
        long, own = self._solved(far, self._long), own or self._solved(far, steps)
        before = next((x for x in self.levels if _alike(x, own)), own)
        self._change = _difference(own, long)
        if own.density is not None and own.volume is not None and self._change is not None:
            size = [_norms(each, own.volume)[:2] for each in self._change]
            self.time = np.array(size).T / abs(stride**order - 1)
        change = _difference(own, before)
        others = [self._moved(x, change) for x in self.levels if not _alike(x, own)]
        self.levels = sorted([own, *others], key=lambda x: x.grid.cell_count)

    def add(self, near: Evolution, long: bool = True) -> None:
        """Solve on the next finer mesh, with the long steps or those of `begin`.

        Raises:
            StageFailure: if a step fails.
        """
        if long:
            self.levels.append(self._moved(self._solved(near, self._long), self._change))
        else:
            self.levels.append(self._solved(near, self._own))

    def _solved(self, solver: Evolution, steps: Array) -> Level:
        history = DiffusionHistory(solver, self.times)
        for state in _stepped(solver, steps):
            history(state)
            for look in self._watch:
                look(state)
        return Level.of(solver, history)

    def _moved(self, level: Level, change: Array | None) -> Level:
        """A level to which a change of the densities on the coarsest mesh is added."""
        if level.density is None or change is None:
            return level
        return replace(level, density=level.density + onto(level.grid, self.far.grid)(change))

    def errors(self, fine: Level) -> dict[str, Array]:
        """The errors of a solution on a finer mesh with the steps of `begin`, by name, on rank 0;
        see `estimated_errors`.
        """
        if fine.density is None:
            return {}
        found = {"time_error": self.time[0], "time_error_max": self.time[1]}
        below = [x for x in self.levels if x.grid.cell_count < fine.grid.cell_count]
        if len(below) < 2 or not fine.grid.built_in:
            return found
        error, most, node = np.array(_mesh_errors(below[-2], below[-1], fine)).T
        return found | {
            "mesh_error": error, "mesh_error_max": most, "mesh_error_node": np.rint(node),
        }  # fmt: skip


def _mesh_errors(far: Level, near: Level, fine: Level) -> list[tuple[float, float, int]]:
    """The L1 norm and maximum of the mesh error at each snapshot, and the node of the latter."""
    assert far.density is not None and near.density is not None
    assert fine.density is not None and fine.volume is not None
    upon = onto(fine.grid, near.grid)
    first = fine.density - upon(near.density)
    second = upon(near.density - onto(near.grid, far.grid)(far.density))
    ratios = ratio_of(near.grid, fine.grid), ratio_of(far.grid, near.grid)
    return [_extrapolated(*pair, fine.volume, ratios, fine.grid.degree + 1)
            for pair in zip(first, second, strict=True)]  # fmt: skip


def ratio_of(coarse: Grid, fine: Grid) -> float:
    """The ratio of the spacings of two meshes of a manifold, by their numbers of cells."""
    return float((fine.cell_count / coarse.cell_count) ** (1 / fine.manifold.dim))


def _alike(a: Level, b: Level) -> bool:
    return a.grid.cell_count == b.grid.cell_count


def _difference(a: Level, b: Level) -> Array | None:
    return None if a.density is None or b.density is None else a.density - b.density


def _coarser(solver: Evolution, factor: int) -> Evolution:
    """The same problem on a built-in mesh whose spacing is larger by a factor.

    Raises:
        InputError: if that mesh is too coarse for the problem.
    """
    grid, dim = solver.grid, solver.grid.manifold.dim
    cells = grid.cell_count // factor**dim
    if cells < LEAST_CELLS[dim]:
        raise InputError("There is no coarser mesh.")
    coarse, rtol = grid_of(solver.problem, cells, grid.degree), min(0.1, LOOSER * solver.rtol)
    return solver.on(coarse, rtol)


def _stepped(solver: Evolution, steps: Array) -> Iterator[DiffusionState]:
    state = solver.state(solver.problem.initial)
    yield state
    for t in steps[1:]:
        state = replace(solver.step(state, t - state.t)[0], t=float(t))
        yield state


def _other_steps(steps: Array, stride: float) -> Array:
    """The times of longer steps, ``stride`` of those between the given times, or of halves."""
    if stride < 1:
        return np.sort(np.concatenate([steps, (steps[1:] + steps[:-1]) / 2]))
    return np.append(steps[: -1 : round(stride)], steps[-1])


def onto(fine: Grid, coarse: Grid) -> Callable[[Array], Array]:
    """Maps nodal values on a coarse grid to interpolated ones on a finer grid, both with the shape
    ``(snapshots, nodes)``.
    """
    nesting = fine.coarser() if fine.degree == 1 else None
    if nesting is not None and nesting.grid.node_count == coarse.node_count:
        numbers, basis = nesting.parents, nesting.shares
    else:
        numbers, basis = coarse.basis(fine.nodes)
    return lambda values: np.asarray(np.einsum("mk,smk->sm", basis, values[:, numbers]))


def _norms(error: Array, volume: Array) -> tuple[float, float, int]:
    """The L1 norm and the maximum of an error at the nodes, and the node of the maximum."""
    size = np.abs(error)
    node = int(np.argmax(size))
    return float(volume @ size), float(size[node]), node


def _extrapolated(
    first: Array, second: Array, volume: Array, ratios: tuple[float, float], smooth: float
) -> tuple[float, float, int]:
    """The norms of a solution's error, from its difference to the next coarser solution and that
    of this one to the next; ``ratios`` are those of the spacings, ``smooth`` the largest order.
    """
    d1, d2 = _norms(first, volume), _norms(second, volume)

    def remaining(a: float, b: float) -> float:
        return float(a / (ratios[0] ** order_of(a, b, ratios, smooth) - 1))

    return remaining(d1[0], d2[0]), remaining(d1[1], d2[1]), d1[2]


def order_of(first: float, second: float, ratios: tuple[float, float], smooth: float) -> float:
    """The order p of the module for d_1, d_2 and (r_1, r_2), between `LEAST_ORDER` and a largest
    one, dimensionless.
    """
    low, high = LEAST_ORDER, smooth
    for _ in range(40):
        p = (low + high) / 2
        if first * (ratios[1] ** p - 1) < second * (1 - ratios[0] ** -p):
            low = p
        else:
            high = p
    return (low + high) / 2
