"""W_p on the circle, exact; in float64."""

from __future__ import annotations

import math

import numpy as np

from uf_diffusion.core import arguments
from uf_diffusion.core.arrays import Array, Index
from uf_diffusion.core.errors import InputError

__all__ = ["wasserstein_circle"]


def wasserstein_circle(
    x: Array, y: Array, a: Array | None = None, b: Array | None = None, p: float = 2
) -> float:
    """W_p on the circle of length 2 pi, exact.

    On the circle W_p^p is the minimum over a shift theta of the transport cost on the line between
    the quantile functions, int_0^1 |F^-1(s) - G^-1(s + theta)|^p ds, G continued periodically
    (Rabin, Delon, Gousseau, J. Math. Imaging Vis. 41, 2011). The cost is convex and piecewise
    affine in theta; the intersection of the supporting lines at both ends of a bracket is a lower
    bound of the minimum and the next point to try, so the search stops with a certificate.

    Masses and shifts are whole multiples of about 2^-60: the jumps of F and G that should meet do,
    and no sliver of mass, left over by rounding, travels far where W_p is small.

    Args:
        x, y: angles in radians, ``(n,)`` and ``(m,)``; any representative.
        a, b: their weights, summing to 1; equal where not given.
        p: the exponent, from 1 to 100.

    Raises:
        InputError: for angles or weights of the wrong shape, not finite, or not summing to 1.
    """
    arguments.finite_number("p", p, 1, 100)
    x, y = arguments.reals("Angles", x), arguments.reals("Angles", y)
    common = max(1, np.size(x) * np.size(y))
    unit = common * max(1, 2**60 // common)  # equal weights of both sides are whole numbers of it
    x, mass_x = _sorted_atoms(x, a, unit)
    y, mass_y = _sorted_atoms(y, b, unit)
    mass_y[mass_y.argmax()] += mass_x.sum() - mass_y.sum()
    return float(_least(_ShiftedCost(x, y, mass_x, mass_y, p)) ** (1 / p))


def _least(cost: _ShiftedCost) -> float:
    """The minimum over all shifts, to a relative 1e-13."""
    left, right = -cost.total, cost.total
    (value_l, slope_l), (value_r, slope_r) = cost(left), cost(right)
    best = min(value_l, value_r)
    for trial in range(200):
        if slope_l >= 0 or slope_r <= 0 or right - left < 2:
            break
        length = (right - left) / cost.total
        # from the lower end, where less is lost to cancellation
        if value_l < value_r:
            offset = (value_r - value_l - slope_r * length) / (slope_l - slope_r)
            bound, crossing = value_l + slope_l * offset, left + round(offset * cost.total)
        else:
            offset = (value_r - value_l - slope_l * length) / (slope_l - slope_r)
            bound, crossing = value_r + slope_r * offset, right + round(offset * cost.total)
        doubt = 1e-15 * max(value_l, value_r)  # round-off of the bound
        if best - bound + doubt <= 1e-13 * best:
            break
        # every third trial halves the bracket, so that flat pieces cannot stall the search
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
    """theta -> transport cost on the line after a shift of theta in mass, and its right slope.

    Masses and theta are whole numbers, ``total`` of them a mass of 1.
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
        # the piece of G^-1 before each jump, lifted to the turn on which it is met
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
    """Angles in [0, 2 pi) in increasing order and their masses, ``unit`` of them about 1."""
    if x.ndim != 1:
        raise InputError(f"Angles must have shape (n,), not {x.shape}.")
    n = len(arguments.points(x[:, None]))
    weights = arguments.weights(a, n)
    if (weights == weights[0]).all():
        counts = np.full(n, unit // n)
    else:  # fsum does not depend on the order: the same weights in another order stay the same
        counts = np.rint(weights * (unit / math.fsum(weights))).astype(np.int64)
    turned = np.mod(x, 2 * math.pi)
    order = np.argsort(turned)
    order = order[counts[order] > 0]  # atoms without mass would tie two jumps
    return turned[order], counts[order]
