"""What remains between the paper's curves and ours is its single precision: the same runs in both.

`python scripts/benchmarks/single_precision.py chaos` trains the 32 neurons of appendix B in single
precision, by the textbook algorithm, and compares with the curves that the repository keeps, seed
by seed: where trajectories are chaotic, round-off decides. `... floor` evaluates the risk of
networks of section 6.1 near convergence in single precision. `... offset` prints by how much the
paper's risks near convergence lie above the curves that the repository keeps.
"""

from mpi4py import MPI  # noqa: F401

import numpy as np
import parts
from network import Textbook

from paper_figures.kept import kept
from paper_figures.paper import curves_of
from paper_figures.regenerate import FIGURES
from paper_figures.scale import Scale
from uf_diffusion.runs.reading import load_config
from uf_diffusion.runs.setup import Setup
from uf_diffusion.runs.training import training as training_of

PAPER = {"risk": ("convolution_width_risk", "reduced_risk_unbiased")}
STEPS = 32_000


def risk_of(textbook, omega, u):
    """The reduced risk in the precision of ``textbook``."""
    Phi = textbook.features(omega)[0]
    r, n = textbook.y - u @ Phi / textbook.precision(len(u)), len(textbook.x)
    return float(r @ r / (2 * textbook.lam * n) + np.mean((u - textbook.precision(1)) ** 2) / 2)


def twin(config, iterations, steps):
    """The risks at increasing iterations of the textbook algorithm in single precision."""
    setup = Setup(config)
    training = training_of(setup)
    textbook = Textbook("T2 radial", training.network, setup.draws.inputs, np.float32)
    omega, risks = training.features.astype(np.float32), {}
    for k in range(steps):
        if k in iterations:
            u = textbook.projected(textbook.features(omega)[0])
            risks[k] = risk_of(textbook, omega, u)
        omega, _ = textbook.step(omega, None, True)
    return np.array([risks[k] for k in iterations])


def chaos(steps=STEPS, seeds=6):
    """The risks of 32 neurons on the torus, unbiased, in double and in single precision."""
    paper = curves_of(PAPER, "M=32 unbiased")["risk"]
    at = [int(k) for k in paper.x if k < steps]
    figure = FIGURES["torus-risks-by-width"](Scale(widest=32))
    curves = [curve for panel in figure.rows[0] for curve in panel.curves]
    [curve] = [curve for curve in curves if curve.label == "M = 32, unbiased"]
    print(
        "\nT^2, 32 neurons, unbiased: the risk in single against double precision, at the vertices"
    )
    print(f"{'seed':>6} {'first 1 % at iteration':>24} {'largest difference':>20} {'last':>9}")
    both = []
    for run in curve.runs[:seeds]:
        group = kept(run).group("network")
        double = np.interp(at, group.time.values * 1024, group.risk.values)
        single = twin(run.config, at, steps)
        apart = np.abs(single / double - 1)
        first = at[int(np.argmax(apart > 0.01))] if (apart > 0.01).any() else "never"
        print(f"{run.config.network.seed:6} {first!s:>24} {apart.max():20.2%} {apart[-1]:9.2%}",
              flush=True)  # fmt: skip
        both.append((double, single))
    for name, mean in zip(("double", "single"), np.mean(both, axis=0), strict=True):
        apart = np.abs(mean / paper.y[: len(at)] - 1)
        print(f"mean in {name} precision against the paper's: largest {apart.max():.2%}, "
              f"median {np.median(apart):.2%}")  # fmt: skip


def floor(steps=31_999, width=1024):
    """The risk of one network near convergence, and after further steps in single precision."""
    print("\nS^1, 1024 neurons, unbiased, seed 0: the risk at iteration 31 999, and 50 steps later")
    print(
        f"{'lambda':>8} {'double':>12} {'single':>12} {'double, later':>15} {'single, later':>15}"
    )
    for lam in (1e-3, 1e-4):
        words = ["network.draws=paper", f"network.width={width}", f"network.lambda={lam}",
                 f"problem.t_end={steps / 1024}", "diffusion.snapshots=2"]  # fmt: skip
        setup = Setup(load_config("paper-6.1", words))
        training = training_of(setup)
        *_, state = training.states()
        risks = []
        for precision in (np.float64, np.float32):
            textbook = Textbook("S1 ReLU", training.network, setup.draws.inputs, precision)
            omega, found = state.feature.astype(precision), []
            for k in range(51):
                if k in (0, 50):
                    u = textbook.projected(textbook.features(omega)[0])
                    found.append(risk_of(textbook, omega, u))
                omega, _ = textbook.step(omega, None, True)
            risks.append(found)
        (now, later), (single_now, single_later) = risks
        print(f"{lam:8g} {now:12.3e} {single_now:12.3e} {later:15.3e} {single_later:15.3e}",
              flush=True)  # fmt: skip


def offset(late=22_000):
    """The paper's mean risk less ours, section 6.1, width 1024, unbiased, at late vertices."""
    print(f"{'curve':>14} {'vertices':>9} {'ours':>22} {'paper less ours':>22}")
    gammas = [("relu-gammas", f"$\\gamma$ = {gamma}") for gamma in (10, 100)]
    for figure, label in [("relu-risks-by-width", "M = 1024, unbiased"), *gammas]:
        panels = FIGURES[figure](Scale()).rows[0]
        [curve] = [c for panel in panels if panel.quantity == "risk"
                   for c in panel.curves if c.label == label]  # fmt: skip
        groups = [kept(run).group("network") for run in curve.runs]
        paper = curve.paper["risk"]
        there = (paper.x >= late) & (paper.x < STEPS)
        ours = np.mean([np.interp(paper.x[there], g.time.values * 1024, g.risk.values)
                        for g in groups], axis=0)  # fmt: skip
        apart = paper.y[there] - ours
        print(f"{label.split(',')[0]:>14} {there.sum():9d} {ours.max():11.2e}{ours.min():11.2e} "
              f"{apart.min():11.2e}{apart.max():11.2e}")  # fmt: skip


if __name__ == "__main__":
    quick = {"chaos": {"steps": 40, "seeds": 1}, "floor": {"steps": 8, "width": 16}, "offset": {}}
    parts.run(__doc__, {"chaos": chaos, "floor": floor, "offset": offset}, quick)
