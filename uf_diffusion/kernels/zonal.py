"""Zonal harmonics on spheres S^d of every dimension d, and eigenvalues of zonal kernels.

Functions of the angle theta from an axis are spanned by one harmonic of each degree l, the
Gegenbauer polynomial of index (d - 1) / 2 in cos theta. A kernel of rho = omega.omega' alone maps
each harmonic of degree l to the same multiple of it (Funk and Hecke). All inner products and
eigenvalues are those of the uniform probability measure; all numbers are dimensionless.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.special import comb, gammaln, i0e

from uf_diffusion.core.arrays import Array
from uf_diffusion.kernels.spherical_harmonics import gauss_legendre

__all__ = [
    "gaussian_eigenvalues",
    "meridian_rule",
    "multiplicities",
    "relu_eigenvalues",
    "zonal_harmonics",
]

RANGE = 1e6  # of the rates up to which Bessel functions are started by a long recursion


def multiplicities(dim: int, cutoff: int) -> Array:
    """The numbers of linearly independent harmonics on S^dim, ``(cutoff + 1,)`` by degree.

    They are whole numbers, but may exceed the range of integers, such as 1e66.
    """
    degree = np.arange(1, cutoff + 1)
    several = (2 * degree + dim - 1) / degree * comb(degree + dim - 2, dim - 1)
    return np.concatenate([[1.0], np.rint(several)])


def meridian_rule(dim: int, n: int) -> tuple[Array, Array]:
    """Angles from an axis and weights ``(n,)`` that integrate against the uniform law on S^dim.

    The law of the angle has a density proportional to sin^(dim - 1). It is smooth on [0, pi], and
    so are most densities there, even those with a cusp at the axis: Gauss-Legendre quadrature in
    the angle converges exponentially. Weights that underflow are 0.
    """
    angle, weight = gauss_legendre(n, math.pi)
    logarithm = (dim - 1) * np.log(np.sin(angle)) - 0.5 * math.log(math.pi)
    logarithm += gammaln((dim + 1) / 2) - gammaln(dim / 2)
    return angle, weight * np.exp(logarithm)


def zonal_harmonics(dim: int, cutoff: int, cosine: Array) -> Array:
    """The orthonormal zonal harmonics ``(cutoff + 1, n)`` by degree at heights ``(n,)``.

    They are the Gegenbauer polynomials, by their recursion in the degree, with positive values at
    the axis: sqrt(N) for N harmonics of that degree.
    """
    degree = np.arange(1, cutoff + 1)
    if dim == 1:  # the limit of what follows
        off = np.where(degree == 1, math.sqrt(0.5), 0.5)
    else:
        ends = (2 * degree + dim - 1) * (2 * degree + dim - 3)
        off = np.sqrt(degree * (degree + dim - 2) / ends)
    values = np.empty((cutoff + 1, len(cosine)))
    values[0] = 1.0
    before, last = np.zeros_like(cosine), 0.0
    for k, entry in enumerate(off):
        values[k + 1] = (cosine * values[k] - last * before) / entry
        before, last = values[k], entry
    return values


def relu_eigenvalues(dim: int, cutoff: int) -> Array:
    """Eigenvalues ``(cutoff + 1,)`` of the arc-cosine kernel of ReLU features on S^dim.

    They are (dim + 1) times the squared integrals of max(0, cos theta) against the polynomials.
    The quotient of those of degrees k + 2 and k is -(k - 1) / (k + dim + 2), by Rodrigues' formula
    (Bach, JMLR 18 (2017), appendix D), which is exactly 0 for k = 1.
    """
    values = np.empty(max(cutoff, 1) + 1)
    half = math.lgamma((dim + 1) / 2) - math.lgamma(dim / 2 + 1)
    values[0] = (dim + 1) / (4 * math.pi) * math.exp(2 * half)
    values[1] = 1 / (4 * (dim + 1))
    for k in range(cutoff - 1):
        values[k + 2] = values[k] * ((k - 1) / (k + dim + 2)) ** 2
    return values[: cutoff + 1]


def gaussian_eigenvalues(dim: int, cutoff: int, rate: Array) -> Array:
    """Eigenvalues ``(cutoff + 1, n)`` of the kernels exp(z (rho - 1)) on S^dim for n rates z > 0.

    With mu = (dim - 1) / 2 they are exp(-z) Gamma(mu + 1) (2/z)^mu I_(l + mu)(z). Quotients of
    neighbouring Bessel functions follow from their three-term recursion towards lower orders, from
    a bound (Amos, Math. Comp. 28 (1974)) as the first one. All of its terms are positive, so that
    small eigenvalues are as accurate as large ones, and what underflows is 0.
    """
    low = 0.5 if dim % 2 == 0 else 0.0  # the order with an elementary function or with I_0
    below = (dim - 1) // 2  # number of quotients from there to the order mu
    top = cutoff + below
    start = top + 16 + math.ceil(7 * math.sqrt(min(float(rate.max()), RANGE)))
    quotient = rate / (low + start + 0.5 + np.hypot(low + start + 0.5, rate))
    values = np.empty((cutoff + 1, len(rate)))
    values[0] = i0e(rate) if low == 0 else -np.expm1(-2 * rate) / (2 * rate)
    for k in range(start, 0, -1):  # the quotient of the orders low + k + 1 and low + k
        denominator = 2 * (low + k) + rate * quotient
        quotient = rate / denominator
        if below < k <= top:
            values[k - below] = quotient
        elif k <= below:
            values[0] *= 2 * (low + k) / denominator
    return np.cumprod(values, axis=0)
