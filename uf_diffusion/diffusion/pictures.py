"""What a result shows of fields: all nodes, or those that a coarser grid of the hierarchy has."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from uf_diffusion.core.arrays import Array, Index
from uf_diffusion.diffusion.gathering import Gathering
from uf_diffusion.diffusion.spaces import space_of
from uf_diffusion.diffusion.time_stepping import Evolution
from uf_diffusion.grids.base import Coarsened, Grid, coarse_enough, part_holding

__all__ = ["Picture", "coarse_picture"]


@dataclass(frozen=True, eq=False)
class Picture:
    """The nodes that a coarser grid shares with that of a solver.

    Attributes:
        grid: the coarser grid.
        volume: the lumped volumes of its nodes on rank 0, ``(nodes,)``; None on other ranks.
        chosen: which of this rank's nodes they are, ``(shared,)``.
        gathering: how they are distributed.
    """

    grid: Grid
    volume: Array | None
    chosen: Index
    gathering: Gathering

    def gathered(self, values: Array) -> Array | None:
        """The values ``(..., nodes)`` on rank 0 from those of the fine grid, ``(..., owned)``."""
        return self.gathering.gathered(values[..., self.chosen])


def coarse_picture(solver: Evolution, nodes: int) -> Picture | None:
    """The picture on the finest coarser grid with at most a number of nodes; None if there is none.

    Call it on all ranks.
    """
    comm, grid = solver.comm, coarse_enough(solver.grid, nodes)
    if grid is None:
        return None
    part = part_holding(solver.grid, solver.node, comm.rank, comm.size)
    chosen, number = np.arange(len(solver.node)), solver.node
    while part.grid.node_count > nodes:
        coarsened = part.coarsened(number)
        assert isinstance(coarsened, Coarsened)  # since there is such a grid
        shared = coarsened.same >= 0
        part, chosen, number = coarsened.part, chosen[shared], coarsened.same[shared]
    space = space_of(grid, comm)
    volume = Gathering(space.node, grid.node_count, comm).gathered(space.volumes)
    return Picture(grid, volume, chosen, Gathering(number, grid.node_count, comm))
