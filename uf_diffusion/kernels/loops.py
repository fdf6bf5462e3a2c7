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

__all__ = ["radial_gradient", "radial_values", "relu_gradient", "relu_values"]

TILE = 1024  # entries of a row that are worked on together: they stay in the nearest cache


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
                add_squares(omega[i, k], x[start : start + TILE], period, row)
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
