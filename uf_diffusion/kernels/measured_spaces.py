"""What features see of a measure, found by evaluating them at points and inputs.

As lambda -> 0 a network follows the equation of a `SeenSpace` if two things hold, which are both
measured here. The kernel is a function of omega.omega' alone, so that harmonics of one degree are
seen alike: this is tested by rotating pairs of points, with the sampling error of the mean over the
inputs as the yardstick. And the even and the odd part of the features, as functions of omega, are
polynomials of a low degree or not polynomials: this is found by fitting polynomials, up to
round-off. Features with a bias, or with inputs that favour some directions, fail the first test.
There symmetry tells what is not seen, but no simple space is what is seen.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from uf_diffusion.core.arrays import Array
from uf_diffusion.kernels.base import Feature
from uf_diffusion.kernels.own_features import drawn_inputs
from uf_diffusion.kernels.seen_spaces import SeenSpace, space_of_degrees

__all__ = ["measured_space", "polynomial_degrees", "rotation_invariant"]

DEGREES = np.arange(8)
INPUTS = 2**16  # of the test of invariance
COSINES = (1.0, 0.5, -0.3)  # of the pairs of points that are rotated
ROTATIONS = 12
SIGMAS = 6.0  # difference of two means that is not taken for chance
FITTED = (24, 16)  # points for each function that is fitted, and inputs
ROUND_OFF = 1e-9  # of a fit, relative to the features


def measured_space(
    feature: Feature, draw: Callable[[int, np.random.Generator], Array] | None = None
) -> SeenSpace | None:
    """What features on a sphere see of a measure as lambda -> 0.

    Args:
        feature: phi.
        draw: draws n inputs ``(n, d)``; by default they have the law of the features.

    Returns:
        The space; None if it is none of the known ones, or on another manifold.
    """
    rng = np.random.default_rng(0)
    if not feature.manifold.antipodal:
        return None
    x = drawn_inputs(feature, INPUTS, rng) if draw is None else draw(INPUTS, rng)
    if not rotation_invariant(feature, x, rng):
        return None
    even, odd = polynomial_degrees(feature, x[: FITTED[1]], rng)
    most = np.where(DEGREES % 2 == 0, even, odd)
    return space_of_degrees(DEGREES <= most)


def rotation_invariant(feature: Feature, x: Array, rng: np.random.Generator) -> bool:
    """Whether the kernel with these inputs ``(n, d)`` is one of omega.omega', as far as they tell.

    Differences of 6 standard errors say that it is not.
    """
    ambient = feature.manifold.ambient
    for cosine in COSINES:
        products = []
        for _ in range(ROTATIONS):
            axes, _ = np.linalg.qr(rng.standard_normal((ambient, 2)))
            pair = np.array([[1.0, 0.0], [cosine, np.sqrt(1 - cosine**2)]]) @ axes.T
            values = np.empty((2, len(x)))
            feature.values(pair, x, 1.0, values)
            products.append(values[0] * values[1])
        rows = np.array(products)
        apart = rows - rows.mean(axis=0)
        error = apart.std(axis=1) / np.sqrt(len(x))
        round_off = 1e-12 * np.abs(rows).max()
        if (np.abs(apart.mean(axis=1)) > SIGMAS * error + round_off).any():
            return False
    return True


def polynomial_degrees(feature: Feature, x: Array, rng: np.random.Generator) -> tuple[float, float]:
    """The degrees of the even and the odd part of omega -> phi(omega, x), for inputs ``(n, d)``.

    -1 stands for a part that is 0, infinity for one that is no polynomial of degree 2 or less.
    """
    ambient = feature.manifold.ambient
    count = FITTED[0] * (1 + ambient * (ambient + 1) // 2)
    omega = feature.manifold.sample(min(count, 4000), rng)
    ahead, behind = feature(omega, x)[0], feature(-omega, x)[0]
    size = float(np.sqrt((ahead**2).mean()))
    squares = np.einsum("ni,nj->nij", omega, omega)[:, *np.triu_indices(ambient)]
    fits: dict[int, list[tuple[float, Any]]] = {
        1: [(-1, None), (0, np.ones((len(omega), 1))), (2, squares)],
        -1: [(-1, None), (1, omega)],
    }
    found = []
    for sign in (1, -1):
        part = (ahead + sign * behind) / 2
        degrees = (d for d, basis in fits[sign] if _misfit(basis, part) <= ROUND_OFF * size)
        found.append(next(degrees, np.inf))
    return found[0], found[1]


def _misfit(basis: Array | None, part: Array) -> float:
    """The root mean square of what functions ``(n, k)`` leave of functions ``(n, m)``."""
    if basis is not None:
        part = part - basis @ np.linalg.lstsq(basis, part, rcond=None)[0]
    return float(np.sqrt((part**2).mean()))
