"""Truncation of radial features on a torus to finitely many coordinates.

For every omega the function x -> phi(omega, x) is projected onto trigonometric polynomials in x,
see `radial`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.linalg import cholesky, solve_triangular

from uf_diffusion.core.arrays import Array
from uf_diffusion.core.errors import InputError
from uf_diffusion.kernels.basis import MODES, Discrepancy, too_many
from uf_diffusion.kernels.features import Radial
from uf_diffusion.kernels.fourier import Fourier, ball
from uf_diffusion.problem.manifolds import FlatTorus

__all__ = ["radial"]

RIDGE = 1e-13  # relative to an upper bound of the Gram matrices


@dataclass(frozen=True)
class RadialRemainder:
    """What is left out by the projection of x -> phi(omega, x) onto polynomials of degree n.

    Let G be the integral of phi(omega, .) against sigma. Then the energy is the minimum over c of
    |G - sum_k c_k e_k|^2 + ridge |c|^2 in L2(rho), which is at most its value at the Fourier
    coefficients of G.

    Attributes:
        basis: the modes up to a degree larger than n.
        kept: whether each mode has a degree up to n, ``(size,)``.
        weight: the Fourier coefficient of phi for each mode, divided by the volume, ``(size,)``.
        ridge: the ridge of the projection.
        tail: bound of the squared norm in L2(rho) of the part of phi(omega, .) beyond ``basis``.
        most: bound of K(omega, omega), the squared norm of phi(omega, .) in L2(rho).
    """

    basis: Fourier
    kept: np.ndarray[Any, np.dtype[np.bool_]]
    weight: Array
    ridge: float
    tail: float
    most: float

    def diagonal(self, omega: Array) -> Array:
        return np.full(len(omega), self.most)

    def energy(self, sigma: Discrepancy) -> float:
        c = self.weight * sigma.moments(self.basis)
        inner = float(np.sum(c[self.kept] ** 2))
        band = self._norm(np.where(self.kept, 0, c))
        return (band + math.sqrt(self.tail) * sigma.variation) ** 2 + self.ridge * inner

    def _norm(self, c: Array) -> float:
        """The L2(rho) norm of a function with coefficients c, by an exact quadrature."""
        degree = self.basis.degree + _width(self.basis.period) // 2 + 1
        squared = np.fft.fftn(np.fft.ifftshift(self.basis.spectrum(c, degree))).real ** 2
        density = _density(self.basis.period, 2 * degree + 1)
        for _ in range(squared.ndim):
            squared = np.tensordot(squared, density, (0, 0))
        return math.sqrt(max(float(squared), 0.0))


def _width(period: float) -> int:
    """The degree beyond which the coefficients exp(-(q k)^2 / 2) of rho are below round-off."""
    return math.ceil(8.6 * period / (2 * math.pi))


def _density(period: float, n: int) -> Array:
    """The quadrature weights ``(n,)`` of the wrapped Gaussian on a grid along one axis, from 0."""
    k = np.arange(1, _width(period) + 1)
    decay = np.exp(-0.5 * (2 * math.pi / period * k) ** 2)
    series = np.cos(2 * math.pi / n * np.outer(np.arange(n), k)) @ decay
    return (1 + 2 * series) / n


def radial(feature: Radial, dropped: float) -> tuple[Fourier, Array, RadialRemainder]:
    """Truncate radial features to finitely many coordinates.

    Let rho be the density of the inputs. In L2(rho), phi(omega, .) is projected onto polynomials of
    degree n: Psi = C^-1 <phi(omega, .), e_k>, where C C^T is the Gram matrix <e_k, e_l>. As a
    function of omega, <phi(omega, .), e_k> is the convolution of g with e_k rho, whose Fourier
    coefficients are entries of a Gram matrix too. A ridge is added to C C^T, which is nearly
    singular where rho almost vanishes; K - K_R remains positive semidefinite.

    Args:
        feature: the features.
        dropped: bound of K(omega, omega) - |Psi(omega)|^2, > 0.

    Returns:
        The basis, the factor ``(B, R)`` with Psi = e(omega) @ factor, and what is left out.

    Raises:
        InputError: if this needs too many modes, or in more than 3 dimensions.
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
    gram = near.gram_of(feature.input_waves(2 * near.degree))
    ridge = RIDGE * _peak(torus) * torus.volume
    C = cholesky(gram[np.ix_(kept, kept)] + ridge * np.eye(int(kept.sum())), lower=True)
    factor = near.lookup(coefficients)[:, None] * solve_triangular(C, gram[kept], lower=True).T
    weight = far.lookup(coefficients)
    total, peak = feature.transform(0, 2).item(), _peak(torus)
    rest = max(float(total - torus.volume * weight @ weight), 0.0)
    inner = far.degree_of <= n
    remainder = RadialRemainder(far, inner, weight, ridge, peak * rest, peak * total)
    return near, factor, remainder


def _degree(feature: Radial, dropped: float) -> int:
    """The least n for which the squared L2(rho) norm of phi's modes beyond n is at most dropped."""
    torus = feature.manifold
    total, peak, degree = feature.transform(0, 2).item(), _peak(torus), 4
    while len(ball(torus.dim, 0, degree)) <= MODES:  # there are twice as many modes as waves
        degree *= 2
        basis = Fourier(torus, ball(torus.dim, 0, degree))
        energy = basis.lookup(feature.transform(degree)) ** 2 / torus.volume
        left = total * (1 + RIDGE) - np.cumsum(np.bincount(basis.degree_of, energy))
        enough = np.flatnonzero(peak * left <= dropped)
        if len(enough) and 2 * len(ball(torus.dim, 0, int(enough[0]))) <= MODES:
            return int(enough[0])
    raise too_many(dropped, f"{MODES} modes")


def _peak(torus: FlatTorus) -> float:
    """The largest value of rho, which is at 0."""
    return float(_density(torus.period, 1)[0] / torus.period) ** torus.dim
