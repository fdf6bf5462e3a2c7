"""A V-cycle for diag(d) + K on nested spaces, with matrices in compact storage.

Only the diagonal changes, so a level has the entries of K below the diagonal, in single precision,
and the diagonal apart from them, in double precision. The diagonal is minus the sum of the rounded
entries, so constants stay in the null space of the rounded K, and the rounding changes the energy
by a factor between 1 - 1e-7 and 1 + 1e-7 at degree 1.

The smoother is a forward sweep of Gauss-Seidel before and a backward sweep after the coarse-grid
correction, each over the rows of a rank, which makes the cycle symmetric and positive definite. For
a symmetric matrix one pass over the entries below the diagonal does a forward sweep from zero and
computes the residual after it. Another pass does a backward sweep. Both would spend most of their
time waiting for the value at the row before, so this value stays in a register.
"""

from __future__ import annotations

from mpi4py import MPI

from typing import Any, Protocol

import numpy as np
from petsc4py import PETSc
from scipy import sparse

from uf_diffusion.core.arrays import Array
from uf_diffusion.core.compiled import compiled, vectorised
from uf_diffusion.diffusion.halos import Compact, Entries, Halo, Triangle

__all__ = ["Coarse", "Coarsest", "Gathered", "Level"]

SINGLE = (1e-30, 1e30)  # entries outside of this range are kept in double precision
FAINT = 1e-13  # smallest diagonal on the coarsest level, in units of that of K


class Coarse(Protocol):
    """A level below the finest one, and those below it.

    Attributes:
        halo: the exchange of ghosts.
        d, b, x: diagonal, right-hand side and approximate solution, ``(halo.size,)``.
    """

    halo: Halo
    d: Array
    b: Array
    x: Array

    def set(self) -> None:
        """Use the diagonal ``d`` from now on."""
        ...

    def apply(self, b: Array) -> float:
        """Set x at the owned nodes to an approximate solution; returns this rank's b x."""
        ...


class Level:
    """This rank's rows of diag(d) + K on one level, and the levels below it; a `Coarse`.

    Args:
        K: this rank's entries of the level's stiffness matrix.
        halo: the exchange of ghosts on this level.
        P: the rows of the prolongation from the next level, with global columns.
        below: the exchange on the next level, whose ghosts include all columns of P that other
            ranks own.

    Attributes:
        coarse: the next level, to be set before use.
    """

    coarse: Coarse

    def __init__(self, K: Triangle, halo: Halo, P: sparse.csr_array, below: Halo) -> None:
        n, self.halo = halo.owned, halo
        precision = _precision(K.entries, K.couplings)
        entries, couplings = K.entries.astype(precision), K.couplings.astype(precision)
        self._matrix = K.starts, K.columns, entries
        self._coupling = K.rows, K.ghosts, couplings
        self._shares = (
            P.indptr.astype(np.uint32), below.local(P.indices).astype(np.uint32),
            P.data.astype(np.float32),
        )  # fmt: skip
        self._stiffness, self._inverse = np.zeros(n), np.empty(n)
        _degrees(*self._matrix, self._stiffness)
        np.subtract.at(self._stiffness, K.rows, couplings)
        self.d, self.b, self.x, self._rest = (np.zeros(halo.size) for _ in range(4))

    def set(self) -> None:
        _invert(self.d, self._stiffness, self._inverse)
        self._restrict(self.d, self.coarse.d)
        self.coarse.set()

    def apply(self, b: Array) -> float:
        x, rest, coarse = self.x, self._rest, self.coarse
        _forward(*self._matrix, self._inverse, b, x, rest)
        self.halo.spread(x)
        _couple(*self._coupling, -1.0, x, rest)
        self._restrict(rest, coarse.b)
        coarse.apply(coarse.b)
        coarse.halo.spread(coarse.x)
        _prolong(*self._shares, coarse.x, x, rest)
        self.halo.spread(x)
        _couple(*self._coupling, 1.0, x, rest)
        return _backward(*self._matrix, self._inverse, b, x, rest)

    def _restrict(self, fine: Array, coarse: Array) -> None:
        """Set coarse to P' fine at the owned nodes."""
        coarse[:] = 0.0
        _restrict(*self._shares, fine, coarse)
        self.coarse.halo.collect(coarse)


class Gathered:
    """A level that is distributed here, and that every rank has as a whole below; a `Coarse`."""

    def __init__(self, halo: Halo, comm: MPI.Comm, whole: Coarse) -> None:
        self.halo, self._comm, self._whole = halo, comm, whole
        self.d, self.b, self.x = np.zeros((3, halo.size))

    def set(self) -> None:
        self._gather(self.d, self._whole.d)
        self._whole.set()

    def apply(self, b: Array) -> float:
        self._gather(b, self._whole.b)
        self._whole.apply(self._whole.b)
        own = self.x[: self.halo.owned]
        own[:] = self._whole.x[self.halo.first : self.halo.last]
        return float(own @ b[: self.halo.owned])

    def _gather(self, part: Array, whole: Array) -> None:
        own = part[: self.halo.owned]
        if self._comm.size == 1:
            whole[:] = own
        else:
            self._comm.Allgatherv(own, [whole, np.diff(self.halo.ranges)])


class Coarsest:
    """The coarsest level, which this rank solves directly by a sparse factorisation; a `Coarse`."""

    def __init__(self, K: sparse.csr_array, halo: Halo) -> None:
        self.halo, self._diagonal = halo, K.diagonal()
        parts = [a.astype(PETSc.IntType) for a in (K.indptr, K.indices)]
        self._matrix = PETSc.Mat().createAIJ(K.shape, csr=(*parts, K.data), comm=PETSc.COMM_SELF)
        self._order = self._matrix.getOrdering("nd")
        self._factor = PETSc.Mat()
        self._left, self._right = self._matrix.createVecs()
        self.d, self.b, self.x = (np.zeros(halo.size) for _ in range(3))

    def set(self) -> None:
        # at least as much that round-off does not make the matrix singular
        self._left.array_w[:] = np.maximum(self.d, FAINT * self._diagonal) + self._diagonal
        self._factor.destroy()
        self._factor = self._matrix.duplicate(copy=True)
        self._factor.setDiagonal(self._left)
        self._factor.factorLU(*self._order)

    def apply(self, b: Array) -> float:
        self._right.array_w[:] = b
        self._factor.solve(self._right, self._left)
        self.x[:] = self._left.array_r
        return float(self.x @ b)


def _precision(*parts: Entries) -> type[np.floating[Any]]:
    low = min(np.abs(part).min(initial=1.0) for part in parts)
    high = max(np.abs(part).max(initial=1.0) for part in parts)
    return np.float32 if low > SINGLE[0] and high < SINGLE[1] else np.float64


@compiled
def _degrees(starts: Compact, columns: Compact, entries: Entries, degrees: Array) -> None:
    """Subtract each entry of a symmetric matrix, given below the diagonal, from its row."""
    for i in range(len(starts) - 1):
        for e in range(starts[i], starts[i + 1]):
            degrees[i] -= entries[e]
            degrees[columns[e]] -= entries[e]


@vectorised
def _restrict(
    starts: Compact, columns: Compact, shares: Entries, fine: Array, coarse: Array
) -> None:
    for i in range(len(starts) - 1):
        value = fine[i]
        for e in range(starts[i], starts[i + 1]):
            coarse[columns[e]] += shares[e] * value


@vectorised
def _prolong(
    starts: Compact, columns: Compact, shares: Entries, coarse: Array, fine: Array, later: Array
) -> None:
    """Add P coarse to fine, and set ``later`` to zero."""
    for i in range(len(starts) - 1):
        later[i] = 0.0
        total = fine[i]
        for e in range(starts[i], starts[i + 1]):
            total += shares[e] * coarse[columns[e]]
        fine[i] = total


@vectorised
def _invert(d: Array, stiffness: Array, inverse: Array) -> None:
    for i in range(len(inverse)):
        inverse[i] = 1.0 / (d[i] + stiffness[i])


@vectorised
def _forward(
    starts: Compact,
    columns: Compact,
    entries: Entries,
    inverse: Array,
    b: Array,
    x: Array,
    rest: Array,
) -> None:
    before = 0.0
    for i in range(len(inverse)):
        first, last, next_to = starts[i], starts[i + 1], 0.0
        if first < last and columns[last - 1] + 1 == i:  # x[i - 1] is still in a register
            last -= 1
            next_to = entries[last]
        total = b[i]
        for e in range(first, last):
            total -= entries[e] * x[columns[e]]
        scale = inverse[i]
        value = total * scale - (next_to * scale) * before
        x[i] = value
        rest[i] = 0.0  # later rows add what they take from x[i]
        for e in range(first, last):
            rest[columns[e]] -= entries[e] * value
        if next_to != 0:
            rest[i - 1] -= next_to * value
        before = value


@vectorised
def _backward(
    starts: Compact,
    columns: Compact,
    entries: Entries,
    inverse: Array,
    b: Array,
    x: Array,
    later: Array,
) -> float:
    """``later`` has the part of K x at ghosts, and gets that of the rows done so far."""
    product = coupling = after = 0.0
    for i in range(len(inverse) - 1, -1, -1):
        first, last, next_to = starts[i], starts[i + 1], 0.0
        total = b[i] - later[i]
        for e in range(first, last):
            total -= entries[e] * x[columns[e]]
        scale = inverse[i]
        value = total * scale - (coupling * scale) * after
        if first < last and columns[last - 1] + 1 == i:  # row i - 1 takes this from a register
            last -= 1
            next_to = entries[last]
        for e in range(first, last):
            later[columns[e]] += entries[e] * value
        x[i] = value
        product += b[i] * value
        coupling, after = next_to, value
    return product


@vectorised
def _couple(
    rows: Compact, columns: Compact, entries: Entries, sign: float, x: Array, result: Array
) -> None:
    for e in range(len(rows)):
        result[rows[e]] += sign * entries[e] * x[columns[e]]
