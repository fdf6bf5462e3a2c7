"""What a grid is: nodes and cells of a mesh in numpy alone, and how grids contain coarser ones.

A grid is deterministic: it can be rebuilt anywhere from its few numbers, so values at its nodes
(in its own numbering) mean the same on any number of ranks and without DOLFINx.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from uf_diffusion.core.arrays import Array, Index

__all__ = ["Grid", "Interpolating", "Nesting", "key_of_corners"]


class Grid(Protocol):
    """A simplicial mesh of a manifold."""

    @property
    def manifold(self) -> Any: ...
    @property
    def nodes(self) -> Array:
        """``(n, ambient)`` points on the manifold."""
        ...

    @property
    def degree(self) -> int:
        """Degree of the element whose nodes these are."""
        ...

    @property
    def built_in(self) -> bool:
        """Whether a few numbers make it again; a mesh from a file has to be kept."""
        ...

    @property
    def spacing(self) -> float:
        """Longest edge, in the manifold's unit of length."""
        ...

    @property
    def cells(self) -> Index:
        """``(cells, dim + 1)`` node numbers of the corners."""
        ...

    @property
    def node_count(self) -> int:
        """The number of nodes, known before they are built."""
        ...

    @property
    def cell_count(self) -> int:
        """The number of cells, likewise."""
        ...

    def locate(self, points: Array) -> tuple[Index, Array]:
        """The corners of the cells around points ``(m, ambient)``, and barycentric coordinates
        in them, both ``(m, dim + 1)``.
        """
        ...

    def basis(self, points: Array) -> tuple[Index, Array]:
        """The numbers of the nodes around points ``(m, ambient)`` and the values of their basis
        functions there, both ``(m, nodes of an element)``.
        """
        ...

    def interpolate(self, values: Array, points: Array) -> Array:
        """Interpolation of nodal values ``(n,)`` at points ``(m, ambient)``."""
        ...

    def between(self, corners: Index, shares: Array) -> Array:
        """Points of the manifold from barycentric coordinates.

        Args:
            corners: node numbers ``(m, dim + 1)``.
            shares: rows that sum to 1, likewise.
        """
        ...

    def coarser(self) -> Nesting | None:
        """The next coarser grid of a hierarchy, if there is one."""
        ...


class Interpolating(ABC):
    """What grids have in common: interpolation by the basis functions around a point."""

    degree: int = 1
    built_in: bool = True

    @abstractmethod
    def locate(self, points: Array) -> tuple[Index, Array]:
        """As `Grid`."""

    def basis(self, points: Array) -> tuple[Index, Array]:
        return self.locate(points)

    def interpolate(self, values: Array, points: Array) -> Array:
        numbers, basis = self.basis(points)
        return np.asarray((basis * values[numbers]).sum(axis=1))


@dataclass(frozen=True, eq=False)
class Nesting:
    """How a grid contains a coarser one.

    Attributes:
        grid: the coarser grid.
        parents: ``(n, r)`` coarse nodes whose values make up the value at each fine node.
        shares: ``(n, r)`` their coefficients; rows sum to 1.
        place: ``(n_coarse,)`` the fine node at each coarse node's place.
    """

    grid: Grid
    parents: Index
    shares: Array
    place: Index


def key_of_corners(corners: Index, count: int) -> Index:
    """One number for each set of corners ``(m, n)``, whatever their order."""
    return np.asarray(np.sort(corners, axis=1) @ count ** np.arange(corners.shape[1])[::-1])
