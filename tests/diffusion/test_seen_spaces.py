"""The equations of features that see even or odd functions: projections, limits, two activations."""

from mpi4py import MPI

import numpy as np
import pytest

pytest.importorskip("dolfinx")
from activation_errors import FOUND_BEFORE, erf_distances
from principles import assert_transported, derivative_of_stage, rough

import uf_diffusion as uf
from uf_diffusion.core.errors import InputError
from uf_diffusion.core.mpi import Share
from uf_diffusion.diffusion.constrained import ConstrainedDiffusion
from uf_diffusion.diffusion.nodes import all_nodes
from uf_diffusion.diffusion.opposite_pairs import OppositePairs, antipodes
from uf_diffusion.diffusion.potentials import Place
from uf_diffusion.diffusion.schemes import SCHEMES
from uf_diffusion.diffusion.ultra_fast import UltraFastDiffusion
from uf_diffusion.grids.built_in import grid_of, grid_on
from uf_diffusion.kernels.activations import Activation
from uf_diffusion.kernels.feature_maps import KernelNeurons
from uf_diffusion.kernels.fixed_neurons import FixedNeurons
from uf_diffusion.kernels.projection import optimum
from uf_diffusion.kernels.seen_spaces import EVEN, EVERYTHING, ODD, SPACES
from uf_diffusion.problem import Problem
from uf_diffusion.problem.densities import Bumps, Density, Uniform, VonMisesFisher
from uf_diffusion.problem.divergences import Biased, Entropy, Unbiased
from uf_diffusion.problem.manifolds import Circle, Sphere

CIRCLE, SPHERE = Circle(), Sphere(2)
CONSTRAINED = SPACES[1:]
# for each space an activation whose kernel sees exactly it
SEEING = {"even and linear functions": "gelu", "even functions": "gaussian",
          "odd functions": "erf", "odd functions and constants": "sigmoid",
          "odd functions and the degrees 0 and 2": "relu2"}  # fmt: skip


def nodes_of(manifold, cells, divergence, seed=0):
    rng, grid = np.random.default_rng(seed), grid_on(manifold, cells)
    n = len(grid.nodes)
    volume = np.full(n, manifold.volume / n)
    nu, mu = (rng.uniform(0.3, 2, n) for _ in range(2))
    nu, mu = nu / (volume @ nu), mu / (volume @ mu)
    nodes = all_nodes(n, np.arange(n), MPI.COMM_SELF)
    return Place(nodes, grid.nodes, volume, nu, grid.nodes, antipodes(grid.nodes), divergence), mu


@pytest.mark.parametrize("space", CONSTRAINED, ids=lambda space: space.name)
@pytest.mark.parametrize("divergence", [Unbiased(), Entropy()], ids=lambda f: f.name)
def test_outer_weights_are_those_of_a_kernel_at_a_small_lambda(space, divergence):
    """Neurons at few nodes and the closed form of an activation's kernel: a wrong parity, or one
    degree too many or too few, would leave an error of order 1.
    """
    place, mu = nodes_of(CIRCLE, 12, divergence)
    limit = OppositePairs(place, space).at(mu)
    phi = Activation(SEEING[space.name], scale=0.3, manifold=CIRCLE)
    kernel = phi.kernel(place.points, place.points)[0]
    mass, teacher = place.volume * mu, place.volume * place.teacher
    neurons = FixedNeurons(
        KernelNeurons(kernel, Share(len(mu))), teacher, np.empty((len(mu), 0)), direct=True
    )
    errors = []
    for regularisation in kernel[0, 0] * np.array([1e-5, 1e-7, 1e-9]):
        u, _ = optimum(neurons, mass, divergence, regularisation)
        errors.append(np.abs(u - limit.outer_weight).max())
    assert errors[2] < 1e-4 and errors[2] < 0.1 * errors[1] < 0.03 * errors[0]


def test_odd_potentials_in_closed_form():
    """The formulas for each pair of opposite nodes, for three regularisers."""
    for divergence in (Unbiased(), Biased(), Entropy()):
        place, mu = nodes_of(CIRCLE, 32, divergence)
        pairs = OppositePairs(place, ODD)
        other, seen = mu[place.opposite], pairs.at(mu)
        apart = place.teacher - place.teacher[place.opposite]
        if divergence.name == "entropy":
            exact = (apart + np.sqrt(apart**2 + 4 * mu * other)) / (2 * mu)
            assert np.exp(seen.potential) == pytest.approx(exact, rel=1e-10)
        else:
            shift = mu - other if divergence.name == "unbiased" else 0.0
            assert seen.potential == pytest.approx((apart - shift) / (mu + other), abs=1e-13)


def test_even_features_have_the_ratio_of_the_even_parts():
    """u = S(nu) / S(mu) for every divergence."""
    for divergence in (Unbiased(), Biased(), Entropy()):
        place, mu = nodes_of(SPHERE, 80, divergence)
        pairs = OppositePairs(place, EVEN)
        ratio = pairs.pair(place.teacher) / pairs.pair(mu)
        assert pairs.at(mu).outer_weight == pytest.approx(ratio, rel=1e-10)


@pytest.mark.parametrize("space", CONSTRAINED, ids=lambda space: space.name)
def test_newtons_matrix_is_the_derivative(space):
    for manifold in (CIRCLE, SPHERE):
        rng = np.random.default_rng(3)
        problem = Problem(manifold, rough(manifold, rng), Uniform(manifold), Entropy())
        solver = ConstrainedDiffusion(problem, grid_on(manifold, 80), space=space)
        mu = rng.uniform(0.5, 1.5, len(solver.grid.nodes))
        direction = rng.standard_normal(len(mu))
        newton, image = derivative_of_stage(solver, mu, direction, 0.3)
        assert newton.solve(image) == pytest.approx(direction, rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("space", CONSTRAINED, ids=lambda space: space.name)
def test_mass_positivity_and_risk(space):
    for manifold in (CIRCLE, SPHERE):
        rng = np.random.default_rng(5)
        problem = Problem(manifold, rough(manifold, rng), rough(manifold, rng), Unbiased())
        solver = ConstrainedDiffusion(problem, grid_on(manifold, 80), rtol=1e-3, space=space)
        assert_transported(list(solver.iterate(0.5)), 1e-6, 1e-11)


def test_the_sum_of_opposite_values_follows_the_ultra_fast_diffusion():
    """For even features S(mu) is the solution with the target S(nu); on the circle, order 2."""
    even = Problem(CIRCLE, Symmetric(CIRCLE, Bumps(CIRCLE, 5.0)), Uniform(CIRCLE), Unbiased())
    problem = Problem(CIRCLE, Bumps(CIRCLE, 5.0), Uniform(CIRCLE), Unbiased())
    errors = []
    for cells in (64, 128, 256):
        grid = grid_on(CIRCLE, cells)
        found = final(ConstrainedDiffusion(problem, grid, rtol=1e-6, space=EVEN), 0.3)
        opposite = antipodes(grid.nodes)
        half = (found + found[opposite]) / 2
        known = final(UltraFastDiffusion(even, grid, SCHEMES["sdirk3"], 1e-8), 0.3)
        errors.append(np.abs(half - known).max() / known.max())
    assert errors[-1] < 2e-4
    assert np.log2(errors[0] / errors[2]) / 2 > 1.6


class Symmetric(Density):
    """The even part of a density."""

    def __init__(self, manifold, of):
        object.__setattr__(self, "manifold", manifold)
        object.__setattr__(self, "of", of)

    def formula(self, x, xp):
        return (self.of.formula(x, xp) + self.of.formula([-a for a in x], xp)) / 2


def final(solver, t):
    for state in solver.iterate(t):
        pass
    return solver.everywhere(state.ratio * solver.teacher)


def test_erf_tends_to_the_odd_equation():
    """The mean-field equation: energy distances to the odd-constrained equation as they were found
    before by an independent first-order method; those to the diffusion stall.
    """
    found = erf_distances()
    for regularisation, before in FOUND_BEFORE.items():
        own, free = found[regularisation]
        assert own == pytest.approx(before, rel=0.05, abs=5e-5)
        assert regularisation > 1e-3 or free == pytest.approx(0.031, rel=0.03)


def test_the_axis_of_a_sphere_is_the_sphere():
    """Odd features: rings in one dimension against the mesh of S^2, at the mean height."""
    heights = []
    for axis, cells in ((None, 1280), ((0.0, 0.0, 1.0), 200)):
        problem = Problem(SPHERE, VonMisesFisher(SPHERE, 2.0, [[0, 0, 1.0]]), Uniform(SPHERE),
                          Unbiased(), axis)  # fmt: skip
        grid = grid_on(SPHERE, cells) if axis is None else grid_of(problem, cells)
        solver = ConstrainedDiffusion(problem, grid, rtol=1e-5, space=ODD)
        for state in solver.iterate(0.2):
            pass
        weight = solver.volume * solver.teacher * state.ratio
        points = solver.grid.linear[solver.node]
        heights.append(float(weight @ (points[:, -1])))
    assert heights[0] == pytest.approx(heights[1], rel=5e-3)


def test_refusals():
    problem = Problem(CIRCLE, Bumps(CIRCLE, 10.0), Uniform(CIRCLE), Unbiased())
    with pytest.raises(InputError, match="do not see all functions"):
        ConstrainedDiffusion(problem, grid_on(CIRCLE, 32), space=EVERYTHING)
    for phi, said in ((Activation("exp"), "use 'unconstrained'"),
                      (Activation("gelu", bias=True), "use 'mean-field'")):  # fmt: skip
        with pytest.raises(InputError, match=said):
            uf.solve(problem, until=1.0, limit="constrained", features=phi)
