"""What features see of a measure, found by evaluating them at points and inputs.

As lambda -> 0 a network follows the equation of a `SeenSpace` if two things hold, which are both
measured here. The kernel is a function of omega.omega' alone, so that harmonics of one degree are
seen alike: this is tested by rotating pairs of points, with the sampling error of the mean over the
inputs as the yardstick. And the even and the odd part of the features, as functions of omega, are
polynomials of a low degree or not polynomials: this is read off Fourier coefficients along great
circles, up to round-off. Features with a bias fail the first test. There symmetry tells what is not
seen, but a large part of the rest has eigenvalues so small that no simple space is what is seen.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from uf_diffusion.core.arrays import Array
from uf_diffusion.kernels.base import Feature
from uf_diffusion.kernels.own_features import drawn_inputs
from uf_diffusion.kernels.seen_spaces import SeenSpace, space_of_degrees

__all__ = ["measured_space", "rotation_invariant", "seen_degrees"]

DEGREES = np.arange(8)
INPUTS = 2**16  # of the test of invariance
COSINES = (1.0, 0.5, -0.3)  # of the pairs of points that are rotated
ROTATIONS = 12
SIGMAS = 6.0  # difference of two means that is not taken for chance
POINTS = 64  # of a great circle
CIRCLES = 3
LONGEST = 32  # inputs, along which polynomials of low degree are told from other functions
ROUND_OFF = 1e4  # of coefficients relative to the features, in units of their precision


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
    longest = np.argsort(-np.linalg.norm(x, axis=1), kind="stable")[:LONGEST]
    return space_of_degrees(seen_degrees(feature, x[longest], rng))


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


def seen_degrees(feature: Feature, x: Array, rng: np.random.Generator) -> np.ndarray[Any, Any]:
    """Whether features have a part of each degree from 0 to 7, or of a higher one of the same
    parity, as functions of omega at inputs ``(n, d)``: booleans ``(8,)``.

    Along a great circle a polynomial of degree q on the sphere is a trigonometric polynomial of
    degree q.
    """
    ambient, angle = feature.manifold.ambient, 2 * np.pi * np.arange(POINTS) / POINTS
    turn = np.column_stack([np.cos(angle), np.sin(angle)])
    size, precision = np.zeros(POINTS // 2 + 1), 0.0
    for _ in range(CIRCLES):
        axes, _ = np.linalg.qr(rng.standard_normal((ambient, 2)))
        values = feature(turn @ axes.T, x)[0]
        precision = max(precision, float(np.finfo(np.result_type(values, np.float16)).eps))
        size += (np.abs(np.fft.rfft(values, axis=0)) ** 2).sum(axis=1)
    beyond = np.array([size[degree::2].sum() for degree in DEGREES])
    return beyond > (ROUND_OFF * precision) ** 2 * size.sum()
