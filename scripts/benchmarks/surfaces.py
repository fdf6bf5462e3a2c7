"""Work-precision on the sphere and on the flat torus: our solver against DOLFINx by hand, py-pde.

These are the parts `sphere` and `torus` of ``scripts/benchmarks/diffusion.py``. An error is the L1
distance to ours with elements of degree 3 on a finer grid, at the nodes of the method and with its
weights.
"""

from dataclasses import dataclass, field
from functools import partial

import numpy as np
from by_hand_dolfinx import OPTIONS, ByHand
from with_py_pde import INSTALL, available, by_py_pde
from work_precision import Row, Trial, best_settings, finish, measured, table

from uf_diffusion.diffusion.schemes import SCHEMES
from uf_diffusion.diffusion.ultra_fast import UltraFastDiffusion
from uf_diffusion.grids.built_in import grid_on
from uf_diffusion.problem import Problem
from uf_diffusion.problem.densities import Bumps, Density, Uniform
from uf_diffusion.problem.divergences import Unbiased
from uf_diffusion.problem.manifolds import FlatTorus, Sphere

SHOTS = (1.0, 5.0)
T_END = 5.5
LEVELS = (1e-2, 3e-3, 1e-3, 3e-4, 1e-4)


@dataclass(frozen=True)
class Surface:
    """A problem on a surface and the grids on which it is solved.

    Attributes:
        name: its name in the tables.
        teacher: the teacher; the start is uniform.
        cells: numbers of cells by the degree of the elements.
        reference: number of cells of the reference of degree 3.
        schemes: our schemes and tolerances.
        rtols: tolerances by hand.
        squares: numbers of cells along an axis for py-pde.
    """

    name: str
    teacher: Density
    cells: dict
    reference: int
    schemes: tuple = (("sdirk2", (1e-1, 3e-2, 1e-2, 3e-3, 1e-3)), ("esdirk4", (1e-1, 1e-2, 1e-3)))
    rtols: tuple = (5e-2, 1e-2, 2e-3, 4e-4)
    squares: tuple = ()
    exact: list = field(default_factory=list, compare=False)

    def ours(self, cells, degree, scheme, rtol):
        """Our solver, and the densities at `SHOTS` at its nodes, with the counts."""
        manifold = self.teacher.manifold
        problem = Problem(manifold, self.teacher, Uniform(manifold), Unbiased())
        grid = grid_on(manifold, cells, degree)
        solver = UltraFastDiffusion(problem, grid, SCHEMES[scheme], rtol)
        found, last, newton = [], None, 0
        for state in solver.iterate(T_END):
            for t in SHOTS:
                if last is not None and last.t < t <= state.t:
                    found.append(solver.between(last, state, t) * solver.teacher)
            last, newton = state, newton + state.newton_iterations
        return solver, found, {"steps": last.step, "newton": newton}

    def by_hand(self, cells, degree, way, rtol):
        """The solver by hand with the same result."""
        solver = ByHand(grid_on(self.teacher.manifold, cells, degree), self.teacher, way)
        return solver, *solver.solve(T_END, SHOTS, rtol)

    def errors(self, points, volume, found):
        """The L1 errors of densities ``(2, n)`` at points with volumes."""
        grid, values = self.exact
        return [
            float(volume @ np.abs(mu - grid.interpolate(v, points)))
            for mu, v in zip(found, values, strict=True)
        ]

    def trial(self, method, solve, cells, rtol, words):
        """A trial of a solver, whose result has ``points`` and ``volume``."""

        def row(result):
            solver, found, counts = result
            errors = self.errors(solver.points, solver.volume, found)
            return Row(self.name, method, cells, rtol, *errors, words, counts=counts)

        return Trial(solve, row)

    def ladders(self):
        """The ladders of tolerances of all methods; each solver is called once before."""
        solver, found, _ = self.ours(self.reference, 3, "esdirk4", 1e-5)
        self.exact[:] = solver.grid, [solver.gathered(v) for v in found]
        ladders = []
        for degree, sizes in self.cells.items():
            self.ours(min(sizes), degree, "sdirk2", 3e-3)
            for cells in sizes:
                words = f"{cells} cells, degree {degree}"
                ladders += [self._ours(cells, degree, *way, words) for way in self.schemes]
                if degree < 3:
                    ladders += [self._by_hand(cells, degree, way, words) for way in OPTIONS]
        return ladders + [self._py_pde(n) for n in self.squares if available()]

    def _ours(self, cells, degree, scheme, rtols, words):
        return [
            self.trial("uf", partial(self.ours, cells, degree, scheme, rtol), cells, rtol,
                       f"{words}, {scheme}, rtol {rtol:g}")
            for rtol in rtols
        ]  # fmt: skip

    def _by_hand(self, cells, degree, way, words):
        ByHand(grid_on(self.teacher.manifold, 48, degree), self.teacher, way)  # compiles
        return [
            self.trial(f"{way}, P{degree}", partial(self.by_hand, cells, degree, way, rtol), cells,
                       rtol, f"{words}, rtol {rtol:g}")
            for rtol in self.rtols
        ]  # fmt: skip

    def _py_pde(self, n):
        return [
            self.trial("py-pde", partial(by_py_pde, self.teacher, n, T_END, SHOTS, rtol), n * n,
                       rtol, f"{n} x {n} cells, tolerance {rtol:g}")
            for rtol in (1e-3,)
        ]  # fmt: skip


@dataclass(frozen=True)
class Bump(Density):
    """The first peak of the circle's bumps, 1 / (1 + gamma sin^2(a / 2)), on the sphere.

    It is not normalised.
    """

    gamma: float = 100.0

    def formula(self, x, xp):
        return 1 / (1 + self.gamma * (1 - x[0]) / 2)


def on_a_surface(case, file, name):
    """Measure a case; print its tables and save its diagram."""
    found = measured(case.ladders(), 1)
    best_settings(found)
    table(found, levels=LEVELS)
    finish(found, file, name)


# a setting or two of each method, for --quick
FEW = {"schemes": (("sdirk2", (1e-2,)),), "rtols": (3e-2,)}


def sphere(cells=None, reference=5120, file=None, **settings):
    """CPU time against error on the sphere, next to DOLFINx by hand.

    Args:
        cells: numbers of cells by the degree of the elements.
        reference: number of cells of the reference solution.
        file: where the rows are written as JSON, with the diagram beside them; by default only the
            diagram is written.
        settings: other attributes of `Surface`.
    """
    cells = cells or {1: (720, 1280, 2880, 5120, 20480), 2: (180, 320, 720, 1280, 5120)}
    teacher = Bump(Sphere(2))
    on_a_surface(Surface("S2 gamma=100", teacher, cells, reference, **settings), file, "sphere")


def torus(cells=None, reference=12800, squares=(32, 64), file=None, **settings):
    """CPU time against error on the flat torus, next to DOLFINx by hand and py-pde.

    Args:
        squares: numbers of cells along an axis for py-pde.
        cells, reference, file, settings: as for `sphere`.
    """
    cells = cells or {1: (512, 2048, 8192), 2: (128, 512, 2048)}
    teacher = Bumps(FlatTorus(2, 4.0), 100.0)
    if not available():
        print(INSTALL)
    case = Surface("T2 gamma=100", teacher, cells, reference, squares=squares, **settings)
    on_a_surface(case, file, "torus")
