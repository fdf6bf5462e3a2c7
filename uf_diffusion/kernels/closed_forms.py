"""Kernels of infinitely many inputs in closed form, as functions of two points."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from uf_diffusion.core.arrays import Array
from uf_diffusion.kernels.base import Pullback
from uf_diffusion.problem.manifolds import Circle, Sphere

__all__ = ["ArcCosine", "Matern32", "along_circle"]


@dataclass(frozen=True)
class ArcCosine:
    """(sin a + (pi - a) cos a) / (2 pi), a the angle: ReLU, Gaussian inputs (Cho, Saul 2009)."""

    manifold: Sphere

    def __call__(self, omega: Array, other: Array) -> tuple[Array, Pullback]:
        angle = self.manifold.distance(omega, other)
        slope = (math.pi - angle) / (2 * math.pi)  # dK / d(cos a)

        def gradient(weight: Array) -> Array:
            return self.manifold.tangent(omega, (slope * weight) @ other)

        return np.sin(angle) / (2 * math.pi) + slope * np.cos(angle), gradient


def images(manifold: Circle, omega: Array, x: Array, s: float) -> tuple[Array, Array, Array]:
    """A / s, exp(-a/s) and exp((a - 2 pi)/s), where a in [0, 2 pi) is the angle from x to omega.

    The images of a lie at a + 2 pi k, k >= 0, on one side and at 2 pi - a + 2 pi k on the other.
    """
    lag = manifold.chart(omega) - manifold.chart(x).T
    lag = np.where(lag < 0, lag + 2 * math.pi, lag) / s
    return lag, np.exp(-lag), np.exp(lag - 2 * math.pi / s)


def along_circle(omega: Array, slope: Array) -> Array:
    """Tangent vectors ``(m, 2)`` of length ``slope`` (m,) in the direction of growing angle."""
    return slope[:, None] * np.column_stack([-omega[:, 1], omega[:, 0]])


@dataclass(frozen=True)
class Matern32:
    """The periodic Matern-3/2 kernel, the sum of (1 + |d|/s) exp(-|d|/s) over all images of d."""

    manifold: Circle
    scale: float = 0.5

    @property
    def sums(self) -> tuple[float, float, float]:
        """One turn over the scale, and the sums over k >= 0 of r^k and k turn r^k, r = e^-turn."""
        turn = 2 * math.pi / self.scale
        r = math.exp(-turn)
        return turn, 1 / (1 - r), turn * r / (1 - r) ** 2

    def __call__(self, omega: Array, other: Array) -> tuple[Array, Pullback]:
        lag, up, down = images(self.manifold, omega, other, self.scale)
        turn, one, moment = self.sums

        def gradient(weight: Array) -> Array:
            # a single image has derivative -(d / s^2) exp(-|d| / s)
            slope = down * ((turn - lag) * one + moment) - up * (lag * one + moment)
            return along_circle(omega, slope @ weight / self.scale)

        value = up * ((1 + lag) * one + moment) + down * ((1 + turn - lag) * one + moment)
        return value, gradient
