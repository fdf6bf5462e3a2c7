"""What a compiled step in one dimension takes, works in and returns."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from uf_diffusion.core.arrays import Array
from uf_diffusion.diffusion.extrapolation import KNOWN
from uf_diffusion.diffusion.schemes import Scheme

__all__ = ["NOT_CONVERGED", "NOT_FINITE", "NOT_POSITIVE", "Memory", "Numbers", "Start", "Tableau",
           "memory_for", "tableau_of"]  # fmt: skip

NOT_FINITE, NOT_CONVERGED, NOT_POSITIVE = 1, 2, 3  # replies of `step`; 0 is success


class Tableau(NamedTuple):
    """A `Scheme` as arrays: ``a (stages, stages + 1)``, ``nodes (stages,)``, ``error
    (stages + 1,)`` and ``coupling (stages, stages)``. The last one is empty, or the one before it.
    """

    a: Array
    nodes: Array
    error: Array
    coupling: Array


class Start(NamedTuple):
    """The state at the start of a step, ``(p, m)`` each: the ratio, the potential and the
    derivative of the ratio, and the last two at the previous state.
    """

    ratio: Array
    potential: Array
    derivative: Array
    potential_before: Array
    derivative_before: Array


class Memory(NamedTuple):
    """The arrays in which a step works and leaves its results.

    Attributes:
        w, ratio, error: the potential, the ratio and the estimated relative error of u at the end.
        rates: the derivatives of the ratio at the start and at the stages, or the k of a linearly
            implicit scheme and the derivative at the end; the last is at the end in any case.
        known: what first guesses combine, see `guess_weights`.
        first_slope: f*''/f*' at the start.
        b, d, slope, residual, change, before: of the stages and of Newton's method.
        factors, right: of the linear solver.
        weights: of the first guesses, ``(KNOWN,)``.
    """

    w: Array
    ratio: Array
    error: Array
    rates: Array
    known: Array
    first_slope: Array
    b: Array
    d: Array
    slope: Array
    residual: Array
    change: Array
    before: Array
    factors: Array
    right: Array
    weights: Array


class Numbers(NamedTuple):
    """The numbers that a step returns, as in `DiffusionState`.

    Attributes:
        reply: 0, or the reason of a failure.
        mass, risk, dual_energy, min_ratio, max_ratio, distance: of the new state.
        newton_iterations, stage_error: work and error of the stages.
        error: the root mean square over nu of the estimated relative error of u.
    """

    reply: int
    mass: float
    risk: float
    dual_energy: float
    min_ratio: float
    max_ratio: float
    distance: float
    newton_iterations: int
    stage_error: float
    error: float


def tableau_of(scheme: Scheme) -> Tableau:
    """The arrays of a scheme."""
    stages = len(scheme.a)
    a = np.zeros((stages, stages + 1))
    for i, row in enumerate(scheme.a):
        a[i, : len(row) - 1], a[i, -1] = row[:-1], row[-1]
    coupling = np.zeros((len(scheme.coupling), stages))
    for i, row in enumerate(scheme.coupling):
        coupling[i, : len(row)] = row
    return Tableau(a, np.array(scheme.nodes), np.array(scheme.error), coupling)


def memory_for(p: int, m: int, stages: int) -> Memory:
    """The memory of steps with some stages, for m cells of degree p."""
    w, ratio, error, first, b, d, slope, residual, change = (np.empty((p, m)) for _ in range(9))
    return Memory(
        w, ratio, error, np.empty((stages + 1, p, m)), np.empty((KNOWN, p, m)), first, b, d, slope,
        residual, change, np.empty((4, p, m)), np.empty((p + 1, p + 1, m)), np.empty((p + 1, m)),
        np.empty(KNOWN),
    )  # fmt: skip
