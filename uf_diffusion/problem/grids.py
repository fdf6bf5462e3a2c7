"""Nodes and cells of the built-in meshes, and P1 interpolation on them, in numpy alone.

A grid is deterministic: it can be rebuilt anywhere from its few numbers, so values at its nodes
(in its own numbering) mean the same on any number of ranks and without DOLFINx.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from uf_diffusion.errors import InputError
from uf_diffusion.problem.manifolds import Array, Circle, FlatTorus, Manifold, Sphere
from uf_diffusion.problem.triangulations import Index, Triangulation

__all__ = ["Grid", "Icosphere", "Index", "Lattice", "grid_on"]


class Grid(Protocol):
    """A simplicial mesh of a manifold."""

    @property
    def nodes(self) -> Array:
        """``(n, ambient)`` points on the manifold."""
        ...

    @property
    def spacing(self) -> float:
        """Longest edge, in the manifold's unit of length."""
        ...

    def interpolate(self, values: Array, points: Array) -> Array:
        """P1 interpolation of nodal values ``(n,)`` at points ``(m, ambient)``."""
        ...


@dataclass(frozen=True)
class Lattice:
    """Kuhn's simplices on a periodic lattice: circle and flat tori of any dimension.

    The chart is the box [-L/2, L/2)^dim, L the length of an axis (2 pi on the circle). No angle is
    obtuse, and the lattice of ``2 * per_axis`` contains this one.

    Attributes:
        manifold: `Circle` or `FlatTorus`.
        per_axis: cells along each axis, at least 3.
    """

    manifold: Circle | FlatTorus
    per_axis: int

    def __post_init__(self) -> None:
        if self.per_axis < 3:
            raise InputError(f"A periodic mesh needs 3 cells an axis, not {self.per_axis}.")

    @property
    def dim(self) -> int:
        return self.manifold.dim

    @property
    def axis(self) -> float:
        """Length of an axis."""
        return self.manifold.axes[0].length

    @property
    def spacing(self) -> float:
        return math.sqrt(self.dim) * self.axis / self.per_axis

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.per_axis,) * self.dim

    @property
    def cell_count(self) -> int:
        return int(math.factorial(self.dim) * self.per_axis**self.dim)

    def corners(self, start: int, stop: int) -> Index:
        """Lattice coordinates ``(stop - start, dim + 1, dim)`` of the corners of some cells.

        Every box is cut along the paths from its first to its last corner; coordinates reach
        ``per_axis`` at the seam and are periodic there.
        """
        orders = np.array(list(itertools.permutations(range(self.dim))))
        path = np.zeros((len(orders), self.dim + 1, self.dim), dtype=np.int64)
        for k in range(self.dim):
            path[:, k + 1] = path[:, k]
            path[np.arange(len(orders)), k + 1, orders[:, k]] = 1
        cell = np.arange(start, stop, dtype=np.int64)
        box = np.stack(np.unravel_index(cell // len(orders), self.shape), axis=-1)
        return np.asarray(box[:, None, :] + path[cell % len(orders)])

    def chart(self, lattice: Array | Index) -> Array:
        """Chart coordinates ``(..., dim)`` of lattice coordinates."""
        return np.asarray(lattice, dtype=float) * (self.axis / self.per_axis) - self.axis / 2

    @cached_property
    def nodes(self) -> Array:
        lattice = np.indices(self.shape).reshape(self.dim, -1).T
        return np.asarray(self.manifold.unchart(self.chart(lattice)))

    def interpolate(self, values: Array, points: Array) -> Array:
        scaled = (self.manifold.chart(points) / self.axis + 0.5) * self.per_axis
        corner = np.floor(scaled).astype(np.int64)
        fraction = scaled - corner
        order = np.argsort(-fraction, axis=1)
        steps = np.take_along_axis(fraction, order, axis=1)
        bounds = np.hstack([np.ones((len(points), 1)), steps, np.zeros((len(points), 1))])
        result = np.zeros(len(points))
        for k in range(self.dim + 1):
            node = np.ravel_multi_index(tuple((corner % self.per_axis).T), self.shape)
            result += (bounds[:, k] - bounds[:, k + 1]) * values[node]
            if k < self.dim:
                corner[np.arange(len(points)), order[:, k]] += 1
        return result


@dataclass(frozen=True)
class Icosphere:
    """The icosahedron, ``level`` times cut 4:1 with the new nodes pushed onto the unit sphere.

    All triangles are acute, and the nodes of a level are the first nodes of the next.
    """

    manifold: Sphere
    level: int

    @property
    def spacing(self) -> float:
        return self.surface.spacing

    @property
    def nodes(self) -> Array:
        return self.surface.nodes

    @property
    def cells(self) -> Index:
        """``(20 * 4^level, 3)`` node numbers, counter-clockwise seen from outside."""
        return self.surface.cells

    @cached_property
    def surface(self) -> Triangulation:
        """The nodes and triangles."""
        nodes, cells = _icosahedron()
        for _ in range(self.level):
            nodes, cells = _cut(nodes, cells)
        return Triangulation(self.manifold, nodes, cells)

    def interpolate(self, values: Array, points: Array) -> Array:
        return self.surface.interpolate(values, points)


def grid_on(manifold: Manifold, cells: int) -> Lattice | Icosphere:
    """The coarsest built-in grid with at least ``cells`` cells.

    Raises:
        InputError: for a manifold without built-in mesh.
    """
    if cells < 1:
        raise InputError(f"diffusion.cells must be positive, not {cells}.")
    if isinstance(manifold, Circle | FlatTorus):
        if manifold.dim > 3:
            raise InputError("The PDE is solved on tori of dimension 1, 2 and 3.")
        per_axis = (cells / math.factorial(manifold.dim)) ** (1 / manifold.dim)
        return Lattice(manifold, max(3, math.ceil(per_axis - 1e-9)))
    if isinstance(manifold, Sphere) and manifold.dim == 2:
        return Icosphere(manifold, max(0, math.ceil(math.log(cells / 20, 4) - 1e-9)))
    raise InputError("The PDE is solved on the circle, the sphere of dimension 2 and flat tori.")


def _icosahedron() -> tuple[Array, Index]:
    """Nodes: two poles and two rings of five, turned against each other; outward triangles."""
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


def _cut(nodes: Array, cells: Index) -> tuple[Array, Index]:
    """Cut every triangle in four at the projected midpoints of its edges."""
    ends = np.sort(cells[:, [[1, 2], [2, 0], [0, 1]]], axis=2).reshape(-1, 2)
    key, number = np.unique(ends[:, 0] * len(nodes) + ends[:, 1], return_inverse=True)
    middle = nodes[key // len(nodes)] + nodes[key % len(nodes)]
    middle /= np.linalg.norm(middle, axis=1, keepdims=True)
    (a, b, c), (p, q, r) = cells.T, len(nodes) + number.reshape(-1, 3).T
    triples = ((a, r, q), (r, b, p), (q, p, c), (p, q, r))
    return np.vstack([nodes, middle]), np.concatenate([np.column_stack(t) for t in triples])
