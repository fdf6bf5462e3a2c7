"""The regularisers f of the outer weights; one value serves the PDE and the network.

With the potential w the outer weight is u = f*'(w), on both sides: w = Psi.a for a network,
w = f'(nu/mu) for the PDE (mathematics: Barboni, Peyré, Vialard, arXiv:2504.18208, sections 2, 4).
Everything is dimensionless and works elementwise on arrays of any shape.
"""

from __future__ import annotations

import math
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
        """p where f'(t) is t^(p-1) up to an affine map; 1 stands for log t.

        The PDE for the ratio h = mu/nu has the fast-diffusion exponent m = 1 - p."""
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


@dataclass(frozen=True)
class Unbiased:
    """f(t) = (t - 1)^2 / 2: the projection is exact when student and teacher agree."""

    name: str = "unbiased"
    power: float = 2.0

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


@dataclass(frozen=True)
class Biased:
    """f(t) = t^2 / 2: ridge regression."""

    name: str = "biased"
    power: float = 2.0

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


@dataclass(frozen=True)
class Power:
    """f(t) = (|t|^p - p (t - 1) - 1) / (p (p - 1)), the Cressie-Read family, p in (1, 4].

    f(1) = f'(1) = 0 and f''(1) = 1; p = 2 is `Unbiased`, p -> 1 is `Entropy`.
    """

    power: float = 2.0
    name: str = "power"

    def __post_init__(self) -> None:
        if not 1 < self.power <= 4:
            raise InputError(f"problem.power must lie in (1, 4], not {self.power}.")

    def f(self, t: Array) -> Array:
        p = self.power
        return (np.abs(t) ** p - p * (t - 1) - 1) / (p * (p - 1))

    def df(self, t: Array) -> Array:
        p = self.power
        return (np.sign(t) * np.abs(t) ** (p - 1) - 1) / (p - 1)

    def conjugate(self, w: Array) -> Array:
        p = self.power
        return (np.abs(1 + (p - 1) * w) ** (p / (p - 1)) - 1) / p

    def dconjugate(self, w: Array) -> Array:
        z = 1 + (self.power - 1) * w
        return np.sign(z) * np.abs(z) ** (1 / (self.power - 1))

    def d2conjugate(self, w: Array) -> Array:
        z = 1 + (self.power - 1) * w
        return np.asarray(np.abs(z) ** (1 / (self.power - 1) - 1))


@dataclass(frozen=True)
class Entropy:
    """f(t) = t log t - t + 1 on t > 0: outer weights are positive, the PDE is linear in mu."""

    name: str = "entropy"
    power: float = 1.0

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


def divergence(name: str, power: float = 2.0) -> Divergence:
    """The divergence of a name; ``power`` is read by "power" only.

    Raises:
        InputError: for an unknown name or a power outside (1, 4].
    """
    if name == "power":
        if not math.isfinite(power):
            raise InputError(f"problem.power must lie in (1, 4], not {power}.")
        return Power(power)
    plain: dict[str, Divergence] = {d.name: d for d in (Unbiased(), Biased(), Entropy())}
    if name not in plain:
        raise unknown("problem.regulariser", name, [*plain, "power"])
    return plain[name]
