"""Grids with the nodes of finite elements of degree 2 and more."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np

from uf_diffusion.core.arrays import Array, Index
from uf_diffusion.core.errors import InputError
from uf_diffusion.grids.base import Grid, Interpolating, Nesting, key_of_corners
from uf_diffusion.grids.elements import LumpedElement, lumped_element
from uf_diffusion.problem.manifolds import Manifold

__all__ = ["Curved"]


@dataclass(frozen=True)
class Curved(Interpolating):
    """A grid with the nodes of a mass-lumped element of degree 2 or more.

    The nodes of the base come first. The nodes inside edges, faces and cells are ordered by the
    sorted corners of these, so the numbering depends on the base only.

    Attributes:
        base: the grid of degree 1 with the same cells.
        degree: degree of the element, at least 2.
    """

    base: Grid
    degree: int

    @property
    def manifold(self) -> Manifold:
        manifold: Manifold = self.base.manifold
        return manifold

    @property
    def built_in(self) -> bool:  # type: ignore[override]
        return self.base.built_in

    @property
    def spacing(self) -> float:
        return self.base.spacing

    @property
    def cells(self) -> Index:
        return self.base.cells

    @property
    def cell_count(self) -> int:
        return self.base.cell_count

    @property
    def node_count(self) -> int:
        vertices, cells, dim = self.base.node_count, self.cell_count, self.manifold.dim
        # the numbers of edges, faces and cells of a closed manifold: every facet is in two cells,
        # and in three dimensions the Euler characteristic is 0
        parts = {1: [cells], 2: [3 * cells // 2, cells], 3: [vertices + cells, 2 * cells, cells]}
        inside = [self._inside(corners) for corners in range(2, dim + 2)]
        return vertices + sum(n * k for n, k in zip(parts[dim], inside, strict=True))

    @property
    def element(self) -> LumpedElement:
        """The finite element whose nodes the grid has."""
        return lumped_element(self.manifold.dim, self.degree)

    @cached_property
    def _parts(self) -> dict[int, Index]:
        """The sorted keys of all edges, faces and cells, by the number of their corners."""
        cells, count = self.base.cells, len(self.base.nodes)
        sizes = set((self.element.nodes > 0).sum(axis=1)) - {1}
        if count ** max(sizes) >= 2**63:
            raise InputError(f"diffusion.degree = {self.degree}: so many cells need degree 1.")
        return {
            int(n): np.unique(
                np.concatenate(
                    [
                        key_of_corners(cells[:, c], count)
                        for c in itertools.combinations(range(cells.shape[1]), n)
                    ]
                )
            )
            for n in sizes
        }

    def numbers(self, corners: Index) -> Index:
        """The node numbers ``(m, element nodes)`` of cells given by their corners ``(m, dim + 1)``,
        in the order of ``element.nodes``.

        Raises:
            InputError: if there are too many nodes for 64-bit keys.
        """
        return self.numbers_at(corners, self.element.nodes)

    def numbers_at(self, corners: Index, local: Array) -> Index:
        """As `numbers`, for element nodes in any order, given by barycentric coordinates
        ``(element nodes, dim + 1)``.
        """
        count = len(self.base.nodes)
        start, first = {1: 0}, count
        for n, keys in self._parts.items():
            start[n], first = first, first + len(keys) * self._inside(n)
        result = np.empty((len(corners), len(local)), dtype=np.int64)
        for i, point in enumerate(local):
            support = np.flatnonzero(point > 1e-9)
            n = len(support)
            chosen = corners[:, support]
            if n == 1:
                result[:, i] = chosen[:, 0]
                continue
            order = np.argsort(chosen, axis=1)
            which = _nearest(point[support][order], _patterns(self.element, n))
            part = np.searchsorted(self._parts[n], key_of_corners(chosen, count))
            result[:, i] = start[n] + part * self._inside(n) + which
        return result

    def _inside(self, n: int) -> int:
        return len(_patterns(self.element, n))

    @cached_property
    def _barycentric(self) -> tuple[Index, Array]:
        """For every node, the corners of a cell that contains it and its coordinates there."""
        cells, local = self.base.cells, self.element.nodes
        numbers = self.numbers(cells)
        _, first = np.unique(numbers.ravel(), return_index=True)
        cell, i = np.divmod(first, len(local))
        return cells[cell], local[i]

    @cached_property
    def nodes(self) -> Array:
        return self.base.between(*self._barycentric)

    def between(self, corners: Index, shares: Array) -> Array:
        return self.base.between(corners, shares)

    def stretch(self, corners: Index, shares: Array) -> Array:
        return self.base.stretch(corners, shares)

    def locate(self, points: Array) -> tuple[Index, Array]:
        return self.base.locate(points)

    def basis(self, points: Array) -> tuple[Index, Array]:
        corners, barycentric = self.locate(points)
        return self.numbers(corners), self.element.basis(barycentric)

    @property
    def below(self) -> Grid | None:
        return self.base

    def coarser(self) -> Nesting | None:
        """The base grid, from which values are interpolated linearly."""
        return Nesting(self.base, *self._barycentric, np.arange(len(self.base.nodes)))


@cache
def _patterns(element: LumpedElement, n: int) -> Array:
    """The barycentric coordinates of the nodes inside a simplex of ``n`` corners."""
    nodes = element.nodes
    return nodes[(nodes[:, :n] > 0).all(axis=1) & (nodes[:, n:] == 0).all(axis=1), :n]


def _nearest(points: Array, patterns: Array) -> Index:
    distance = np.abs(points[:, None, :] - patterns[None]).max(axis=2)
    return np.asarray(np.argmin(distance, axis=1))
