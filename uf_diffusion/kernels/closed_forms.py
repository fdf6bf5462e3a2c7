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
    """The kernel (sin a + (pi - a) cos a) / (2 pi) of the angle a between two points of a sphere.

    It belongs to ReLU features with Gaussian inputs (Cho and Saul, NIPS 22, 2009).
    """

    manifold: Sphere
    zonal: ClassVar[bool] = True  # a function of the angle alone

    def eigenvalues(self, cutoff: int) -> Array | None:
        """See `Feature.eigenvalues`; known on the circle and on S^2."""
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
    """The arrays a/s, exp(-a/s), exp((a - 2 pi)/s), ``(m, n)``, a in [0, 2 pi) the angle from x.

    The distances to the images of x are a + 2 pi k on one side of omega and 2 pi - a + 2 pi k on
    the other, for k >= 0.

    Args:
        manifold: the circle.
        omega, x: points ``(m, 2)``, ``(n, 2)``.
        s: length scale, radians.
    """
    lag = manifold.chart(omega) - manifold.chart(x).T
    lag = np.where(lag < 0, lag + 2 * math.pi, lag) / s
    return lag, np.exp(-lag), np.exp(lag - 2 * math.pi / s)


@dataclass(frozen=True)
class Matern32:
    """The periodic Matern-3/2 kernel, the sum of (1 + |d|/s) exp(-|d|/s) over all images of d.

    Attributes:
        manifold: the circle.
        scale: s > 0, radians.
    """

    manifold: Circle
    scale: float = 0.5
    zonal: ClassVar[bool] = True

    def eigenvalues(self, cutoff: int) -> Array | None:
        """See `Feature.eigenvalues`; in closed form, which is accurate for tiny eigenvalues too."""
        s, k = self.scale, np.arange(cutoff + 1)
        return np.asarray(2 * s / math.pi / (1 + (s * k) ** 2) ** 2)

    @property
    def sums(self) -> tuple[float, float, float]:
        """turn = 2 pi / s, and the sums over k >= 0 of r^k and k turn r^k, with r = exp(-turn)."""
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
