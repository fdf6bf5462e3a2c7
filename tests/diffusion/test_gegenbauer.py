"""The reference solutions of `gegenbauer` against closed forms and each other."""

import math

import gegenbauer
import numpy as np
import pytest
from gegenbauer import (
    Gegenbauer,
    Space,
    diffuse,
    diffuse_constrained,
    ends_of_pieces,
    log_density,
    seen,
    uniform,
)
from scipy.integrate import quad

from uf_diffusion.problem.divergences import BIASED, ENTROPY, UNBIASED, Power
from uf_diffusion.problem.exact import QuantileHeatFlow
from uf_diffusion.problem.manifolds import Circle

HEIGHTS = np.linspace(-0.9, 0.9, 13)


def tilted(kappa):
    return lambda s: kappa * s


@pytest.mark.parametrize("dim", [1, 2, 3, 9, 100])
def test_the_space_integrates_and_differentiates(dim):
    """The mean square height is 1 / (d + 1), and y'' + (d - 1) cot y' = -d y for y = s."""
    space = Space(dim, 10, ends_of_pieces(dim, 12))
    s = np.cos(space.theta)
    assert space.weight.sum() == pytest.approx(1, abs=1e-14)
    assert space.weight @ s**2 == pytest.approx(1 / (dim + 1), rel=1e-10)
    assert space.joined(space.bent(s), space.slope(s)) == pytest.approx(-dim * s, abs=1e-6)
    theta = np.linspace(0, math.pi, 37)
    assert space.matrix(theta) @ s == pytest.approx(np.cos(theta), abs=1e-10)


@pytest.mark.parametrize("dim", [1, 2, 3, 9, 100])
def test_the_polynomials_are_orthonormal_and_the_rule_is_exact(dim):
    """No under- or overflow up to d = 100. The weight's second and fourth moments are known."""
    space = Gegenbauer(dim, 24)
    gram = space.values.T @ (space.weight[:, None] * space.values)
    assert gram == pytest.approx(np.eye(25), abs=1e-12)
    assert space.weight @ space.s**4 == pytest.approx(3 / (dim + 1) / (dim + 3), rel=1e-12)
    stiff = space.slopes.T @ ((space.weight * (1 - space.s**2))[:, None] * space.slopes)
    k = np.arange(25)
    assert stiff == pytest.approx(np.diag(k * (k + dim - 1)), abs=1e-9)
    density = log_density(space, tilted(15.0))
    assert space.weight @ np.exp(density(space.s)) == pytest.approx(1, rel=1e-13)


def test_the_heat_flow_of_the_quantiles_on_the_circle():
    """The closed form for a uniform teacher."""
    exact = QuantileHeatFlow(Circle(), 0.0, (0.6, 0.1), (0.0, 0.0))

    def density(s, t=0.0):
        return 2 * math.pi * exact.at(t).formula(np.stack([s, np.sqrt(1 - s * s)]), np)

    times = (0.1, 0.5, 2.0)
    found = diffuse(1, uniform, lambda s: np.log(density(s)), UNBIASED, times, 14, 12)
    expected = np.array([density(HEIGHTS, t) for t in times])
    assert found.density(HEIGHTS) == pytest.approx(expected, rel=1e-8)
    assert np.abs(found.mass - 1).max() < 1e-8


def test_the_mean_heights_of_the_design():
    """Numbers of a prototype, a lumped mesh: d = 9, teacher exp(6 s), from uniform."""
    found = diffuse(9, tilted(6.0), uniform, UNBIASED, (0.05, 0.1, 0.2, 0.5), 12, 32)
    assert found.mean_height.round(4) == pytest.approx([0.1174, 0.1642, 0.2213, 0.3060])
    assert np.abs(found.mass - 1).max() < 2e-6
    assert (np.diff(found.risk) < 0).all()


def test_twice_the_pieces_change_nothing():
    best, change, mass = gegenbauer.changes(*gegenbauer.CASES[0])
    assert np.abs(change).max() < 1e-9
    assert np.abs(mass).max() < 1e-10
    # one polynomial in theta of each piece, matched by splines; another program
    expected = [[0.41368989, 0.31772899, 0.13460234], [0.0752728, 0.11706245, 0.27609771]]
    assert best == pytest.approx(np.array(expected), abs=6e-9)


@pytest.mark.parametrize("dim", [1, 2, 3, 4, 9, 29, 100])
def test_the_spectrum_is_that_of_the_sphere(dim):
    """-k (k + d - 1) for the symmetric functions, and nothing unstable."""
    space = Space(dim, 12, ends_of_pieces(dim, 12))
    local = space.local
    blocks = (
        space.bend[local][:, :, None] * space.second + space.cot[local][:, :, None] * space.first
    )
    found = np.linalg.eigvals(space.joined_matrix(blocks).toarray())
    k = np.arange(5)
    lowest = found[np.argsort(-found.real)][:5]
    assert lowest == pytest.approx(-k * (k + dim - 1.0), rel=1e-6, abs=1e-6)


@pytest.mark.parametrize(
    "divergence", [UNBIASED, BIASED, ENTROPY, Power(3.0)], ids=lambda f: f.name
)
@pytest.mark.parametrize("dim", [1, 2, 9, 100])
def test_small_perturbations_decay_at_the_spectral_gap(dim, divergence):
    """exp(-d t) for a uniform teacher and f''(1) = 1, to first order in the amplitude."""
    t = 1 / dim
    found = diffuse(dim, uniform, tilted(1e-4), divergence, (t,), 10, 8)
    expected = 1e-4 / (dim + 1) * math.exp(-1)
    assert found.mean_height[0] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("divergence", [UNBIASED, ENTROPY, Power(1.5)], ids=lambda f: f.name)
def test_the_risk_decreases_at_its_rate(divergence):
    """The derivative of L0 is minus the integral of nu u |grad w|^2, here by differences."""
    dim, step, t = 5, 1e-3, 0.1
    times = (t - step, t, t + step)
    found = diffuse(dim, tilted(2.0), tilted(-1.0), divergence, times, 12, 16)
    space = Gegenbauer(dim, 60)
    here, there = (found.ratio(space.s + shift)[1] for shift in (1e-5, -1e-5))
    slope = (divergence.df(1 / here) - divergence.df(1 / there)) / 2e-5
    nu = np.exp(found.log_teacher(space.s))
    rate = space.weight @ ((1 - space.s**2) * nu / found.ratio(space.s)[1] * slope**2)
    assert (found.risk[0] - found.risk[2]) / (2 * step) == pytest.approx(rate, rel=1e-4)


@pytest.mark.parametrize("divergence", [UNBIASED, ENTROPY, Power(3.0)], ids=lambda f: f.name)
def test_the_potential_is_a_maximiser(divergence, rng):
    """u mu and nu have the same integrals against even functions and s."""
    space = Gegenbauer(3, 8)
    s, weight = space.s, space.weight
    nu, mu = np.exp(0.8 * s + 0.3 * s**3), np.exp(-0.5 * s + 0.2 * np.sin(3 * s))
    w = seen(weight, s, nu, mu, divergence)
    unseen = weight * (divergence.dconjugate(w) * mu - nu)
    assert unseen + unseen[::-1] == pytest.approx(0, abs=1e-14)
    assert unseen @ s == pytest.approx(0, abs=1e-13)
    odd = (w - w[::-1]) / 2
    assert odd == pytest.approx(odd[-1] / s[-1] * s, abs=1e-11)


@pytest.mark.parametrize("divergence", [UNBIASED, ENTROPY, Power(1.5)], ids=lambda f: f.name)
def test_even_densities_see_everything(divergence):
    """Both equations are one for them. They are solved for different unknowns."""
    dim, times = 3, (0.02, 0.1)

    def even(s):
        return 1.5 * s**2

    free = diffuse(dim, even, uniform, divergence, times, 12, 8)
    bound = diffuse_constrained(dim, even, uniform, divergence, times, 32, rtol=1e-8)
    assert bound.density(HEIGHTS) == pytest.approx(free.density(HEIGHTS), rel=1e-7)
    assert bound.risk == pytest.approx(free.risk, rel=1e-8)


@pytest.mark.parametrize("dim", [1, 2, 9, 29])
def test_the_constrained_equation_keeps_its_mass_and_its_value(dim):
    """While it is smooth: mass, the decay of the risk, and a higher degree."""
    times = (0.02, 0.1)
    low, high = (
        diffuse_constrained(dim, tilted(1.0), uniform, UNBIASED, times, n) for n in (16, 22)
    )
    assert np.abs(high.mass - 1).max() < 1e-9
    assert high.risk[1] < high.risk[0]
    bulk = HEIGHTS[np.abs(HEIGHTS) < 3 / math.sqrt(dim)]
    assert high.density(bulk) == pytest.approx(low.density(bulk), rel=1e-5)
    assert high.mean_height == pytest.approx(low.mean_height, rel=1e-7)


def test_the_constrained_equation_carries_mass_along_its_velocity():
    """The mass above a height changes by the flux mu u dw/ds there; d = 3."""
    dim, step, t, height = 3, 1e-3, 0.05, 0.3
    times = (t - step, t, t + step)
    found = diffuse_constrained(dim, tilted(1.0), uniform, UNBIASED, times, 22)
    space = Gegenbauer(dim, 40)
    nu, mu = np.exp(found.log_teacher(space.s)), found.density(space.s)[1]
    w = seen(space.weight, space.s, nu, mu, UNBIASED)
    coefficients = space.values.T @ (space.weight * w)
    values, slopes = (m @ coefficients for m in space.at(np.array([height]), 40))
    whole = quad(lambda s: math.sqrt(1 - s * s), -1, 1)[0]
    weight = (1 - height**2) ** 1.5 / whole
    flux = weight * found.density(np.array([height]))[1, 0] * (1 + values[0]) * slopes[0]
    above = [
        quad(lambda s, k=k: found.density(np.array([s]))[k, 0] * math.sqrt(1 - s * s), height, 1,
             epsabs=1e-12)[0] / whole
        for k in (0, 2)
    ]  # fmt: skip
    assert (above[1] - above[0]) / (2 * step) == pytest.approx(flux, rel=1e-4)


def test_the_constrained_equation_is_that_of_the_circle():
    """The package's solver on a mesh of the circle, of second order, for d = 1."""
    pytest.importorskip("dolfinx")
    from uf_diffusion.diffusion.constrained import ConstrainedDiffusion
    from uf_diffusion.grids.built_in import grid_on
    from uf_diffusion.problem import Problem
    from uf_diffusion.problem.densities import Uniform
    from uf_diffusion.problem.own_densities import Function

    circle, t = Circle(), 0.1
    teacher = Function(circle, lambda x: np.exp(x[:, 0]))
    problem = Problem(circle, teacher, Uniform(circle))
    grid = grid_on(circle, 256)
    solver = ConstrainedDiffusion(problem, grid, rtol=1e-6)
    *_, state = solver.iterate(t)
    s = np.cos(np.arctan2(grid.nodes[:, 1], grid.nodes[:, 0]))
    exact = diffuse_constrained(1, tilted(1.0), uniform, UNBIASED, (t,), 24)
    ratio = solver.everywhere(state.ratio)
    assert ratio == pytest.approx(exact.ratio(s)[0], abs=1e-4)
    assert state.risk == pytest.approx(exact.risk[0], abs=1e-5)
