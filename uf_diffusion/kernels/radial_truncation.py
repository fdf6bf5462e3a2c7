"""Radial features on a torus, truncated to finitely many coordinates.

The function x -> phi(omega, x) is projected onto trigonometric polynomials in the inputs, see
`radial`.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.linalg import cholesky, solve_triangular

from uf_diffusion.core.arrays import Array, Complex
from uf_diffusion.core.errors import InputError
from uf_diffusion.kernels.basis import MODES, Discrepancy, too_many
from uf_diffusion.kernels.features import Radial
from uf_diffusion.kernels.fourier import Fourier, ball
from uf_diffusion.problem.manifolds import FlatTorus

__all__ = ["radial"]

RIDGE = 1e-13  # relative to what no Gram matrix exceeds


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
    coefficients = feature.transform(far.degree) / torus.volume
    kept = near.degree_of <= n
    gram = near.gram_of(_gaussian(torus, 2 * near.degree))
    ridge = RIDGE * _peak(torus) * torus.volume
    C = cholesky(gram[np.ix_(kept, kept)] + ridge * np.eye(int(kept.sum())), lower=True)
    factor = near.lookup(coefficients)[:, None] * solve_triangular(C, gram[kept], lower=True).T
    weight = far.lookup(coefficients)
    rest = max(float(feature.transform(0, 2).item() - torus.volume * weight @ weight), 0.0)
    remainder = RadialRemainder(far, far.degree_of <= n, weight, ridge, _peak(torus) * rest)
    return near, factor, remainder


def _degree(feature: Radial, dropped: float) -> int:
    """The least n for which |phi(omega, .) - its modes up to n|^2 in L2(rho) is at most dropped."""
    torus = feature.manifold
    total, peak, degree = feature.transform(0, 2).item(), _peak(torus), 4
    while len(ball(torus.dim, 0, degree)) <= MODES:  # half of the modes
        degree *= 2
        basis = Fourier(torus, ball(torus.dim, 0, degree))
        energy = basis.lookup(feature.transform(degree)) ** 2 / torus.volume
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
