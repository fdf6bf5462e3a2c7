"""Trigonometric polynomials on the circle and on flat tori, by non-uniform FFT.

Sums over n neurons and R modes cost O(n + R log R), and Gram matrices O(n + R^2), because a product
of two modes is a sum of two modes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import ducc0  # type: ignore[import-not-found, import-untyped, unused-ignore]
import numpy as np

from uf_diffusion.core.arrays import Array, Complex, Index
from uf_diffusion.kernels.spherical_harmonics import EPSILON
from uf_diffusion.problem.manifolds import Circle, FlatTorus

if TYPE_CHECKING:
    pass

__all__ = ["Fourier", "ball"]


@dataclass(frozen=True)
class Fourier:
    """The `Basis` of 1, sqrt 2 cos(q k.x) and sqrt 2 sin(q k.x) with q = 2 pi / period.

    The functions have the mean square 1. The cosines of all waves come first, then the sines of the
    waves k != 0.

    Attributes:
        manifold: the circle, where x is the angle, or a torus, where x is the point.
        waves: the waves k, ``(h, dim)``, with only one of k and -k.
    """

    manifold: Circle | FlatTorus
    waves: Index

    @property
    def period(self) -> float:
        """The length of an axis, 2 pi on the circle."""
        return self.manifold.axes[0].length

    @cached_property
    def degree(self) -> int:
        """The largest absolute value of a component of the waves."""
        return int(np.abs(self.waves).max())

    @cached_property
    def _sine(self) -> np.ndarray[Any, np.dtype[np.bool_]]:
        return self.waves.any(axis=1)

    @cached_property
    def _norm(self) -> Array:
        return np.where(self._sine, math.sqrt(2), 1.0)

    @property
    def size(self) -> int:
        return len(self.waves) + int(self._sine.sum())

    @cached_property
    def wave_of(self) -> Index:
        """The row of `waves` that each mode belongs to, ``(size,)``."""
        rows = np.arange(len(self.waves))
        both: Index = np.concatenate([rows, rows[self._sine]])
        return both

    @cached_property
    def degree_of(self) -> Index:
        """The least integer n >= |k| for each mode, ``(size,)``."""
        return np.ceil(np.linalg.norm(self.waves, axis=1)).astype(np.int64)[self.wave_of]

    def lookup(self, table: Array) -> Array:
        """The entry for each mode, ``(size,)``, of a table with the indices (|k_1|, ..., |k_d|)."""
        return np.asarray(table[tuple(np.abs(self.waves).T)][self.wave_of])

    def kept(self, n: int) -> int:
        return 0

    def matrix(self, omega: Array) -> Array:
        angles = 2 * math.pi / self.period * self.manifold.chart(omega)
        waves = np.ones((1, len(omega)), dtype=complex)  # exp(i q k.x), a row for each k
        for angle, k in zip(angles.T, self.waves.T, strict=True):
            powers = np.exp(1j * np.outer(np.arange(self.degree + 1), angle))
            powers = np.vstack([powers, powers[:0:-1].conj()])  # the last row is k = -1
            waves = waves * powers[k]
        norm = self._norm[:, None]
        return np.vstack([waves.real * norm, (waves.imag * norm)[self._sine]]).T

    def moments(self, v: Array, omega: Array) -> Array:
        sums = self._sums(v, omega, self.degree)[self._position(self.degree)] * self._norm
        return np.concatenate([sums.real, sums.imag[self._sine]])

    def gram(self, v: Array, omega: Array) -> Array:
        return self.gram_of(self._sums(v, omega, 2 * self.degree))

    def values(self, c: Array, omega: Array) -> Array:
        return self._evaluated(self.spectrum(c, self.degree), omega).real

    def gradient(self, c: Array, omega: Array) -> Array:
        spectrum, d = self.spectrum(c, self.degree), self.manifold.dim
        rate = 2j * math.pi / self.period * np.arange(-self.degree, self.degree + 1)
        axes = [spectrum * rate.reshape([-1 if a == b else 1 for b in range(d)]) for a in range(d)]
        slope = np.empty((len(omega), d))
        for a in range(0, d, 2):  # two real functions in one complex transform
            pair = self._evaluated(axes[a] + 1j * axes[a + 1] if a + 1 < d else axes[a], omega)
            slope[:, a] = pair.real
            slope[:, a + 1 : a + 2] = pair.imag[:, None]
        return self.manifold.uncharted(omega, slope)

    def spectrum(self, c: Array, degree: int) -> Complex:
        """The coefficients of exp(i q k.x) of the function with coefficients c ``(size,)``.

        They are on a grid of all k with |k_j| <= degree, with k = 0 in the centre.
        """
        half = np.zeros((2 * degree + 1) ** self.manifold.dim, dtype=complex)
        half[self._position(degree)] = c[: len(self.waves)] * self._norm / 2
        half[self._position(degree)[self._sine]] -= 1j / math.sqrt(2) * c[len(self.waves) :]
        full: Complex = half + half[::-1].conj()
        return full.reshape((2 * degree + 1,) * self.manifold.dim)

    def gram_of(self, sums: Complex) -> Array:
        """The Gram matrix ``(size, size)`` of the modes with respect to a measure.

        By 2 cos a cos b = cos(a - b) + cos(a + b) and the like it has a Toeplitz and a Hankel part.

        Args:
            sums: the integrals of exp(i q k.x) against the measure for all |k_j| <= 2 degree, as a
                flat array with k = 0 in the centre.
        """
        centre, place = len(sums) // 2, self._position(2 * self.degree)
        lag = sums[centre + place[:, None] - place]
        total = sums[place[:, None] + place - centre]
        scale, sine = np.outer(self._norm, self._norm) / 2, self._sine
        cosines = scale * (lag.real + total.real)
        sines = (scale * (lag.real - total.real))[sine][:, sine]
        mixed = (scale * (total.imag - lag.imag))[:, sine]
        return np.block([[cosines, mixed], [mixed.T, sines]])

    def _position(self, degree: int) -> Index:
        """The index of each wave in the flat grid of a spectrum of this degree."""
        shape = (2 * degree + 1,) * self.manifold.dim
        return np.asarray(np.ravel_multi_index(tuple(self.waves.T + degree), shape))

    def _sums(self, v: Array, omega: Array, degree: int) -> Complex:
        """The sums of v_i exp(i q k.x_i) for all |k_j| <= degree, as a flat array."""
        out = np.empty((2 * degree + 1,) * self.manifold.dim, dtype=complex)
        ducc0.nufft.nu2u(
            points=v.astype(complex), coord=self.manifold.chart(omega), forward=False,
            epsilon=EPSILON, out=out, periodicity=self.period,
        )  # fmt: skip
        return out.ravel()

    def _evaluated(self, spectrum: Complex, omega: Array) -> Complex:
        return np.asarray(ducc0.nufft.u2nu(
            grid=spectrum, coord=self.manifold.chart(omega), forward=False,
            epsilon=EPSILON, periodicity=self.period,
        ))  # fmt: skip


def ball(dim: int, low: int, high: int) -> Index:
    """The k in Z^dim with low <= |k| <= high, with only one of k and -k, ``(h, dim)``."""
    axis = np.arange(-high, high + 1)
    waves = np.stack(np.meshgrid(*[axis] * dim, indexing="ij"), -1).reshape(-1, dim)
    waves = waves[len(waves) // 2 :]  # from k = 0 on; the waves before are the negatives of these
    squared = np.sum(waves**2, axis=1)
    return waves[(low**2 <= squared) & (squared <= high**2)]
