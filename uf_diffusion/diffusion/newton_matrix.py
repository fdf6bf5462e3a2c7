"""The derivative of an implicit stage of transport, and solutions with it.

A stage is the equation  m mu - s D(mu) = m b  with the sum D of the fluxes. Its derivative is

    J = S + s L U T Q,        S = m - s dD/dmu + s L U P Q,

where L is the Laplacian with the weights dF/dG of the edges, U and Q are the diagonal matrices of u
and m u, and P and T ~ Psi C^-1 Psi' are those of `potentials.Response`. Here dD/dmu is that at
fixed G, by the edges' donors. S is sparse, and without P it is triangular once the nodes are sorted
by G, for mass moves towards larger G only. If T has low rank, J is solved with by Woodbury's
formula. Else this is the preconditioner of GMRES. Nodes that are spread over ranks share the
factors of S. For a triangular S each rank solves on its local nodes instead and keeps the values at
its own (restricted additive Schwarz: Cai and Sarkis, SIAM J. Sci. Comput. 21, 1999), and GMRES does
the rest.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
from petsc4py import PETSc
from scipy import sparse
from scipy.linalg import lu_factor, lu_solve

from uf_diffusion.core.arrays import Array, Index
from uf_diffusion.core.compiled import compiled
from uf_diffusion.diffusion.direct_solvers import LU, BandLU, lu_of
from uf_diffusion.diffusion.edge_transport import EdgeTransport, Fluxes
from uf_diffusion.diffusion.nodes import Nodes
from uf_diffusion.diffusion.petsc import StageFailure, solved
from uf_diffusion.diffusion.potentials import Place, Response, Seen

__all__ = ["NewtonMatrices", "NewtonMatrix"]

LINEAR = 1e-2  # relative tolerance of GMRES


class NewtonMatrices:
    """Factorises the derivative J for many densities on the same mesh.

    Args:
        transport: the edges between the local nodes.
        place: the local nodes.
    """

    def __init__(self, transport: EdgeTransport, place: Place) -> None:
        self.transport, self.place = transport, place
        i, j, own = transport.tail, transport.head, np.arange(len(place.volume))
        self._column = np.concatenate([j, i, i, j])
        rows, columns = [np.concatenate([i, j, i, j]), own], [self._column, own]
        if place.opposite is not None:
            rows.append(rows[0])
            columns.append(place.opposite[self._column])
        self._pattern = _Pattern(np.concatenate(rows), np.concatenate(columns), len(own))
        self._lu: LU | BandLU | None = None

    @cached_property
    def gmres(self) -> _Gmres:
        """GMRES for the matrices that are not solved with directly."""
        return _Gmres(self.place.nodes)

    def factorised(self, s: float, seen: Seen, response: Response, fluxes: Fluxes) -> NewtonMatrix:
        """J at a density that has been seen, with its fluxes, factorised.

        Raises:
            StageFailure: for a matrix that is singular or not finite.
        """
        matrix = self._sparse_part(s, seen, response, fluxes)
        if response.pair is None:
            solve = self._downwind(matrix, np.argsort(seen.conjugate, kind="stable"))
        else:
            solve = self._factor(matrix)
        return NewtonMatrix(self, s, seen, response, fluxes, matrix, solve)

    def _factor(self, matrix: sparse.csr_matrix) -> Callable[[Array], Array]:
        """Solves with S at the own nodes, over several ranks together."""
        nodes = self.place.nodes
        if nodes.spread:
            matrix = self._own_rows(matrix)
        if self._lu is None:
            self._lu = LU(matrix, nodes.comm) if nodes.spread else lu_of(matrix)
        self._lu.set(matrix)
        return self._lu.solve

    def _downwind(self, matrix: sparse.csr_matrix, order: Index) -> Callable[[Array], Array]:
        """Solves with S at the own nodes, where it is lower triangular in this order of the local
        ones; approximately over several ranks.
        """
        nodes, own = self.place.nodes, slice(self.place.nodes.own)
        starts, columns = matrix.indptr.astype(np.int64), matrix.indices.astype(np.int64)

        def solve(right: Array) -> Array:
            local = nodes.filled(right.T).T
            x = np.array(local.reshape(len(local), -1), order="C")
            _sweep(order, starts, columns, matrix.data, x)
            return x.reshape(local.shape)[own]

        return solve

    def _own_rows(self, matrix: sparse.csr_matrix) -> sparse.csr_matrix:
        """The rows of the own nodes, with the columns numbered over all ranks."""
        nodes = self.place.nodes
        counts = nodes.comm.allgather(nodes.own)
        first = float(sum(counts[: nodes.comm.rank]))
        number = nodes.filled(first + np.arange(float(nodes.own))).astype(np.int64)
        own = matrix[: nodes.own]
        shape = (nodes.own, sum(counts))
        return sparse.csr_matrix((own.data, number[own.indices], own.indptr), shape=shape)

    def _sparse_part(
        self, s: float, seen: Seen, response: Response, fluxes: Fluxes
    ) -> sparse.csr_matrix:
        """The matrix S between local nodes; right in the rows of own nodes."""
        forth, donated = fluxes.donor == self.transport.tail, s * fluxes.by_donor
        leaves, comes = np.where(forth, donated, 0.0), np.where(forth, 0.0, donated)
        values = [comes, -leaves, leaves, -comes, self.place.volume]
        if response.pair is not None:
            u, m = seen.outer_weight, self.place.volume
            signs = np.repeat([-s, s], 2 * len(forth))
            laplacian = signs * np.tile(fluxes.by_difference, 4) * (u * response.pair)[self._column]
            q = m * u
            direct = laplacian * q[self._column]
            values = [np.concatenate(values[:4]) + direct, m]
            if (opposite := self.place.opposite) is not None:
                values.append(response.parity * laplacian * q[opposite[self._column]])
        return self._pattern.matrix(np.concatenate(values))


class NewtonMatrix:
    """One factorised derivative J."""

    def __init__(
        self, matrices: NewtonMatrices, s: float, seen: Seen, response: Response, fluxes: Fluxes,
        matrix: sparse.csr_matrix, solve: Callable[[Array], Array],
    ) -> None:  # fmt: skip
        self.step, place, transport = s, matrices.place, matrices.transport
        self._nodes, self._own, self._matrix, self._solve = (
            place.nodes, slice(place.nodes.own), matrix, solve,
        )  # fmt: skip
        moved = transport.difference @ (seen.outer_weight[:, None] * response.features)
        self._spread = s * transport.divergence(fluxes.by_difference[:, None] * moved)
        mass = (place.volume * seen.outer_weight)[self._own, None]
        self._collect = mass * response.features[self._own]
        self._response = response.product
        self._mass, self._flux = mass[:, 0], fluxes.by_difference
        self._weight, self._transport = seen.outer_weight, transport
        self._reached = self._solve(self._spread[self._own])
        small = response.curvature + self._collected(self._reached)
        try:
            self._small = lu_factor(small) if len(small) else None
            self._inner = lu_factor(response.curvature) if len(small) else None
        except ValueError:
            raise StageFailure("Newton's matrix is not finite") from None
        exact = self._response is None and (response.pair is not None or not place.nodes.spread)
        self._gmres = None if exact else matrices.gmres

    def solve(self, residual: Array) -> Array:
        """The solution at the own nodes, for a residual there, ``(own,)`` each.

        Raises:
            StageFailure: if it is not finite, or GMRES does not converge.
        """
        if self._gmres is None:
            return self.woodbury(residual)
        return self._gmres.solve(self, residual)

    def _collected(self, values: Array) -> Array:
        return self._nodes.sum(self._collect.T @ values)

    def woodbury(self, residual: Array) -> Array:
        """The solution, or what preconditions GMRES, for a residual at the own nodes."""
        y = self._solve(residual)
        if self._small is None:
            return y
        return y - self._reached @ _solved(self._small, self._collected(y))

    def product(self, change: Array) -> Array:
        """J times a change at the own nodes."""
        product = self._matrix @ self._nodes.filled(change)
        if self._response is not None:
            w = self._weight * self._response(self._mass * change)
            moved = self._flux * (self._transport.difference @ w)
            product = product + self.step * self._transport.divergence(moved)
        elif self._inner is not None:
            product = product + self._spread @ _solved(self._inner, self._collected(change))
        return np.asarray(product[self._own])


class _Applied:
    """A function as a matrix or a preconditioner of PETSc."""

    def __init__(self, function: Callable[[Array], Array]) -> None:
        self._function = function

    def mult(self, matrix: PETSc.Mat, x: PETSc.Vec, y: PETSc.Vec) -> None:
        y.array_w[:] = self._function(np.array(x.array_r))

    def apply(self, pc: PETSc.PC, x: PETSc.Vec, y: PETSc.Vec) -> None:
        y.array_w[:] = self._function(np.array(x.array_r))


class _Gmres:
    """GMRES for one matrix after the other, as PETSc's flexible variant.

    PETSc's objects refer to this one weakly, since cycles through them are never freed.
    """

    def __init__(self, nodes: Nodes) -> None:
        this = weakref.proxy(self)
        self._matrix: NewtonMatrix | None = None
        own = (nodes.own, None)
        product = _Applied(lambda x: this._matrix.product(x))
        shell = PETSc.Mat().createPython((own, own), product, comm=nodes.comm)
        shell.setUp()
        self._ksp = PETSc.KSP().create(nodes.comm)
        self._ksp.setOperators(shell)
        self._ksp.setType(PETSc.KSP.Type.FGMRES)
        self._ksp.setGMRESRestart(60)
        pc = self._ksp.getPC()
        pc.setType(PETSc.PC.Type.PYTHON)
        pc.setPythonContext(_Applied(lambda x: this._matrix.woodbury(x)))
        self._right, self._left = shell.createVecs()

    def solve(self, matrix: NewtonMatrix, residual: Array) -> Array:
        """The solution for a residual at the own nodes, ``(own,)`` each."""
        self._matrix = matrix
        self._left.array_w[:] = residual
        try:
            return solved(self._ksp, self._left, self._right, LINEAR)[0]
        finally:
            self._matrix = None


def _solved(factor: Any, right: Array) -> Array:
    return np.asarray(lu_solve(factor, right, check_finite=False))


class _Pattern:
    """Sparse matrices ``(n, n)`` whose entries lie at the same places, several at one place.

    Args:
        row, column: the place of each entry, ``(entries,)``.
        n: the number of rows.
    """

    def __init__(self, row: Index, column: Index, n: int) -> None:
        places, self._at = np.unique(row * n + column, return_inverse=True)
        self._starts = np.searchsorted(places, np.arange(n + 1) * n).astype(np.int32)
        self._columns, self._n = (places % n).astype(np.int32), n

    def matrix(self, entries: Array) -> sparse.csr_matrix:
        """The matrix with these entries, ``(entries,)``, added up where they share a place."""
        data = np.bincount(self._at, entries, minlength=len(self._columns))
        return sparse.csr_matrix((data, self._columns, self._starts), shape=(self._n, self._n))


@compiled
def _sweep(order: Index, starts: Index, columns: Index, entries: Array, x: Array) -> None:
    for i in order:
        own = 1.0
        for k in range(starts[i], starts[i + 1]):
            j = columns[k]
            if j == i:
                own = entries[k]
            elif entries[k] != 0.0:
                for r in range(x.shape[1]):
                    x[i, r] -= entries[k] * x[j, r]
        for r in range(x.shape[1]):
            x[i, r] /= own
