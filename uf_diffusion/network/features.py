"""Features phi(omega, x), the laws of their inputs x, and kernels in closed form.

Features and kernels are functions of two points, evaluated together with their gradient in the
first. Where K(omega, omega') = E_x phi(omega, x) phi(omega', x) is known, the feature's `kernel`
says it. All quantities are dimensionless. Source: arXiv:2504.18208, section 6.1 and appendix B.
A new feature is a class of its own, best derived from `PlainFeature`; see docs/extending.md.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from uf_diffusion.errors import InputError, cause, unknown
from uf_diffusion.network.compiled import (
    radial_gradient,
    radial_values,
    relu_gradient,
    relu_values,
)
from uf_diffusion.problem.manifolds import Array, Circle, FlatTorus, Manifold, Sphere
from uf_diffusion.problem.plugins import load

__all__ = ["PROFILES", "ArcCosine", "Feature", "Laplace", "Matern32", "PairFunction",
           "PlainFeature", "Radial", "ReLU", "along_circle", "feature"]  # fmt: skip


TRIED = (32, 4)  # points and inputs that a user's features are tried with
NEAR = 1e-4  # distance over which their gradients are compared with differences

Pullback = Callable[[Array], Array]


class PairFunction(Protocol):
    """A function of a feature omega and a second point, with its gradient in omega."""

    def __call__(self, omega: Array, other: Array, /) -> tuple[Array, Pullback]:
        """The values ``(m, n)`` at omega ``(m, ambient)`` and other ``(n, d)``, and a function
        that maps weights ``(n,)`` to the tangent gradients ``(m, ambient)`` of values @ weights.
        """
        ...


class Feature(PairFunction, Protocol):
    """phi(omega, x), the law of the inputs x, and perhaps the kernel they make together."""

    @property
    def manifold(self) -> Manifold:
        """Where omega lives."""
        ...

    def inputs(self, n: int, rng: np.random.Generator) -> Array:
        """``(n, d)`` independent inputs."""
        ...

    def values(self, omega: Array, x: Array, factor: float, out: Array) -> None:
        """Factor times the values, to ``out`` ``(m, n)``; fast, and other threads may run."""
        ...

    def gradient(
        self, omega: Array, x: Array, factor: float, weight: Array, values: Array
    ) -> Array:  # fmt: skip
        """The tangent gradients of values @ weight; the values are those of `values`; likewise."""
        ...

    @property
    def kernel(self) -> PairFunction | None:
        """The kernel of infinitely many inputs, where it has a closed form."""
        ...


class PlainFeature(ABC):
    """A `Feature` that says no more than its values, their gradient and its inputs."""

    @abstractmethod
    def __call__(self, omega: Array, x: Array, /) -> tuple[Array, Pullback]:
        """As `PairFunction`."""

    @abstractmethod
    def inputs(self, n: int, rng: np.random.Generator) -> Array:
        """``(n, d)`` independent inputs."""

    def values(self, omega: Array, x: Array, factor: float, out: Array) -> None:
        np.multiply(self(omega, x)[0], factor, out=out)

    def gradient(
        self, omega: Array, x: Array, factor: float, weight: Array, values: Array
    ) -> Array:  # fmt: skip
        return factor * self(omega, x)[1](weight)

    @property
    def kernel(self) -> PairFunction | None:
        return None


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


@dataclass(frozen=True)
class ReLU:
    """phi = max(0, omega.x) on a sphere, x standard Gaussian; no bias."""

    manifold: Sphere

    def inputs(self, n: int, rng: np.random.Generator) -> Array:
        return rng.standard_normal((n, self.manifold.ambient))

    def __call__(self, omega: Array, x: Array) -> tuple[Array, Pullback]:
        phi = np.maximum(omega @ x.T, 0)

        def gradient(weight: Array) -> Array:
            return self.manifold.tangent(omega, (phi > 0) @ (weight[:, None] * x))

        return phi, gradient

    def values(self, omega: Array, x: Array, factor: float, out: Array) -> None:
        relu_values(omega, np.ascontiguousarray(x.T), factor, out)

    def gradient(
        self, omega: Array, x: Array, factor: float, weight: Array, values: Array
    ) -> Array:  # fmt: skip
        pulled = np.empty_like(omega)
        relu_gradient(np.ascontiguousarray(x.T), factor, weight, values, pulled)
        return self.manifold.tangent(omega, pulled)

    @property
    def kernel(self) -> PairFunction:
        return ArcCosine(self.manifold)


def _laplace(r: Array, s: float) -> tuple[Array, Array]:
    value = 2 * np.exp(-r / s) / s**2
    return value, -value / s


def _gaussian(r: Array, s: float) -> tuple[Array, Array]:
    value = np.exp(-0.5 * (r / s) ** 2)
    return value, -value * r / s**2


def _matern32(r: Array, s: float) -> tuple[Array, Array]:
    decay = np.exp(-r / s)
    return (1 + r / s) * decay, -r / s**2 * decay


PROFILES: dict[str, Callable[[Array, float], tuple[Array, Array]]] = {
    "laplace": _laplace,
    "gaussian": _gaussian,
    "matern": _matern32,
}


@dataclass(frozen=True)
class Radial:
    """phi = g(d(omega, x)) on a flat torus, x a standard Gaussian wrapped onto it.

    Attributes:
        scale: s > 0, a length.
        profile: g(r): "laplace" 2 exp(-r/s) / s^2 (the paper's), "gaussian" exp(-r^2 / (2 s^2)),
            "matern" (1 + r/s) exp(-r/s).
    """

    manifold: FlatTorus
    scale: float = 0.5
    profile: str = "laplace"

    def inputs(self, n: int, rng: np.random.Generator) -> Array:
        return self.manifold.wrap(rng.standard_normal((n, self.manifold.dim)))

    def __call__(self, omega: Array, x: Array) -> tuple[Array, Pullback]:
        axes = zip(omega.T, x.T, strict=True)
        lags = [self.manifold.wrap(a[:, None] - b) for a, b in axes]
        distance = np.sqrt(sum(lag * lag for lag in lags))
        phi, slope = PROFILES[self.profile](distance, self.scale)

        def gradient(weight: Array) -> Array:
            factor = slope * weight / np.where(distance > 0, distance, 1)
            return np.column_stack([np.einsum("ij,ij->i", factor, lag) for lag in lags])

        return phi, gradient

    @property
    def _shape(self) -> tuple[float, int, float]:
        return self.manifold.period, list(PROFILES).index(self.profile), self.scale

    def values(self, omega: Array, x: Array, factor: float, out: Array) -> None:
        radial_values(omega, np.ascontiguousarray(x.T), *self._shape, factor, out)

    def gradient(
        self, omega: Array, x: Array, factor: float, weight: Array, values: Array
    ) -> Array:  # fmt: skip
        pulled = np.empty_like(omega)
        radial_gradient(omega, np.ascontiguousarray(x.T), *self._shape, weight, values, pulled)
        return pulled

    @property
    def kernel(self) -> None:
        return None


def _images(manifold: Circle, omega: Array, x: Array, s: float) -> tuple[Array, Array, Array]:
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
        lag, up, down = _images(self.manifold, omega, other, self.scale)
        turn, one, moment = self.sums

        def gradient(weight: Array) -> Array:
            # a single image has derivative -(d / s^2) exp(-|d| / s)
            slope = down * ((turn - lag) * one + moment) - up * (lag * one + moment)
            return along_circle(omega, slope @ weight / self.scale)

        value = up * ((1 + lag) * one + moment) + down * ((1 + turn - lag) * one + moment)
        return value, gradient


@dataclass(frozen=True)
class Laplace(PlainFeature):
    """Periodic Laplace features on the circle, x uniform; their kernel is Matern-3/2.

    phi is sqrt(2 pi / s) times the sum of exp(-|d|/s) over the images of d, the angle from x to
    omega. Convolved with itself the Laplace function on the line gives s (1 + |d|/s) exp(-|d|/s),
    and periodisation keeps convolutions.
    """

    manifold: Circle
    scale: float = 0.5

    def inputs(self, n: int, rng: np.random.Generator) -> Array:
        return self.manifold.sample(n, rng)

    def __call__(self, omega: Array, x: Array) -> tuple[Array, Pullback]:
        _, up, down = _images(self.manifold, omega, x, self.scale)
        norm = math.sqrt(2 * math.pi / self.scale) / -math.expm1(-2 * math.pi / self.scale)

        def gradient(weight: Array) -> Array:
            return along_circle(omega, norm / self.scale * ((down - up) @ weight))

        return norm * (up + down), gradient

    @property
    def kernel(self) -> PairFunction:
        return Matern32(self.manifold, self.scale)


def feature(
    name: str, manifold: Manifold, scale: float, profile: str, folder: str = "."
) -> Feature:  # fmt: skip
    """The feature of a name, checked against the manifold it lives on.

    "module:name" names a user's own: a class, or a function, that makes a `Feature` of the
    manifold; ``folder`` is searched first.

    Raises:
        InputError: for an unknown name or profile, the wrong manifold, or a scale <= 0.
    """
    if ":" in name:
        return _own(name, manifold, folder)
    if name == "relu" and isinstance(manifold, Sphere):
        return ReLU(manifold)
    if not (math.isfinite(scale) and scale > 0):
        raise InputError(f"network.scale must be positive, not {scale}.")
    if name == "radial" and isinstance(manifold, FlatTorus):
        if profile not in PROFILES:
            raise unknown("network.profile", profile, PROFILES)
        return Radial(manifold, scale, profile)
    if name == "laplace" and isinstance(manifold, Circle):
        return Laplace(manifold, scale)
    homes = {"relu": "the circle and the sphere", "radial": "the torus", "laplace": "the circle"}
    if name not in homes:
        raise unknown("network.features", name, homes)
    raise InputError(f"Features '{name}' live on {homes[name]}; choose others for this manifold.")


def _own(name: str, manifold: Manifold, folder: str) -> Feature:
    """A user's features, tried on a few points and inputs."""
    make, rng = load(name, Path(folder), "features"), np.random.default_rng(0)
    try:
        found: Feature = make(manifold)
        if found.manifold != manifold:
            raise InputError(f"Features '{name}' must live on the problem's manifold.")
        _ = found.kernel  # it is there
        if wrong := _wrong(found, rng):
            raise InputError(f"Features '{name}' {wrong}.")
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"Features '{name}' failed on {manifold} with {cause(error)}.") from error
    return found


def _wrong(found: Feature, rng: np.random.Generator) -> str:
    """What is wrong with values and gradients, those of the sums over a few inputs, if anything."""
    manifold, (m, n) = found.manifold, TRIED
    omega, x, one = manifold.sample(m, rng), found.inputs(n, rng), np.ones(n)
    values, pullback = found(omega, x)
    slope, again = np.asarray(pullback(one)), np.full((m, n), np.nan)
    if (np.shape(values), slope.shape) != ((m, n), omega.shape):
        return f"must give values (m, n) and gradients (m, {manifold.ambient}) of m points"
    found.values(omega, x, 1.0, again)
    if not (np.isfinite(values).all() and np.isfinite(slope).all()):
        return "have values or gradients that are not finite"
    size = float(np.abs(values).max())
    small = 1e-6 * max(float(np.abs(slope).max()), 1e-6 * size)  # round-off, of float32 as well
    if np.abs(again - values).max() > 1e-5 * size:
        return "have `values` that are not those of the call"
    if np.abs(found.gradient(omega, x, 1.0, one, again) - slope).max() > 100 * small:
        return "have a `gradient` that is not that of the call"
    if np.abs(manifold.tangent(omega, slope) - slope).max() > small:
        return "have gradients that are not tangent to the manifold"
    return _unlike_differences(found, omega, x, slope, rng)


def _unlike_differences(
    found: Feature, omega: Array, x: Array, slope: Array, rng: np.random.Generator
) -> str:
    """Whether gradients are those of the values.

    At kinks and jumps a difference says nothing, so the median over the points decides; and
    nothing where it is lost in round-off, here of single precision.
    """
    manifold = found.manifold
    way = manifold.tangent(omega, rng.standard_normal((len(omega), manifold.ambient)))
    ahead, behind = (
        np.asarray(found(manifold.retract(omega, s * way), x)[0], float).sum(axis=1)
        for s in (NEAR, -NEAR)
    )
    measured, said = (ahead - behind) / (2 * NEAR), (slope * way).sum(axis=1)
    error = np.abs(measured - said)
    lost = 1e-7 * float(np.abs(ahead).max()) / NEAR
    if np.median(error) <= 0.01 * np.mean(np.maximum(np.abs(measured), np.abs(said))) + lost:
        return ""
    k = int(np.argsort(error)[len(error) // 2])
    return (
        "have gradients that are not those of their values: along one direction "
        f"{said[k]:.3g}, where values change by {measured[k]:.3g}"
    )
