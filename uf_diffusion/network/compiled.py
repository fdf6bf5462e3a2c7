"""Loops compiled by numba: each is compiled once and kept beside its source file."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, cast

import numpy as np
from numba import njit

from uf_diffusion.problem.manifolds import Array

__all__ = ["compiled", "exponential", "radial_gradient", "radial_values", "relu_gradient",
           "relu_values"]  # fmt: skip


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


@vectorised
def exponential(x: Array, power: Array) -> None:
    """Replace x <= 0 by exp(x), to 2 ulp; ``power`` is room, as long as x.

    exp x = 2^n exp(r) with n = round(x / log 2). Adding 1.5 * 2^52 rounds, and leaves n in the low
    bits, from where a shift takes it to the exponent of the polynomial's value; all of it in
    vector registers, which a library call is not.
    """
    magic = 6755399441055744.0
    for j in range(len(x)):
        y = max(x[j], -708.0)
        n = y * 1.4426950408889634 + magic
        power[j] = n
        n -= magic
        r = (y - n * 0.6931471803691238) - n * 1.9082149292705877e-10
        p = 1 / 39916800 + r / 479001600
        p = 1 / 3628800 + r * p
        p = 1 / 362880 + r * p
        p = 1 / 40320 + r * p
        p = 1 / 5040 + r * p
        p = 1 / 720 + r * p
        p = 1 / 120 + r * p
        p = 1 / 24 + r * p
        p = 1 / 6 + r * p
        x[j] = 1 + r * (1 + r * (0.5 + r * p))
    bits, exponent = x.view(np.int64), power.view(np.int64)
    for j in range(len(x)):
        bits[j] += exponent[j] << 52


@vectorised
def _exponents(
    point: Array, X: Array, period: float, profile: int, scale: float, row: Array
) -> None:
    """The profile's exponent at the distances of the columns of X ``(d, N)`` to a point."""
    row[:] = 0.0
    for k in range(len(point)):
        for j in range(len(row)):
            lag = abs(point[k] - X[k, j])
            lag = min(lag, period - lag)
            row[j] += lag * lag
    if profile == 1:
        for j in range(len(row)):
            row[j] *= -0.5 / scale**2
    else:
        for j in range(len(row)):
            row[j] = -math.sqrt(row[j]) / scale


@vectorised
def radial_values(
    omega: Array, X: Array, period: float, profile: int, scale: float, out: Array
) -> None:
    """g(d(omega_i, x_j)) on a torus, to ``out`` (M, N); x_j are the columns of X ``(d, N)``.

    Profiles 0, 1, 2: 2 exp(-r/s) / s^2, exp(-r^2 / (2 s^2)), (1 + r/s) exp(-r/s).
    """
    room, kept = np.empty(X.shape[1]), np.empty(X.shape[1])
    for i in range(len(omega)):
        row = out[i]
        _exponents(omega[i], X, period, profile, scale, row)
        if profile == 2:
            kept[:] = row
        exponential(row, room)
        if profile == 0:
            row *= 2 / scale**2
        if profile == 2:
            row *= 1 - kept


@reordered
def _pull(point: Array, X: Array, period: float, factor: Array, out: Array) -> None:
    """The sum of factor_j times the lag from x_j to the point."""
    for k in range(len(point)):
        total = 0.0
        for j in range(len(factor)):
            lag = point[k] - X[k, j]
            lag -= period * np.rint(lag / period)
            total += factor[j] * lag
        out[k] = total


@vectorised
def radial_gradient(
    omega: Array, X: Array, period: float, profile: int, scale: float, weight: Array, out: Array
) -> None:
    """The gradients ``(M, d)`` of sum_j weight_j g(d(omega, x_j)) at omega_i, to ``out``."""
    n = X.shape[1]
    row, room, kept = np.empty(n), np.empty(n), np.empty(n)
    for i in range(len(omega)):
        _exponents(omega[i], X, period, profile, scale, row)
        kept[:] = row
        exponential(row, room)
        if profile == 0:  # g'/r = -(2 / s^3) exp(-r/s) / r, and -r/s is the exponent
            for j in range(n):
                slope = 2 / scale**4 * weight[j] * row[j] / min(kept[j], -1e-300)
                row[j] = slope if kept[j] < 0 else 0.0
        else:
            for j in range(n):
                row[j] *= -weight[j] / scale**2
        _pull(omega[i], X, period, row, out[i])


@vectorised
def relu_values(omega: Array, X: Array, out: Array) -> None:
    """max(0, omega_i.x_j), to ``out`` (M, N); x_j are the columns of X ``(d, N)``."""
    for i in range(len(omega)):
        row = out[i]
        row[:] = 0.0
        for k in range(len(X)):
            for j in range(len(row)):
                row[j] += omega[i, k] * X[k, j]
        for j in range(len(row)):
            row[j] = max(row[j], 0.0)


@reordered
def relu_gradient(omega: Array, X: Array, weight: Array, out: Array) -> None:
    """The sums ``(M, d)`` of weight_j x_j over the x_j with omega_i.x_j > 0, to ``out``."""
    d, n = X.shape
    dot = np.empty(n)
    for i in range(len(omega)):
        dot[:] = 0.0
        for k in range(d):
            for j in range(n):
                dot[j] += omega[i, k] * X[k, j]
        for k in range(d):
            total = 0.0
            for j in range(n):
                total += (weight[j] if dot[j] > 0 else 0.0) * X[k, j]
            out[i, k] = total
