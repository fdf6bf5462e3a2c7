"""Cost of the network's training: ``python scripts/benchmarks/network.py [--quick] [PART ...]``.

Parts: step, wide, flow, ratio, ranks. Everything is measured when the script runs, including the
baseline of each table. Times are medians. All parts take about 10 minutes on two cores without
other load; --quick only tests that they work, at sizes too small for conclusions.
"""

from mpi4py import MPI

import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import parts
from scipy.linalg import lu_factor, lu_solve
from threadpoolctl import threadpool_limits

from uf_diffusion.core.threads import using_threads
from uf_diffusion.kernels.choice import feature_map
from uf_diffusion.kernels.features import Laplace, Radial, ReLU
from uf_diffusion.network.gradient_flow import GradientFlow
from uf_diffusion.network.placement import place
from uf_diffusion.network.training import Network, TwoTimescale, VarProDescent, two_timescale
from uf_diffusion.problem.densities import Bumps, Uniform, VonMisesFisher
from uf_diffusion.problem.divergences import Unbiased
from uf_diffusion.problem.manifolds import Circle, FlatTorus, Sphere
from uf_diffusion.runs.reading import load_config
from uf_diffusion.runs.setup import Setup
from uf_diffusion.runs.training import training as training_of
from uf_diffusion.studies.orders import fit

MPIEXEC = Path(sys.executable).parent / "mpiexec"
TAU = 2.0**-10
FEATURES = {
    "S1 ReLU": (ReLU(Circle()), Bumps(Circle()), 1e-3),
    "T2 radial": (Radial(FlatTorus(2, 4.0)), Bumps(FlatTorus(2, 4.0)), 1e-2),
    "S2 ReLU": (ReLU(Sphere(2)), VonMisesFisher(Sphere(2)), 1e-3),
}


def problem_of(name, width, samples, kernel="sampled", lam=None, dropped=0.0):
    """A network, its initial features, and the inputs."""
    phi, teacher, usual = FEATURES[name]
    lam = lam or usual
    rng = np.random.default_rng(0)
    feature = place(Uniform(phi.manifold), width, "random", rng).points
    atoms = place(teacher, 4096, "random", rng)
    again = np.random.default_rng()
    again.bit_generator.state = rng.bit_generator.state
    psi = feature_map(phi, kernel, samples, atoms, rng, width, dropped)
    data = phi.inputs(samples, again) if kernel == "sampled" else None
    return Network(phi.manifold, psi, Unbiased(), lam, np.full(width, 1 / width)), feature, data


# --- the textbook algorithm -----------------------------------------------------------------------


class Textbook:
    """The textbook algorithm in numpy: dense features, their Gram matrix, an LU factorisation."""

    def __init__(self, name, network, data, precision):
        self.phi, self.kind = network.manifold, name
        self.lam, self.precision = precision(network.regularisation), precision
        atoms = network.feature_map.teacher
        self.x = data.astype(precision)
        blocks = np.array_split(np.arange(len(atoms.points)), 32)
        self.y = sum(
            atoms.weights[b].astype(precision) @ self.features(atoms.points[b].astype(precision))[0]
            for b in blocks
        )

    def features(self, omega):
        """The features Phi ``(M, N)``, and quantities that the gradient needs."""
        if self.kind != "T2 radial":
            return np.maximum(omega @ self.x.T, 0), None
        period, half = self.precision(4), self.precision(0.5)
        lags = [omega[:, k, None] - self.x[:, k] for k in (0, 1)]
        lags = [a - period * np.floor(a / period + half) for a in lags]
        r = np.sqrt(lags[0] ** 2 + lags[1] ** 2)
        return self.precision(8) * np.exp(self.precision(-2) * r), (lags, r)

    def step(self, omega, u, projected):
        """One step of both layers, from their old state if the outer one is not projected."""
        n, width, one = len(self.x), len(omega), self.precision(1)
        Phi, kept = self.features(omega)
        if projected:
            u = self.projected(Phi)
        r = (self.y - u @ Phi / self.precision(width)) / (self.lam * self.precision(n))
        new = u if projected else u + self.lam * (Phi @ r - (u - one))
        if kept is None:
            pulled = ((Phi > 0) * r) @ self.x
        else:
            lags, distance = kept
            factor = self.precision(-2) * Phi * r / np.where(distance > 0, distance, one)
            pulled = np.stack([(factor * lag).sum(axis=1) for lag in lags], axis=1)
        velocity = u[:, None] * self.phi.tangent(omega, pulled)
        moved = self.phi.retract(omega, self.precision(TAU) * velocity)
        return moved.astype(self.precision), new

    def projected(self, Phi):
        """The optimal outer weights."""
        n, width = len(self.x), len(Phi)
        K = Phi @ Phi.T.copy() / self.precision(n * width)
        K[np.diag_indices(width)] += self.lam
        return lu_solve(lu_factor(K), Phi @ self.y / self.precision(n) + self.lam)


def median(work, count):
    times = []
    for _ in range(count):
        clock = time.perf_counter()
        work()
        times.append(time.perf_counter() - clock)
    return float(np.median(times))


def step(width=1024, samples=4096):
    """Time of a step and error of 100 steps, compared with the textbook in float32 and float64."""
    print(
        f"\nA training step at width {width}, {samples} inputs; ms, medians of 100 (textbook: 15)"
    )
    print(f"{'':28} {'textbook f32':>13} {'ours f64':>9} {'ratio':>6} {'mean':>7} {'error':>9}")
    for name in FEATURES:
        network, feature, data = problem_of(name, width, samples)
        for projected in (True, False):
            single = Textbook(name, network, data, np.float32)
            start = feature.astype(np.float32), np.ones(width, np.float32)
            slow = min(
                limited(n, lambda s=single, a=start, p=projected: median(lambda: s.step(*a, p), 15))
                for n in (1, os.cpu_count())
            )
            algorithm = VarProDescent(network, TAU) if projected else TwoTimescale(network, TAU)
            with using_threads(many=network.feature_map.memory(width) > 2**24):
                times, state = [], algorithm.start(feature)
                for _ in range(100):
                    clock = time.perf_counter()
                    state = algorithm.step(state, np.inf)
                    times.append(time.perf_counter() - clock)
            fast = float(np.median(times))
            error = trajectory_error(name, network, feature, data, projected, state)
            label = f"{name}, {'VarPro' if projected else 'two-timescale'}"
            print(f"{label:28} {1e3 * slow:13.1f} {1e3 * fast:9.2f} {slow / fast:6.1f} "
                  f"{1e3 * np.mean(times):7.2f} {error:9.1e}", flush=True)  # fmt: skip


def limited(count, work):
    with threadpool_limits(count):
        return work()


def trajectory_error(name, network, feature, data, projected, state):
    """The largest difference of the features after 100 steps from those of the textbook."""
    double = Textbook(name, network, data, np.float64)
    omega, u = feature, double.projected(double.features(feature)[0])
    for _ in range(100):
        omega, u = double.step(omega, u, projected)
    return float(np.abs(network.manifold.tangent(omega, omega - state.feature)).max())


# --- a million neurons ----------------------------------------------------------------------------

WIDE = {
    "S1 population ReLU": ("S1 ReLU", "population", 1e-3, 0.0),
    "S1 low-rank ReLU": ("S1 ReLU", "low-rank", 1e-3, 1e-6),
    "S2 low-rank ReLU": ("S2 ReLU", "low-rank", 1e-3, 1e-5),
    "T2 low-rank radial": ("T2 radial", "low-rank", 1e-2, 1e-4),
}


def wide_worker(name, width, steps):
    which, kernel, lam, dropped = WIDE[name]
    network, feature, _ = problem_of(which, width, 4096, kernel, lam, dropped)
    times = []
    with using_threads(many=True):
        algorithm = VarProDescent(network, TAU)
        state = algorithm.start(feature)
        for _ in range(steps):
            clock = time.perf_counter()
            state = algorithm.step(state, np.inf)
            times.append(time.perf_counter() - clock)
    bound = network.feature_map.weight_error(
        state.feature, network.mass, state.outer.potential, network.divergence, lam
    )
    rank = getattr(network.feature_map, "size", 0)
    row = {
        "seconds": float(np.median(times)), "residual": state.outer.residual, "rank": rank,
        "bound": bound,
        "gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
    }  # fmt: skip
    print(json.dumps(row))


def wide(widths=(10_000, 100_000, 1_000_000)):
    """Time per step and memory, for 10^4 to 10^6 neurons."""
    print("\nMany neurons, VarPro with exact projections; seconds a step, medians")
    print(f"{'':22} {'width':>8} {'s/step':>8} {'growth':>7} {'GiB':>6} {'R':>6} "
          f"{'residual':>9} {'rms error of u <=':>18}")  # fmt: skip
    for name in WIDE:
        before = None
        for width in widths:
            row = worker("--wide", name, width, 7)
            growth = "" if before is None else f"{row['seconds'] / before:.1f}"
            before = row["seconds"]
            rank = row["rank"] or "exact"
            print(f"{name:22} {width:8d} {row['seconds']:8.3f} {growth:>7} {row['gib']:6.2f} "
                  f"{rank:>6} {row['residual']:9.1e} {row['bound']:18.1e}", flush=True)  # fmt: skip


def worker(*args, ranks=0):
    """Run this script in a new process, or on ranks with one BLAS thread each."""
    launcher = [MPIEXEC, "-n", str(ranks)] if ranks else []
    environment = {**os.environ, "OMP_NUM_THREADS": "1"} if ranks else dict(os.environ)
    done = subprocess.run(
        [*map(str, launcher), sys.executable, __file__, *map(str, args)],
        capture_output=True, text=True, env=environment, check=False,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


# --- the gradient flow ----------------------------------------------------------------------------


def preset_network(preset, lam):
    """The network of a preset with another lambda, and its initial features."""
    config = load_config(preset, [f"network.lambda={lam}"])
    training = training_of(Setup(config))
    return training.network, training.features


def finished(algorithm, feature, t_end):
    for state in algorithm.iterate(algorithm.start(feature), [t_end]):
        pass
    return state


def flow(t_end=10.0, lams=(1e-3, 1e-4)):
    """Projections of the gradient flow to t = 10, compared with descent with steps of 2^-10."""
    descent = round(t_end / TAU)
    print(
        f"\nGradient flow to t = {t_end:g}; descent with steps of 2^-10 takes {descent} projections"
    )
    print("differences of the final features from those with a ten times tighter tolerance")
    print(f"{'':22} {'rtol':>8} {'steps':>6} {'projections':>12} {'fewer':>6} {'rms':>9} "
          f"{'largest':>9} {'descent: rms':>13} {'s flow':>7} {'s descent':>10}")  # fmt: skip
    for preset in ("relu-circle", "matern-circle"):
        for lam in lams:
            network, feature = preset_network(preset, lam)
            clock = time.perf_counter()
            plain = finished(VarProDescent(network, TAU), feature, t_end)
            seconds = time.perf_counter() - clock
            for rtol in (1e-4, 1e-5):
                clock = time.perf_counter()
                state = finished(GradientFlow(network, rtol), feature, t_end)
                own = time.perf_counter() - clock
                tight = finished(GradientFlow(network, rtol / 10), feature, t_end)
                rms, most = apart(state, tight)
                print(f"{preset}, {lam:g}".ljust(22), f"{rtol:8.0e} {state.step:6d} "
                      f"{state.projections:12d} {descent / state.projections:6.1f} {rms:9.1e} "
                      f"{most:9.1e} {apart(plain, tight)[0]:13.1e} {own:7.2f} {seconds:10.2f}",
                      flush=True)  # fmt: skip


def apart(a, b):
    distance = np.linalg.norm(a.feature - b.feature, axis=1)
    return float(np.sqrt((distance**2).mean())), float(distance.max())


# --- two timescales -------------------------------------------------------------------------------


def ratio(t_end=0.125, tau=2.0**-14):
    """Convergence of two-timescale training to VarPro as the ratio grows."""
    circle, rng = Circle(), np.random.default_rng(0)
    atoms = place(Bumps(circle), 256, "even", rng)
    psi = feature_map(Laplace(circle), "population", 0, atoms, rng)
    network = Network(circle, psi, Unbiased(), 1e-2, np.full(128, 1 / 128))
    feature = place(Uniform(circle), 128, "even", rng).points
    limit = finished(VarProDescent(network, tau), feature, t_end)
    print(f"\nTwo timescales, matern-circle, width 128, lambda = 1e-2, to t = {t_end}")
    print(f"{'ratio':>8} {'largest distance of a feature from VarPro':>42} {'local order':>12}")
    ratios, errors = [0.25, 0.5, 1, 2, 4, 8, 16, 32, 64], []
    for r in ratios:
        errors.append(apart(finished(two_timescale(network, tau, r), feature, t_end), limit)[1])
        order = "" if len(errors) < 2 else f"{np.log2(errors[-1] / errors[-2]):.2f}"
        print(f"{r:8g} {errors[-1]:42.2e} {order:>12}", flush=True)
    fitted = fit(ratios[:4], errors[:4]).order
    print(f"fitted over ratios up to 2: {fitted:.2f}; beyond, an outer step forgets exponentially")


# --- ranks ----------------------------------------------------------------------------------------


def rank_worker(name, width, samples, steps):
    network, feature, _ = problem_of(name, width, samples)
    algorithm, times = VarProDescent(network, TAU), []
    with using_threads(many=True):
        MPI.COMM_WORLD.barrier()
        clock = time.perf_counter()
        state = algorithm.start(feature)
        first = time.perf_counter() - clock
        for _ in range(steps):
            MPI.COMM_WORLD.barrier()
            clock = time.perf_counter()
            state = algorithm.step(state, np.inf)
            times.append(time.perf_counter() - clock)
    if MPI.COMM_WORLD.rank == 0:
        print(json.dumps({"first": first, "mean": float(np.mean(times))}))


def ranks(width=2048, samples=65_536):
    """Speed-up of two ranks over one, with one thread each."""
    print(f"\nRanks: sampled features, N = {samples}, width {width}, one thread a rank")
    print(f"{'':12} {'1 rank: first, mean step':>26} {'2 ranks: first, mean step':>26} "
          f"{'speed-up: first, step':>22}")  # fmt: skip
    for name in ("S2 ReLU", "T2 radial"):
        one, two = (worker("--ranks", name, width, samples, 10, ranks=n) for n in (1, 2))
        print(f"{name:12} {one['first']:17.2f} {one['mean']:8.2f} {two['first']:17.2f} "
              f"{two['mean']:8.2f} {one['first'] / two['first']:13.2f} "
              f"{one['mean'] / two['mean']:8.2f}", flush=True)  # fmt: skip


PARTS = {"step": step, "wide": wide, "flow": flow, "ratio": ratio, "ranks": ranks}
QUICK = {
    "step": {"width": 32, "samples": 64},
    "wide": {"widths": (500,)},
    "flow": {"t_end": 0.0625, "lams": (1e-3,)},
    "ratio": {"t_end": 2.0**-8},
    "ranks": {"width": 32, "samples": 64},
}


def main():
    if sys.argv[1:2] == ["--wide"]:
        wide_worker(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
    elif sys.argv[1:2] == ["--ranks"]:
        rank_worker(sys.argv[2], *map(int, sys.argv[3:]))
    else:
        parts.run(__doc__, PARTS, QUICK)


if __name__ == "__main__":
    main()
