"""Zonal harmonics and eigenvalues on spheres of every dimension: against closed forms, recursions
that are written differently, and scipy's quadrature and polynomials.
"""

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.special import eval_gegenbauer, eval_legendre, roots_gegenbauer

from uf_diffusion.kernels.closed_forms import FREEDOM, ArcCosine, Chordal
from uf_diffusion.kernels.features import RandomFourier, ReLU
from uf_diffusion.kernels.spherical_harmonics import circle_eigenvalues, funk_hecke
from uf_diffusion.kernels.zonal import (
    gaussian_eigenvalues,
    meridian_rule,
    multiplicities,
    zonal_harmonics,
)
from uf_diffusion.problem.manifolds import Circle, Sphere

DIMENSIONS = [1, 2, 3, 9, 29, 100]
PROFILES = sorted(FREEDOM)


def polynomial(dim, degree, t):
    """Scipy's Gegenbauer polynomial with the value 1 at t = 1."""
    if dim == 1:
        return np.cos(degree * np.arccos(t))
    if dim == 2:
        return eval_legendre(degree, t)
    index = (dim - 1) / 2
    return eval_gegenbauer(degree, index, t) / eval_gegenbauer(degree, index, 1.0)


def counted(dim, degree):
    """The number of homogeneous harmonic polynomials, exactly: those of the degree, less those of
    the degree minus two.
    """
    below = math.comb(dim + degree - 2, dim) if degree > 1 else 0
    return math.comb(dim + degree, dim) - below


@pytest.mark.parametrize("dim", DIMENSIONS)
def test_the_number_of_harmonics(dim):
    found = multiplicities(dim, 60)
    exact = [counted(dim, degree) for degree in range(61)]
    assert found == pytest.approx(np.array(exact, float), rel=1e-12)
    small = np.array(exact, float) < 2**50
    assert (found[small] == np.array(exact, float)[small]).all()


@given(dim=st.integers(1, 100), degree=st.integers(0, 30), t=st.floats(-1, 1))
def test_zonal_harmonics_are_scipy_s_polynomials(dim, degree, t):
    """With the mean square 1, so that their value at the axis is the root of the multiplicity."""
    with np.errstate(under="ignore"):
        expected = math.sqrt(counted(dim, degree)) * polynomial(dim, degree, t)
    found = zonal_harmonics(dim, degree, np.array([t]))[degree, 0]
    assert found == pytest.approx(expected, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("dim", DIMENSIONS)
def test_zonal_harmonics_are_orthonormal_along_the_meridian(dim):
    angle, weight = meridian_rule(dim, 512)
    assert weight.sum() == pytest.approx(1, abs=1e-12)
    values = zonal_harmonics(dim, 128, np.cos(angle))
    assert values * weight @ values.T == pytest.approx(np.eye(129), abs=1e-12)
    height = np.cos(angle)
    assert weight @ height**2 == pytest.approx(1 / (dim + 1), abs=1e-13)
    assert weight @ height**4 == pytest.approx(3 / ((dim + 1) * (dim + 3)), abs=1e-13)


def integrated(kernel, dim, degree):
    """Funk and Hecke's formula by scipy's Gauss-Gegenbauer rule in rho and scipy's polynomials; for
    kernels that are smooth in rho.
    """
    if dim == 1:
        rho = np.cos((np.arange(200) + 0.5) * math.pi / 200)
        weight = np.full(200, 1 / 200)
    elif dim == 2:
        rho, weight = np.polynomial.legendre.leggauss(200)
        weight = weight / 2
    else:
        rho, weight = roots_gegenbauer(200, (dim - 1) / 2)
        weight = weight / weight.sum()
    return weight @ (kernel(rho) * polynomial(dim, degree, rho))


@pytest.mark.parametrize("dim", DIMENSIONS)
@pytest.mark.parametrize("scale", [0.3, 1.0, 4.0])
def test_eigenvalues_of_gaussian_kernels(dim, scale):
    found = RandomFourier(Sphere(dim), scale).eigenvalues(20)
    for degree in range(21):
        exact = integrated(lambda rho: np.exp((rho - 1) / scale**2), dim, degree)
        assert found[degree] == pytest.approx(exact, rel=1e-11, abs=2e-14)


@pytest.mark.parametrize("dim", DIMENSIONS)
@pytest.mark.parametrize("profile", ["matern", "laplace"])
@pytest.mark.parametrize("scale", [0.1, 1.0, 20.0])
def test_eigenvalues_of_kernels_with_student_frequencies(dim, profile, scale):
    """Funk and Hecke's formula by tanh-sinh quadrature in the angle, at the digits it has."""
    u = np.linspace(-4.5, 4.5, 1801)
    angle = math.pi / (1 + np.exp(-math.pi * np.sinh(u)))
    spread = np.exp(-np.abs(math.pi * np.sinh(u)))
    stretch = math.pi * np.cosh(u) * spread / (1 + spread) ** 2
    weight = stretch * np.exp((dim - 1) * np.log(np.maximum(np.sin(angle), 1e-300)))
    r = 2 * np.sin(angle / 2) / scale
    kernel = np.exp(-r) if profile == "laplace" else (1 + r) * np.exp(-r)
    found = Chordal(Sphere(dim), scale, profile).eigenvalues(16)
    for degree in range(17):
        values = polynomial(dim, degree, np.clip(np.cos(angle), -1, 1))
        exact = weight @ (kernel * values) / weight.sum()
        size = weight @ np.abs(kernel * values) / weight.sum()
        assert found[degree] == pytest.approx(exact, rel=1e-9, abs=1e-12 * size)


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("scale", [0.2, 1.0])
def test_eigenvalues_are_those_of_the_quadratures_on_the_circle_and_the_sphere(profile, scale):
    for manifold, quadrature in ((Circle(), circle_eigenvalues), (Sphere(2), funk_hecke)):
        kernel = Chordal(manifold, scale, profile)
        volume = 1.0 if manifold.dim == 1 else manifold.volume
        theirs = quadrature(kernel, 100) / volume
        assert kernel.eigenvalues(100) == pytest.approx(theirs, abs=1e-14)


@pytest.mark.parametrize("dim", DIMENSIONS)
@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("scale", [1e-3, 0.3, 2.0, 1e3])
def test_eigenvalues_are_positive_and_decrease(dim, profile, scale):
    found = RandomFourier(Sphere(dim), scale, profile).eigenvalues(512)
    assert found.shape == (513,)
    assert (found > 0).all()
    assert (np.diff(found) <= 0).all()
    large = found[found > 1e-300]
    assert (np.diff(large) < 0).all()


@pytest.mark.parametrize("dim", DIMENSIONS)
@pytest.mark.parametrize("scale", [0.3, 1.0])
def test_the_eigenvalues_sum_to_the_kernel_on_the_diagonal(dim, scale):
    """Of the Gaussian to round-off. What the other ones miss beyond degree L falls like L^-3 for
    "matern" and like L^-1 for "laplace", so that Richardson's extrapolation of two sums is close.
    """
    sphere, many = Sphere(dim), multiplicities(dim, 4096)
    gauss = Chordal(sphere, scale).eigenvalues(256)
    assert many[:257] @ gauss == pytest.approx(1, abs=1e-12)
    for profile, order in (("matern", 3), ("laplace", 1)):
        part = many * Chordal(sphere, scale, profile).eigenvalues(4096)
        less, more = part[:2049].sum(), part.sum()
        assert less < more < 1
        assert more + (more - less) / (2**order - 1) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("dim", DIMENSIONS)
def test_eigenvalues_of_relu(dim):
    """(dim + 1) times the square of the mean of max(0, t) times the polynomial, by a rule on [0, 1]
    on which this is smooth; the null space is exactly the odd degrees from 3 on.
    """
    found = ReLU(Sphere(dim)).eigenvalues(400)
    assert np.array_equal(np.flatnonzero(found == 0), np.arange(3, 401, 2))
    node, weight = np.polynomial.legendre.leggauss(400)
    angle, weight = math.pi / 4 * (1 + node), math.pi / 4 * weight
    law = weight * np.sin(angle) ** (dim - 1) / (2 * (weight @ np.sin(angle) ** (dim - 1)))
    for degree in (0, 1, 2, 4, 6, 10):
        mean = law @ (np.cos(angle) * polynomial(dim, degree, np.cos(angle)))
        assert found[degree] == pytest.approx((dim + 1) * mean**2, rel=1e-6)
    total = multiplicities(dim, 400) @ found
    assert total == pytest.approx(0.5, rel=1e-5 * dim)
    assert ArcCosine(Sphere(dim)).eigenvalues(0) == found[:1]


@given(dim=st.integers(1, 100), z=st.floats(1e-8, 1e8), cutoff=st.integers(0, 60))
def test_two_ways_to_the_next_dimension_but_one(dim, z, cutoff):
    """With mu = (d - 1) / 2 the eigenvalues satisfy a_l^(d) - a_(l+2)^(d) = c a_l^(d+2) with
    c = (l + 1 + mu) / (mu + 1), which follows from I_(m-1) - I_(m+1) = (2 m / z) I_m.
    """
    mu = (dim - 1) / 2
    here = gaussian_eigenvalues(dim, cutoff + 2, np.array([z]))[:, 0]
    there = gaussian_eigenvalues(dim + 2, cutoff, np.array([z]))[:, 0]
    assume(here[0] > 1e-280)  # numbers near the smallest ones have fewer digits
    degree = np.arange(cutoff + 1)
    expected = (degree + 1 + mu) / (mu + 1) * there
    assert here[:-2] - here[2:] == pytest.approx(expected, rel=1e-9, abs=1e-13 * here[0])
