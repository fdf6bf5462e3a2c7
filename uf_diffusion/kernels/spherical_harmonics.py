"""Real spherical harmonics on S^2 by ducc0's transforms; eigenvalues of zonal kernels on S^1, S^2.

Sums over n neurons and all degrees up to L cost O(n + L^3). The Gram matrix of R = O(L^2) modes
costs O(n + L^5) instead of O(n R^2): the neurons are replaced by a density of degree 2 L with the
same moments. This is integrated exactly on a Gauss-Legendre grid, first along circles of latitude.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import ducc0  # type: ignore[import-not-found, import-untyped, unused-ignore]
import numpy as np
from numpy.polynomial.legendre import legvander
from scipy.special import sph_legendre_p_all

from uf_diffusion.core.arrays import Array, Complex, Index
from uf_diffusion.kernels.base import PairFunction

__all__ = [
    "EPSILON",
    "Harmonics",
    "circle_eigenvalues",
    "funk_hecke",
    "gauss_legendre",
    "harmonic_sums",
    "power_spectrum",
    "rounded",
    "zonal",
]


EPSILON = 2e-13  # relative tolerance of ducc0's transforms: its best, no slower than 1e-11


def gauss_legendre(n: int, high: float) -> tuple[Array, Array]:
    """Nodes and weights ``(n,)`` of Gauss quadrature on [0, high], exact up to degree 2 n - 1."""
    nodes = np.sin(ducc0.misc.GL_thetas(n) / 2) ** 2
    return high * nodes, ducc0.misc.GL_weights(n, 1) * high / (4 * math.pi)


def rounded(values: Array) -> Array:
    """The values, with those that are within the round-off of a quadrature replaced by 0."""
    size = np.abs(values)
    return np.where(size > 2**-50 * math.sqrt(len(values)) * size.max(), values, 0.0)


def zonal(kernel: PairFunction, ambient: int, angle: Array) -> Array:
    """The values ``(n,)`` of a zonal kernel on a sphere in R^ambient at angles ``(n,)``."""
    points = np.zeros((len(angle), ambient))
    points[:, 0], points[:, 1] = np.cos(angle), np.sin(angle)
    return kernel(points, np.eye(1, ambient))[0][:, 0]


def circle_eigenvalues(kernel: PairFunction, degree: int) -> Array:
    """The integrals of K(a) cos(k a) / pi over a in [0, pi] for k = 0, ..., degree.

    These are the eigenvalues ``(degree + 1,)`` of a zonal kernel on the circle with respect to the
    uniform probability measure. K may have a kink at a = 0 but is smooth on [0, pi], so
    Gauss-Legendre quadrature converges exponentially.
    """
    angle, weight = gauss_legendre(degree + 64, math.pi)
    weighted = weight * zonal(kernel, 2, angle) / math.pi
    blocks = np.array_split(np.arange(degree + 1), 1 + (degree + 1) * len(angle) // 2**24)
    return np.concatenate([np.cos(np.outer(k, angle)) @ weighted for k in blocks])


def funk_hecke(kernel: PairFunction, degree: int) -> Array:
    """Eigenvalues ``(degree + 1,)`` of a zonal kernel on S^2 with respect to the surface measure.

    By the Funk-Hecke formula they are 2 pi times the integrals of K(a) P_l(cos a) sin a over the
    angle a in [0, pi]. K may have kinks at the ends but is smooth in between, so Gauss-Legendre
    quadrature in the angle converges exponentially.
    """
    angle, weight = gauss_legendre(degree + 64, math.pi)
    weighted = 2 * math.pi * weight * np.sin(angle) * zonal(kernel, 3, angle)
    return np.asarray(weighted @ legvander(np.cos(angle), degree))


def _angles(omega: Array) -> tuple[Array, Array]:
    """Colatitude in [0, pi] and longitude in [0, 2 pi], ``(n,)`` each."""
    x, y, z = omega.T
    longitude = np.arctan2(y, x)
    return np.arctan2(np.hypot(x, y), z), np.where(longitude < 0, longitude + 2 * np.pi, longitude)


@dataclass(frozen=True)
class Harmonics:
    """The `Basis` of real orthonormal harmonics of given degrees on S^2.

    Order by order, the functions sqrt 2 P_l^m(cos theta) cos(m phi) come first, without the factor
    sqrt 2 for m = 0; then those with sin(m phi), m > 0. P_l^m is normalised and has the sign
    (-1)^m, as in scipy's sph_harm_y.

    Attributes:
        degrees: the degrees l in increasing order, ``(n,)``.
    """

    degrees: Index

    @property
    def degree(self) -> int:
        """The largest degree, L."""
        return int(self.degrees[-1])

    @cached_property
    def _pairs(self) -> tuple[Index, Index]:
        """The degrees and the orders of the modes with a cosine, sorted by order."""
        order, degree = np.meshgrid(np.arange(self.degree + 1), self.degrees, indexing="ij")
        return degree[order <= degree], order[order <= degree]

    @property
    def _sine(self) -> np.ndarray[Any, np.dtype[np.bool_]]:
        return self._pairs[1] > 0

    @property
    def _norm(self) -> Array:
        return np.where(self._sine, math.sqrt(2), 1.0)

    @property
    def size(self) -> int:
        return int(np.sum(2 * self.degrees + 1))

    @property
    def degree_of(self) -> Index:
        """The degree of each mode, ``(size,)``."""
        degree = self._pairs[0]
        return np.concatenate([degree, degree[self._sine]])

    @property
    def _index(self) -> Index:
        """The indices at which ducc0 stores the coefficients of `_pairs`."""
        degree, order = self._pairs
        return order * (2 * self.degree + 1 - order) // 2 + degree

    def _table(self, colatitude: Array) -> Array:
        """The factors that depend on the colatitude, ``(n, pairs)``."""
        table = sph_legendre_p_all(self.degree, self.degree, colatitude)[0]
        return np.asarray(table[self._pairs].T * self._norm)

    def kept(self, n: int) -> int:
        return 0

    def matrix(self, omega: Array) -> Array:
        colatitude, longitude = _angles(omega)
        table, order = self._table(colatitude), self._pairs[1]
        phase = np.outer(longitude, np.arange(self.degree + 1))
        cosine, sine = np.cos(phase)[:, order], np.sin(phase)[:, order[self._sine]]
        return np.hstack([table * cosine, table[:, self._sine] * sine])

    def moments(self, v: Array, omega: Array) -> Array:
        sums = harmonic_sums(v, omega, self.degree)[self._index] * self._norm
        return np.concatenate([sums.real, -sums.imag[self._sine]])

    def values(self, c: Array, omega: Array) -> Array:
        return np.asarray(_evaluated(self._coefficients(c), omega, self.degree)[0])

    def gradient(self, c: Array, omega: Array) -> Array:
        south, east = _evaluated(self._coefficients(c), omega, self.degree, derivative=True)
        (theta, phi), zero = _angles(omega), np.zeros(len(omega))
        along = np.cos(theta) * np.cos(phi), np.cos(theta) * np.sin(phi), -np.sin(theta)
        across = -np.sin(phi), np.cos(phi), zero
        return np.column_stack([south * a + east * b for a, b in zip(along, across, strict=True)])

    def _coefficients(self, c: Array) -> Complex:
        """The a_lm, m >= 0, for ducc0: the function is the sum of a_lm Y_lm over all l and m."""
        alm = np.zeros((self.degree + 1) * (self.degree + 2) // 2, dtype=complex)
        alm[self._index] = c[: len(self._norm)] / self._norm
        alm[self._index[self._sine]] -= 1j / math.sqrt(2) * c[len(self._norm) :]
        return alm

    def gram(self, v: Array, omega: Array) -> Array:
        rings, weighted = self._rings, self._ring_sums(v, omega)
        order, sine, L = self._pairs[1], self._sine, self.degree
        cosines, sines, mixed = np.empty((3, len(order), len(order)))
        for m in range(L + 1):
            row = order == m
            lag, total = weighted[:, 2 * L + m - order], weighted[:, 2 * L + m + order]
            left = rings[:, row].T / 2
            cosines[row] = left @ (rings * (lag.real + total.real))
            sines[row] = left @ (rings * (lag.real - total.real))
            mixed[row] = left @ (rings * (total.imag - lag.imag))
        mixed = mixed[:, sine]
        return np.block([[cosines, mixed], [mixed.T, sines[sine][:, sine]]])

    @cached_property
    def _rings(self) -> Array:
        """`_table` on the grid's 2 L + 1 rings; its quadrature is exact up to degree 4 L."""
        return self._table(ducc0.misc.GL_thetas(2 * self.degree + 1))

    def _ring_sums(self, v: Array, omega: Array) -> Complex:
        """The integrals of the density times exp(i k phi) along the rings, ``(rings, 4 L + 1)``."""
        L, n = self.degree, 4 * self.degree + 1
        density = ducc0.sht.synthesis_2d(
            alm=harmonic_sums(v, omega, 2 * L)[None], spin=0, lmax=2 * L, geometry="GL",
            ntheta=2 * L + 1, nphi=n, nthreads=1,
        )[0]  # fmt: skip
        half = np.fft.rfft(density).conj() * ducc0.misc.GL_weights(2 * L + 1, n)[:, None]
        return np.hstack([half[:, :0:-1].conj(), half])


def power_spectrum(sums: Complex) -> Array:
    """The squared norms ``(degree + 1,)`` of the `harmonic_sums` of each degree, over all m."""
    degree = math.isqrt(2 * len(sums)) - 1
    squares, power, start = np.abs(sums) ** 2, np.zeros(degree + 1), 0
    for m in range(degree + 1):
        power[m:] += (2 if m else 1) * squares[start : (start := start + degree + 1 - m)]
    return power


def harmonic_sums(v: Array, omega: Array, degree: int) -> Complex:
    """The sums of v_i times the conjugate of Y_lm(omega_i) for m >= 0, in ducc0's order: by m.

    Args:
        v: weights ``(n,)``.
        omega: points ``(n, 3)`` of S^2.
        degree: the largest l.
    """
    sums: Complex = ducc0.sht.adjoint_synthesis_general(
        map=np.ascontiguousarray(v)[None], spin=0, lmax=degree,
        loc=np.column_stack(_angles(omega)), epsilon=EPSILON, nthreads=1,
    )[0]  # fmt: skip
    return sums


def _evaluated(alm: Complex, omega: Array, degree: int, derivative: bool = False) -> Array:
    """Values ``(1, n)``, or the derivatives to the south and to the east, ``(2, n)``."""
    values: Array = ducc0.sht.synthesis_general(
        alm=alm[None], spin=int(derivative), lmax=degree, loc=np.column_stack(_angles(omega)),
        epsilon=EPSILON, nthreads=1, mode="DERIV1" if derivative else "STANDARD",
    )  # fmt: skip
    return values
