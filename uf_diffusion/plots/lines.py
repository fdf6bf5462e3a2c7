"""The horizontal axis of curves: the only coordinate of a manifold, or the height along an axis."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from uf_diffusion.core.arrays import Array
from uf_diffusion.distances.height_laws import HEIGHTS, bandwidth, smoothed_law
from uf_diffusion.plots.panels import Axis
from uf_diffusion.plots.shown import Shown
from uf_diffusion.plots.snapshots import along_axis, neuron_density
from uf_diffusion.problem.manifolds import Manifold
from uf_diffusion.problem.symmetry import Meridian

__all__ = ["Line", "density_unit", "line_of"]

POINTS = 801  # of the curves of a network
EVERY = 4  # every how many heights of the table curves have a point
POLE = 1e-3  # radians from a pole at which a curve ends; on the circle a height's density does not
RARE = 2e-4  # densities below this part of the largest one are not shown


@dataclass(frozen=True)
class Line:
    """How curves show functions of one coordinate.

    Attributes:
        axis: the horizontal axis.
        unit: the label of the vertical axis for densities.
        place: the coordinates ``(n,)`` of points ``(n, ambient)``.
        volume: the volume ``(n,)`` per unit of the coordinate at points ``(n, ambient)``.
        estimate: maps neurons ``(M, ambient)`` and their masses ``(M,)`` to coordinates ``(k,)``,
            always the same, and to the estimated density per unit of the coordinate, ``(k,)``.
        fits: whether the axis is to be cut to where the densities are.
    """

    axis: Axis
    unit: str
    place: Callable[[Array], Array]
    volume: Callable[[Array], Array]
    estimate: Callable[[Array, Array], tuple[Array, Array]]
    fits: bool = False

    def fitted(self, x: Array, y: Array) -> Axis:
        """The axis for a density ``(..., n)`` at coordinates ``(n,)``."""
        if not self.fits:
            return self.axis
        shown = x[(y > RARE * y.max()).reshape(-1, len(x)).any(axis=0)]
        room = 0.05 * float(np.ptp(shown))
        low, high = max(-1.0, shown.min() - room), min(1.0, shown.max() + room)
        return Axis(self.axis.label, "linear", low, high)


def density_unit(manifold: Manifold) -> str:
    """The label of an axis or a colour bar for densities, with their unit."""
    per = {1: "length", 2: "area"}.get(manifold.dim, "volume")
    return f"density (per unit {per})"


def line_of(result: Shown) -> Line | None:
    """The line of a result with one coordinate; None for others."""
    if (meridian := result.meridian) is not None:
        return _heights(meridian)
    return _chart(result.manifold) if len(result.manifold.axes) == 1 else None


def _chart(manifold: Manifold) -> Line:
    def estimate(feature: Array, mass: Array) -> tuple[Array, Array]:
        points = along_axis(manifold, POINTS)
        return manifold.chart(points)[:, 0], neuron_density(manifold, feature, mass, points)

    return Line(
        Axis(manifold.axes[0].label, "linear", *manifold.axes[0][1:]),
        density_unit(manifold),
        place=lambda x: manifold.chart(x)[:, 0],
        volume=lambda x: np.ones(len(x)),
        estimate=estimate,
    )


def _heights(meridian: Meridian) -> Line:
    def place(x: Array) -> Array:
        return np.cos(meridian.angle(x))

    def volume(x: Array) -> Array:
        angle = np.clip(meridian.angle(x), POLE, np.pi - POLE)
        return meridian.rings(angle) / np.sin(angle)

    def estimate(feature: Array, mass: Array) -> tuple[Array, Array]:
        height = place(feature)
        density = smoothed_law(height, mass, bandwidth(height, mass))
        return np.asarray(HEIGHTS[::EVERY], dtype=float), density[::EVERY]

    return Line(
        Axis("height s along the axis", "linear", -1.0, 1.0),
        "density of the height (per unit)",
        place=place,
        volume=volume,
        estimate=estimate,
        fits=True,
    )
