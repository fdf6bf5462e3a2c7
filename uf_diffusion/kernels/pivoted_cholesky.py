"""Truncation to kernel sections at a few landmarks (Nystroem), chosen by pivoted Cholesky.

It works for every kernel in closed form on every manifold; all matrices are dense and processed in
blocks. Sources: Fine, Scheinberg, JMLR 2 (2001); Harbrecht, Peters, Schneider, Appl. Numer. Math.
62 (2012).
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.linalg import solve_triangular

from uf_diffusion.core.arrays import Array
from uf_diffusion.core.threads import blocks_of, in_threads
from uf_diffusion.kernels.base import PairFunction, Pullback
from uf_diffusion.kernels.basis import too_many

if TYPE_CHECKING:
    from uf_diffusion.kernels.basis import Discrepancy

__all__ = ["Block", "LandmarkRemainder", "Landmarks", "landmarks"]

KEPT = 2**29  # bytes of the values at the last points, at most
TOGETHER = 8  # blocks whose Gram matrices are in memory at once


class Block(NamedTuple):
    """Some of the points: their slice, their rows of the matrix, and the pullback of these rows."""

    rows: slice
    sections: Array
    pullback: Pullback


@dataclass(frozen=True)
class Landmarks:
    """The `Basis` of the functions K(., x_j).

    The values at the last points are kept if they take at most `KEPT` bytes, because a projection
    needs them in a dozen sums. Points are compared by identity.

    Attributes:
        kernel: K.
        points: the landmarks x_j, ``(size, ambient)``.
    """

    kernel: PairFunction
    points: Array

    @property
    def size(self) -> int:
        return len(self.points)

    def kept(self, n: int) -> int:
        size = 8 * n * self.size
        return 2 * size if size <= KEPT else 0  # values and, for the gradient, slopes

    @cached_property
    def _last(self) -> deque[tuple[Array, list[Block]]]:
        """The last points with their blocks, if they are kept."""
        return deque(maxlen=1)

    def blocks(self, omega: Array) -> Iterable[Block]:
        """Blocks of omega, a few megabytes each, in order."""
        slices = blocks_of(len(omega), max(1, 2**19 // self.size))
        if not self.kept(len(omega)):
            return map(lambda rows: self._block(omega, rows), slices)
        if not self._last or self._last[0][0] is not omega:
            found: dict[int, Block] = {}

            def evaluate(rows: slice) -> None:
                found[rows.start] = self._block(omega, rows)

            self._last.clear()
            in_threads(evaluate, slices)
            self._last.append((omega, [found[rows.start] for rows in slices]))
        return self._last[0][1]

    def _block(self, omega: Array, rows: slice) -> Block:
        return Block(rows, *self.kernel(omega[rows], self.points))

    def matrix(self, omega: Array) -> Array:
        return np.vstack([block.sections for block in self.blocks(omega)])

    def moments(self, v: Array, omega: Array) -> Array:
        return np.asarray(sum(v[b.rows] @ b.sections for b in self.blocks(omega)))

    def gram(self, v: Array, omega: Array) -> Array:
        gram, blocks = np.zeros((self.size, self.size)), iter(self.blocks(omega))
        while several := list(islice(blocks, TOGETHER)):
            parts: dict[int, Array] = {}

            def add(block: Block, parts: dict[int, Array] = parts) -> None:
                parts[block.rows.start] = _gram(v[block.rows], block.sections)

            in_threads(add, several)
            for block in several:  # in this order whatever the number of threads
                gram += parts[block.rows.start]
        return gram

    def values(self, c: Array, omega: Array) -> Array:
        return np.concatenate([block.sections @ c for block in self.blocks(omega)])

    def gradient(self, c: Array, omega: Array) -> Array:
        return np.vstack([block.pullback(c) for block in self.blocks(omega)])


def _gram(v: Array, sections: Array) -> Array:
    """The sum over i of v_i times the products of row i of ``sections``, ``(B, B)``."""
    if v.min() < 0:
        return np.asarray((sections.T * v) @ sections)
    weighted = np.sqrt(v)[:, None] * sections
    return np.asarray(weighted.T @ weighted)  # numpy computes one triangle only


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
        kept = [np.sum((b.sections @ self.factor) ** 2, axis=1) for b in self.basis.blocks(omega)]
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
