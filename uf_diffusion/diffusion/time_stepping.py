"""What the equations have in common: densities at the nodes, and the loop over accepted steps."""

from __future__ import annotations

from mpi4py import MPI

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
from dolfinx import fem
from dolfinx.fem.petsc import assemble_vector
from petsc4py import PETSc

from uf_diffusion.core.arrays import Array
from uf_diffusion.core.errors import InputError, RunFailure
from uf_diffusion.core.reprs import one_line
from uf_diffusion.diffusion.forms import lumped_volume
from uf_diffusion.diffusion.linear_solvers import reduced
from uf_diffusion.diffusion.meshes import space_on
from uf_diffusion.diffusion.petsc import StageFailure
from uf_diffusion.diffusion.schemes import Scheme, StepControl
from uf_diffusion.grids.base import Grid
from uf_diffusion.problem import Problem
from uf_diffusion.problem.densities import Density
from uf_diffusion.results.timings import Timings

__all__ = ["Before", "DiffusionState", "Evolution", "Pace", "SolverFailure"]


class SolverFailure(RunFailure):
    """The time loop cannot go on; the message names t, the step and the reason."""


class Before(NamedTuple):
    """Of the state before this one: its time and its potential at this rank's nodes."""

    t: float
    potential: Array


class Pace(NamedTuple):
    """What the step control carries on: the next step's length, and the last one's error as a
    multiple of the tolerance.
    """

    step: float
    error: float


@dataclass(frozen=True)
class DiffusionState:
    """The solution at one time, on this rank's nodes, and what the last step cost: all that the
    next step depends on.

    Attributes:
        t: time, dimensionless.
        step: number of accepted steps so far.
        step_size: length of the step that led here; 0 at the start.
        ratio: h = mu / nu at the owned nodes, ``(owned,)``, positive.
        potential: w there, of the divergence's homogeneous form.
        derivative: dh/dt there.
        mass: integral of mu over the mesh.
        risk: L0, whose flow in W_2 the PDE is.
        dual_energy: the energy whose flow in H^-1(nu) the PDE is; KL(nu | mu) for p = 2. Not a
            number for the constrained equation, which has none.
        min_ratio, max_ratio: bounds of h over all ranks.
        distance: from the teacher: the root mean square over nu of h - 1.
        newton_iterations, linear_iterations: work of the last step.
        stage_error: that Newton's method left in its stages, as estimated: the largest relative
            error of u; of the constrained equation the misplaced mass.
        pace: how the step control goes on; nothing at the start and with fixed steps.
        before: the state before, for a first guess by extrapolation; nothing at the start.
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
    stage_error: float = 0.0
    pace: Pace | None = None
    before: Before | None = None

    def __repr__(self) -> str:
        return one_line(
            "DiffusionState", t=self.t, step=self.step, mass=self.mass, risk=self.risk,
            nodes=len(self.ratio),
        )  # fmt: skip


class Evolution(ABC):
    """An equation for mu on the nodes of a mesh, advanced by implicit steps.

    Args:
        problem: what to solve. Both densities are normalised to discrete mass 1.
        grid: the mesh, see `uf_diffusion.grids.built_in.grid_on`.
        scheme: the time scheme.
        rtol: tolerance of the step control, dimensionless.
        comm: the ranks that share the mesh.

    Attributes:
        volume: the lumped volume of each owned node, ``(owned,)``.
        teacher: nu there.
        weight: the teacher's mass there.
        timings: of the solver's parts.

    Raises:
        InputError: for a density that is not positive and finite at all nodes.
    """

    def __init__(
        self, problem: Problem, grid: Grid, scheme: Scheme, rtol: float, comm: MPI.Comm
    ) -> None:
        if not 0 < rtol < 1:
            raise InputError(f"diffusion.rtol must lie between 0 and 1, not {rtol}.")
        self.problem, self.grid, self.scheme, self.rtol, self.comm = (
            problem, grid, scheme, rtol, comm,
        )  # fmt: skip
        self.timings = Timings()
        with self.timings.part("mesh"):
            self.V, self.node = space_on(grid, comm)
        self.mesh = self.V.mesh
        self.volume = self._assemble_volume()
        self.teacher = self.nodal(problem.teacher, "teacher")
        self.weight = self.volume * self.teacher

    def __repr__(self) -> str:
        return one_line(
            type(self).__name__, manifold=repr(self.problem.manifold), nodes=len(self.grid.nodes),
            scheme=self.scheme.name, rtol=self.rtol, ranks=self.comm.size,
        )  # fmt: skip

    @abstractmethod
    def first(self, ratio: Array) -> DiffusionState:
        """The state at t = 0 of a ratio h at this rank's nodes."""

    @abstractmethod
    def outer_weight(self, ratio: Array) -> Array:
        """The outer weights u of a ratio h, both ``(owned,)``."""

    @abstractmethod
    def step(self, state: DiffusionState, tau: float) -> tuple[DiffusionState, float]:
        """One step of length ``tau``, and its estimated error as a multiple of the tolerance.

        Args:
            state: where it starts.
            tau: its length, dimensionless.

        Raises:
            StageFailure: when a stage does not converge.
        """

    @property
    @abstractmethod
    def slack(self) -> float:
        """What a step may break a principle by, relative, and its stages may be left with."""

    @abstractmethod
    def broken(self, old: DiffusionState, new: DiffusionState) -> str:
        """Which principle a step broke, beyond the tolerance of a stage; empty when none."""

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
        return None if parts is None else self._merged(parts)

    def everywhere(self, values: Array) -> Array:
        """The same on all ranks."""
        return self._merged(self.comm.allgather((self.node, values)))

    def _merged(self, parts: list[tuple[Array, Array]]) -> Array:
        whole = np.empty((*parts[0][1].shape[:-1], len(self.grid.nodes)))
        for node, part in parts:
            whole[..., node] = part
        return whole

    def state(self, density: Density) -> DiffusionState:
        """The state at t = 0 of an initial density.

        Raises:
            InputError: for one that is not positive and finite at all nodes, or too far from the
                teacher for the energies to be numbers.
            SolverFailure: for one from which the equation cannot start.
        """
        mu = self.nodal(density, "initial")
        apart = np.abs(np.log10(mu) - np.log10(self.teacher)).max(initial=0.0)
        furthest = self._reduce(float(apart), MPI.MAX)
        most = 200 / max(2.0, self.problem.divergence.power)
        if furthest > most:
            raise InputError(
                f"Initial density and teacher differ by a factor of 1e{furthest:.0f} at a node, "
                f"and 1e{most:.0f} is the most that this regulariser allows."
            )
        try:
            return self.first(mu / self.teacher)
        except StageFailure as failure:
            raise SolverFailure(f"The diffusion cannot start: {failure}.") from None

    def iterate(
        self, t_end: float, step_size: float | None = None, start: DiffusionState | None = None
    ) -> Iterator[DiffusionState]:
        """The states from t = 0 to ``t_end``, the first and the last included.

        Args:
            t_end: final time, dimensionless.
            step_size: a fixed step, rounded so that whole steps lead to ``t_end``, for convergence
                studies; adaptive where it is not given.
            start: a state to go on from; only those after it are given then.

        Raises:
            SolverFailure: when no step is small enough.
            InputError: for a final time that is not positive.
        """
        if not t_end > 0:
            raise InputError(f"The final time must be positive, not {t_end}.")
        state = start
        if state is None:
            state = self.state(self.problem.initial)
            yield state
        if step_size is None:
            yield from self._adaptive(state, t_end)
        else:
            yield from self._fixed(state, t_end, max(1, round(t_end / step_size)))

    def _fixed(self, state: DiffusionState, t_end: float, count: int) -> Iterator[DiffusionState]:
        for k in range(state.step + 1, count + 1):
            try:
                new, _ = self.step(state, t_end / count)
            except StageFailure as failure:
                raise SolverFailure(
                    f"The diffusion solver stopped at t = {state.t:.6g} with the fixed step "
                    f"{t_end / count:.1e}: {failure}."
                ) from None
            state = replace(new, t=t_end * k / count)  # a sum would drift
            yield state

    def _adaptive(self, state: DiffusionState, t_end: float) -> Iterator[DiffusionState]:
        control = StepControl(self.scheme.error_order)
        pace = state.pace or Pace(self._first_step(state), 0.0)
        while state.t < t_end * (1 - 1e-12):
            new, pace = self._controlled_step(state, pace, t_end, control)
            state = replace(new, pace=pace)
            yield state

    def _controlled_step(
        self, state: DiffusionState, pace: Pace, t_end: float, control: StepControl
    ) -> tuple[DiffusionState, Pace]:
        """One accepted step, and the pace to go on with."""
        tau, last_error, reason = pace.step, pace.error, ""
        while tau > max(1e-30, 1e-14 * state.t):
            left = t_end - state.t
            length = left if tau >= left else min(tau, left / 2)
            try:
                new, error = self.step(state, length)
            except StageFailure as failure:
                reason, tau, last_error = str(failure), length / 4, 0.0
                continue
            reason = self.broken(state, new)
            if error <= 1 and not reason:
                # a step shortened only to land on t_end says nothing against the longer one
                longer = length * control.factor(error, last_error)
                return new, Pace(max(longer, tau if length < tau else 0.0), error)
            tau, last_error = length * min(control.factor(error), 0.5), 0.0
        raise SolverFailure(
            f"The diffusion solver stopped at t = {state.t:.6g} with step {tau:.1e} and "
            f"min mu/nu = {state.min_ratio:.3g}: {reason or 'the error stays above rtol'}."
        )

    def between(self, old: DiffusionState, new: DiffusionState, t: float) -> Array:
        """The ratio h ``(owned,)`` at a time between two successive states.

        Cubic Hermite interpolation conserves mass, as every linear combination of states and rates
        does. What it adds to the linear interpolant is scaled down where the sum would leave the
        bounds of h at both states.
        """
        tau = new.t - old.t
        s = (t - old.t) / tau
        linear = (1 - s) * old.ratio + s * new.ratio
        slope = (new.ratio - old.ratio) / tau
        bend = (1 - s) * (old.derivative - slope) - s * (new.derivative - slope)
        more = s * (1 - s) * tau * bend
        low, high = min(old.min_ratio, new.min_ratio), max(old.max_ratio, new.max_ratio)
        room = np.where(more > 0, high - linear, linear - low)
        excess = np.abs(more) / np.maximum(room, 1e-15 * high)
        return linear + more / max(1.0, self._reduce(float(excess.max(initial=0.0)), MPI.MAX))

    def _first_step(self, state: DiffusionState) -> float:
        relative = state.derivative / state.ratio
        speed = math.sqrt(self._reduce(float(self.weight @ relative**2), MPI.SUM))
        return 0.1 * math.sqrt(self.rtol) / max(speed, 1e-3)

    def _reduce(self, value: float, op: MPI.Op) -> float:
        return float(reduced(np.array([value]), self.comm, op)[0])
