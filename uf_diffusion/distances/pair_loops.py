"""Compiled loops over pairs of points.

The argument ``period`` is that of a flat torus, whose points must have coordinates in one period.
It is 0 for points of the unit sphere, or of R^d if only chords are needed.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from uf_diffusion.core.arrays import Array, Index
from uf_diffusion.core.compiled import add_squares, compiled, exponential, reordered
from uf_diffusion.core.threads import blocks_of, in_threads, using_threads

__all__ = [
    "distance_sums",
    "distance_sums_3",
    "gaussian_sums",
    "least_costs",
    "over_rows",
    "pair_costs",
]

_ROWS = 128  # number of rows in a block


_THREADED = 2**22  # number of pairs above which several threads are used


def over_rows(work: Callable[[slice], None], n: int, m: int) -> None:
    """Call ``work`` on blocks of n rows of m pairs each, in threads if there are many pairs."""
    blocks = blocks_of(n, _ROWS)
    if n * m <= _THREADED:
        in_threads(work, blocks)
        return
    with using_threads(many=True):
        in_threads(work, blocks)


@reordered
def distance_sums(X: Array, Y: Array, B: Array, period: float, start: int, out: Array) -> None:
    """out[i, q] = sum of |x_i - y_j| B[q, j] over j > start + i.

    Args:
        X: points x_i, ``(n, d)``.
        Y: points y_j as columns, ``(d, m)``.
        B: weights ``(k, m)``.
        period: see the module.
        start: a negative number below -n for the sums over all j.
        out: receives the sums, ``(n, k)``.
    """
    chunk = 512
    room = np.empty(chunk)
    for i in range(len(X)):
        for q in range(len(B)):
            out[i, q] = 0.0
        for j in range(max(0, start + i + 1), Y.shape[1], chunk):
            row = room[: Y.shape[1] - j]
            row[:] = 0.0
            for k in range(X.shape[1]):
                add_squares(X[i, k], Y[k, j : j + chunk], period, row)
            for r in range(len(row)):
                row[r] = math.sqrt(row[r])
            for q in range(len(B)):
                weight = B[q, j : j + chunk]
                total = 0.0
                for r in range(len(row)):
                    total += row[r] * weight[r]
                out[i, q] += total


@reordered
def distance_sums_3(X: Array, Y: Array, b: Array, period: float, start: int, out: Array) -> None:
    """As `distance_sums`, for weights b ``(m,)``, d = 3 and out ``(n,)``, but twice as fast."""
    for i in range(len(X)):
        j = max(0, start + i + 1)
        y0, y1, y2, weight = Y[0, j:], Y[1, j:], Y[2, j:], b[j:]
        x0, x1, x2, total = X[i, 0], X[i, 1], X[i, 2], 0.0
        if period > 0:
            for r in range(len(weight)):
                lag0, lag1, lag2 = abs(x0 - y0[r]), abs(x1 - y1[r]), abs(x2 - y2[r])
                lag0, lag1 = min(lag0, period - lag0), min(lag1, period - lag1)
                lag2 = min(lag2, period - lag2)
                total += math.sqrt(lag0 * lag0 + lag1 * lag1 + lag2 * lag2) * weight[r]
        else:
            for r in range(len(weight)):
                lag0, lag1, lag2 = x0 - y0[r], x1 - y1[r], x2 - y2[r]
                total += math.sqrt(lag0 * lag0 + lag1 * lag1 + lag2 * lag2) * weight[r]
        out[i] = total


@reordered
def gaussian_sums(
    X: Array, Y: Array, weights: Array, period: float, factor: float, out: Array
) -> None:
    """out[i] = sum_j weights[j] exp(factor |x_i - y_j|^2), X and Y as in `distance_sums`."""
    row = np.empty(Y.shape[1])
    for i in range(len(X)):
        row[:] = 0.0
        for k in range(X.shape[1]):
            add_squares(X[i, k], Y[k], period, row)
        row *= factor
        exponential(row)
        total = 0.0
        for j in range(len(row)):
            total += weights[j] * row[j]
        out[i] = total


@compiled
def _chord_squared(x: Array, y: Array, period: float) -> float:
    total = 0.0
    for k in range(len(x)):
        lag = x[k] - y[k]
        if period > 0:
            lag = abs(lag)
            lag = min(lag, period - lag)
        total += lag * lag
    return total


@compiled
def _length(x: Array, y: Array, squared: float, period: float) -> float:
    """The geodesic distance of two points whose squared chord is given."""
    if period > 0:
        return math.sqrt(squared)
    opposite = 0.0
    for k in range(len(x)):
        opposite += (x[k] + y[k]) ** 2
    return 2 * math.atan2(math.sqrt(squared), math.sqrt(opposite))


@compiled
def pair_costs(X: Array, Y: Array, i: Index, j: Index, period: float, p: int, out: Array) -> None:
    """out[r] = d(x, y)^p with x = X[i[r]], y = Y[j[r]] and the geodesic distance d.

    X is ``(n, d)``, Y is ``(m, d)``.
    """
    for r in range(len(i)):
        x, y = X[i[r]], Y[j[r]]
        out[r] = _length(x, y, _chord_squared(x, y, period), period) ** p


@compiled
def least_costs(
    X: Array, Y: Array, v: Array, cells: Index, centre: Array, ball: Array, period: float, p: int,
    value: Array, index: Index,
) -> None:  # fmt: skip
    """The smallest d(x_i, y_j)^p - v_j for every i, increasing, and their j.

    They are written to ``value`` and ``index``, both ``(n, k)``. The y_j from ``cells[c]`` to
    ``cells[c + 1]`` lie in a ball around ``centre[c]`` with radius ``ball[c, 0]``, and their v_j
    are at most ``ball[c, 1]``. Balls in which no y_j can be among the smallest are skipped. Each
    search begins with the ball that contains the nearest point of the search before.
    """
    last = 0
    for i in range(len(X)):
        x, best, which = X[i], value[i], index[i]
        best[:] = np.inf
        for turn in range(len(centre) + 1):
            c = last if turn == 0 else turn - 1
            if turn > 0:
                gap = _length(x, centre[c], _chord_squared(x, centre[c], period), period)
                if c == last or max(0.0, gap - ball[c, 0]) ** p - ball[c, 1] > best[-1]:
                    continue
            for j in range(cells[c], cells[c + 1]):
                squared = _chord_squared(x, Y[j], period)
                chord = squared if p == 2 else math.sqrt(squared)
                if chord - v[j] < best[-1]:
                    length = _length(x, Y[j], squared, period)
                    _insert(length**p - v[j], j, best, which)
        last = np.searchsorted(cells, which[0], "right") - 1


@compiled
def _insert(new: float, j: int, best: Array, which: Index) -> None:
    """Insert a value into the sorted list of the smallest ones, and its index into ``which``."""
    r = len(best) - 1
    if new < best[r]:
        while r > 0 and best[r - 1] > new:
            best[r], which[r] = best[r - 1], which[r - 1]
            r -= 1
        best[r], which[r] = new, j
