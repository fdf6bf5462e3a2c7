"""The prolongations between the spaces of a grid and of the coarser ones of its hierarchy."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from petsc4py import PETSc
from scipy import sparse

from uf_diffusion.core.arrays import Index
from uf_diffusion.grids.base import Grid, Nesting

__all__ = ["prolongations"]

COARSE = 400  # grids with at most this number of nodes are not coarsened further


def prolongations(grid: Grid, node: Index, comm: PETSc.Comm) -> list[PETSc.Mat]:
    """The interpolation matrices of the grid's hierarchy, finest first; empty if it has none.

    Args:
        grid: the finest grid.
        node: its number of each owned node, ``(owned,)``.
        comm: the ranks over which the nodes are distributed.
    """
    found = []
    for nesting in _nestings(grid):
        P, node = _prolongation(nesting, node, comm)
        found.append(P)
    return found


def _nestings(grid: Grid) -> Iterator[Nesting]:
    while len(grid.nodes) > COARSE and (nesting := grid.coarser()) is not None:
        yield nesting
        grid = nesting.grid


def _prolongation(nesting: Nesting, node: Index, comm: PETSc.Comm) -> tuple[PETSc.Mat, Index]:
    """The prolongation P, and the coarse grid's number of each owned coarse node.

    The rank that owns a fine node also owns the coarse node at the same point.
    """
    coarse_count = len(nesting.place)
    coarse = np.full(len(nesting.parents), -1)
    coarse[nesting.place] = np.arange(coarse_count)
    owned = coarse[node]
    owned = owned[owned >= 0]
    everywhere = np.concatenate(comm.tompi4py().allgather(owned))
    index = np.empty(coarse_count, dtype=PETSc.IntType)
    index[everywhere] = np.arange(coarse_count)
    columns, shares = index[nesting.parents[node]], nesting.shares[node]
    starts = np.arange(len(node) + 1) * columns.shape[1]
    rows = sparse.csr_array(
        (shares.ravel(), columns.ravel(), starts), shape=(len(node), coarse_count)
    )
    rows.sum_duplicates()
    rows.eliminate_zeros()
    P = PETSc.Mat().createAIJ(
        size=((len(node), None), (len(owned), coarse_count)),
        csr=(rows.indptr.astype(PETSc.IntType), rows.indices.astype(PETSc.IntType), rows.data),
        comm=comm,
    )
    return P, owned
