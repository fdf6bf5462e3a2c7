"""True errors of densities, and the estimates of them, on problems sharp and smooth.

The tests assert their ratios and ``scripts/benchmarks/errors.py`` prints them.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from uf_diffusion.core.arrays import Array
from uf_diffusion.diffusion.constrained import ConstrainedDiffusion
from uf_diffusion.diffusion.error_estimates import estimated_errors
from uf_diffusion.diffusion.history import DiffusionHistory
from uf_diffusion.diffusion.schemes import SCHEMES
from uf_diffusion.diffusion.ultra_fast import UltraFastDiffusion
from uf_diffusion.grids.base import Grid
from uf_diffusion.grids.built_in import grid_on
from uf_diffusion.problem import Problem
from uf_diffusion.problem.densities import Bumps, Density, Uniform, VonMisesFisher
from uf_diffusion.problem.divergences import UNBIASED, Divergence, Entropy, Power
from uf_diffusion.problem.exact import QuantileHeatFlow
from uf_diffusion.problem.manifolds import Circle, FlatTorus, Sphere

__all__ = ["CASES", "COSTLY", "Case", "Measured", "measured", "points", "timed"]

CIRCLE, SPHERE, T2, T3 = Circle(), Sphere(2), FlatTorus(2, 4.0), FlatTorus(3, 4.0)
POINTS = 40_000  # at which a function's error is measured


@dataclass(frozen=True)
class Case:
    """A diffusion, and the more accurate one that stands for the exact solution."""

    teacher: Density
    initial: Density
    cells: int
    finer: int
    degree: int = 1
    scheme: str = "sdirk2"
    rtol: float = 1e-3
    times: tuple[float, ...] = (0.1, 1.0, 4.0)
    divergence: Divergence = UNBIASED
    constrained: bool = False

    def solution(self, grid: Grid, scheme: str, rtol: float) -> tuple[Array, DiffusionHistory]:
        """The densities ``(snapshots, nodes)`` at the times, and the records."""
        kind = ConstrainedDiffusion if self.constrained else UltraFastDiffusion
        problem = Problem(self.teacher.manifold, self.teacher, self.initial, self.divergence)
        solver = kind(problem, grid, SCHEMES[scheme], rtol)
        history = DiffusionHistory(solver, np.array(self.times))
        for state in solver.iterate(self.times[-1]):
            history(state)
        return solver.everywhere(np.array(history.ratios) * solver.teacher), history


@dataclass(frozen=True)
class Measured:
    """Estimated and true errors ``(4, snapshots)``: those of the mesh and of the time steps, each
    as an L1 norm and as a maximum; and the seconds of the solution and of the estimates.
    """

    estimated: Array
    true: Array
    seconds: float
    estimating: float

    @property
    def worst(self) -> Array:
        """Estimated over true errors, ``(4,)``, at the snapshot where they are furthest from 1.

        An error below a twentieth of the other one is not counted; NaN if none is.
        """
        counted = self.true > np.roll(self.true, 2, axis=0) / 20
        ratio = np.where(counted, self.estimated / self.true, np.nan)
        away = np.nan_to_num(np.abs(np.log(ratio)), nan=-1.0)
        return ratio[np.arange(4), away.argmax(axis=1)]


def measured(case: Case) -> Measured:
    """Solve a case, estimate its errors, and compare with a solution on a finer mesh of degree 3
    (2 in three dimensions, 1 for the constrained equation) with small steps.
    """
    manifold = case.teacher.manifold
    grid = grid_on(manifold, case.cells, case.degree)
    clock = time.perf_counter()
    mu, history = case.solution(grid, case.scheme, case.rtol)
    middle = time.perf_counter()
    found = estimated_errors(history._solver, history)
    end = time.perf_counter()
    degree = 1 if case.constrained else 2 if manifold.dim == 3 else 3
    small, accurate = case.rtol / 100, "sdirk2" if case.constrained else "sdirk3"
    exact_steps, _ = case.solution(grid, accurate, small)
    reference = grid_on(manifold, case.finer, degree)
    exact, _ = case.solution(reference, accurate, small)
    x = points(grid)
    errors = [
        (grid.interpolate(steps, x) - reference.interpolate(truth, x),
         grid.interpolate(values - steps, x))
        for values, steps, truth in zip(mu, exact_steps, exact, strict=True)
    ]  # fmt: skip
    size = {"L1": lambda e: manifold.volume * np.abs(e).mean(), "max": lambda e: np.abs(e).max()}
    true = [[size[norm](e[k]) for e in errors] for k in (0, 1) for norm in ("L1", "max")]
    names = ("mesh_error", "mesh_error_max", "time_error", "time_error_max")
    estimated = np.array([found[name] for name in names])
    return Measured(estimated, np.array(true), middle - clock, end - middle)


def timed(case: Case) -> tuple[float, float]:
    """The seconds of a case's solution, and of the estimates."""
    grid = grid_on(case.teacher.manifold, case.cells, case.degree)
    clock = time.perf_counter()
    _, history = case.solution(grid, case.scheme, case.rtol)
    middle = time.perf_counter()
    assert estimated_errors(history._solver, history)
    return middle - clock, time.perf_counter() - middle


def points(grid: Grid) -> Array:
    """Random points in all cells."""
    rng, cells = np.random.default_rng(0), grid.cells
    corners = np.resize(cells, (max(POINTS, len(cells)), cells.shape[1]))
    return grid.between(corners, rng.dirichlet(np.ones(cells.shape[1]), len(corners)))


def _sphere(kappa: float) -> VonMisesFisher:
    return VonMisesFisher(SPHERE, kappa, [[0.3, -0.7, 0.4]])


_TWO = VonMisesFisher(SPHERE, [8.0, 5.0], [[1.0, 0.0, 0.0], [-0.3, 0.8, 0.5]], [0.6, 0.4])
_ON = {m: Uniform(m) for m in (CIRCLE, SPHERE, T2, T3)}

CASES = {
    "S1, gamma = 100": Case(Bumps(CIRCLE, 100.0), _ON[CIRCLE], 512, 2048, rtol=1e-4),
    "S1, gamma = 1000": Case(Bumps(CIRCLE, 1000.0), _ON[CIRCLE], 1024, 4096, rtol=1e-4),
    "S1, gamma = 1000, too coarse": Case(Bumps(CIRCLE, 1000.0), _ON[CIRCLE], 128, 2048, rtol=1e-4),
    "S1, exact solution": Case(_ON[CIRCLE], QuantileHeatFlow(CIRCLE), 256, 1024,
                               times=(0.1, 0.5, 2.0)),
    "S1, gamma = 100, degree 3": Case(Bumps(CIRCLE, 100.0), _ON[CIRCLE], 128, 1024, 3, "sdirk3",
                                      1e-4),
    "S1, entropy, large steps": Case(Bumps(CIRCLE, 100.0), _ON[CIRCLE], 2048, 2048, rtol=1e-2,
                                     divergence=Entropy()),
    "S1, power 3, degree 2": Case(Bumps(CIRCLE, 100.0), _ON[CIRCLE], 256, 1024, 2, "sdirk2", 1e-4,
                                  divergence=Power(3.0)),
    "S1, linearly implicit": Case(Bumps(CIRCLE, 100.0), _ON[CIRCLE], 256, 1024, 3, "rodas4", 1e-3),
    "S1, implicit Euler": Case(Bumps(CIRCLE, 10.0), _ON[CIRCLE], 512, 2048, 1, "euler"),
    "S2, smooth": Case(_sphere(1.0), _ON[SPHERE], 1280, 1280, times=(0.1, 0.5, 2.0)),
    "S2, fronts": Case(_TWO, _ON[SPHERE], 5120, 5120, times=(0.25, 1.0, 2.0)),
    "S2, fronts, degree 2": Case(_TWO, _ON[SPHERE], 1280, 5120, 2, times=(0.25, 1.0, 2.0)),
    "T2, gamma = 10": Case(Bumps(T2, 10.0), _ON[T2], 2048, 2048),
    "T2, gamma = 10, degree 3": Case(Bumps(T2, 10.0), _ON[T2], 512, 2048, 3, "sdirk3"),
    "T3, gamma = 10": Case(Bumps(T3, 10.0), _ON[T3], 6 * 12**3, 6 * 12**3, times=(0.1, 1.0)),
    "S1, constrained, smooth": Case(Bumps(CIRCLE, 10.0), _ON[CIRCLE], 512, 8192,
                                    times=(0.1, 0.2, 0.4), constrained=True),
    "S2, constrained": Case(_sphere(1.0), _sphere(0.3), 1280, 20480, times=(0.1, 0.3, 0.5),
                            constrained=True),
}  # fmt: skip

# solutions that take longer than 2 seconds
COSTLY = {
    "S1, 262144 cells": Case(Bumps(CIRCLE, 100.0), _ON[CIRCLE], 262144, 0, rtol=1e-4),
    "S2, 81920 cells": Case(_TWO, _ON[SPHERE], 81920, 0, times=(0.25, 1.0, 2.0)),
    "S2, 20480 cells, degree 2": Case(_TWO, _ON[SPHERE], 20480, 0, 2, times=(0.25, 1.0, 2.0)),
    "T2, 131072 cells": Case(Bumps(T2, 100.0), _ON[T2], 131072, 0, rtol=1e-4),
    "T3, 196608 cells": Case(Bumps(T3, 10.0), _ON[T3], 6 * 32**3, 0, rtol=1e-4),
    "S2, constrained, 20480 cells": Case(_sphere(3.0), _sphere(1.0), 20480, 0,
                                         times=(0.1, 0.5, 1.0), constrained=True),
}  # fmt: skip
