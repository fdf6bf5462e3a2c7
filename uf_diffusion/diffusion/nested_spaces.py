"""The prolongations between the spaces of a grid and of the coarser ones of its hierarchy.

Each rank computes the rows of its own nodes, and asks the others for no more than the places of
the coarse nodes that they own.
"""

from __future__ import annotations

from mpi4py import MPI

import numpy as np
from petsc4py import PETSc
from scipy import sparse

from uf_diffusion.core.arrays import Index
from uf_diffusion.grids.base import Coarsened, Grid, part_holding

__all__ = ["prolongations"]

COARSE = 400  # grids with at most this number of nodes are not coarsened further


def prolongations(grid: Grid, node: Index, comm: PETSc.Comm) -> list[PETSc.Mat]:
    """The interpolation matrices of the grid's hierarchy, finest first; empty if it has none.

    Args:
        grid: the finest grid.
        node: its number of each owned node, ``(owned,)``.
        comm: the ranks over which the nodes are distributed.
    """
    PETSc.garbage_cleanup(comm)  # on several ranks, matrices are only freed together
    part, found = part_holding(grid, node, comm.rank, comm.size), []
    while part.grid.node_count > COARSE and (coarsened := part.coarsened(node)) is not None:
        P, node = _prolongation(coarsened, comm)
        found.append(P)
        part = coarsened.part
    return found


def _prolongation(coarsened: Coarsened, comm: PETSc.Comm) -> tuple[PETSc.Mat, Index]:
    """The prolongation P, and the coarse grid's number of each owned coarse node.

    The rank that owns a fine node also owns the coarse node at the same point.
    """
    count, (fine, _) = coarsened.part.grid.node_count, coarsened.parents.shape
    owned = coarsened.same[coarsened.same >= 0]
    columns = _places(coarsened.parents, owned, count, comm.tompi4py())
    starts = np.arange(fine + 1) * columns.shape[1]
    rows = sparse.csr_array(
        (coarsened.shares.ravel(), columns.ravel(), starts), shape=(fine, count)
    )
    rows.sum_duplicates()
    rows.eliminate_zeros()
    P = PETSc.Mat().createAIJ(
        size=((fine, None), (len(owned), count)),
        csr=(rows.indptr.astype(PETSc.IntType), rows.indices.astype(PETSc.IntType), rows.data),
        comm=comm,
    )
    return P, owned


def _places(wanted: Index, owned: Index, count: int, comm: MPI.Comm) -> Index:
    """The places of nodes with numbers ``wanted``, of any shape, in a PETSc vector.

    Each rank keeps the places of a contiguous range of numbers and answers the other ranks.

    Args:
        wanted: numbers of nodes.
        owned: the numbers of the nodes that this rank owns, in the order of the vector.
        count: the number of nodes on all ranks.
        comm: the ranks.
    """
    first = sum(comm.allgather(len(owned))[: comm.rank])
    mine = np.column_stack([owned, first + np.arange(len(owned))])
    asked, where = np.unique(wanted, return_inverse=True)
    bounds = np.arange(comm.size + 1) * count // comm.size
    given = np.concatenate(comm.alltoall(_sent(mine[np.argsort(owned)], bounds)))
    known = np.empty(bounds[comm.rank + 1] - bounds[comm.rank], dtype=PETSc.IntType)
    known[given[:, 0] - bounds[comm.rank]] = given[:, 1]
    questions = comm.alltoall(_sent(asked[:, None], bounds))
    answers = comm.alltoall([known[each[:, 0] - bounds[comm.rank]] for each in questions])
    return np.concatenate(answers)[where].reshape(wanted.shape)


def _sent(rows: Index, bounds: Index) -> list[Index]:
    """Rows, sorted by their first columns, for each rank those within its bounds."""
    return np.split(rows, np.searchsorted(rows[:, 0], bounds[1:-1]))
