"""Kernels of infinitely many inputs in closed form, as functions of two points."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from uf_diffusion.core.arrays import Array
from uf_diffusion.kernels.base import Pullback
from uf_diffusion.kernels.spherical_harmonics import circle_eigenvalues, funk_hecke, rounded
from uf_diffusion.problem.manifolds import Circle, Sphere

__all__ = ["ArcCosine", "Matern32", "images"]


@dataclass(frozen=True)
class ArcCosine:
    """(sin a + (pi - a) cos a) / (2 pi), a the angle: ReLU, Gaussian inputs (Cho, Saul 2009)."""

    manifold: Sphere
    zonal: ClassVar[bool] = True  # a function of the angle alone

    def eigenvalues(self, cutoff: int) -> Array | None:
        """As `Feature.eigenvalues`: on the circle and on S^2."""
        if self.manifold.dim == 1:
            return rounded(circle_eigenvalues(self, cutoff))
        if self.manifold.dim == 2:
            return rounded(funk_hecke(self, cutoff)) / self.manifold.volume
        return None

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


@dataclass(frozen=True)
class Matern32:
    """The periodic Matern-3/2 kernel, the sum of (1 + |d|/s) exp(-|d|/s) over all images of d."""

    manifold: Circle
    scale: float = 0.5
    zonal: ClassVar[bool] = True

    def eigenvalues(self, cutoff: int) -> Array | None:
        """As `Feature.eigenvalues`; in closed form, as the tail may be below round-off."""
        s, k = self.scale, np.arange(cutoff + 1)
        return np.asarray(2 * s / math.pi / (1 + (s * k) ** 2) ** 2)

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
            slopes = slope @ weight / self.scale
            return self.manifold.uncharted(omega, slopes[:, None])

        value = up * ((1 + lag) * one + moment) + down * ((1 + turn - lag) * one + moment)
        return value, gradient
