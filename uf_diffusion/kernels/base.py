"""What features are: a function phi(omega, x) with its gradient, the law of its inputs, its kernel.

Features and kernels are functions of two points, evaluated together with their gradient in the
first. Where K(omega, omega') = E_x phi(omega, x) phi(omega', x) is known, the feature's `kernel`
says it. All quantities are dimensionless.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Protocol

import numpy as np

from uf_diffusion.core.arrays import Array
from uf_diffusion.problem.manifolds import Manifold

__all__ = ["Feature", "PairFunction", "PlainFeature"]

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

    def eigenvalues(self, cutoff: int) -> Array | None:
        """The kernel's against the uniform probability measure, exactly 0 where they are lost in
        round-off: by degree ``(cutoff + 1,)`` on the circle and S^2, by (|k_1|, ..., |k_d|) on a
        torus. None where they are not known.
        """
        ...

    @property
    def constrained_limit(self) -> bool:
        """Whether the limit lambda -> 0 is the equation constrained to even and linear functions,
        which is solved here.
        """
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

    def eigenvalues(self, cutoff: int) -> Array | None:
        return None

    @property
    def constrained_limit(self) -> bool:
        return False
