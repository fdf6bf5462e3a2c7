"""Memory and messages of the PDE solver on several ranks: ``python scripts/benchmarks/ranks.py``.

Parts: memory, wide. Peaks are of the rank with the largest one, and include about 0.2 GiB for the
interpreter and its libraries. All parts take about half an hour on two cores, on which four ranks
are slow; --quick only tests that they work, at sizes too small for conclusions.
"""

from mpi4py import MPI

import json
import resource
import time
from itertools import islice

import parts

from uf_diffusion.diffusion.schemes import SCHEMES
from uf_diffusion.diffusion.ultra_fast import UltraFastDiffusion
from uf_diffusion.grids.built_in import grid_on
from uf_diffusion.problem import Problem
from uf_diffusion.problem.densities import Bumps, Uniform, VonMisesFisher
from uf_diffusion.problem.divergences import Unbiased
from uf_diffusion.problem.manifolds import FlatTorus, Sphere

MIB = 2**20


def solver(name, cells):
    manifold = FlatTorus(2) if name == "T2" else Sphere(2)
    teacher = Bumps(manifold, 100.0) if name == "T2" else VonMisesFisher(manifold, 5.0)
    problem = Problem(manifold, teacher, Uniform(manifold), Unbiased())
    return UltraFastDiffusion(problem, grid_on(manifold, cells), SCHEMES["sdirk2"], 1e-4)


def peak():
    """The largest memory of this process so far in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def worker(name, cells, steps, t_end):
    """Take steps on one of the ranks that mpiexec has started; rank 0 prints what it took."""
    comm, first, start = MPI.COMM_WORLD, peak(), time.perf_counter()
    it = solver(name, int(cells))
    ready, built = peak(), time.perf_counter()
    last = None if steps == "all" else int(steps) + 1
    for state in islice(it.iterate(float(t_end)), last):
        end = state
    done = time.perf_counter()
    every = comm.gather((first, ready, peak(), len(it.node), neighbours(it)))
    if comm.rank == 0:
        first, ready, most, _, near = map(max, zip(*every, strict=True))
        print(json.dumps({
            "unknowns": it.grid.node_count, "first": first, "ready": ready, "most": most,
            "total": sum(each[2] for each in every), "setup": built - start,
            "seconds": done - built,
            "steps": end.step, "t": end.t, "ghosts": near, "drift": abs(end.mass - 1),
        }))  # fmt: skip


def neighbours(it):
    """The number of values that a product with the stiffness matrix needs from other ranks."""
    return it.elements.V.dofmap.index_map.num_ghosts


def memory(names=("T2",), cells=8_000_000, ranks=(1, 2, 4), steps=2):
    """Largest memory of a rank on 1, 2 and 4 ranks, at 4e6 unknowns on T2."""
    print(f"{'':4}{'unknowns':>10} {'ranks':>6} {'set-up MiB':>11} {'peak MiB':>9} {'ratio':>6} "
          f"{'B/own':>7} {'ghosts':>7} {'set-up s':>9} {'s/step':>7}")  # fmt: skip
    for name in names:
        before = None
        for n in ranks:
            r = parts.on_ranks(__file__, n, name, cells, steps, 10.0)
            own = (r["most"] - r["first"]) * MIB / r["unknowns"] * n
            ratio = f"{before / r['most']:6.2f}" if before else " " * 6
            print(f"{name:4}{r['unknowns']:10d} {n:6d} {r['ready']:11.0f} {r['most']:9.0f} {ratio} "
                  f"{own:7.0f} {r['ghosts']:7d} {r['setup']:9.1f} {r['seconds'] / steps:7.1f}",
                  flush=True)  # fmt: skip
            before = r["most"]


def wide(cells=20_480_000, t_end=0.5, steps="all", ranks=2):
    """1.1e7 unknowns on T2 to t = 0.5 on two ranks: memory of all ranks, and seconds."""
    r = parts.on_ranks(__file__, ranks, "T2", cells, steps, t_end)
    print(f"{r['unknowns']} unknowns, {r['steps']} steps to t = {r['t']:g}: set-up "
          f"{r['setup']:.0f} s, steps {r['seconds']:.0f} s, {r['total'] / 1024:.1f} GiB in all, "
          f"mass drift {r['drift']:.0e}")  # fmt: skip


PARTS = {p.__name__: p for p in (memory, wide)}
QUICK = {
    "memory": {"names": ("T2",), "cells": 20_000, "ranks": (1, 2), "steps": 1},
    "wide": {"cells": 20_000, "t_end": 1e-4},
}


if __name__ == "__main__":
    parts.run(__doc__, PARTS, QUICK, worker)
