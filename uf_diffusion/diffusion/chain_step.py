"""A step of the ultra-fast diffusion in one dimension, in machine code.

It is the step of `uf_diffusion.diffusion.ultra_fast.UltraFastDiffusion` with the stages of
`uf_diffusion.diffusion.stage`, which explains the method. The results agree up to round-off. For a
few hundred nodes it is faster by a factor of 20 to 50, because numpy takes longer to start an
operation than the operation takes.
"""

from __future__ import annotations

import math

from uf_diffusion.core.arrays import Array
from uf_diffusion.core.compiled import compiled, reordered, vectorised
from uf_diffusion.diffusion.chain import Conductances, copy, factorise, product, solve
from uf_diffusion.diffusion.chain_memory import (
    NOT_CONVERGED,
    NOT_FINITE,
    Memory,
    Numbers,
    Start,
    Tableau,
)
from uf_diffusion.diffusion.compiled_divergences import energies, potentials, ratios_and_slopes
from uf_diffusion.diffusion.extrapolation import KNOWN, guess_weights
from uf_diffusion.diffusion.stage import FAST, LONGEST, MOST_NEWTON, guaranteed_step, rise

__all__ = ["add", "balance", "failure", "multiply", "stage_rate", "step", "success", "weighted"]


@compiled
def step(
    K: Conductances, weight: Array, kind: int, power: float, tableau: Tableau, start: Start,
    back: float, tau: float, tolerance: float, memory: Memory,
) -> Numbers:  # fmt: skip
    """A step of length ``tau``; its results are the first four arrays of ``memory``.

    Args:
        K, weight: the stiffness matrix, and the teacher's mass c at the nodes, ``(p, m)``.
        kind, power: the regulariser, see `uf_diffusion.diffusion.compiled_divergences`.
        tableau: the scheme.
        start: the state at the start.
        back: time of the previous state after the start, as a multiple of tau; 0 if there is none.
        tau: length of the step, dimensionless.
        tolerance: tolerance for the largest relative error of u in a stage.
        memory: of the step.
    """
    newtons, worst, reply = 0, 0.0, 0
    copy(start.derivative, memory.rates[0])
    _remember(power, start, back, tau, memory)
    for i in range(len(tableau.nodes)):
        _stage_start(start.ratio, tau, tableau.a[i], i, memory)
        guess_weights(back, tableau.nodes, i, tableau.nodes[i], memory.weights)
        _guess(start.potential, power, memory)
        s = tau * tableau.a[i, -1]
        reply, count, error = _stage(K, weight, power, s, tolerance, memory)
        newtons, worst = newtons + count, max(worst, error)
        if reply != 0:
            return failure(reply, newtons, worst)
        stage_rate(K, weight, memory.w, memory.rates[i + 1])
        copy(memory.known[5], memory.known[4])
        copy(memory.w, memory.known[5])
    _estimate(K, weight, power, tau, tableau, memory)
    return success(weight, kind, power, newtons, worst, memory)


@compiled
def failure(reply: int, newtons: int, worst: float) -> Numbers:
    """The numbers of a step that failed."""
    return Numbers(reply, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, newtons, worst, math.inf)


@compiled
def success(
    weight: Array, kind: int, power: float, newtons: int, worst: float, memory: Memory
) -> Numbers:
    """The numbers of a step from ``memory.ratio`` and ``memory.error``."""
    risk, dual = energies(kind, power, memory.ratio, weight)
    mass, distance = _moments(memory.ratio, weight)
    low, high = memory.ratio.min(), memory.ratio.max()
    error = math.sqrt(_weighted_squares(weight, memory.error))
    return Numbers(0, mass, risk, dual, low, high, math.sqrt(distance), newtons, worst, error)


@vectorised
def stage_rate(K: Conductances, weight: Array, w: Array, rate: Array) -> None:
    """The derivative of the ratio, K w / c."""
    product(K, w, rate)
    for a in range(w.shape[0]):
        for c in range(w.shape[1]):
            rate[a, c] /= weight[a, c]


@vectorised
def _remember(power: float, start: Start, back: float, tau: float, memory: Memory) -> None:
    """Put values and slopes of the potential at the start and at the previous state, and no stage,
    into ``memory.known``.
    """
    known, ratio, slope = memory.known, memory.ratio, memory.slope
    copy(start.potential, known[0])
    ratios_and_slopes(power, start.potential, ratio, memory.first_slope)
    _speed(tau, start.derivative, start.ratio, memory.first_slope, known[1])
    known[2:] = 0.0
    if back < 0:
        copy(start.potential_before, known[2])
        ratios_and_slopes(power, start.potential_before, ratio, slope)
        _speed(tau, start.derivative_before, ratio, slope, known[3])


@vectorised
def _speed(tau: float, derivative: Array, ratio: Array, slope: Array, speed: Array) -> None:
    """The change of the potential per step, from the derivative of the ratio; all ``(p, m)``."""
    for a in range(ratio.shape[0]):
        for c in range(ratio.shape[1]):
            speed[a, c] = -tau * derivative[a, c] / (ratio[a, c] * slope[a, c])


@vectorised
def _stage_start(ratio: Array, tau: float, row: Array, count: int, memory: Memory) -> None:
    """The known part b of a stage with ``count`` stages before it, see `Scheme.stage_start`."""
    b = memory.b
    copy(ratio, b)
    for j in range(count + 1):
        if row[j] != 0.0:
            add(tau * row[j], memory.rates[j], b)


@vectorised
def _guess(potential: Array, power: float, memory: Memory) -> None:
    """Put the first guess of a stage into ``memory.w``; see `UltraFastDiffusion._inside`."""
    w, known, weights = memory.w, memory.known, memory.weights
    w[:] = 0.0
    for k in range(KNOWN):
        if weights[k] != 0.0:
            add(weights[k], known[k], w)
    change = memory.change
    copy(w, change)
    add(-1.0, potential, change)
    largest = _largest(memory.first_slope, change)
    most = 0.5 / max(1.0, power - 1)
    if not largest <= most:
        copy(potential, w)
        add(most / largest, change, w)


@vectorised
def add(factor: float, values: Array, to: Array) -> None:
    """Add a multiple of values ``(p, m)``."""
    for a in range(to.shape[0]):
        for c in range(to.shape[1]):
            to[a, c] += factor * values[a, c]


@reordered
def _largest(slope: Array, change: Array) -> float:
    """The largest absolute value of a product."""
    largest = 0.0
    for a in range(slope.shape[0]):
        for c in range(slope.shape[1]):
            largest = max(largest, abs(slope[a, c] * change[a, c]))
    return largest


@compiled
def _stage(
    K: Conductances, weight: Array, power: float, s: float, tolerance: float, memory: Memory
) -> tuple[int, int, float]:
    """Solve a stage from the guess in ``memory.w``; see `uf_diffusion.diffusion.stage.Stage.solve`.

    Returns:
        0 or the reason of a failure, the number of Newton iterations, and the remaining error.
    """
    w, change = memory.w, memory.change
    wanted = weighted(weight, memory.b)
    _linearised(K, weight, power, s, memory)
    for newton in range(1, MOST_NEWTON + 1):
        factorise(K, memory.d, s, memory.factors)
        solve(memory.factors, memory.residual, change, memory.right)
        rho = _largest(memory.slope, change)
        damped = guaranteed_step(rho, power)
        if damped < 1.0:
            _far_step(K, weight, power, s, damped, newton <= FAST, memory)
            continue
        add(1.0, change, w)
        error = rho * rho
        if error <= tolerance:  # which does not see what is not finite
            finite = balance(weight, power, wanted, memory)
            return 0 if finite else NOT_FINITE, newton, error
        _linearised(K, weight, power, s, memory)
    return NOT_CONVERGED, MOST_NEWTON, math.inf


@compiled
def _far_step(
    K: Conductances, weight: Array, power: float, s: float, damped: float, fast: bool,
    memory: Memory,
) -> None:  # fmt: skip
    """A step of ``memory.w`` far from the solution, as that of `Stage`; linearises there."""
    w, change, before = memory.w, memory.change, memory.before
    if fast:
        copy(w, before[0])
        copy(memory.d, before[1])
        copy(memory.slope, before[2])
        copy(memory.residual, before[3])
        _grow(memory)
        potentials(power, memory.ratio, w)
        _linearised(K, weight, power, s, memory)
        here = w.ravel(), memory.d.ravel(), memory.slope.ravel(), memory.residual.ravel()
        w0, d0, slope0, r0 = before.reshape(4, w.size)
        if rise(power, weight.ravel(), memory.b.ravel(), w0, d0, slope0, r0, *here) <= 0:
            return
        copy(before[0], w)
    add(damped, change, w)
    _linearised(K, weight, power, s, memory)


@vectorised
def _grow(memory: Memory) -> None:
    """Multiply u by the exponential of its relative change, in ``memory.ratio``."""
    ratio, slope, change = memory.ratio, memory.slope, memory.change
    for a in range(ratio.shape[0]):
        for c in range(ratio.shape[1]):
            growth = min(LONGEST, max(-LONGEST, slope[a, c] * change[a, c]))
            ratio[a, c] *= math.exp(-growth)


@vectorised
def _linearised(K: Conductances, weight: Array, power: float, s: float, memory: Memory) -> None:
    """The diagonal d and the residual of Newton's method at ``memory.w``."""
    ratio, slope, residual = memory.ratio, memory.slope, memory.residual
    ratios_and_slopes(power, memory.w, ratio, slope)
    product(K, memory.w, residual)
    b, d = memory.b, memory.d
    for a in range(residual.shape[0]):
        for c in range(residual.shape[1]):
            residual[a, c] = weight[a, c] * (ratio[a, c] - b[a, c]) - s * residual[a, c]
            d[a, c] = ratio[a, c] * weight[a, c] * slope[a, c]


@compiled
def balance(weight: Array, power: float, wanted: float, memory: Memory) -> bool:
    """Shift ``memory.w`` by a constant for which the mass is the one wanted; sets the ratio too.

    Returns:
        Whether the mass is finite.
    """
    w, ratio, mass, found = memory.w, memory.ratio, memory.residual, 0.0
    for _ in range(3):
        ratios_and_slopes(power, w, ratio, memory.slope)
        found = weighted(weight, ratio)
        if abs(found - wanted) <= 4e-16 * wanted:
            break
        copy(weight, mass)
        multiply(ratio, mass)
        shift = (found - wanted) / weighted(mass, memory.slope)
        for a in range(w.shape[0]):
            for c in range(w.shape[1]):
                w[a, c] += shift
    return math.isfinite(found)


@reordered
def weighted(weight: Array, values: Array) -> float:
    """The weighted sum of values."""
    total = 0.0
    for a in range(values.shape[0]):
        for c in range(values.shape[1]):
            total += weight[a, c] * values[a, c]
    return total


@compiled
def _estimate(
    K: Conductances, weight: Array, power: float, tau: float, tableau: Tableau, memory: Memory
) -> None:
    """Put the estimated relative error of u into ``memory.error``, see `Stage.relative_error`."""
    residual, error = memory.residual, memory.error
    _combined(weight, tau, tableau, memory)
    solve(memory.factors, residual, error, memory.right)
    ratios_and_slopes(power, memory.w, memory.ratio, memory.slope)
    multiply(memory.slope, error)


@vectorised
def _combined(weight: Array, tau: float, tableau: Tableau, memory: Memory) -> None:
    """Put the estimated error of the ratio, times the weight, into ``memory.residual``."""
    residual = memory.residual
    residual[:] = 0.0
    for j in range(len(tableau.error)):
        add(tau * tableau.error[j], memory.rates[j], residual)
    multiply(weight, residual)


@vectorised
def multiply(factors: Array, values: Array) -> None:
    """Multiply values ``(p, m)`` in place."""
    for a in range(values.shape[0]):
        for c in range(values.shape[1]):
            values[a, c] *= factors[a, c]


@reordered
def _weighted_squares(weight: Array, values: Array) -> float:
    """The weighted sum of squares."""
    total = 0.0
    for a in range(values.shape[0]):
        for c in range(values.shape[1]):
            total += weight[a, c] * values[a, c] ** 2
    return total


@reordered
def _moments(ratio: Array, weight: Array) -> tuple[float, float]:
    """The mass, and the integral of (h - 1)^2 over nu."""
    mass = distance = 0.0
    for a in range(ratio.shape[0]):
        for c in range(ratio.shape[1]):
            mass += weight[a, c] * ratio[a, c]
            distance += weight[a, c] * (ratio[a, c] - 1) ** 2
    return mass, distance
