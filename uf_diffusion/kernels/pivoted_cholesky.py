"""Truncation to kernel sections at a few landmarks (Nystroem), chosen by pivoted Cholesky.

It works for every kernel in closed form on every manifold; all matrices are dense and processed in
blocks. Sources: Fine, Scheinberg, JMLR 2 (2001); Harbrecht, Peters, Schneider, Appl. Numer. Math.
62 (2012).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import solve_triangular

from uf_diffusion.core.arrays import Array
from uf_diffusion.core.threads import blocks_of
from uf_diffusion.kernels.base import PairFunction, Pullback
from uf_diffusion.kernels.basis import too_many
from uf_diffusion.kernels.feature_maps import pair_blocks

if TYPE_CHECKING:
    from uf_diffusion.kernels.basis import Discrepancy

__all__ = ["LandmarkRemainder", "Landmarks", "landmarks"]


@dataclass(frozen=True)
class Landmarks:
    """The `Basis` of the functions K(., x_j).

    Attributes:
        kernel: K.
        points: the landmarks x_j, ``(size, ambient)``.
    """

    kernel: PairFunction
    points: Array

    @property
    def size(self) -> int:
        return len(self.points)

    def blocks(self, omega: Array) -> Iterator[tuple[slice, Array, Pullback]]:
        """Slices of omega with their rows of `matrix` and pullbacks, up to 2^17 pairs at a time."""
        for rows in pair_blocks(omega, self.points):
            yield rows, *self.kernel(omega[rows], self.points)

    def matrix(self, omega: Array) -> Array:
        return np.vstack([sections for _, sections, _ in self.blocks(omega)])

    def moments(self, v: Array, omega: Array) -> Array:
        return np.asarray(sum(v[rows] @ sections for rows, sections, _ in self.blocks(omega)))

    def gram(self, v: Array, omega: Array) -> Array:
        gram = np.zeros((self.size, self.size))
        for rows, sections, _ in self.blocks(omega):
            gram += (sections.T * v[rows]) @ sections
        return gram

    def values(self, c: Array, omega: Array) -> Array:
        return np.concatenate([sections @ c for _, sections, _ in self.blocks(omega)])

    def gradient(self, c: Array, omega: Array) -> Array:
        return np.vstack([pullback(c) for _, _, pullback in self.blocks(omega)])


@dataclass(frozen=True)
class LandmarkRemainder:
    """The part of a kernel that the first landmarks leave out.

    It consists of the coordinates of further landmarks and of a rest. If Psi is the feature map of
    all landmarks, the rest has a feature map of length sqrt(K(omega, omega) - |Psi(omega)|^2).

    Attributes:
        basis: all landmarks, the kept and the further ones.
        factor: the matrix ``(size, size)`` with Psi = e(omega) @ factor.
        kept: the number of coordinates that are kept.
    """

    basis: Landmarks
    factor: Array
    kept: int

    def energy(self, sigma: Discrepancy) -> float:
        further = sigma.moments(self.basis) @ self.factor[:, self.kept :]
        return float(further @ further) + sigma.total(self._length) ** 2

    def diagonal(self, omega: Array) -> Array:
        return _diagonal(self.basis.kernel, omega)

    def _length(self, omega: Array) -> Array:
        blocks = self.basis.blocks(omega)
        kept = [np.sum((sections @ self.factor) ** 2, axis=1) for _, sections, _ in blocks]
        left = _diagonal(self.basis.kernel, omega) - np.concatenate(kept)
        return np.sqrt(np.maximum(left, 0))


def _diagonal(kernel: PairFunction, omega: Array) -> Array:
    """K(omega_i, omega_i), ``(n,)``."""
    blocks = [omega[rows] for rows in blocks_of(len(omega), 64)]
    return np.concatenate([np.diag(kernel(block, block)[0]) for block in blocks])


def landmarks(
    kernel: PairFunction, candidates: Array, dropped: float
) -> tuple[Landmarks, Array, LandmarkRemainder]:
    """Truncate a kernel to its sections at landmarks.

    The next landmark is always the candidate where K(omega, omega) - |Psi(omega)|^2 is largest.

    Args:
        kernel: positive semidefinite.
        candidates: ``(n, ambient)``, at least four times as many as landmarks.
        dropped: bound of K(omega, omega) - |Psi(omega)|^2 at the candidates.

    Returns:
        The basis, the factor ``(R, R)`` with Psi = e(omega) @ factor, and what is left out.

    Raises:
        InputError: if a quarter of the candidates is not enough.
    """
    left, most = _diagonal(kernel, candidates), len(candidates) // 4
    columns, pivots = np.empty((2 * most, len(candidates))), list[int]()
    floor = 1e-12 * left.max()
    kept, end = 0, most  # after the kept landmarks come further ones, for the remainder
    while len(pivots) < end and left.max() > floor:
        n, pivot = len(pivots), int(np.argmax(left))
        column = kernel(candidates, candidates[pivot : pivot + 1])[0][:, 0]
        column -= columns[:n, pivot] @ columns[:n]
        columns[n] = column / math.sqrt(left[pivot])
        left = left - columns[n] ** 2
        pivots.append(pivot)
        if not kept and left.max() <= dropped:
            kept, end = n + 1, min(4 * (n + 1), 2 * most)
    if not kept:
        raise too_many(dropped, f"{len(pivots)} landmarks")
    lower = columns[: len(pivots), pivots].T
    factor = solve_triangular(lower, np.eye(len(pivots)), lower=True).T
    remainder = LandmarkRemainder(Landmarks(kernel, candidates[pivots]), factor, kept)
    return Landmarks(kernel, candidates[pivots[:kept]]), factor[:kept, :kept], remainder
