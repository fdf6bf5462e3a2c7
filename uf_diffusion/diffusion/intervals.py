"""The finite-element space of a mesh in one dimension, by numpy alone.

A mesh is a ring of cells, or an interval, which is a ring whose last cell conducts nothing. Every
rank knows the whole mesh, and owns a range of its nodes in their order along the ring.
"""

from __future__ import annotations

from mpi4py import MPI

from functools import cache, cached_property
from itertools import combinations

import numpy as np
from dolfinx import fem
from numpy.polynomial import legendre
from petsc4py import PETSc
from scipy import sparse

from uf_diffusion.core.arrays import Array, Index
from uf_diffusion.diffusion.chain import Chain, Conductances
from uf_diffusion.diffusion.gathering import Gathering
from uf_diffusion.diffusion.meshes import space_on
from uf_diffusion.grids.base import Grid
from uf_diffusion.grids.elements import lumped_element

__all__ = ["Intervals"]


class Intervals:
    """A `Space` in one dimension.

    Args:
        grid: the mesh, of at least three cells.
        comm: the ranks.

    Attributes:
        node: the grid's number of each node that this rank owns, ``(owned,)``.
    """

    def __init__(self, grid: Grid, comm: MPI.Comm) -> None:
        self._grid, self._comm = grid, comm
        place = grid.manifold.chart(grid.nodes)[:, 0]
        along, cells = np.argsort(place, kind="stable"), grid.cells
        corners = np.unique(cells)
        if len(corners) < len(along):
            is_corner = np.zeros(len(along), dtype=bool)
            is_corner[corners] = True
            along = np.roll(along, -int(np.argmax(is_corner[along])))
        self._along, self._closed = along, len(cells) == len(corners)
        n, p = len(along), grid.degree
        self._shape = n // p, p  # one row for each cell, from its left corner on
        self._own = slice(comm.rank * n // comm.size, (comm.rank + 1) * n // comm.size)
        self.node = along[self._own]
        start = place[along[::p]]
        gap = start[0] + grid.manifold.volume - start[-1] if self._closed else np.inf
        self._length = np.append(np.diff(start), gap)

    @property
    def points(self) -> Array:
        return np.asarray(self._grid.nodes[self.node])

    @property
    def volumes(self) -> Array:
        if self._grid.volumes is not None:
            return self._grid.volumes[self.node]
        weights = _element(self._grid.degree)[1]
        shares = self._length[:, None] * weights
        shares[:, 0] += np.roll(shares[:, -1], 1)
        return shares[:, :-1].ravel()[self._own]

    def chain(self, teacher: Array) -> Chain:
        nu = teacher
        if self._comm.size > 1:
            nu = np.concatenate(self._comm.allgather(teacher))
        return Chain(self._conductances(nu.reshape(self._shape).T), self._own, self._comm)

    def stiffness(self, teacher: Array) -> PETSc.Mat:
        K = self.chain(teacher).conductances
        m, p = self._shape
        number = np.vstack([np.arange(m * p).reshape(m, p).T, np.arange(p, m * p + p, p) % (m * p)])
        first, second, diagonal = number[K.first], number[K.second], number[:-1]
        every = sparse.coo_array(
            (
                np.concatenate([-K.between, -K.between, K.total]).ravel(),
                (
                    np.concatenate([first, second, diagonal]).ravel(),
                    np.concatenate([second, first, diagonal]).ravel(),
                ),
            ),
            shape=(m * p, m * p),
        ).tocsr()
        every.eliminate_zeros()
        own = every[self._own]
        size = len(self.node), m * p
        return PETSc.Mat().createAIJ(
            size=(size, size),
            csr=(own.indptr.astype(PETSc.IntType), own.indices.astype(PETSc.IntType), own.data),
            comm=self._comm,
        )

    def _conductances(self, nu: Array) -> Conductances:
        """The matrix K for the teacher at the nodes of the cells, ``(p, m)``.

        As in `uf_diffusion.diffusion.forms`, nu is interpolated linearly at degree 1. At higher
        degrees, and where cells stand for rings, it is the exponential of the interpolated log nu.
        """
        p, m = nu.shape
        ends = np.vstack([nu, np.roll(nu[:1], -1, axis=1)])
        if p > 1:
            values, products = _gauss(p)
            between = -products @ (np.exp(values @ np.log(ends)) / self._length)
        elif (sections := self._grid.sections) is not None:
            steep = np.sqrt(ends[:1] * ends[1:]) / self._length
            between = steep * np.append(sections, np.zeros(m - len(sections)))
        else:
            between = (ends[:1] + ends[1:]) / 2 / self._length
        first, second = np.array(list(combinations(range(p + 1), 2))).T
        total = np.zeros((p + 1, m))
        np.add.at(total, first, between)
        np.add.at(total, second, between)
        total[0] += np.roll(total[p], 1)
        return Conductances(between, first.copy(), second.copy(), total[:p].copy())

    @cached_property
    def _dolfinx(self) -> tuple[fem.FunctionSpace, Index]:
        return space_on(self._grid, self._comm)

    def function(self, values: Array) -> fem.Function:
        V, number = self._dolfinx
        everywhere = Gathering(self.node, len(self._along), self._comm).everywhere(values)
        u = fem.Function(V)
        u.x.array[: len(number)] = everywhere[number]
        u.x.scatter_forward()
        return u


@cache
def _element(p: int) -> tuple[Array, Array]:
    """The nodes of the element of degree p from 0 to 1, and their weights, ``(p + 1,)`` each."""
    element = lumped_element(1, p)
    order = np.argsort(element.nodes[:, 1])
    return element.nodes[order, 1], element.weights[order]


@cache
def _gauss(p: int) -> tuple[Array, Array]:
    """Gauss's rule for int nu w' v' on a cell of length 1.

    Returns:
        The basis functions at its points, ``(points, p + 1)``, and for each pair of them the
        products of the slopes and the weight, ``(pairs, points)``.
    """
    points, weights = legendre.leggauss((3 * p + 2) // 2)
    fit = np.linalg.inv(legendre.legvander(2 * _element(p)[0] - 1, p))
    values = legendre.legvander(points, p) @ fit
    slopes = legendre.legvander(points, p - 1) @ legendre.legder(fit, scl=2)
    products = [slopes[:, a] * slopes[:, b] for a, b in combinations(range(p + 1), 2)]
    return values, np.array(products) * (weights / 2)
