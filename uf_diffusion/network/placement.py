"""Placement of neurons according to a density: at random, evenly, or at its quantiles."""

from __future__ import annotations

import numpy as np
from scipy.special import ndtri

from uf_diffusion.core.arrays import Array
from uf_diffusion.core.errors import InputError
from uf_diffusion.core.wording import unknown
from uf_diffusion.kernels.feature_maps import Atoms
from uf_diffusion.problem.densities import Density
from uf_diffusion.problem.symmetry import AngleLaw, Meridian

__all__ = ["PLACEMENTS", "place"]

PLACEMENTS = ("random", "even", "quantile")


def place(
    density: Density, n: int, placement: str, rng: np.random.Generator,
    meridian: Meridian | None = None,
) -> Atoms:  # fmt: skip
    """Approximate a density by atoms.

    Args:
        density: the density.
        n: number of atoms.
        placement: "random", independent points with equal weights, or the points of a density from
            n samples with theirs; "even", evenly spread points,
            weighted by the density; "quantile", points with equal weights where the distribution
            function is (i + 1/2) / n, in one dimension, or of the height along an axis, in
            directions about it from a scrambled Sobol sequence.
        rng: draws the random points, and scrambles.
        meridian: the sphere with the axis about which the density is symmetric, if it has one.

    Raises:
        InputError: for an unknown placement, one that the manifold does not have for n points, or
            a density that vanishes at all even points.
    """
    if placement not in PLACEMENTS:
        raise unknown("placement", placement, PLACEMENTS)
    if placement == "random":
        points, masses = density.neurons(n, rng)
        if np.shape(points) != (wanted := (n, density.manifold.ambient)):
            raise InputError(
                f"The sample of density {density} must have shape {wanted}, not {np.shape(points)}."
            )
        if len(density.manifold.axes) == 1:  # sorted, so that neighbours are close in memory
            order = np.argsort(density.manifold.chart(points)[:, 0])
            points, masses = points[order], masses[order]
        return Atoms(points, masses)
    if placement == "quantile":
        if meridian is None or len(density.manifold.axes) == 1:
            points = _quantiles(density, n)
        else:
            points = _on_rings(density, n, rng, meridian)
        return Atoms(points, np.full(n, 1 / n))
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
            "network.placement = 'quantile' needs one dimension or an axis; use 'even' or 'random'."
        )
    axis = manifold.axes[0]
    edges = np.linspace(axis.low, axis.high, max(2**16, 8 * n) + 1)
    middle = manifold.unchart(((edges[:-1] + edges[1:]) / 2)[:, None])
    function = np.concatenate([[0.0], np.cumsum(density(middle))])
    share = (np.arange(n) + 0.5) / n
    return manifold.unchart(np.interp(share, function / function[-1], edges)[:, None])


def _on_rings(density: Density, n: int, rng: np.random.Generator, meridian: Meridian) -> Array:
    """Points ``(n, ambient)`` at quantiles of the angle to the axis, on rings spread evenly."""
    from scipy.stats import qmc  # takes longer to load than most of this package

    spread = qmc.Sobol(meridian.ambient, rng=rng).random_base2(max(1, (n - 1).bit_length()))[:n]
    rank = np.argsort(np.argsort(spread[:, 0], kind="stable"), kind="stable")
    e = np.array(meridian.direction)
    # an orthonormal basis of the directions about the axis
    across = np.linalg.svd(e[None])[2][1:]
    direction = ndtri(np.clip(spread[:, 1:], 1e-12, 1 - 1e-12)) @ across
    angle = AngleLaw.of(meridian, density).quantile((rank + 0.5) / n)
    return meridian.turned(angle, direction)
