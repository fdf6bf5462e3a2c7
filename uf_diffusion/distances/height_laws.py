"""Laws of the height s along an axis as smoothed densities on [-1, 1], and their divergences."""

from __future__ import annotations

import math

import numpy as np
from scipy.fft import dct, idct

from uf_diffusion.core.arrays import Array
from uf_diffusion.distances.density_divergences import chi2_integral, kl_integral, l1_integral

__all__ = ["HEIGHTS", "bandwidth", "divergences", "smoothed_law"]

CELLS = 2**13  # of the heights at which laws are tabulated
CELL = 2 / CELLS
HEIGHTS: Array = np.linspace(-1, 1, CELLS, endpoint=False) + CELL / 2  # the middles of these cells
NOTHING = 1e-14  # values below this part of the largest one are round-off of the transforms


def bandwidth(height: Array, mass: Array) -> float:
    """Silverman's bandwidth 1.06 n^(-1/5) sigma for points on a line, a length.

    sigma is the smaller of the standard deviation and the interquartile range over 1.34, and n is
    the effective number of points, 1 / sum(mass^2). The bandwidth is at least two cells of 2^-12.

    Args:
        height: the heights ``(n,)``.
        mass: their masses ``(n,)``, summing to 1.
    """
    deviation = math.sqrt(float(mass @ (height - mass @ height) ** 2))
    order = np.argsort(height, kind="stable")
    low, high = np.interp([0.25, 0.75], np.cumsum(mass[order]), height[order])
    spread = min(deviation, (high - low) / 1.34) or deviation
    return max(2 * CELL, float(1.06 * spread * (mass @ mass) ** 0.2))


def smoothed_law(height: Array, mass: Array, width: float) -> Array:
    """The density of the height, per unit, at `HEIGHTS`, ``(CELLS,)``.

    It is the law of the points convolved with a Gaussian, with reflection at both ends. This is the
    heat flow on [-1, 1] without flux at the ends, for the time width^2 / 2: the coefficients of its
    cosines decay. So the mass is kept. Values that are round-off are 0.

    Args:
        height: the heights ``(n,)``, from -1 to 1.
        mass: their masses ``(n,)``.
        width: the standard deviation of the Gaussian, a length.
    """
    place = np.clip((height + 1) / CELL - 0.5, 0, CELLS - 1)
    left = np.minimum(place.astype(int), CELLS - 2)
    share = place - left
    binned = np.bincount(left, mass * (1 - share), CELLS)
    binned += np.bincount(left + 1, mass * share, CELLS)
    decay = np.exp(-0.5 * (width * math.pi / 2 * np.arange(CELLS)) ** 2)
    density = idct(dct(binned) * decay) / CELL
    return np.where(density > NOTHING * density.max(), density, 0.0)


def divergences(p: Array, q: Array) -> dict[str, float]:
    """The integrals of (p - q)^2 / q, p log(p / q) and |p - q| for densities at `HEIGHTS`.

    Where q is 0 and p is not, the first two are infinite.

    Args:
        p, q: values ``(CELLS,)``, per unit of height.

    Returns:
        Values with the names "chi2", "kl" and "l1"; "l1" is at most 2.
    """
    cells = np.full(CELLS, CELL)
    return {
        "chi2": chi2_integral(p, q, cells),
        "kl": kl_integral(p, q, cells),
        "l1": l1_integral(p, q, cells),
    }
