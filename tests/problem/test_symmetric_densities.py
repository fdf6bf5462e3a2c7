"""Densities that are symmetric about an axis: the angle to it, its law, heights and refusals."""

import math
from itertools import pairwise

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import betainc
from scipy.stats import kstest

from uf_diffusion.core.errors import InputError
from uf_diffusion.problem import Problem
from uf_diffusion.problem.densities import Bumps, Uniform, VonMisesFisher
from uf_diffusion.problem.manifolds import Circle, FlatTorus, Sphere
from uf_diffusion.problem.own_densities import Function, Height
from uf_diffusion.problem.symmetry import AngleLaw, Meridian

DIMENSIONS = [1, 2, 3, 9, 100]
KAPPAS = [1e-6, 1.0, 30.0, 1e4, 1e6]


def space(dim):
    return Circle() if dim == 1 else Sphere(dim)


def first(dim):
    return tuple(np.eye(dim + 1)[0].tolist())


def oblique(dim):
    e = np.cos(np.arange(dim + 1.0))
    return tuple((e / np.linalg.norm(e)).tolist())


def meridian(dim, axis=oblique):
    return Meridian(Sphere(dim), axis(dim))


# --- the meridian ---------------------------------------------------------------------------------


@pytest.mark.parametrize("dim", DIMENSIONS)
def test_angles_are_accurate_also_at_the_poles(dim, rng):
    """An error of a few units of round-off, however small the angle is; the chart is inverted."""
    m = meridian(dim)
    exact = np.array([0, 1e-12, 1e-6, 1.0, math.pi / 2, math.pi - 1e-6, math.pi - 1e-12, math.pi])
    points = m.turned(exact, rng.standard_normal((len(exact), dim + 1)))
    assert np.linalg.norm(points, axis=1) == pytest.approx(1, abs=1e-15 * 2)
    assert np.abs(m.angle(points) - exact).max() < 3e-15
    assert m.chart(m.unchart(exact[:, None]))[:, 0] == pytest.approx(exact, abs=3e-15)
    inside = m.sample(100, rng)
    assert np.cos(m.angle(inside)) == pytest.approx(inside @ np.array(m.direction), abs=1e-14)
    assert m.first_harmonic(inside.T) == pytest.approx(np.cos(m.angle(inside)), abs=1e-14)


@pytest.mark.parametrize("dim", DIMENSIONS)
def test_rings_and_what_lies_between_them(dim):
    """The volumes between angles are integrals of those of the rings, and sum to the sphere's."""
    m = meridian(dim)
    ends = np.array([0, 1e-3, 0.4, 1.1, 1.5, 1.7, 2.5, math.pi - 1e-3, math.pi])
    between = m.between(ends)
    for low, high, volume in zip(ends[:-1], ends[1:], between, strict=True):
        expected = quad(lambda t: m.rings(np.array([t]))[0], low, high, epsabs=0, epsrel=1e-12)[0]
        assert volume == pytest.approx(expected, rel=1e-10, abs=1e-290)
    assert between.sum() == pytest.approx(space(dim).volume, rel=1e-13)
    assert m.volume == pytest.approx(space(dim).volume, rel=1e-15)
    fine = m.between(np.linspace(0, math.pi, 1001))
    assert (fine > 0).all()
    assert fine == pytest.approx(fine[::-1], rel=1e-9)  # symmetric about the equator
    assert fine.sum() == pytest.approx(m.volume, rel=1e-12)


def test_rings_of_the_circle_and_of_the_sphere_are_elementary():
    """Two points, and a circle of radius sin."""
    angle = np.array([0.3, 1.0, 2.0])
    assert meridian(1).rings(angle) == pytest.approx(np.full(3, 2.0))
    assert meridian(2).rings(angle) == pytest.approx(2 * math.pi * np.sin(angle))
    assert meridian(2).between(np.append(0.0, angle)) == pytest.approx(
        2 * math.pi * -np.diff(np.cos(np.append(0.0, angle)))
    )


# --- the law of the angle -------------------------------------------------------------------------


def vmf_law(dim, kappa):
    """The distribution function of the angle for exp(kappa cos), by quadrature in pieces."""
    t = np.concatenate([np.geomspace(1e-9, 0.1, 4000), np.linspace(0.1, math.pi, 4000)[1:-1]])

    def log(x):
        return -2 * kappa * np.sin(x / 2) ** 2 + (dim - 1) * np.log(np.sin(x))

    peak = log(t).max()
    inside = t[log(t) > peak - 45]
    low, high = (0.0 if inside[0] < 1e-8 else inside[0]), inside[-1]
    high = math.pi if high > math.pi - 1e-3 else high

    def mass(a, b):
        pieces = np.linspace(a, max(a, min(b, high)), 30)
        f = lambda x: math.exp(log(x) - peak) if 0 < x < math.pi else float(dim == 1)  # noqa: E731
        return sum(quad(f, *p, epsabs=0, epsrel=1e-10)[0] for p in pairwise(pieces))

    whole = mass(low, high)
    return lambda x: mass(low, x) / whole if x > low else 0.0


@pytest.mark.parametrize("dim", DIMENSIONS)
def test_law_of_the_uniform_density(dim):
    """Its distribution function is an incomplete beta function; the mass is 1 to round-off."""
    law = AngleLaw.of(meridian(dim), Uniform(space(dim)))
    assert law.mass == pytest.approx(1, abs=1e-12)
    half = dim / 2
    with np.errstate(under="ignore"):
        exact = betainc(half, half, np.sin(law.ends / 2) ** 2)
    assert np.abs(law.share - exact).max() < 1e-12
    angle = np.linspace(0, math.pi, 777)
    assert np.abs(law.below(angle) - betainc(half, half, np.sin(angle / 2) ** 2)).max() < 1e-6


@pytest.mark.parametrize("dim", DIMENSIONS)
@pytest.mark.parametrize("kappa", KAPPAS)
def test_law_of_von_mises_fisher_densities(kappa, dim):
    """Mass 1 up to the round-off of cos, times kappa. Quantiles have the right share up to linear
    interpolation: an eighth of a cell squared times the slope of the density, less than 1e-5.
    """
    law = AngleLaw.of(meridian(dim), VonMisesFisher(space(dim), kappa, [oblique(dim)]))
    assert law.mass == pytest.approx(1, abs=1e-12 + 3e-16 * kappa)
    assert (np.diff(law.share) >= 0).all() and law.share[-1] == 1
    function = vmf_law(dim, kappa)
    for level in (1e-4, 0.01, 0.3, 0.5, 0.9, 0.999, 0.9999):
        assert function(float(law.quantile(level))) == pytest.approx(level, abs=1e-5)
    assert law.below(law.quantile(np.array([0.2, 0.7]))) == pytest.approx([0.2, 0.7], abs=1e-12)


@pytest.mark.parametrize("dim", [1, 2, 9])
@pytest.mark.parametrize("kappa", [1e9, 1e12])
def test_the_sharpest_densities_have_mass_1(kappa, dim):
    """Down to a width of 1e-6; the round-off of cos, times kappa, is 1e-4 there."""
    mass = AngleLaw.of(meridian(dim, first), VonMisesFisher(space(dim), kappa)).mass
    assert mass == pytest.approx(1, abs=1e-16 * kappa + 1e-8)


@pytest.mark.parametrize("dim", DIMENSIONS)
@pytest.mark.parametrize("kappa", [0.5, 50.0, 1e5])
def test_samples_have_the_law_of_the_heights_and_uniform_directions(kappa, dim, rng):
    """Kolmogorov-Smirnov for the angles; the mean direction within five standard errors."""
    m = meridian(dim)
    points = AngleLaw.of(m, VonMisesFisher(space(dim), kappa, [oblique(dim)])).sample(4000, rng)
    assert np.linalg.norm(points, axis=1) == pytest.approx(1, abs=1e-14)
    function, angle = vmf_law(dim, kappa), np.sort(m.angle(points))[::40]
    shares = np.array([function(t) for t in angle])
    assert np.abs(shares - np.arange(0, 4000, 40) / 4000).max() < 1.95 / math.sqrt(4000)  # 0.1 %
    e = np.array(m.direction)
    across = points - np.outer(points @ e, e)
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    error = math.sqrt(1 / dim / 4000)  # of a coordinate of the mean, on S^(d-1)
    assert np.abs(across.mean(axis=0)).max() < 5 * error
    second = across.T @ across / 4000 - (np.eye(dim + 1) - np.outer(e, e)) / dim
    assert np.abs(second).max() < 6 * math.sqrt(2) / dim / math.sqrt(4000) + 1e-12


@pytest.mark.parametrize("dim", [2, 9, 100])
def test_samples_of_von_mises_fisher_have_this_law(dim, rng):
    """Another library's sampler, Kolmogorov-Smirnov."""
    m, rho = meridian(dim), VonMisesFisher(Sphere(dim), 20.0, [oblique(dim)])
    law = AngleLaw.of(m, rho)
    assert kstest(m.angle(rho.sample(5000, rng)), law.below).pvalue > 1e-3


# --- the peak of von Mises-Fisher densities -------------------------------------------------------


@pytest.mark.parametrize("dim", [1, 2, 3, 9, 100])
def test_the_peak_of_small_and_of_large_kappa(dim):
    """Continuous at kappa = 1 and 1e8, where the formula changes; uniform for kappa = 0."""
    manifold = space(dim)
    for kappa in (0.0, 1e-300, 1e-12):
        rho = VonMisesFisher(manifold, kappa)
        assert rho.peak(kappa) == pytest.approx(1 / manifold.volume, rel=1e-11)
    for kappa in (1.0, 1e8) if dim < 100 else (1.0,):
        rho = VonMisesFisher(manifold, kappa)
        below, above = rho.peak(kappa * (1 - 1e-15)), rho.peak(kappa * (1 + 1e-15))
        assert below == pytest.approx(above, rel=1e-12)
    if dim == 2:
        rho = VonMisesFisher(manifold, 3e9)
        for kappa in (1e-3, 0.7, 5.0, 3e9):
            exact = kappa / (2 * math.pi * -math.expm1(-2 * kappa))
            assert rho.peak(kappa) == pytest.approx(exact, rel=1e-12)


def test_a_peak_beyond_all_bounds_is_refused():
    assert math.isfinite(VonMisesFisher(Sphere(100), 1e6).peak(1e6))
    with pytest.raises(InputError, match=r"kappa = .*gives no finite peak on"):
        VonMisesFisher(Sphere(100), 1e9)


# --- functions ------------------------------------------------------------------------------------


def profile(s):
    return np.exp(3 * s) + 5 * np.exp(-(((s - 0.2) / 0.1) ** 2))


@pytest.mark.parametrize("dim", [1, 2, 3, 9, 29])
def test_height_is_normalised(dim, rng):
    """Against the integral over the height with weight |S^(d-1)| (1 - s^2)^(d/2 - 1)."""
    ring = 2 * math.pi ** (dim / 2) / math.gamma(dim / 2)
    mass = ring * quad(lambda t: profile(math.cos(t)) * math.sin(t) ** (dim - 1), 0, math.pi,
                       points=[math.acos(0.2)], epsabs=0, epsrel=1e-12, limit=300)[0]  # fmt: skip
    rho = Height(space(dim), profile, axis=oblique(dim))
    x = space(dim).sample(50, rng)
    assert rho(x) == pytest.approx(profile(x @ np.array(oblique(dim))) / mass, rel=1e-9)
    same = Problem(space(dim), lambda x: profile(x @ np.array(oblique(dim))), axis=oblique(dim))
    assert same.teacher(x) == pytest.approx(rho(x), rel=1e-9)
    heights = rho.sample(5000, rng) @ np.array(oblique(dim))
    law = AngleLaw.of(meridian(dim), rho)
    assert kstest(np.arccos(np.clip(heights, -1, 1)), law.below).pvalue > 1e-3
    drawn = same.teacher.sample(5000, rng) @ np.array(oblique(dim))
    assert kstest(np.arccos(np.clip(drawn, -1, 1)), law.below).pvalue > 1e-3


def test_the_axis_of_a_height():
    """Its own, scaled; else that of the problem; else the first coordinate's."""

    def values(s):
        return 1.5 + s

    S, z = Sphere(3), (0.0, 0.0, 0.0, 1.0)
    assert Height(S, values).directions.tolist() == [[1.0, 0.0, 0.0, 0.0]]
    assert Height(S, values, axis=[0, 0, 0, 9]).directions.tolist() == [list(z)]
    placed = Problem(S, Height(values=values), axis=z)
    assert placed.teacher.directions.tolist() == [list(z)]
    x = S.sample(5, np.random.default_rng(0))
    assert placed.teacher(x) == pytest.approx((1.5 + x[:, 3]) / (1.5 * S.volume), rel=1e-12)
    with pytest.raises(InputError, match=r"not symmetric about problem\.axis"):
        Problem(S, Height(values=values, axis=[1, 0, 0, 0]), axis=z)
    found = Problem(S, Height(values=values, axis=z))
    assert found.axis == z
    with pytest.raises(InputError, match="lives on spheres"):
        Height(FlatTorus(2, 1.0), values)


def test_a_function_of_ten_coordinates_is_normalised_exactly():
    """The example of the documentation; the closed form is that of von Mises-Fisher."""
    e = first(9)
    problem = Problem(Sphere(9), lambda x: np.exp(6 * x[:, 0]), axis=e)
    x = Sphere(9).sample(100, np.random.default_rng(1))
    assert problem.teacher(x) == pytest.approx(VonMisesFisher(Sphere(9), 6.0)(x), rel=1e-12)


# --- the axis of a problem ------------------------------------------------------------------------


def test_the_axis_is_found_where_it_is_known():
    """From three dimensions on: opposite means, uniform densities only, one mean off the line."""
    e = np.array(oblique(4))
    S = Sphere(4)
    two = VonMisesFisher(S, [3.0, 8.0], [e, -2 * e])
    assert Problem(S, two).axis == pytest.approx(oblique(4), abs=1e-15)
    back = Problem(S, VonMisesFisher(S, 3.0, [e]), VonMisesFisher(S, 3.0, [-e])).axis
    assert back == pytest.approx(oblique(4), abs=1e-15)
    assert Problem(S, Uniform()).axis == first(4)
    assert Problem(S, VonMisesFisher(S, 3.0, [e, e + 1e-3])).axis is None
    assert Problem(S, VonMisesFisher(S, 3.0, [e]), VonMisesFisher(S, 3.0)).axis is None
    assert Problem(S, lambda x: np.exp(x[:, 0])).axis is None
    assert Problem(S, Uniform(), axis=3 * e).axis == pytest.approx(oblique(4), abs=1e-15)


@pytest.mark.parametrize("dim", [1, 2])
def test_in_one_and_two_dimensions_the_axis_is_given(dim):
    """Because the whole circle and the whole sphere have meshes of their own."""
    rho = VonMisesFisher(space(dim), 3.0)
    assert Problem(space(dim), rho).axis is None
    assert Problem(space(dim), rho).laws == ()
    problem = Problem(space(dim), rho, axis=[2.0] + dim * [0])
    assert problem.axis == first(dim)
    assert len(problem.laws) == 3
    assert [law.mass for law in problem.laws] == pytest.approx([1, 1, 1], abs=1e-12)


def test_a_stored_axis_stays_the_same_bit_for_bit():
    """As it goes through a configuration and back."""
    rng = np.random.default_rng(0)
    for _ in range(200):
        once = Problem(Sphere(9), Uniform(), axis=rng.standard_normal(10)).axis
        assert Problem(Sphere(9), Uniform(), axis=once).axis == once


def bent(x):
    """Symmetric but for a part of 1e-9 that depends on the second coordinate."""
    return np.exp(x[:, 0]) * (1 + 1e-9 * x[:, 1])


REFUSED = {
    "a function": (Sphere(9), lambda x: np.exp(x[:, 1]), None, first(9), "teacher density is not symmetric"),
    "nearly a function": (Sphere(9), bent, None, first(9), "teacher density is not symmetric"),
    "the initial density": (Sphere(9), Uniform(), lambda x: 1 + x[:, 1] ** 2, first(9), "initial density is not symmetric"),
    "off the axis": (Sphere(2), VonMisesFisher(Sphere(2), 3.0, [[1, 1, 0]]), None, first(2), "not symmetric"),
    "on the circle": (Circle(), Bumps(Circle()), None, first(1), "not symmetric"),
    "zero axis": (Sphere(3), Uniform(), None, [0, 0, 0, 0], "problem.axis must be a non-zero vector with 4 coordinates"),
    "short axis": (Sphere(3), Uniform(), None, [1, 0, 0], "problem.axis must be a non-zero vector with 4 coordinates"),
    "empty axis": (Sphere(3), Uniform(), None, [], "problem.axis must be a non-zero vector with 4 coordinates"),
    "axis as a number": (Sphere(3), Uniform(), None, 1.0, "problem.axis must be a non-zero vector with 4 coordinates"),
    "axis nan": (Sphere(3), Uniform(), None, [1, 0, 0, math.nan], "problem.axis must be finite"),
    "axis inf": (Sphere(3), Uniform(), None, [1, 0, 0, math.inf], "problem.axis must be finite"),
    "axis as words": (Sphere(3), Uniform(), None, ["a", "b", "c", "d"], "problem.axis must be real numbers"),
    "axis as a word": (Sphere(3), Uniform(), None, "north", "problem.axis must be real numbers"),
    "torus": (FlatTorus(2, 1.0), Uniform(), None, [1, 0], "problem.axis is for spheres"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_has_no_axis_is_refused(case):
    manifold, teacher, initial, axis, sentence = REFUSED[case]
    with pytest.raises(InputError, match=sentence):
        Problem(manifold, teacher, Uniform() if initial is None else initial, axis=axis)


def test_symmetry_up_to_round_off_is_accepted():
    """Scalar products differ in the last bits; a relative difference of 1e-12 passes."""
    e = np.array(oblique(9))
    problem = Problem(Sphere(9), lambda x: np.exp(20 * (x @ e)), axis=e)
    assert problem.axis == pytest.approx(oblique(9))
    assert Problem(Sphere(9), lambda x: np.exp(x[:, 0]) * (1 + 1e-12 * x[:, 1]), axis=first(9))


def test_symmetric_functions_keep_their_sentences():
    """A function that fails, is negative, or cannot be normalised says so with an axis as well."""
    for values, sentence in (
        (lambda x: x[:, 0], "is negative"),
        (lambda x: 0 * x[:, 0], "cannot be normalised: its integral is 0"),
        (lambda x: x, r"must map \(n, 10\) to \(n,\)"),
        (lambda x: np.where(x[:, 0] > 0, np.nan, 1.0), "not finite"),
    ):
        with pytest.raises(InputError, match=sentence):
            Problem(Sphere(9), values, axis=first(9))
    for values, sentence in (
        (lambda s: s, "is negative"),
        (lambda s: 0 * s, "cannot be normalised: its integral is 0"),
        (lambda s: np.ones((len(s), 2)), r"must map heights \(n,\) to \(n,\)"),
    ):
        with pytest.raises(InputError, match=sentence):
            Problem(Sphere(9), Height(values=values))
    assert isinstance(Problem(Sphere(9), lambda x: 1 + 0 * x[:, 0]).teacher, Function)
