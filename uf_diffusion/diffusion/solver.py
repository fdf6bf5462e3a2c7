"""The diffusion solver: states on the clock t, one after the other."""

from __future__ import annotations

from mpi4py import MPI

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
from dolfinx import common, fem
from dolfinx.fem.petsc import assemble_matrix, assemble_vector
from petsc4py import PETSc

from uf_diffusion.diffusion.forms import lumped_volume, weighted_stiffness
from uf_diffusion.diffusion.linear import FluxForm, StageFailure, compressed, linear_solver, reduced
from uf_diffusion.diffusion.meshes import space_on
from uf_diffusion.diffusion.schemes import SCHEMES, Scheme, StepControl
from uf_diffusion.diffusion.stage import Stage, StageReport
from uf_diffusion.errors import InputError, RunFailure
from uf_diffusion.problem import Problem
from uf_diffusion.problem.densities import Density
from uf_diffusion.problem.grids import Grid
from uf_diffusion.problem.manifolds import Array

__all__ = ["DiffusionState", "SolverFailure", "UltraFastDiffusion"]


STAGE = 1e-4  # a stage's error as a fraction of what the step control allows


class SolverFailure(RunFailure):
    """The time loop cannot go on; the message names t, the step and the reason."""


class Pace(NamedTuple):
    """What the step control carries on: the next step's length, and the last one's error as a
    multiple of the tolerance.
    """

    step: float
    error: float


@dataclass(frozen=True)
class DiffusionState:
    """The solution at one time, on this rank's nodes, and what the last step cost.

    Attributes:
        t: time, dimensionless.
        step: number of accepted steps so far.
        step_size: length of the step that led here; 0 at the start.
        ratio: h = mu / nu at the owned nodes, ``(owned,)``, positive.
        potential: w = f'(1 / h) there, of the divergence's homogeneous form.
        derivative: dh/dt there.
        mass: integral of mu over the mesh.
        risk: L0 = integral of f(nu / mu) dmu, whose flow in W_2 the PDE is.
        dual_energy: the energy whose flow in H^-1(nu) the PDE is; KL(nu | mu) for p = 2.
        min_ratio, max_ratio: bounds of h over all ranks.
        distance: from equilibrium: the root mean square over nu of h - 1.
        newton_iterations, linear_iterations: work of the last step.
        pace: how the step control goes on; nothing at the start and with fixed steps.
    """

    t: float
    step: int
    step_size: float
    ratio: Array
    potential: Array
    derivative: Array
    mass: float
    risk: float
    dual_energy: float
    min_ratio: float
    max_ratio: float
    distance: float
    newton_iterations: int = 0
    linear_iterations: int = 0
    pace: Pace | None = None


class UltraFastDiffusion:
    """Solves d mu/dt = -div(nu grad f'(nu/mu)) with mass-lumped elements and an implicit scheme.

    Mass is conserved and mu positive for every scheme, step and degree. With implicit Euler the
    dual energy decreases, and at degree 1 on a mesh without obtuse angles the maximum principle
    and the decay of the risk hold to round-off as well. With the other schemes the step control
    enforces them, up to a small fraction of rtol: a step that breaks one is repeated with a
    smaller step.

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
            self.V, self.node = space_on(grid, comm)
        self.mesh = self.V.mesh
        with common.Timer("uf:assemble"):
            self.volume = self._assemble_volume()
            self.teacher = self.nodal(problem.teacher, "teacher")
            K = assemble_matrix(weighted_stiffness(self.V, self.function(self.teacher)))
            K.assemble()
        self.stiffness = K = compressed(K)
        self.weight = self.volume * self.teacher
        self._flow = problem.divergence.homogeneous
        with common.Timer("uf:hierarchy"):
            linear = linear_solver(K, grid, self.node, problem.manifold.dim)
            self.stage = Stage(FluxForm(K), linear, self.weight, self._flow, comm)
        self._exact = scheme.order == 1

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
        values = self._together(lambda: density(self.points))
        lowest = self._reduce(float(values.min(initial=np.inf)), MPI.MIN)
        mass = self._reduce(float(self.volume @ values), MPI.SUM)
        if not (lowest > 0 and math.isfinite(mass)):
            raise InputError(
                f"The {name} density must be positive and finite on the whole manifold "
                f"(its minimum is {lowest:.3g}, its integral {mass:.3g})."
            )
        return values / mass

    def _together(self, work: Callable[[], Array]) -> Array:
        """``work()`` on each rank; where it refuses on one of them, that refusal on all."""
        result, refusal = np.empty(0), None
        try:
            result = work()
        except InputError as error:
            refusal = error
        first = next((e for e in self.comm.allgather(refusal) if e is not None), None)
        if first is not None:
            raise first
        return result

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
        w = self._flow.df(1 / ratio)
        return self._evaluated(0.0, 0, 0.0, ratio, w, self._rate(w))

    def resumed(self, t: float, step: int, pace: Pace, ratio: Array) -> DiffusionState:
        """A state of an earlier run, from its ratio h at this rank's nodes."""
        w = self._flow.df(1 / ratio)
        return replace(self._evaluated(t, step, 0.0, ratio, w, self._rate(w)), pace=pace)

    def iterate(
        self, t_end: float, step_size: float | None = None, start: DiffusionState | None = None
    ) -> Iterator[DiffusionState]:
        """The states from t = 0 to ``t_end``, the first and the last included.

        Args:
            t_end: final time, dimensionless.
            step_size: a fixed step, rounded so that whole steps lead to ``t_end``, for convergence
                studies; adaptive where it is not given.
            start: a state to go on from, see `resumed`; only those after it are given then.

        Raises:
            SolverFailure: when no step is small enough.
        """
        if start is not None:
            yield from self._adaptive(start, t_end)
            return
        state = self.state(self.problem.initial)
        yield state
        if step_size is None:
            yield from self._adaptive(state, t_end)
            return
        self._exact = True
        previous, count = None, max(1, round(t_end / step_size))
        for _ in range(count):
            (state, _), previous = self.step(state, t_end / count, previous), state
            yield state

    def _adaptive(self, state: DiffusionState, t_end: float) -> Iterator[DiffusionState]:
        control, previous = StepControl(self.scheme.error_order), None
        pace = state.pace or Pace(self._first_step(state), 0.0)
        while state.t < t_end * (1 - 1e-12):
            (new, pace), previous = (
                self._controlled_step(state, previous, pace, t_end, control),
                state,
            )
            state = replace(new, pace=pace)
            yield state

    def _controlled_step(
        self,
        state: DiffusionState,
        previous: DiffusionState | None,
        pace: Pace,
        t_end: float,
        control: StepControl,
    ) -> tuple[DiffusionState, Pace]:
        """One accepted step, and the pace to go on with."""
        tau, last_error, reason = pace.step, pace.error, ""
        while tau > max(1e-30, 1e-14 * state.t):
            left = t_end - state.t
            length = left if tau >= left else min(tau, left / 2)
            try:
                new, error = self.step(state, length, previous)
            except StageFailure as failure:
                reason, tau, last_error = str(failure), length / 4, 0.0
                continue
            reason = self._broken(state, new)
            if error <= 1 and not reason:
                # a step shortened only to land on t_end says nothing against the longer one
                longer = length * control.factor(error, last_error)
                return new, Pace(max(longer, tau if length < tau else 0.0), error)
            tau, last_error = length * min(control.factor(error), 0.5), 0.0
        raise SolverFailure(
            f"The diffusion solver stopped at t = {state.t:.6g} with step {tau:.1e} and "
            f"min mu/nu = {state.min_ratio:.3g}: {reason or 'the error stays above rtol'}."
        )

    def step(
        self, state: DiffusionState, tau: float, previous: DiffusionState | None = None
    ) -> tuple[DiffusionState, float]:
        """One step of length ``tau``, and its estimated error as a multiple of the tolerance.

        Args:
            state: where it starts.
            tau: its length, dimensionless.
            previous: the state before, for a first guess by extrapolation.

        Raises:
            StageFailure: when a stage does not converge.
        """
        tolerance = self._stage_tolerance(state)
        guess, k = self._extrapolation(state, previous), [state.derivative]
        reports: list[StageReport] = []
        surprise, first = np.zeros_like(state.ratio), self.scheme.nodes[0]
        with common.Timer("uf:stages"):
            for row, node in zip(self.scheme.a, self.scheme.nodes, strict=True):
                b = state.ratio + sum(
                    (tau * a * rate for a, rate in zip(row[:-1], k, strict=True) if a),
                    start=0.0 * state.ratio,
                )
                start = self._inside(state, guess(node * tau) + (node / first) ** 2 * surprise)
                w, ratio, report = self.stage.solve(b, tau * row[-1], start, tolerance)
                if not reports:
                    surprise = w - guess(node * tau)
                reports.append(report)
                k.append(self._rate(w))
        error = tau * sum(e * rate for e, rate in zip(self.scheme.error, k, strict=True))
        new = self._evaluated(state.t + tau, state.step + 1, tau, ratio, w, k[-1], reports)
        return new, self._error_norm(np.asarray(error), new)

    def _stage_tolerance(self, state: DiffusionState) -> float:
        """Of the relative error of u in a stage: round-off where the scheme's principles are exact
        or the step is fixed, else a small fraction of the step's error.
        """
        if self._exact:
            return 1e-13
        return max(1e-13, STAGE * self.rtol * min(1.0, max(0.01, state.distance)))

    def _extrapolation(
        self, state: DiffusionState, previous: DiffusionState | None
    ) -> Callable[[float], Array]:
        """The potential a time after ``state``: its tangent, bent to meet the state before."""
        w = state.potential
        speed = -state.derivative / (state.ratio * self.stage.relative_slope(w))
        if previous is None:
            return lambda s: w + s * speed
        tau = state.t - previous.t
        bend = (previous.potential - w + tau * speed) / tau**2
        return lambda s: w + s * speed + s * s * bend

    def _inside(self, state: DiffusionState, guess: Array) -> Array:
        """A first guess within half the way to the end of f*'s domain, at every node."""
        w = state.potential
        change = self.stage.largest(self.stage.relative_slope(w) * (guess - w))
        most = 0.5 / max(1.0, self._flow.power - 1)
        return guess if change <= most else w + (most / change) * (guess - w)

    def between(self, old: DiffusionState, new: DiffusionState, t: float) -> Array:
        """The ratio h ``(owned,)`` at a time between two successive states.

        Cubic Hermite interpolation conserves mass, as every linear combination of states and rates
        does. What it adds to the linear interpolant, which cannot leave the bounds of h at ``old``,
        is scaled down where it would.
        """
        tau = new.t - old.t
        s = (t - old.t) / tau
        linear = (1 - s) * old.ratio + s * new.ratio
        slope = (new.ratio - old.ratio) / tau
        bend = (1 - s) * (old.derivative - slope) - s * (new.derivative - slope)
        more = s * (1 - s) * tau * bend
        room = np.where(more > 0, old.max_ratio - linear, linear - old.min_ratio)
        excess = np.abs(more) / np.maximum(room, 1e-15 * old.max_ratio)
        return linear + more / max(1.0, self._reduce(float(excess.max(initial=0.0)), MPI.MAX))

    def _error_norm(self, error: Array, new: DiffusionState) -> float:
        relative = self.stage.relative_error(error, new.potential)
        size = math.sqrt(self._reduce(float(self.weight @ relative**2), MPI.SUM))
        return size / (self.rtol * min(1.0, max(1e-8, new.distance)))

    def _first_step(self, state: DiffusionState) -> float:
        relative = state.derivative / state.ratio
        speed = math.sqrt(self._reduce(float(self.weight @ relative**2), MPI.SUM))
        return 0.1 * math.sqrt(self.rtol) / max(speed, 1e-3)

    def _broken(self, old: DiffusionState, new: DiffusionState) -> str:
        """Which principle a step broke, beyond the tolerance of a stage; empty when none."""
        slack = max(1e-12, self._stage_tolerance(old))
        if new.dual_energy > old.dual_energy + slack * max(abs(old.dual_energy), 1e-3):
            return "the dual energy increased"
        if not self.stage.stiffness.monotone:
            return ""
        if new.risk > old.risk + slack * max(abs(old.risk), 1e-3):
            return "the risk increased"
        if new.min_ratio < old.min_ratio * (1 - slack):
            return "the minimum of mu/nu fell"
        if new.max_ratio > old.max_ratio * (1 + slack):
            return "the maximum of mu/nu rose"
        return ""

    def _rate(self, w: Array) -> Array:
        """dh/dt = K w / c."""
        return self.stage.stiffness(w) / self.weight

    def _reduce(self, value: float, op: MPI.Op) -> float:
        return float(reduced(np.array([value]), self.comm, op)[0])

    def _evaluated(
        self,
        t: float,
        step: int,
        tau: float,
        ratio: Array,
        potential: Array,
        derivative: Array,
        reports: list[StageReport] | None = None,
    ) -> DiffusionState:
        mu, u = self.weight * ratio, 1 / ratio
        sums = np.array(
            [
                mu.sum(),
                mu @ self.problem.divergence.f(u),
                self.weight @ self._flow.dual_energy(u),
                self.weight @ (ratio - 1) ** 2,
            ]
        )
        bounds = np.array([-ratio.min(initial=np.inf), ratio.max(initial=0.0)])
        mass, risk, dual_energy, squared = map(float, reduced(sums, self.comm))
        reduced(bounds, self.comm, MPI.MAX)
        return DiffusionState(
            t, step, tau, ratio, potential, derivative, mass, risk, dual_energy,
            -float(bounds[0]), float(bounds[1]), math.sqrt(squared),
            sum(r.newton_iterations for r in reports or ()),
            sum(r.linear_iterations for r in reports or ()),
        )  # fmt: skip
