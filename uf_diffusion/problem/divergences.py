"""The regularisers f of the outer weights; one value serves the PDE and the network.

With the potential w the outer weight is u = f*'(w), on both sides: w = Psi.a for a network,
w = f'(nu/mu) for the PDE (mathematics: Barboni, Peyré, Vialard, arXiv:2504.18208, sections 2, 4).
Everything is dimensionless and works elementwise on arrays of any shape.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from uf_diffusion.errors import InputError, unknown
from uf_diffusion.problem.manifolds import Array

__all__ = ["Biased", "Divergence", "Entropy", "Power", "Unbiased", "divergence"]


class Divergence(Protocol):
    """A convex f, its conjugate f*, and their derivatives."""

    @property
    def name(self) -> str: ...
    @property
    def power(self) -> float:
        """P where f'(t) is t^(p-1) up to an affine map; 1 stands for log t.

        The PDE for the ratio h = mu/nu has the fast-diffusion exponent m = 1 - p.
        """
        ...

    @property
    def homogeneous(self) -> Divergence:
        """The divergence with f'(t) free of a constant: f differs by an affine function, so the
        PDE is the same, and small outer weights u = f*'(w) do not suffer from cancellation.
        """
        ...

    def f(self, t: Array) -> Array: ...
    def df(self, t: Array) -> Array:
        """f'(t)."""
        ...

    def conjugate(self, w: Array) -> Array:
        """f*(w)."""
        ...

    def dconjugate(self, w: Array) -> Array:
        """f*'(w), the outer weight of the potential w."""
        ...

    def d2conjugate(self, w: Array) -> Array:
        """f*''(w)."""
        ...

    def dual_energy(self, u: Array) -> Array:
        """The integral of f'(s) / s^2 from 1 to u: the density, with respect to the teacher, of the
        energy whose gradient flow in H^-1 of the teacher the PDE is. For `homogeneous` ones only.
        """
        ...


@dataclass(frozen=True)
class Unbiased:
    """f(t) = (t - 1)^2 / 2: the projection is exact when student and teacher agree."""

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

    def dual_energy(self, u: Array) -> Array:
        return np.asarray(np.log(u) + 1 / u - 1)


@dataclass(frozen=True)
class Biased:
    """f(t) = t^2 / 2: ridge regression."""

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

    def dual_energy(self, u: Array) -> Array:
        return np.asarray(np.log(u))


@dataclass(frozen=True)
class Power:
    """f(t) = (|t|^p - s p (t - 1) - 1) / (p (p - 1)), p in (1, 4]; f''(1) = 1.

    With s = 1 this is the Cressie-Read family, f(1) = f'(1) = 0: p = 2 is `Unbiased`, p -> 1 is
    `Entropy`. With s = 0 it is `homogeneous`.
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
    """f(t) = t log t - t + 1 on t > 0: outer weights are positive; logarithmic diffusion."""

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

    def dual_energy(self, u: Array) -> Array:
        return np.asarray(1 - (1 + np.log(u)) / u)


def divergence(name: str, power: float = 2.0) -> Divergence:
    """The divergence of a name; ``power`` is read by "power" only.

    Raises:
        InputError: for an unknown name or a power outside (1, 4].
    """
    if name == "power":
        return Power(power)
    plain: dict[str, Divergence] = {d.name: d for d in (Unbiased(), Biased(), Entropy())}
    if name not in plain:
        raise unknown("problem.regulariser", name, [*plain, "power"])
    return plain[name]
