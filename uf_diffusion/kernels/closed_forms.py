"""Kernels of infinitely many inputs in closed form, as functions of two points."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.spatial.distance import cdist

from uf_diffusion.core.arrays import Array
from uf_diffusion.kernels.base import Pullback
from uf_diffusion.kernels.zonal import gaussian_eigenvalues, relu_eigenvalues
from uf_diffusion.problem.manifolds import Circle, Sphere

__all__ = ["FREEDOM", "ArcCosine", "Chordal", "Matern32", "images"]

# degrees of freedom of the frequencies' Student-t law, by profile; the Gaussian has infinitely many
FREEDOM = {"laplace": 1.0, "gaussian": math.inf, "matern": 3.0}
PANEL = 0.125  # step of the trapezoidal rule in the logarithm of a Gaussian's variance
LEAST = float(np.finfo(float).tiny)  # stands for positive eigenvalues that underflow


@dataclass(frozen=True)
class ArcCosine:
    """The kernel (sin a + (pi - a) cos a) / (2 pi) of the angle a between two points of a sphere.

    It belongs to ReLU features with Gaussian inputs (Cho and Saul, NIPS 22, 2009).
    """

    manifold: Sphere
    zonal: ClassVar[bool] = True  # a function of the angle alone

    def eigenvalues(self, cutoff: int) -> Array:
        """See `Feature.eigenvalues`; in closed form, exactly 0 for odd degrees >= 3."""
        return relu_eigenvalues(self.manifold.dim, cutoff)

    def __call__(self, omega: Array, other: Array) -> tuple[Array, Pullback]:
        angle = self.manifold.distance(omega, other)
        slope = (math.pi - angle) / (2 * math.pi)  # dK / d(cos a)

        def gradient(weight: Array) -> Array:
            return self.manifold.tangent(omega, (slope * weight) @ other)

        return np.sin(angle) / (2 * math.pi) + slope * np.cos(angle), gradient


@dataclass(frozen=True)
class Chordal:
    """A kernel k(|omega - omega'| / s) on a sphere, of the distance in the surrounding space.

    With r = |omega - omega'| / s the profiles are exp(-r) for "laplace", (1 + r) exp(-r) for
    "matern", and exp(-r^2 / 2) for "gaussian", which is exp((rho - 1) / s^2) with
    rho = omega.omega'. On spheres of every dimension all of their eigenvalues are positive.

    Attributes:
        manifold: the sphere.
        scale: s, a length from 1e-3 to 1e3; for "gaussian" the rounding of rho makes an error of
            1e-16 / s^2.
        profile: a key of `FREEDOM`.
    """

    manifold: Sphere
    scale: float = 0.5
    profile: str = "gaussian"
    zonal: ClassVar[bool] = True

    def eigenvalues(self, cutoff: int) -> Array:
        """See `Feature.eigenvalues`; all are positive, and accurate relative to themselves.

        Kernels with Student-t frequencies are means of Gaussian ones whose variance is the inverse
        of a chi-squared variable y. The mean is a sum of positive terms: the trapezoidal rule in
        log y, where the integrand is analytic and decays exponentially to both sides. Eigenvalues
        below the range of double precision are replaced by its smallest normal number.
        """
        dim, freedom = self.manifold.dim, FREEDOM[self.profile]
        rate, weight = np.array([1.0]), np.ones(1)
        if freedom < math.inf:
            low = -80 / (freedom + dim) - 2  # where the largest rates have lost their weight
            low -= 2 * max(0.0, math.log(self.scale * (cutoff + dim)))
            log_y = np.arange(low, 5.0, PANEL)
            rate = np.exp(-log_y)
            logarithm = freedom / 2 * (log_y - math.log(2)) - math.lgamma(freedom / 2)
            weight = PANEL * np.exp(logarithm - np.exp(log_y) / 2)
        values = gaussian_eigenvalues(dim, cutoff, rate / self.scale**2) @ weight
        return np.maximum(values, LEAST)

    def __call__(self, omega: Array, other: Array) -> tuple[Array, Pullback]:
        value, slope = self._profile(omega, other)

        def gradient(weight: Array) -> Array:
            pulled = (slope * (weight / self.scale**2)) @ other
            return self.manifold.tangent(omega, pulled)

        return value, gradient

    def _profile(self, omega: Array, other: Array) -> tuple[Array, Array]:
        """The values, and s^2 times their derivatives with respect to rho, ``(m, n)`` each."""
        if self.profile == "gaussian":
            value = np.minimum(omega @ other.T, 1.0)
            value -= 1
            value /= self.scale**2
            np.exp(value, out=value)
            return value, value
        r = cdist(omega, other) / self.scale
        decay = np.exp(-r)
        if self.profile == "matern":
            return (1 + r) * decay, decay
        apart = np.maximum(r, 1e-150)  # the gradient of points that coincide is 0
        return decay, np.where(r > 0, decay / apart, 0.0)


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
