"""Values of other ranks that a rank needs for its rows of a sparse matrix."""

from __future__ import annotations

from mpi4py import MPI

import numpy as np
from petsc4py import PETSc

from uf_diffusion.core.arrays import Array, Index

__all__ = ["Halo", "halo_of"]


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

    def local(self, columns: Index) -> Index:
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


def halo_of(K: PETSc.Mat, columns: Index) -> Halo:
    """The exchange for a square matrix.

    Args:
        K: the matrix.
        columns: global columns of this rank's rows, in any order, that vectors have values for.
    """
    ranges, rank = np.asarray(K.getOwnershipRanges()), K.comm.getRank()
    others = (columns < ranges[rank]) | (columns >= ranges[rank + 1])
    return Halo(ranges, np.unique(columns[others]), K.comm)
