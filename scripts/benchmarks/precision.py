"""Work-precision on the circle: our solver against CVODE, LSODA and Radau at equal error.

The part `precision` of ``scripts/benchmarks/diffusion.py``; see `peers_on_the_circle` for the
peers. An error is the L1 distance to a reference that two solvers share to 1e-10. The peers' errors
are taken at their own nodes, so that no interpolation counts against them. Ours is taken at 16384
points between all nodes, where the finite-element function is worst.
"""

import importlib.util
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import sundials
from differences import Differences
from peers_on_the_circle import INSTALL, PEERS, lsoda, solved
from work_precision import Row, Trial, best_settings, finish, measured, table

from uf_diffusion.diffusion.schemes import SCHEMES
from uf_diffusion.diffusion.ultra_fast import UltraFastDiffusion
from uf_diffusion.grids.built_in import grid_on
from uf_diffusion.problem import Problem
from uf_diffusion.problem.densities import Bumps, Uniform
from uf_diffusion.problem.divergences import Unbiased
from uf_diffusion.problem.manifolds import Circle

SHOTS = (1.0, 5.0)
T_END = 31.25
POINTS = 16384
REFERENCE_NODES = {10.0: 512, 100.0: 1024, 1000.0: 2048}


@dataclass(frozen=True)
class Ours:
    """A setting of our solver."""

    cells: int
    degree: int
    scheme: str
    rtol: float


# what is tried of ours: tolerances by scheme, degrees, and numbers of nodes by gamma. A longer list
# can only improve the envelope
RTOLS = {
    "esdirk4": (1e-2, 1e-3, 1e-4), "esdirk5": (1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7),
    "rodas4": (1e-1, 1e-2, 1e-3, 1e-4), "rodas5p": (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7),
}  # fmt: skip
DEGREES = (3, 5, 8)
NODES = {
    10.0: (32, 48, 64, 96, 128, 192), 100.0: (96, 144, 192, 256, 384, 512, 768),
    1000.0: (192, 256, 384, 512, 768, 1152, 1536),
}  # fmt: skip


def ladders_of_ours(gamma):
    """Our settings, in ladders of smaller and smaller tolerances."""
    return [
        [Ours(nodes // degree, degree, scheme, rtol) for rtol in rtols]
        for degree in DEGREES for nodes in NODES[gamma] for scheme, rtols in RTOLS.items()
    ]  # fmt: skip


class Reference:
    """The density at `SHOTS` from differences of order 8 by LSODA at the tolerance 1e-12."""

    def __init__(self, gamma):
        self.gamma, self.n = gamma, REFERENCE_NODES[gamma]
        self.values = self.solution(lsoda, self.n, "mu")

    def solution(self, solve, n, variable):
        times = [*SHOTS, T_END]
        return solved(solve, Differences(self.gamma, n, 8, variable), times, 1e-12)[0][:2]

    def at(self, count, shift=0.0):
        """Its trigonometric interpolant ``(2, count)`` at points as those of `resampled`."""
        return resampled(self.values, count, shift)

    def agreement(self):
        """L1 distances to other solutions by name, ``(2,)`` each."""
        others = {
            "half as many nodes": (lsoda, self.n // 2, "mu"),
            "the variable log(mu / nu)": (lsoda, self.n, "log"),
        }
        if "cvode" in available():
            others["CVODE"] = (PEERS["cvode"].solve, self.n, "mu")
        found = {name: self.solution(*how) for name, how in others.items()}
        return {name: l1(resampled(v, self.n) - self.values) for name, v in found.items()}


def resampled(values, count, shift=0.0):
    """The trigonometric interpolant of values ``(k, n)`` at -pi + 2 pi (j + shift) / count."""
    n = values.shape[-1]
    every = -(-n // count)  # a finer grid of which each point of that number is wanted
    c = np.fft.rfft(values)
    c = c * np.exp(2j * np.pi * np.arange(c.shape[-1]) * shift / count)
    fine = np.fft.irfft(c, every * count) * (every * count / n)
    return fine[:, ::every]


def l1(difference):
    """The L1 norm on the circle of values at equidistant points ``(k, n)``."""
    return np.abs(difference).mean(axis=-1) * 2 * np.pi


def available():
    """The peers that are installed."""
    cvode = importlib.util.find_spec("sksundae") is not None
    in_c = cvode and sundials.home() is not None
    needs = {name: in_c if "in C" in name else cvode for name in PEERS if "cvode" in name}
    return {name: peer for name, peer in PEERS.items() if needs.get(name, True)}


def run_ours(gamma, ours, t_end=T_END):
    """Our grid, the densities at `SHOTS` at its nodes, and the counts of the solver."""
    return run_solver(solver_of(gamma, ours), t_end)


def solver_of(gamma, ours):
    """Our solver, which has its mesh and its matrix."""
    circle = Circle()
    problem = Problem(circle, Bumps(circle, gamma), Uniform(circle), Unbiased())
    grid = grid_on(circle, ours.cells, ours.degree)
    return UltraFastDiffusion(problem, grid, SCHEMES[ours.scheme], ours.rtol)


def run_solver(solver, t_end=T_END):
    """As `run_ours`, for a solver that is set up."""
    found, last, newton = [], None, 0
    for state in solver.iterate(t_end):
        for t in SHOTS:
            if last is not None and last.t < t <= state.t:
                found.append(solver.gathered(solver.between(last, state, t) * solver.teacher))
        last, newton = state, newton + state.newton_iterations
    return solver.grid, found, {"steps": last.step, "newton": newton}


class OnTheCircle:
    """The trials of all methods for a teacher Bumps(gamma), with errors against a reference."""

    def __init__(self, gamma):
        self.gamma, self.problem = gamma, f"circle gamma={gamma:g}"
        self.reference = Reference(gamma)
        self.exact = self.reference.at(POINTS, 0.5)
        angles = 2 * np.pi * (np.arange(POINTS) + 0.5) / POINTS - np.pi
        self.points = Circle().unchart(angles[:, None])

    def error_of_ours(self, grid, found):
        return l1(np.array([grid.interpolate(v, self.points) for v in found]) - self.exact)

    def ours(self, ours, ready=False):
        """The trial of a setting of ours; if ``ready``, the mesh and the matrix are not timed."""
        words = f"{ours.cells} cells, degree {ours.degree}, {ours.scheme}, rtol {ours.rtol:g}"

        def row(result):
            grid, found, counts = result
            errors = map(float, self.error_of_ours(grid, found))
            name = "uf, set up before" if ready else "uf"
            return Row(self.problem, name, ours.cells, ours.rtol, *errors, words, counts=counts)

        if ready:
            return Trial(partial(run_solver, solver_of(self.gamma, ours)), row)
        return Trial(partial(run_ours, self.gamma, ours), row)

    def peers(self, name, peer, ode, rtol):
        """The trial of a setting of a peer."""
        words = f"{ode.n} nodes, order {ode.order}, {ode.variable}, rtol {rtol:g}"

        def row(result):
            values, counts = result
            errors = map(float, l1(values[:2] - self.reference.at(ode.n)))
            return Row(self.problem, name, ode.n, rtol, *errors, words, counts=counts)

        return Trial(partial(solved, peer.solve, ode, (*SHOTS, T_END), rtol), row)

    def trials(self, ours, peers):
        """The ladders of all methods; every solver is called once before, to compile."""
        for way in {(o.degree, o.scheme): o for ladder in ours for o in ladder}.values():
            run_ours(self.gamma, replace(way, rtol=1e-2), 1e-3)
        for peer in peers.values():
            solved(peer.solve, Differences(self.gamma, 32, 8, "mu"), (1e-3,), 1e-3)
        return [[self.ours(o, ready) for o in ladder] for ready in (0, 1) for ladder in ours] + [
            [self.peers(name, peer, ode, rtol) for rtol in peer.rtols]
            for name, peer in peers.items() for ode in peer.odes(self.gamma)
        ]  # fmt: skip

    def agreement(self, finest):
        """Print how far the reference is from other solutions, in L1 at t = 1 and 5."""
        print(f"{self.problem}: the reference's L1 distance at t = 1 and 5 to")
        others = self.reference.agreement()
        if finest is not None:
            words = f"ours, {finest.cells} cells, rtol {finest.rtol:g}"
            others[words] = self.error_of_ours(*run_ours(self.gamma, finest)[:2])
        for name, (one, five) in others.items():
            print(f"  {name:40} {one:8.1e} {five:8.1e}", flush=True)


def calls_of_python(rows):
    """Print what CVODE's calls of Python cost: the same runs with functions in C take the rest."""
    in_c = {r.setting: r for r in rows if r.method.startswith("cvode in C")}
    pairs = [
        (r, in_c[r.setting]) for r in rows
        if r.method.split(",")[0] == "cvode" and r.setting in in_c
        and in_c[r.setting].counts["rhs"] == r.counts["rhs"]
    ]  # fmt: skip
    if pairs:
        cost = [(p.cpu - c.cpu) / (p.counts["rhs"] + p.counts["jacobians"]) for p, c in pairs]
        share = [(p.cpu - c.cpu) / p.cpu for p, c in pairs]
        print(f"  A call of Python costs CVODE {np.median(cost) * 1e6:.1f} us in the median of "
              f"{len(pairs)} pairs of equal runs, {np.median(share):.0%} of its time.")  # fmt: skip


FINEST = Ours(1024, 3, "esdirk4", 1e-8)


def circle(gammas, small):
    """The rows of all methods on the circle; prints the tables."""
    peers = available()
    if left_out := [name for name in PEERS if name not in peers]:
        print(f"Left out: {'; '.join(left_out)}: {INSTALL}")
    if small:
        peers = {n: replace(p, rtols=(1e-4,), most=1) for n, p in peers.items()}
    rows = []
    for gamma in gammas:
        case = OnTheCircle(gamma)
        case.agreement(None if small else FINEST)
        ours = [[Ours(24, 3, "sdirk3", 1e-2)]] if small else ladders_of_ours(gamma)
        found = measured(case.trials(ours, peers), 1 if small else 3)
        best_settings(found)
        calls_of_python(found)
        table(found)
        rows += found
    return rows


def precision(gammas=(10.0, 100.0, 1000.0), small=False, file=None):
    """CPU time against error on the circle, next to CVODE, LSODA and Radau.

    Args:
        gammas: sharpness of the teachers.
        small: a setting or two of each method, once.
        file: where the rows are written as JSON, with the diagram beside them; by default only the
            diagram is written, to precision.png.
    """
    rows = circle(gammas, small)
    finish(rows, file, "precision")
