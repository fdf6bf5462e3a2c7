"""The diffusion solver: states on the clock t, one after the other."""

from __future__ import annotations

from mpi4py import MPI

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from dolfinx import common, fem
from dolfinx.fem.petsc import assemble_matrix, assemble_vector
from petsc4py import PETSc

from uf_diffusion.diffusion.forms import lumped_volume, weighted_stiffness
from uf_diffusion.diffusion.meshes import mesh_of, node_numbers
from uf_diffusion.diffusion.schemes import SCHEMES, Scheme, StepControl
from uf_diffusion.diffusion.stage import ShiftedLaplacian, Stage, StageFailure, StageReport
from uf_diffusion.errors import InputError, RunFailure
from uf_diffusion.problem import Problem
from uf_diffusion.problem.densities import Density
from uf_diffusion.problem.grids import Grid
from uf_diffusion.problem.manifolds import Array

__all__ = ["DiffusionState", "SolverFailure", "UltraFastDiffusion"]


class SolverFailure(RunFailure):
    """The time loop cannot go on; the message names t, the step and the reason."""


@dataclass(frozen=True)
class DiffusionState:
    """The solution at one time, on this rank's nodes, and what the last step cost.

    Attributes:
        t: time, dimensionless.
        step: number of accepted steps so far.
        step_size: length of the step that led here; 0 at the start.
        ratio: h = mu / nu at the owned nodes, ``(owned,)``, positive.
        derivative: dh/dt there.
        mass: integral of mu over the mesh.
        risk: L0 = integral of f(nu / mu) dmu.
        min_ratio, max_ratio: bounds of h over all ranks.
        newton_iterations, linear_iterations: work of the last step.
    """

    t: float
    step: int
    step_size: float
    ratio: Array
    derivative: Array
    mass: float
    risk: float
    min_ratio: float
    max_ratio: float
    newton_iterations: int = 0
    linear_iterations: int = 0


class UltraFastDiffusion:
    """Solves d mu/dt = -div(nu grad f'(nu/mu)) with lumped P1 elements and an implicit scheme.

    Mass is conserved and mu positive for every scheme and step; with implicit Euler on a mesh
    without obtuse angles the maximum principle and the decay of the risk hold to round-off as
    well. With the other schemes the step control enforces both: a step that breaks one is repeated
    with a smaller step.

    Args:
        problem: what to solve. Both densities are normalised to discrete mass 1.
        grid: the built-in mesh, see `uf_diffusion.problem.grids.grid_on`.
        scheme: the time scheme.
        rtol: tolerance of the step control: the local error of log u, in the root mean square over
            nu, relative to the distance from equilibrium. Dimensionless.
        comm: the ranks that share the mesh.

    Raises:
        InputError: for a density that is not positive and finite at all nodes.
    """

    def __init__(
        self,
        problem: Problem,
        grid: Grid,
        scheme: Scheme = SCHEMES["sdirk2"],
        rtol: float = 1e-4,
        comm: MPI.Comm = MPI.COMM_WORLD,
    ) -> None:
        if not 0 < rtol < 1:
            raise InputError(f"diffusion.rtol must lie between 0 and 1, not {rtol}.")
        self.problem, self.grid, self.scheme, self.rtol, self.comm = (
            problem, grid, scheme, rtol, comm,
        )  # fmt: skip
        with common.Timer("uf:mesh"):
            self.mesh = mesh_of(grid, comm)  # type: ignore[arg-type]
        self.V = fem.functionspace(self.mesh, ("Lagrange", 1))
        self.node = node_numbers(self.V, grid)  # type: ignore[arg-type]
        with common.Timer("uf:assemble"):
            self.volume = self._assemble_volume()
            self.teacher = self.nodal(problem.teacher, "teacher")
            K = assemble_matrix(weighted_stiffness(self.V, self.function(self.teacher)))
            K.assemble()
        self.weight = self.volume * self.teacher
        laplacian = ShiftedLaplacian(K, problem.manifold.dim)
        self._flow = problem.divergence.homogeneous
        self.stage = Stage(laplacian, self.weight, self._flow, comm)

    def _assemble_volume(self) -> Array:
        vector = assemble_vector(lumped_volume(self.V))
        vector.ghostUpdate(PETSc.InsertMode.ADD, PETSc.ScatterMode.REVERSE)
        return np.array(vector.array_r)

    @cached_property
    def points(self) -> Array:
        """``(owned, ambient)`` the owned nodes, on the manifold."""
        return self.grid.nodes[self.node]

    def nodal(self, density: Density, name: str) -> Array:
        """A density at the owned nodes, scaled to discrete mass 1.

        Raises:
            InputError: on all ranks, where it is not positive and finite.
        """
        values = density(self.points)
        lowest = self._reduce(float(values.min(initial=np.inf)), MPI.MIN)
        mass = self._reduce(float(self.volume @ values), MPI.SUM)
        if not (lowest > 0 and math.isfinite(mass)):
            raise InputError(
                f"The {name} density must be positive and finite on the whole manifold "
                f"(its minimum is {lowest:.3g}, its integral {mass:.3g})."
            )
        return values / mass

    def function(self, values: Array) -> fem.Function:
        """The finite-element function of values at the owned nodes."""
        u = fem.Function(self.V)
        u.x.array[: len(values)] = values
        u.x.scatter_forward()
        return u

    def gathered(self, values: Array) -> Array | None:
        """Values ``(..., owned)`` as ``(..., n)`` in the grid's numbering, on rank 0 alone."""
        parts = self.comm.gather((self.node, values), root=0)
        if parts is None:
            return None
        whole = np.empty((*values.shape[:-1], len(self.grid.nodes)))
        for node, part in parts:
            whole[..., node] = part
        return whole

    def state(self, density: Density) -> DiffusionState:
        """The state at t = 0 of an initial density."""
        ratio = self.nodal(density, "initial") / self.teacher
        return self._evaluated(0.0, 0, 0.0, ratio, self._rate(self._potential(ratio)))

    def iterate(self, t_end: float, step_size: float | None = None) -> Iterator[DiffusionState]:
        """The states from t = 0 to ``t_end``, the first and the last included.

        Args:
            t_end: final time, dimensionless.
            step_size: a fixed step, rounded so that whole steps lead to ``t_end``, for convergence
                studies; adaptive where it is not given.

        Raises:
            SolverFailure: when no step is small enough.
        """
        state = self.state(self.problem.initial)
        yield state
        if step_size is not None:
            count = max(1, round(t_end / step_size))
            for _ in range(count):
                state, _ = self.step(state, t_end / count)
                yield state
            return
        tau, control = self._first_step(state), StepControl(self.scheme.order)
        while state.t < t_end * (1 - 1e-12):
            state, tau = self._controlled_step(state, tau, t_end, control)
            yield state

    def _controlled_step(
        self, state: DiffusionState, tau: float, t_end: float, control: StepControl
    ) -> tuple[DiffusionState, float]:
        """One accepted step, and the length to try next."""
        reason = ""
        while tau > 1e-14 * max(1.0, t_end):
            left = t_end - state.t
            length = left if tau >= left else min(tau, left / 2)
            try:
                new, error = self.step(state, length)
            except StageFailure as failure:
                reason, tau = str(failure), length / 4
                continue
            reason = self._broken(state, new)
            if error <= 1 and not reason:
                # a step shortened only to land on t_end says nothing against the longer one
                return new, max(length * control.factor(error), tau if length < tau else 0.0)
            tau = length * min(control.factor(error), 0.5)
        raise SolverFailure(
            f"The diffusion solver stopped at t = {state.t:.6g} with step {tau:.1e} and "
            f"min mu/nu = {state.min_ratio:.3g}: {reason or 'the error stays above rtol'}."
        )

    def step(self, state: DiffusionState, tau: float) -> tuple[DiffusionState, float]:
        """One step of length ``tau``, and its estimated error as a multiple of the tolerance.

        Raises:
            StageFailure: when a stage does not converge.
        """
        w, reports = self._potential(state.ratio), []
        k = [state.derivative]
        with common.Timer("uf:stages"):
            for row in self.scheme.a:
                b = state.ratio + tau * sum(
                    (a * rate for a, rate in zip(row[:-1], k[1:], strict=True)),
                    start=np.zeros_like(w),
                )
                w, report = self.stage.solve(b, tau * row[-1], w)
                reports.append(report)
                k.append(self._rate(w))
        error = tau * sum(e * rate for e, rate in zip(self.scheme.error, k, strict=True))
        ratio = 1 / self._flow.dconjugate(w)
        new = self._evaluated(state.t + tau, state.step + 1, tau, ratio, k[-1], reports)
        return new, self._error_norm(np.asarray(error), w, ratio)

    def between(self, old: DiffusionState, new: DiffusionState, t: float) -> Array:
        """The ratio h ``(owned,)`` at a time between two successive states.

        Cubic Hermite interpolation conserves mass, as every linear combination of states and rates
        does. Where it would leave the bounds of h at ``old`` the linear interpolant, which cannot,
        takes its place.
        """
        tau = new.t - old.t
        s = (t - old.t) / tau
        linear = (1 - s) * old.ratio + s * new.ratio
        slope = (new.ratio - old.ratio) / tau
        bend = (1 - s) * (old.derivative - slope) - s * (new.derivative - slope)
        cubic = linear + s * (1 - s) * tau * bend
        lowest = self._reduce(float(cubic.min(initial=np.inf)), MPI.MIN)
        highest = self._reduce(float(cubic.max(initial=0.0)), MPI.MAX)
        inside = old.min_ratio <= lowest and highest <= old.max_ratio
        return cubic if inside else linear

    def _error_norm(self, error: Array, w: Array, ratio: Array) -> float:
        relative = self.stage.relative_error(error, w)
        sums = np.array([self.weight @ relative**2, self.weight @ (ratio - 1) ** 2])
        squared, distance = self.comm.allreduce(sums)
        return math.sqrt(squared) / (self.rtol * min(1.0, max(1e-8, math.sqrt(distance))))

    def _first_step(self, state: DiffusionState) -> float:
        relative = state.derivative / state.ratio
        speed = math.sqrt(self._reduce(float(self.weight @ relative**2), MPI.SUM))
        return 0.1 * math.sqrt(self.rtol) / max(speed, 1e-3)

    def _broken(self, old: DiffusionState, new: DiffusionState) -> str:
        """Which principle a step broke, beyond round-off; empty when none."""
        slack = 1e-12
        if new.risk > old.risk + slack * max(abs(old.risk), 1e-3):
            return "the risk increased"
        if new.min_ratio < old.min_ratio * (1 - slack):
            return "the minimum of mu/nu fell"
        if new.max_ratio > old.max_ratio * (1 + slack):
            return "the maximum of mu/nu rose"
        return ""

    def _potential(self, ratio: Array) -> Array:
        return self._flow.df(1 / ratio)

    def _rate(self, w: Array) -> Array:
        """dh/dt = K w / c."""
        return self.stage.laplacian.apply(w) / self.weight

    def _reduce(self, value: float, op: MPI.Op) -> float:
        return float(self.comm.allreduce(value, op))

    def _evaluated(
        self,
        t: float,
        step: int,
        tau: float,
        ratio: Array,
        derivative: Array,
        reports: list[StageReport] | None = None,
    ) -> DiffusionState:
        mu = self.weight * ratio
        mass, risk = self.comm.allreduce(
            np.array([mu.sum(), mu @ self.problem.divergence.f(1 / ratio)])
        )
        return DiffusionState(
            t, step, tau, ratio, derivative, float(mass), float(risk),
            self._reduce(float(ratio.min(initial=np.inf)), MPI.MIN),
            self._reduce(float(ratio.max(initial=0.0)), MPI.MAX),
            sum(r.newton_iterations for r in reports or ()),
            sum(r.linear_iterations for r in reports or ()),
        )  # fmt: skip
