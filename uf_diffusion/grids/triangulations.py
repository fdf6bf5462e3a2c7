"""Triangulations of the unit sphere, and linear interpolation on them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.spatial import cKDTree

from uf_diffusion.core.arguments import reals
from uf_diffusion.core.arrays import Array, Index
from uf_diffusion.core.errors import InputError
from uf_diffusion.grids.base import Interpolating
from uf_diffusion.problem.manifolds import Sphere

__all__ = ["Triangulation"]


@dataclass(frozen=True, eq=False)
class Triangulation(Interpolating):
    """Flat triangles with their corners on the unit sphere S^2.

    Values at a point are interpolated linearly in the triangle that the ray from the centre through
    the point meets. Only the shapes of the arrays are checked here; `inspect_mesh` finds whether
    the triangles form a sphere.

    Attributes:
        manifold: the sphere of dimension 2.
        nodes: points ``(n, 3)``.
        cells: node numbers ``(m, 3)``, counter-clockwise seen from outside.

    Raises:
        InputError: for arrays of other shapes, coordinates that are not finite, or numbers of
            nodes that do not exist.
    """

    manifold: Sphere
    nodes: Array
    cells: Index
    built_in = False

    def __post_init__(self) -> None:
        nodes, cells = reals("Coordinates", self.nodes), reals("Corners", self.cells)
        if self.manifold.dim != 2 or nodes.shape != (len(nodes), 3):
            raise InputError("A triangulation is of the sphere S^2 and has nodes in space.")
        if not len(cells) or cells.shape != (len(cells), 3):
            raise InputError("A triangulation needs triangles of three corners each.")
        if not ((cells >= 0) & (cells < len(nodes)) & (cells == np.rint(cells))).all():
            raise InputError("A triangle has a corner that is none of the nodes.")
        object.__setattr__(self, "nodes", nodes)
        object.__setattr__(self, "cells", cells.astype(np.int64))

    @cached_property
    def spacing(self) -> float:
        """The length of the longest edge; the radius is 1."""
        corners = self.nodes[self.cells]
        return float(np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=2).max())

    @property
    def node_count(self) -> int:
        return len(self.nodes)

    @property
    def cell_count(self) -> int:
        return len(self.cells)

    @cached_property
    def _centres(self) -> cKDTree:
        return cKDTree(self.manifold.project(self.nodes[self.cells].mean(axis=1)))

    def coarser(self) -> None:
        """None: there is no hierarchy of coarser grids."""

    def between(self, corners: Index, shares: Array) -> Array:
        points = np.einsum("nk,nka->na", shares, self.nodes[corners])
        return np.asarray(self.manifold.project(points))

    def stretch(self, corners: Index, shares: Array) -> Array:
        """Twice the solid angle by the share of a triangle's area: the determinant over |x|^3."""
        flat = np.einsum("nk,nka->na", shares, self.nodes[corners])
        return np.asarray(np.linalg.det(self.nodes[corners]) / np.linalg.norm(flat, axis=1) ** 3)

    def locate(self, points: Array) -> tuple[Index, Array]:
        """The corners of the triangles that the rays through points ``(k, 3)`` meet, and the
        points' barycentric coordinates there, both ``(k, 3)``.
        """
        count = min(4, len(self.cells))
        cell, weights = self._best_of(points, count)
        # if the sizes of triangles vary much, the right one may not be among the nearest centres
        while count < len(self.cells) and (lost := weights.min(axis=1) < -1e-9).any():
            count = min(4 * count, len(self.cells))
            parts = math.ceil(np.count_nonzero(lost) * count / 2**18)
            found = [self._best_of(p, count) for p in np.array_split(points[lost], parts)]
            cell[lost] = np.concatenate([c for c, _ in found])
            weights[lost] = np.concatenate([w for _, w in found])
        weights /= weights.sum(axis=1, keepdims=True)
        return self.cells[cell], weights

    def _best_of(self, points: Array, count: int) -> tuple[Index, Array]:
        """The cell ``(k,)`` in which a point's smallest weight is largest, and the weights there.

        The weights in a cell are those for which the point is the sum of weights times corners. All
        are non-negative only in the cell that the ray meets (all are negative in the opposite one).
        Only the ``count`` cells with the nearest centres are considered.
        """
        near = self._centres.query(points, k=[*range(1, count + 1)])[1]
        corners = self.nodes[self.cells[near]]  # (k, count, 3 corners, 3)
        rhs = np.broadcast_to(points[:, None, :, None], (*near.shape, 3, 1))
        weights = np.linalg.solve(np.swapaxes(corners, 2, 3), rhs)[..., 0]
        best = np.argmax(weights.min(axis=2), axis=1)
        row = np.arange(len(points))
        return near[row, best], weights[row, best]
