"""The finite-element space of a grid on all ranks: its nodes, their volumes, and matrices.

In two and three dimensions it is DOLFINx's. In one dimension everything is a few lines of numpy,
see `uf_diffusion.diffusion.intervals`, and DOLFINx's space is built only for output.
"""

from __future__ import annotations

from mpi4py import MPI

from typing import Protocol

from dolfinx import fem
from petsc4py import PETSc

from uf_diffusion.core.arrays import Array, Index
from uf_diffusion.diffusion.chain import Chain
from uf_diffusion.diffusion.forms import node_volumes, stiffness_matrix
from uf_diffusion.diffusion.intervals import Intervals
from uf_diffusion.diffusion.linear_solvers import compressed
from uf_diffusion.diffusion.meshes import points_on, space_on
from uf_diffusion.grids.base import Grid

__all__ = ["Space", "space_of"]


class Space(Protocol):
    """A finite-element space.

    Attributes:
        node: the grid's number of each node that this rank owns, ``(owned,)``.
    """

    node: Index

    @property
    def points(self) -> Array:
        """The owned nodes, points ``(owned, ambient)`` on the manifold."""
        ...

    @property
    def volumes(self) -> Array:
        """The lumped volumes of the owned nodes, ``(owned,)``."""
        ...

    def stiffness(self, teacher: Array) -> PETSc.Mat:
        """The matrix K of int nu grad(w) . grad(v) dx, see `uf_diffusion.diffusion.forms`.

        Args:
            teacher: nu at the owned nodes, ``(owned,)``, positive.
        """
        ...

    def chain(self, teacher: Array) -> Chain | None:
        """In one dimension the matrix K in the form that machine code uses; None elsewhere.

        Args:
            teacher: as in `stiffness`.
        """
        ...

    def function(self, values: Array) -> fem.Function:
        """The function with these values at the owned nodes, ``(owned,)``, for DOLFINx."""
        ...


def space_of(grid: Grid, comm: MPI.Comm, ranks: Index | None = None) -> Space:
    """The space of a grid.

    Args:
        grid: the grid.
        comm: the ranks over which its nodes are distributed.
        ranks: in two dimensions the rank that each cell goes to, ``(cells,)``; by default a graph
            partitioner decides.
    """
    if grid.manifold.dim == 1:
        return Intervals(grid, comm)
    return Simplices(grid, comm, ranks)


class Simplices:
    """A `Space` of DOLFINx."""

    def __init__(self, grid: Grid, comm: MPI.Comm, ranks: Index | None = None) -> None:
        self._grid = grid
        self.V, self.node = space_on(grid, comm, ranks)

    @property
    def points(self) -> Array:
        return points_on(self.V, self._grid, self.node)

    @property
    def volumes(self) -> Array:
        return node_volumes(self.V, self._grid, self.node)

    def stiffness(self, teacher: Array) -> PETSc.Mat:
        assembled = stiffness_matrix(self.V, self._grid, teacher)
        K = compressed(assembled)
        assembled.destroy()  # PETSc keeps distributed matrices that Python has dropped
        return K

    def chain(self, teacher: Array) -> None:
        return None

    def function(self, values: Array) -> fem.Function:
        u = fem.Function(self.V)
        u.x.array[: len(values)] = values
        u.x.scatter_forward()
        return u
