"""The time loop of the ultra-fast diffusion in one dimension, in machine code.

It is the loop of `uf_diffusion.diffusion.time_stepping.Evolution`, many steps at a time.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from uf_diffusion.core.arrays import Array
from uf_diffusion.core.compiled import compiled
from uf_diffusion.diffusion import stage
from uf_diffusion.diffusion.chain import Chain, Conductances, copy
from uf_diffusion.diffusion.chain_linear_step import damped, linear_step
from uf_diffusion.diffusion.chain_memory import (
    NOT_CONVERGED,
    NOT_FINITE,
    NOT_POSITIVE,
    Memory,
    Numbers,
    Start,
    Tableau,
    memory_for,
    tableau_of,
)
from uf_diffusion.diffusion.chain_step import stage_rate, step
from uf_diffusion.diffusion.compiled_divergences import KINDS
from uf_diffusion.diffusion.petsc import StageFailure
from uf_diffusion.diffusion.principles import (
    VIOLATED,
    Watched,
    stage_tolerance,
    step_tolerance,
    violated,
    watched,
)
from uf_diffusion.diffusion.schemes import Scheme, StepControl, step_factor
from uf_diffusion.diffusion.states import Before, DiffusionState, Pace, stopped
from uf_diffusion.diffusion.time_stepping import GROWTH
from uf_diffusion.problem.divergences import Divergence

__all__ = ["ChainRun"]

MOST_STEPS = 64  # at a time
MOST_NUMBERS = 2**18  # that are recorded at a time

# replies of `_march` beside those of `step`; principles are numbered from BROKEN on
NO_STEP, INFINITE, BROKEN = 10, 11, 20
REASONS = {
    NOT_FINITE: "Newton's direction is not finite",
    NOT_CONVERGED: stage.NO_CONVERGENCE,
    NOT_POSITIVE: stage.NOT_POSITIVE,
    NO_STEP: "",
    INFINITE: "the risk is infinite",
} | {BROKEN + k: text for k, text in enumerate(VIOLATED) if text}


class Rules(NamedTuple):
    """What the steps obey.

    Attributes:
        kind, power: the regulariser, see `uf_diffusion.diffusion.compiled_divergences`.
        tableau: the scheme.
        control: the step control.
        rtol: its tolerance.
        exact: whether the stages are solved up to round-off.
        monotone: see `violated`.
    """

    kind: int
    power: float
    tableau: Tableau
    control: StepControl
    rtol: float
    exact: bool
    monotone: bool


class Clock(NamedTuple):
    """Times, and the state of the step control.

    Attributes:
        t, before: times of the state and of the previous one, which are equal if there is none.
        step, error: as in `Pace`.
        distance: of the state from the teacher.
        watched: the numbers of the principles.
    """

    t: float
    before: float
    step: float
    error: float
    distance: float
    watched: Watched


class ChainRun:
    """Steps and runs on a chain of cells.

    Args:
        chain: the mesh and the matrix K.
        weight: c, the teacher's mass at each owned node, ``(owned,)``, positive.
        divergence: the regulariser, one of `KINDS`.
        scheme: the time scheme.
        rtol: tolerance of the step control.
    """

    def __init__(
        self, chain: Chain, weight: Array, divergence: Divergence, scheme: Scheme, rtol: float
    ) -> None:
        self._chain, self._weight = chain, chain.placed(weight)
        monotone = bool((chain.conductances.between >= 0).all())
        self._rules = Rules(
            KINDS[type(divergence)], float(divergence.homogeneous.power), tableau_of(scheme),
            StepControl(scheme.error_order), rtol, scheme.order == 1, monotone,
        )  # fmt: skip
        p, m = self._weight.shape
        self._memory = memory_for(p, m, len(scheme.a))
        count = max(1, min(MOST_STEPS, MOST_NUMBERS // (3 * p * m)))
        self._records, self._numbers = np.empty((count, 3, p, m)), np.empty((count, 12))

    def rate(self, w: Array) -> Array:
        """The derivative of the ratio for a potential w, both ``(owned,)``."""
        rate = np.empty_like(self._weight)
        stage_rate(self._chain.conductances, self._weight, self._chain.placed(w), rate)
        return self._chain.owned(rate)

    def damped(self, state: DiffusionState, s: float) -> Array:
        """The derivative of the ratio ``(owned,)`` without its stiff part; s is gamma tau."""
        K, m = self._chain.conductances, self._memory
        damped(K, self._weight, self._rules.power, self._start(state), s, m)
        return self._chain.owned(m.b)

    def step(
        self, state: DiffusionState, tau: float, tolerance: float
    ) -> tuple[DiffusionState, float]:
        """The state after a step, and the root mean square over nu of the estimated relative error
        of u.

        Args:
            state: the start of the step.
            tau: length of the step, dimensionless.
            tolerance: tolerance for the largest relative error of u in a stage.

        Raises:
            StageFailure: on all ranks, when a stage does not converge.
        """
        rules, before = self._rules, state.t if state.before is None else state.before.t
        found = _step(
            self._chain.conductances, self._weight, rules, self._start(state), before - state.t,
            tau, tolerance, self._memory,
        )  # fmt: skip
        if found.reply:
            raise StageFailure(REASONS[found.reply])
        owned, m = self._chain.owned, self._memory
        new = DiffusionState(
            state.t + tau, state.step + 1, tau, owned(m.ratio), owned(m.w), owned(m.rates[-1]),
            *found[1:7], found.newton_iterations, 0, found.stage_error, before=_last(state),
        )  # fmt: skip
        return new, found.error

    def states(self, state: DiffusionState, pace: Pace, t_end: float) -> Iterator[DiffusionState]:
        """The states after a state up to ``t_end``, with controlled steps.

        Args:
            state: the state at the start.
            pace: the state of the step control.
            t_end: final time, dimensionless.

        Raises:
            SolverFailure: when no step is small enough.
        """
        now = self._start(state)
        while state.t < t_end * (1 - 1e-12):
            before = state.t if state.before is None else state.before.t
            clock = Clock(state.t, before, pace.step, pace.error, state.distance, watched(state))
            count, reply, tau = _march(
                self._chain.conductances, self._weight, self._rules, now, clock, t_end,
                self._memory, self._records, self._numbers,
            )  # fmt: skip
            fields = self._chain.owned(self._records[:count])
            numbers = self._numbers[:count].tolist()
            for (ratio, w, rate), (*first, newtons, left, longer, error) in zip(
                fields, numbers, strict=True
            ):
                t, length, mass, risk, dual, low, high, distance = first
                pace = Pace(longer, error)
                state = DiffusionState(
                    t, state.step + 1, length, ratio, w, rate, mass, risk, dual, low, high,
                    distance, int(newtons), 0, left, pace=pace, before=_last(state),
                )  # fmt: skip
                yield state
            if reply:
                raise stopped(state, tau, REASONS[reply])

    def _start(self, state: DiffusionState) -> Start:
        own = state.ratio, state.potential, state.derivative
        before = state.before or Before(state.t, *own[1:])
        return Start(*map(self._chain.placed, (*own, before.potential, before.derivative)))


def _last(state: DiffusionState) -> Before:
    return Before(state.t, state.potential, state.derivative)


@compiled
def _march(
    K: Conductances, weight: Array, rules: Rules, now: Start, clock: Clock, t_end: float,
    memory: Memory, records: Array, numbers: Array,
) -> tuple[int, int, float]:  # fmt: skip
    """Controlled steps until ``t_end``, or until the records are full.

    Args:
        K, weight: as in `step`.
        rules: what the steps obey.
        now: the state, which is updated.
        clock: the times and numbers of the state.
        t_end: final time.
        memory: of a step.
        records: receives the ratio, the potential and the derivative of each state,
            ``(states, 3, p, m)``.
        numbers: receives the numbers of `DiffusionState` from t to distance, those of the work and
            the state of the step control, ``(states, 12)``.

    Returns:
        The number of new states, 0 or the reason why there is no next one, and its step.
    """
    count = 0
    while count < len(records) and clock.t < t_end * (1 - 1e-12):
        reply, length, found, pace, error = _controlled(K, weight, rules, now, clock, t_end, memory)
        if reply != 0:
            return count, reply, length
        copy(now.potential, now.potential_before)
        copy(now.derivative, now.derivative_before)
        copy(memory.ratio, now.ratio)
        copy(memory.w, now.potential)
        copy(memory.rates[-1], now.derivative)
        copy(now.ratio, records[count, 0])
        copy(now.potential, records[count, 1])
        copy(now.derivative, records[count, 2])
        new = Watched(found.risk, found.dual_energy, found.min_ratio, found.max_ratio)
        clock = Clock(clock.t + length, clock.t, pace, error, found.distance, new)
        row = (
            clock.t, length, found.mass, found.risk, found.dual_energy, found.min_ratio,
            found.max_ratio, found.distance, float(found.newton_iterations), found.stage_error,
            pace, error,
        )  # fmt: skip
        for k in range(12):
            numbers[count, k] = row[k]
        count += 1
    return count, 0, 0.0


@compiled
def _controlled(
    K: Conductances, weight: Array, rules: Rules, now: Start, clock: Clock, t_end: float,
    memory: Memory,
) -> tuple[int, float, Numbers, float, float]:  # fmt: skip
    """The next accepted step, see `Evolution._controlled_step`.

    Returns:
        0 or the reason of a failure, the length of the step, its numbers, the length of the next
        one, and its error as a multiple of the tolerance.
    """
    tau, last_error, reply, growth = clock.step, clock.error, NO_STEP, math.inf
    tolerance = stage_tolerance(rules.exact, rules.rtol, clock.distance)
    found = Numbers(0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0, 0.0, 0.0)
    while tau > max(1e-30, 1e-14 * clock.t):
        left = t_end - clock.t
        length = left if tau >= left else min(tau, left / 2)
        back = clock.before - clock.t
        found = _step(K, weight, rules, now, back, length, tolerance, memory)
        if found.reply != 0:
            reply, tau, last_error, growth = found.reply, length / 2, 0.0, GROWTH
            continue
        error = found.error / step_tolerance(rules.rtol, found.distance)
        new = Watched(found.risk, found.dual_energy, found.min_ratio, found.max_ratio)
        broken = violated(clock.watched, new, max(1e-12, tolerance), rules.monotone)
        reply = BROKEN + broken if broken else NO_STEP
        if not math.isfinite(found.risk):
            reply = INFINITE
        if error <= 1 and reply == NO_STEP:
            longer = length * min(growth, step_factor(rules.control, error, last_error))
            return 0, length, found, max(longer, tau if length < tau else 0.0), error
        tau, last_error = length * min(step_factor(rules.control, error, 0.0), 0.5), 0.0
    return reply, tau, found, 0.0, 0.0


@compiled
def _step(
    K: Conductances, weight: Array, rules: Rules, now: Start, back: float, tau: float,
    tolerance: float, memory: Memory,
) -> Numbers:  # fmt: skip
    """A step of the scheme; ``back`` is the time of the previous state after the start."""
    kind, power, tableau = rules.kind, rules.power, rules.tableau
    if len(tableau.coupling) > 0:
        return linear_step(K, weight, kind, power, tableau, now, tau, memory)
    return step(K, weight, kind, power, tableau, now, back / tau, tau, tolerance, memory)
