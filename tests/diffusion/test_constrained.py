"""The constrained equation: projection, derivative, conservation laws, orders, refusals."""

from mpi4py import MPI

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp
from scipy.optimize import minimize

pytest.importorskip("dolfinx")
from principles import DIAGONAL, assert_transported, derivative_of_stage, rough
from verification import constrained_zonal_solution, zonal_errors

from uf_diffusion.core.errors import InputError
from uf_diffusion.diffusion.constrained import ConstrainedDiffusion
from uf_diffusion.diffusion.nodes import all_nodes
from uf_diffusion.diffusion.opposite_pairs import OppositePairs, antipodes
from uf_diffusion.diffusion.potentials import Place
from uf_diffusion.diffusion.schemes import SCHEMES
from uf_diffusion.diffusion.ultra_fast import UltraFastDiffusion
from uf_diffusion.grids.built_in import grid_on
from uf_diffusion.grids.mesh_files import read_usable_mesh
from uf_diffusion.kernels.closed_forms import ArcCosine
from uf_diffusion.kernels.feature_maps import Atoms
from uf_diffusion.kernels.population import Population
from uf_diffusion.kernels.projection import project
from uf_diffusion.kernels.seen_spaces import EVEN_AND_LINEAR, SPACES
from uf_diffusion.problem import Problem
from uf_diffusion.problem.densities import Density, Uniform, VonMisesFisher
from uf_diffusion.problem.divergences import Biased, Entropy, Power, Unbiased
from uf_diffusion.problem.manifolds import Circle, FlatTorus, Sphere
from uf_diffusion.runs.reading import load_config

CIRCLE, SPHERE = Circle(), Sphere(2)
MESH = Path(__file__).parents[2] / "meshes" / "fibonacci-500.msh"
FORMS = [Unbiased(), Biased(), Entropy(), Power(1.5)]


class Harmonic(Density):
    """1 + a mixture of harmonics, even and odd ones, on the circle."""

    amplitudes = (0.3, 0.2, 0.25)

    def formula(self, x, xp):
        angle = np.arctan2(x[1], x[0])
        waves = zip(self.amplitudes, (1, 2, 3), strict=True)
        return (1 + sum(a * np.cos(k * angle + k) for a, k in waves)) / (2 * np.pi)


def random_space(seed, divergence, manifold=CIRCLE, cells=24, space=EVEN_AND_LINEAR):
    rng = np.random.default_rng(seed)
    grid = grid_on(manifold, cells)
    n = len(grid.nodes)
    volume = np.full(n, manifold.volume / n)
    nu, mu = (rng.uniform(0.2, 2, n) for _ in range(2))
    nu, mu = nu / (volume @ nu), mu / (volume @ mu)
    nodes = all_nodes(n, np.arange(n), MPI.COMM_SELF)
    place = Place(nodes, grid.nodes, volume, nu, grid.nodes, antipodes(grid.nodes), divergence)
    return OppositePairs(place, space), grid.nodes, volume, nu, mu


def spanning(pairs, x):
    """Functions that span what is seen at the nodes x, written out one by one."""
    one = np.eye(len(x))
    half = one + pairs.space.parity * one[pairs.opposite]
    first = np.arange(len(x)) < pairs.opposite
    products = np.einsum("ni,nj->nij", x, x).reshape(len(x), -1)
    others = {0: np.ones((len(x), 1)), 1: x, 2: products}
    basis = np.column_stack([half[first].T, *(others[k] for k in pairs.space.degrees)])
    left, size, _ = np.linalg.svd(basis, full_matrices=False)
    return left[:, size > 1e-12 * size[0]]


@pytest.mark.parametrize("space", SPACES[1:], ids=lambda space: space.name)
@pytest.mark.parametrize("divergence", FORMS, ids=lambda f: f.name)
@pytest.mark.parametrize("manifold", [CIRCLE, SPHERE], ids=["S1", "S2"])
def test_outer_weights_agree_with_the_teacher_on_what_is_seen(divergence, manifold, space):
    """u mu - nu is orthogonal to every function in the space, u = f*'(w) with w in it; and a general
    optimiser over the space finds the same risk.
    """
    pairs, x, m, nu, mu = random_space(1, divergence, manifold, space=space)
    seen, basis = pairs.at(mu), spanning(pairs, x)
    assert np.abs(basis.T @ (m * (seen.outer_weight * mu - nu))).max() < 1e-13
    assert seen.outer_weight == pytest.approx(divergence.dconjugate(seen.potential))
    inside, *_ = np.linalg.lstsq(basis, seen.potential, rcond=None)
    assert basis @ inside == pytest.approx(seen.potential, abs=1e-12)

    def minus(c):
        w = basis @ c
        return -(m @ (w * nu - divergence.conjugate(w) * mu))

    def slope(c):
        return -basis.T @ (m * (nu - divergence.dconjugate(basis @ c) * mu))

    found = minimize(minus, inside * 0.9, jac=slope, method="BFGS", options={"gtol": 1e-9})
    assert -found.fun == pytest.approx(seen.risk, rel=1e-9)
    assert m @ (mu * divergence.f(seen.outer_weight)) == pytest.approx(seen.risk, rel=1e-9)


@pytest.mark.parametrize("divergence", [Unbiased(), Entropy()], ids=lambda f: f.name)
def test_outer_weights_are_the_limit_of_the_networks(divergence):
    """Neurons at the nodes, masses m mu, the closed-form ReLU kernel: u^lambda tends to u."""
    space, x, m, nu, mu = random_space(2, divergence)
    limit = space.at(mu)
    psi = Population(ArcCosine(CIRCLE), Atoms(x, m * nu))
    errors, risks = [], []
    for lam in (1e-4, 1e-6, 1e-8):
        outer = project(psi.at(x), m * mu, divergence, lam)
        errors.append(np.abs(outer.outer_weight - limit.outer_weight).max())
        risks.append(limit.risk - outer.risk)
    assert errors[1] < 0.1 * errors[0] and errors[2] < 0.1 * errors[1] and errors[2] < 1e-3
    assert risks[0] > risks[1] > risks[2] > -1e-12  # the risk grows to its supremum


def smooth_problem(manifold=CIRCLE, divergence=None, t=0.2):
    if manifold == CIRCLE:
        teacher = Harmonic(CIRCLE)
    else:
        teacher = VonMisesFisher(SPHERE, 1.5, [[0.0, 0.0, 1.0]])
    return Problem(manifold, teacher, Uniform(manifold), divergence or Unbiased())


def final(solver, t, step=None):
    for state in solver.iterate(t, step):
        pass
    return solver.everywhere(state.ratio * solver.teacher)


@pytest.mark.parametrize("divergence", FORMS, ids=lambda f: f.name)
@pytest.mark.parametrize("manifold", [CIRCLE, SPHERE], ids=["S1", "S2"])
def test_newton_matrix_is_the_derivative(divergence, manifold):
    """m mu - s D(mu) along a random direction, by central differences."""
    solver = ConstrainedDiffusion(smooth_problem(manifold, divergence), grid_on(manifold, 80))
    rng = np.random.default_rng(3)
    mu = rng.uniform(0.5, 1.5, len(solver.grid.nodes))
    direction = rng.standard_normal(len(mu))
    newton, image = derivative_of_stage(solver, mu, direction, 0.3)
    assert newton.solve(image) == pytest.approx(direction, rel=1e-5, abs=1e-5)


@settings(max_examples=12)
@given(
    seed=st.integers(0, 10**6),
    scheme=st.sampled_from(DIAGONAL),
    divergence=st.sampled_from(FORMS),
    manifold=st.sampled_from([CIRCLE, SPHERE]),
)
def test_mass_positivity_and_decrease_of_the_risk(seed, scheme, divergence, manifold):
    """For random densities on both sides, at every step, from far away."""
    rng = np.random.default_rng(seed)
    problem = Problem(manifold, rough(manifold, rng, 1.5), rough(manifold, rng, 1.5), divergence)
    solver = ConstrainedDiffusion(problem, grid_on(manifold, 80), SCHEMES[scheme], 1e-3)
    assert_transported(list(solver.iterate(1.0)), 1e-6, 1e-11)


def fourier_solution(t, n=96):
    """A Fourier method of lines for f = (t - 1)^2 / 2 with trapezoidal moments."""
    angle = -np.pi + 2 * np.pi * np.arange(n) / n
    x = np.column_stack([np.cos(angle), np.sin(angle)])
    nu = Harmonic(CIRCLE)(x)
    wave = 1j * np.fft.fftfreq(n, 1 / n)

    def slope(values):
        return np.fft.ifft(wave * np.fft.fft(values)).real

    def flip(values):
        return np.roll(values, n // 2, axis=0)

    def rate(_, mu):
        both, apart = mu + flip(mu), mu - flip(mu)
        even = (nu + flip(nu)) / both
        matrix = x.T @ ((mu - apart / both * mu)[:, None] * x)
        b = np.linalg.solve(matrix, x.T @ (nu - even * mu))
        u = even + (x @ b) * (1 - apart / both)
        return -slope(mu * u * slope(u))

    uniform = np.full(n, 1 / (2 * np.pi))
    solved = solve_ivp(rate, (0, t), uniform, method="LSODA", rtol=1e-10, atol=1e-12)
    return solved.y[:, -1]


def test_second_order_in_space_against_a_fourier_method():
    exact, t = fourier_solution(0.1), 0.1
    assert exact == pytest.approx(fourier_solution(0.1, 192)[::2], abs=1e-7)
    errors = []
    for cells in (96, 192, 384):
        grid = grid_on(CIRCLE, cells)
        solver = ConstrainedDiffusion(smooth_problem(), grid, SCHEMES["sdirk3"], 1e-7)
        errors.append(np.abs(final(solver, t)[:: cells // 96] - exact).max())
    orders = np.log2(np.divide(errors[:-1], errors[1:]))
    assert (orders > 1.8).all(), orders
    assert errors[-1] < 2e-5


@pytest.mark.parametrize(("scheme", "order"), [("euler", 1), ("sdirk2", 2), ("sdirk3", 2)])
def test_order_in_time(scheme, order):
    """Extrapolated reconstruction factors hold every scheme to order 2."""
    grid, t = grid_on(CIRCLE, 96), 0.2

    def run(name, steps):
        solver = ConstrainedDiffusion(smooth_problem(), grid, SCHEMES[name])
        return final(solver, t, t / steps)

    reference = run("sdirk3", 1024)
    errors = [np.abs(run(scheme, n) - reference).max() for n in (16, 32, 64)]
    assert np.log2(errors[0] / errors[2]) / 2 > order - 0.25, errors


def even_problem(manifold):
    if manifold == CIRCLE:
        from uf_diffusion.problem.densities import Bumps

        teacher = Bumps(CIRCLE, 10.0, [0.3, 0.3 + np.pi], [1.0, 1.0])
    else:
        axis = np.array([[0.6, 0.0, 0.8], [-0.6, 0.0, -0.8]])
        teacher = VonMisesFisher(SPHERE, 2.0, axis, [1.0, 1.0])
    return Problem(manifold, teacher, Uniform(manifold), Unbiased())


@pytest.mark.parametrize(
    ("manifold", "cells", "bound"), [(CIRCLE, (128, 256), 2e-3), (SPHERE, (320, 1280), 1e-2)],
    ids=["S1", "S2"],
)  # fmt: skip
def test_even_densities_follow_the_ultra_fast_diffusion(manifold, cells, bound):
    """Nothing of them is unseen, so both equations agree, up to their errors of order 2."""
    problem, apart = even_problem(manifold), []
    for count in cells:
        grid = grid_on(manifold, count)
        there = [final(cls(problem, grid, SCHEMES["sdirk3"], 1e-6), 0.5)
                 for cls in (ConstrainedDiffusion, UltraFastDiffusion)]  # fmt: skip
        apart.append(np.abs(there[0] - there[1]).max() / there[1].max())
    assert apart[-1] < bound
    assert np.log2(apart[0] / apart[1]) > 1.7


def test_unseen_weight_keeps_the_solution_from_the_teacher():
    """A third harmonic of the teacher is not found: the risk tends to 0, mu not to nu."""
    solver = ConstrainedDiffusion(smooth_problem(), grid_on(CIRCLE, 128), rtol=1e-4)
    for state in solver.iterate(30.0):
        pass
    assert state.risk < 1e-4
    assert state.distance > 0.05
    # but all that is seen has been found
    seen, mu = (
        solver.potential.at(solver.place.teacher),
        solver.everywhere(state.ratio * solver.teacher),
    )
    gap = solver.potential.pair(mu) - solver.potential.pair(solver.place.teacher)
    assert np.abs(gap).max() < 0.02 * mu.max()
    assert seen.risk == pytest.approx(0, abs=1e-14)


def test_refusals():
    problem = smooth_problem()
    with pytest.raises(InputError, match="even number of cells"):
        ConstrainedDiffusion(problem, grid_on(CIRCLE, 33))
    with pytest.raises(InputError, match="degree = 1"):
        ConstrainedDiffusion(problem, grid_on(CIRCLE, 32, 2))
    with pytest.raises(InputError, match="antipodal"):
        ConstrainedDiffusion(smooth_problem(SPHERE), read_usable_mesh(MESH))
    with pytest.raises(InputError, match="power 2 or less"):
        ConstrainedDiffusion(smooth_problem(divergence=Power(3.0)), grid_on(CIRCLE, 32))
    torus = FlatTorus(2, 1.0)
    flat = Problem(torus, Uniform(torus), Uniform(torus), Unbiased())
    with pytest.raises(InputError, match="circle and the sphere"):
        ConstrainedDiffusion(flat, grid_on(torus, 100))
    for setting in ("diffusion.degree=2", "problem.manifold=torus"):
        with pytest.raises(InputError, match="constrained"):
            load_config("relu-circle", ["problem.limit=constrained", setting])


def test_second_order_on_the_sphere_against_a_zonal_solution():
    t = 0.1
    exact, errors = constrained_zonal_solution(1.5, t), []
    assert constrained_zonal_solution(1.5, t, 30)(0.3) == pytest.approx(exact(0.3), abs=1e-7)
    for cells in (320, 1280, 5120):
        solver = ConstrainedDiffusion(
            smooth_problem(SPHERE), grid_on(SPHERE, cells), SCHEMES["sdirk3"], 1e-6
        )
        error = final(solver, t) - exact(solver.grid.nodes[:, 2])
        errors.append(np.sqrt(solver._volume @ error**2))
    orders = np.log2(np.divide(errors[:-1], errors[1:]))
    assert (orders > 1.7).all(), (errors, orders)


def test_order_two_in_the_maximum_norm_at_the_vertices_of_the_icosahedron():
    """With the lumped volumes the error there is 2e-3 on every mesh."""
    found = [zonal_errors(ConstrainedDiffusion, grid_on(SPHERE, n), 0.5) for n in (320, 1280, 5120)]
    at_vertices = np.array([errors.at_irregular for errors in found])
    assert (np.log2(at_vertices[:-1] / at_vertices[1:]) > 1.8).all(), found
    assert found[-1].maximum < 1e-2


def test_density_at_the_south_pole_where_transport_has_accumulated():
    """The value 0.0530 is that of finite volumes in the polar angle, 100 to 400 rings."""
    z = [[0.0, 0.0, 1.0]]
    problem = Problem(
        SPHERE, VonMisesFisher(SPHERE, 3.0, z), VonMisesFisher(SPHERE, 1.0, z), Unbiased()
    )
    solver = ConstrainedDiffusion(problem, grid_on(SPHERE, 5120))
    south = np.argmin(solver.grid.nodes[:, 2])
    assert final(solver, 1.0)[south] == pytest.approx(0.0530, rel=6e-3)


@pytest.mark.parallel([2, 3])
def test_the_same_numbers_on_any_number_of_ranks():
    """Every rank holds the whole problem; what is stored is gathered from all."""
    densities = []
    for comm in (MPI.COMM_WORLD, MPI.COMM_SELF):
        for manifold, cells in ((CIRCLE, 64), (SPHERE, 320)):
            solver = ConstrainedDiffusion(
                smooth_problem(manifold), grid_on(manifold, cells), comm=comm
            )
            for state in solver.iterate(0.2):
                pass
            mu = solver.everywhere(state.ratio * solver.teacher)
            densities.append((mu, solver.everywhere(solver.outer_weight(state.ratio))))
    for together, alone in zip(densities[:2], densities[2:], strict=True):
        assert together[0] == pytest.approx(alone[0], rel=1e-10)
        assert together[1] == pytest.approx(alone[1], rel=1e-10)
