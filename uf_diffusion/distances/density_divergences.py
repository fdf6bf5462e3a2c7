"""Integrals that compare two densities with values at common points and weights of these points."""

from __future__ import annotations

import math

import numpy as np

from uf_diffusion.core.arrays import Array

__all__ = ["chi2_integral", "kl_integral", "l1_integral"]


def chi2_integral(f: Array, g: Array, volume: Array) -> float:
    """The integral of (f - g)^2 / g; infinite where f is positive and g is not.

    Args:
        f, g: densities ``(n,)``, not negative, both of mass 1.
        volume: the weights of the points, ``(n,)``.
    """
    if (f[g == 0] > 0).any():
        return math.inf
    f, g, volume = (values[g > 0] for values in (f, g, volume))
    with np.errstate(over="ignore"):
        return float(volume @ ((f - g) * ((f - g) / g)))


def kl_integral(f: Array, g: Array, volume: Array) -> float:
    """The integral of f log(f / g), with arguments as for `chi2_integral`."""
    if (f[g == 0] > 0).any():
        return math.inf
    there = f > 0
    d = g[there] / f[there] - 1
    # both masses are 1, so f log(f / g) - f + g has the same integral; it is nowhere negative, so
    # there is no cancellation
    inside = volume[there] @ (f[there] * (d - np.log1p(d)))
    return float(inside + volume[~there] @ g[~there])


def l1_integral(f: Array, g: Array, volume: Array) -> float:
    """The integral of |f - g|, from 0 to 2, with arguments as for `chi2_integral`."""
    return float(volume @ np.abs(f - g))
