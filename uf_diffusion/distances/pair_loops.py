"""Compiled loops over pairs of points.

Every loop takes a ``period``: that of a flat torus, whose points are wrapped into one; 0 for points
of a unit sphere, or of R^d where only chords are measured.
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

_ROWS = 128  # of a block


_THREADED = 2**22  # pairs from which more than one thread pays


def over_rows(work: Callable[[slice], None], n: int, m: int) -> None:
    """``work`` on blocks of n rows of m pairs each; in threads, where there is enough of it."""
    blocks = blocks_of(n, _ROWS)
    if n * m <= _THREADED:
        in_threads(work, blocks)
        return
    with using_threads(many=True):
        in_threads(work, blocks)


@reordered
def distance_sums(X: Array, Y: Array, B: Array, period: float, start: int, out: Array) -> None:
    """out[i, q] = sum_j |x_i - y_j| B[q, j] over j > start + i, for points X ``(n, d)`` and columns
    Y ``(d, m)``.
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
    """The same for one set of weights ``(m,)`` and three coordinates: twice as fast."""
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
    """out[i] = sum_j weights[j] exp(factor |x_i - y_j|^2), for the same points and columns."""
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
    """The geodesic distance of two points with this squared chord."""
    if period > 0:
        return math.sqrt(squared)
    opposite = 0.0
    for k in range(len(x)):
        opposite += (x[k] + y[k]) ** 2
    return 2 * math.atan2(math.sqrt(squared), math.sqrt(opposite))


@compiled
def pair_costs(X: Array, Y: Array, i: Index, j: Index, period: float, p: int, out: Array) -> None:
    """out[r] = d(x, y)^p for the points x number i[r] and y number j[r]."""
    for r in range(len(i)):
        x, y = X[i[r]], Y[j[r]]
        out[r] = _length(x, y, _chord_squared(x, y, period), period) ** p


@compiled
def least_costs(
    X: Array, Y: Array, v: Array, cells: Index, centre: Array, ball: Array, period: float, p: int,
    value: Array, index: Index,
) -> None:  # fmt: skip
    """The ``value.shape[1]`` least d(x_i, y_j)^p - v_j for every i, increasing, and their j.

    The y_j from ``cells[c]`` to ``cells[c + 1]`` lie in a ball around ``centre[c]``, of radius
    ``ball[c, 0]`` and with v up to ``ball[c, 1]``. It is passed over where none of them can be
    among the least. The ball where the last search ended comes first.
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
    """Into the increasing list of the least values so far, and where they were found."""
    r = len(best) - 1
    if new < best[r]:
        while r > 0 and best[r - 1] > new:
            best[r], which[r] = best[r - 1], which[r - 1]
            r -= 1
        best[r], which[r] = new, j
