"""The common part of the equations' solvers: densities at the nodes, and the loop over steps."""

from __future__ import annotations

from mpi4py import MPI

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
from petsc4py import PETSc

from uf_diffusion.core.arrays import Array, Index
from uf_diffusion.core.errors import InputError
from uf_diffusion.core.large_arrays import keep_freed_memory
from uf_diffusion.core.reprs import one_line
from uf_diffusion.diffusion.extrapolation import hermite
from uf_diffusion.diffusion.gathering import Gathering
from uf_diffusion.diffusion.linear_solvers import reduced
from uf_diffusion.diffusion.petsc import StageFailure
from uf_diffusion.diffusion.schemes import Scheme, StepControl
from uf_diffusion.diffusion.spaces import space_of
from uf_diffusion.diffusion.states import DiffusionState, Pace, SolverFailure, stopped
from uf_diffusion.grids.base import Grid
from uf_diffusion.problem import Problem
from uf_diffusion.problem.densities import Density
from uf_diffusion.results.timings import Timings

__all__ = ["GROWTH", "Evolution"]

GROWTH = 1.2  # factor between a step and the next one after longer steps failed


class Evolution(ABC):
    """A base class of solvers: an equation for mu at the nodes of a mesh, with implicit steps.

    Args:
        problem: the problem. Both densities are scaled to discrete mass 1.
        grid: the mesh, see `uf_diffusion.grids.built_in.grid_on`.
        scheme: the time scheme.
        rtol: tolerance of the step control, between 0 and 1, dimensionless.
        comm: the ranks over which the mesh is distributed.

    Attributes:
        volume: the lumped volume of each owned node, ``(owned,)``.
        teacher: nu at the owned nodes, ``(owned,)``.
        weight: volume times nu, the teacher's mass at the owned nodes, ``(owned,)``.
        elements: the finite-element space of the mesh.
        node: the grid's number of each owned node, ``(owned,)``.
        timings: times that the parts of the solver took.

    Raises:
        InputError: for a density that is not positive and finite at all nodes, or another rtol.
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
            self.elements = space_of(grid, comm, self._ranks_of_cells(grid, comm))
        self.node = self.elements.node
        self.volume = self._assemble_volume()
        self.teacher = self.nodal(problem.teacher, "teacher")
        self.weight = self.volume * self.teacher

    def __repr__(self) -> str:
        return one_line(
            type(self).__name__, manifold=repr(self.problem.manifold), nodes=self.grid.node_count,
            scheme=self.scheme.name, rtol=self.rtol, ranks=self.comm.size,
        )  # fmt: skip

    def on(self, grid: Grid, rtol: float, scheme: Scheme | None = None) -> Evolution:
        """The solver of the same problem on another mesh, with another tolerance or scheme.

        Raises:
            InputError: as the class.
        """
        kind: Any = type(self)
        solver: Evolution = kind(self.problem, grid, scheme or self.scheme, rtol, self.comm)
        return solver

    def bounds(self, ratios: Sequence[Array]) -> dict[str, Array]:
        """Bounds of further errors for ratios ``(owned,)``, by name; each ``(ratios,)``."""
        return {}

    @abstractmethod
    def first(self, ratio: Array) -> DiffusionState:
        """The state at t = 0 for a ratio h at this rank's nodes, ``(owned,)``."""

    @abstractmethod
    def outer_weight(self, ratio: Array) -> Array:
        """The outer weights u for a ratio h, both ``(owned,)``."""

    @abstractmethod
    def step(self, state: DiffusionState, tau: float) -> tuple[DiffusionState, float]:
        """The state after a step, and the step's estimated error as a multiple of the tolerance.

        Args:
            state: the state at the start of the step.
            tau: length of the step, dimensionless.

        Raises:
            StageFailure: when a stage does not converge.
        """

    @property
    @abstractmethod
    def slack(self) -> float:
        """The tolerance of the stages, and the relative amount by which a step may violate the
        principles of `broken`.
        """

    @abstractmethod
    def broken(self, old: DiffusionState, new: DiffusionState) -> str:
        """The principle, such as the decay of the risk, that a step from ``old`` to ``new``
        violates by more than the tolerance, in words; empty if there is none.
        """

    def _ranks_of_cells(self, grid: Grid, comm: MPI.Comm) -> Index | None:
        """The rank that each cell goes to, ``(cells,)``; None to leave that to DOLFINx."""
        return None

    def _assemble_volume(self) -> Array:
        return self.elements.volumes

    @cached_property
    def points(self) -> Array:
        """The owned nodes, points ``(owned, ambient)`` on the manifold."""
        return self.elements.points

    def nodal(self, density: Density, name: str) -> Array:
        """A density at the owned nodes, ``(owned,)``, scaled to discrete mass 1.

        Args:
            density: the density.
            name: its name in messages.

        Raises:
            InputError: on all ranks, if it is not positive and finite at all nodes.
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
        """The result of ``work()`` on each rank; an InputError on one rank is raised on all."""
        result, refusal = np.empty(0), None
        try:
            result = work()
        except InputError as error:
            refusal = error
        first = next((e for e in self.comm.allgather(refusal) if e is not None), None)
        if first is not None:
            raise first
        return result

    @cached_property
    def gathering(self) -> Gathering:
        """How the nodes are distributed."""
        return Gathering(self.node, self.grid.node_count, self.comm)

    def gathered(self, values: Array) -> Array | None:
        """Gather values ``(..., owned)`` to ``(..., n)`` in the grid's numbering, on rank 0 only.

        The other ranks get None.
        """
        return self.gathering.gathered(values)

    def everywhere(self, values: Array) -> Array:
        """Gather values ``(..., owned)`` to ``(..., n)`` in the grid's numbering, on all ranks."""
        return self.gathering.everywhere(values)

    def state(self, density: Density) -> DiffusionState:
        """The state at t = 0 for an initial density.

        Raises:
            InputError: if the density is not positive and finite at all nodes, or so far from the
                teacher that the energies would overflow.
            SolverFailure: if the derivative at the start cannot be computed.
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
        """Iterate over the states from t = 0 to ``t_end``, both included.

        Args:
            t_end: final time, dimensionless.
            step_size: a fixed step, for convergence studies; it is adjusted so that ``t_end`` is a
                multiple of it. By default the steps are adaptive.
            start: a state from which to continue; it is not yielded again.

        Raises:
            SolverFailure: when no step is small enough, or a fixed step fails.
            InputError: for a final time that is not positive, and as `state`.
        """
        if not t_end > 0:
            raise InputError(f"The final time must be positive, not {t_end}.")
        keep_freed_memory(self.weight.nbytes)
        PETSc.garbage_cleanup(self.comm)  # on several ranks, matrices are only freed together
        state = start
        if state is None:
            state = self.state(self.problem.initial)
            yield state
        if step_size is None:
            yield from self._adaptive(state, t_end)
        else:
            yield from self._fixed(state, t_end, step_size)

    def _fixed(
        self, state: DiffusionState, t_end: float, step_size: float
    ) -> Iterator[DiffusionState]:
        count = max(1, round(t_end / step_size))
        # the very same number for every final time that is a multiple of it
        tau = step_size if math.isclose(count * step_size, t_end, rel_tol=1e-12) else t_end / count
        for k in range(state.step + 1, count + 1):
            try:
                new, _ = self.step(state, tau)
            except StageFailure as failure:
                raise SolverFailure(
                    f"The diffusion solver stopped at t = {state.t:.6g} with the fixed step "
                    f"{tau:.1e}: {failure}."
                ) from None
            state = replace(new, t=tau * k)  # a sum of steps has round-off
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
        """The state after an accepted step, and the next state of the step control."""
        tau, last_error, reason, growth = pace.step, pace.error, "", math.inf
        while tau > max(1e-30, 1e-14 * state.t):
            left = t_end - state.t
            length = left if tau >= left else min(tau, left / 2)
            try:
                new, error = self.step(state, length)
            except StageFailure as failure:
                reason, tau, last_error, growth = str(failure), length / 2, 0.0, GROWTH
                continue
            reason = self.broken(state, new) if math.isfinite(new.risk) else "the risk is infinite"
            if error <= 1 and not reason:
                # a step that was shortened only to end at t_end does not shorten the next step
                longer = length * min(growth, control.factor(error, last_error))
                return new, Pace(max(longer, tau if length < tau else 0.0), error)
            tau, last_error = length * min(control.factor(error), 0.5), 0.0
        raise stopped(state, tau, reason)

    def between(self, old: DiffusionState, new: DiffusionState, t: float) -> Array:
        """The ratio h ``(owned,)`` at a time t between two successive states.

        It is a cubic Hermite interpolant, or the quartic one that also has the value of the state
        before, where that is known. It conserves mass, as every such combination of states and
        derivatives does. Its difference to the linear interpolant is scaled down if the result
        would be outside the bounds of h at the two states.
        """
        tau = new.t - old.t
        s = (t - old.t) / tau
        first, last = self._rate_between(old, tau), self._rate_between(new, tau)
        ends = old.ratio, new.ratio, tau * first, tau * last
        linear, more = hermite(*ends, s)
        earlier = self._ratio_before(old)
        if old.before is not None and earlier is not None:
            back = (old.before.t - old.t) / tau
            share = (s * (1 - s) / (back * (1 - back))) ** 2
            more += share * (earlier - sum(hermite(*ends, back)))
        low, high = min(old.min_ratio, new.min_ratio), max(old.max_ratio, new.max_ratio)
        room = np.where(more > 0, high - linear, linear - low)
        excess = np.abs(more) / np.maximum(room, 1e-15 * high)
        return linear + more / max(1.0, self._reduce(float(excess.max(initial=0.0)), MPI.MAX))

    def _rate_between(self, state: DiffusionState, tau: float) -> Array:
        """The derivative of the ratio ``(owned,)`` with which a step tau is interpolated."""
        return state.derivative

    def _ratio_before(self, state: DiffusionState) -> Array | None:
        """The ratio of the state before, ``(owned,)``; None if it is not known."""
        return None

    def _first_step(self, state: DiffusionState) -> float:
        relative = state.derivative / state.ratio
        speed = math.sqrt(self._reduce(float(self.weight @ relative**2), MPI.SUM))
        return 0.1 * math.sqrt(self.rtol) / max(speed, 1e-3)

    def _reduce(self, value: float, op: MPI.Op) -> float:
        return float(reduced(np.array([value]), self.comm, op)[0])
