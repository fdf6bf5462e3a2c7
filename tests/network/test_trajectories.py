"""Trajectories of 100 steps against those of the dense textbook algorithm."""

import copy

import numpy as np
import pytest

from uf_diffusion.kernels.choice import feature_map
from uf_diffusion.kernels.features import Radial, ReLU
from uf_diffusion.kernels.sampled import RECYCLED
from uf_diffusion.network.placement import place
from uf_diffusion.network.training import Network, TwoTimescale, VarProDescent
from uf_diffusion.problem.densities import Bumps, VonMisesFisher
from uf_diffusion.problem.divergences import Biased, Unbiased
from uf_diffusion.problem.manifolds import Circle, FlatTorus, Sphere

CIRCLE, TORUS, SPHERE = Circle(), FlatTorus(2, 4.0), Sphere(2)
TAU = 2.0**-10
FEATURES = {
    "circle": (ReLU(CIRCLE), Bumps(CIRCLE)),
    "sphere": (ReLU(SPHERE), VonMisesFisher(SPHERE)),
    "torus": (Radial(TORUS), Bumps(TORUS)),
    "smooth torus": (Radial(TORUS, 0.5, "gaussian"), Bumps(TORUS)),
}


def textbook(phi, x, teacher, omega, mass, lam, outer, steps):
    """Dense features on the data; ``outer(Phi, y, u)`` gives the outer weights of each step."""
    y = teacher.weights @ phi(teacher.points, x)[0]
    u = np.ones(len(omega))
    for k in range(steps + 1):
        Phi, pullback = phi(omega, x)
        u = outer(Phi, y, u)
        if k < steps:
            velocity = u[:, None] * pullback((y - (mass * u) @ Phi) / (lam * len(x)))
            omega = phi.manifold.retract(omega, TAU * velocity)
    return omega, u


@pytest.mark.parametrize("name", FEATURES)
@pytest.mark.parametrize("algorithm", ["varpro", "two-timescale"])
def test_trajectory_of_the_dense_textbook_algorithm(name, algorithm, rng):
    """100 steps, ridge regression by LU on dense features: 1e-8, for unequal masses."""
    mass = rng.random(40) + 0.5
    check_trajectory(name, algorithm, Unbiased(), 1e-3, mass / mass.sum(), 200)


@pytest.mark.parametrize("lam", [1e-1, 1e-2, 1e-3])
@pytest.mark.parametrize("divergence", [Unbiased(), Biased()], ids=["unbiased", "biased"])
@pytest.mark.parametrize("name", ["torus", "sphere"])
def test_trajectory_of_iterative_solutions(name, divergence, lam, rng):
    """The same at a width from which systems are solved by iterations."""
    mass = rng.random(RECYCLED + 1) + 0.5
    check_trajectory(name, "varpro", divergence, lam, mass / mass.sum(), 600)


def check_trajectory(name, algorithm, divergence, lam, mass, samples):
    """100 steps are those of the textbook, up to 1e-8."""
    (phi, teacher), width, draws = FEATURES[name], len(mass), np.random.default_rng(7)
    teacher = place(teacher, 100, "random", draws)
    x = phi.inputs(samples, copy.deepcopy(draws))  # those that the next line draws
    psi = feature_map(phi, "sampled", samples, teacher, draws)
    network = Network(phi.manifold, psi, divergence, lam, mass)
    omega, one = phi.manifold.sample(width, draws), float(divergence.name == "unbiased")

    def projected(Phi, y, u):
        return np.linalg.solve(
            Phi @ Phi.T / len(y) * mass + lam * np.eye(width), Phi @ y / len(y) + lam * one
        )

    def relaxed(Phi, y, u):
        return u - (Phi @ ((mass * u) @ Phi - y) / len(y) + lam * (u - one))

    outer = projected if algorithm == "varpro" else relaxed
    expected = textbook(phi, x, teacher, omega, mass, lam, outer, 100)
    trained = VarProDescent(network, TAU) if algorithm == "varpro" else TwoTimescale(network, TAU)
    *_, found = trained.iterate(trained.start(omega), [100 * TAU])
    assert found.step == 100
    assert found.feature == pytest.approx(expected[0], abs=1e-8)
    assert found.outer.outer_weight == pytest.approx(expected[1], abs=1e-7)
