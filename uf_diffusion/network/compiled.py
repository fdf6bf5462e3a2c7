"""Loops compiled by numba: each is compiled once and kept beside its source file."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, cast

import numpy as np
from numba import njit, types
from numba.extending import intrinsic

from uf_diffusion.problem.manifolds import Array

__all__ = ["compiled", "exponential", "radial_gradient", "radial_values", "relu_gradient",
           "relu_values"]  # fmt: skip

TILE = 1024  # entries of a row that are worked on together: they stay in the nearest cache

# lowest argument, 1 / log 2, what rounds, log 2 in two parts, 1/2!, ..., 1/12!. They are handed
# to the loops at run time: constants that it knows, the compiler loads anew for every number.
_EXPONENTIAL = (-708.0, 1.4426950408889634, 6755399441055744.0, 0.6931471803691238,
                1.9082149292705877e-10, *(1 / math.factorial(k) for k in range(2, 13)))  # fmt: skip
Exponential = tuple[float, ...]


def compiled[F: Callable[..., Any]](function: F) -> F:
    """The function as machine code; it lets other threads run."""
    return _machine_code(function, False)


def vectorised[F: Callable[..., Any]](function: F) -> F:
    """As `compiled`, for numbers that are all finite; no sum is reordered."""
    return _machine_code(function, {"nnan", "ninf", "nsz", "contract"})


def reordered[F: Callable[..., Any]](function: F) -> F:
    """As `compiled`; sums are taken in the order that is fastest, the same in every run."""
    return _machine_code(function, True)


def _machine_code[F: Callable[..., Any]](function: F, fastmath: bool | set[str]) -> F:
    jit = njit(cache=True, nogil=True, error_model="numpy", fastmath=fastmath)
    return cast(F, jit(function))


@intrinsic  # type: ignore[untyped-decorator]
def _bits(context: Any, x: Any) -> Any:
    """The 64 bits of a float64 as an integer, and of an integer as a float64."""
    result = types.float64 if isinstance(x, types.Integer) else types.int64

    def bitcast(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], context.get_value_type(result))

    return result(types.int64 if result is types.float64 else types.float64), bitcast


@vectorised
def _exp(x: float, c: Exponential) -> float:
    """exp(x) for x <= 0, to 2 ulp; ``c`` is _EXPONENTIAL.

    exp x = 2^n exp(r) with n = round(x / log 2). Adding 1.5 * 2^52 rounds, and leaves n in the low
    bits, from where a shift takes it to the exponent of the polynomial's value; all of it in
    vector registers, which a library call is not.
    """
    y = max(x, c[0])
    shifted = y * c[1] + c[2]
    n = shifted - c[2]
    r = (y - n * c[3]) - n * c[4]
    p = c[14] + r * c[15]
    p = c[13] + r * p
    p = c[12] + r * p
    p = c[11] + r * p
    p = c[10] + r * p
    p = c[9] + r * p
    p = c[8] + r * p
    p = c[7] + r * p
    p = c[6] + r * p
    p = c[5] + r * p
    value: float = _bits(_bits(1 + r * (1 + r * p)) + (_bits(shifted) << 52))
    return value


@vectorised
def exponential(x: Array) -> None:
    """Replace x <= 0 by exp(x), to 2 ulp."""
    for j in range(len(x)):
        x[j] = _exp(x[j], _EXPONENTIAL)


@vectorised
def _add_squares(a: float, x: Array, period: float, sums: Array) -> None:
    """Add the squared distances of numbers x from a on a circle of length period."""
    for j in range(len(sums)):
        lag = abs(a - x[j])
        lag = min(lag, period - lag)
        sums[j] += lag * lag


@vectorised
def _profile(profile: int, scale: float, factor: float, c: Exponential, row: Array) -> None:
    """Replace squared distances by factor times g."""
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
                _add_squares(omega[i, k], x[start : start + TILE], period, row)
            _profile(profile, scale, factor, c, row)


def radial_values(
    omega: Array, X: Array, period: float, profile: int, scale: float, factor: float, out: Array
) -> None:
    """factor g(d(omega_i, x_j)) on a torus, to ``out`` (M, N); x_j are the columns of X ``(d, N)``.

    Profiles 0, 1, 2: 2 exp(-r/s) / s^2, exp(-r^2 / (2 s^2)), (1 + r/s) exp(-r/s).
    """
    _radial_values(omega, X, period, profile, scale, factor, _EXPONENTIAL, out)


@reordered
def _lags(a: float, x: Array, period: float, lags: Array, squares: Array) -> None:
    """The lags from numbers x to a on a circle of length period; their squares are added."""
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
    """Make row f = weight values / (flat + slope r), and return the sum of f times the last lags.

    What was row are the squared distances along all axes but the last, whose numbers are x and a.
    """
    turns, total = 1 / period, 0.0
    for j in range(len(row)):
        lag = a - x[j]
        lag -= period * np.rint(lag * turns)
        distance = flat + slope * math.sqrt(row[j] + lag * lag)
        row[j] = weight[j] * values[j] / max(distance, 1e-150)  # a lag of 0 has no direction
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
    """The gradients ``(M, d)`` of values @ weight at omega_i, to ``out``.

    Args:
        values: those of `radial_values`; g'(r) / r is -g / (s r), -g / s^2, -g / (s (s + r)).
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
    """factor max(0, omega_i.x_j), to ``out`` (M, N); x_j are the columns of X ``(d, N)``."""
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
    """The sums ``(M, d)`` of factor weight_j x_j over the x_j with positive values, to ``out``."""
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
