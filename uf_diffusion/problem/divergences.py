"""The regularisers f of the outer weights, used by both the PDE and the network.

In both cases the outer weight is u = f*'(w) for a potential w: for a network w = Psi.a, for the PDE
w = f'(nu/mu). Source: Barboni, Peyré, Vialard, arXiv:2504.18208, sections 2 and 4. Everything is
dimensionless and works elementwise on arrays of any shape.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from uf_diffusion.core.arrays import Array
from uf_diffusion.core.errors import InputError
from uf_diffusion.core.wording import cause, shown

__all__ = ["BIASED", "ENTROPY", "UNBIASED", "Biased", "Custom", "Divergence", "Entropy", "Power",
           "Unbiased", "checked", "quadratic"]  # fmt: skip

ELEMENTWISE = ("f", "df", "conjugate", "dconjugate", "d2conjugate")


class Divergence(Protocol):
    """A convex function f, its conjugate f*, and their derivatives."""

    @property
    def name(self) -> str: ...
    @property
    def power(self) -> float:
        """The exponent p for which f'(t) is an affine function of t^(p-1), or of log t if p = 1.

        The PDE for the ratio h = mu/nu has the fast-diffusion exponent m = 1 - p.
        """
        ...

    @property
    def homogeneous(self) -> Divergence:
        """The divergence whose f'(t) has no constant term.

        It differs from f by an affine function, so the PDE is the same, but small outer weights
        u = f*'(w) do not suffer from cancellation.
        """
        ...

    def f(self, t: Array) -> Array: ...
    def df(self, t: Array) -> Array:
        """The derivative f'(t)."""
        ...

    def conjugate(self, w: Array) -> Array:
        """The conjugate f*(w)."""
        ...

    def dconjugate(self, w: Array) -> Array:
        """The outer weight f*'(w) of the potential w, as a new array."""
        ...

    def d2conjugate(self, w: Array) -> Array:
        """The second derivative f*''(w)."""
        ...

    def steepest(self, low: Array, high: Array) -> Array:
        """The largest f*''(w) on each interval from ``low`` to ``high``; infinite if unbounded."""
        ...

    def most_apart(self, b: Array) -> Array:
        """A bound of (t - s)^2 that holds for all t and s with (t - s)(f'(t) - f'(s)) <= b.

        It is concave in b, and infinite if there is no bound.
        """
        ...

    def dual_energy(self, u: Array) -> Array:
        """The integral of f'(s) / s^2 from 1 to u, for `homogeneous` divergences only.

        It is the density, with respect to the teacher, of an energy. The PDE is the gradient flow
        of this energy in the H^-1 metric weighted by the teacher.
        """
        ...


@dataclass(frozen=True)
class Unbiased:
    """f(t) = (t - 1)^2 / 2. All outer weights are exactly 1 when student and teacher agree."""

    name: str = "unbiased"
    power: float = 2.0

    @property
    def homogeneous(self) -> Biased:
        return Biased()

    def f(self, t: Array) -> Array:
        return 0.5 * (t - 1) ** 2

    def df(self, t: Array) -> Array:
        return t - 1

    def conjugate(self, w: Array) -> Array:
        return w + 0.5 * w * w

    def dconjugate(self, w: Array) -> Array:
        return 1 + w

    def d2conjugate(self, w: Array) -> Array:
        return np.ones_like(w)

    def steepest(self, low: Array, high: Array) -> Array:
        return np.ones_like(low)

    def most_apart(self, b: Array) -> Array:
        return b

    def dual_energy(self, u: Array) -> Array:
        return np.asarray(np.log(u) + 1 / u - 1)


@dataclass(frozen=True)
class Biased:
    """f(t) = t^2 / 2, the penalty of ridge regression."""

    name: str = "biased"
    power: float = 2.0

    @property
    def homogeneous(self) -> Biased:
        return self

    def f(self, t: Array) -> Array:
        return 0.5 * t * t

    def df(self, t: Array) -> Array:
        return 1.0 * t

    def conjugate(self, w: Array) -> Array:
        return 0.5 * w * w

    def dconjugate(self, w: Array) -> Array:
        return 1.0 * w

    def d2conjugate(self, w: Array) -> Array:
        return np.ones_like(w)

    def steepest(self, low: Array, high: Array) -> Array:
        return np.ones_like(low)

    def most_apart(self, b: Array) -> Array:
        return b

    def dual_energy(self, u: Array) -> Array:
        return np.asarray(np.log(u))


@dataclass(frozen=True)
class Power:
    """f(t) = (|t|^p - s p (t - 1) - 1) / (p (p - 1)) with f''(1) = 1.

    For s = 1 this is the Cressie-Read family with f(1) = f'(1) = 0, which includes `Unbiased` for
    p = 2 and `Entropy` in the limit p -> 1. For s = 0 it is `homogeneous`.

    Attributes:
        power: the exponent p in (1, 4].
        shift: the number s.

    Raises:
        InputError: for a power outside (1, 4].
    """

    power: float = 2.0
    shift: float = 1.0
    name: str = "power"

    def __post_init__(self) -> None:
        if not 1 < self.power <= 4:
            raise InputError(f"problem.power must lie in (1, 4], not {self.power}.")

    @property
    def homogeneous(self) -> Power:
        return Power(self.power, shift=0.0)

    def f(self, t: Array) -> Array:
        p, s = self.power, self.shift
        return (np.abs(t) ** p - s * p * (t - 1) - 1) / (p * (p - 1))

    def df(self, t: Array) -> Array:
        p = self.power
        return (np.sign(t) * np.abs(t) ** (p - 1) - self.shift) / (p - 1)

    def conjugate(self, w: Array) -> Array:
        p, s = self.power, self.shift
        return np.abs(self._z(w)) ** (p / (p - 1)) / p + (1 - s * p) / (p * (p - 1))

    def dconjugate(self, w: Array) -> Array:
        z = self._z(w)
        return np.sign(z) * np.abs(z) ** (1 / (self.power - 1))

    def d2conjugate(self, w: Array) -> Array:
        return np.asarray(np.abs(self._z(w)) ** (1 / (self.power - 1) - 1))

    def steepest(self, low: Array, high: Array) -> Array:
        zero = np.clip(-self.shift / (self.power - 1), low, high)  # f*'' is monotone on its sides
        with np.errstate(divide="ignore"):  # for p > 2 it is infinite there
            return np.asarray(np.maximum.reduce([self.d2conjugate(w) for w in (low, zero, high)]))

    def most_apart(self, b: Array) -> Array:
        p = self.power
        if p < 2:
            return np.full_like(b, np.inf)
        return np.asarray(((p - 1) * 2 ** (p - 2) * b) ** (2 / p))  # worst for s = -t

    def dual_energy(self, u: Array) -> Array:
        p = self.power
        x = np.log(u)
        if abs(p - 2) < 1e-12:
            return np.asarray(x)
        return np.asarray(np.expm1((p - 2) * x) / ((p - 1) * (p - 2)))

    def _z(self, w: Array) -> Array:
        return self.shift + (self.power - 1) * w


@dataclass(frozen=True)
class Entropy:
    """f(t) = t log t - t + 1 for t > 0: positive outer weights, and a logarithmic diffusion."""

    name: str = "entropy"
    power: float = 1.0

    @property
    def homogeneous(self) -> Entropy:
        return self

    def f(self, t: Array) -> Array:
        return t * np.log(t) - t + 1

    def df(self, t: Array) -> Array:
        return np.asarray(np.log(t))

    def conjugate(self, w: Array) -> Array:
        return np.asarray(np.expm1(w))

    def dconjugate(self, w: Array) -> Array:
        return np.asarray(np.exp(w))

    def d2conjugate(self, w: Array) -> Array:
        return np.asarray(np.exp(w))

    def steepest(self, low: Array, high: Array) -> Array:
        return self.d2conjugate(high)

    def most_apart(self, b: Array) -> Array:
        return np.full_like(b, np.inf)

    def dual_energy(self, u: Array) -> Array:
        return np.asarray(1 - (1 + np.log(u)) / u)


@dataclass(frozen=True)
class Custom:
    """A user's f: an object with elementwise functions f, df, conjugate, dconjugate, d2conjugate.

    The functions are checked at outer weights from 1e-3 to 1e3: df must be the derivative of f and
    increase, dconjugate must be the inverse of df, conjugate the Legendre transform of f, and
    d2conjugate the derivative of dconjugate.

    Attributes:
        of: the object.
        name: the name in messages and titles.
        power: the largest local exponent 2 + d log f''(u) / d log u and at least 1; Newton's
            method is damped enough for this exponent.

    Raises:
        InputError: if one of these checks fails.
    """

    of: Any = field(repr=False)
    name: str
    power: float = field(init=False)

    def __post_init__(self) -> None:
        u = np.logspace(-3, 3, 241)
        object.__setattr__(self, "power", 2.0)
        with np.errstate(all="ignore"):
            w = self.df(u)
            curvature = 1 / self.d2conjugate(w)
            h = 1e-5 * u
            self._require(bool((np.diff(w) > 0).all()), "f is not strictly convex")
            slope = (self.f(u + h) - self.f(u - h)) / (2 * h)
            scale = np.abs(w) + u * curvature
            self._require(np.abs(slope - w).max(where=_near_one(u), initial=0) < 1e-4,
                          "df is not the derivative of f")  # fmt: skip
            self._require(_same(self.dconjugate(w), u, u), "dconjugate does not invert df")
            legendre = u * w - self.f(u)
            self._require(_same(self.conjugate(w), legendre, np.abs(legendre) + u * scale),
                          "conjugate is not the Legendre transform of f")  # fmt: skip
            bend = (self.df(u + h) - self.df(u - h)) / (2 * h)
            self._require(_same(bend, curvature, curvature),
                          "d2conjugate is not the derivative of dconjugate")  # fmt: skip
            steepest = 2 + np.max(np.diff(np.log(curvature)) / np.diff(np.log(u)))
        object.__setattr__(self, "power", max(1.0, float(steepest)))

    def _require(self, condition: bool, otherwise: str) -> None:
        if not condition:
            raise InputError(f"Regulariser '{self.name}': {otherwise}.")

    @property
    def homogeneous(self) -> Custom:
        return self

    def _call(self, name: str, t: Array) -> Array:
        try:
            values = np.array(getattr(self.of, name)(t), dtype=float)  # a copy, never the argument
        except Exception as error:
            raise InputError(
                f"Regulariser '{self.name}': {name} failed with {cause(error)}."
            ) from error
        self._require(values.shape == t.shape, f"{name} must keep the shape of its argument")
        return values

    def f(self, t: Array) -> Array:
        return self._call("f", t)

    def df(self, t: Array) -> Array:
        return self._call("df", t)

    def conjugate(self, w: Array) -> Array:
        return self._call("conjugate", w)

    def dconjugate(self, w: Array) -> Array:
        return self._call("dconjugate", w)

    def d2conjugate(self, w: Array) -> Array:
        return self._call("d2conjugate", w)

    def steepest(self, low: Array, high: Array) -> Array:
        """The largest of 33 values on each interval; infinite if one is NaN."""
        with np.errstate(all="ignore"):
            shares = np.linspace(0, 1, 33)
            values = [self.d2conjugate((1 - s) * low + s * high) for s in shares]
        return np.nan_to_num(np.maximum.reduce(values), nan=np.inf, posinf=np.inf)

    def most_apart(self, b: Array) -> Array:
        return np.full_like(b, np.inf)

    def dual_energy(self, u: Array) -> Array:
        """The integral by Gauss quadrature in log s."""
        x, weights = np.polynomial.legendre.leggauss(24)
        end = np.log(u)
        total = np.zeros_like(u)
        for node, weight in zip(x, weights, strict=True):
            s = np.exp(end * (1 + node) / 2)
            total += weight * self.df(s) / s
        return total * end / 2


def _near_one(u: Array) -> Any:
    return (u > 0.1) & (u < 10)


def _same(a: Array, b: Array, scale: Array) -> bool:
    return bool((np.abs(a - b) <= 1e-4 * scale).all())


def quadratic(divergence: Divergence) -> bool:
    """Whether f is quadratic, so that a step of Newton's method for the outer weights is exact."""
    return bool(np.all(divergence.d2conjugate(np.array([0.25, 0.5, 2.0])) == 1.0))


def checked(divergence: Any) -> Divergence:
    """A `Divergence` from a built-in one, or a `Custom` from an object with its functions.

    Raises:
        InputError: for anything else, and as `Custom`.
    """
    if isinstance(divergence, Unbiased | Biased | Power | Entropy | Custom):
        return divergence
    missing = [name for name in ELEMENTWISE if not callable(getattr(divergence, name, None))]
    if missing:
        raise InputError(
            f"The divergence must be one such as UNBIASED, not {shown(divergence)}: "
            f"it has no function {', '.join(missing)}."
        )
    kind = divergence if isinstance(divergence, type) else type(divergence)
    return Custom(divergence, f"{kind.__module__}:{kind.__qualname__}")


UNBIASED, BIASED, ENTROPY = Unbiased(), Biased(), Entropy()
