"""The built-in mesh of the circle and of flat tori: simplices of a periodic lattice."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from uf_diffusion.core.arrays import Array, Index
from uf_diffusion.core.errors import InputError
from uf_diffusion.grids.base import Coarsened, Interpolating, Nesting
from uf_diffusion.problem.manifolds import Circle, FlatTorus

__all__ = ["Lattice", "LatticePart"]


@dataclass(frozen=True)
class Lattice(Interpolating):
    """Kuhn's simplices of a periodic lattice, for the circle and flat tori of any dimension.

    The chart is the box [-L/2, L/2)^dim, where L is the length of an axis (2 pi on the circle). No
    angle is obtuse, and the nodes are among those of the lattice with ``2 * per_axis``.

    Attributes:
        manifold: a `Circle` or `FlatTorus`.
        per_axis: number of boxes along each axis, at least 3.

    Raises:
        InputError: for fewer boxes.
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
        """The length of an axis, in the manifold's unit of length."""
        return self.manifold.axes[0].length

    @property
    def spacing(self) -> float:
        return math.sqrt(self.dim) * self.axis / self.per_axis

    @property
    def shape(self) -> tuple[int, ...]:
        """The number of nodes along each axis."""
        return (self.per_axis,) * self.dim

    @property
    def node_count(self) -> int:
        return int(self.per_axis**self.dim)

    @property
    def cell_count(self) -> int:
        return int(math.factorial(self.dim) * self.per_axis**self.dim)

    def corners(self, boxes: Index) -> Index:
        """Lattice coordinates ``(m, dim!, dim + 1, dim)`` of the corners of all cells in boxes.

        The simplices of a box are the monotone paths from its first to its last corner. The
        coordinates are not wrapped: they are up to ``per_axis``, which stands for 0.

        Args:
            boxes: the lattice coordinates of the first corners of the boxes, ``(m, dim)``.
        """
        orders = np.array(list(itertools.permutations(range(self.dim))))
        path = np.zeros((len(orders), self.dim + 1, self.dim), dtype=np.int64)
        for k in range(self.dim):
            path[:, k + 1] = path[:, k]
            path[np.arange(len(orders)), k + 1, orders[:, k]] = 1
        return np.asarray(boxes[:, None, None, :] + path)

    def chart(self, lattice: Array | Index) -> Array:
        """Chart coordinates ``(..., dim)`` of lattice coordinates."""
        return np.asarray(lattice, dtype=float) * (self.axis / self.per_axis) - self.axis / 2

    @cached_property
    def nodes(self) -> Array:
        return self.nodes_at(np.arange(self.node_count))

    def nodes_at(self, numbers: Index) -> Array:
        """The nodes ``(m, ambient)`` with numbers ``(m,)``."""
        lattice = np.stack(np.unravel_index(numbers, self.shape), axis=-1)
        return np.asarray(self.manifold.unchart(self.chart(lattice)))

    @property
    def cells(self) -> Index:
        return self.part(0, 1).cells

    @property
    def below(self) -> Lattice | None:
        if self.per_axis % 2 or self.per_axis < 6:
            return None
        return Lattice(self.manifold, self.per_axis // 2)

    def part(self, rank: int, size: int) -> LatticePart:
        return LatticePart(self, rank, size)

    def number(self, lattice: Index) -> Index:
        """The numbers ``(...)`` of the nodes with lattice coordinates ``(..., dim)``."""
        wrapped = np.moveaxis(lattice % self.per_axis, -1, 0)
        return np.asarray(np.ravel_multi_index(tuple(wrapped), self.shape))

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

    def around(self, points: Array) -> tuple[Array, Array]:
        corners, shares = self.locate(points)
        return self.nodes_at(corners.ravel()).reshape(*corners.shape, -1), shares

    def between(self, corners: Index, shares: Array) -> Array:
        chart = self.manifold.chart(self.nodes)[corners]
        chart -= self.axis * np.rint((chart - chart[:, :1]) / self.axis)
        return np.asarray(self.manifold.unchart(np.einsum("nk,nka->na", shares, chart)))

    def coarser(self) -> Nesting | None:
        """The lattice of half as many boxes an axis, for an even number of at least 6."""
        found = self.part(0, 1).coarsened(np.arange(self.node_count))
        if found is None:
            return None
        place = np.flatnonzero(found.same >= 0)
        return Nesting(found.part.grid, found.parents, found.shares, place)


@dataclass(frozen=True, eq=False)
class LatticePart:
    """A block of boxes of a lattice; whatever belongs to a node is computed from its number.

    Attributes:
        grid: the lattice.
        rank, size: the rank that has the block, and the number of blocks.
    """

    grid: Lattice
    rank: int
    size: int
    compact = True

    @property
    def corners(self) -> Index:
        """Lattice coordinates ``(m, dim + 1, dim)`` of the cells' corners, not wrapped.

        They are not kept, since they would be a tenth of the memory that DOLFINx needs.
        """
        blocks = _divided(self.size, self.grid.dim)
        place = np.unravel_index(self.rank, blocks)
        ranges = [
            np.arange(k * self.grid.per_axis // parts, (k + 1) * self.grid.per_axis // parts)
            for k, parts in zip(place, blocks, strict=True)
        ]
        boxes = np.stack(np.meshgrid(*ranges, indexing="ij"), axis=-1)
        found = self.grid.corners(boxes.reshape(-1, self.grid.dim))
        return found.reshape(-1, *found.shape[2:])

    @property
    def cells(self) -> Index:
        return self.grid.number(self.corners)

    def nodes_at(self, numbers: Index) -> Array:
        return self.grid.nodes_at(numbers)

    def holds(self, numbers: Index) -> bool:
        return True

    def coarsened(self, numbers: Index) -> Coarsened | None:
        fine = self.grid
        if (coarse := fine.below) is None:
            return None
        x = np.stack(np.unravel_index(numbers, fine.shape), axis=-1)
        parents = np.column_stack([coarse.number(end) for end in (x // 2, (x + 1) // 2)])
        same = np.where((x % 2 == 0).all(axis=1), parents[:, 0], -1)
        part = LatticePart(coarse, self.rank, self.size)
        return Coarsened(part, parents, np.full(parents.shape, 0.5), same)


def _divided(size: int, dim: int) -> tuple[int, ...]:
    """Numbers of blocks along the axes whose product is ``size``, as equal as possible."""
    blocks, left, prime = [1] * dim, size, 2
    primes = []
    while left > 1:
        while left % prime == 0:
            primes.append(prime)
            left //= prime
        prime += 1
    for factor in reversed(primes):
        blocks[blocks.index(min(blocks))] *= factor
    return tuple(blocks)
