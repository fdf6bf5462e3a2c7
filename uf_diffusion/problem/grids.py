"""Nodes and cells of the built-in meshes, and P1 interpolation on them, in numpy alone.

A grid is deterministic: it can be rebuilt anywhere from its few numbers, so values at its nodes
(in its own numbering) mean the same on any number of ranks and without DOLFINx.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from uf_diffusion.errors import InputError
from uf_diffusion.problem.arguments import whole_number
from uf_diffusion.problem.elements import LumpedElement, lumped_element
from uf_diffusion.problem.manifolds import Array, Circle, FlatTorus, Manifold, Sphere
from uf_diffusion.problem.triangulations import Index, Triangulation

__all__ = ["Curved", "Grid", "Icosphere", "Index", "Lattice", "Nesting", "grid_on", "with_degree"]


class Grid(Protocol):
    """A simplicial mesh of a manifold."""

    @property
    def manifold(self) -> Any: ...
    @property
    def nodes(self) -> Array:
        """``(n, ambient)`` points on the manifold."""
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

    def interpolate(self, values: Array, points: Array) -> Array:
        """Interpolation of nodal values ``(n,)`` at points ``(m, ambient)``."""
        ...

    def coarser(self) -> Nesting | None:
        """The next coarser grid of a hierarchy, if there is one."""
        ...


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
    def node_count(self) -> int:
        return int(self.per_axis**self.dim)

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

    @property
    def cells(self) -> Index:
        corners = self.corners(0, self.cell_count) % self.per_axis
        return np.asarray(np.ravel_multi_index(tuple(np.moveaxis(corners, -1, 0)), self.shape))

    def locate(self, points: Array) -> tuple[Index, Array]:
        scaled = (self.manifold.chart(points) / self.axis + 0.5) * self.per_axis
        corner = np.floor(scaled).astype(np.int64)
        fraction = scaled - corner
        order = np.argsort(-fraction, axis=1)
        steps = np.take_along_axis(fraction, order, axis=1)
        bounds = np.hstack([np.ones((len(points), 1)), steps, np.zeros((len(points), 1))])
        nodes = []
        for k in range(self.dim + 1):
            nodes.append(np.ravel_multi_index(tuple((corner % self.per_axis).T), self.shape))
            if k < self.dim:
                corner[np.arange(len(points)), order[:, k]] += 1
        return np.column_stack(nodes), -np.diff(bounds, axis=1)

    def interpolate(self, values: Array, points: Array) -> Array:
        return _linear(values, *self.locate(points))

    def coarser(self) -> Nesting | None:
        """The lattice of half as many cells an axis: a node halves an edge or stays."""
        if self.per_axis % 2 or self.per_axis < 6:
            return None
        coarse = Lattice(self.manifold, self.per_axis // 2)
        x = np.indices(self.shape).reshape(self.dim, -1)
        ends = [
            np.ravel_multi_index(tuple(end % coarse.per_axis), coarse.shape)
            for end in (x // 2, (x + 1) // 2)
        ]
        here = 2 * np.indices(coarse.shape).reshape(self.dim, -1)
        place = np.asarray(np.ravel_multi_index(tuple(here), self.shape))
        parents = np.column_stack(ends)
        return Nesting(coarse, parents, np.full(parents.shape, 0.5), place)


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

    @property
    def node_count(self) -> int:
        return int(10 * 4**self.level + 2)

    @property
    def cell_count(self) -> int:
        return int(20 * 4**self.level)

    @cached_property
    def surface(self) -> Triangulation:
        """The nodes and triangles."""
        nodes, cells = _icosahedron()
        for _ in range(self.level):
            nodes, cells = _cut(nodes, cells)
        return Triangulation(self.manifold, nodes, cells)

    def locate(self, points: Array) -> tuple[Index, Array]:
        """The triangle that the ray through each point meets."""
        return self.surface.locate(points)

    def interpolate(self, values: Array, points: Array) -> Array:
        return self.surface.interpolate(values, points)

    def coarser(self) -> Nesting | None:
        """The level below: a node is one of its nodes or halves one of its edges."""
        if self.level == 0:
            return None
        coarse = Icosphere(self.manifold, self.level - 1)
        old = np.arange(len(coarse.nodes))
        first, second = np.divmod(_edges(coarse.cells, len(old))[0], len(old))
        ends = np.column_stack([np.append(old, first), np.append(old, second)])
        return Nesting(coarse, ends, np.full(ends.shape, 0.5), old)


@dataclass(frozen=True)
class Curved:
    """A grid with the nodes of a lumped element of higher degree: first those of the base.

    The nodes inside an edge, face or cell are numbered by its sorted corners, so the numbers are
    the same wherever the grid is rebuilt.

    Attributes:
        base: the grid of the corners.
        degree: of the element, 2 or 3.
    """

    base: Grid
    degree: int

    @property
    def manifold(self) -> Manifold:
        manifold: Manifold = self.base.manifold
        return manifold

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
        # edges, faces and cells of closed manifolds: every facet is in two cells, and in three
        # dimensions Euler's characteristic is 0
        parts = {1: [cells], 2: [3 * cells // 2, cells], 3: [vertices + cells, 2 * cells, cells]}
        inside = [self._inside(corners) for corners in range(2, dim + 2)]
        return vertices + sum(n * k for n, k in zip(parts[dim], inside, strict=True))

    @property
    def element(self) -> LumpedElement:
        return lumped_element(self.manifold.dim, self.degree)

    @cached_property
    def _parts(self) -> dict[int, Index]:
        """By the number of their corners, the sorted keys of all edges, faces and cells."""
        cells, count = self.base.cells, len(self.base.nodes)
        sizes = set((self.element.nodes > 0).sum(axis=1)) - {1}
        if count ** max(sizes) >= 2**63:
            raise InputError(f"diffusion.degree = {self.degree}: so many cells need degree 1.")
        return {
            int(n): np.unique(
                np.concatenate(
                    [
                        _key(cells[:, c], count)
                        for c in itertools.combinations(range(cells.shape[1]), n)
                    ]
                )
            )
            for n in sizes
        }

    def numbers(self, corners: Index) -> Index:
        """The node numbers ``(m, element nodes)`` of cells given by their corners ``(m, dim + 1)``,
        in the order of ``element.nodes``.
        """
        return self.numbers_at(corners, self.element.nodes)

    def numbers_at(self, corners: Index, local: Array) -> Index:
        """The same for the element's nodes in another order."""
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
            which = _nearest(point[support][order], self._patterns(n))
            part = np.searchsorted(self._parts[n], _key(chosen, count))
            result[:, i] = start[n] + part * self._inside(n) + which
        return result

    def _patterns(self, n: int) -> Array:
        """The barycentric coordinates of the nodes inside a simplex of ``n`` corners."""
        nodes = self.element.nodes
        return nodes[(nodes[:, :n] > 0).all(axis=1) & (nodes[:, n:] == 0).all(axis=1), :n]

    def _inside(self, n: int) -> int:
        return len(self._patterns(n))

    @cached_property
    def _barycentric(self) -> tuple[Index, Array]:
        """For every node the corners of one of its cells, and its coordinates in it."""
        cells, local = self.base.cells, self.element.nodes
        numbers = self.numbers(cells)
        _, first = np.unique(numbers.ravel(), return_index=True)
        cell, i = np.divmod(first, len(local))
        return cells[cell], local[i]

    @cached_property
    def nodes(self) -> Array:
        corners, shares = self._barycentric
        manifold: Any = self.manifold
        if isinstance(manifold, Sphere) and manifold.dim == 2:
            points = np.einsum("nk,nka->na", shares, self.base.nodes[corners])
            return np.asarray(manifold.project(points))
        chart = manifold.chart(self.base.nodes)[corners]
        length = manifold.axes[0].length
        chart -= length * np.rint((chart - chart[:, :1]) / length)
        return np.asarray(manifold.unchart(np.einsum("nk,nka->na", shares, chart)))

    def locate(self, points: Array) -> tuple[Index, Array]:
        return self.base.locate(points)

    def interpolate(self, values: Array, points: Array) -> Array:
        corners, barycentric = self.locate(points)
        basis = self.element.basis(barycentric)
        return np.asarray((basis * values[self.numbers(corners)]).sum(axis=1))

    def coarser(self) -> Nesting | None:
        """The base, by linear interpolation."""
        return Nesting(self.base, *self._barycentric, np.arange(len(self.base.nodes)))


def _linear(values: Array, corners: Index, barycentric: Array) -> Array:
    return np.asarray((barycentric * values[corners]).sum(axis=1))


def _key(corners: Index, count: int) -> Index:
    """One number for each set of corners ``(m, n)``, whatever their order."""
    return np.asarray(np.sort(corners, axis=1) @ count ** np.arange(corners.shape[1])[::-1])


def _nearest(points: Array, patterns: Array) -> Index:
    distance = np.abs(points[:, None, :] - patterns[None]).max(axis=2)
    return np.asarray(np.argmin(distance, axis=1))


def _edges(cells: Index, count: int) -> tuple[Index, Index]:
    """The sorted keys of all edges of triangles, and the ``(cells, 3)`` number of each one's."""
    ends = cells[:, [[1, 2], [2, 0], [0, 1]]].reshape(-1, 2)
    key, number = np.unique(_key(ends, count), return_inverse=True)
    return key, number.reshape(-1, 3)


def grid_on(manifold: Manifold, cells: int, degree: int = 1) -> Grid:
    """The coarsest built-in grid with at least ``cells`` cells.

    In two and three dimensions only lattices are considered that can be halved until they are
    coarse, for multigrid.

    Raises:
        InputError: for a manifold without built-in mesh, or a degree without element there.
    """
    whole_number("diffusion.cells", cells, 1)
    return with_degree(_base(manifold, cells), degree)


def with_degree(grid: Grid, degree: int) -> Grid:
    """A grid with the nodes of the element of a degree.

    Raises:
        InputError: for a degree without element.
    """
    lumped_element(grid.manifold.dim, degree)
    return grid if degree == 1 else Curved(grid, degree)


def _base(manifold: Manifold, cells: int) -> Lattice | Icosphere:
    if isinstance(manifold, Circle | FlatTorus):
        if manifold.dim > 3:
            raise InputError("The PDE is solved on tori of dimension 1, 2 and 3.")
        per_axis = (cells / math.factorial(manifold.dim)) ** (1 / manifold.dim)
        wanted = max(3, math.ceil(per_axis - 1e-9))
        coarsest = {1: wanted, 2: 12, 3: 5}[manifold.dim]
        halvings = max(0, int(math.log2(wanted / coarsest)))
        return Lattice(manifold, -(-wanted // 2**halvings) * 2**halvings)
    if isinstance(manifold, Sphere) and manifold.dim == 2:
        return Icosphere(manifold, max(0, math.ceil(math.log(cells / 20, 4) - 1e-9)))
    raise InputError(
        "The PDE is solved on the circle, the sphere of dimension 2 and flat tori, "
        f"not on {manifold}."
    )


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
    key, number = _edges(cells, len(nodes))
    middle = nodes[key // len(nodes)] + nodes[key % len(nodes)]
    middle /= np.linalg.norm(middle, axis=1, keepdims=True)
    (a, b, c), (p, q, r) = cells.T, len(nodes) + number.T
    triples = ((a, r, q), (r, b, p), (q, p, c), (p, q, r))
    return np.vstack([nodes, middle]), np.concatenate([np.column_stack(t) for t in triples])
