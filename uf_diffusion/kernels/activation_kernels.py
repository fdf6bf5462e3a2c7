"""Kernels K(rho) = E sigma(z / s) sigma(z' / s) of activation functions, for Gaussian inputs.

For standard Gaussian x and unit vectors omega, omega' the numbers z = omega.x and z' = omega'.x are
Gaussian with variance 1 and correlation rho = omega.omega'. Some kernels have closed forms. Those
of ReLU, leaky ReLU, abs and ReLU^2 follow from Cho and Saul, NIPS 22 (2009), as do those of all
sigma = a z + b |z|. That of erf is by Williams, Neural Computation 10 (1998). For sin, cos, exp and
Gaussian the square is completed. For GELU, Stein's lemma leads to integrals of two normal densities
and of two normal distribution functions, 1/4 + arcsin(c / (1 + v)) / (2 pi) for variance v and
covariance c.

All others are Hermite series, K(rho) = sum_k a_k^2 rho^k with the coefficients a_k of sigma(z / s)
in the orthonormal Hermite polynomials. What is left out of it is at most its value at rho = 1,
E sigma(z / s)^2 - sum a_k^2.

The eigenvalue of degree l is E_r [(int sigma(r t / s) P_l(t) dt)^2], r = |x|, with the zonal
harmonic P_l and the uniform law of t = omega.x / r. It is a sum of squares, so that eigenvalues
down to 1e-20 of the largest one are accurate; below they may be noise, but those that are not seen
are exactly 0. Everything is dimensionless.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
from scipy.special import gammaln

from uf_diffusion.core.arrays import Array
from uf_diffusion.core.compiled import compiled
from uf_diffusion.core.errors import InputError
from uf_diffusion.core.threads import blocks_of
from uf_diffusion.kernels.base import Pullback
from uf_diffusion.kernels.nonlinearities import Nonlinearity
from uf_diffusion.kernels.spherical_harmonics import gauss_legendre
from uf_diffusion.kernels.tabulated import Table, tabulated
from uf_diffusion.kernels.zonal import relu_eigenvalues, zonal_harmonics
from uf_diffusion.problem.manifolds import Sphere

__all__ = ["ActivationKernel", "activation_eigenvalues", "hermite_coefficients"]

TERMS = 512  # of a Hermite series, at most
ENOUGH = 1e-14  # part of K(1) below which the rest of a series is left out
REACH = 14.0  # of the Gaussian law in quadratures
PANELS, NODES = 24, 64  # of each half of this interval; the panels shrink towards 0
ROUND_OFF = 1e-28  # of eigenvalues, relative: the square of that of their roots
LEAST = float(np.finfo(float).tiny)  # stands for positive eigenvalues that underflow
RADII = 160  # nodes of the quadrature over |x|
BLOCK = 2**22  # values of harmonics that are in memory at a time
LEFT_OUT = 1e-6  # part of K(1) that a Hermite series may leave out
FINE = 64  # cells of the tables of a series in a unit of rho

type Form = Callable[[Array, float], tuple[Array, Array]]


@dataclass(frozen=True)
class ActivationKernel:
    """The kernel of features sigma(omega.x / s) on a sphere with infinitely many Gaussian inputs x.

    Attributes:
        manifold: the sphere.
        sigma: the activation function.
        scale: s > 0.
    """

    manifold: Sphere
    sigma: Nonlinearity
    scale: float = 1.0
    zonal: ClassVar[bool] = True  # a function of rho alone

    def __call__(self, omega: Array, other: Array) -> tuple[Array, Pullback]:
        value, slope = self.of_correlation(np.clip(omega @ other.T, -1.0, 1.0))

        def gradient(weight: Array) -> Array:
            return self.manifold.tangent(omega, (slope * weight) @ other)

        return value, gradient

    def of_correlation(self, rho: Array) -> tuple[Array, Array]:
        """K and dK/drho at correlations of any shape."""
        form = _FORMS.get(self.sigma.name) if self.sigma.known else None
        if self.sigma.hinge is not None:
            a, b = self.sigma.hinge
            value, slope = _arc_cosine(rho)
            bent, flat = 4 * b * b / self.scale**2, (a * a - b * b) / self.scale**2
            return bent * value + flat * rho, bent * slope + flat
        if form is not None:
            return form(rho, 1 / self.scale**2)
        return self._of_series(np.array(rho, dtype=float, order="C"))

    def _of_series(self, rho: Array) -> tuple[Array, Array]:
        """K and dK/drho of the Hermite series, from tables where these are exact.

        Raises:
            InputError: if it leaves out too much.
        """
        second = float(self.series.sum()) + self.tail
        if self.tail > LEFT_OUT * second:
            raise InputError(
                f"The kernel of '{self.sigma.name}' with network.scale = {self.scale:g} has no "
                f"short series: {self.tail / second:.1g} of it would be left out; use a larger "
                "scale, or network.kernel = 'sampled'."
            )
        if None in self._tables:
            return _power_series(rho, self.series)
        found = np.atleast_2d(rho), np.atleast_2d(rho).copy()
        for table, values in zip(self._tables, found, strict=True):
            assert table is not None
            table(values)
        return found[0].reshape(rho.shape), found[1].reshape(rho.shape)

    @cached_property
    def _tables(self) -> tuple[Table | None, Table | None]:
        """Tables of the series and of its derivative, None where they would not be exact."""
        value = tabulated(lambda rho: _power_series(rho, self.series)[0], 1.0, FINE)
        slope = tabulated(lambda rho: _power_series(rho, self.series)[1], 1.0, FINE)
        return value, slope

    @cached_property
    def _hermite(self) -> tuple[Array, float]:
        a, second = hermite_coefficients(self.sigma, self.scale, TERMS)
        left = second - np.cumsum(a * a)
        enough = np.flatnonzero(left <= ENOUGH * second)
        n = int(enough[0]) + 1 if len(enough) else len(a)
        return (a * a)[:n], max(float(left[n - 1]), 0.0)

    @property
    def series(self) -> Array:
        """The coefficients a_k^2 of the Hermite series, ``(terms,)``."""
        return self._hermite[0]

    @property
    def tail(self) -> float:
        """A bound of what the Hermite series leaves out, up to the round-off of its sum."""
        return self._hermite[1]

    def eigenvalues(self, cutoff: int) -> Array:
        """See `Feature.eigenvalues`; exactly 0 for the degrees that sigma does not see."""
        return activation_eigenvalues(self.sigma, self.scale, self.manifold.dim, cutoff)


def hermite_coefficients(sigma: Nonlinearity, scale: float, n: int) -> tuple[Array, float]:
    """The coefficients a_k ``(n,)`` of sigma(z / s) in the orthonormal Hermite polynomials, and the
    mean of sigma(z / s)^2, for a standard Gaussian z.
    """
    z, weight = _gaussian_rule()
    values = sigma.value(z / scale)
    before, now = np.zeros_like(z), np.exp(-0.25 * z * z)  # he_k times the root of the weight
    weighted, a = weight * values * now / math.sqrt(2 * math.pi), np.empty(n)
    for k in range(n):
        a[k] = weighted @ now
        before, now = now, (z * now - math.sqrt(k) * before) / math.sqrt(k + 1)
    density = weight * np.exp(-0.5 * z * z) / math.sqrt(2 * math.pi)
    return a, float(density @ values**2)


def _gaussian_rule() -> tuple[Array, Array]:
    """Nodes and weights on [-14, 14], in panels that are the shorter the closer they are to 0."""
    node, weight = gauss_legendre(NODES, 1.0)
    ends = REACH * np.linspace(0, 1, PANELS + 1) ** 2
    z = (ends[:-1, None] + np.diff(ends)[:, None] * node).ravel()
    half = (np.diff(ends)[:, None] * weight).ravel()
    return np.concatenate([-z[::-1], z]), np.concatenate([half[::-1], half])


def activation_eigenvalues(sigma: Nonlinearity, scale: float, dim: int, cutoff: int) -> Array:
    """The eigenvalues ``(cutoff + 1,)`` of an activation's kernel on S^dim by degree.

    See the module. Those that are not seen are exactly 0; for a function of a user's, whose
    symmetry is not known, also those within round-off.
    """
    if sigma.hinge is not None:  # a z + b |z|, where max(0, z) has a = b = 1/2
        a, b = (part / scale for part in sigma.hinge)
        values = 4 * b * b * relu_eigenvalues(dim, max(cutoff, 1))
        values[1] = a * a / (dim + 1)
        return values[: cutoff + 1]
    radius, law = _radii(dim + 1)
    angle, weight = _meridian(dim, max(512, 2 * cutoff))
    parts, at_axis = np.zeros((cutoff + 1, len(radius))), np.sqrt(_at_axis(dim, cutoff))
    for block in blocks_of(len(angle), max(64, BLOCK // (cutoff + 1))):
        height = np.cos(angle[block])
        values = sigma.value(height[:, None] * (radius / scale))
        parts += zonal_harmonics(dim, cutoff, height) @ (weight[block, None] * values)
    values = (parts / at_axis[:, None]) ** 2 @ law
    if sigma.known:
        return np.where(sigma.sees(np.arange(cutoff + 1)), np.maximum(values, LEAST), 0.0)
    return np.where(values > ROUND_OFF * values.max(), values, 0.0)


def _at_axis(dim: int, cutoff: int) -> Array:
    """The squares of the zonal harmonics at the axis, which are the multiplicities."""
    return np.asarray(zonal_harmonics(dim, cutoff, np.ones(1))[:, 0] ** 2)


def _meridian(dim: int, n: int) -> tuple[Array, Array]:
    """Angles and weights for the uniform law on S^dim, split at the equator, where sigma may have a
    kink; see `meridian_rule`.
    """
    angle, weight = gauss_legendre(n, math.pi / 2)
    logarithm = (dim - 1) * np.log(np.sin(angle)) - 0.5 * math.log(math.pi)
    logarithm += gammaln((dim + 1) / 2) - gammaln(dim / 2)
    half = weight * np.exp(logarithm)
    return np.concatenate([angle, math.pi - angle[::-1]]), np.concatenate([half, half[::-1]])


def _radii(n: int) -> tuple[Array, Array]:
    """Nodes and weights for the length of a standard Gaussian vector in R^n."""
    low, high = max(0.0, math.sqrt(n) - REACH), math.sqrt(n) + REACH
    node, weight = gauss_legendre(RADII, high - low)
    r = low + node
    logarithm = (n - 1) * np.log(r) - r * r / 2 - (n / 2 - 1) * math.log(2) - gammaln(n / 2)
    return r, weight * np.exp(logarithm)


@compiled
def _power_series(rho: Array, c: Array) -> tuple[Array, Array]:
    """The sums of c_k rho^k and their derivatives, by Horner's method."""
    value, slope = np.empty_like(rho), np.empty_like(rho)
    for i in range(rho.size):
        x, p, d = rho.flat[i], 0.0, 0.0
        for k in range(len(c) - 1, -1, -1):
            d = d * x + p
            p = p * x + c[k]
        value.flat[i], slope.flat[i] = p, d
    return value, slope


def _arc_cosine(rho: Array) -> tuple[Array, Array]:
    """The kernel of ReLU and its derivative."""
    angle = np.arccos(rho)
    slope = (math.pi - angle) / (2 * math.pi)
    return np.sin(angle) / (2 * math.pi) + slope * rho, slope


def _relu2(rho: Array, v: float) -> tuple[Array, Array]:
    angle = np.arccos(rho)
    twice = (math.pi - angle) * (1 + 2 * rho * rho)
    value = v * v / (2 * math.pi) * (3 * np.sin(angle) * rho + twice)
    return value, 4 * v * v * _arc_cosine(rho)[0]


def _erf(rho: Array, v: float) -> tuple[Array, Array]:
    rate = 2 * v / (1 + 2 * v)
    root = np.sqrt(1 - (rate * rho) ** 2)
    return 2 / math.pi * np.arcsin(rate * rho), 2 / math.pi * rate / root


def _gelu(rho: Array, v: float) -> tuple[Array, Array]:
    c, k = v * rho, (1 - v) / (1 + v)
    q = 1 / np.sqrt((1 + v) ** 2 - c * c)  # 2 pi times the mean of two normal densities
    both = 0.25 + np.arcsin(c / (1 + v)) / (2 * math.pi)
    inner = v * v + k * c * c
    value = c * both + q * inner / (2 * math.pi)
    slope = both + c * q * (1 + q * q * inner + 2 * k) / (2 * math.pi)
    return value, v * slope


def _exp(rho: Array, v: float) -> tuple[Array, Array]:
    value = np.exp(v * (1 + rho))
    return value, v * value


def _cos(rho: Array, v: float) -> tuple[Array, Array]:
    ahead, behind = 0.5 * np.exp(v * (rho - 1)), 0.5 * np.exp(-v * (rho + 1))
    return ahead + behind, v * (ahead - behind)


def _sin(rho: Array, v: float) -> tuple[Array, Array]:
    ahead, behind = 0.5 * np.exp(v * (rho - 1)), 0.5 * np.exp(-v * (rho + 1))
    return ahead - behind, v * (ahead + behind)


def _gaussian(rho: Array, v: float) -> tuple[Array, Array]:
    value = 1 / np.sqrt((1 + v) ** 2 - (v * rho) ** 2)
    return value, v * v * rho * value**3


_FORMS: dict[str, Form] = {
    "erf": _erf, "gelu": _gelu, "relu2": _relu2, "exp": _exp, "sin": _sin, "cos": _cos,
    "gaussian": _gaussian,
}  # fmt: skip
