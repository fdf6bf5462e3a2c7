"""Times of the equations that are solved by transport: ``transport.py [line] [sphere]``.

``line`` has the mean-field equation on the circle for lambda from 1 to 1e-7, and the constrained
equation on fine meshes. ``sphere`` has both on S^2 with 40962 nodes, which are spread over the
ranks of ``mpiexec -n 2``. Each row says how well the mass is kept, and by how much the integral of
the dissipation over time, by the trapezoidal rule, differs from the fall of the risk, relatively.
"""

from mpi4py import MPI

import argparse
import resource
import time
import warnings

import numpy as np

import uf_diffusion as uf

RANKS = MPI.COMM_WORLD
HEAD = (f"{'equation':32}{'nodes':>8}{'t':>5}{'steps':>7}{'Newton':>8}{'seconds':>9}{'MiB':>6}"
        f"{'|mass-1|':>10}{'risk':>10}{'balance':>9}")  # fmt: skip


def row(name, problem, until, cells, **settings):
    """Print a row for one solve, timed from the first step; returns the seconds."""
    solver = uf.evolution(problem, until=until, cells=cells, **settings)
    RANKS.Barrier()
    start, states = time.perf_counter(), []
    for state in solver.iterate(until):
        states.append((state.t, state.risk, state.dissipation, state.newton_iterations, state.mass))
    seconds = time.perf_counter() - start
    t, risk, lost, newton, mass = np.array(states).T
    balance = 1 - float(np.diff(t) @ (lost[1:] + lost[:-1])) / 2 / (risk[0] - risk[-1])
    memory = RANKS.allreduce(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024, MPI.MAX)
    if RANKS.rank == 0:
        print(f"{name:32}{len(solver.grid.nodes):8}{until:5g}{len(t) - 1:7}{int(newton.sum()):8}"
              f"{seconds:9.1f}{memory:6}{np.abs(mass - 1).max():10.0e}{risk[-1]:10.3e}"
              f"{balance:9.0e}", flush=True)  # fmt: skip
    return seconds


def circle(quick):
    problem = uf.Problem(uf.Circle(), uf.Bumps(uf.Circle(), gamma=100.0))
    cells, until = (64, 0.1) if quick else (1024, 10.0)
    for name, features in (("ReLU", uf.ReLU()), ("Matern 3/2, scale 1/2", uf.Laplace(scale=0.5))):
        spent = [
            row(f"{name}, lambda = {lam:g}", problem, until, cells, limit="mean-field",
                features=features, network={"kernel": "population", "regularisation": lam})
            for lam in (1.0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7)
        ]  # fmt: skip
        if RANKS.rank == 0:
            print(f"{name}: the slowest takes {max(spent) / min(spent[1:]):.1f} times the fastest")
    for fine in (128, 256) if quick else (1024, 2048, 4096):
        row("constrained", problem, until / 2, fine, limit="constrained")


def sphere(quick):
    problem = uf.Problem(uf.Sphere(2), uf.VonMisesFisher(uf.Sphere(2), kappa=10.0))
    cells, until = (320, 0.1) if quick else (81920, 5.0)
    kernel = {"kernel": "low-rank", "regularisation": 1e-3}
    row("ReLU, lambda = 1e-3, truncated", problem, until, cells, limit="mean-field",
        features=uf.ReLU(uf.Sphere(2)), network=kernel)  # fmt: skip
    row("constrained", problem, until, cells, limit="constrained")


PARTS = {"line": circle, "sphere": sphere}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", help=", ".join(PARTS))
    parser.add_argument("--quick", action="store_true", help="coarse meshes and short times")
    chosen = parser.parse_args()
    if unknown := set(chosen.parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    warnings.simplefilter("ignore", uf.Caution)
    if RANKS.rank == 0:
        print(f"{RANKS.size} rank(s), seconds from the first step on, memory of one rank")
        print(HEAD)
    for part in chosen.parts or PARTS:
        PARTS[part](chosen.quick)


if __name__ == "__main__":
    main()
