"""Cost of the PDE solver: ``python scripts/benchmarks/diffusion.py [--quick] [PART ...]``.

Parts: precision, sphere, torus, scaling, constrained, large, ranks, volume. Everything is measured
when the script runs, including what we compare with. Times of short runs are medians. All parts
take about 40 minutes on two cores; --quick only tests that they work, at sizes too small for
conclusions. The first three compare with other software and draw work-precision diagrams; with
``--json FILE`` one of them also writes its rows.
"""

from mpi4py import MPI

import json
import resource
import time
from itertools import islice
from unittest.mock import patch

import numpy as np
import parts
from precision import precision
from scipy.sparse.linalg import splu
from surfaces import FEW, Bump, sphere, torus

from uf_diffusion.diffusion import constrained as limit
from uf_diffusion.diffusion.schemes import SCHEMES
from uf_diffusion.diffusion.ultra_fast import UltraFastDiffusion
from uf_diffusion.grids.built_in import grid_on
from uf_diffusion.grids.icosphere import Icosphere
from uf_diffusion.grids.lattice import Lattice
from uf_diffusion.problem import Problem
from uf_diffusion.problem.densities import Bumps, Uniform, VonMisesFisher
from uf_diffusion.problem.divergences import Unbiased
from uf_diffusion.problem.manifolds import Circle, FlatTorus, Sphere

GAMMA = 100.0


def solver_on(grid, rtol=1e-4, scheme="sdirk2"):
    manifold = grid.manifold
    teacher = Bump(manifold, GAMMA) if isinstance(grid, Icosphere) else Bumps(manifold, GAMMA)
    problem = Problem(manifold, teacher, Uniform(manifold), Unbiased())
    return UltraFastDiffusion(problem, grid, SCHEMES[scheme], rtol)


# --- many degrees of freedom ----------------------------------------------------------------------


def work(grid, steps=None, t_end=10.0, rtol=1e-4):
    """Iterations and times of a run, or of its first steps; the set-up is timed separately."""
    clock = time.perf_counter()
    solver = solver_on(grid, rtol)
    setup = time.perf_counter() - clock
    newton = linear = 0
    drift, clock = 0.0, time.perf_counter()
    for state in solver.iterate(t_end):
        newton += state.newton_iterations
        linear += state.linear_iterations
        drift = max(drift, abs(state.mass - 1))
        if state.step == steps:
            break
    seconds = time.perf_counter() - clock
    memory = MPI.COMM_WORLD.allreduce(_peak() - IMPORTED)
    return {
        "dofs": len(grid.nodes), "steps": state.step, "t": state.t, "newton": newton,
        "linear": linear, "seconds": seconds, "setup": setup, "drift": drift,
        "spmv": _product(solver), "tight": _tight(solver, state),
        "bytes": memory / len(grid.nodes),
    }  # fmt: skip


def _peak():
    """The largest resident memory of this process so far, in bytes."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _product(solver):
    """The median time of a product with the stiffness matrix, in seconds."""
    x, y = solver.stiffness.createVecs()
    x.set(1.0)
    times = []
    for _ in range(30):
        clock = time.perf_counter()
        solver.stiffness.mult(x, y)
        times.append(time.perf_counter() - clock)
    return float(np.median(times))


def _tight(solver, state):
    """Linear iterations and seconds to a tolerance 1e-6, for steps from 1e-4 to 1 at a state."""
    counts, times = [], []
    slope = solver.stage.relative_slope(state.potential)
    for tau in (1e-4, 1e-2, 1.0):
        solver.stage.linear.set(solver.weight * state.ratio * slope, tau)
        clock = time.perf_counter()
        counts.append(solver.stage.linear.solve(solver.weight * (state.ratio - 1), 1e-6)[1])
        times.append(time.perf_counter() - clock)
    return [float(np.mean(counts)), float(np.median(times))]


GRIDS = {
    "S2": [Icosphere(Sphere(2), level) for level in (5, 6, 7, 8)],
    "T2": [Lattice(FlatTorus(2, 4.0), n) for n in (104, 208, 512, 1024)],
    "T3": [Lattice(FlatTorus(3, 4.0), n) for n in (10, 20, 40, 80)],
}


def scaling(steps=25, sizes=4):
    """Iterations and times per degree of freedom in the first steps, for 1e4 to 1e6 of them."""
    print(f"{'':4}{'dofs':>9} {'its to 1e-6':>12} {'SpMV to 1e-6':>13} {'its/Newton':>11} "
          f"{'ns/dof/Newton':>14} {'SpMV/Newton':>12}")  # fmt: skip
    for name in ("S2", "T2"):
        for grid in GRIDS[name][:sizes]:
            r = work(grid, steps)
            newton = r["seconds"] / r["newton"]
            print(f"{name:4}{r['dofs']:9d} {r['tight'][0]:12.1f} {r['tight'][1] / r['spmv']:13.0f} "
                  f"{r['linear'] / r['newton']:11.1f} {newton / r['dofs'] * 1e9:14.0f} "
                  f"{newton / r['spmv']:12.0f}", flush=True)  # fmt: skip


class SuperLU:
    """The sparse LU factorisation of scipy, in place of `direct_solvers.LU`."""

    def __init__(self, places):
        pass

    def set(self, matrix):
        options = {"SymmetricMode": True}
        self.solve = splu(matrix.tocsc(), permc_spec="MMD_AT_PLUS_A", options=options).solve


def constrained(steps=12, sizes=2):
    """Steps of the constrained equation, also with scipy's SuperLU for the Newton matrices."""
    print(
        f"{'':4}{'nodes':>8} {'steps':>6} {'Newton':>7} {'ms/step':>8} {'SuperLU':>8} {'ratio':>6}"
    )
    for manifold, teacher, cells in (
        (Circle(), Bumps(Circle(), GAMMA), (512, 4096)),
        (Sphere(2), VonMisesFisher(Sphere(2), 8.0), (20_480, 81_920)),
    ):
        problem = Problem(manifold, teacher, Uniform(manifold), Unbiased())
        for n in cells[:sizes]:
            times, newton = [], []
            for factorisation in (limit.LU, SuperLU):
                with patch.object(limit, "LU", factorisation):
                    solver = limit.ConstrainedDiffusion(problem, grid_on(manifold, n))
                    states = solver.iterate(10.0)
                    next(states)
                    begin = time.perf_counter()
                    newton.append(sum(s.newton_iterations for s in islice(states, steps)))
                    times.append((time.perf_counter() - begin) / steps * 1e3)
            print(f"S{manifold.dim:<3}{len(solver.grid.nodes):8d} {steps:6d} {newton[0]:7d} "
                  f"{times[0]:8.1f} {times[1]:8.1f} {times[1] / times[0]:6.1f}",
                  flush=True)  # fmt: skip


def large(size=3, t_end=10.0):
    """About 1e6 degrees of freedom to t = 10, rtol 1e-4, on two ranks."""
    _runs([("S2", size, t_end), ("T2", size, t_end)])


def volume(size=3, t_end=5.0):
    """More than 5e5 degrees of freedom on T3, to t = 5 on two ranks."""
    _runs([("T3", size, t_end)])


def _runs(cases):
    print(f"{'':4}{'dofs':>9} {'t':>5} {'steps':>6} {'Newton':>7} {'its':>7} {'set-up s':>9} "
          f"{'solve s':>8} {'B/dof':>6} {'mass drift':>11}")  # fmt: skip
    for name, size, t_end in cases:
        r = parts.on_ranks(__file__, 2, name, size, "all", t_end)
        print(f"{name:4}{r['dofs']:9d} {r['t']:5.1f} {r['steps']:6d} {r['newton']:7d} "
              f"{r['linear']:7d} {r['setup']:9.1f} {r['seconds']:8.1f} {r['bytes']:6.0f} "
              f"{r['drift']:11.1e}", flush=True)  # fmt: skip


def ranks(steps=8, size=3, times=3):
    """Speed-up of two ranks over one, at about 1e6 degrees of freedom."""
    print(f"{'':4}{'dofs':>9} {'1 rank s':>9} {'2 ranks s':>10} {'speed-up':>9}")
    for name in ("S2", "T2"):
        one, two = (
            float(np.median([r["seconds"] for r in (
                parts.on_ranks(__file__, n, name, size, steps, 10.0) for _ in range(times)
            )]))
            for n in (1, 2)
        )  # fmt: skip
        dofs = len(GRIDS[name][size].nodes)
        print(f"{name:4}{dofs:9d} {one:9.1f} {two:10.1f} {one / two:9.2f}", flush=True)


def worker(name, size, steps, t_end):
    """Call `work` on a rank that mpiexec has started; rank 0 prints the result."""
    result = work(GRIDS[name][int(size)], None if steps == "all" else int(steps), float(t_end))
    if MPI.COMM_WORLD.rank == 0:
        print(json.dumps(result))


PARTS = {
    p.__name__: p for p in (precision, sphere, torus, scaling, constrained, large, ranks, volume)
}
QUICK = {
    "precision": {"gammas": (10.0,), "small": True},
    "sphere": {"cells": {1: (80,)}, "reference": 80, **FEW},
    "torus": {"cells": {1: (128,)}, "reference": 288, "squares": (8,), **FEW},
    "scaling": {"steps": 1, "sizes": 1},
    "constrained": {"steps": 1, "sizes": 1},
    "large": {"size": 0, "t_end": 1e-4},
    "ranks": {"steps": 1, "size": 0, "times": 1},
    "volume": {"size": 0, "t_end": 1e-4},
}


IMPORTED = _peak()  # what the imports need, which does not depend on the number of unknowns


if __name__ == "__main__":
    parts.run(__doc__, PARTS, QUICK, worker)
