"""Kernels on spheres of many dimensions: sampled, population and low-rank networks agree."""

import math

import numpy as np
import pytest

from uf_diffusion.kernels.choice import feature_map
from uf_diffusion.kernels.closed_forms import Chordal
from uf_diffusion.kernels.feature_maps import Atoms
from uf_diffusion.kernels.features import RandomFourier, ReLU
from uf_diffusion.kernels.pivoted_cholesky import Landmarks
from uf_diffusion.kernels.population import Population
from uf_diffusion.kernels.projection import project
from uf_diffusion.kernels.sampled import Sampled
from uf_diffusion.kernels.truncation import Modes, truncated
from uf_diffusion.problem.divergences import UNBIASED
from uf_diffusion.problem.manifolds import Sphere

FEATURES = [
    ReLU(Sphere(3)),
    ReLU(Sphere(29)),
    RandomFourier(Sphere(2), 0.6, "laplace"),
    RandomFourier(Sphere(9), 1.0),
    RandomFourier(Sphere(29), 1.0, "matern"),
    RandomFourier(Sphere(100), 2.0),
]


def network(phi, rng, n=30, atoms=20):
    """Features, their masses times outer weights, and a teacher."""
    omega, points = phi.manifold.sample(n, rng), phi.manifold.sample(atoms, rng)
    return omega, rng.dirichlet(np.ones(n)), Atoms(points, rng.dirichlet(np.ones(atoms)))


@pytest.mark.parametrize("phi", FEATURES, ids=repr)
def test_sampled_networks_tend_to_the_population(phi, rng):
    """Potentials, gradients and misfit are means over the inputs, and agree within six standard
    errors, which the sample gives.
    """
    omega, v, teacher = network(phi, rng)
    n = 40_000
    sampled = feature_map(phi, "sampled", n, teacher, rng)
    population = feature_map(phi, "population", 1, teacher, rng)
    assert isinstance(sampled, Sampled)
    assert type(population) is Population
    ours, theirs = sampled.at(omega), population.at(omega)
    residual = math.sqrt(n) * ours.residual(v)
    terms = phi(omega, sampled.data)[0] * residual
    error = 6 * terms.std(axis=1).max() / math.sqrt(n)
    assert ours.potential(v) == pytest.approx(theirs.potential(v), abs=error)
    squares = residual**2
    assert ours.misfit(v) == pytest.approx(theirs.misfit(v), abs=6 * squares.std() / math.sqrt(n))
    parts = np.split(np.arange(n), 20)  # of the gradients the spread between twenty parts
    slopes = [phi(omega, sampled.data[k])[1](residual[k] / len(k)) for k in parts]
    error = 6 * np.std(slopes, axis=0).max() / math.sqrt(20)
    gradient = theirs.potential_gradient(v)
    assert ours.potential_gradient(v) == pytest.approx(gradient, abs=error)


@pytest.mark.parametrize("phi", FEATURES, ids=repr)
def test_low_rank_networks_are_those_of_the_population_within_their_bound(phi, rng):
    """The optimal outer weights differ by at most `weight_error`, root mean square."""
    omega, mass, teacher = network(phi, rng)
    exact = project(feature_map(phi, "population", 1, teacher, rng).at(omega), mass, UNBIASED, 0.5)
    whole = phi.kernel(omega[:1], omega[:1])[0].item()
    psi = feature_map(phi, "low-rank", 1, teacher, rng, dropped=0.2 * whole)
    assert isinstance(psi, Modes)
    found = project(psi.at(omega), mass, UNBIASED, 0.5)
    bound = psi.weight_error(omega, mass, found.potential, UNBIASED, 0.5)
    error = math.sqrt(mass @ (found.outer_weight - exact.outer_weight) ** 2)
    assert error <= bound < 1


def test_low_degrees_take_about_as_many_landmarks_as_there_are_harmonics(rng):
    """Of exp((rho - 1) / 9) on S^9 the 11 harmonics of degree 0 and 1 leave out less than 1 %
    everywhere; landmarks, which are no better than that, need at most twice as many.
    """
    phi = RandomFourier(Sphere(9), 3.0)
    value, teacher = phi.eigenvalues(3), Atoms(phi.manifold.sample(2, rng), np.full(2, 0.5))
    assert value[:2] @ [1, 10] > 0.99
    psi = truncated(phi, teacher, 0.01, phi.manifold.sample(400, rng))
    assert 11 <= psi.size <= 22


def test_landmarks_keep_the_values_at_the_last_points(rng, monkeypatch):
    """A dozen sums evaluate the kernel once; other points, and too many of them, are evaluated
    again, with the same numbers.
    """
    sphere, calls = Sphere(4), []

    class Counted(Chordal):
        def __call__(self, omega, other):
            calls.append(len(omega))
            return super().__call__(omega, other)

    basis = Landmarks(Counted(sphere, 1.0), sphere.sample(7, rng))
    omega, v = sphere.sample(50, rng), rng.random(50)
    first = [basis.matrix(omega), basis.gram(v, omega), basis.gradient(np.ones(7), omega)]
    assert calls == [50]
    basis.moments(v, omega.copy())
    assert calls == [50, 50]
    assert basis.kept(50) > 0
    monkeypatch.setattr("uf_diffusion.kernels.pivoted_cholesky.KEPT", 100)
    assert basis.kept(50) == 0
    again = [basis.matrix(omega), basis.gram(v, omega), basis.gradient(np.ones(7), omega)]
    for one, other in zip(first, again, strict=True):
        assert np.array_equal(one, other)
    assert calls == [50] * 5


@pytest.mark.parametrize("phi", [RandomFourier(Sphere(9), 1.0), ReLU(Sphere(4)), ReLU(Sphere(2))],
                         ids=repr)  # fmt: skip
@pytest.mark.parametrize("regularisation", [1e-2, 1e-4])
def test_more_neurons_than_inputs_are_solved_by_iterations(phi, regularisation, rng):
    """The outer weights are those of the system in the coordinates, and a checkpoint has nothing
    to remember as long as the smooth part is good enough.
    """
    omega, mass, teacher = network(phi, rng, n=1500)
    psi = feature_map(phi, "sampled", 1024, teacher, rng, width=1500)
    found = project(psi.at(omega), mass, UNBIASED, regularisation).outer_weight
    assert "preconditioned" in vars(psi)
    assert psi.keepsake() == {}
    P = psi.at(omega).matrix
    system = (P.T * mass) @ P + regularisation * np.eye(1024)
    moment = np.linalg.solve(system, psi.labels - mass @ P)
    assert found == pytest.approx(1 + P @ moment, rel=1e-8, abs=1e-8)


def test_a_bad_smooth_part_is_given_up_and_stays_so(rng, monkeypatch):
    """Too many iterations: the system in the coordinates, also after a checkpoint."""
    phi = RandomFourier(Sphere(9), 0.5)
    omega, mass, teacher = network(phi, rng, n=1500)
    monkeypatch.setattr("uf_diffusion.kernels.iterative_solver.ITERATIONS", 2)
    psi = feature_map(phi, "sampled", 1024, teacher, rng, width=1500)
    found = project(psi.at(omega), mass, UNBIASED, 1e-4).outer_weight
    kept = psi.keepsake()
    assert list(kept) == ["in_coordinates"]
    again = Sampled(phi, psi.data, teacher, psi.coordinates)
    again.recall(kept)
    assert again.keepsake() == kept
    assert project(again.at(omega), mass, UNBIASED, 1e-4).outer_weight == pytest.approx(found)
