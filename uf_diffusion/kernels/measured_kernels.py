"""The eigenvalues of a kernel with given inputs, on the circle and on S^2.

Features at the inputs are expanded in waves or harmonics up to a degree, by a quadrature that is
symmetric under omega -> -omega, so that what features do not see by their parity is 0 up to
round-off. The eigenvalues are the squares of the singular values of the coefficients.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from uf_diffusion.core.arrays import Array, Index
from uf_diffusion.core.threads import blocks_of
from uf_diffusion.kernels.base import Feature
from uf_diffusion.kernels.fourier import Fourier
from uf_diffusion.kernels.spherical_harmonics import Harmonics, gauss_legendre, rounded
from uf_diffusion.problem.densities import Density
from uf_diffusion.problem.manifolds import Circle

__all__ = ["MeasuredKernel"]

DEGREE = {1: 48, 2: 12}  # largest degree of the functions, by dimension
POINTS = {1: 1024, 2: 64}  # points of the quadrature, on the circle and from pole to pole
NOTHING = 1e-24  # relative variance of a density that is constant up to round-off


class _Rule(NamedTuple):
    points: Array
    weights: Array
    functions: Array  # orthonormal for the uniform probability measure, ``(n, B)``
    degrees: Index


class MeasuredKernel:
    """The expansion of a kernel with given inputs.

    Args:
        feature: phi, on the circle or on S^2.
        data: the inputs, ``(N, d)``.

    Attributes:
        eigenvalues: with respect to the uniform probability measure, decreasing, ``(R,)``; exactly
            0 where they cannot be distinguished from round-off.
        degrees: the degree that has the largest part in each eigenfunction, ``(R,)``.
    """

    def __init__(self, feature: Feature, data: Array) -> None:
        self._rule = _rule(feature.manifold.dim)
        points, weights, functions, degrees = self._rule
        projector = (weights[:, None] * functions).T
        c = [projector @ feature(points, data[block])[0] for block in blocks_of(len(data), 256)]
        gram_root = np.linalg.qr(np.concatenate(c, axis=1).T / math.sqrt(len(data)), mode="r")
        _, singular, vectors = np.linalg.svd(gram_root)
        size = np.zeros(len(degrees))
        size[: len(singular)] = rounded(singular)
        self.eigenvalues, self._vectors = size**2, vectors.T
        self.degrees = degrees[np.argmax(vectors**2, axis=1)]

    def shares(self, density: Density) -> Array:
        """The share of each eigenfunction in a density's variance, ``(R,)``."""
        points, weights, functions, _ = self._rule
        values = density(points)
        varying = values - weights @ values
        energy = ((weights * varying) @ functions @ self._vectors) ** 2
        total = float(weights @ varying**2)
        nothing = NOTHING * float(weights @ values**2)
        return energy / total if total > nothing else np.zeros_like(energy)


def _rule(dim: int) -> _Rule:
    degrees = np.arange(DEGREE[dim] + 1)
    if dim == 1:
        points = Circle().even(POINTS[1])
        basis = Fourier(Circle(), degrees[:, None])
        weights = np.full(len(points), 1 / len(points))
        return _Rule(points, weights, basis.matrix(points), np.abs(basis.waves[basis.wave_of, 0]))
    height, weight = gauss_legendre(POINTS[2], 2.0)
    n = 2 * POINTS[2]
    longitude = 2 * math.pi * np.arange(n) / n
    z = np.repeat(height - 1, n)
    around, radius = np.tile(longitude, len(height)), np.sqrt(1 - z * z)
    points = np.column_stack([radius * np.cos(around), radius * np.sin(around), z])
    harmonics = Harmonics(degrees)
    functions = math.sqrt(4 * math.pi) * harmonics.matrix(points)
    return _Rule(points, np.repeat(weight / (2 * n), n), functions, harmonics.degree_of)
