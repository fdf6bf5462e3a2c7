"""Smoothed laws of the height against sums and quadrature, and energies of rings against modes."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import norm

from uf_diffusion.distances.energy_distances import energy_distance
from uf_diffusion.distances.energy_modes import EnergyModes
from uf_diffusion.distances.height_laws import HEIGHTS, bandwidth, divergences, smoothed_law
from uf_diffusion.distances.ring_energies import RingEnergies, energies_on
from uf_diffusion.grids.built_in import grid_of, grid_on
from uf_diffusion.problem import Problem
from uf_diffusion.problem.densities import Uniform, VonMisesFisher
from uf_diffusion.problem.manifolds import Circle, Sphere

CELL = HEIGHTS[1] - HEIGHTS[0]


def by_sums(height, mass, width):
    """Gaussians at the points and at their images beyond both ends."""
    total = np.zeros_like(HEIGHTS)
    for k in range(-3, 4):
        for images in (height + 4 * k, 2 - height + 4 * k):
            total += norm.pdf(HEIGHTS[:, None], images, width) @ mass
    return total


@pytest.mark.parametrize("width", [0.02, 0.1, 0.7])
def test_the_smoothed_law_is_a_sum_of_gaussians_and_their_images(width, rng):
    """Also of points at both ends. Sharing a point between two cells adds a variance of at most
    cell^2 / 4 to that of the Gaussian, so the relative error is about (cell / width)^2 / 4.
    """
    height = np.concatenate([rng.uniform(-1, 1, 30), [-1, 1, 0.9999]])
    mass = rng.dirichlet(np.ones(len(height)))
    law, expected = smoothed_law(height, mass, width), by_sums(height, mass, width)
    # a point in the outer half of an outer cell is moved to its middle
    assert np.abs(law - expected).max() < expected.max() * 2 * (CELL / width) ** 2
    assert CELL * law.sum() == pytest.approx(1, abs=1e-13)


@given(seed=st.integers(0, 10**6), exponent=st.floats(-3, 1), count=st.integers(1, 50))
def test_mass_is_kept_and_nothing_is_negative(seed, exponent, count):
    rng = np.random.default_rng(seed)
    height, mass = np.cos(rng.uniform(0, math.pi, count)), rng.dirichlet(np.full(count, 0.3))
    law = smoothed_law(height, mass, 10**exponent)
    assert CELL * law.sum() == pytest.approx(1, abs=1e-9)
    assert (law >= 0).all()


def test_the_mean_is_kept_away_from_the_ends():
    law = smoothed_law(np.array([0.3, -0.2]), np.array([0.25, 0.75]), 0.05)
    assert CELL * law @ HEIGHTS == pytest.approx(-0.075, abs=1e-12)
    assert CELL * law @ HEIGHTS**2 == pytest.approx(0.0525 + 0.05**2, abs=CELL**2 / 4)


def test_the_bandwidth_is_silvermans(rng):
    """1.06 sigma n^(-1/5) for Gaussian heights; the quartiles count where they are closer."""
    height, equal = 0.1 * rng.standard_normal(4000), np.full(4000, 1 / 4000)
    assert bandwidth(height, equal) == pytest.approx(1.06 * 0.1 * 4000**-0.2, rel=0.05)
    order = rng.permutation(4000)
    assert bandwidth(height[order], equal) == pytest.approx(bandwidth(height, equal), rel=1e-10)
    twice = bandwidth(np.tile(height, 2), np.tile(equal, 2) / 2)
    assert twice == pytest.approx(bandwidth(height, equal) * 2**-0.2, rel=1e-3)
    # a few points far away raise the deviation, not the quartiles
    far = np.concatenate([height[:-40], np.full(40, 1.0)])
    assert bandwidth(far, equal) < 1.1 * bandwidth(height, equal)
    none = np.concatenate([np.zeros(40), height])  # points without mass do not count
    assert bandwidth(none, np.concatenate([np.zeros(40), equal])) == pytest.approx(
        bandwidth(height, equal), rel=1e-2
    )


def test_the_bandwidth_has_a_least_value():
    """Two cells, for points at one place; without quartiles the deviation counts."""
    assert bandwidth(np.full(9, 0.3), np.full(9, 1 / 9)) == pytest.approx(2 * CELL)
    assert bandwidth(np.array([0.3]), np.ones(1)) == pytest.approx(2 * CELL)
    height, mass = np.append(np.zeros(9), 0.8), np.full(10, 0.1)
    assert bandwidth(height, mass) == pytest.approx(1.06 * 0.24 * 10**-0.2, rel=1e-6)


@pytest.mark.parametrize(("shift", "wide"), [(0.0, 0.08), (0.05, 0.06), (-0.1, 0.1)])
def test_divergences_of_gaussians(shift, wide):
    """Against adaptive quadrature; the midpoint rule has no error to speak of here."""
    P, Q = norm(0.1, 0.06), norm(0.1 + shift, wide)
    found = divergences(P.pdf(HEIGHTS), Q.pdf(HEIGHTS))
    integrands = {
        "chi2": lambda s: (P.pdf(s) - Q.pdf(s)) ** 2 / Q.pdf(s),
        "kl": lambda s: P.pdf(s) * (P.logpdf(s) - Q.logpdf(s)),
        "l1": lambda s: abs(P.pdf(s) - Q.pdf(s)),
    }
    kinks = np.linspace(-0.5, 0.7, 41)
    for name, f in integrands.items():
        expected = sum(quad(f, a, b, limit=200)[0] for a, b in pairwise(kinks))  # fmt: skip
        assert found[name] == pytest.approx(expected, rel=1e-6), name


def test_divergences_of_shifted_gaussians_in_closed_form():
    d, sigma = 0.05, 0.07
    found = divergences(norm.pdf(HEIGHTS, 0.1, sigma), norm.pdf(HEIGHTS, 0.1 + d, sigma))
    assert found["chi2"] == pytest.approx(math.expm1((d / sigma) ** 2), rel=1e-9)
    assert found["kl"] == pytest.approx((d / sigma) ** 2 / 2, rel=1e-9)
    assert found["l1"] == pytest.approx(2 * (2 * norm.cdf(d / sigma / 2) - 1), rel=1e-6)


def test_divergences_of_extreme_laws():
    """0 for equal ones, infinite where the second is 0, l1 at most 2."""
    p, q = (smoothed_law(np.array([s]), np.ones(1), 0.01) for s in (-0.5, 0.5))
    assert divergences(p, p) == {"chi2": 0, "kl": 0, "l1": 0}
    apart = divergences(p, q)
    assert apart["chi2"] == apart["kl"] == math.inf
    assert apart["l1"] == pytest.approx(2, abs=1e-12)
    within = divergences(p, (p + q) / 2)
    assert within["kl"] == pytest.approx(math.log(2), rel=1e-9)
    assert within["chi2"] == pytest.approx(1, rel=1e-9)
    assert within["l1"] == pytest.approx(1, rel=1e-9)


# --- energies -------------------------------------------------------------------------------------


def oblique(dim):
    e = np.cos(np.arange(dim + 1.0))
    return e / np.linalg.norm(e)


@pytest.mark.parametrize(("manifold", "cells"), [(Circle(), 2048), (Sphere(2), 20480)], ids=repr)
def test_energies_of_rings_are_those_of_modes(manifold, cells, rng):
    """Two densities, and a cloud: as functions on rings, and on a mesh of the whole sphere."""
    e = oblique(manifold.dim)
    one, two = VonMisesFisher(manifold, 3.0, [e]), VonMisesFisher(manifold, 1.0, [-e])
    problem = Problem(manifold, one, two, axis=e)
    cloud, weights = manifold.sample(60, rng), rng.dirichlet(np.ones(60))
    found = []
    for grid, meridian in (
        (grid_of(problem, 512), problem.meridian),
        (grid_on(manifold, cells), None),
    ):
        energy = energies_on(grid, meridian)
        assert isinstance(energy, EnergyModes if meridian is None else RingEnergies)
        p, q = energy.densities(grid, np.array([rho(grid.nodes) for rho in (one, two)]))
        atoms = energy.atoms(cloud, weights)
        found.append([energy.between(p, q), energy.between(atoms, p), energy.between(atoms, q)])
        assert energy.left_out(p, q) < 1e-3
        assert energy.name == "energy distance"
    # the mesh of the whole sphere interpolates with an error of about 1e-4
    assert found[0] == pytest.approx(found[1], rel=1e-3)


@pytest.mark.parametrize("dim", [1, 2, 9])
def test_energies_of_clouds_are_those_between_points(dim, rng):
    manifold, e = Circle() if dim == 1 else Sphere(dim), oblique(dim)
    problem = Problem(manifold, Uniform(), axis=e)
    energy = energies_on(grid_of(problem, 64), problem.meridian)
    X, Y = manifold.sample(20, rng), manifold.sample(30, rng)
    a, b = rng.dirichlet(np.ones(20)), rng.dirichlet(np.ones(30))
    expected = energy_distance(X, Y, a, b, None)
    assert energy.between_atoms(X, Y, a, b) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("dim", [1, 3, 9, 100])
def test_energies_of_a_large_sample_tend_to_that_of_rings(dim, rng):
    """A cloud of n points of one density, to another density: within 5 n^(-1/2)."""
    manifold, e = Circle() if dim == 1 else Sphere(dim), oblique(dim)
    one, two = VonMisesFisher(manifold, 2.0 * dim, [e]), Uniform(manifold)
    problem = Problem(manifold, one, axis=e)
    grid = grid_of(problem, 256)
    energy = energies_on(grid, problem.meridian)
    p, q = energy.densities(grid, np.array([rho(grid.nodes) for rho in (one, two)]))
    n = 2000
    atoms = energy.atoms(problem.laws[1].sample(n, rng), np.full(n, 1 / n))
    assert energy.between(atoms, q) == pytest.approx(energy.between(p, q), abs=5 / math.sqrt(n))
    assert energy.between(atoms, p) < 5 / math.sqrt(n) < 0.5 * energy.between(p, q)
    assert energy.between(p, p) == 0


def test_a_coarse_density_is_compared_as_its_interpolant():
    """On the finest mesh of all: the same mesh gives 0, a coarser one its interpolation error."""
    problem = Problem(Sphere(9), VonMisesFisher(Sphere(9), 6.0))
    fine, coarse = grid_of(problem, 256), grid_of(problem, 64)
    energy = energies_on(fine, problem.meridian)
    [p] = energy.densities(fine, problem.teacher(fine.nodes)[None])
    apart = []
    for grid in (coarse, grid_of(problem, 128)):
        [q] = energy.densities(grid, problem.teacher(grid.nodes)[None])
        apart.append(energy.between(p, q))
    assert 3 < apart[0] / apart[1] < 6  # of order 2, but for the error of the finest mesh
    assert apart[1] < 1e-3
