"""The equations for mu as transport along the edges of a mesh, with implicit steps.

    d mu/dt = -div(mu grad G),    G = f*(w),

is the gradient flow in W_2 of a risk L(mu) that is convex and has dL/dmu = -G. Which equation it is
depends on the potential w alone, see `potentials`. The mass moves along the edges of the mesh
(`edge_transport`). An implicit stage is the equation

    m mu = m b + s D(mu),     where D is the sum of the fluxes with G = f*(w(mu)).

It is solved by Newton's method, with the reconstruction factors c fixed at their values for a
density extrapolated to the stage's time (`newton_matrix`). For every choice of c the mass is
conserved, mu is positive and, with implicit Euler, the risk decreases.

The error of a step is measured as the cost of the transport that would correct it, mass times
distance, and not node by node: where mu is steep, a small error of its place is a small error.
"""

from __future__ import annotations

from mpi4py import MPI

import math
from abc import abstractmethod
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from petsc4py import PETSc
from scipy import sparse

from uf_diffusion.core.arrays import Array, Index
from uf_diffusion.core.errors import InputError
from uf_diffusion.core.mpi import REPLICATED
from uf_diffusion.diffusion.edge_transport import EdgeTransport, Fluxes
from uf_diffusion.diffusion.linear_solvers import LinearSolver, linear_solver
from uf_diffusion.diffusion.newton_matrix import NewtonMatrices, NewtonMatrix
from uf_diffusion.diffusion.nodes import Nodes, all_nodes, spread_nodes
from uf_diffusion.diffusion.petsc import StageFailure
from uf_diffusion.diffusion.potentials import Place, Potential, Seen
from uf_diffusion.diffusion.schemes import Scheme
from uf_diffusion.diffusion.states import DiffusionState
from uf_diffusion.diffusion.time_stepping import Evolution
from uf_diffusion.grids.base import Grid
from uf_diffusion.problem import Problem

__all__ = ["Transport"]

STAGE = 1e-3  # tolerance of a stage as a fraction of rtol
ROUNDED = 1e-11  # mass moved by an iteration that may be round-off of the potential
SCREEN = 1e-2  # a shift of the Laplacian, in units of its spectral gap, that makes it invertible
FALL = 0.9  # largest part of a node's mass that an iteration of Newton's method may remove
DAMPED = 10  # iterations of a stage in which Newton's method may have to be damped
REACH = 1.0  # largest change of log mu in the extrapolation to a stage's time


class _Moved(NamedTuple):
    """A density at the local nodes, what is seen of it, and its fluxes."""

    mu: Array
    seen: Seen
    fluxes: Fluxes


class Transport(Evolution):
    """A base class of solvers for transport by a potential, with elements of degree 1.

    Mass is conserved and mu is positive for every scheme and step. With implicit Euler the risk
    decreases; with the other schemes the step control repeats steps in which it increases by more
    than a fraction of rtol. Where mu is smooth the order in space is 2 in L2; in the maximum norm
    see docs/theory.md.

    Args:
        problem, grid, scheme, comm: see `Evolution`.
        rtol: tolerance of the step control for the mass that a step puts at a wrong place times the
            distance to the right one, in units of the manifold's length scale.

    Attributes:
        limit: the name of the equation, a value of problem.limit.
        spreads: whether the nodes of a large mesh are spread over the ranks; else, and for small
            meshes, every rank has all of them.

    Raises:
        InputError: for a mesh that has obtuse angles or another degree, a density that is not
            positive and finite at all nodes, or rtol out of range.
    """

    limit: str
    spreads = True

    def __init__(
        self, problem: Problem, grid: Grid, scheme: Scheme, rtol: float, comm: MPI.Comm
    ) -> None:
        if grid.degree > 1:
            raise InputError(f"problem.limit = '{self.limit}' needs diffusion.degree = 1.")
        if scheme.linear:
            raise InputError(
                f"diffusion.scheme = '{scheme.name}' needs problem.limit = 'unconstrained', not "
                f"'{self.limit}'."
            )
        super().__init__(problem, grid, scheme, rtol, comm)
        opposite = self._opposite()
        self.nodes = self._local_nodes(opposite)
        self.place = self._placed(opposite)
        self._own = slice(self.nodes.own)
        self._volume = self.place.volume
        number = self.nodes.number
        manifold: Any = problem.manifold  # those with a mesh have more than others
        self.transport = EdgeTransport(
            self._laplacian[number][:, number], grid.nodes[number], manifold
        )
        self.potential = self._potential()
        self._matrices = NewtonMatrices(self.transport, self.place)
        self._tolerance = max(1e-13, STAGE * rtol) if scheme.order > 1 else 1e-13
        self._guess: Array | None = None  # the first guess of the next potential
        self._newton: NewtonMatrix | None = None

    @abstractmethod
    def _potential(self) -> Potential:
        """The potential at the local nodes."""

    def _opposite(self) -> Index | None:
        """The antipode of each node of the mesh, ``(n,)``; None if it is not needed."""
        return None

    def _local_nodes(self, opposite: Index | None) -> Nodes:
        count, dim = len(self.grid.nodes), self.grid.manifold.dim
        if not self.spreads or count <= REPLICATED or dim == 1:  # a band is solved faster alone
            return all_nodes(count, self.node, self.comm)
        return spread_nodes(self._laplacian, self.node, self.comm, opposite)

    def _placed(self, opposite: Index | None) -> Place:
        nodes, grid = self.nodes, self.grid
        if opposite is not None:
            local = np.full(len(opposite), -1)
            local[nodes.number] = np.arange(len(nodes.number))
            opposite = local[opposite[nodes.number]]
        volume, nu = nodes.from_owned(np.array([self.volume, self.teacher]))
        return Place(
            nodes, grid.nodes[nodes.number], volume, nu, grid.linear[nodes.number], opposite,
            self.problem.divergence,
        )  # fmt: skip

    def _assemble_volume(self) -> Array:
        """The areas of the nodes' Voronoi cells, sum_j k_ij |x_i - x_j|^2 / 4; on the circle and on
        tori these are the lumped volumes.

        Transport accumulates what is inconsistent at a node. With the lumped volumes the discrete
        Laplacian is wrong by 15 % at the vertices of the icosahedron, on every mesh.
        """
        if self.grid.manifold.dim == 1 or not self.problem.manifold.antipodal:
            return super()._assemble_volume()
        K, x = self._laplacian.tocoo(), self.grid.nodes
        squared = ((x[K.row] - x[K.col]) ** 2).sum(axis=1)
        return np.bincount(K.row, -K.data * squared, minlength=len(x))[self.node] / 4

    @cached_property
    def _stiffness(self) -> PETSc.Mat:
        return self.elements.stiffness(np.ones(len(self.node)))

    @cached_property
    def _poisson(self) -> LinearSolver:
        return linear_solver(self._stiffness, self.grid, self.node)

    @cached_property
    def _laplacian(self) -> sparse.csr_matrix:
        """The stiffness matrix of the whole mesh in the grid's numbering, on all ranks.

        Raises:
            InputError: if it has a positive entry off the diagonal.
        """
        K = self._stiffness
        number = np.concatenate(self.comm.allgather(self.node))  # the grid's number of each row
        starts, columns, values = K.getValuesCSR()
        rows = np.repeat(self.node, np.diff(starts))
        parts = self.comm.allgather((rows, number[columns], values))
        row, column, value = (np.concatenate(part) for part in zip(*parts, strict=True))
        n = len(self.grid.nodes)
        whole = sparse.coo_matrix((value, (row, column)), shape=(n, n)).tocsr()
        off = whole - sparse.diags(whole.diagonal())
        if off.max() > 1e-9 * abs(whole).max():
            raise InputError(f"problem.limit = '{self.limit}' needs a mesh without obtuse angles.")
        return whole

    def first(self, ratio: Array) -> DiffusionState:
        mu = self.nodes.from_owned(ratio * self.teacher)
        self._guess = None
        return self._evaluated(None, 0.0, self._moved(mu, self._factor(mu)))

    def outer_weight(self, ratio: Array) -> Array:
        mu = self.nodes.from_owned(ratio * self.teacher)
        return self.nodes.to_owned(self.potential.at(mu).outer_weight)

    def step(self, state: DiffusionState, tau: float) -> tuple[DiffusionState, float]:
        nodal = self.nodes.from_owned(np.array([state.ratio, state.derivative, state.potential]))
        (mu, rate), self._guess = nodal[:2] * self.place.teacher, nodal[2]
        self._newton = None  # so that a step depends on its state only
        speed, k, newtons, left = rate / mu, [rate], 0, 0.0
        start = mu
        for row, node in zip(self.scheme.a, self.scheme.nodes, strict=True):
            b = self.scheme.stage_start(mu, tau, row, k)
            ahead = mu * np.exp(np.clip(node * tau * speed, -REACH, REACH))
            moved, newton, count, size = self._stage(b, tau * row[-1], start, self._factor(ahead))
            newtons, left = newtons + count, max(left, size)
            start = moved.mu
            k.append(self._rate(moved))
        error = (self._volume * self.scheme.error_of(tau, k))[self._own]
        change = self._volume[self._own] * newton.solve(error)
        new = self._evaluated(state, tau, moved, newtons, left)
        return new, self._misplaced(change) / self.rtol

    def _factor(self, mu: Array) -> Array:
        return self.transport.reconstruction(np.log(mu))

    def _moved(self, mu: Array, factor: Array) -> _Moved:
        seen = self.potential.at(mu, self._guess)
        self._guess = seen.potential
        return _Moved(mu, seen, self.transport.fluxes(mu, seen.conjugate, factor))

    def _rate(self, moved: _Moved) -> Array:
        """The derivative of the density at the local nodes."""
        return self.nodes.filled((moved.fluxes.rate / self._volume)[self._own])

    def _stage(
        self, b: Array, s: float, start: Array, factor: Array
    ) -> tuple[_Moved, NewtonMatrix, int, float]:
        """The solution of a stage, its Newton matrix, the number of iterations, and the mass that
        the last iteration moved.

        Raises:
            StageFailure: when the iteration does not converge.
        """
        m, last = self._volume[self._own], math.inf
        moved, damped = self._moved(start, factor), 0
        newton = self._newton if self._newton and self._newton.step == s else None
        for count in range(1, 31):
            fresh = newton is None
            if newton is None:
                response = self.potential.response(moved.seen)
                newton = self._matrices.factorised(s, moved.seen, response, moved.fluxes)
                self._newton = newton
            change = self._balanced(newton, self._residual(moved, b, s), moved.mu)
            mass, fall = self._size(m * change), self._fall(change, moved.mu)
            if not math.isfinite(mass):
                raise StageFailure("Newton's direction is not finite")
            if fall < FALL:
                moved = self._moved(moved.mu + self.nodes.filled(change), factor)
                # a small potential divided by lambda has more round-off than the tolerance allows
                if mass <= self._tolerance or (fresh and 0.2 * last < mass <= ROUNDED):
                    return moved, newton, count, mass
            else:
                moved = self._positive(moved, change, fall, b, s, factor)
                damped += 1
            if damped > DAMPED:
                break
            if fall >= FALL or mass > 0.2 * last:
                newton = None  # the matrix of an earlier iterate or stage is too inaccurate
            last = mass
        raise StageFailure("Newton's method did not converge")

    def _balanced(self, newton: NewtonMatrix, residual: Array, mu: Array) -> Array:
        """Newton's change at the own nodes, with exactly the mass of the residual: GMRES over
        several ranks leaves an error of it, which is spread in proportion to mu.
        """
        change, m, own = newton.solve(residual), self._volume[self._own], self._own
        if not self.nodes.spread:
            return change
        sums = np.array([residual.sum() - m @ change, m @ mu[own]])
        missing, whole = self.nodes.sum(sums)
        return np.asarray(change + (missing / whole) * mu[own])

    def _positive(
        self, moved: _Moved, change: Array, fall: float, b: Array, s: float, factor: Array
    ) -> _Moved:
        """The density after a shorter step of Newton's method, which keeps it positive.

        Either each node by itself loses at most a part of its mass, or the whole step is shorter if
        that leaves a smaller residual.
        """
        own, nodes, total = self._own, self.nodes, self.place.total
        mu = moved.mu + nodes.filled(np.maximum(change, -FALL * moved.mu[own]))
        each = self._moved(mu * (total(b)[0] / total(mu)[0]), factor)
        if self._size(self._residual(each, b, s)) <= 0.9 * self._size(self._residual(moved, b, s)):
            return each
        return self._moved(moved.mu + nodes.filled(FALL / fall * change), factor)

    def _residual(self, moved: _Moved, b: Array, s: float) -> Array:
        """What is missing in a stage's equation at the own nodes, ``(own,)``."""
        rest = self._volume * (b - moved.mu) + s * moved.fluxes.rate
        return np.asarray(rest[self._own])

    def _size(self, masses: Array) -> float:
        """The sum of absolute values at the own nodes of all ranks."""
        return self.nodes.total(np.abs(masses).sum())

    def _fall(self, change: Array, mu: Array) -> float:
        """The largest part of a node's mass that a change would remove."""
        return self.nodes.largest(float((-change / mu[self._own]).max(initial=0.0)))

    def _misplaced(self, change: Array) -> float:
        """The cost of moving masses ``(own,)``, whose sum is about 0, to where they cancel: mass
        times distance, in units of the manifold's length scale.

        The fluxes along the edges are the gradient of a potential, so this is an upper bound of
        their distance in W_1 (Beckmann's formulation).
        """
        nodes, edges, gap = self.nodes, self.transport, self.problem.manifold.spectral_gap
        self._poisson.set(SCREEN * gap * self.volume, 1.0)
        # ranks that share no nodes have the masses of all of them
        owned = change if nodes.spread else nodes.to_owned(change)
        height = nodes.from_owned(self._poisson.solve(owned, 1e-2)[0])
        flux = edges.conductance * np.abs(edges.difference @ height)
        ends = (edges.tail < nodes.own) * 0.5 + (edges.head < nodes.own) * 0.5
        return nodes.total((ends * flux) @ edges.length) * math.sqrt(gap)

    @property
    def slack(self) -> float:
        return max(1e-12, self._tolerance)

    def broken(self, old: DiffusionState, new: DiffusionState) -> str:
        if new.risk > old.risk + self.slack * max(abs(old.risk), 1e-3):
            return "the risk increased"
        return ""

    def _dissipation(self, moved: _Moved) -> float:
        """The sum of F (G_head - G_tail) over the edges: exactly -dL/dt, without time steps."""
        own = self._own
        return self.nodes.total(moved.fluxes.rate[own] @ moved.seen.conjugate[own])

    def _evaluated(
        self, old: DiffusionState | None, tau: float, moved: _Moved, newtons: int = 0,
        left: float = 0.0,
    ) -> DiffusionState:  # fmt: skip
        """The state a time tau after an old one; the first state if there is no old one."""
        nu, mu, place, nodes = self.place.teacher, moved.mu, self.place, self.nodes
        t, step = (old.t + tau, old.step + 1) if old else (0.0, 0)
        ratio = mu / nu
        mass, squared = map(float, place.total(mu, nu * (ratio - 1) ** 2))
        values = np.array([ratio, moved.seen.potential, self._rate(moved) / nu])
        h, w, derivative = nodes.to_owned(values)
        return DiffusionState(
            t, step, tau, h, w, derivative, mass, moved.seen.risk, math.nan,
            -nodes.largest(float(-ratio[self._own].min())),
            nodes.largest(float(ratio[self._own].max())), math.sqrt(squared),
            newtons, newtons, left, self._dissipation(moved),
        )  # fmt: skip
