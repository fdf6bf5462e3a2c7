"""The limit lambda -> 0 for ReLU features without bias, which see even and linear functions only.

The equation is

    d mu/dt = -div(mu u grad w) = -div(mu grad f*(w)),

where w in V_K is the potential of `even_and_linear`. It is the gradient flow in W_2 of the risk
L0_K(mu) = max_w int w dnu - int f*(w) dmu, which is convex in mu and has dL0_K/dmu = -f*(w). The
equation is parabolic in one combination of the values of mu at two opposite points and hyperbolic
in another. So shocks form, in antipodal pairs.

The mass moves along the edges of the mesh (`edge_transport`). An implicit stage is the equation

    m mu = m b + s D(mu),     where D is the sum of the fluxes with G = f*(w(mu)).

It is solved by Newton's method, with the reconstruction factors c fixed at their values for a
density extrapolated to the stage's time. The derivative of G couples each node to its opposite, and
all nodes through the linear part of w: it is a sparse matrix plus one of rank dim + 1. For every
choice of c the mass is conserved, mu is positive and, with implicit Euler, the risk decreases.
"""

from __future__ import annotations

from mpi4py import MPI

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from scipy import sparse

from uf_diffusion.core.arrays import Array
from uf_diffusion.core.errors import InputError
from uf_diffusion.diffusion.direct_solvers import LU
from uf_diffusion.diffusion.edge_transport import EdgeTransport, Fluxes
from uf_diffusion.diffusion.even_and_linear import EvenAndLinear, Visible
from uf_diffusion.diffusion.forms import stiffness_matrix
from uf_diffusion.diffusion.petsc import StageFailure
from uf_diffusion.diffusion.schemes import SCHEMES, Scheme
from uf_diffusion.diffusion.time_stepping import DiffusionState, Evolution
from uf_diffusion.grids.base import Grid
from uf_diffusion.problem import Problem

__all__ = ["ConstrainedDiffusion"]

STAGE = 1e-3  # tolerance of a stage as a fraction of rtol
REACH = 1.0  # largest change of log mu in the extrapolation to a stage's time


class _Moved(NamedTuple):
    """A density at all nodes, the maximiser of its risk, and its fluxes."""

    mu: Array
    seen: Visible
    fluxes: Fluxes


@dataclass(frozen=True)
class _Newton:
    """Solves with Newton's matrix, a sparse one minus one of low rank, by Woodbury's formula."""

    sparse: Callable[[Array], Array]
    moment: Array
    bordered: Array
    small: Array

    def solve(self, residual: Array) -> Array:
        y = self.sparse(residual)
        return y + self.bordered @ np.linalg.solve(self.small, self.moment.T @ y)


class ConstrainedDiffusion(Evolution):
    """Solves the constrained equation on the circle, on S^2, or for densities on S^d that are
    symmetric about an axis, with elements of degree 1.

    Mass is conserved and mu is positive for every scheme and step. With implicit Euler the risk
    decreases; with the other schemes the step control repeats steps in which it increases by more
    than a fraction of rtol. Where mu is smooth the order in space is 2 in L2; in the maximum norm
    see docs/theory.md. Every rank has a copy of the whole problem.

    Args:
        problem, grid, scheme, comm: see `Evolution`.
        rtol: tolerance of the step control for the mass that a step puts at a wrong place.

    Raises:
        InputError: for another manifold or degree, a power above 2, a mesh that is not antipodally
            symmetric or has obtuse angles, a density that is not positive and finite at all nodes,
            or rtol out of range.
    """

    def __init__(
        self,
        problem: Problem,
        grid: Grid,
        scheme: Scheme = SCHEMES["sdirk2"],
        rtol: float = 1e-4,
        comm: MPI.Comm = MPI.COMM_WORLD,
    ) -> None:
        if not problem.manifold.antipodal:
            raise InputError("problem.limit = 'constrained' is for the circle and the spheres S^d.")
        if grid.degree > 1:
            raise InputError("problem.limit = 'constrained' needs diffusion.degree = 1.")
        if problem.divergence.power > 2:  # f*'' is infinite where u = 0, and u changes sign
            raise InputError(
                "problem.limit = 'constrained' needs a regulariser of power 2 or less, "
                f"not {problem.divergence.power:g}."
            )
        super().__init__(problem, grid, scheme, rtol, comm)
        self._volume, self._nu = self.everywhere(np.array([self.volume, self.teacher]))
        self.space = EvenAndLinear(
            grid.linear, self._volume, self._nu, problem.divergence, grid.opposite
        )
        self.transport = EdgeTransport(self._laplacian, grid.nodes, problem.manifold)
        self._lu: LU | None = None
        self._tolerance = max(1e-13, STAGE * rtol) if scheme.order > 1 else 1e-13
        self._potential: Array | None = None  # the first guess of the next projection
        self._newton: tuple[float, _Newton] | None = None

    def _assemble_volume(self) -> Array:
        """The areas of the nodes' Voronoi cells, sum_j k_ij |x_i - x_j|^2 / 4; on the circle these
        are the lumped volumes.

        Transport accumulates what is inconsistent at a node. With the lumped volumes the discrete
        Laplacian is wrong by 15 % at the vertices of the icosahedron, on every mesh.
        """
        if self.grid.manifold.dim == 1:
            return super()._assemble_volume()
        K, x = self._laplacian.tocoo(), self.grid.nodes
        squared = ((x[K.row] - x[K.col]) ** 2).sum(axis=1)
        return np.bincount(K.row, -K.data * squared, minlength=len(x))[self.node] / 4

    @cached_property
    def _laplacian(self) -> sparse.csr_matrix:
        """The stiffness matrix of the whole mesh in the grid's numbering, on all ranks.

        Raises:
            InputError: if it has a positive entry off the diagonal.
        """
        K = stiffness_matrix(self.V, self.grid, np.ones(len(self.node)))
        number = np.concatenate(self.comm.allgather(self.node))  # the grid's number of each row
        starts, columns, values = K.getValuesCSR()
        rows = np.repeat(self.node, np.diff(starts))
        parts = self.comm.allgather((rows, number[columns], values))
        row, column, value = (np.concatenate(part) for part in zip(*parts, strict=True))
        n = len(self.grid.nodes)
        whole = sparse.coo_matrix((value, (row, column)), shape=(n, n)).tocsr()
        off = whole - sparse.diags(whole.diagonal())
        if off.max() > 1e-9 * abs(whole).max():
            raise InputError("problem.limit = 'constrained' needs a mesh without obtuse angles.")
        return whole

    def first(self, ratio: Array) -> DiffusionState:
        mu = self.everywhere(ratio * self.teacher)
        return self._evaluated(None, 0.0, self._moved(mu, self._factor(mu)))

    def outer_weight(self, ratio: Array) -> Array:
        mu = self.everywhere(ratio * self.teacher)
        return self.space.project(mu).outer_weight[self.node]

    def step(self, state: DiffusionState, tau: float) -> tuple[DiffusionState, float]:
        m = self._volume
        nodal = self.everywhere(np.array([state.ratio, state.derivative, state.potential]))
        (mu, rate), self._potential = nodal[:2] * self._nu, nodal[2]
        self._newton = None  # so that a step depends on its state only
        speed, k, newtons, left = rate / mu, [rate], 0, 0.0
        start = mu
        for row, node in zip(self.scheme.a, self.scheme.nodes, strict=True):
            b = self.scheme.stage_start(mu, tau, row, k)
            ahead = mu * np.exp(np.clip(node * tau * speed, -REACH, REACH))
            moved, newton, count, size = self._stage(b, tau * row[-1], start, self._factor(ahead))
            newtons, left = newtons + count, max(left, size)
            start = moved.mu
            k.append(moved.fluxes.rate / m)
        change = newton.solve(m * self.scheme.error_of(tau, k))
        new = self._evaluated(state, tau, moved, newtons, left)
        return new, float(m @ np.abs(change)) / self.rtol

    def _factor(self, mu: Array) -> Array:
        return self.transport.reconstruction(np.log(mu))

    def _moved(self, mu: Array, factor: Array) -> _Moved:
        seen = self.space.project(mu, self._potential)
        self._potential = seen.potential
        return _Moved(mu, seen, self.transport.fluxes(mu, seen.conjugate, factor))

    def _stage(
        self, b: Array, s: float, start: Array, factor: Array
    ) -> tuple[_Moved, _Newton, int, float]:
        """The solution of a stage, its Newton matrix, the number of iterations, and the mass that
        the last iteration moved.

        Raises:
            StageFailure: when the iteration does not converge.
        """
        m, mu = self._volume, start
        moved, last = self._moved(mu, factor), math.inf
        newton = self._newton[1] if self._newton and self._newton[0] == s else None
        for count in range(1, 31):
            if newton is None:
                newton = self._factorised(moved, s)
                self._newton = (s, newton)
            change = newton.solve(m * (b - mu) + s * moved.fluxes.rate)
            if not np.isfinite(change).all():
                raise StageFailure("Newton's direction is not finite")
            fall = float((-change / mu).max())
            length = min(1.0, 0.9 / fall) if fall > 0 else 1.0
            mu = mu + length * change
            moved = self._moved(mu, factor)
            size = float(m @ np.abs(change))
            if length == 1.0 and size <= self._tolerance:
                return moved, newton, count, size
            if length < 1 or size > 0.2 * last:
                newton = None  # the matrix of an earlier iterate or stage is too inaccurate
            last = size
        raise StageFailure("Newton's method did not converge in 30 iterations")

    def _factorised(self, moved: _Moved, s: float) -> _Newton:
        """The derivative of  m mu - s D(mu)  at a density, factorised."""
        seen, transport = moved.seen, self.transport
        matrix = self._sparse_part(moved, s)
        if self._lu is None:
            self._lu = LU(matrix)  # the sparsity pattern is always the same
        self._lu.set(matrix)
        # besides its part in the pairs G changes by U db, where curvature db = -moment . dmu
        U = seen.moment / self._volume[:, None]
        flux = moved.fluxes.by_difference[:, None] * (transport.difference @ U)
        Z = np.column_stack([self._lu.solve(x) for x in -s * transport.divergence(flux).T])
        return _Newton(self._lu.solve, seen.moment, Z, seen.curvature - seen.moment.T @ Z)

    def _sparse_part(self, moved: _Moved, s: float) -> sparse.csr_matrix:
        """The part of the derivative that couples neighbours and opposite nodes."""
        seen, fluxes, opposite = moved.seen, moved.fluxes, self.space.opposite
        i, j = self.transport.tail, self.transport.head
        own, m = np.arange(len(opposite)), self._volume
        q = m * seen.outer_weight
        # s times the Laplacian with weights by_difference, times G' = -u q / pair_curvature
        row, column = np.concatenate([i, j, i, j]), np.concatenate([j, i, i, j])
        value = s * np.repeat([-1.0, 1.0], 2 * len(i)) * np.tile(fluxes.by_difference, 4)
        value *= (seen.outer_weight / seen.pair_curvature)[column]
        donated = s * fluxes.by_donor
        entries = (
            (row, column, value * q[column]),
            (row, opposite[column], value * q[opposite[column]]),
            (i, fluxes.donor, donated),
            (j, fluxes.donor, -donated),
            (own, own, m),
        )
        rows, columns, values = (np.concatenate(part) for part in zip(*entries, strict=True))
        return sparse.csr_matrix((values, (rows, columns)))

    @property
    def slack(self) -> float:
        return max(1e-12, self._tolerance)

    def broken(self, old: DiffusionState, new: DiffusionState) -> str:
        if new.risk > old.risk + self.slack * max(abs(old.risk), 1e-3):
            return "the risk increased"
        return ""

    def _evaluated(
        self, old: DiffusionState | None, tau: float, moved: _Moved, newtons: int = 0,
        left: float = 0.0,
    ) -> DiffusionState:  # fmt: skip
        """The state a time tau after an old one; the first state if there is no old one."""
        m, nu, mu = self._volume, self._nu, moved.mu
        t, step = (old.t + tau, old.step + 1) if old else (0.0, 0)
        ratio = mu / nu
        return DiffusionState(
            t, step, tau, ratio[self.node], moved.seen.potential[self.node],
            (moved.fluxes.rate / (m * nu))[self.node], float(m @ mu), moved.seen.risk, math.nan,
            float(ratio.min()), float(ratio.max()), math.sqrt(float(m * nu @ (ratio - 1) ** 2)),
            newtons, newtons, left,
        )  # fmt: skip
