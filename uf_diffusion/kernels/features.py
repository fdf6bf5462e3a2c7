"""The built-in features: ReLU and Fourier on spheres, radial on tori, Laplace on the circle.

Source: arXiv:2504.18208, section 6.1 and appendix B. New features are best derived from
`PlainFeature`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np

from uf_diffusion.core.arrays import Array, Complex
from uf_diffusion.core.errors import InputError
from uf_diffusion.core.wording import shown, unknown
from uf_diffusion.kernels.base import Convolution, PlainFeature, Pullback
from uf_diffusion.kernels.closed_forms import FREEDOM, ArcCosine, Chordal, Matern32, images
from uf_diffusion.kernels.loops import (
    radial_gradient,
    radial_values,
    relu_gradient,
    relu_values,
    turned_cosines,
)
from uf_diffusion.kernels.seen_spaces import EVEN_AND_LINEAR, EVERYTHING, SeenSpace
from uf_diffusion.kernels.spherical_harmonics import gauss_legendre, rounded
from uf_diffusion.problem.manifolds import NOWHERE, Circle, FlatTorus, Sphere

__all__ = ["PROFILES", "Laplace", "Radial", "RandomFourier", "ReLU", "require_home",
           "require_scale"]  # fmt: skip

NARROWEST, WIDEST = 1e-3, 1e3  # scales of Fourier features on a sphere of radius 1


def require_home(name: str, home: str, manifold: Any, kind: type) -> None:
    """Raise an InputError for a manifold of another type; features may get a manifold later.

    Args:
        name: the features' name.
        home: where they live, in words.
        manifold: the manifold.
        kind: its type.
    """
    if manifold is not NOWHERE and not isinstance(manifold, kind):
        raise InputError(f"Features '{name}' live on {home}; choose others for this manifold.")


def require_scale(scale: Any) -> None:
    """Raise an InputError for a scale that is not a positive number."""
    number = isinstance(scale, int | float | np.integer | np.floating)
    if not (number and math.isfinite(scale) and scale > 0):
        raise InputError(f"network.scale must be positive, not {shown(scale)}.")


@dataclass(frozen=True)
class ReLU:
    """ReLU features phi = max(0, omega.x) on a sphere, without bias, for standard Gaussian x.

    Attributes:
        manifold: the sphere.

    Raises:
        InputError: for another manifold.
    """

    manifold: Sphere = NOWHERE

    def __post_init__(self) -> None:
        require_home("relu", "spheres", self.manifold, Sphere)

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
    def kernel(self) -> ArcCosine:
        return ArcCosine(self.manifold)

    def eigenvalues(self, cutoff: int) -> Array:
        return self.kernel.eigenvalues(cutoff)

    def convolution(self, cutoff: int) -> None:
        return None

    @property
    def homogeneous(self) -> bool:
        """True: phi(omega, s x) = s phi(omega, x) for s > 0."""
        return True

    @property
    def sees(self) -> SeenSpace:
        """On every sphere the null space are the odd degrees >= 3."""
        return EVEN_AND_LINEAR


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
    """Radial features phi = g(d(omega, x)) on a flat torus; x is a wrapped standard Gaussian.

    Attributes:
        manifold: the torus.
        scale: s > 0, in the torus's unit of length.
        profile: the function g(r): "laplace" for 2 exp(-r/s) / s^2, as in the paper; "gaussian" for
            exp(-r^2 / (2 s^2)); "matern" for (1 + r/s) exp(-r/s).

    Raises:
        InputError: for another manifold, scale or profile.
    """

    manifold: FlatTorus = NOWHERE
    scale: float = 0.5
    profile: str = "laplace"

    def __post_init__(self) -> None:
        require_home("radial", "the torus", self.manifold, FlatTorus)
        require_scale(self.scale)
        if self.profile not in PROFILES:
            raise unknown("network.profile", self.profile, PROFILES)

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

    def eigenvalues(self, cutoff: int) -> None:
        return None

    def convolution(self, cutoff: int) -> Convolution:
        waves = rounded(self.transform(cutoff)) / self.manifold.volume
        return Convolution(waves, self.input_waves)

    def input_waves(self, degree: int) -> Complex:
        """The means of exp(i q k.x) over the inputs for all |k_j| <= degree, as a flat array."""
        rate = 2 * math.pi / self.manifold.period
        axis = np.exp(-0.5 * (rate * np.arange(-degree, degree + 1)) ** 2)
        return reduce(np.multiply.outer, [axis] * self.manifold.dim).ravel().astype(complex)

    @property
    def sees(self) -> None:
        return None

    def transform(self, degree: int, power: int = 1) -> Array:
        """The integrals of g(|x|)^power exp(-i q k.x) over a period, with q = 2 pi / period.

        The array has d axes of length degree + 1, for 0 <= k_j <= degree. The cube is divided into
        pyramids, one for each axis a along which x is largest. There x = s e_a + s t with t in
        [0, 1]^(d - 1) (Duffy), and the integrand is smooth in s and t, though not in x, so that
        Gauss-Legendre quadrature converges exponentially.
        """
        d, period = self.manifold.dim, self.manifold.period
        n, phase = 64 + math.ceil(1.6 * degree), 2 * math.pi / period * np.arange(degree + 1)
        s, s_weight = gauss_legendre(n, period / 2)  # more than pi / 2 nodes per wavelength
        t, t_weight = gauss_legendre(n, 1.0)
        stretch = np.ones(())
        for _ in range(d - 1):
            stretch = np.add.outer(stretch, t**2)
        pyramid: Array = np.zeros((degree + 1,) * d)
        for block in np.array_split(np.arange(n), 1 + n**d * (degree + 1) // 2**22):
            radius = np.multiply.outer(s[block], np.sqrt(stretch))
            total = PROFILES[self.profile](radius, self.scale)[0] ** power
            for _ in range(d - 1):  # transform the first axis of t; its k becomes the last axis
                across = np.cos(np.einsum("s,t,k->stk", s[block], t, phase)) * t_weight[:, None]
                total = total.reshape(len(block), n, -1).swapaxes(1, 2) @ across
            total = total.reshape((len(block),) + (degree + 1,) * (d - 1))
            along = np.cos(np.outer(phase, s[block])) * s_weight[block] * s[block] ** (d - 1)
            pyramid += np.tensordot(along, total, 1)
        return 2.0**d * np.asarray(sum(np.moveaxis(pyramid, 0, a) for a in range(d)))


@dataclass(frozen=True)
class Laplace(PlainFeature):
    """Periodic Laplace features on the circle with uniform inputs x; their kernel is Matern-3/2.

    phi is sqrt(2 pi / s) times the sum of exp(-|d|/s) over all images of d, the angle from x to
    omega. On the line the convolution of exp(-|d|/s) with itself is s (1 + |d|/s) exp(-|d|/s), and
    periodisation preserves convolutions.

    Attributes:
        manifold: the circle.
        scale: s > 0, radians.

    Raises:
        InputError: for another manifold or scale.
    """

    manifold: Circle = NOWHERE
    scale: float = 0.5

    def __post_init__(self) -> None:
        require_home("laplace", "the circle", self.manifold, Circle)
        require_scale(self.scale)

    def inputs(self, n: int, rng: np.random.Generator) -> Array:
        return self.manifold.sample(n, rng)

    def __call__(self, omega: Array, x: Array) -> tuple[Array, Pullback]:
        _, up, down = images(self.manifold, omega, x, self.scale)
        norm = math.sqrt(2 * math.pi / self.scale) / -math.expm1(-2 * math.pi / self.scale)

        def gradient(weight: Array) -> Array:
            slope = norm / self.scale * ((down - up) @ weight)
            return self.manifold.uncharted(omega, slope[:, None])

        return norm * (up + down), gradient

    @property
    def kernel(self) -> Matern32:
        return Matern32(self.manifold, self.scale)

    @property
    def sees(self) -> SeenSpace:
        return EVERYTHING

    def eigenvalues(self, cutoff: int) -> Array | None:
        return self.kernel.eigenvalues(cutoff)


@dataclass(frozen=True)
class RandomFourier(PlainFeature):
    """Random Fourier features phi = sqrt(2) cos(g.omega / s + b) on a sphere; x is (g, b).

    The phase b is uniform in [0, 2 pi). With standard Gaussian frequencies g the kernel is
    exp(-|omega - omega'|^2 / (2 s^2)) (Rahimi and Recht, NIPS 20, 2007). A Gaussian divided by the
    root of a chi-squared variable with n degrees of freedom, which is a Student-t vector divided by
    sqrt(n), has the characteristic function exp(-r) for n = 1 and (1 + r) exp(-r) for n = 3, so
    that with r = |omega - omega'| / s these are the kernels of "laplace" and of "matern".

    Attributes:
        manifold: the sphere.
        scale: s, a length from 1e-3 to 1e3.
        profile: the shape of the kernel, "gaussian", "matern" or "laplace".

    Raises:
        InputError: for another manifold, scale or profile.
    """

    manifold: Sphere = NOWHERE
    scale: float = 0.5
    profile: str = "gaussian"

    def __post_init__(self) -> None:
        require_home("fourier", "spheres", self.manifold, Sphere)
        require_scale(self.scale)
        if not NARROWEST <= self.scale <= WIDEST:
            raise InputError(
                f"network.scale of features 'fourier' must lie between {NARROWEST:g} and "
                f"{WIDEST:g}, not {self.scale:g}."
            )
        if self.profile not in FREEDOM:
            raise unknown("network.profile", self.profile, FREEDOM)

    def inputs(self, n: int, rng: np.random.Generator) -> Array:
        g, freedom = rng.standard_normal((n, self.manifold.ambient)), FREEDOM[self.profile]
        if freedom < math.inf:
            g /= np.sqrt(rng.chisquare(freedom, (n, 1)))
        return np.column_stack([g, rng.uniform(0, 2 * math.pi, n)])

    def _turns(self, omega: Array, x: Array) -> Array:
        """The angles g.omega / s + b, ``(m, n)``, in turns of 2 pi."""
        waves = x[:, :-1] / (2 * math.pi * self.scale)
        return np.asarray(omega @ waves.T + x[:, -1] / (2 * math.pi))

    def __call__(self, omega: Array, x: Array) -> tuple[Array, Pullback]:
        turns = self._turns(omega, x)
        angle = 2 * math.pi * (turns - np.rint(turns))

        def gradient(weight: Array) -> Array:
            pulled = -math.sqrt(2) * np.sin(angle) @ (weight[:, None] * x[:, :-1] / self.scale)
            return self.manifold.tangent(omega, pulled)

        return math.sqrt(2) * np.cos(angle), gradient

    def values(self, omega: Array, x: Array, factor: float, out: Array) -> None:
        out[:] = self._turns(omega, x)
        turned_cosines(out, math.sqrt(2) * factor)

    def gradient(
        self, omega: Array, x: Array, factor: float, weight: Array, values: Array
    ) -> Array:  # fmt: skip
        slopes = self._turns(omega, x) + 0.25  # a quarter turn makes -sin of cos
        turned_cosines(slopes, math.sqrt(2) * factor / self.scale)
        return self.manifold.tangent(omega, slopes @ (weight[:, None] * x[:, :-1]))

    @property
    def kernel(self) -> Chordal:
        return Chordal(self.manifold, self.scale, self.profile)

    @property
    def sees(self) -> SeenSpace:
        return EVERYTHING

    def eigenvalues(self, cutoff: int) -> Array:
        return self.kernel.eigenvalues(cutoff)
