"""The solver of the ultra-fast diffusion equation."""

from __future__ import annotations

from mpi4py import MPI

import math
from collections.abc import Iterator, Sequence
from functools import cached_property

import numpy as np
from petsc4py import PETSc

from uf_diffusion.core.arrays import Array
from uf_diffusion.diffusion.chain_linear_step import DAMPED
from uf_diffusion.diffusion.chain_run import ChainRun
from uf_diffusion.diffusion.compiled_divergences import KINDS
from uf_diffusion.diffusion.extrapolation import guess
from uf_diffusion.diffusion.fluxes import FluxForm
from uf_diffusion.diffusion.linear_solvers import linear_solver, reduced
from uf_diffusion.diffusion.petsc import StageFailure, chosen
from uf_diffusion.diffusion.principles import (
    STAGE,
    VIOLATED,
    stage_tolerance,
    step_tolerance,
    violated,
    watched,
)
from uf_diffusion.diffusion.schemes import SCHEMES, Scheme
from uf_diffusion.diffusion.stage import LEAST, NOT_POSITIVE, Stage, StageReport
from uf_diffusion.diffusion.states import Before, DiffusionState, Pace, SolverFailure
from uf_diffusion.diffusion.time_stepping import Evolution
from uf_diffusion.grids.base import Grid
from uf_diffusion.problem import Problem

__all__ = ["DiffusionState", "SolverFailure", "UltraFastDiffusion"]


class UltraFastDiffusion(Evolution):
    """Solves d mu/dt = -div(nu grad f'(nu/mu)) with mass-lumped elements and an implicit scheme.

    Mass is conserved and mu is positive for every scheme, step and degree. With implicit Euler the
    dual energy decreases, and at degree 1 on a mesh without obtuse angles the maximum principle
    and the decay of the risk hold up to round-off as well. With the other schemes the step control
    enforces these principles up to a small fraction of rtol: a step that violates one is repeated
    with a smaller length.

    Args:
        problem, grid, scheme, comm: see `Evolution`.
        rtol: tolerance of the step control for the local error of log u, as a root mean square over
            nu, relative to the distance from equilibrium (at most 1). Dimensionless.

    Raises:
        InputError: as `Evolution`, and for an option that PETSc does not accept.
    """

    def __init__(
        self,
        problem: Problem,
        grid: Grid,
        scheme: Scheme = SCHEMES["sdirk2"],
        rtol: float = 1e-4,
        comm: MPI.Comm = MPI.COMM_WORLD,
    ) -> None:
        super().__init__(problem, grid, scheme, rtol, comm)
        self._flow = problem.divergence.homogeneous
        with self.timings.part("assembly"):
            self._compiled = self._compiled_run()
        if self._compiled is None:
            self.stage
        self._exact = scheme.order == 1

    @cached_property
    def stiffness(self) -> PETSc.Mat:
        """The matrix K."""
        with self.timings.part("assembly"):
            return self.elements.stiffness(self.teacher)

    @cached_property
    def stage(self) -> Stage:
        """The stages of a step, with their linear solver."""
        K = self.stiffness
        with self.timings.part("linear solver"):
            fluxes = FluxForm(K)
            linear = linear_solver(K, self.grid, self.node, fluxes)
            return Stage(fluxes, linear, self.weight, self._flow, self.comm)

    def _compiled_run(self) -> ChainRun | None:
        """The time loop in machine code: in one dimension, unless the user has chosen another
        solver or brought an own regulariser.
        """
        divergence = self.problem.divergence
        if chosen() or type(divergence) not in KINDS:
            return None
        chain = self.elements.chain(self.teacher)
        if chain is None:
            return None
        return ChainRun(chain, self.weight, divergence, self.scheme, self.rtol)

    def first(self, ratio: Array) -> DiffusionState:
        w = self._flow.df(1 / ratio)
        return self._evaluated(None, 0.0, ratio, w, self._rate(w))

    def outer_weight(self, ratio: Array) -> Array:
        return 1 / ratio

    def _fixed(
        self, state: DiffusionState, t_end: float, step_size: float
    ) -> Iterator[DiffusionState]:
        before, self._exact = self._exact, True
        yield from super()._fixed(state, t_end, step_size)
        self._exact = before

    def _adaptive(self, state: DiffusionState, t_end: float) -> Iterator[DiffusionState]:
        if self._compiled is None:
            yield from super()._adaptive(state, t_end)
        else:
            pace = state.pace or Pace(self._first_step(state), 0.0)
            yield from self._compiled.states(state, pace, t_end)

    def step(self, state: DiffusionState, tau: float) -> tuple[DiffusionState, float]:
        tolerance = self._stage_tolerance(state)
        if self._compiled is not None:
            with self.timings.part("stages"):
                new, size = self._compiled.step(state, tau, tolerance)
            return new, self._relative(size, new)
        if self.scheme.linear:
            return self._linear_step(state, tau, 1e-2 * tolerance)
        known = self._known(state, tau)
        back = 0.0 if state.before is None else (state.before.t - state.t) / tau
        nodes, k = np.array(self.scheme.nodes), [state.derivative]
        reports: list[StageReport] = []
        with self.timings.part("stages"):
            for i, row in enumerate(self.scheme.a):
                b = self.scheme.stage_start(state.ratio, tau, row, k)
                start = self._inside(state, guess(known, back, nodes, i, nodes[i]))
                w, ratio, report = self.stage.solve(b, tau * row[-1], start, tolerance)
                known[4:] = known[5], w
                reports.append(report)
                k.append(self._rate(w))
        error = self.scheme.error_of(tau, k)
        new = self._evaluated(state, tau, ratio, w, k[-1], reports)
        return new, self._size(self.stage.relative_error(error, new.potential), new)

    def _linear_step(
        self, state: DiffusionState, tau: float, rtol: float
    ) -> tuple[DiffusionState, float]:
        """As `step`, with a Rosenbrock scheme; `chain_linear_step` has the equations. Each linear
        system counts as a Newton iteration.
        """
        stage, gamma, k = self.stage, self.scheme.a[0][-1], list[Array]()
        its, h, rate = 0, state.ratio, state.derivative
        with self.timings.part("stages"):
            slope = self._set_derivative(state, gamma * tau)
            for row, coupling in zip(self.scheme.a, self.scheme.coupling, strict=True):
                if k:
                    h = state.ratio + _combined(row[:-1], k)
                    self._require_positive(h)
                    rate = self._rate(self._flow.df(1 / h))
                right = gamma * self.weight * (tau * rate + _combined(coupling, k))
                z, count = stage.linear.solve(right, max(LEAST, rtol))
                k.append(slope * z)
                its += count
            h = h + k[-1]
            self._require_positive(h)
            w, ratio = stage.balanced(self._flow.df(1 / h), state.ratio)
        report = StageReport(len(k), its, 0.0)
        new = self._evaluated(state, tau, ratio, w, self._rate(w), [report])
        return new, self._size(k[-1] / h, new)

    def _rate_between(self, state: DiffusionState, tau: float) -> Array:
        """The derivative; for linearly implicit schemes without its stiff part, as there it has
        large errors of short waves at the end of a step, which the next step damps.

        It is (1 - (1 - S)^q) h' with S = (1 - gamma tau J)^-1 and q = `DAMPED`; the change is
        O(tau^q).
        """
        if not self.scheme.linear:
            return state.derivative
        s = self.scheme.a[0][-1] * tau
        if self._compiled is not None:
            return self._compiled.damped(state, s)
        slope, left = self._set_derivative(state, s), state.derivative
        for _ in range(DAMPED):
            z, _ = self.stage.linear.solve(self.weight * left, max(LEAST, self.slack))
            left = left - slope * z
        return state.derivative - left

    def _set_derivative(self, state: DiffusionState, s: float) -> Array:
        """Set the linear solver for the matrix c / D + s K of `chain_linear_step`; returns 1 / D,
        which is -dh/dw, ``(owned,)``.
        """
        slope = state.ratio * self.stage.relative_slope(state.potential)
        self.stage.linear.set(self.weight * slope, s)
        return np.asarray(slope)

    def _require_positive(self, ratio: Array) -> None:
        """Refuse a ratio, on all ranks.

        Raises:
            StageFailure: if it is not positive and finite at all nodes.
        """
        lowest = float(ratio.min(initial=np.inf))  # which is NaN if one is
        if not self._reduce(lowest if lowest > 0 else 0.0, MPI.MIN) > 0:
            raise StageFailure(NOT_POSITIVE)

    def _size(self, relative: Array, new: DiffusionState) -> float:
        """The root mean square over nu of a relative error ``(owned,)`` of u, as a multiple of the
        tolerance.
        """
        square = self._reduce(float(self.weight @ relative**2), MPI.SUM)
        return self._relative(math.sqrt(square), new)

    def _known(self, state: DiffusionState, tau: float) -> list[Array | None]:
        """What the first guesses of a step combine, see `guess_weights`."""
        known = [state.potential, tau * self._speed(state.potential, state.derivative)]
        before = state.before
        if before is None:
            return [*known, None, None, None, None]
        speed = tau * self._speed(before.potential, before.derivative)
        return [*known, before.potential, speed, None, None]

    def _speed(self, w: Array, derivative: Array) -> Array:
        """The derivative of the potential w, from that of the ratio."""
        return -derivative * self._flow.dconjugate(w) / self.stage.relative_slope(w)

    @property
    def slack(self) -> float:
        return max(1e-12, 0.0 if self._exact else STAGE * self.rtol)

    def _stage_tolerance(self, state: DiffusionState) -> float:
        return stage_tolerance(self._exact, self.rtol, state.distance)

    def _ratio_before(self, state: DiffusionState) -> Array | None:
        before = state.before
        return None if before is None else 1 / self._flow.dconjugate(before.potential)

    def _inside(self, state: DiffusionState, guess: Array) -> Array:
        """The guess, moved towards ``state`` if at some node it is more than half the way to the
        end of the domain of f*.
        """
        w = state.potential
        change = self.stage.largest(self.stage.relative_slope(w) * (guess - w))
        most = 0.5 / max(1.0, self._flow.power - 1)
        return guess if change <= most else w + (most / change) * (guess - w)

    def _relative(self, error: float, new: DiffusionState) -> float:
        """The error of a step as a multiple of the tolerance."""
        return error / step_tolerance(self.rtol, new.distance)

    def broken(self, old: DiffusionState, new: DiffusionState) -> str:
        slack = max(1e-12, self._stage_tolerance(old))
        monotone = self.stage.stiffness.monotone
        return VIOLATED[violated(watched(old), watched(new), slack, monotone)]

    def _rate(self, w: Array) -> Array:
        """The derivative dh/dt = K w / c."""
        if self._compiled is not None:
            return self._compiled.rate(w)
        return self.stage.stiffness(w) / self.weight

    def _evaluated(
        self,
        old: DiffusionState | None,
        tau: float,
        ratio: Array,
        potential: Array,
        derivative: Array,
        reports: Sequence[StageReport] = (),
    ) -> DiffusionState:
        """The state a time tau after an old one; the first state if there is no old one."""
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
        t, step = (old.t + tau, old.step + 1) if old else (0.0, 0)
        reduced(bounds, self.comm, MPI.MAX)
        return DiffusionState(
            t, step, tau, ratio, potential, derivative, mass, risk, dual_energy,
            -float(bounds[0]), float(bounds[1]), math.sqrt(squared),
            sum(r.newton_iterations for r in reports), sum(r.linear_iterations for r in reports),
            max((r.error for r in reports), default=0.0),
            before=None if old is None else Before(old.t, old.potential, old.derivative),
        )  # fmt: skip


def _combined(factors: Sequence[float], k: Sequence[Array]) -> Array | float:
    """The sum of the products of ``factors`` and the first arrays in ``k``."""
    return sum((factor * x for factor, x in zip(factors, k, strict=True)), start=0.0)
