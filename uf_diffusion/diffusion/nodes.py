"""The nodes that a rank computes on: all nodes of a mesh, or its own ones and those around them.

Arrays over these nodes are called local. This rank's own nodes come first in them. If the nodes are
spread over the ranks, the others are the two rings of neighbours around the own nodes and, where
wanted, the antipodes of all of these. Their values are copies of those on other ranks.
"""

from __future__ import annotations

from mpi4py import MPI

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy import sparse

from uf_diffusion.core.arrays import Array, Index
from uf_diffusion.core.mpi import Share

__all__ = ["Nodes", "all_nodes", "spread_nodes"]

RINGS = 2  # an edge's flux depends on the gradient at its ends, thus on the ends' neighbours


@dataclass(frozen=True)
class Nodes:
    """The local nodes of a rank.

    Attributes:
        number: the grid's numbers of the local nodes, ``(local,)``, the own ones first.
        own: how many of them are this rank's own.
        owned: the grid's numbers of the nodes that DOLFINx gives to this rank, ``(owned,)``.
        comm: the ranks of the mesh.
        spread: whether the nodes are spread over these ranks; else every rank has all of them.
    """

    number: Index
    own: int
    owned: Index
    comm: MPI.Comm
    spread: bool

    @cached_property
    def share(self) -> Share:
        """How the own nodes of all ranks make up the nodes of the mesh."""
        return Share(round(self.total(self.own)), split=self.spread)

    def sum(self, partial: Array) -> Array:
        """The totals of sums over own nodes."""
        if not self.spread:
            return partial
        total = np.empty_like(partial)
        self.comm.Allreduce(np.ascontiguousarray(partial), total)
        return total

    def total(self, value: Any) -> float:
        """The total of a sum over own nodes."""
        return float(self.sum(np.array(value)))

    def largest(self, value: float) -> float:
        """The largest of the values of all ranks; not finite if one of them is not."""
        value = value if np.isfinite(value) else np.inf
        return float(self.comm.allreduce(value, MPI.MAX)) if self.spread else value

    def from_owned(self, values: Array) -> Array:
        """Local values ``(..., local)`` from those at DOLFINx's nodes ``(..., owned)``."""
        if self.spread:
            return self.filled(values)
        whole = np.empty((*values.shape[:-1], len(self.number)))
        for node, part in self.comm.allgather((self.owned, values)):
            whole[..., node] = part
        return whole

    def to_owned(self, values: Array) -> Array:
        """The values ``(..., owned)`` at DOLFINx's nodes among local ones ``(..., local)``."""
        return values[..., : self.own] if self.spread else values[..., self.owned]

    def filled(self, own: Array) -> Array:
        """Local values ``(..., local)`` from the own ones ``(..., own)`` of all ranks."""
        if not self.spread:
            return own
        send, receive = self._exchange
        rest = (*own.shape[:-1], len(self.number) - self.own)
        local = np.concatenate([own, np.empty(rest)], axis=-1)
        parts = self.comm.alltoall([np.ascontiguousarray(own[..., place]) for place in send])
        for place, part in zip(receive, parts, strict=True):
            local[..., place] = part
        return local

    def together(self, own: Array) -> Array:
        """The values ``(own, ...)`` of all ranks, one after the other, on every rank."""
        return np.concatenate(self.comm.allgather(own)) if self.spread else own

    @cached_property
    def _exchange(self) -> tuple[list[Index], list[Index]]:
        """For each rank the places of own nodes to send to it, and of local ones to receive."""
        ghosts = self.number[self.own :]
        owned = self.comm.allgather(self.owned)
        receive, wanted = [], []
        for numbers in owned:
            order = np.argsort(numbers)
            at = np.searchsorted(numbers, ghosts, sorter=order)
            place = order[np.minimum(at, len(numbers) - 1)]
            here = np.flatnonzero(numbers[place] == ghosts) if len(numbers) else np.empty(0, int)
            receive.append(self.own + here)
            wanted.append(place[here] if len(numbers) else here)
        return self.comm.alltoall(wanted), receive


def all_nodes(count: int, owned: Index, comm: MPI.Comm) -> Nodes:
    """Every rank has all ``count`` nodes of the mesh, in the grid's numbering."""
    return Nodes(np.arange(count), count, owned, comm, spread=False)


def spread_nodes(
    stiffness: sparse.csr_matrix, owned: Index, comm: MPI.Comm, opposite: Index | None = None
) -> Nodes:
    """Each rank has its owned nodes and what their fluxes depend on; see the module.

    Args:
        stiffness: a matrix ``(n, n)`` with an entry for each edge.
        owned: the grid's numbers of the nodes that this rank owns, ``(owned,)``.
        comm: the ranks.
        opposite: the antipodes ``(n,)`` if they are needed.
    """
    if comm.size == 1:
        return all_nodes(len(owned), owned, comm)
    reached = np.zeros(stiffness.shape[0], dtype=bool)
    reached[owned] = True
    for _ in range(RINGS):
        reached[stiffness[np.flatnonzero(reached)].indices] = True
    if opposite is not None:
        reached |= reached[opposite]
    reached[owned] = False
    number = np.concatenate([owned, np.flatnonzero(reached)])
    return Nodes(number, len(owned), owned, comm, spread=True)
