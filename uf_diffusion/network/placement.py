"""Placement of neurons according to a density: at random, evenly, or at its quantiles."""

from __future__ import annotations

import numpy as np

from uf_diffusion.core.arrays import Array
from uf_diffusion.core.errors import InputError
from uf_diffusion.core.wording import unknown
from uf_diffusion.kernels.feature_maps import Atoms
from uf_diffusion.problem.densities import Density

__all__ = ["PLACEMENTS", "place"]

PLACEMENTS = ("random", "even", "quantile")


def place(density: Density, n: int, placement: str, rng: np.random.Generator) -> Atoms:
    """Approximate a density by atoms.

    Args:
        density: the density.
        n: number of atoms.
        placement: "random", independent points with equal weights; "even", evenly spread points,
            weighted by the density; "quantile", in one dimension only, points with equal weights
            where the distribution function is (i + 1/2) / n.
        rng: draws the random points.

    Raises:
        InputError: for an unknown placement, one that the manifold does not have for n points, or
            a density that vanishes at all even points.
    """
    if placement not in PLACEMENTS:
        raise unknown("placement", placement, PLACEMENTS)
    if placement == "random":
        points = density.sample(n, rng)
        if np.shape(points) != (wanted := (n, density.manifold.ambient)):
            raise InputError(
                f"The sample of density {density} must have shape {wanted}, not {np.shape(points)}."
            )
        if len(density.manifold.axes) == 1:  # sorted, so that neighbours are close in memory
            points = points[np.argsort(density.manifold.chart(points)[:, 0])]
        return Atoms(points, np.full(n, 1 / n))
    if placement == "quantile":
        return Atoms(_quantiles(density, n), np.full(n, 1 / n))
    points = density.manifold.even(n)
    weights = density(points)
    if not weights.sum() > 0:
        raise InputError(f"The density vanishes at all {n} points of the even placement.")
    return Atoms(points, weights / weights.sum())


def _quantiles(density: Density, n: int) -> Array:
    """Quantiles ``(n, ambient)`` of the distribution function, interpolated on a fine grid."""
    manifold = density.manifold
    if len(manifold.axes) != 1:
        raise InputError(
            "network.placement = 'quantile' needs one dimension; use 'even' or 'random'."
        )
    axis = manifold.axes[0]
    edges = np.linspace(axis.low, axis.high, max(2**16, 8 * n) + 1)
    middle = manifold.unchart(((edges[:-1] + edges[1:]) / 2)[:, None])
    function = np.concatenate([[0.0], np.cumsum(density(middle))])
    share = (np.arange(n) + 0.5) / n
    return manifold.unchart(np.interp(share, function / function[-1], edges)[:, None])
