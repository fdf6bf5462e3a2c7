"""Polynomials in time: interpolants within a step, and first guesses of its stages.

A first guess is a cubic polynomial through what is known.

Let time be measured in steps from the start of a step. The cubic P has the value w(0) and the slope
w'(0) of the start. Two more conditions are

* the value and the slope of the previous state, for the first stage,
* the values of the previous state and of the first stage, for the second one,
* the values of the last two stages, for all others.

In the first step of all there is no previous state, and the conditions that need it are left out.
Polynomials through more points were measured to be no better.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from uf_diffusion.core.arrays import Array
from uf_diffusion.core.compiled import compiled

__all__ = ["KNOWN", "guess", "guess_weights", "hermite"]

KNOWN = 6  # vectors that a guess combines


@compiled
def guess_weights(back: float, nodes: Array, count: int, s: float, weights: Array) -> None:
    """The weights with which P(s) combines what is known.

    Args:
        back: time of the previous state, negative; 0 if there is none.
        nodes: times of the stages, ``(stages,)``.
        count: number of stages that are known.
        s: the time of the guess.
        weights: receives the weights ``(KNOWN,)`` of w(0), w'(0), the value and the slope of the
            previous state, and the values of the last stage but one and of the last stage; slopes
            are changes per step.
    """
    weights[:] = 0.0
    weights[0] = 1.0
    weights[1] = s
    if count == 0:
        if back < 0:
            bent = s * s * (1 - 2 * (s - back) / back) / back**2
            weights[2] = bent
            weights[3] = s * s * (s - back) / back**2
            weights[0] -= bent
            weights[1] -= bent * back + weights[3]
        return
    # P(s) = w(0) + s w'(0) + s^2 Q(s) with the line Q through (P(x) - w(0) - x w'(0)) / x^2
    last, place = nodes[count - 1], 4
    other = nodes[count - 2] if count > 1 else back
    if count == 1:
        place = 2
    share = (s - other) / (last - other) if other != 0.0 else 1.0
    for which, x, part in ((5, last, share), (place, other, 1 - share)):
        if x != 0.0:
            bent = s * s * part / x**2
            weights[which] += bent
            weights[0] -= bent
            weights[1] -= bent * x


def guess(known: Sequence[Array | None], back: float, nodes: Array, count: int, s: float) -> Array:
    """The guess P(s), ``(owned,)``.

    Args:
        known: the vectors that `guess_weights` lists, ``(owned,)`` each; None for missing ones.
        back, nodes, count, s: as there.
    """
    weights = np.empty(KNOWN)
    guess_weights(back, nodes, count, s, weights)
    terms = [a * v for a, v in zip(weights, known, strict=True) if a != 0.0 and v is not None]
    return np.asarray(sum(terms[1:], start=terms[0]))


def hermite(
    start: Array, end: Array, start_slope: Array, end_slope: Array, s: float
) -> tuple[Array, Array]:
    """The linear interpolant of a step, and the cubic Hermite interpolant's difference to it.

    Args:
        start, end: values at the ends, ``(owned,)``.
        start_slope, end_slope: changes per step there, ``(owned,)``.
        s: time from the start as a fraction of the step.
    """
    slope = end - start
    bend = (1 - s) * (start_slope - slope) - s * (end_slope - slope)
    return (1 - s) * start + s * end, s * (1 - s) * bend
