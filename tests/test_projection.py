"""The projection against brute force, on both sides and for every feature map."""

import numpy as np
import pytest

from uf_diffusion.errors import InputError, RunFailure
from uf_diffusion.network.feature_maps import (
    Atoms,
    FiniteNeurons,
    Population,
    Sampled,
    SampledCircleReLU,
    feature_map,
    place,
)
from uf_diffusion.network.features import Laplace, Radial, ReLU
from uf_diffusion.network.projection import project
from uf_diffusion.network.training import TrainingFailure, VarProDescent
from uf_diffusion.problem.densities import Bumps, Uniform, VonMisesFisher
from uf_diffusion.problem.divergences import Biased, Entropy, Unbiased
from uf_diffusion.problem.manifolds import Circle, FlatTorus, Sphere
from uf_diffusion.verification import directional_derivatives

CIRCLE, TORUS, SPHERE = Circle(), FlatTorus(2, 4.0), Sphere(2)
CASES = {
    "circle": (CIRCLE, ReLU(CIRCLE), Bumps(CIRCLE), "sampled"),
    "sphere": (SPHERE, ReLU(SPHERE), VonMisesFisher(SPHERE), "sampled"),
    "torus": (TORUS, Radial(TORUS, 0.5, "gaussian"), Bumps(TORUS), "sampled"),
    "arc-cosine": (SPHERE, ReLU(SPHERE), VonMisesFisher(SPHERE), "population"),
    "matern": (CIRCLE, Laplace(CIRCLE), Bumps(CIRCLE), "population"),
}


def map_of(name, samples, rng, atoms=200):
    manifold, phi, teacher, kernel = CASES[name]
    return manifold, feature_map(phi, kernel, samples, place(teacher, atoms, False, rng), rng)


@pytest.mark.parametrize("divergence", [Unbiased(), Biased()], ids=repr)
@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize(("width", "samples"), [(30, 200), (60, 25)])
def test_outer_weights_minimise_the_risk(name, width, samples, divergence, rng):
    """Brute force: the quadratic risk of u has gradient zero at u, and value `risk`."""
    manifold, psi = map_of(name, samples, rng)
    neurons = psi.at(manifold.sample(width, rng))
    lam = 1e-3
    found = project(neurons, width, divergence, lam)
    assert found.residual < 1e-10

    def risk(u):
        return neurons.misfit(u) / (2 * lam) + divergence.f(u).mean()

    u = found.outer_weight
    assert found.risk == pytest.approx(risk(u), rel=1e-12)
    for _ in range(5):
        v = rng.standard_normal(width)
        assert risk(u + 1e-3 * v) > found.risk
        assert risk(u + v) - risk(u - v) == pytest.approx(0, abs=1e-7 * risk(u + v))


@pytest.mark.parametrize("name", CASES)
def test_primal_and_dual_agree(name, rng):
    """One system of width 60 and one of 25 samples give the same weights."""
    manifold, psi = map_of(name, 25, rng)
    neurons = psi.at(manifold.sample(60, rng))
    if not isinstance(neurons, FiniteNeurons):
        pytest.skip("a population kernel has no dual side")
    K = neurons.matrix @ neurons.matrix.T
    assert neurons.gram == pytest.approx(K, abs=1e-12)
    expected = np.linalg.solve(K / 60 + 1e-3 * np.eye(60), neurons.matrix @ neurons.labels + 1e-3)
    assert project(neurons, 60, Unbiased(), 1e-3).outer_weight == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("divergence", [Unbiased(), Biased()], ids=repr)
@pytest.mark.parametrize("name", ["torus", "arc-cosine", "matern"])
def test_velocity_is_the_gradient_of_the_reduced_risk(name, divergence, rng):
    """Central differences, relative 1e-6, for features that are smooth."""
    manifold, psi = map_of(name, 100, rng)
    omega = manifold.sample(20, rng)
    direction = manifold.tangent(omega, rng.standard_normal(omega.shape))
    exact, difference = directional_derivatives(psi, manifold, omega, direction, divergence, 1e-2)
    assert difference == pytest.approx(exact, rel=1e-6)


@pytest.mark.parametrize("name", ["circle", "sphere"])
def test_velocity_of_sampled_relu(name, rng):
    """ReLU has kinks at the data: steps small enough to cross none."""
    manifold, psi = map_of(name, 50, rng)
    omega = manifold.sample(10, rng)
    direction = manifold.tangent(omega, rng.standard_normal(omega.shape))
    exact, difference = directional_derivatives(
        psi, manifold, omega, direction, Unbiased(), 1e-2, h=1e-6
    )
    assert difference == pytest.approx(exact, rel=1e-6)


def test_running_sums_equal_dense_features(rng):
    """ReLU on the circle: the fast sums are the dense features' numbers, ties included."""
    phi, teacher = ReLU(CIRCLE), place(Bumps(CIRCLE), 300, False, rng)
    data = phi.inputs(500, rng)
    fast, dense = SampledCircleReLU(phi, data, teacher), Sampled(phi, data, teacher)
    omega = np.vstack([CIRCLE.sample(100, rng), CIRCLE.unchart(np.array([np.pi, -np.pi, 0, 0.0]))])
    u = rng.standard_normal(len(omega))
    a, b = fast.at(omega), dense.at(omega)
    assert a.gram == pytest.approx(b.gram, abs=1e-12)
    assert a.target == pytest.approx(b.target, abs=1e-12)
    assert a.residual_gradient(u) == pytest.approx(b.residual_gradient(u), abs=1e-12)
    assert a.misfit(u) == pytest.approx(b.misfit(u), rel=1e-12)


def test_student_equal_to_teacher_has_unit_weights(rng):
    """Unbiased: mu = nu gives u = 1, risk 0, velocity 0."""
    teacher = place(Bumps(CIRCLE), 50, False, rng)
    psi = Population(Laplace(CIRCLE).kernel, teacher)
    found = project(psi.at(teacher.points), 50, Unbiased(), 1e-3)
    assert found.outer_weight == pytest.approx(np.ones(50), abs=1e-10)
    assert abs(found.risk) < 1e-10
    assert np.abs(found.velocity).max() < 1e-8


def test_placement(rng):
    """Even atoms carry the density as weights and integrate like it."""
    atoms = place(Bumps(CIRCLE), 1000, True, rng)
    assert atoms.weights.sum() == pytest.approx(1)
    random = place(Bumps(CIRCLE), 200_000, False, rng)
    assert atoms.weights @ atoms.points == pytest.approx(random.points.mean(axis=0), abs=0.01)


def test_descent_lowers_the_risk_and_stays_on_the_manifold(rng):
    for name in CASES:
        manifold, psi = map_of(name, 300, rng)
        algorithm = VarProDescent(manifold, psi, Unbiased(), 1e-2, 2.0**-9)
        states = list(
            algorithm.iterate(algorithm.start(manifold.sample(20, rng), rng), 30 * 2.0**-9)
        )
        assert len(states) == 31
        assert states[-1].t == 30 * 2.0**-9
        assert (np.diff([s.projection.risk for s in states]) < 0).all()
        x = states[-1].feature
        assert manifold.distance(x, manifold.retract(x, 0 * x)).diagonal().max() < 1e-12


def test_refusals(rng):
    manifold, psi = map_of("circle", 30, rng)
    neurons = psi.at(manifold.sample(10, rng))
    with pytest.raises(InputError, match="lambda"):
        project(neurons, 10, Unbiased(), 0.0)
    with pytest.raises(InputError, match="entropy"):
        project(neurons, 10, Entropy(), 1e-3)
    with pytest.raises(InputError, match="closed form"):
        feature_map(Radial(TORUS), "population", 10, Atoms(np.zeros((1, 2)), np.ones(1)), rng)
    with pytest.raises(InputError, match="step"):
        VarProDescent(manifold, psi, Unbiased(), 1e-3, 0.0)


def test_training_failure_is_a_sentence(rng):
    """A velocity that is not finite stops the run with t and a hint."""
    manifold, psi = map_of("circle", 30, rng)
    algorithm = VarProDescent(manifold, psi, Unbiased(), 1e-3, 0.1)
    state = algorithm.start(Uniform(manifold).sample(5, rng), rng)
    state.projection.velocity[0] = np.nan
    with pytest.raises(TrainingFailure, match="t = 0"):
        algorithm.step(state)


def test_a_lambda_below_round_off_is_one_sentence(rng):
    """Width 50 on few samples: the Gram matrix is singular."""
    circle = Circle()
    teacher = place(Bumps(circle), 20, False, rng)
    psi = feature_map(ReLU(circle), "sampled", 60, teacher, rng)
    omega = np.repeat(circle.sample(2, rng), 25, axis=0)
    with pytest.raises(RunFailure, match=r"network\.lambda = 1e-30 is too small"):
        project(psi.at(omega), 50, Unbiased(), 1e-30)
