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

A mesh without coarser ones gets the time error from meshes of its own kind, and at degree 1 the
error of linear interpolation, with gradients recovered from the neighbouring triangles (Zienkiewicz
and Zhu, Int. J. Numer. Meth. Eng. 33, 1992): along an edge e it is (g_i - g_j).e / 8 in the middle.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from uf_diffusion.core.arrays import Array
from uf_diffusion.core.errors import InputError
from uf_diffusion.core.progress import with_progress
from uf_diffusion.diffusion.history import DiffusionHistory
from uf_diffusion.diffusion.petsc import StageFailure
from uf_diffusion.diffusion.time_stepping import DiffusionState, Evolution
from uf_diffusion.grids.base import Grid
from uf_diffusion.grids.built_in import grid_on

__all__ = ["estimated_errors", "interpolation_surplus"]

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
        missing, as where the coarser meshes would have too few cells. Empty on other ranks.
    """
    own = history.series("t")
    stride = SHORT if len(solver.grid.nodes) <= FEW else LONG
    long = np.append(own[:-1:stride], own[-1])
    dim = solver.problem.manifold.dim
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
    if solver.grid.built_in:
        on_near, on_far = (_at(each.grid, solver.grid.nodes) for each in (near, far))
        first = mu - on_near(A) - on_far(C - B)
        mesh = [_extrapolated(*pair, volume, shrink, solver.grid.degree + 1)
                for pair in zip(first, on_near(A) - on_far(B), strict=True)]  # fmt: skip
    elif solver.grid.degree == 1:
        mesh = [interpolation_surplus(solver.grid, values) for values in mu]
    else:
        return found
    error, most, node = np.array(mesh).T
    return found | {"mesh_error": error, "mesh_error_max": most, "mesh_error_node": node}


def _coarser(solver: Evolution, factor: int) -> Evolution:
    """The same problem on a built-in mesh whose spacing is larger by a factor.

    Raises:
        InputError: if that mesh is too coarse for the problem.
    """
    grid, manifold = solver.grid, solver.problem.manifold
    cells = grid.cell_count // factor**manifold.dim
    if cells < LEAST_CELLS[manifold.dim]:
        raise InputError("There is no coarser mesh.")
    coarse, rtol = grid_on(manifold, cells, grid.degree), min(0.1, LOOSER * solver.rtol)
    return type(solver)(solver.problem, coarse, solver.scheme, rtol, solver.comm)


def _densities(solver: Evolution, times: Array, steps: Array) -> Array | None:
    """The densities ``(snapshots, nodes)`` with the steps between given times, on rank 0."""
    history = DiffusionHistory(solver, times)
    for state in with_progress(_stepped(solver, steps), steps[-1], "errors"):
        history(state)
    return solver.gathered(np.array(history.ratios) * solver.teacher)


def _stepped(solver: Evolution, steps: Array) -> Iterator[DiffusionState]:
    state = solver.state(solver.problem.initial)
    yield state
    for t in steps[1:]:
        state = replace(solver.step(state, t - state.t)[0], t=float(t))
        yield state


def _at(grid: Grid, points: Array) -> Callable[[Array], Array]:
    """Maps nodal values ``(snapshots, nodes)`` to values at points, ``(snapshots, points)``."""
    numbers, basis = grid.basis(points)
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


def interpolation_surplus(grid: Grid, values: Array) -> tuple[float, float, int]:
    """The estimated error of linear interpolation on triangles, as `estimated_errors` needs it.

    Args:
        grid: triangles of degree 1 on S^2.
        values: a function at the nodes, ``(n,)``.

    Returns:
        The L1 norm, the maximum, and a node of the cell where it is.
    """
    cells, corners = grid.cells, grid.nodes[grid.cells]
    edges = np.roll(corners, -1, axis=1) - corners  # from corner k to the next one
    normal = np.cross(edges[:, 0], edges[:, 1])
    squared = np.einsum("ca,ca->c", normal, normal)
    opposite = np.roll(edges, -1, axis=1)  # the edge opposite to each corner
    hats = np.cross(normal[:, None], opposite) / squared[:, None, None]
    gradient = np.einsum("cka,ck->ca", hats, values[cells])
    weight = np.repeat(np.sqrt(squared), 3)  # twice the area
    total = np.zeros((len(values), 3))
    np.add.at(total, cells.ravel(), weight[:, None] * np.repeat(gradient, 3, axis=0))
    recovered = total / np.bincount(cells.ravel(), weight, len(values))[:, None]
    bend = recovered[np.roll(cells, -1, axis=1)] - recovered[cells]
    middle = np.einsum("cka,cka->ck", bend, edges) / 8
    most = np.maximum(np.abs(middle).max(axis=1), np.abs(middle.sum(axis=1)) * 4 / 9)
    worst = int(np.argmax(most))
    mean = np.abs(middle).mean(axis=1)
    return float(np.sqrt(squared) @ mean / 2), float(most[worst]), int(cells[worst, 0])
