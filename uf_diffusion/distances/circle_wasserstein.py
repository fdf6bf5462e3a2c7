"""The Wasserstein distance W_p on the circle, exact up to round-off."""

from __future__ import annotations

import math

import numpy as np

from uf_diffusion.core import arguments
from uf_diffusion.core.arrays import Array, Index
from uf_diffusion.core.errors import InputError

__all__ = ["wasserstein_circle", "whole_masses"]


def wasserstein_circle(
    x: Array, y: Array, a: Array | None = None, b: Array | None = None, p: float = 2
) -> float:
    """W_p on the circle of length 2 pi, exact up to round-off.

    On the circle W_p^p is the minimum over a shift theta of the transport cost on the line between
    the quantile functions, int_0^1 |F^-1(s) - G^-1(s + theta)|^p ds, with G extended periodically
    (Rabin, Delon, Gousseau, J. Math. Imaging Vis. 41, 2011). The cost is convex and piecewise
    affine in theta. The supporting lines at both ends of a bracket intersect at a lower bound of
    the minimum and at the next shift to try, so the search ends with a proof of its accuracy.

    Masses and shifts are integer multiples of a unit of about 2^-60. So jumps of F and G that
    should coincide do coincide exactly: no small mass, left over by rounding, is transported far,
    which would spoil the result where W_p is small.

    Args:
        x, y: angles in radians, ``(n,)`` and ``(m,)``; any multiple of 2 pi may be added.
        a, b: their weights ``(n,)`` and ``(m,)``, each summing to 1; equal by default.
        p: the exponent, from 1 to 100.

    Returns:
        W_p in radians.

    Raises:
        InputError: for angles or weights that have the wrong shape or are not finite, weights that
            are negative or do not sum to 1, or an exponent out of range.
    """
    arguments.finite_number("p", p, 1, 100)
    x, y = arguments.reals("Angles", x), arguments.reals("Angles", y)
    common = max(1, np.size(x) * np.size(y))
    unit = common * max(1, 2**60 // common)  # equal weights 1/n and 1/m are integers in this unit
    x, mass_x = _sorted_atoms(x, a, unit)
    y, mass_y = _sorted_atoms(y, b, unit)
    mass_y[mass_y.argmax()] += mass_x.sum() - mass_y.sum()
    return float(_least(_ShiftedCost(x, y, mass_x, mass_y, p)) ** (1 / p))


def _least(cost: _ShiftedCost) -> float:
    """The minimum over all shifts, with a relative error of 1e-13."""
    left, right = -cost.total, cost.total
    (value_l, slope_l), (value_r, slope_r) = cost(left), cost(right)
    best = min(value_l, value_r)
    for trial in range(200):
        if slope_l >= 0 or slope_r <= 0 or right - left < 2:
            break
        length = (right - left) / cost.total
        # measured from the end with the lower value, where there is less cancellation
        if value_l < value_r:
            offset = (value_r - value_l - slope_r * length) / (slope_l - slope_r)
            bound, crossing = value_l + slope_l * offset, left + round(offset * cost.total)
        else:
            offset = (value_r - value_l - slope_l * length) / (slope_l - slope_r)
            bound, crossing = value_r + slope_r * offset, right + round(offset * cost.total)
        doubt = 1e-15 * max(value_l, value_r)  # round-off of the bound
        if best - bound + doubt <= 1e-13 * best:
            break
        # every third trial bisects the bracket, so that nearly flat pieces cannot stall the search
        theta = (left + right) // 2 if trial % 3 == 2 else crossing
        theta = min(max(theta, left + 1), right - 1)
        value, slope = cost(theta)
        best = min(best, value)
        if slope < 0:
            left, value_l, slope_l = theta, value, slope
        else:
            right, value_r, slope_r = theta, value, slope
    return best


class _ShiftedCost:
    """Maps a shift theta to the transport cost on the line and to its right derivative.

    Masses and theta are integers; the mass 1 corresponds to ``total``.
    """

    def __init__(self, x: Array, y: Array, a: Index, b: Index, p: float) -> None:
        self._x, self._y, self._p = x, y, p
        self._cum_x, self._cum_y = np.cumsum(a), np.cumsum(b)
        self.total = int(self._cum_x[-1])

    def __call__(self, theta: int) -> tuple[float, float]:
        m, turn = len(self._y), 2 * math.pi
        # the jumps of s -> G^-1(s + theta) in [0, total), in increasing order
        jump = (self._cum_y - theta) % self.total
        order = np.argsort(jump)
        jump = jump[order]
        # the value of G^-1 before each jump, plus 2 pi for each full turn
        turns = (jump + theta - self._cum_y[order]) // self.total
        before = self._y[order] + turn * turns
        after = self._y[(order + 1) % m] + turn * (turns + (order == m - 1))
        ends = np.sort(np.concatenate([self._cum_x, jump]))
        lengths = np.diff(ends, prepend=0)
        starts, lengths = (ends - lengths)[lengths > 0], lengths[lengths > 0]
        x = self._x[np.searchsorted(self._cum_x, starts, side="right")]
        y = np.append(before, after[-1])[np.searchsorted(jump, starts, side="right")]
        value = float(lengths @ np.abs(x - y) ** self._p) / self.total
        at_jump = self._x[np.searchsorted(self._cum_x, jump)]
        slope = np.abs(at_jump - after) ** self._p - np.abs(at_jump - before) ** self._p
        return value, float(slope.sum())


def _sorted_atoms(x: Array, a: Array | None, unit: int) -> tuple[Array, Index]:
    """Angles in [0, 2 pi) in increasing order, and their masses as multiples of about 1 / unit."""
    if x.ndim != 1:
        raise InputError(f"Angles must have shape (n,), not {x.shape}.")
    n = len(arguments.points(x[:, None]))
    counts = whole_masses(arguments.weights(a, n), unit)
    turned = np.mod(x, 2 * math.pi)
    order = np.argsort(turned)
    order = order[counts[order] > 0]  # an atom without mass would put two jumps at one place
    return turned[order], counts[order]


def whole_masses(weights: Array, unit: int) -> Index:
    """Weights ``(n,)`` with sum 1 as integers ``(n,)`` of about 1 / unit; equal ones stay equal."""
    if (weights == weights[0]).all():
        return np.full(len(weights), unit // len(weights))
    # fsum does not depend on the order, so neither do the rounded masses
    return np.rint(weights * (unit / math.fsum(weights))).astype(np.int64)
