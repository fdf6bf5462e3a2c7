"""Fields in the grid's numbering, of which rank 0 gets the whole or one piece after the other."""

from __future__ import annotations

from mpi4py import MPI

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from uf_diffusion.core.arrays import Array, Index

__all__ = ["Gathering"]

PIECE = 2**20  # nodes of a piece: 8 MiB of a field


@dataclass(frozen=True, eq=False)
class Gathering:
    """How the nodes of a grid are distributed.

    Attributes:
        node: the grid's number of each node that this rank owns, ``(owned,)``.
        count: the number of nodes on all ranks.
        comm: the ranks.
    """

    node: Index
    count: int
    comm: MPI.Comm

    @cached_property
    def _ascending(self) -> tuple[Index, Index]:
        """The order in which the nodes' numbers ascend, and these numbers, both ``(owned,)``."""
        order = np.argsort(self.node)
        return order, self.node[order]

    def pieces(self, values: Array) -> Iterator[tuple[slice, Array | None]]:
        """Iterate over a field in pieces of consecutive nodes. Call it on all ranks.

        Args:
            values: ``(..., owned)``.

        Returns:
            The range of each piece, and on rank 0 its values ``(..., range)``, None on other ranks.
        """
        order, number = self._ascending
        for start in range(0, self.count, PIECE):
            where = slice(start, min(start + PIECE, self.count))
            first, last = np.searchsorted(number, (where.start, where.stop))
            mine = number[first:last] - start, values[..., order[first:last]]
            parts = self.comm.gather(mine, root=0)
            if parts is None:
                yield where, None
                continue
            piece = np.empty((*values.shape[:-1], where.stop - start))
            for place, part in parts:
                piece[..., place] = part
            yield where, piece

    def gathered(self, values: Array) -> Array | None:
        """The whole field ``(..., n)`` of values ``(..., owned)`` on rank 0, None on others."""
        whole = np.empty((*values.shape[:-1], self.count)) if self.comm.rank == 0 else None
        for where, piece in self.pieces(values):
            if whole is not None:
                whole[..., where] = piece
        return whole

    def everywhere(self, values: Array) -> Array:
        """The whole field ``(..., n)`` of values ``(..., owned)`` on all ranks."""
        whole = np.empty((*values.shape[:-1], self.count))
        for node, part in self.comm.allgather((self.node, values)):
            whole[..., node] = part
        return whole

    def own(self, piece: Callable[[slice], Array]) -> Array:
        """This rank's values ``(..., owned)`` of a field that ``piece`` reads range by range."""
        (order, number), found = self._ascending, []
        for start in range(0, self.count, PIECE):
            where = slice(start, min(start + PIECE, self.count))
            first, last = np.searchsorted(number, (where.start, where.stop))
            found.append(piece(where)[..., number[first:last] - start])
        values = np.concatenate(found, axis=-1)
        result = np.empty_like(values)
        result[..., order] = values
        return result
