"""Orders and rates of convergence, fitted to measured errors, with confidence intervals."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import stdtrit

from uf_diffusion.core.arrays import Array
from uf_diffusion.core.errors import InputError

__all__ = ["Fit", "Law", "fit", "local_orders"]

Law = Literal["power", "exponential"]


@dataclass(frozen=True)
class Fit:
    """A fitted law, y = factor x^order or y = factor exp(order x).

    Attributes:
        order: the exponent.
        low, high: the confidence interval of the order; infinite when there are too few data to
            estimate it.
        factor: the constant of the law for the geometric mean of y over the seeds.
    """

    order: float
    low: float
    high: float
    factor: float


def fit(x: Array, y: Array, law: Law = "power", level: float = 0.95) -> Fit:
    """Fit a straight line to log y as a function of log x (power) or of x (exponential).

    With several seeds, one least-squares line is fitted to each. Their slopes are independent, so
    the t-interval of the mean slope is valid even if the errors of one seed are correlated. With
    one seed, the interval is the t-interval of the regression, which takes the deviations from the
    law for independent noise: for a deterministic error it measures how straight the line is.

    Args:
        x: abscissae ``(k,)``, positive for a power.
        y: measured values ``(k,)`` or ``(k, seeds)``. Values that are not finite and positive are
            left out, and so are seeds with fewer than two different abscissae left.
        law: "power" or "exponential".
        level: probability of the confidence interval.

    Returns:
        The fit; NaN if no seed has two different abscissae.

    Raises:
        InputError: if the shapes do not match, or an abscissa of a power law is not positive.
    """
    s, z = _logarithms(x, y, law)
    columns = [(s[good], column[good]) for column in z.T for good in [np.isfinite(column)]]
    lines = [_line(*column) for column in columns if len(np.unique(column[0])) > 1]
    if not lines:
        return Fit(math.nan, math.nan, math.nan, math.nan)
    slopes, intercepts, errors, freedoms = np.array(lines).T
    order, error, freedom = float(slopes.mean()), float(errors[0]), int(freedoms[0])
    if len(lines) > 1:
        error, freedom = float(slopes.std(ddof=1)) / math.sqrt(len(lines)), len(lines) - 1
    half = error * float(stdtrit(freedom, (1 + level) / 2)) if freedom > 0 else math.inf
    return Fit(order, order - half, order + half, math.exp(float(intercepts.mean())))


def _line(s: Array, z: Array) -> tuple[float, float, float, int]:
    """Slope, intercept, the slope's standard error and the degrees of freedom of the residual."""
    centred, freedom = s - s.mean(), len(s) - 2
    spread = float(centred @ centred)
    slope = float(centred @ z) / spread
    residual = z - z.mean() - slope * centred
    error = math.sqrt(float(residual @ residual) / (max(freedom, 1) * spread))
    return slope, float(z.mean() - slope * s.mean()), error, freedom


def local_orders(x: Array, y: Array, law: Law = "power") -> Array:
    """The slope between each value and the one before it, ``(k,)``; the first entry is NaN.

    Args:
        x, law: as in `fit`.
        y: measured values ``(k,)``.

    Raises:
        InputError: as `fit`.
    """
    s, z = _logarithms(x, y, law)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.concatenate([[math.nan], np.diff(z[:, 0]) / np.diff(s)])


def _logarithms(x: Array, y: Array, law: Law) -> tuple[Array, Array]:
    """The abscissa of the line ``(k,)``, and log y ``(k, seeds)``, NaN where it does not exist."""
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    if x.ndim != 1 or y.ndim not in (1, 2) or len(x) != len(y):
        raise InputError(f"x (k,) and y (k, seeds) do not match: {x.shape} and {y.shape}.")
    y = y.reshape(len(x), -1)
    positive = np.isfinite(y) & (y > 0)
    z = np.log(np.where(positive, y, 1.0))
    z[~positive] = math.nan
    if law == "exponential":
        return x, z
    if not (x > 0).all():
        raise InputError("The abscissae of a power law must be positive.")
    return np.log(x), z
