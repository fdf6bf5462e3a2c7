"""Linear algebra in one dimension, in machine code: K w, and solutions with diag(d) + s K.

The mesh is a ring of m cells of degree p. Node 0 of a cell is its left corner, nodes 1 to p - 1 are
inside, and node p is the left corner of the next cell. Arrays of nodal values have shape
``(p, m)``: loops over the cells are innermost, and the compiler can work on several of them at
once. An interval is a ring whose last cell conducts nothing.

The nodes inside of all cells are eliminated first. What is left is a cyclic tridiagonal matrix for
the corners. It is solved along the open chain without corner 0, which is eliminated last.
"""

from __future__ import annotations

from mpi4py import MPI

from typing import NamedTuple

import numpy as np

from uf_diffusion.core.arrays import Array, Index
from uf_diffusion.core.compiled import vectorised

__all__ = ["Chain", "Conductances", "copy", "factorise", "product", "solve"]


class Conductances(NamedTuple):
    """The matrix K, as the conductances -K_ij between the nodes of the same cell.

    Attributes:
        between: ``(pairs, m)`` for each pair of nodes of a cell.
        first, second: ``(pairs,)`` the smaller and the larger node of each pair, from 0 to p.
        total: the diagonal of K, ``(p, m)``.
    """

    between: Array
    first: Index
    second: Index
    total: Array


class Chain:
    """The matrix K of a mesh in one dimension; every rank has all of it.

    Args:
        conductances: the matrix.
        own: the range of the nodes that this rank owns, in their order along the ring.
        comm: the ranks.
    """

    def __init__(self, conductances: Conductances, own: slice, comm: MPI.Comm) -> None:
        self.conductances, self._own, self._comm = conductances, own, comm

    def placed(self, values: Array) -> Array:
        """The values ``(p, m)`` of the whole mesh, from those at the owned nodes ``(owned,)``."""
        if self._comm.size > 1:
            values = np.concatenate(self._comm.allgather(values))
        p, m = self.conductances.total.shape
        return values.reshape(m, p).T.copy("C")

    def owned(self, placed: Array) -> Array:
        """The values ``(..., owned)`` at the owned nodes among those ``(..., p, m)`` of the whole
        mesh.
        """
        along = np.swapaxes(placed, -1, -2)
        return along.reshape(*placed.shape[:-2], -1)[..., self._own].copy()


@vectorised
def copy(values: Array, to: Array) -> None:
    """Copy values ``(p, m)``. A loop is compiled in a tenth of the time of an assignment."""
    for a in range(values.shape[0]):
        for c in range(values.shape[1]):
            to[a, c] = values[a, c]


@vectorised
def product(K: Conductances, w: Array, result: Array) -> None:
    """Put K w, the sum of the fluxes between the nodes, into ``result``, both ``(p, m)``."""
    p, m = w.shape
    result[:] = 0.0
    for k in range(len(K.first)):
        a, b = K.first[k], K.second[k]
        between, left, gain = K.between[k], w[a], result[a]
        if b < p:
            right, loss = w[b], result[b]
            for c in range(m):
                flux = between[c] * (right[c] - left[c])
                gain[c] -= flux
                loss[c] += flux
        else:
            right, loss = w[0], result[0]
            for c in range(m - 1):
                flux = between[c] * (right[c + 1] - left[c])
                gain[c] -= flux
                loss[c + 1] += flux
            flux = between[m - 1] * (right[0] - left[m - 1])
            gain[m - 1] -= flux
            loss[0] += flux


@vectorised
def factorise(K: Conductances, d: Array, s: float, factors: Array) -> None:
    """Factorise diag(d) + s K.

    Args:
        K: the matrix.
        d, s: the diagonal ``(p, m)``, positive, and a positive number.
        factors: receives the factors, ``(p + 1, p + 1, m)``: the inverse pivots on the diagonal,
            and the entries above it with which the other nodes are eliminated. Those of the last
            corner are the solution of the chain for the column of corner 0.
    """
    p, m = d.shape
    _assemble(K, d, s, factors)
    for j in range(1, p):
        _eliminate(factors, j)
    diagonal, reply = factors[0, 0], factors[p, p]
    diagonal[0] += reply[m - 1]
    for c in range(1, m):
        diagonal[c] += reply[c - 1]
    _factorise_ring(diagonal, factors[0, p], reply)


@vectorised
def solve(factors: Array, rhs: Array, x: Array, right: Array) -> None:
    """Solve a system whose matrix has been factorised.

    Args:
        factors: those of `factorise`.
        rhs: right-hand side, ``(p, m)``.
        x: receives the solution, ``(p, m)``.
        right: memory, ``(p + 1, m)``.
    """
    p, m = rhs.shape
    copy(rhs, right)
    right[p] = 0.0
    for j in range(1, p):
        own, pivot = right[j], factors[j, j]
        for i in range(j, p + 1):
            a = 0 if i == j else i
            left, f = factors[min(a, j), max(a, j)], right[a]
            for c in range(m):
                f[c] -= left[c] * pivot[c] * own[c]
    f, after = right[0], right[p]
    f[0] += after[m - 1]
    for c in range(1, m):
        f[c] += after[c - 1]
    _solve_ring(factors[0, 0], factors[0, p], factors[p, p], f, x[0])
    for j in range(p - 1, 0, -1):
        _find(factors, right, x, j)


@vectorised
def _assemble(K: Conductances, d: Array, s: float, matrix: Array) -> None:
    """The matrices of the cells, above the diagonals; what belongs to a corner is in the cell to
    its right.
    """
    p, m = d.shape
    for k in range(len(K.first)):
        between, entries = K.between[k], matrix[K.first[k], K.second[k]]
        for c in range(m):
            entries[c] = -s * between[c]
    for a in range(p):
        entries, total, own = matrix[a, a], K.total[a], d[a]
        for c in range(m):
            entries[c] = own[c] + s * total[c]
    matrix[p, p] = 0.0


@vectorised
def _eliminate(matrix: Array, j: int) -> None:
    """Eliminate node j of all cells from node 0 and from the nodes after j, and invert its pivot.

    ``matrix`` has the shape of the factors.
    """
    last, m = matrix.shape[0] - 1, matrix.shape[2]
    pivot = matrix[j, j]
    for c in range(m):
        pivot[c] = 1 / pivot[c]
    for i in range(j, last + 1):
        a = 0 if i == j else i
        left = matrix[min(a, j), max(a, j)]
        for k in range(i, last + 1):
            b = 0 if k == j else k
            above, entries = matrix[min(b, j), max(b, j)], matrix[a, b]
            for c in range(m):
                entries[c] -= left[c] * pivot[c] * above[c]


@vectorised
def _find(factors: Array, right: Array, x: Array, j: int) -> None:
    """The unknowns of node j of all cells, from those of the corners and of the nodes after j."""
    p, m = x.shape
    own, corner, f, pivot = x[j], x[0], right[j], factors[j, j]
    to_left, to_right = factors[0, j], factors[j, p]
    for c in range(m - 1):
        own[c] = f[c] - to_left[c] * corner[c] - to_right[c] * corner[c + 1]
    own[m - 1] = f[m - 1] - to_left[m - 1] * corner[m - 1] - to_right[m - 1] * corner[0]
    for b in range(j + 1, p):
        side, other = factors[j, b], x[b]
        for c in range(m):
            own[c] -= side[c] * other[c]
    for c in range(m):
        own[c] *= pivot[c]


@vectorised
def _factorise_ring(diagonal: Array, side: Array, reply: Array) -> None:
    """Factorise a cyclic tridiagonal matrix, whose row c has ``side[c]`` at column c + 1.

    ``diagonal`` becomes the inverse pivots, ``reply`` the solution of the chain without corner 0
    for that corner's column; all are ``(m,)``.
    """
    m = len(side)
    reply[:] = 0.0
    reply[1] = side[0]
    reply[m - 1] += side[m - 1]
    diagonal[1] = 1 / diagonal[1]
    for c in range(2, m):
        factor = side[c - 1] * diagonal[c - 1]
        diagonal[c] = 1 / (diagonal[c] - factor * side[c - 1])
        reply[c] -= factor * reply[c - 1]
    reply[m - 1] *= diagonal[m - 1]
    for c in range(m - 2, 0, -1):
        reply[c] = (reply[c] - side[c] * reply[c + 1]) * diagonal[c]
    diagonal[0] = 1 / (diagonal[0] - side[0] * reply[1] - side[m - 1] * reply[m - 1])


@vectorised
def _solve_ring(inverse: Array, side: Array, reply: Array, f: Array, x: Array) -> None:
    """Solve with the factors of `_factorise_ring` for a right-hand side f, which is overwritten."""
    m = len(f)
    for c in range(2, m):
        f[c] -= side[c - 1] * inverse[c - 1] * f[c - 1]
    x[m - 1] = f[m - 1] * inverse[m - 1]
    for c in range(m - 2, 0, -1):
        x[c] = (f[c] - side[c] * x[c + 1]) * inverse[c]
    x[0] = (f[0] - side[0] * x[1] - side[m - 1] * x[m - 1]) * inverse[0]
    for c in range(1, m):
        x[c] -= x[0] * reply[c]
