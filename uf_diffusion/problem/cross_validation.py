"""The width of a smoothing kernel by cross-validation, which leaves out one point at a time.

The likelihood of a width is the mean over the points x_i, with their weights a_i, of the logarithm
of the density at x_i that the other points give,

    log sum over j != i of a_j K(x_i, x_j) / (1 - a_i).

Its mean over the points is, up to a constant, an unbiased estimate of minus the Kullback-Leibler
divergence between the true density and the estimated one; the best width maximises it. Source:
Silverman, Density Estimation for Statistics and Data Analysis (1986), section 3.4.4.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np

from uf_diffusion.core.arrays import Array, Index
from uf_diffusion.core.errors import InputError
from uf_diffusion.problem.manifolds import Manifold
from uf_diffusion.problem.smoothing import Kernel, exponential_of, kernel, row_blocks, widths

__all__ = ["best_width", "likelihood"]

# pairs of points for each width in the first search and in the second one; where there are more,
FIRST, SECOND = 10**7, 5 * 10**7
LEAST = 200  # not all points are left out in turn, but at least as many as these
RATIO = 1.6  # of neighbouring widths in the first search
CLOSEST = 0.2  # the narrowest width, as a multiple of the median distance to the nearest point
WIDEST = 8.0  # the widest width on spheres, in radians; on tori it is half a period
ACCURACY = 0.02  # of the logarithm of the width
REPEATED = "The points repeat one another, so that cross-validation finds no width: give one."


def best_width(points: Array, weights: Array, manifold: Manifold) -> float:
    """The width that cross-validation chooses; the same points always give the same width.

    Widths that grow by a factor are tried first, and those near the best of them in a second
    search. Of more than about 7000 points only some are left out in turn; they are chosen at random
    with a fixed seed.

    Args:
        points: at least two points, ``(n, ambient)``.
        weights: their weights, positive and with sum 1, ``(n,)``.
        manifold: a sphere or a flat torus.

    Raises:
        InputError: for a single point, or if so many points are equal that the narrowest width is
            the best.
    """
    if len(points) < 2:
        raise InputError("Cross-validation needs at least two points: give a width.")
    frozen: Any = manifold
    return _best_width(points.tobytes(), weights.tobytes(), frozen)


@lru_cache(maxsize=4)
def _best_width(points: bytes, weights: bytes, manifold: Manifold) -> float:
    """As `best_width`; a configuration and its copies all ask for it."""
    from scipy.optimize import minimize_scalar  # takes long to load

    x, a = np.frombuffer(points).reshape(-1, manifold.ambient), np.frombuffer(weights)
    chosen = np.random.default_rng(0).permutation(len(x))
    some, more = (np.sort(chosen[: max(LEAST, pairs // len(x))]) for pairs in (FIRST, SECOND))

    def loss(logarithm: float, left_out: Index) -> float:
        return -likelihood(kernel(manifold, math.exp(logarithm)), x, a, left_out)

    low, high = widths(manifold)
    widest = high / 2 if manifold.period else WIDEST
    narrowest = min(max(low, CLOSEST * _spacing(manifold, x, some)), widest / 2)
    steps = math.ceil(math.log(widest / narrowest) / math.log(RATIO))
    tried = np.linspace(math.log(narrowest), math.log(widest), steps + 1)
    best = int(np.argmin([loss(logarithm, some) for logarithm in tried]))
    if best == 0:
        raise InputError(REPEATED)
    between = tried[max(best - 2, 0)], tried[min(best + 2, steps)]
    found: Any = minimize_scalar(loss, bounds=between, args=(more,), method="bounded",
                                 options={"xatol": ACCURACY})  # fmt: skip
    return float(math.exp(found.x))


def likelihood(kernel: Kernel, points: Array, weights: Array, left_out: Index) -> float:
    """The likelihood of a kernel, see the module.

    Args:
        kernel: the kernel.
        points: the points, ``(n, ambient)``.
        weights: their weights, which sum to 1, ``(n,)``.
        left_out: the numbers of the points that are left out in turn, ``(k,)``.
    """
    total = 0.0
    for block in row_blocks(len(left_out), len(points)):
        rows = left_out[block]
        falls = kernel.exponents(points[rows], points)
        falls[np.arange(len(rows)), rows] = -1e300
        highest = falls.max(axis=1)  # without it a point far from all others would underflow
        sums = exponential_of(falls - highest[:, None]) @ weights
        others = np.maximum(1 - weights[rows], np.finfo(float).tiny)
        logarithms = highest + np.log(sums / others)
        total += float(weights[rows] @ logarithms)
    return total / float(weights[left_out].sum()) + math.log(kernel.peak)


def _spacing(manifold: Manifold, points: Array, left_out: Index) -> float:
    """The median distance of points to the nearest other one that is not equal."""
    nearest = []
    for block in row_blocks(len(left_out), len(points)):
        distance = manifold.chord(points[left_out[block]], points)
        distance[distance <= 1e-12 * distance.max()] = np.inf
        nearest.append(distance.min(axis=1))
    distances = np.concatenate(nearest)
    if not np.isfinite(distances).any():
        raise InputError(REPEATED)
    return float(np.median(distances[np.isfinite(distances)]))
