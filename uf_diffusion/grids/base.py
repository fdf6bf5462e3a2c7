"""Grids: nodes and cells of a mesh as numpy arrays, and the nesting of a grid and a coarser one.

A built-in grid is determined by a few numbers, so the numbering of its nodes is the same on any
number of ranks and without DOLFINx. Where several ranks share a grid, each builds its `Part`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np

from uf_diffusion.core.arrays import Array, Index

__all__ = ["Coarsened", "Grid", "Interpolating", "Nesting", "Part", "Whole", "coarse_enough",
           "key_of_corners", "part_holding"]  # fmt: skip


class Grid(Protocol):
    """A simplicial mesh of a manifold."""

    @property
    def manifold(self) -> Any:
        """The manifold of which this is a mesh."""
        ...

    @property
    def nodes(self) -> Array:
        """The nodes, points ``(n, ambient)`` on the manifold."""
        ...

    @property
    def degree(self) -> int:
        """The degree of the finite element to which the nodes belong."""
        ...

    @property
    def built_in(self) -> bool:
        """Whether a few numbers determine the grid; else, for a mesh file, it must be stored."""
        ...

    @property
    def spacing(self) -> float:
        """The length of the longest edge, in the manifold's unit of length."""
        ...

    @property
    def cells(self) -> Index:
        """The node numbers of the corners of each cell, ``(cells, dim + 1)``."""
        ...

    @property
    def node_count(self) -> int:
        """The number of nodes, computed without building them."""
        ...

    @property
    def cell_count(self) -> int:
        """The number of cells, computed without building them."""
        ...

    @property
    def coordinates(self) -> Array:
        """The nodes ``(n, k)`` in the space in which DOLFINx's cells are straight: R^ambient for
        triangles, the angle for rings. Lattices are built from their chart instead.
        """
        ...

    @property
    def volumes(self) -> Array | None:
        """The volumes of the nodes, ``(n,)``; None for those of mass-lumped elements."""
        ...

    @property
    def sections(self) -> Array | None:
        """The volume that a unit of length along each cell stands for, ``(cells,)``; None for 1."""
        ...

    @property
    def linear(self) -> Array:
        """The values ``(n, k)`` of linear functions that span those with the mesh's symmetry."""
        ...

    @property
    def opposite(self) -> Index | None:
        """The number of the antipode of each node, ``(n,)``; None if it has to be searched."""
        ...

    def locate(self, points: Array) -> tuple[Index, Array]:
        """The corners of the cells that contain points ``(m, ambient)``, and the barycentric
        coordinates of the points, both ``(m, dim + 1)``.
        """
        ...

    def basis(self, points: Array) -> tuple[Index, Array]:
        """The nodes of the cells that contain points ``(m, ambient)``, and the values of their
        basis functions at the points, both ``(m, nodes of an element)``.
        """
        ...

    def around(self, points: Array) -> tuple[Array, Array]:
        """The corners of the cells that contain points ``(m, ambient)`` as points
        ``(m, dim + 1, ambient)``, and the barycentric coordinates ``(m, dim + 1)``. A built-in grid
        of degree 1 is not built for this.
        """
        ...

    def interpolate(self, values: Array, points: Array) -> Array:
        """Interpolate nodal values ``(n,)`` at points ``(m, ambient)``; returns ``(m,)``."""
        ...

    def between(self, corners: Index, shares: Array) -> Array:
        """Points ``(m, ambient)`` of the manifold with given barycentric coordinates.

        Args:
            corners: node numbers of the cells' corners, ``(m, dim + 1)``.
            shares: barycentric coordinates ``(m, dim + 1)``; each row sums to 1.
        """
        ...

    def stretch(self, corners: Index, shares: Array) -> Array:
        """The volume of the manifold by that of barycentric coordinates at the points of `between`,
        ``(m,)``, up to a factor that is the same for all cells.
        """
        ...

    def coarser(self) -> Nesting | None:
        """The next coarser grid of the hierarchy; None if there is none."""
        ...

    @property
    def below(self) -> Grid | None:
        """The grid of `coarser` alone, where it is known without building this one."""
        ...

    def part(self, rank: int, size: int) -> Part:
        """The part of the grid that one of ``size`` ranks holds."""
        ...


class Part(Protocol):
    """What one of several ranks holds of a grid. Numbers of nodes are those of the whole grid."""

    @property
    def grid(self) -> Grid:
        """The grid of which this is a part."""
        ...

    @property
    def cells(self) -> Index:
        """The corners of this part's cells, ``(m, dim + 1)``; each cell is in exactly one part."""
        ...

    @property
    def compact(self) -> bool:
        """Whether the cells of each part lie together, so that ranks may keep them."""
        ...

    def nodes_at(self, numbers: Index) -> Array:
        """The nodes ``(m, ambient)`` with numbers ``(m,)``, which must be corners of the part."""
        ...

    def holds(self, numbers: Index) -> bool:
        """Whether the part has all nodes with these numbers ``(m,)``."""
        ...

    def coarsened(self, numbers: Index) -> Coarsened | None:
        """The relation of the part's nodes with numbers ``(m,)`` to the next coarser grid; None if
        there is none.
        """
        ...


class Coarsened(NamedTuple):
    """The relation of m nodes to the next coarser grid, see `Part.coarsened`.

    Attributes:
        part: the part of the coarser grid that has those of its nodes that are among the m.
        parents: ``(m, r)`` coarse nodes from whose values each node's value is interpolated.
        shares: ``(m, r)`` the coefficients of the interpolation; each row sums to 1.
        same: ``(m,)`` the coarse node at the same point, -1 where there is none.
    """

    part: Part
    parents: Index
    shares: Array
    same: Index


class Interpolating(ABC):
    """A base class of grids, which interpolates with the basis functions of a point's cell."""

    degree: int = 1
    built_in: bool = True

    @property
    def coordinates(self) -> Array:
        return np.asarray(self.nodes)  # type: ignore[attr-defined]

    @property
    def linear(self) -> Array:
        return np.asarray(self.nodes)  # type: ignore[attr-defined]

    @property
    def volumes(self) -> Array | None:
        return None

    @property
    def sections(self) -> Array | None:
        return None

    @property
    def opposite(self) -> Index | None:
        return None

    @property
    def below(self) -> Grid | None:
        return None

    @abstractmethod
    def locate(self, points: Array) -> tuple[Index, Array]:
        """See `Grid`."""

    def stretch(self, corners: Index, shares: Array) -> Array:
        return np.ones(len(corners))

    def basis(self, points: Array) -> tuple[Index, Array]:
        return self.locate(points)

    def around(self, points: Array) -> tuple[Array, Array]:
        corners, shares = self.locate(points)
        return np.asarray(self.nodes[corners]), shares  # type: ignore[attr-defined]

    def part(self, rank: int, size: int) -> Part:
        return Whole(self, rank, size)  # type: ignore[arg-type]

    def interpolate(self, values: Array, points: Array) -> Array:
        numbers, basis = self.basis(points)
        return np.asarray((basis * values[numbers]).sum(axis=1))


@dataclass(frozen=True, eq=False)
class Nesting:
    """The relation between a fine grid of n nodes and a coarser one.

    Attributes:
        grid: the coarser grid.
        parents: ``(n, r)`` coarse nodes from whose values each fine node's value is interpolated.
        shares: ``(n, r)`` the coefficients of the interpolation; each row sums to 1.
        place: ``(n_coarse,)`` the fine node that is at the same point as each coarse node.
    """

    grid: Grid
    parents: Index
    shares: Array
    place: Index


@dataclass(frozen=True, eq=False)
class Whole:
    """The whole of a grid as every rank's part: small grids, and those from files.

    Attributes:
        grid: the grid.
        rank, size: the rank, and the number of ranks; rank 0 supplies all cells.
    """

    grid: Grid
    rank: int
    size: int

    @property
    def cells(self) -> Index:
        return self.grid.cells if self.rank == 0 else self.grid.cells[:0]

    @property
    def compact(self) -> bool:
        return self.size == 1

    def nodes_at(self, numbers: Index) -> Array:
        return np.asarray(self.grid.nodes[numbers])

    def holds(self, numbers: Index) -> bool:
        return True

    def coarsened(self, numbers: Index) -> Coarsened | None:
        nesting = self.grid.coarser()
        if nesting is None:
            return None
        same = np.full(self.grid.node_count, -1)
        same[nesting.place] = np.arange(len(nesting.place))
        found = same[numbers]
        part = part_holding(nesting.grid, found[found >= 0], self.rank, self.size)
        return Coarsened(part, nesting.parents[numbers], nesting.shares[numbers], found)


def part_holding(grid: Grid, numbers: Index, rank: int, size: int) -> Part:
    """The part of a rank, or the whole grid if that part lacks some of the nodes ``(m,)``, as where
    the cells were not distributed by parts.
    """
    part = grid.part(rank, size)
    return part if part.holds(numbers) else Whole(grid, rank, size)


def coarse_enough(grid: Grid, nodes: int) -> Grid | None:
    """The finest grid of a hierarchy with at most a number of nodes; None if there is none."""
    found: Grid | None = grid
    while found is not None and found.node_count > nodes:
        found = found.below
    return found


def key_of_corners(corners: Index, count: int) -> Index:
    """A number ``(m,)`` for each row of corners ``(m, n)`` that does not depend on their order.

    Args:
        corners: node numbers.
        count: the number of nodes; ``count**n`` must be below 2^63.
    """
    return np.asarray(np.sort(corners, axis=1) @ count ** np.arange(corners.shape[1])[::-1])
