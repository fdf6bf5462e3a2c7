"""Orders and rates of convergence, fitted to measured errors.

Errors that scatter with a seed give the order a confidence interval. An error without noise has
none: that its local orders drift says how far it is from the law, and no statistics tells more.
Then there are the local orders, and what they tend to.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import stdtrit

from uf_diffusion.core.arrays import Array
from uf_diffusion.core.errors import InputError

__all__ = ["Fit", "Law", "extrapolated", "fit", "local_orders", "spread"]

Law = Literal["power", "exponential"]
SHRINKS = 0.75


@dataclass(frozen=True)
class Fit:
    """A fitted law, y = factor x^order or y = factor exp(order x).

    Attributes:
        order: the exponent.
        low, high: the confidence interval of the order; NaN with fewer than two seeds.
        factor: the constant of the law for the geometric mean of y over the seeds.
    """

    order: float
    low: float
    high: float
    factor: float


def fit(x: Array, y: Array, law: Law = "power", level: float = 0.95) -> Fit:
    """Fit a straight line to log y as a function of log x (power) or of x (exponential).

    One least-squares line is fitted to each seed. The slopes are independent, so the t-interval of
    the mean slope is valid even if the errors of one seed are correlated. A single seed has no
    interval: the deviations from its line may be curvature, which is not noise.

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
    slopes, intercepts = np.array(lines).T
    order, half, n = float(slopes.mean()), math.nan, len(lines)
    if n > 1:
        half = float(slopes.std(ddof=1) * stdtrit(n - 1, (1 + level) / 2)) / math.sqrt(n)
    return Fit(order, order - half, order + half, math.exp(float(intercepts.mean())))


def _line(s: Array, z: Array) -> tuple[float, float]:
    """Slope and intercept."""
    centred = s - s.mean()
    slope = float(centred @ z) / float(centred @ centred)
    return slope, float(z.mean() - slope * s.mean())


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


def extrapolated(orders: Array) -> float:
    """The order to which local orders tend, from the last three by Aitken's method.

    It is exact if the error is a power and a power of the abscissa times a much smaller one, and
    the abscissae form a geometric sequence.

    Args:
        orders: as `local_orders` returns them, ``(k,)``.

    Returns:
        The limit; NaN unless the last difference is at most `SHRINKS` times the one before.
    """
    if len(orders) < 4:
        return math.nan
    before, last = np.diff(orders[-3:])
    if not abs(last) <= SHRINKS * abs(before):
        return math.nan
    return float(orders[-1] + (last**2 / (before - last) if last else 0.0))


def spread(y: Array) -> tuple[Array, Array, Array]:
    """Median, minimum and maximum ``(k,)`` over the finite values of ``(k, seeds)``, else NaN."""
    rows = [row[np.isfinite(row)] for row in y]
    good = [row if len(row) else np.array([math.nan]) for row in rows]
    median, low, high = (np.array([f(row) for row in good]) for f in (np.median, np.min, np.max))
    return median, low, high


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
