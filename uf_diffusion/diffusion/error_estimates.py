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

This is Richardson's extrapolation. The order p is limited to `LEAST_ORDER` and to that of smooth
solutions. If one of the errors is below a twentieth of the other, its estimate is mostly too large.
The work is a seventh of that of mu in two dimensions, and less in three
(`python scripts/benchmarks/errors.py`).

A mesh from a file has no coarser ones. It gets the time error, from coarser built-in meshes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from uf_diffusion.core.arrays import Array
from uf_diffusion.core.errors import InputError
from uf_diffusion.diffusion.history import DiffusionHistory
from uf_diffusion.diffusion.petsc import StageFailure
from uf_diffusion.diffusion.time_stepping import DiffusionState, Evolution
from uf_diffusion.grids.base import Grid
from uf_diffusion.grids.built_in import grid_of

__all__ = ["estimated_errors"]

LONG = 4  # number of steps of the solution that are one step of a coarser one
SHORT = 2  # the same on meshes of at most `FEW` nodes, where accuracy costs less than a second
FEW = 5000
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
    own = history.series("t")
    stride = SHORT if len(solver.grid.nodes) <= FEW else LONG
    long = np.append(own[:-1:stride], own[-1])
    dim = solver.grid.manifold.dim
    shrink = 4 if dim == 1 and len(solver.grid.nodes) > MANY else 2
    try:
        far = _coarser(solver, shrink**2)
        B, C = (_densities(far, history.times, steps) for steps in (long, own))
        near = _coarser(solver, shrink) if solver.grid.built_in else far
        A = _densities(near, history.times, long) if solver.grid.built_in else B
    except (InputError, StageFailure):
        return {}
    mu = solver.gathered(np.array(history.ratios) * solver.teacher)
    volume, coarse = (each.gathered(each.volume) for each in (solver, far))
    if mu is None or volume is None or coarse is None or A is None or B is None or C is None:
        return {}
    time = np.array([_norms(each, coarse)[:2] for each in C - B]) / (
        stride**solver.scheme.order - 1
    )
    found = {"time_error": time[:, 0], "time_error_max": time[:, 1]}
    if not solver.grid.built_in:
        return found
    onto, onto_near = _onto(solver.grid, near.grid), _onto(near.grid, far.grid)
    first, second = mu - onto(A + onto_near(C - B)), onto(A - onto_near(B))
    mesh = [_extrapolated(*pair, volume, shrink, solver.grid.degree + 1)
            for pair in zip(first, second, strict=True)]  # fmt: skip
    error, most, node = np.array(mesh).T
    return found | {"mesh_error": error, "mesh_error_max": most, "mesh_error_node": np.rint(node)}


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


def _densities(solver: Evolution, times: Array, steps: Array) -> Array | None:
    """The densities ``(snapshots, nodes)`` with the steps between given times, on rank 0."""
    history = DiffusionHistory(solver, times)
    for state in _stepped(solver, steps):
        history(state)
    return solver.gathered(np.array(history.ratios) * solver.teacher)


def _stepped(solver: Evolution, steps: Array) -> Iterator[DiffusionState]:
    state = solver.state(solver.problem.initial)
    yield state
    for t in steps[1:]:
        state = replace(solver.step(state, t - state.t)[0], t=float(t))
        yield state


def _onto(fine: Grid, coarse: Grid) -> Callable[[Array], Array]:
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
    first: Array, second: Array, volume: Array, shrink: int, smooth: int
) -> tuple[float, float, int]:
    """The norms of a solution's error, from its difference to the next coarser solution and that
    of this one to the next; ``smooth`` is the largest order.
    """
    d1, d2 = _norms(first, volume), _norms(second, volume)

    def remaining(a: float, b: float) -> float:
        order = math.log(max(b, 1e-300) / max(a, 1e-300)) / math.log(shrink)
        return float(a / (shrink ** min(max(order, LEAST_ORDER), smooth) - 1))

    return remaining(d1[0], d2[0]), remaining(d1[1], d2[1]), d1[2]
