"""Products with a large matrix, in passes over blocks of its rows.

A block fits in a processor core's second cache, so that the first pass, which computes the entries,
need not read them again from memory for its product.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uf_diffusion.core.arrays import Array
from uf_diffusion.core.threads import in_threads

__all__ = ["Passes"]

type Reals = NDArray[np.floating[Any]]


class Passes:
    """A matrix ``(M, R)`` whose entries are computed in the first pass.

    Args:
        compute: maps rows, and an array ``(rows, R)`` to fill, to nothing.
        double: memory for the entries, ``(M, R)``.
        blocks: the blocks of rows.
    """

    def __init__(
        self, compute: Callable[[slice, Array], None], double: Array, blocks: Sequence[slice]
    ) -> None:
        self._compute, self._double, self._blocks = compute, double, blocks
        self._new = True

    @property
    def matrix(self) -> Array:
        """The entries, ``(M, R)``."""
        if self._new:
            self._through(lambda k, rows: None)
        return self._double

    def from_left(self, v: Array) -> Array:
        """The product v @ matrix, ``(R,)``, for v ``(M,)``."""
        parts = np.empty((len(self._blocks), self._double.shape[1]))

        def visit(k: int, rows: slice) -> None:
            np.matmul(v[rows], self._double[rows], out=parts[k])

        self._through(visit)
        return parts.sum(axis=0)

    def from_right(self, a: Array) -> Array:
        """The product matrix @ a, ``(M,)``, for a ``(R,)``."""
        values = np.empty(len(self._double))
        self._through(lambda k, rows: np.matmul(self._double[rows], a, out=values[rows]))
        return values

    def _through(self, visit: Callable[[int, slice], object]) -> None:
        """Call ``visit`` with the number and the rows of each block, in threads."""
        new, self._new = self._new, False

        def fill(k: int) -> None:
            rows = self._blocks[k]
            if new:
                self._compute(rows, self._double[rows])
            visit(k, rows)

        in_threads(fill, range(len(self._blocks)))
