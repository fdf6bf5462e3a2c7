"""Linear algebra of the implicit stages: K w, and solutions with diag(d) + s K for many d and s.

Only d and s change between solutions, so everything that depends on K only is computed once. The
solvers are

* multigrid in two and three dimensions: the prolongations P are those of the grid's hierarchy, the
  coarse stiffness matrices are the Galerkin products P'KP, and the coarse diagonals are P'd. One
  V-cycle with a forward and a backward Gauss-Seidel sweep is the preconditioner of conjugate
  gradients. Gauss-Seidel needs no estimates of eigenvalues and is suitable for every diagonal.
* a banded factorisation in one dimension, on a circle with one node as a border of the matrix.
* PETSc's sparse Cholesky factorisation (MUMPS) in all other cases.
"""

from __future__ import annotations

from mpi4py import MPI

from collections.abc import Iterator
from typing import Protocol

import numpy as np
from petsc4py import PETSc
from scipy import sparse

from uf_diffusion.core.arrays import Array, Index
from uf_diffusion.diffusion.direct_solvers import Band, Cholesky
from uf_diffusion.diffusion.petsc import PREFIX, StageFailure, configure, solved, told
from uf_diffusion.grids.base import Grid, Nesting

__all__ = ["FluxForm", "LinearSolver", "Multigrid", "compressed", "linear_solver", "reduced"]

COARSE = 400  # grids with at most this number of nodes are not coarsened further
GAIN = 3.0  # assumed factor by which a V-cycle reduces the error at degree 1 (measured: 5 to 10)


def reduced(values: Array, comm: MPI.Comm, op: MPI.Op = MPI.SUM) -> Array:
    """Reduce values over all ranks in place, by default to their sums; returns the same array."""
    if comm.size > 1:
        comm.Allreduce(MPI.IN_PLACE, values, op)
    return values


class LinearSolver(Protocol):
    """Solves (diag(d) + s K) x = r; every rank has the values at its own nodes."""

    def set(self, diagonal: Array, shift: float) -> None:
        """Set d ``(owned,)``, positive, and s > 0 for the next solutions."""
        ...

    def solve(self, rhs: Array, rtol: float) -> tuple[Array, int]:
        """The solution ``(owned,)``, and the number of iterations; 0 for direct solvers.

        Args:
            rhs: r, ``(owned,)``.
            rtol: relative tolerance in the energy norm.

        Raises:
            StageFailure: on all ranks, if the solver fails.
        """
        ...


class FluxForm:
    """The product K w, computed as the sum of K_ij (w_j - w_i) over the neighbours j.

    Near equilibrium these differences have smaller round-off than a matrix-vector product, and the
    fluxes cancel in pairs, so that mass is conserved.

    Args:
        K: the stiffness matrix, symmetric with K 1 = 0.

    Attributes:
        monotone: whether K has no positive entry off the diagonal.
    """

    def __init__(self, K: PETSc.Mat) -> None:
        starts, columns, entries = K.getValuesCSR()
        first, last = K.getOwnershipRange()
        row = np.repeat(np.arange(first, last, dtype=columns.dtype), np.diff(starts))
        once = (columns > row) & (entries != 0)
        ends = np.column_stack([row[once], columns[once]])
        self._conductance = -entries[once]
        count = len(ends)
        self._difference = PETSc.Mat().createAIJ(
            size=((count, None), (last - first, K.getSizes()[1][1])),
            csr=(
                np.arange(0, 2 * count + 1, 2, dtype=columns.dtype), ends.ravel(),
                np.tile([-1.0, 1.0], count),
            ),
            comm=K.comm,
        )  # fmt: skip
        self._w, self._flux = self._difference.createVecs()
        self._result = self._w.duplicate()
        extremes = np.array([-self._conductance.min(initial=0.0), abs(entries).max(initial=0.0)])
        positive, largest = reduced(extremes, K.comm.tompi4py(), MPI.MAX)
        self.monotone = bool(positive <= 1e-12 * largest)

    def __call__(self, w: Array) -> Array:
        """The values of K w at the owned nodes, from those of w, both ``(owned,)``."""
        self._w.array_w[:] = w
        self._difference.mult(self._w, self._flux)
        self._flux.array_w[:] *= self._conductance
        self._difference.multTranspose(self._flux, self._result)
        return np.array(self._result.array_r)


def compressed(K: PETSc.Mat) -> PETSc.Mat:
    """K without entries that are zero up to round-off, as for edges opposite to right angles."""
    starts, columns, entries = K.getValuesCSR()
    row = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    kept = np.abs(entries) > 1e-14 * K.getDiagonal().array_r[row]
    starts = np.append(0, np.cumsum(np.bincount(row[kept], minlength=len(starts) - 1)))
    return PETSc.Mat().createAIJ(
        size=K.getSizes(),
        csr=(starts.astype(columns.dtype), columns[kept], entries[kept]),
        comm=K.comm,
    )


def linear_solver(K: PETSc.Mat, grid: Grid, node: Index) -> LinearSolver:
    """The solver for a grid; PETSc options with the prefix ``uf_`` apply to PETSc's solvers.

    Args:
        K: the stiffness matrix.
        grid: the grid, which may have a hierarchy of coarser ones.
        node: the grid's number of each owned node, ``(owned,)``.

    Raises:
        InputError: for an option that PETSc does not accept.
    """
    dim = grid.manifold.dim
    if dim == 1 and not _chosen():
        everywhere = np.concatenate(K.comm.tompi4py().allgather(node))
        chart = grid.manifold.chart(grid.nodes[everywhere])
        return Band(K, np.argsort(chart[:, 0], kind="stable"))
    nestings = list(_nestings(grid)) if dim > 1 else []
    return Multigrid(K, nestings, node) if nestings else Cholesky(K)


def _chosen(kind: str = "") -> bool:
    """Whether the user has set options of the linear solver whose names begin with ``kind``."""
    names = PETSc.Options().getAll()
    return any(n.startswith(PREFIX + kind) and not n.startswith(f"{PREFIX}eps_") for n in names)


def _nestings(grid: Grid) -> Iterator[Nesting]:
    while len(grid.nodes) > COARSE and (nesting := grid.coarser()) is not None:
        yield nesting
        grid = nesting.grid


class Multigrid:
    """A `LinearSolver` by conjugate gradients with one V-cycle on nested grids as preconditioner.

    Args:
        K: the stiffness matrix of the finest grid.
        nestings: the hierarchy, finest first.
        node: the finest grid's number of each owned node, ``(owned,)``.
    """

    def __init__(self, K: PETSc.Mat, nestings: list[Nesting], node: Index) -> None:
        self._prolongations, self._restrictions, stiffness = [], [], [K]
        for nesting in nestings:
            P, node = _prolongation(nesting, node, K.comm)
            self._prolongations.append(P)
            self._restrictions.append(P.transpose(PETSc.Mat()))
            stiffness.append(stiffness[-1].PtAP(P))
        self._diagonals = [matrix.getDiagonal() for matrix in stiffness]
        self._shifted = [matrix.duplicate(copy=True) for matrix in stiffness]
        self._restricted = [matrix.createVecRight() for matrix in stiffness]
        self._sums = [matrix.createVecRight() for matrix in stiffness]
        self._right, self._left = K.createVecs()
        self._gain = GAIN if nestings[0].parents.shape[1] == 2 else 1.0  # 2 parents: degree 1
        self._work = [self._left.duplicate() for _ in range(3)]
        self._ksp = self._solver(K.comm)
        self._chosen = _chosen("ksp_")

    def _solver(self, comm: PETSc.Comm) -> PETSc.KSP:
        ksp = PETSc.KSP().create(comm)
        ksp.setOptionsPrefix(PREFIX)
        ksp.setOperators(self._shifted[0])
        ksp.setType(PETSc.KSP.Type.CG)
        pc, levels = ksp.getPC(), len(self._shifted)
        pc.setType(PETSc.PC.Type.MG)
        pc.setMGLevels(levels)
        for level in range(1, levels):
            fine = levels - 1 - level
            pc.setMGInterpolation(level, self._prolongations[fine])
            pc.setMGRestriction(level, self._restrictions[fine])
            for smoother, sweep in (
                (pc.getMGSmootherDown(level), "forward"), (pc.getMGSmootherUp(level), "backward"),
            ):  # fmt: skip
                _gauss_seidel(smoother, self._shifted[fine], sweep, level)
        coarse = pc.getMGCoarseSolve()
        coarse.setOperators(self._shifted[-1])
        coarse.setType(PETSc.KSP.Type.PREONLY)
        coarse.getPC().setType(PETSc.PC.Type.REDUNDANT)
        configure(ksp)
        return ksp

    def set(self, diagonal: Array, shift: float) -> None:
        self._shift = shift
        np.divide(diagonal, shift, out=self._restricted[0].array_w)
        for level, matrix in enumerate(self._shifted):
            if level:
                self._restrictions[level - 1].mult(*self._restricted[level - 1 : level + 1])
            self._sums[level].waxpy(1.0, self._restricted[level], self._diagonals[level])
            matrix.setDiagonal(self._sums[level])
        self._ksp.setOperators(self._shifted[0])
        with told():
            self._ksp.setUp()

    def solve(self, rhs: Array, rtol: float) -> tuple[Array, int]:
        np.divide(rhs, self._shift, out=self._left.array_w)
        if self._chosen:
            return solved(self._ksp, self._left, self._right, rtol)
        return self._conjugate_gradients(rtol)

    def _conjugate_gradients(self, rtol: float) -> tuple[Array, int]:
        """As PETSc's CG, except that the V-cycle of the last stopping test is added to the solution
        as a correction, and not discarded.
        """
        A, cycle, r, x = self._shifted[0], self._ksp.getPC(), self._left, self._right
        z, p, q = self._work
        cycle.apply(r, z)
        square = first = r.dot(z)
        z.copy(p)
        x.set(0.0)
        if first == 0:
            return np.zeros_like(r.array_r), 0
        for its in range(1, 501):
            A.mult(p, q)
            step = square / p.dot(q)
            x.axpy(step, p)
            r.axpy(-step, q)
            cycle.apply(r, z)
            square, last = r.dot(z), square
            if not square > (self._gain * rtol) ** 2 * first:
                x.axpy(1.0, z)
                return np.array(x.array_r), its
            p.aypx(square / last, z)
        raise StageFailure("conjugate gradients did not converge in 500 iterations")


def _gauss_seidel(smoother: PETSc.KSP, matrix: PETSc.Mat, sweep: str, level: int) -> None:
    """One sweep as the smoother; forward before and backward after make the V-cycle symmetric."""
    prefix = f"{PREFIX}{sweep}_{level}_"
    options = PETSc.Options()
    if not options.hasName(f"{prefix}pc_type"):
        options[f"{prefix}pc_sor_local_{sweep}"] = None
    smoother.setOptionsPrefix(prefix)
    smoother.setOperators(matrix)
    smoother.setType(PETSc.KSP.Type.RICHARDSON)
    smoother.setTolerances(max_it=1)
    smoother.setNormType(PETSc.KSP.NormType.NONE)
    smoother.getPC().setType(PETSc.PC.Type.SOR)
    configure(smoother)
    options.delValue(f"{prefix}pc_sor_local_{sweep}")


def _prolongation(nesting: Nesting, node: Index, comm: PETSc.Comm) -> tuple[PETSc.Mat, Index]:
    """The prolongation P, and the coarse grid's number of each owned coarse node.

    The rank that owns a fine node also owns the coarse node at the same point.
    """
    coarse_count = len(nesting.place)
    coarse = np.full(len(nesting.parents), -1)
    coarse[nesting.place] = np.arange(coarse_count)
    owned = coarse[node]
    owned = owned[owned >= 0]
    everywhere = np.concatenate(comm.tompi4py().allgather(owned))
    index = np.empty(coarse_count, dtype=PETSc.IntType)
    index[everywhere] = np.arange(coarse_count)
    columns, shares = index[nesting.parents[node]], nesting.shares[node]
    starts = np.arange(len(node) + 1) * columns.shape[1]
    rows = sparse.csr_array(
        (shares.ravel(), columns.ravel(), starts), shape=(len(node), coarse_count)
    )
    rows.sum_duplicates()
    rows.eliminate_zeros()
    P = PETSc.Mat().createAIJ(
        size=((len(node), None), (len(owned), coarse_count)),
        csr=(rows.indptr.astype(PETSc.IntType), rows.indices.astype(PETSc.IntType), rows.data),
        comm=comm,
    )
    return P, owned
