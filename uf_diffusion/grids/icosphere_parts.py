"""Parts of the icosphere that several ranks build without the whole.

Every rank refines its own triangles of a coarse level and those that touch them. The numbers of
the new nodes are those of the whole grid: the node in the middle of an edge is numbered by the
place of the edge among all edges, sorted by their ends. That place follows from the level before.
Let d(a) be the number of ends of edges at the nodes before a, which is known since twelve nodes
have five neighbours and all others have six, and let E be the number of edges of a level. After a
subdivision the sorted edges are

* the halves of old edges, whose smaller end is an old node: the j-th at node a has the place
  d(a) + j, and keeps its j at all later levels;
* the new edges from one middle to another one in the same old triangle: the i-th whose smaller end
  is in the middle of e has the place 2E + C(e) + i.

A triangle with the sorted edges p < q < r has new edges (p, q), (p, r) and (q, r), so that
C(e) = 2 A(e) + B(e), where A(e) is the number of triangles whose first edge comes before e, and
B(e) that of triangles whose second edge does. At the next level A and B of the j-th half at a sum
to 2 (d(a) + j), and those of a new edge are 2E + A(e) plus what the new edges before it at e add.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from uf_diffusion.core.arrays import Array, Index
from uf_diffusion.grids.base import Coarsened, Whole, key_of_corners

if TYPE_CHECKING:
    from uf_diffusion.grids.icosphere import Icosphere

__all__ = ["IcospherePart", "edges_of"]

PIECES = 256  # triangles of the coarse level for each rank, so that all ranks have almost as many


@dataclass(frozen=True)
class _Edges:
    """Some edges of a level with what `_refined` needs, sorted by their ends.

    Attributes:
        key: `key_of_corners` of the ends, ``(m,)``.
        place: the place among all edges of the level, ``(m,)``; -1 where it is not known.
        first: A of the module, ``(m,)``.
        starts: C of the module, ``(m,)``.
    """

    key: Index
    place: Index
    first: Index
    starts: Index

    def among(self, key: Index) -> _Edges:
        """The edges with given keys, of which those that are not here have unknown places."""
        at = np.minimum(np.searchsorted(self.key, key), len(self.key) - 1)
        place = np.where(self.key[at] == key, self.place[at], -1)
        return _Edges(key, place, self.first[at], self.starts[at])


@dataclass(frozen=True)
class _Level:
    """The nodes of one rank at a level.

    Attributes:
        grid: the whole grid of the level.
        cells: triangles, of which the first ``own`` are those of this rank, ``(m, 3)``.
        own: number of the rank's own triangles; the others touch them.
        number: the sorted numbers of the nodes of the triangles, ``(n,)``.
        nodes: their points, ``(n, 3)``.
        ends: the numbers of the ends of the coarser edges that they halve, ``(n, 2)``; twice the
            node itself if it is one of the coarser level.
    """

    grid: Icosphere
    cells: Index
    own: int
    number: Index
    nodes: Array
    ends: Index


@dataclass(frozen=True, eq=False)
class IcospherePart:
    """The descendants of some triangles of a coarse level, with their ancestors.

    Attributes:
        levels: the rank's levels, from a coarse one on; the last is that of the part.
        rank, size: the rank, and the number of ranks.
    """

    levels: tuple[_Level, ...]
    rank: int
    size: int
    compact = True

    @classmethod
    def of(cls, grid: Icosphere, rank: int, size: int) -> IcospherePart | Whole:
        """The part of one rank; the whole grid on one rank, or if it is small."""
        coarse = replace(grid, level=0)
        while coarse.cell_count < PIECES * size:
            coarse = replace(coarse, level=coarse.level + 1)
        if size == 1 or grid.level <= coarse.level:
            return Whole(grid, rank, size)
        level, edges = _coarse(coarse, rank, size)
        levels = [level]
        for _ in range(grid.level - coarse.level):
            level, edges = _refined(levels[-1], edges)
            levels.append(level)
        return cls(tuple(levels), rank, size)

    @property
    def grid(self) -> Icosphere:
        return self.levels[-1].grid

    @cached_property
    def cells(self) -> Index:
        return self.levels[-1].cells[: self.levels[-1].own]

    def nodes_at(self, numbers: Index) -> Array:
        return self.levels[-1].nodes[self._at(numbers)]

    def holds(self, numbers: Index) -> bool:
        return bool((self.levels[-1].number[self._at(numbers)] == numbers).all())

    def _at(self, numbers: Index) -> Index:
        known = self.levels[-1].number
        return np.minimum(np.searchsorted(known, numbers), len(known) - 1)

    def coarsened(self, numbers: Index) -> Coarsened | None:
        if len(self.levels) == 1:
            return Whole(self.grid, self.rank, self.size).coarsened(numbers)
        part = IcospherePart(self.levels[:-1], self.rank, self.size)
        ends = self.levels[-1].ends[self._at(numbers)]
        same = np.where(numbers < part.grid.node_count, numbers, -1)
        return Coarsened(part, ends, np.full(ends.shape, 0.5), same)


def _coarse(grid: Icosphere, rank: int, size: int) -> tuple[_Level, _Edges]:
    """A rank's share of a grid that every rank builds, and what is known of its edges."""
    cells, count = grid.cells, grid.node_count
    family = np.zeros(len(cells), dtype=np.int64)  # orders descendants of a triangle one by one
    number = np.arange(len(cells))
    for level in range(grid.level, 0, -1):
        child, number = np.divmod(number, len(cells) // 4 ** (grid.level - level + 1))
        family += child * 4 ** (grid.level - level)
    # from pole to pole: in round parts DOLFINx takes long to renumber the cells (7 times at 3e5)
    face, number = np.divmod(number, grid.frequency**2)
    strip = (face % 5 * 4 + face // 5) * grid.frequency**2 + number
    order = np.argsort(family + strip * 4**grid.level, kind="stable")
    own = np.sort(order[len(order) * rank // size : len(order) * (rank + 1) // size])
    key, sides = edges_of(cells, count)
    first, second, _ = np.sort(sides, axis=1).T
    before = [np.cumsum(n) - n for n in (np.bincount(s, minlength=len(key))
                                         for s in (first, second))]  # fmt: skip
    edges = _Edges(key, np.arange(len(key)), before[0], 2 * before[0] + before[1])
    return _kept(grid, cells, own, np.arange(count), grid.nodes, None), edges


def _kept(
    grid: Icosphere, cells: Index, own: Index, number: Index, nodes: Array, ends: Index | None
) -> _Level:
    """The level with the rank's own triangles and those that touch them.

    Args:
        grid: the whole grid of the level.
        cells: triangles ``(m, 3)``; a corner with an unknown number is -1.
        own: which are the rank's own.
        number, nodes, ends: nodes of the triangles, sorted by their numbers; see `_Level`.
    """
    corners = np.unique(cells[own])
    at = np.minimum(np.searchsorted(corners, cells), len(corners) - 1)
    touch = (corners[at] == cells).any(axis=1)
    touch[own] = False
    kept = np.concatenate([cells[own], cells[touch]])
    here = np.searchsorted(number, np.unique(kept))
    number = number[here]
    pairs = np.column_stack([number, number]) if ends is None else ends[here]
    return _Level(grid, kept, len(own), number, nodes[here], pairs)


def edges_of(cells: Index, count: int) -> tuple[Index, Index]:
    """The sorted keys of all edges, and the numbers of each triangle's edges, ``(cells, 3)``, the
    k-th opposite of the k-th corner.
    """
    ends = cells[:, [[1, 2], [2, 0], [0, 1]]].reshape(-1, 2)
    key, side = np.unique(key_of_corners(ends, count), return_inverse=True)
    return key, side.reshape(-1, 3)


def _degrees_before(node: Index) -> Index:
    """The number of ends of edges at the nodes with smaller numbers."""
    return np.asarray(6 * node - np.minimum(node, 12))


def _refined(level: _Level, edges: _Edges) -> tuple[_Level, _Edges]:
    """The next level, and what is known of its edges."""
    count, total = level.grid.node_count, 3 * level.grid.cell_count // 2
    key, sides = edges_of(level.cells, count)
    edges = edges.among(key)
    middle = np.where(edges.place >= 0, count + edges.place, -1)
    (a, b, c), (p, q, r) = level.cells.T, middle[sides].T
    triples = ((a, r, q), (r, b, p), (q, p, c), (p, q, r))
    cells = np.concatenate([np.column_stack(t) for t in triples])
    own = (np.arange(4)[:, None] * len(level.cells) + np.arange(level.own)).ravel()
    ends = np.column_stack(np.divmod(key, count))
    known = np.flatnonzero(middle >= 0)
    known = known[np.argsort(middle[known])]
    x, y = (level.nodes[np.searchsorted(level.number, ends[known, k])] for k in (0, 1))
    points = x + y
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    grid = replace(level.grid, level=level.grid.level + 1)
    finer = _kept(
        grid, cells, own, np.append(level.number, middle[known]), np.vstack([level.nodes, points]),
        np.vstack([np.column_stack([level.number] * 2), ends[known]]),
    )  # fmt: skip
    parts = _halves(level.cells, sides, ends, middle), _inner(sides, edges, middle, total)
    columns = [np.concatenate(pair) for pair in zip(*parts, strict=True)]
    fine_key = key_of_corners(np.column_stack(columns[:2]), grid.node_count)
    fine_key[(columns[0] < 0) | (columns[1] < 0)] = -1
    order = np.argsort(fine_key)
    return finer, _Edges(fine_key[order], *(column[order] for column in columns[2:]))


def _halves(
    cells: Index, sides: Index, ends: Index, middle: Index
) -> tuple[Index, Index, Index, Index, Index]:
    """Both ends, place, A and C of the halves of edges with their ends ``(m, 2)``.

    They are right at the nodes of which all edges are there.
    """
    m = len(ends)
    node, edge = ends.T.ravel(), np.tile(np.arange(m), 2)
    order = np.lexsort((edge, node))
    node, edge = node[order], edge[order]
    # the triangles at a corner in which an edge is the first of the two that meet there
    pair = np.sort(sides[:, [[1, 2], [2, 0], [0, 1]]], axis=2)[..., 0].ravel()
    wanted, corner = pair, cells.ravel()
    row = np.where(ends[wanted, 0] == corner, wanted, wanted + m)
    times = np.bincount(row, minlength=2 * m)[order]
    start = np.searchsorted(node, node)
    before = np.cumsum(times) - times
    degrees = _degrees_before(node)
    place = degrees + np.arange(len(node)) - start
    first = degrees + before - before[start]
    return node, middle[edge], place, first, first + 2 * place


def _inner(
    sides: Index, edges: _Edges, middle: Index, total: int
) -> tuple[Index, Index, Index, Index, Index]:
    """Both ends, place, A and C of the new edges between the middles of two edges.

    They are right at those of which both triangles are there.
    """
    p, q, r = np.sort(sides, axis=1).T
    low, high = np.concatenate([p, p, q]), np.concatenate([q, r, r])
    kind = np.repeat(np.arange(3), len(p))
    order = np.lexsort((high, low))
    low, high, kind = low[order], high[order], kind[order]
    start = np.searchsorted(low, low)
    first, second = (np.cumsum(kind == k) - (kind == k) for k in (0, 1))
    place = 2 * total + edges.starts[low] + np.arange(len(low)) - start
    A = 2 * total + edges.first[low] + first - first[start]
    B = 2 * total + edges.first[low] + second - second[start]
    return middle[low], middle[high], place, A, 2 * A + B
