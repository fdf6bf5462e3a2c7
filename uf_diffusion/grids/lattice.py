"""The built-in mesh of the circle and of flat tori: simplices of a periodic lattice."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from uf_diffusion.core.arrays import Array, Index
from uf_diffusion.core.errors import InputError
from uf_diffusion.grids.base import Interpolating, Nesting
from uf_diffusion.problem.manifolds import Circle, FlatTorus

__all__ = ["Lattice"]


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

    def corners(self, start: int, stop: int) -> Index:
        """Lattice coordinates ``(stop - start, dim + 1, dim)`` of the corners of a range of cells.

        The simplices of a box are the monotone paths from its first to its last corner. The
        coordinates are not wrapped: they are up to ``per_axis``, which stands for 0.
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

    def between(self, corners: Index, shares: Array) -> Array:
        chart = self.manifold.chart(self.nodes)[corners]
        chart -= self.axis * np.rint((chart - chart[:, :1]) / self.axis)
        return np.asarray(self.manifold.unchart(np.einsum("nk,nka->na", shares, chart)))

    def coarser(self) -> Nesting | None:
        """The lattice of half as many boxes an axis, for an even number of at least 6."""
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
