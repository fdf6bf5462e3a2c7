"""Compiled loops that evaluate features and their gradients."""

from __future__ import annotations

import math

import numpy as np

from uf_diffusion.core.arrays import Array
from uf_diffusion.core.compiled import (
    _EXPONENTIAL,
    Exponential,
    _exp,
    add_squares,
    compiled,
    reordered,
    vectorised,
)

__all__ = [
    "hinge_moments", "hinge_pull", "hinge_values",
    "radial_gradient", "radial_values", "relu_gradient", "relu_values", "turned_cosines",
]  # fmt: skip

TILE = 1024  # entries of a row that are processed together, so that they stay in the L1 cache


@vectorised
def _profile(profile: int, scale: float, factor: float, c: Exponential, row: Array) -> None:
    """Replace the squared distances r^2 in ``row`` by factor g(r)."""
    if profile == 0:
        factor, rate = 2 / scale**2 * factor, -1 / scale
        for j in range(len(row)):
            row[j] = factor * _exp(rate * math.sqrt(row[j]), c)
    elif profile == 1:
        rate = -0.5 / scale**2
        for j in range(len(row)):
            row[j] = factor * _exp(rate * row[j], c)
    else:
        rate = -1 / scale
        for j in range(len(row)):
            x = rate * math.sqrt(row[j])
            row[j] = factor * (1 - x) * _exp(x, c)


@vectorised
def _radial_values(
    omega: Array, X: Array, period: float, profile: int, scale: float,
    factor: float, c: Exponential, out: Array,
) -> None:  # fmt: skip
    for i in range(len(omega)):
        whole = out[i]
        for start in range(0, len(whole), TILE):
            row = whole[start : start + TILE]
            row[:] = 0.0
            for k in range(len(X)):
                x = X[k]
                add_squares(omega[i, k], x[start : start + TILE], period, row)
            _profile(profile, scale, factor, c, row)


def radial_values(
    omega: Array, X: Array, period: float, profile: int, scale: float, factor: float, out: Array
) -> None:
    """Write factor g(d(omega_i, x_j)) on a torus to ``out`` ``(M, N)``.

    Args:
        omega: ``(M, d)``.
        X: the x_j as columns, ``(d, N)``.
        period: of the torus.
        profile: 0, 1 or 2 for g(r) = 2 exp(-r/s) / s^2, exp(-r^2 / (2 s^2)), (1 + r/s) exp(-r/s).
        scale: s.
        factor: the factor.
        out: receives the values.
    """
    _radial_values(omega, X, period, profile, scale, factor, _EXPONENTIAL, out)


@reordered
def _lags(a: float, x: Array, period: float, lags: Array, squares: Array) -> None:
    """Compute the lags a - x on a circle of length ``period``, and add their squares."""
    turns = 1 / period
    for j in range(len(x)):
        lag = a - x[j]
        lag -= period * np.rint(lag * turns)
        lags[j] = lag
        squares[j] += lag * lag


@reordered
def _pull(
    a: float, x: Array, period: float, flat: float, slope: float,
    weight: Array, values: Array, row: Array,
) -> float:  # fmt: skip
    """Set row to f = weight values / (flat + slope r), and return the sum of f (a - x).

    x and a are the coordinates along the last axis, and r is the distance; before, row contains the
    squared distances along all other axes.
    """
    turns, total = 1 / period, 0.0
    for j in range(len(row)):
        lag = a - x[j]
        lag -= period * np.rint(lag * turns)
        distance = flat + slope * math.sqrt(row[j] + lag * lag)
        row[j] = weight[j] * values[j] / max(distance, 1e-150)  # the lag is 0 where the distance is
        total += row[j] * lag
    return total


@reordered
def _dot(a: Array, b: Array) -> float:
    total = 0.0
    for j in range(len(a)):
        total += a[j] * b[j]
    return total


@compiled
def radial_gradient(
    omega: Array, X: Array, period: float, profile: int, scale: float,
    weight: Array, values: Array, out: Array,
) -> None:  # fmt: skip
    """Write the gradients ``(M, d)`` of values @ weight at omega_i to ``out``.

    For the three profiles g'(r) / r is -g / (s r), -g / s^2, -g / (s (s + r)).

    Args:
        omega, X, period, profile, scale: as in `radial_values`.
        weight: ``(N,)``.
        values: the array ``(M, N)`` that `radial_values` computed.
        out: receives the gradients.
    """
    lags, room, last = np.empty((len(X), TILE)), np.empty(TILE), len(X) - 1
    flat, slope = scale * (profile > 0), 1.0 * (profile != 1)
    out[:] = 0.0
    for i in range(len(omega)):
        value = values[i]
        for start in range(0, len(value), TILE):
            end = min(start + TILE, len(value))
            row = room[: end - start]
            row[:] = 0.0
            for k in range(last):
                x, lag = X[k], lags[k]
                _lags(omega[i, k], x[start:end], period, lag[: end - start], row)
            x = X[last]
            out[i, last] -= _pull(omega[i, last], x[start:end], period, flat, slope,
                                  weight[start:end], value[start:end], row) / scale  # fmt: skip
            for k in range(last):
                lag = lags[k]
                out[i, k] -= _dot(row, lag[: end - start]) / scale


@vectorised
def _add_multiple(a: float, x: Array, sums: Array) -> None:
    for j in range(len(sums)):
        sums[j] += a * x[j]


@vectorised
def relu_values(omega: Array, X: Array, factor: float, out: Array) -> None:
    """Write factor max(0, omega_i.x_j) to ``out`` ``(M, N)``; X has the columns x_j, ``(d, N)``."""
    for i in range(len(omega)):
        whole = out[i]
        for start in range(0, len(whole), TILE):
            row = whole[start : start + TILE]
            row[:] = 0.0
            for k in range(len(X)):
                x = X[k]
                _add_multiple(factor * omega[i, k], x[start : start + TILE], row)
            for j in range(len(row)):
                row[j] = max(row[j], 0.0)


@vectorised
def _where_positive(values: Array, weight: Array, out: Array) -> None:
    for j in range(len(out)):
        out[j] = weight[j] if values[j] > 0 else 0.0


@compiled
def relu_gradient(X: Array, factor: float, weight: Array, values: Array, out: Array) -> None:
    """Write the sums of factor weight_j x_j over the j with values_ij > 0 to ``out`` ``(M, d)``."""
    room = np.empty(TILE)
    out[:] = 0.0
    for i in range(len(values)):
        value = values[i]
        for start in range(0, len(value), TILE):
            end = min(start + TILE, len(value))
            kept = room[: end - start]
            _where_positive(value[start:end], weight[start:end], kept)
            for k in range(len(X)):
                x = X[k]
                out[i, k] += factor * _dot(x[start:end], kept)


# of sin(2 pi y), the coefficients of y, y^3, ..., y^21; passed at run time like _EXPONENTIAL
_SINE = tuple((-1) ** k * (2 * math.pi) ** (2 * k + 1) / math.factorial(2 * k + 1)
              for k in range(11))  # fmt: skip


@vectorised
def _turned_cosines(turns: Array, factor: float, c: Exponential) -> None:
    for i in range(len(turns)):
        row = turns[i]
        for j in range(len(row)):
            y = 0.25 - abs(row[j] - np.rint(row[j]))
            s = y * y
            p = c[9] + s * c[10]
            p = c[8] + s * p
            p = c[7] + s * p
            p = c[6] + s * p
            p = c[5] + s * p
            p = c[4] + s * p
            p = c[3] + s * p
            p = c[2] + s * p
            p = c[1] + s * p
            row[j] = factor * (y * (c[0] + s * p))


def turned_cosines(turns: Array, factor: float) -> None:
    """Replace angles ``(m, n)``, in turns of 2 pi, in place by factor times their cosines."""
    _turned_cosines(turns, factor, _SINE)


@vectorised
def _add_hinges(
    a: Array, b: Array, u: float, v: float, x: Array, y: Array, z: Array, zero: float, sums: Array
) -> None:
    (a0, a1, a2), (b0, b1, b2) = (a[0], a[1], a[2]), (b[0], b[1], b[2])
    for j in range(len(sums)):
        first = max(a0 * x[j] + a1 * y[j] + a2 * z[j], zero)
        second = max(b0 * x[j] + b1 * y[j] + b2 * z[j], zero)
        sums[j] += u * first + v * second


@compiled
def hinge_moments(
    omega: Array, v: Array, x: Array, y: Array, z: Array, zero: float, out: Array
) -> None:
    """Write the sums over i of v_i max(0, omega_i.x_j) to ``out`` ``(n,)``.

    A vector of inputs stays in the registers for two neurons. This and the next two functions
    compute in the precision of their arguments, which must be the same for all.

    Args:
        omega: ``(M, 3)`` with an even M.
        v: ``(M,)``.
        x, y, z: the coordinates of the inputs x_j, ``(n,)`` each; they should fit in a cache.
        zero: 0.
        out: receives the sums.
    """
    out[:] = zero
    for i in range(0, len(omega), 2):
        _add_hinges(omega[i], omega[i + 1], v[i], v[i + 1], x, y, z, zero, out)


@reordered
def _two_values(
    a: Array, b: Array, x: Array, y: Array, z: Array, weight: Array, zero: float
) -> tuple[float, float]:
    (a0, a1, a2), (b0, b1, b2) = (a[0], a[1], a[2]), (b[0], b[1], b[2])
    first = second = zero
    for j in range(len(weight)):
        first += weight[j] * max(a0 * x[j] + a1 * y[j] + a2 * z[j], zero)
        second += weight[j] * max(b0 * x[j] + b1 * y[j] + b2 * z[j], zero)
    return first, second


@compiled
def hinge_values(
    omega: Array, x: Array, y: Array, z: Array, weight: Array, zero: float, out: Array
) -> None:
    """Write the sums over j of weight_j max(0, omega_i.x_j) to ``out`` ``(M,)``.

    The other arguments are those of `hinge_moments`.
    """
    for i in range(0, len(omega), 2):
        out[i], out[i + 1] = _two_values(omega[i], omega[i + 1], x, y, z, weight, zero)


@reordered
def _pulled(
    a: Array, x: Array, y: Array, z: Array, weight: Array, zero: float
) -> tuple[float, float, float]:
    a0, a1, a2 = a[0], a[1], a[2]
    along = across = up = zero
    for j in range(len(weight)):
        w = weight[j]
        w = w if a0 * x[j] + a1 * y[j] + a2 * z[j] > zero else zero
        along += w * x[j]
        across += w * y[j]
        up += w * z[j]
    return along, across, up


@compiled
def hinge_pull(
    omega: Array, x: Array, y: Array, z: Array, weight: Array, zero: float, out: Array
) -> None:
    """Write the sums of weight_j x_j over the j with omega_i.x_j > 0 to ``out`` ``(M, 3)``.

    The other arguments are those of `hinge_moments`.
    """
    for i in range(len(omega)):
        out[i, 0], out[i, 1], out[i, 2] = _pulled(omega[i], x, y, z, weight, zero)
