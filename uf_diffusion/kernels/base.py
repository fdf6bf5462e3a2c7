"""Features: a function phi(omega, x) with its gradient, the law of the inputs x, and the kernel.

Features and kernels are functions of two points, evaluated together with their gradient in the
first. The kernel is K(omega, omega') = E_x phi(omega, x) phi(omega', x). All quantities are
dimensionless.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import NamedTuple, Protocol

import numpy as np

from uf_diffusion.core.arrays import Array, Complex
from uf_diffusion.kernels.seen_spaces import SeenSpace
from uf_diffusion.problem.manifolds import Manifold

__all__ = ["Convolution", "Feature", "PairFunction", "PlainFeature"]

Pullback = Callable[[Array], Array]


class PairFunction(Protocol):
    """A function of a feature omega and a second point, with its gradient in omega."""

    def __call__(self, omega: Array, other: Array, /) -> tuple[Array, Pullback]:
        """Evaluate the function and its gradient.

        Args:
            omega: features ``(m, ambient)``.
            other: second points ``(n, d)``.

        Returns:
            The values ``(m, n)``, and a function that maps weights ``(n,)`` to the tangent
            gradients ``(m, ambient)`` of values @ weights with respect to omega.
        """
        ...


class Convolution(NamedTuple):
    """The waves of a feature phi(omega, x) = g(omega - x) on a torus, and those of its inputs.

    Attributes:
        waves: the integrals of g(x) exp(-i q k.x) over the torus, divided by its volume, real and
            exactly 0 where they cannot be distinguished from round-off; with d axes of the same
            length, by (|k_1|, ..., |k_d|).
        inputs: maps a degree n to the means of exp(i q k.x) over the inputs, for all |k_j| <= n, as
            a flat array.
    """

    waves: Array
    inputs: Callable[[int], Complex]


class Feature(PairFunction, Protocol):
    """A function phi(omega, x), the law of the inputs x, and the kernel where it is known."""

    @property
    def manifold(self) -> Manifold:
        """The manifold of the features omega."""
        ...

    def inputs(self, n: int, rng: np.random.Generator) -> Array:
        """Draw n independent inputs, ``(n, d)``."""
        ...

    def values(self, omega: Array, x: Array, factor: float, out: Array) -> None:
        """Write factor times the values to ``out`` ``(m, n)``; several threads may call it at once.

        Args:
            omega: features ``(m, ambient)``.
            x: inputs ``(n, d)``.
            factor: the factor.
            out: receives the values.
        """
        ...

    def gradient(
        self, omega: Array, x: Array, factor: float, weight: Array, values: Array
    ) -> Array:  # fmt: skip
        """The tangent gradients ``(m, ambient)`` of values @ weight with respect to omega.

        Several threads may call it at once.

        Args:
            omega, x, factor: as in `values`.
            weight: ``(n,)``.
            values: the array ``(m, n)`` that `values` computed for them.
        """
        ...

    @property
    def kernel(self) -> PairFunction | None:
        """The kernel K, if it has a closed form, else None."""
        ...

    def eigenvalues(self, cutoff: int) -> Array | None:
        """The eigenvalues of the kernel with respect to the uniform probability measure.

        Eigenvalues that cannot be distinguished from round-off are exactly 0.

        Args:
            cutoff: the largest degree or wave number.

        Returns:
            On spheres an array ``(cutoff + 1,)`` by degree; on a torus of dimension d an array with
            d axes of length cutoff + 1, by (|k_1|, ..., |k_d|). None if not known, or if the
            kernel's eigenfunctions are not the harmonics or the waves.
        """
        ...

    def convolution(self, cutoff: int) -> Convolution | None:
        """The waves up to |k_j| = cutoff of a feature that is a convolution; None if it is none.

        The kernel's eigenfunctions follow from them, also for inputs that are not uniform.
        """
        ...

    @property
    def sees(self) -> SeenSpace | None:
        """What the kernel sees of a measure as lambda -> 0, with inputs of the features' own law.

        None if it is not known; then it is measured, see `identifiability`.
        """
        ...


class PlainFeature(ABC):
    """A base class of features: subclasses define values with their gradient, and inputs."""

    @abstractmethod
    def __call__(self, omega: Array, x: Array, /) -> tuple[Array, Pullback]:
        """See `PairFunction`."""

    @abstractmethod
    def inputs(self, n: int, rng: np.random.Generator) -> Array:
        """Draw n independent inputs, ``(n, d)``."""

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

    def convolution(self, cutoff: int) -> Convolution | None:
        return None

    @property
    def sees(self) -> SeenSpace | None:
        return None
