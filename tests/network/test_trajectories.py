"""Trajectories against those of the dense textbook algorithm."""

import copy

import numpy as np
import pytest
from small_networks import FEATURES, TAU

from uf_diffusion.kernels.choice import feature_map
from uf_diffusion.kernels.sampled import RECYCLED
from uf_diffusion.network.placement import place
from uf_diffusion.network.training import Network, TwoTimescale, VarProDescent
from uf_diffusion.problem.divergences import Biased, Unbiased

# radial features on the torus have a kernel above 2, so that outer steps of rate 1 are unstable;
# rates for which lambda = 1e-3 is too small have 0.1
RATES = [
    *[(name, []) for name in FEATURES], ("circle", [1.0]), ("sphere", [1.0]), ("torus", [0.25]),
    ("smooth torus", [0.25] * 3), ("circle", [1.0] * 2),
]  # fmt: skip


def textbook(phi, x, teacher, omega, mass, lam, one, steps, rates):
    """Dense features on the data, with the optimal outer weights at the start.

    VarPro, without ``rates``, projects after each step. Else there is an outer step of each rate in
    each step; with the last one the features move too, both along the gradients at the old state.
    """
    y = teacher.weights @ phi(teacher.points, x)[0]

    def at(omega):
        Phi, pullback = phi(omega, x)
        u = np.linalg.solve(
            Phi @ Phi.T / len(x) * mass + lam * np.eye(len(mass)), Phi @ y / len(x) + lam * one
        )
        return Phi, pullback, u

    Phi, pullback, u = at(omega)
    for _ in range(steps):
        old = u
        for rate in rates or [0.0]:
            old = u
            r = y - (mass * old) @ Phi
            u = old - rate * (lam * (old - one) - Phi @ r / len(x))
        omega = phi.manifold.retract(omega, TAU * old[:, None] * pullback(r / (lam * len(x))))
        Phi, pullback, optimal = at(omega)
        u = u if rates else optimal
    return omega, u


# radial features on the torus have a kernel above 2, so that outer steps of rate 1 are unstable;
# rates for which lambda = 1e-3 is too small have 0.1
RATES = [
    *[(name, []) for name in FEATURES], ("circle", [1.0]), ("sphere", [1.0]), ("torus", [0.25]),
    ("smooth torus", [0.25] * 3), ("circle", [1.0] * 2),
]  # fmt: skip


@pytest.mark.parametrize(("name", "rates"), RATES)
def test_trajectory_of_the_dense_textbook_algorithm(name, rates, rng):
    """500 steps, ridge regression by LU on dense features: 1e-8, for unequal masses."""
    mass = rng.random(40) + 0.5
    lam = 0.1 if rates and "torus" in name else 1e-3
    check_trajectory(name, rates, Unbiased(), lam, mass / mass.sum(), 200, 500)


@pytest.mark.parametrize("lam", [1e-1, 1e-2, 1e-3])
@pytest.mark.parametrize("divergence", [Unbiased(), Biased()], ids=["unbiased", "biased"])
@pytest.mark.parametrize("name", ["torus", "sphere"])
def test_trajectory_of_iterative_solutions(name, divergence, lam, rng):
    """100 steps at a width from which systems are solved by iterations."""
    mass = rng.random(RECYCLED + 1) + 0.5
    check_trajectory(name, [], divergence, lam, mass / mass.sum(), 600, 100)


def check_trajectory(name, rates, divergence, lam, mass, samples, steps):
    """The steps are those of the textbook, up to 1e-8."""
    (phi, teacher), width, draws = FEATURES[name], len(mass), np.random.default_rng(7)
    teacher = place(teacher, 100, "random", draws)
    x = phi.inputs(samples, copy.deepcopy(draws))  # those that the next line draws
    psi = feature_map(phi, "sampled", samples, teacher, draws)
    network = Network(phi.manifold, psi, divergence, lam, mass)
    omega, one = phi.manifold.sample(width, draws), float(divergence.name == "unbiased")
    expected = textbook(phi, x, teacher, omega, mass, lam, one, steps, rates)
    algorithm = VarProDescent(network, TAU)
    if rates:
        algorithm = TwoTimescale(network, TAU, rates[0], len(rates))
    *_, found = algorithm.iterate(algorithm.start(omega), [steps * TAU])
    assert found.step == steps
    assert found.feature == pytest.approx(expected[0], abs=1e-8)
    assert found.outer.outer_weight == pytest.approx(expected[1], abs=1e-7)
