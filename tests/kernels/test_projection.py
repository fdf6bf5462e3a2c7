"""The projection against brute force, on both sides, for every feature map and divergence."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize
from verification import directional_derivatives

from uf_diffusion.core.errors import InputError, RunFailure
from uf_diffusion.kernels import iterative_solver as recycling
from uf_diffusion.kernels.choice import feature_map
from uf_diffusion.kernels.circle_maps import (
    ArcCosineOnCircle,
    CircleMap,
    Matern32OnCircle,
    SampledHinges,
)
from uf_diffusion.kernels.closed_forms import ArcCosine, Matern32
from uf_diffusion.kernels.feature_maps import Atoms, FiniteNeurons
from uf_diffusion.kernels.features import Laplace, Radial, ReLU
from uf_diffusion.kernels.population import Population
from uf_diffusion.kernels.projection import project
from uf_diffusion.kernels.sampled import Sampled
from uf_diffusion.network.placement import place
from uf_diffusion.problem.densities import Bumps, Uniform, VonMisesFisher
from uf_diffusion.problem.divergences import Biased, Entropy, Power, Unbiased
from uf_diffusion.problem.manifolds import Circle, FlatTorus, Sphere

CIRCLE, TORUS, SPHERE = Circle(), FlatTorus(2, 4.0), Sphere(2)
CASES = {
    "circle": (CIRCLE, ReLU(CIRCLE), Bumps(CIRCLE), "sampled"),
    "sphere": (SPHERE, ReLU(SPHERE), VonMisesFisher(SPHERE), "sampled"),
    "torus": (TORUS, Radial(TORUS, 0.5, "gaussian"), Bumps(TORUS), "sampled"),
    "rough torus": (TORUS, Radial(TORUS), Bumps(TORUS), "sampled"),
    "arc-cosine": (SPHERE, ReLU(SPHERE), VonMisesFisher(SPHERE), "population"),
    "arc-cosine-circle": (CIRCLE, ReLU(CIRCLE), Bumps(CIRCLE), "population"),
    "matern": (CIRCLE, Laplace(CIRCLE), Bumps(CIRCLE), "population"),
    "fourier": (TORUS, Radial(TORUS, 0.5, "gaussian"), Bumps(TORUS), "low-rank"),
    "harmonics": (SPHERE, ReLU(SPHERE), VonMisesFisher(SPHERE), "low-rank"),
}
DIVERGENCES = [Unbiased(), Biased(), Entropy(), Power(1.5), Power(3.0)]
SMOOTH = ["torus", "arc-cosine", "arc-cosine-circle", "matern", "fourier", "harmonics"]


def map_of(name, samples, rng, atoms=200):
    manifold, phi, teacher, kernel = CASES[name]
    atoms = place(teacher, atoms, "random", rng)
    return manifold, feature_map(phi, kernel, samples, atoms, rng, dropped=1e-4)


def masses(width, rng):
    mass = rng.random(width) + 0.5
    return mass / mass.sum()


@pytest.mark.parametrize("divergence", DIVERGENCES, ids=lambda d: f"{d.name}-{d.power:g}")
@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize(("width", "samples"), [(30, 200), (60, 25)])
def test_outer_weights_minimise_the_risk(name, width, samples, divergence, rng):
    """Neurons of unequal masses: the risk of u has gradient zero at u, and value `risk`."""
    manifold, psi = map_of(name, samples, rng)
    neurons, mass, lam = psi.at(manifold.sample(width, rng)), masses(width, rng), 1e-3
    found = project(neurons, mass, divergence, lam)
    assert found.residual < 1e-10
    u = found.outer_weight

    def risk(u):
        return neurons.misfit(mass * u) / (2 * lam) + mass @ divergence.f(u)

    assert found.risk == pytest.approx(risk(u), rel=1e-12)
    if divergence.name == "entropy":
        assert (u > 0).all()
    for _ in range(5):
        v = rng.standard_normal(width) * np.abs(u)
        assert min(risk(u + 1e-3 * v), risk(u - 1e-3 * v)) > found.risk
        slope = (risk(u + 1e-5 * v) - risk(u - 1e-5 * v)) / 2e-5
        assert slope == pytest.approx(0, abs=1e-6 * risk(u + v if divergence.power > 1 else 2 * u))


def test_entropy_against_a_general_optimiser(rng):
    """BFGS in log u, which knows nothing of Newton, masses or kernels."""
    manifold, psi = map_of("sphere", 40, rng)
    neurons, mass, f = psi.at(manifold.sample(12, rng)), masses(12, rng), Entropy()
    found = project(neurons, mass, f, 1e-2)

    def risk(z):
        u = np.exp(z)
        return neurons.misfit(mass * u) / 2e-2 + mass @ f.f(u)

    best = minimize(risk, np.zeros(12), method="BFGS", options={"gtol": 1e-9})
    assert found.risk <= best.fun + 1e-9
    assert found.outer_weight == pytest.approx(np.exp(best.x), rel=1e-4)


@pytest.mark.parametrize("divergence", DIVERGENCES, ids=lambda d: f"{d.name}-{d.power:g}")
def test_the_two_sides_agree(divergence, rng):
    """60 neurons on 25 samples: a system in the samples, and one in the neurons."""
    manifold, psi = map_of("sphere", 25, rng)
    neurons, mass = psi.at(manifold.sample(60, rng)), masses(60, rng)
    assert isinstance(neurons, FiniteNeurons)
    K = neurons.matrix @ neurons.matrix.T
    shift = 1e-3 / mass
    b = rng.standard_normal(60)
    x = neurons.solver(shift)(b)
    x += neurons.solver(shift)(b - K @ x - shift * x)
    assert x == pytest.approx(np.linalg.solve(K + np.diag(shift), b), rel=1e-9)
    found = project(neurons, mass, divergence, 1e-3)
    dense = project(_Dense(K, neurons.matrix @ neurons.labels, neurons), mass, divergence, 1e-3)
    assert found.outer_weight == pytest.approx(dense.outer_weight, rel=1e-8, abs=1e-8)


class _Dense:
    """Neurons of a kernel matrix, solved by LU."""

    def __init__(self, K, target, neurons):
        self.K, self.target, self.share = K, target, neurons.share
        self.misfit, self.potential_gradient = neurons.misfit, neurons.potential_gradient

    def potential(self, v):
        return self.target - self.K @ v

    def solver(self, shift):
        return lambda b, goal: np.linalg.solve(self.K + np.diag(shift), b)


def test_unbiased_by_the_formula(rng):
    """(K / M + lambda I) u = K_teacher + lambda, solved in the test."""
    psi = map_of("matern", 0, rng)[1]
    kernel, omega = Matern32(CIRCLE, 0.5), CIRCLE.sample(40, rng)
    K = kernel(omega, omega)[0]
    b = kernel(omega, psi.teacher.points)[0] @ psi.teacher.weights
    u = np.linalg.solve(K / 40 + 1e-3 * np.eye(40), b + 1e-3)
    found = project(psi.at(omega), np.full(40, 1 / 40), Unbiased(), 1e-3)
    assert found.outer_weight == pytest.approx(u, rel=1e-9)


@pytest.mark.parametrize("name", ["rough torus", "torus", "sphere"])
def test_the_smooth_part_is_nearly_the_kernel(name, rng):
    """(E G E^T + S)^-1 (K + S), by brute force, has its eigenvalues within 10 % of 1."""
    manifold, psi = map_of(name, 2000, rng)
    omega, shift = manifold.sample(300, rng), 0.3 * (0.5 + rng.random(300))
    solve, K = psi._smooth.solver(omega, shift), psi.at(omega).kernel
    columns = [solve(column) for column in (K + np.diag(shift)).T]
    assert np.linalg.eigvals(np.array(columns).T) == pytest.approx(np.ones(300), abs=0.1)


def test_outer_weights_near_zero_are_no_sign_of_round_off():
    """For p = 4 the residual u - f*'(w) is ill-conditioned at u = 0: it is above the check's bound."""
    rng = np.random.default_rng(0)
    psi = feature_map(ReLU(CIRCLE), "sampled", 1000, place(Bumps(CIRCLE), 500, "random", rng), rng)
    form, mass = Power(4.0), np.full(64, 1 / 64)
    found = [project(psi.at(CIRCLE.sample(64, rng)), mass, form, 1e-3) for _ in range(20)]
    gap = [np.abs(o.outer_weight - form.dconjugate(o.potential)).max() for o in found]
    assert max(gap) > 1e-9
    assert max(o.residual for o in found) < 1e-11


@pytest.mark.parametrize("divergence", DIVERGENCES, ids=lambda d: f"{d.name}-{d.power:g}")
@pytest.mark.parametrize("name", ["rough torus", "sphere"])
def test_iterations_instead_of_factors(name, divergence, rng, monkeypatch):
    """300 neurons of unequal masses: Newton's matrix is never formed, and u is the dense one."""
    manifold, psi = map_of(name, 400, rng)
    neurons, mass = psi.at(manifold.sample(300, rng)), masses(300, rng)
    dense = _Dense(neurons.kernel, neurons.matrix @ neurons.labels, neurons)
    expected = project(dense, mass, divergence, 1e-3)
    monkeypatch.setattr(recycling, "spd_factor", lambda *_: pytest.fail("a factor"))
    found = project(neurons, mass, divergence, 1e-3)
    assert found.residual < 1e-10
    assert found.outer_weight == pytest.approx(expected.outer_weight, rel=1e-8, abs=1e-8)


@pytest.mark.parametrize("divergence", DIVERGENCES, ids=lambda d: f"{d.name}-{d.power:g}")
@pytest.mark.parametrize("name", SMOOTH)
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


def circle_pairs(rng, atoms):
    """Each semiseparable map and the dense one of the same kernel."""
    phi, x = ReLU(CIRCLE), ReLU(CIRCLE).inputs(300, rng)
    yield CircleMap(SampledHinges(x), atoms), Sampled(phi, x, atoms)
    yield CircleMap(ArcCosineOnCircle(), atoms), Population(ArcCosine(CIRCLE), atoms)
    for scale in (3.0, 0.5, 0.01):
        kernel = Matern32(CIRCLE, scale)
        yield CircleMap(Matern32OnCircle(kernel), atoms), Population(kernel, atoms)


@given(st.integers(0, 2**32), st.sampled_from([1, 2, 7, 60]), st.floats(-6, 1))
def test_semiseparable_maps_equal_dense_kernels(seed, width, exponent):
    """The same numbers, neurons on top of each other and at the seam of the circle included."""
    rng = np.random.default_rng(seed)
    atoms = place(Bumps(CIRCLE), 50, "random", rng)
    seam = CIRCLE.unchart(np.array([np.pi, -np.pi, 0.0, 0.0, np.pi / 2]))
    omega = np.vstack([CIRCLE.sample(width, rng), seam])
    v, shift = rng.standard_normal(len(omega)), 10.0**exponent * (0.5 + rng.random(len(omega)))
    for fast, dense in circle_pairs(rng, atoms):
        a, b = fast.at(omega), dense.at(omega)
        assert a.potential(v) == pytest.approx(b.potential(v), abs=1e-11)
        assert a.potential_gradient(v) == pytest.approx(b.potential_gradient(v), rel=1e-9, abs=1e-9)
        assert a.misfit(v) == pytest.approx(b.misfit(v), rel=1e-11)
        x = a.solver(shift)(v)
        size = np.abs(b.kernel).max() * np.abs(x).sum() + np.abs(v).max()
        assert np.abs(b.kernel @ x + shift * x - v).max() < 1e-11 * size


def test_linear_cost_means_linear_memory(rng):
    """200 000 neurons, the equation checked by its residual alone."""
    psi = feature_map(ReLU(CIRCLE), "sampled", 1000, place(Bumps(CIRCLE), 500, "random", rng), rng)
    width = 200_000
    found = project(psi.at(CIRCLE.sample(width, rng)), np.full(width, 1 / width), Unbiased(), 1e-3)
    assert found.residual < 1e-10


def test_student_equal_to_teacher_has_unit_weights(rng):
    """Unbiased: mu = nu gives u = 1, risk 0, velocity 0, for unequal masses too."""
    atoms = place(Bumps(CIRCLE), 50, "even", rng)
    psi = feature_map(Laplace(CIRCLE), "population", 0, atoms, rng)
    for divergence in (Unbiased(), Entropy(), Power(3.0)):
        found = project(psi.at(atoms.points), atoms.weights, divergence, 1e-3)
        assert found.outer_weight == pytest.approx(np.ones(50), abs=1e-9)
        assert abs(found.risk) < 1e-10
        assert np.abs(found.velocity).max() < 1e-8


def test_placement(rng):
    """Even atoms carry the density as weights, quantiles have none; both integrate like it."""
    atoms = place(Bumps(CIRCLE), 1000, "even", rng)
    assert atoms.weights.sum() == pytest.approx(1)
    random = place(Bumps(CIRCLE), 200_000, "random", rng)
    assert atoms.weights @ atoms.points == pytest.approx(random.points.mean(axis=0), abs=0.01)
    quantiles = place(Bumps(CIRCLE), 1000, "quantile", rng)
    assert quantiles.points.mean(axis=0) == pytest.approx(atoms.weights @ atoms.points, abs=1e-3)
    even = place(Uniform(CIRCLE), 64, "quantile", rng)
    assert even.points == pytest.approx(CIRCLE.even(64), abs=1e-10)
    with pytest.raises(InputError, match="one dimension"):
        place(Uniform(SPHERE), 64, "quantile", rng)


def test_refusals(rng):
    manifold, psi = map_of("circle", 30, rng)
    neurons = psi.at(manifold.sample(10, rng))
    with pytest.raises(InputError, match="lambda"):
        project(neurons, np.full(10, 0.1), Unbiased(), 0.0)
    with pytest.raises(InputError, match="closed form"):
        feature_map(Radial(TORUS), "population", 10, Atoms(np.zeros((1, 2)), np.ones(1)), rng)


@pytest.mark.parametrize("name", ["circle", "sphere"])
def test_a_lambda_below_round_off_is_one_sentence(name, rng):
    """25 neurons at each of two places: the Gram matrix is singular."""
    manifold, psi = map_of(name, 60, rng, atoms=20)
    omega = np.repeat(manifold.sample(2, rng), 25, axis=0)
    with pytest.raises(RunFailure, match=r"too small|did not converge"):
        project(psi.at(omega), np.full(50, 1 / 50), Unbiased(), 1e-30)
