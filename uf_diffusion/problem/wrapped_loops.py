"""Compiled loops for wrapped Gaussians on flat tori."""

from __future__ import annotations

import math

import numpy as np

from uf_diffusion.core.arrays import Array
from uf_diffusion.core.compiled import add_squares, compiled, vectorised

__all__ = ["add_second_images", "cosine_series", "nearest_images"]


@vectorised
def nearest_images(x: Array, y: Array, period: float, scale: float, falls: Array) -> None:
    """Set ``falls`` to -scale times the squared distances on a flat torus.

    Args:
        x: coordinates in [-period/2, period/2], ``(n, dim)``.
        y: further ones, ``(dim, m)``.
        period: the length of each axis.
        scale: the factor.
        falls: the result, ``(n, m)``.
    """
    for i in range(len(x)):
        row = falls[i]
        row[:] = 0.0
        for k in range(len(y)):
            add_squares(x[i, k], y[k], period, row)
        for j in range(len(row)):
            row[j] *= -scale


@compiled
def add_second_images(
    x: Array, y: Array, period: float, scale: float, negligible: float, falls: Array
) -> None:
    """Add the logarithms of what the second nearest image along each axis adds to a Gaussian.

    It is not added where it is less than exp(-negligible) of the Gaussian, nor where the Gaussian
    is less than that of the largest one in its row.

    Args:
        x, y, period, scale: as in `nearest_images`.
        negligible: the exponent from which on a part is negligible.
        falls: the exponents of the Gaussians, ``(n, m)``.
    """
    least = (period - negligible / (scale * period)) / 2
    for i in range(len(x)):
        row = falls[i]
        lowest = row.max() - negligible
        for j in range(len(row)):
            if row[j] > lowest:
                for k in range(len(y)):
                    lag = abs(x[i, k] - y[k, j])
                    lag = min(lag, period - lag)
                    if lag > least:
                        row[j] += math.log1p(math.exp(scale * period * (2 * lag - period)))


@vectorised
def cosine_series(
    x: tuple[Array, Array], y: tuple[Array, Array], coefficients: Array, values: Array
) -> None:
    """Set ``values`` to sum_k coefficients_k cos(k (a - b)) by the recurrence of Clenshaw.

    Args:
        x: cosines and sines of the angles a, ``(n,)`` each.
        y: those of the angles b, ``(m,)`` each.
        coefficients: at least two, ``(k,)``.
        values: the result, ``(n, m)``.
    """
    (cos_x, sin_x), (cos_y, sin_y) = x, y
    before = np.empty(len(cos_y))
    for i in range(len(cos_x)):
        row = values[i]
        row[:] = 0.0
        before[:] = 0.0
        for k in range(len(coefficients) - 1, -1, -1):
            factor = 2.0 if k else 1.0
            for j in range(len(row)):
                cosine = cos_x[i] * cos_y[j] + sin_x[i] * sin_y[j]
                value = factor * cosine * row[j] - before[j] + coefficients[k]
                before[j] = row[j]
                row[j] = value
