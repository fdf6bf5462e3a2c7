"""Print true errors of densities that were solved for with a tolerance, and what that costs.

``python scripts/benchmarks/tolerance.py [--quick] [WORD]`` takes the problems whose names contain
WORD; a quick look takes only the largest tolerance. The true error is the largest over the
snapshots, of the function, at 40 000 points in L1, against a solution on a finer mesh with another
scheme. The time is CPU time, with that of the estimates. It is compared with the fastest of fixed
choices whose true error is within the same tolerance and that have estimates, too, and with the
fastest run alone, without estimates: cells and rtol over a grid, with the usual degree and scheme
(degree 1, sdirk2) and with those that the tolerance has chosen. Nobody knows these choices before
they are made. The exit status is 1 if a true error is above the tolerance.
"""

from mpi4py import MPI

import math
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from true_errors import _TWO, _sphere, points

from uf_diffusion.core.arrays import Array
from uf_diffusion.diffusion.error_estimates import estimated_errors
from uf_diffusion.diffusion.history import DiffusionHistory
from uf_diffusion.diffusion.schemes import SCHEMES
from uf_diffusion.diffusion.time_stepping import Evolution
from uf_diffusion.diffusion.tolerance import Choice, Climb, first_choice
from uf_diffusion.diffusion.ultra_fast import UltraFastDiffusion
from uf_diffusion.grids.base import Grid
from uf_diffusion.grids.built_in import grid_on
from uf_diffusion.problem import Problem
from uf_diffusion.problem.densities import Bumps, Density, Uniform
from uf_diffusion.problem.divergences import UNBIASED
from uf_diffusion.problem.manifolds import Circle, FlatTorus

assert MPI.COMM_WORLD.size == 1
RTOLS = (2e-2, 6e-3, 2e-3, 6e-4, 2e-4, 6e-5, 2e-5, 6e-6)


@dataclass(frozen=True)
class Case:
    """A problem, tolerances, the numbers of cells that are tried, and the accurate solution."""

    teacher: Density
    times: tuple[float, ...]
    tolerances: tuple[float, ...]
    cells: tuple[int, ...]
    finest: Choice

    @property
    def problem(self) -> Problem:
        return Problem(
            self.teacher.manifold, self.teacher, Uniform(self.teacher.manifold), UNBIASED
        )


_TORUS = FlatTorus(2, 4.0)
_PRESET = Bumps(_TORUS, 100.0, [[-1.0, 0.0], [1.0, 1.0]], [0.5, 0.5])
CASES = {
    "S1, gamma = 100": Case(
        Bumps(Circle(), 100.0), (0.1, 1.0, 3.0, 10.0), (1e-2, 1e-3, 1e-4),
        (128, 256, 512, 1024, 2048), Choice(2048, 2, "sdirk3", 1e-6),
    ),
    "S2, smooth": Case(
        _sphere(1.0), (0.1, 0.5, 2.0), (1e-2, 1e-3, 1e-4), (320, 1280, 5120, 20480),
        Choice(5120, 3, "sdirk3", 1e-5),
    ),
    "S2, preset sphere": Case(
        _TWO, (0.25, 1.0, 2.0), (1e-2, 5e-3), (1280, 5120, 20480, 81920),
        Choice(20480, 2, "sdirk3", 3e-4),
    ),
    "T2, gamma = 10": Case(
        Bumps(_TORUS, 10.0), (0.1, 1.0, 4.0), (1e-2, 1e-3, 1e-4), (512, 2048, 8192, 32768),
        Choice(2048, 3, "sdirk3", 1e-5),
    ),
    "T2, preset radial-torus": Case(
        _PRESET, (0.25, 1.0, 2.0), (1e-2,), (8192, 18432, 32768),
        Choice(4608, 3, "sdirk3", 3e-4),
    ),
}  # fmt: skip


class Exact:
    """The values of an accurate solution at the points in the cells of a grid."""

    def __init__(self, case: Case) -> None:
        self.case, choice, problem = case, case.finest, case.problem
        self.grid = choice.grid(problem)
        solver = UltraFastDiffusion(problem, self.grid, SCHEMES[choice.scheme], choice.rtol)
        self.values = densities(solver, solved(solver, case.times))

    def error(self, grid: Grid, values: Array) -> float:
        x, volume = points(grid), self.case.teacher.manifold.volume
        return float(max(
            volume * np.abs(grid.interpolate(a, x) - self.grid.interpolate(b, x)).mean()
            for a, b in zip(values, self.values, strict=True)
        ))  # fmt: skip


def solved(solver: Evolution, times: tuple[float, ...]) -> DiffusionHistory:
    history = DiffusionHistory(solver, np.array(times))
    for state in solver.iterate(times[-1]):
        history(state)
    return history


def densities(solver: Evolution, history: DiffusionHistory) -> Array:
    return solver.everywhere(np.array(history.ratios) * solver.teacher)


def climbed(case: Case, tolerance: float) -> tuple[Evolution, Array, Array, float]:
    """The solver, the densities, the estimated errors and the seconds with a tolerance."""
    clock, problem = time.process_time(), case.problem
    first = first_choice(problem, tolerance)
    base = UltraFastDiffusion(problem, first.grid(problem), SCHEMES[first.scheme], first.rtol)
    climb = Climb(base, np.array(case.times), tolerance, lambda grid: None)
    while True:
        solver = climb.solver()
        history = solved(solver, case.times)
        found = climb.errors(solver, history)
        if climb.suffices(found):
            total = found["mesh_error"] + found["time_error"]
            return solver, densities(solver, history), total, time.process_time() - clock


def fixed(
    case: Case, exact: Exact, tolerance: float, chosen: Evolution
) -> Iterator[tuple[float, float, Choice]]:
    """The seconds with and without estimates of choices that attain a tolerance."""
    count, dim = chosen.grid.cell_count, chosen.grid.manifold.dim
    own = (count // 4**dim, count // 2**dim, math.ceil(count / math.sqrt(2) ** dim), count)
    for degree, name, numbers in (
        (1, "sdirk2", case.cells), (chosen.grid.degree, chosen.scheme.name, own),
    ):  # fmt: skip
        for cells in numbers:
            before = math.inf
            for rtol in RTOLS:
                clock = time.process_time()
                grid = grid_on(case.teacher.manifold, cells, degree)
                solver = UltraFastDiffusion(case.problem, grid, SCHEMES[name], rtol)
                history = solved(solver, case.times)
                seconds = time.process_time() - clock
                error = exact.error(grid, densities(solver, history))
                if error <= tolerance:
                    clock = time.process_time()
                    known = estimated_errors(solver, history)
                    whole = seconds + time.process_time() - clock if known else math.inf
                    yield whole, seconds, Choice(grid.cell_count, degree, name, rtol)
                if error <= tolerance or error > 0.98 * before:  # smaller steps do not help
                    break
                before = error


words, quick = [word for word in sys.argv[1:] if word != "--quick"], "--quick" in sys.argv
far, ratios = 0, list[float]()
print(f"{'problem':24} {'tolerance':>9} {'true':>8} {'estimate':>8} {'chosen':>32} {'seconds':>8} "
      f"{'fixed':>7} {'alone':>7} {'ratio':>6}  fastest fixed choice")  # fmt: skip
for name, case in CASES.items():
    if not all(word in name for word in words):
        continue
    exact = Exact(case)
    for tolerance in case.tolerances[: 1 if quick else None]:
        solver, values, estimate, seconds = climbed(case, tolerance)
        _, _, _, again = climbed(case, tolerance)
        seconds, error = min(seconds, again), exact.error(solver.grid, values)
        far += error > tolerance
        ratios.append(error / tolerance)
        choices = list(fixed(case, exact, tolerance, solver)) or [(math.nan, math.nan, None)]
        best, alone = min(choices, key=lambda c: c[0]), min(c[1] for c in choices)
        chosen = (f"{solver.grid.cell_count} cells, degree {solver.grid.degree}, "
                  f"{solver.scheme.name}, {solver.rtol:.0e}")  # fmt: skip
        told = "none" if best[2] is None else " ".join(map(str, vars(best[2]).values()))
        print(f"{name:24} {tolerance:9.0e} {error:8.1e} {estimate.max():8.1e} {chosen:>40} "
              f"{seconds:8.2f} {best[0]:7.2f} {alone:7.2f} {seconds / best[0]:6.2f}  {told}",
              flush=True)  # fmt: skip
print(f"largest true error / tolerance: {max(ratios, default=0.0):.2f}")
raise SystemExit(far > 0)
