"""The rows of a symmetric matrix that a rank owns, and the values of other ranks they need."""

from __future__ import annotations

from mpi4py import MPI

from typing import Any, NamedTuple

import numpy as np
from petsc4py import PETSc

from uf_diffusion.core.arrays import Array, Index
from uf_diffusion.core.compiled import compiled

__all__ = ["Compact", "Entries", "Halo", "Numbers", "Triangle", "halo_of", "reduced", "triangle"]


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
        rank = comm.getRank()
        self.first, self.last = int(ranges[rank]), int(ranges[rank + 1])
        self.owned, self.ghosts = self.last - self.first, ghosts
        self.ranges, self._links = ranges, None
        if comm.getSize() > 1:
            owner = np.searchsorted(ranges, ghosts, side="right") - 1
            remote = np.column_stack([owner, ghosts - ranges[owner]]).astype(PETSc.IntType)
            self._links = PETSc.SF().create(comm)
            self._links.setGraph(self.owned, None, remote.ravel())

    @property
    def alone(self) -> bool:
        """Whether there is no other rank."""
        return self._links is None

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
        if self._links is not None:
            owned, ghosts = x[: self.owned], x[self.owned :]
            self._links.bcastBegin(MPI.DOUBLE, owned, ghosts, MPI.REPLACE)
            self._links.bcastEnd(MPI.DOUBLE, owned, ghosts, MPI.REPLACE)

    def collect(self, x: Array) -> None:
        """Add the values at the ghosts of a vector ``(size,)`` to the owners' values, in place.

        The order of these additions does not depend on the order in which messages arrive.
        """
        if self._links is not None:
            owned, ghosts = x[: self.owned], x[self.owned :]
            self._links.reduceBegin(MPI.DOUBLE, ghosts, owned, MPI.SUM)
            self._links.reduceEnd(MPI.DOUBLE, ghosts, owned, MPI.SUM)


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
