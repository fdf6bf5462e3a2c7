"""The mean-field equation: errors of default settings, orders in time, rings, long steps of Euler."""

import numpy as np
import pytest
import spectral_mean_field as spectral
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("dolfinx")
from mean_field_errors import compared
from principles import DIAGONAL, assert_transported, rough

import uf_diffusion as uf
from uf_diffusion.kernels.choice import feature_map
from uf_diffusion.kernels.feature_maps import Atoms
from uf_diffusion.kernels.features import Laplace, RandomFourier, ReLU
from uf_diffusion.kernels.fixed_neurons import low_rank
from uf_diffusion.problem.divergences import Power

CIRCLE = uf.Circle()
FORMS = [uf.UNBIASED, uf.BIASED, uf.ENTROPY, Power(1.5), Power(3.0)]
LAPLACE, RELU = Laplace(scale=0.5), ReLU()


def bumps(divergence=uf.UNBIASED):
    return uf.Problem(CIRCLE, uf.Bumps(gamma=10.0), divergence=divergence)


def solver_of(problem, features, strength, cells=64, kernel="population", scheme="sdirk2",
              rtol=1e-4, **network):  # fmt: skip
    network |= {"regularisation": strength, "kernel": kernel}
    return uf.evolution(problem, limit="mean-field", features=features, network=network,
                        cells=cells, scheme=scheme, rtol=rtol)  # fmt: skip


def end(solver, t, step=None, start=None):
    for state in solver.iterate(t, step, start):
        pass
    return state


def density(solver, state):
    return solver.everywhere(state.ratio * solver.teacher)


CASES = [("laplace", 1e-2, uf.UNBIASED), ("laplace", 1e-3, uf.ENTROPY), ("relu", 1e-3, uf.UNBIASED),
         ("relu", 1e-2, uf.ENTROPY), ("laplace", 1e-3, uf.BIASED), ("relu", 1e-3, uf.BIASED)]  # fmt: skip


@pytest.mark.parametrize(("name", "strength", "divergence"), CASES)
def test_default_settings_against_the_spectral_method(name, strength, divergence):
    found = compared(name, divergence.name, strength, 1024, scheme="sdirk2", rtol=1e-4)
    assert found.maximum < 1e-3 and found.relative_risk < 5e-4, found


@pytest.mark.parametrize(("scheme", "order"), [("euler", 1), ("sdirk2", 2)])
def test_order_in_time(scheme, order):
    def run(name, steps):
        solver = solver_of(bumps(), RELU, 1e-2, 64, scheme=name)
        return density(solver, end(solver, 0.4, 0.4 / steps))

    exact = run("sdirk3", 256)
    errors = [np.abs(run(scheme, n) - exact).max() for n in (8, 16, 32)]
    assert abs(np.log2(errors[0] / errors[2]) / 2 - order) < 0.25, errors


def axial(dim, kappa, features, strength, cells, times, spectrum):
    """Relative errors of mean height and risk, ``(times, 2)``, and the mean heights."""
    basis = spectral.sphere(spectrum, dim, 60)
    exact = spectral.solve(basis, lambda s: np.exp(kappa * s), spectral.uniform, strength,
                           "unbiased", times, rtol=1e-8, atol=1e-10)  # fmt: skip
    axis = np.eye(dim + 1)[0]
    problem = uf.Problem(uf.Sphere(dim), uf.VonMisesFisher(kappa=kappa), axis=axis)
    solver = solver_of(problem, features, strength, cells, rtol=1e-4)
    state, found = None, []
    for t in times:
        state = end(solver, t, start=state)
        found.append((solver.weight * state.ratio @ solver.points[:, 0], state.risk))
    found = np.array(found)
    return found / np.column_stack([exact.mean, exact.risk]) - 1, found[:, 0]


def test_relu_on_rings_in_four_dimensions():
    errors, _ = axial(3, 3.0, RELU, 1e-3, 200, [0.5], spectral.arc_cosine_sphere(3, 60))
    assert np.abs(errors).max() < 1e-3


def test_mesh_of_the_sphere_against_the_zonal_reference():
    """An oblique axis, on a mesh that does not know it."""
    kappa, axis, strength = 2.0, np.array([0.6, 0.0, 0.8]), 1e-3
    basis = spectral.sphere(spectral.gaussian_sphere(2, 40, 0.7), 2, 40)
    exact = spectral.solve(basis, lambda s: np.exp(kappa * s), spectral.uniform, strength,
                           "unbiased", [0.3], rtol=1e-8, atol=1e-10)  # fmt: skip
    problem = uf.Problem(uf.Sphere(2), uf.VonMisesFisher(kappa=kappa, means=[axis]))
    errors = []
    for cells in (320, 1280):
        solver = solver_of(problem, RandomFourier(scale=0.7), strength, cells, "low-rank",
                           rtol=1e-4, truncation=1e-4)  # fmt: skip
        state = end(solver, 0.3)
        there = basis.at(solver.points @ axis)[0] @ exact.coefficients[0]
        gap = state.ratio * solver.teacher * 4 * np.pi - there
        errors.append((np.sqrt(solver.volume @ gap**2 / (4 * np.pi)) / there.max(),
                       abs(state.risk / exact.risk[0] - 1)))  # fmt: skip
    assert errors[1][0] < 3e-3 and errors[1][1] < 2e-3
    assert np.log2(errors[0][0] / errors[1][0]) > 1.6


def random_problem(seed, divergence, rings):
    """Random densities on the circle, or of the angle to an axis of S^3."""
    rng = np.random.default_rng(seed)

    def wavy(size):
        a, b = rng.standard_normal(4) * size, rng.uniform(0, 6, 4)

        def value(x):
            angle = np.arccos(np.clip(x[:, 0], -1, 1)) if rings else np.arctan2(x[:, 1], x[:, 0])
            return np.exp(sum(a[k] * np.cos((k + 1) * angle + b[k]) for k in range(4)))

        return value

    space = uf.Sphere(3) if rings else CIRCLE
    axis = np.eye(4)[0] if rings else None
    return uf.Problem(space, wavy(0.7), wavy(0.7), divergence, axis=axis)


@settings(max_examples=16)
@given(
    seed=st.integers(0, 10**6),
    scheme=st.sampled_from(DIAGONAL),
    divergence=st.sampled_from(FORMS),
    kind=st.sampled_from(["waves", "rings", "rough"]),
    power=st.floats(-5, 0),
)
def test_mass_positivity_and_decrease_of_the_risk(seed, scheme, divergence, kind, power):
    """For random densities on both sides, at every step."""
    if kind == "rough":
        rng = np.random.default_rng(seed)
        problem = uf.Problem(CIRCLE, rough(CIRCLE, rng), rough(CIRCLE, rng), divergence)
    else:
        problem = random_problem(seed, divergence, kind == "rings")
    phi = RandomFourier(scale=1.0) if kind == "rings" else LAPLACE
    solver = solver_of(problem, phi, 10**power, 48, scheme=scheme, rtol=1e-3)
    assert_transported(list(solver.iterate(0.3)), 1e-6)


@pytest.mark.parametrize("divergence", FORMS, ids=str)
def test_euler_lowers_the_risk_in_every_long_step(divergence):
    """The mass keeps to round-off."""
    solver = solver_of(random_problem(1, divergence, False), LAPLACE, 1e-3, 48, scheme="euler")
    states = list(solver.iterate(1.0, 0.125))
    assert (np.diff([s.risk for s in states]) < 0).all()
    assert max(abs(s.mass - 1) for s in states) < 1e-12


@pytest.mark.parametrize("cells", [64, 256])
@pytest.mark.parametrize("strength", [1e-2, 1e-4])
def test_steps_of_euler_end_where_round_off_begins(strength, cells):
    """A ReLU kernel's potential is not accurate enough for changes of the mass below 1e-13."""
    solver = solver_of(bumps(), RELU, strength, cells, scheme="euler")
    states = list(solver.iterate(0.4, 0.05))
    assert len(states) == 9
    assert (np.diff([s.risk for s in states]) < 0).all()
    assert max(abs(s.mass - 1) for s in states) < 1e-12


@pytest.mark.parametrize("tolerance", [1e-3, 1e-5])
@pytest.mark.parametrize("name", ["laplace", "matern"])
def test_low_rank_part_of_kernels_whose_eigenvalues_decay_slowly(name, tolerance):
    """Nystrom's smallest eigenvalues are far too small; at most twice the tolerance is left out."""
    manifold = CIRCLE if name == "laplace" else uf.Sphere(2)
    phi = Laplace(CIRCLE) if name == "laplace" else RandomFourier(manifold, 0.5, "matern")
    rng = np.random.default_rng(2)
    x, weight = manifold.sample(300, rng), rng.dirichlet(np.ones(300))
    psi = feature_map(phi, "population", 0, Atoms(x[:1], np.zeros(1)), rng).at(x)
    low, root = low_rank(psi, weight, tolerance), np.sqrt(weight)
    kernel = np.column_stack([-psi.potential(e) for e in np.eye(300)])
    rest = np.linalg.eigvalsh(root[:, None] * (kernel - low @ low.T) * root)
    assert rest[-1] < 2 * tolerance, rest[-1] / tolerance
    assert rest[0] > -1e-9
    assert low.shape[1] < 300
