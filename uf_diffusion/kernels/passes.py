"""Products with a large matrix, in passes over blocks of its rows.

The matrix does not fit in the caches, so the passes are limited by the memory's speed: with 1024
rows and 4096 columns, 1.1 ms in double precision at 32 GB/s. The first pass computes the entries;
its blocks fit in a core's second cache, so that its product need not read them from memory.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uf_diffusion.core.arrays import Array
from uf_diffusion.core.compiled import compiled, reordered, vectorised
from uf_diffusion.core.threads import blocks_of, in_threads

__all__ = ["Passes"]

ROWS = 128  # in a block of all passes but the first

type Reals = NDArray[Any]  # in double or in single precision
type Single = NDArray[np.float32]


class Passes:
    """A matrix ``(M, R)`` whose entries are computed in the first pass.

    Args:
        compute: maps rows, and an array ``(rows, R)`` to fill, to nothing.
        double: memory for the entries, ``(M, R)``.
        blocks: the blocks of rows of the first pass; later ones have fewer.
        single: memory for the entries in single precision, ``(M, R)``, which the first pass fills;
            None if they may not be needed.
    """

    def __init__(
        self,
        compute: Callable[[slice, Array], None],
        double: Array,
        blocks: Sequence[slice],
        single: Single | None = None,
    ) -> None:
        self._compute, self._double, self._blocks, self._single = compute, double, blocks, single
        self._new = True

    @property
    def matrix(self) -> Array:
        """The entries, ``(M, R)``."""
        if self._new:
            self.visit(lambda k, rows: None)
        return self._double

    def in_single(self, room: Callable[[], Single]) -> Single:
        """The entries in single precision, ``(M, R)``; ``room`` gives memory if needed."""
        psi = self.matrix
        if self._single is None:
            single = room()

            def copy(k: int, rows: slice) -> None:
                single[rows] = psi[rows]

            self.visit(copy)
            self._single = single
        return self._single

    def from_left(self, v: Reals, single: Single | None = None) -> Reals:
        """The product v @ matrix, ``(R,)``, for v ``(M,)``; ``single`` are the entries to take."""
        psi = self._double if single is None else single
        parts = np.zeros((len(self._blocks), psi.shape[1]), v.dtype)
        self.visit(lambda k, rows: _add_rows(v[rows], psi[rows], parts[k]))
        return parts.sum(axis=0)

    def from_right(self, a: Reals, single: Single | None = None) -> Reals:
        """The product matrix @ a, ``(M,)``, for a ``(R,)``; ``single`` are the entries to take."""
        psi = self._double if single is None else single
        values = np.empty(len(psi), a.dtype)
        self.visit(lambda k, rows: _dot_rows(psi[rows], a, a.dtype.type(0), values[rows]))
        return values

    def visit(self, work: Callable[[int, slice], object]) -> None:
        """Call ``work`` with the number and the rows of each block, in threads."""
        blocks, new = self._blocks, self._new

        def fill(k: int) -> None:
            rows = blocks[k]
            if new:
                self._compute(rows, self._double[rows])
                if self._single is not None:
                    self._single[rows] = self._double[rows]
            work(k, rows)

        in_threads(fill, range(len(blocks)))
        if new:
            self._new, self._blocks = False, blocks_of(len(self._double), ROWS)


@vectorised
def _add_four(v: Reals, a: Reals, b: Reals, c: Reals, d: Reals, sums: Reals) -> None:
    first, second, third, fourth = v[0], v[1], v[2], v[3]
    for j in range(len(sums)):
        sums[j] += (first * a[j] + second * b[j]) + (third * c[j] + fourth * d[j])


@vectorised
def _add_one(v: float, a: Reals, sums: Reals) -> None:
    for j in range(len(sums)):
        sums[j] += v * a[j]


@compiled
def _add_rows(v: Reals, psi: Reals, sums: Reals) -> None:
    """Add v @ psi to ``sums``, four rows at a time; faster than a BLAS for a few rows."""
    whole = len(psi) // 4 * 4
    for i in range(0, whole, 4):
        _add_four(v[i : i + 4], psi[i], psi[i + 1], psi[i + 2], psi[i + 3], sums)
    for i in range(whole, len(psi)):
        _add_one(v[i], psi[i], sums)


@reordered
def _dot_four(
    a: Reals, b: Reals, c: Reals, d: Reals, weight: Reals, zero: float
) -> tuple[float, float, float, float]:
    first = second = third = fourth = zero
    for j in range(len(weight)):
        first += a[j] * weight[j]
        second += b[j] * weight[j]
        third += c[j] * weight[j]
        fourth += d[j] * weight[j]
    return first, second, third, fourth


@compiled
def _dot_rows(psi: Reals, weight: Reals, zero: float, out: Reals) -> None:
    """Write psi @ weight to ``out``, four rows at a time; ``zero`` is 0 in their precision."""
    whole = len(psi) // 4 * 4
    for i in range(0, whole, 4):
        out[i], out[i + 1], out[i + 2], out[i + 3] = _dot_four(
            psi[i], psi[i + 1], psi[i + 2], psi[i + 3], weight, zero
        )
    for i in range(whole, len(psi)):
        out[i] = _dot_four(psi[i], psi[i], psi[i], psi[i], weight, zero)[0]
