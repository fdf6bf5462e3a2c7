"""A linearly implicit step of the ultra-fast diffusion in one dimension, in machine code.

It is the step of a Rosenbrock scheme, see `uf_diffusion.diffusion.schemes.linearly_implicit`, with
one factorisation for all stages. With h = h_0 + ... and w = f'(1/h), F(h) = K w / c, so that
J = -K D / c with the diagonal matrix D of -dw/dh at h_0. A stage is solved for z = D k:

    (c / D + gamma tau K) z = gamma tau K w + gamma c (c_i1 k_1 + ... + c_i,i-1 k_(i-1)).
"""

from __future__ import annotations

from uf_diffusion.core.arrays import Array
from uf_diffusion.core.compiled import compiled, vectorised
from uf_diffusion.diffusion.chain import Conductances, copy, factorise, product, solve
from uf_diffusion.diffusion.chain_memory import (
    NOT_FINITE,
    NOT_POSITIVE,
    Memory,
    Numbers,
    Start,
    Tableau,
)
from uf_diffusion.diffusion.chain_step import (
    add,
    balance,
    failure,
    multiply,
    stage_rate,
    success,
    weighted,
)
from uf_diffusion.diffusion.compiled_divergences import potentials, ratios_and_slopes

__all__ = ["DAMPED", "damped", "linear_step"]

DAMPED = 4  # power with which the stiff part of a derivative is damped


@compiled
def linear_step(
    K: Conductances, weight: Array, kind: int, power: float, tableau: Tableau, start: Start,
    tau: float, memory: Memory,
) -> Numbers:  # fmt: skip
    """A step of length ``tau``; arguments and results are those of `chain_step.step`."""
    stages, k, h, z = len(tableau.coupling), memory.rates, memory.b, memory.change
    s = tau * tableau.a[0, -1]
    _derivative(weight, power, start.potential, memory)
    factorise(K, memory.d, s, memory.factors)
    for i in range(stages):
        if i > 0:
            _combine(start.ratio, tableau.a[i], i, k, h)
            if not h.min() > 0:
                return failure(NOT_POSITIVE, i, 0.0)
            potentials(power, h, memory.w)
            product(K, memory.w, memory.residual)
        else:
            copy(start.derivative, memory.residual)
            multiply(weight, memory.residual)
        _right_hand_side(weight, s, tableau.a[0, -1], tableau.coupling[i], i, memory)
        solve(memory.factors, memory.residual, z, memory.right)
        copy(z, k[i])
        multiply(memory.slope, k[i])
    add(1.0, k[stages - 1], h)
    if not h.min() > 0:
        return failure(NOT_POSITIVE, stages, 0.0)
    potentials(power, h, memory.w)
    if not balance(weight, power, weighted(weight, start.ratio), memory):
        return failure(NOT_FINITE, stages, 0.0)
    for a in range(h.shape[0]):
        for c in range(h.shape[1]):
            memory.error[a, c] = k[stages - 1, a, c] / h[a, c]
    stage_rate(K, weight, memory.w, k[stages])
    return success(weight, kind, power, stages, 0.0, memory)


@compiled
def damped(
    K: Conductances, weight: Array, power: float, start: Start, s: float, memory: Memory
) -> None:
    """Put the derivative of the ratio without its stiff part into ``memory.b``, as
    `UltraFastDiffusion` does for interpolation.
    """
    left, z, found = memory.error, memory.change, memory.b
    _derivative(weight, power, start.potential, memory)
    factorise(K, memory.d, s, memory.factors)
    copy(start.derivative, left)
    found[:] = 0.0
    for _ in range(DAMPED):
        copy(left, memory.residual)
        multiply(weight, memory.residual)
        solve(memory.factors, memory.residual, z, memory.right)
        multiply(memory.slope, z)
        add(-1.0, z, left)
        add(1.0, z, found)


@vectorised
def _derivative(weight: Array, power: float, potential: Array, memory: Memory) -> None:
    """Put c / D into ``memory.d``, and 1 / D, which is -dh/dw, into ``memory.slope``."""
    ratio, slope, d = memory.ratio, memory.slope, memory.d
    ratios_and_slopes(power, potential, ratio, slope)
    for a in range(d.shape[0]):
        for c in range(d.shape[1]):
            slope[a, c] *= ratio[a, c]
            d[a, c] = weight[a, c] * slope[a, c]


@vectorised
def _combine(ratio: Array, row: Array, count: int, k: Array, h: Array) -> None:
    """The ratio at which stage ``count + 1`` takes F."""
    copy(ratio, h)
    for j in range(count):
        if row[j] != 0.0:
            add(row[j], k[j], h)


@vectorised
def _right_hand_side(
    weight: Array, s: float, gamma: float, row: Array, count: int, memory: Memory
) -> None:
    """Replace K w in ``memory.residual`` by the right-hand side of stage ``count + 1``."""
    sums, right = memory.ratio, memory.residual
    sums[:] = 0.0
    for j in range(count):
        add(gamma * row[j], memory.rates[j], sums)
    for a in range(right.shape[0]):
        for c in range(right.shape[1]):
            right[a, c] = s * right[a, c] + weight[a, c] * sums[a, c]
