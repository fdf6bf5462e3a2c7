"""Trigonometric polynomials on the circle and on flat tori, by non-uniform FFT.

Sums over n neurons and R modes cost O(n + R log R), Gram matrices O(n + R^2): a product of two
modes is two modes. Radial features on a torus are truncated by projecting the function
x -> phi(omega, x) onto trigonometric polynomials in the inputs, see `radial`.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import ducc0  # type: ignore[import-not-found, import-untyped, unused-ignore]
import numpy as np
from scipy.linalg import cholesky, solve_triangular

from uf_diffusion.errors import InputError
from uf_diffusion.network.features import PROFILES, Radial, along_circle
from uf_diffusion.network.harmonics import EPSILON, gauss_legendre
from uf_diffusion.network.landmarks import too_many
from uf_diffusion.problem.manifolds import Array, Circle, FlatTorus

if TYPE_CHECKING:
    from uf_diffusion.network.modes import Discrepancy

__all__ = ["MODES", "Fourier", "ball", "radial", "transform"]

Integers = np.ndarray[Any, np.dtype[np.int64]]
Complex = np.ndarray[Any, np.dtype[np.complex128]]

RIDGE = 1e-13  # relative to what no Gram matrix exceeds
MODES = 16000  # their Gram matrix takes 2 GB


@dataclass(frozen=True)
class Fourier:
    """1, sqrt 2 cos(q k.x) and sqrt 2 sin(q k.x), q = 2 pi / period: mean squares are 1.

    First come the cosines of all waves, then the sines of those that are not 0.

    Attributes:
        manifold: where x is the angle, or the point.
        waves: k, ``(h, dim)``, of k and -k only one.
    """

    manifold: Circle | FlatTorus
    waves: Integers

    @property
    def period(self) -> float:
        return self.manifold.axes[0].length

    @cached_property
    def degree(self) -> int:
        """The largest component of all waves."""
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
    def wave_of(self) -> Integers:
        """The row of `waves` that each mode belongs to, ``(size,)``."""
        rows = np.arange(len(self.waves))
        both: Integers = np.concatenate([rows, rows[self._sine]])
        return both

    @cached_property
    def degree_of(self) -> Integers:
        """The least integer n >= |k| of each mode, ``(size,)``."""
        return np.ceil(np.linalg.norm(self.waves, axis=1)).astype(np.int64)[self.wave_of]

    def lookup(self, table: Array) -> Array:
        """The entry of each mode, ``(size,)``, in a table over (|k_1|, ..., |k_d|)."""
        return np.asarray(table[tuple(np.abs(self.waves).T)][self.wave_of])

    def matrix(self, omega: Array) -> Array:
        angles = 2 * math.pi / self.period * self.manifold.chart(omega)
        waves = np.ones((1, len(omega)), dtype=complex)  # exp(i q k.x), a row for each k
        for angle, k in zip(angles.T, self.waves.T, strict=True):
            powers = np.exp(1j * np.outer(np.arange(self.degree + 1), angle))
            powers = np.vstack([powers, powers[:0:-1].conj()])  # k = -1 is the last
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
        if isinstance(self.manifold, Circle):
            return along_circle(omega, slope[:, 0])
        return slope

    def spectrum(self, c: Array, degree: int) -> Complex:
        """The coefficients of exp(i q k.x), |k_j| <= degree, on a grid with k = 0 in the centre."""
        half = np.zeros((2 * degree + 1) ** self.manifold.dim, dtype=complex)
        half[self._position(degree)] = c[: len(self.waves)] * self._norm / 2
        half[self._position(degree)[self._sine]] -= 1j / math.sqrt(2) * c[len(self.waves) :]
        full: Complex = half + half[::-1].conj()
        return full.reshape((2 * degree + 1,) * self.manifold.dim)

    def gram_of(self, sums: Complex) -> Array:
        """The Gram matrix ``(size, size)`` of a measure.

        2 cos a cos b = cos(a - b) + cos(a + b), and so on: a Toeplitz and a Hankel part.

        Args:
            sums: its integrals of exp(i q k.x), |k_j| <= 2 degree, with k = 0 in the centre, flat.
        """
        centre, place = len(sums) // 2, self._position(2 * self.degree)
        lag = sums[centre + place[:, None] - place]
        total = sums[place[:, None] + place - centre]
        scale, sine = np.outer(self._norm, self._norm) / 2, self._sine
        cosines = scale * (lag.real + total.real)
        sines = (scale * (lag.real - total.real))[sine][:, sine]
        mixed = (scale * (total.imag - lag.imag))[:, sine]
        return np.block([[cosines, mixed], [mixed.T, sines]])

    def _position(self, degree: int) -> Integers:
        """Where the waves are in the flat grid of spectra of this degree."""
        shape = (2 * degree + 1,) * self.manifold.dim
        return np.asarray(np.ravel_multi_index(tuple(self.waves.T + degree), shape))

    def _sums(self, v: Array, omega: Array, degree: int) -> Complex:
        """The sums of v_i exp(i q k.x_i), |k_j| <= degree, flat."""
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


def ball(dim: int, low: int, high: int) -> Integers:
    """The waves k of Z^dim with low <= |k| <= high, of k and -k only one, ``(h, dim)``."""
    axis = np.arange(-high, high + 1)
    waves = np.stack(np.meshgrid(*[axis] * dim, indexing="ij"), -1).reshape(-1, dim)
    waves = waves[len(waves) // 2 :]  # from k = 0 on; what comes before is the negative of these
    squared = np.sum(waves**2, axis=1)
    return waves[(low**2 <= squared) & (squared <= high**2)]


def transform(feature: Radial, degree: int, power: int = 1) -> Array:
    """The integrals of g(|x|)^power exp(-i q k.x) over a cell, 0 <= k_j <= degree, ``(.., ..)``.

    Where axis a is the largest, x = s e_a + s t with t in [0, 1]^(d - 1) (Duffy): smooth in s and
    t, though not in x, so that Gauss-Legendre quadrature converges exponentially.
    """
    d, period = feature.manifold.dim, feature.manifold.period
    n, phase = 64 + math.ceil(1.6 * degree), 2 * math.pi / period * np.arange(degree + 1)
    s, s_weight = gauss_legendre(n, period / 2)  # more than pi / 2 nodes a wave
    t, t_weight = gauss_legendre(n, 1.0)
    stretch = np.ones(())
    for _ in range(d - 1):
        stretch = np.add.outer(stretch, t**2)
    pyramid: Array = np.zeros((degree + 1,) * d)
    for block in np.array_split(np.arange(n), 1 + n**d * (degree + 1) // 2**22):
        radius = np.multiply.outer(s[block], np.sqrt(stretch))
        total = PROFILES[feature.profile](radius, feature.scale)[0] ** power
        for _ in range(d - 1):  # the first t that is left becomes a k, the last axis
            across = np.cos(np.einsum("s,t,k->stk", s[block], t, phase)) * t_weight[:, None]
            total = total.reshape(len(block), n, -1).swapaxes(1, 2) @ across
        total = total.reshape((len(block),) + (degree + 1,) * (d - 1))
        along = np.cos(np.outer(phase, s[block])) * s_weight[block] * s[block] ** (d - 1)
        pyramid += np.tensordot(along, total, 1)
    return 2.0**d * np.asarray(sum(np.moveaxis(pyramid, 0, a) for a in range(d)))


@dataclass(frozen=True)
class RadialRemainder:
    """What projecting x -> phi(omega, x) onto polynomials of degree n leaves out.

    With G the integral of phi(omega, .) against sigma, it is the minimum over c of
    |G - sum_k c_k e_k|^2 + ridge |c|^2 in L2(rho): at most the value at G's Fourier coefficients.

    Attributes:
        basis: the modes up to the further degree.
        kept: those up to n, ``(size,)``.
        weight: phi's Fourier coefficients over the volume, ``(size,)``.
        ridge: of the projection.
        tail: bound of |phi(omega, .)|^2 in L2(rho) beyond the further degree.
    """

    basis: Fourier
    kept: np.ndarray[Any, np.dtype[np.bool_]]
    weight: Array
    ridge: float
    tail: float

    def energy(self, sigma: Discrepancy) -> float:
        c = self.weight * sigma.moments(self.basis)
        inner = float(np.sum(c[self.kept] ** 2))
        band = self._norm(np.where(self.kept, 0, c))
        return (band + math.sqrt(self.tail) * sigma.variation) ** 2 + self.ridge * inner

    def _norm(self, c: Array) -> float:
        """The L2(rho) norm, on a grid on which the square of a polynomial is integrated exactly."""
        degree = self.basis.degree + _width(self.basis.period) // 2 + 1
        squared = np.fft.fftn(np.fft.ifftshift(self.basis.spectrum(c, degree))).real ** 2
        density = _density(self.basis.period, 2 * degree + 1)
        for _ in range(squared.ndim):
            squared = np.tensordot(squared, density, (0, 0))
        return math.sqrt(max(float(squared), 0.0))


def _width(period: float) -> int:
    """The degree beyond which rho's coefficients exp(-(q k)^2 / 2) are round-off."""
    return math.ceil(8.6 * period / (2 * math.pi))


def _density(period: float, n: int) -> Array:
    """The wrapped Gaussian's mass ``(n,)`` in the cells of a grid from 0 on, one axis."""
    k = np.arange(1, _width(period) + 1)
    decay = np.exp(-0.5 * (2 * math.pi / period * k) ** 2)
    series = np.cos(2 * math.pi / n * np.outer(np.arange(n), k)) @ decay
    return (1 + 2 * series) / n


def radial(feature: Radial, dropped: float) -> tuple[Fourier, Array, RadialRemainder]:
    """A basis, a factor with Psi = e(omega) @ factor, and what is left out.

    In L2(rho), rho the density of the inputs, phi(omega, .) is projected onto the polynomials of
    degree n: Psi = C^-1 <phi(omega, .), e_k>, C C^T the Gram matrix <e_k, e_l>. As a function of
    omega, <phi(omega, .), e_k> is the convolution of g with e_k rho, whose Fourier coefficients are
    Gram entries too. A ridge on C C^T keeps C finite where rho almost vanishes, and K - K_R >= 0.

    Raises:
        InputError: where that takes too many modes, or in more than 3 dimensions.
    """
    torus = feature.manifold
    d, width = torus.dim, _width(torus.period)
    if d > 3:
        raise InputError(f"network.truncation of radial features needs problem.dim <= 3, not {d}.")
    n = _degree(feature, dropped)
    far = Fourier(torus, ball(d, 0, max(min(16 * n // d, 4096), n + width)))
    near = Fourier(torus, ball(d, 0, n + width))
    coefficients = transform(feature, far.degree) / torus.volume
    kept = near.degree_of <= n
    gram = near.gram_of(_gaussian(torus, 2 * near.degree))
    ridge = RIDGE * _peak(torus) * torus.volume
    C = cholesky(gram[np.ix_(kept, kept)] + ridge * np.eye(int(kept.sum())), lower=True)
    factor = near.lookup(coefficients)[:, None] * solve_triangular(C, gram[kept], lower=True).T
    weight = far.lookup(coefficients)
    rest = max(float(transform(feature, 0, 2).item() - torus.volume * weight @ weight), 0.0)
    remainder = RadialRemainder(far, far.degree_of <= n, weight, ridge, _peak(torus) * rest)
    return near, factor, remainder


def _degree(feature: Radial, dropped: float) -> int:
    """The least n for which |phi(omega, .) - its modes up to n|^2 in L2(rho) is at most dropped."""
    torus = feature.manifold
    total, peak, degree = transform(feature, 0, 2).item(), _peak(torus), 4
    while len(ball(torus.dim, 0, degree)) <= MODES:  # half of the modes
        degree *= 2
        basis = Fourier(torus, ball(torus.dim, 0, degree))
        energy = basis.lookup(transform(feature, degree)) ** 2 / torus.volume
        left = total * (1 + RIDGE) - np.cumsum(np.bincount(basis.degree_of, energy))
        enough = np.flatnonzero(peak * left <= dropped)
        if len(enough) and 2 * len(ball(torus.dim, 0, int(enough[0]))) <= MODES:
            return int(enough[0])
    raise too_many(dropped, f"{MODES} modes")


def _peak(torus: FlatTorus) -> float:
    """The largest value of rho, at 0."""
    return float(_density(torus.period, 1)[0] / torus.period) ** torus.dim


def _gaussian(torus: FlatTorus, degree: int) -> Complex:
    """The integrals of exp(i q k.x) against rho, |k_j| <= degree, flat."""
    axis = np.exp(-0.5 * (2 * math.pi / torus.period * np.arange(-degree, degree + 1)) ** 2)
    return functools.reduce(np.multiply.outer, [axis] * torus.dim).ravel().astype(complex)
