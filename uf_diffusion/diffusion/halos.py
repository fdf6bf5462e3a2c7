"""The rows of a symmetric matrix that a rank owns, and the values of other ranks they need."""

from __future__ import annotations

from mpi4py import MPI

from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from petsc4py import PETSc

from uf_diffusion.core.arrays import Array, Index
from uf_diffusion.core.compiled import compiled

__all__ = ["Compact", "Entries", "Halo", "Numbers", "Triangle", "halo_of", "reduced", "triangle"]


Parts = list[tuple[int, slice]]  # ranks, and their parts of a buffer
Numbers = np.ndarray[Any, np.dtype[np.integer[Any]]]
Compact = np.ndarray[Any, np.dtype[np.uint32]]
Entries = np.ndarray[Any, np.dtype[np.floating[Any]]]


class Halo:
    """Exchanges the values at ghosts, which are columns of this rank's rows that others own.

    Vectors have the owned values first, and then one value for each ghost.

    Args:
        ranges: the first row of each rank, and the number of all rows, ``(ranks + 1,)``.
        ghosts: the global numbers of the ghosts, ascending, ``(ghosts,)``.
        comm: the ranks.
    """

    def __init__(self, ranges: Index, ghosts: Index, comm: PETSc.Comm) -> None:
        rank, self._comm = comm.getRank(), comm.tompi4py()
        self.first, self.last = int(ranges[rank]), int(ranges[rank + 1])
        self.owned, self.ghosts, self.ranges = self.last - self.first, ghosts, ranges
        cuts = np.searchsorted(ghosts, ranges)
        asked = self._comm.alltoall([ghosts[i:j] for i, j in pairwise(cuts)])
        self._given = np.concatenate(asked).astype(np.int64) - self.first
        ends = np.append(0, np.cumsum([len(part) for part in asked]))
        self._from, self._to = (
            [(k, slice(i, j)) for k, (i, j) in enumerate(pairwise(c)) if j > i]
            for c in (cuts, ends)
        )  # fmt: skip
        self._outside = np.empty(len(self._given))

    @property
    def alone(self) -> bool:
        """Whether there is no other rank."""
        return bool(self._comm.size == 1)

    @property
    def size(self) -> int:
        """The length of a vector, owned + ghosts."""
        return self.owned + len(self.ghosts)

    def local(self, columns: Numbers) -> Index:
        """The positions in a vector of global columns, each owned or a ghost."""
        ours = (columns >= self.first) & (columns < self.last)
        found = self.owned + np.searchsorted(self.ghosts, columns)
        return np.where(ours, columns - self.first, found)

    def spread(self, x: Array) -> None:
        """Copy the owners' values to the ghosts of a vector ``(size,)``, in place."""
        if not self.alone:
            np.take(x, self._given, out=self._outside)
            self._exchange(self._outside, self._to, x[self.owned :], self._from)

    def collect(self, x: Array) -> None:
        """Add the values at the ghosts of a vector ``(size,)`` to the owners' values, in place.

        The order of these additions does not depend on the order in which messages arrive.
        """
        if not self.alone:
            self._exchange(x[self.owned :], self._from, self._outside, self._to)
            np.add.at(x, self._given, self._outside)

    def _exchange(self, sent: Array, to: Parts, received: Array, source: Parts) -> None:
        requests = [self._comm.Irecv(received[part], rank) for rank, part in source]
        requests += [self._comm.Isend(sent[part], rank) for rank, part in to]
        MPI.Request.Waitall(requests)


def halo_of(K: PETSc.Mat, *columns: Numbers) -> Halo:
    """The exchange for a square matrix.

    Args:
        K: the matrix.
        columns: global columns of this rank's rows, in any order, that vectors have values for.
    """
    ranges, rank = np.asarray(K.getOwnershipRanges()), K.comm.getRank()
    first, last = ranges[rank : rank + 2]
    others = [np.unique(part[(part < first) | (part >= last)]) for part in columns]
    return Halo(ranges, np.unique(np.concatenate(others)), K.comm)


class Triangle(NamedTuple):
    """The entries of a rank's rows that are not zero and not on the diagonal.

    Those with both ends on this rank are stored once, as the rows below the diagonal.

    Attributes:
        starts, columns, entries: the rows below the diagonal, in compressed form.
        rows, ghosts, couplings: the entries in columns that other ranks own.
    """

    starts: Compact
    columns: Compact
    entries: Entries
    rows: Compact
    ghosts: Compact
    couplings: Entries


def triangle(starts: Numbers, columns: Numbers, entries: Array, halo: Halo) -> Triangle:
    """The triangle of rows in compressed form with global columns."""
    outside = (columns < halo.first) | (columns >= halo.last)
    place = np.flatnonzero(outside & (entries != 0))
    rows = np.searchsorted(starts, place, side="right") - 1
    below = np.zeros(halo.owned + 1, dtype=np.uint32)
    _count(starts, columns, entries, halo.first, below)
    chosen, values = np.empty(below[-1], dtype=np.uint32), np.empty(below[-1])
    _fill(starts, columns, entries, halo.first, chosen, values)
    return Triangle(
        below, chosen, values, rows.astype(np.uint32), halo.local(columns[place]).astype(np.uint32),
        entries[place],
    )  # fmt: skip


@compiled
def _count(starts: Numbers, columns: Numbers, entries: Array, first: int, below: Compact) -> None:
    count = 0
    for i in range(len(starts) - 1):
        for e in range(starts[i], starts[i + 1]):
            if first <= columns[e] < first + i and entries[e] != 0:
                count += 1
        below[i + 1] = count


@compiled
def _fill(
    starts: Numbers, columns: Numbers, entries: Array, first: int, chosen: Compact, values: Array
) -> None:
    count = 0
    for i in range(len(starts) - 1):
        for e in range(starts[i], starts[i + 1]):
            if first <= columns[e] < first + i and entries[e] != 0:
                chosen[count] = columns[e] - first
                values[count] = entries[e]
                count += 1


def reduced(values: Array, comm: MPI.Comm, op: MPI.Op = MPI.SUM) -> Array:
    """Reduce values over all ranks in place, by default to their sums; returns the same array."""
    if comm.size > 1:
        comm.Allreduce(MPI.IN_PLACE, values, op)
    return values
