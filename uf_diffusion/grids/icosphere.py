"""The built-in meshes of the sphere S^2: repeatedly subdivided icosahedra."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from uf_diffusion.core.arrays import Array, Index
from uf_diffusion.grids.base import Interpolating, Nesting, Part
from uf_diffusion.grids.icosphere_parts import IcospherePart, edges_of
from uf_diffusion.grids.triangulations import Triangulation
from uf_diffusion.problem.manifolds import Sphere

__all__ = ["Icosphere"]


@dataclass(frozen=True)
class Icosphere(Interpolating):
    """The icosahedron, subdivided ``level`` times, with the new nodes projected to the unit sphere.

    Each subdivision divides a triangle into four. All triangles are acute, and the nodes of a level
    are the first nodes of the next level. Between two levels of the icosahedron itself lie those of
    the mesh whose edges are thirds or fifths of its edges.

    Attributes:
        manifold: the sphere of dimension 2.
        level: number of subdivisions, >= 0.
        frequency: into how many parts each edge of the icosahedron is cut before.
    """

    manifold: Sphere
    level: int
    frequency: int = 1

    @classmethod
    def of(cls, manifold: Sphere, cells: int) -> Icosphere:
        """The coarsest one with at least ``cells`` cells whose edges are cut in 1, 3 or 5 parts."""
        grids = []
        for f in (1, 3, 5):
            level = max(0, math.ceil(math.log(cells / (20 * f * f), 4) - 1e-9))
            grids.append(cls(manifold, level, f))
        return min(grids, key=lambda grid: grid.cell_count)

    @property
    def spacing(self) -> float:
        return self.surface.spacing

    @property
    def nodes(self) -> Array:
        return self.surface.nodes

    @property
    def cells(self) -> Index:
        """Node numbers ``(cells, 3)``, counter-clockwise seen from outside."""
        return self.surface.cells

    @property
    def node_count(self) -> int:
        return self.cell_count // 2 + 2

    @property
    def cell_count(self) -> int:
        return int(20 * self.frequency**2 * 4**self.level)

    @cached_property
    def surface(self) -> Triangulation:
        """The nodes and triangles."""
        nodes, cells = _divided(*_icosahedron(), self.frequency)
        for _ in range(self.level):
            nodes, cells = _cut(nodes, cells)
        return Triangulation(self.manifold, nodes, cells)

    def locate(self, points: Array) -> tuple[Index, Array]:
        """The triangle that the ray through each point meets."""
        return self.surface.locate(points)

    def around(self, points: Array) -> tuple[Array, Array]:
        """See `Grid`: from the triangle of level 0 the one that contains a point is cut in four."""
        base = replace(self, level=0)
        found = base.nodes[base.locate(points)[0]]
        for _ in range(self.level):
            found = _quarter(found, points)
        shares = np.linalg.solve(np.swapaxes(found, 1, 2), points[..., None])[..., 0]
        return found, shares / shares.sum(axis=1, keepdims=True)

    def between(self, corners: Index, shares: Array) -> Array:
        return self.surface.between(corners, shares)

    def stretch(self, corners: Index, shares: Array) -> Array:
        return self.surface.stretch(corners, shares)

    @property
    def below(self) -> Icosphere | None:
        return replace(self, level=self.level - 1) if self.level else None

    def part(self, rank: int, size: int) -> Part:
        return IcospherePart.of(self, rank, size)

    def coarser(self) -> Nesting | None:
        """The grid of the level below; a node is one of its nodes or halves one of its edges."""
        if (coarse := self.below) is None:
            return None
        old = np.arange(len(coarse.nodes))
        first, second = np.divmod(edges_of(coarse.cells, len(old))[0], len(old))
        ends = np.column_stack([np.append(old, first), np.append(old, second)])
        return Nesting(coarse, ends, np.full(ends.shape, 0.5), old)


def _icosahedron() -> tuple[Array, Index]:
    """Nodes, two poles and two rings of five that are rotated by pi / 5; and outward triangles."""
    ring = 2 * np.pi * np.arange(5) / 5
    z, r = 1 / math.sqrt(5), 2 / math.sqrt(5)
    up = np.column_stack([r * np.cos(ring), r * np.sin(ring), np.full(5, z)])
    down = np.column_stack([r * np.cos(ring + np.pi / 5), r * np.sin(ring + np.pi / 5), -up[:, 2]])
    nodes = np.vstack([[[0, 0, 1]], up, down, [[0, 0, -1]]])
    k = np.arange(5)
    a, b, c, d = 1 + k, 1 + (k + 1) % 5, 6 + k, 6 + (k + 1) % 5
    pole = np.zeros(5, dtype=np.int64)
    triples = ((pole, a, b), (a, c, b), (c, d, b), (pole + 11, d, c))
    return nodes, np.concatenate([np.column_stack(t) for t in triples])


def _divided(nodes: Array, cells: Index, f: int) -> tuple[Array, Index]:
    """Cut every edge in ``f`` equal parts and every triangle in f^2, triangle by triangle."""
    place = [(i, j) for i in range(f + 1) for j in range(f + 1 - i)]
    number = {pair: n for n, pair in enumerate(place)}
    up = [[(i, j), (i + 1, j), (i, j + 1)] for i, j in place if i + j < f]
    down = [[(i + 1, j), (i + 1, j + 1), (i, j + 1)] for i, j in place if i + j < f - 1]
    inside = np.array([[number[pair] for pair in corners] for corners in up + down])
    shares = np.array([(f - i - j, i, j) for i, j in place]) / f
    points = np.vstack([nodes, np.einsum("nk,ckx->cnx", shares, nodes[cells]).reshape(-1, 3)])
    _, first, same = np.unique(points.round(9), axis=0, return_index=True, return_inverse=True)
    kept, same = np.sort(first), np.argsort(np.argsort(first))[same]
    corners = same[len(nodes) :].reshape(len(cells), -1)[:, inside].reshape(-1, 3)
    new = points[kept[len(nodes) :]]
    return np.vstack([nodes, new / np.linalg.norm(new, axis=1, keepdims=True)]), corners


def _quarter(corners: Array, points: Array) -> Array:
    """The corners ``(m, 3, 3)`` of the triangle of `_cut` that contains each point ``(m, 3)``."""
    a, b, c = np.moveaxis(corners, 1, 0)
    p, q, r = (x + y for x, y in ((b, c), (c, a), (a, b)))
    p, q, r = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (p, q, r))
    at = [np.einsum("na,na->n", points, np.cross(x, y)) < 0 for x, y in ((q, r), (r, p), (p, q))]
    choice = np.select(at, [0, 1, 2], 3)
    children = np.stack([[a, r, q], [r, b, p], [q, p, c], [p, q, r]])  # (4, 3, m, 3)
    return np.asarray(np.moveaxis(children, 2, 0)[np.arange(len(points)), choice])


def _cut(nodes: Array, cells: Index) -> tuple[Array, Index]:
    """Cut every triangle in four at the projected midpoints of its edges."""
    key, number = edges_of(cells, len(nodes))
    middle = nodes[key // len(nodes)] + nodes[key % len(nodes)]
    middle /= np.linalg.norm(middle, axis=1, keepdims=True)
    (a, b, c), (p, q, r) = cells.T, len(nodes) + number.T
    triples = ((a, r, q), (r, b, p), (q, p, c), (p, q, r))
    return np.vstack([nodes, middle]), np.concatenate([np.column_stack(t) for t in triples])
