"""Features sigma(omega.x / s) with any activation function sigma, with or without a bias."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from uf_diffusion.core.arrays import Array
from uf_diffusion.core.errors import InputError
from uf_diffusion.kernels.activation_kernels import ActivationKernel
from uf_diffusion.kernels.base import Convolution, Pullback
from uf_diffusion.kernels.features import require_home, require_scale
from uf_diffusion.kernels.nonlinearities import Nonlinearity, nonlinearity
from uf_diffusion.kernels.seen_spaces import SeenSpace
from uf_diffusion.kernels.tabulated import Table, tabulated
from uf_diffusion.problem.manifolds import NOWHERE, Sphere

__all__ = ["Activation"]


@dataclass(frozen=True)
class Activation:
    """Features phi = sigma(omega.x / s) on a sphere for standard Gaussian x.

    With a bias the inputs are (x, 1) with a standard Gaussian x of one coordinate less: the last
    coordinate of omega is the bias of a neuron whose weights are the others.

    Attributes:
        function: the name of sigma, a key of `nonlinearities.NONLINEARITIES`, or a user's function
            that maps an array z to the arrays sigma(z) and sigma'(z).
        scale: s > 0, dimensionless.
        bias: whether the inputs have a last coordinate 1.
        slope: the derivative of "leaky-relu" at negative arguments.
        manifold: the sphere.

    Raises:
        InputError: for another manifold, an unknown function or a scale that is not positive, and
            as `nonlinearity`.
    """

    function: Any = "relu"
    scale: float = 1.0
    bias: bool = False
    slope: float = 0.01
    manifold: Sphere = NOWHERE

    def __post_init__(self) -> None:
        require_home("activation", "spheres", self.manifold, Sphere)
        require_scale(self.scale)
        if not isinstance(self.bias, bool):
            raise InputError(f"network.bias must be true or false, not {self.bias!r}.")
        _ = self.sigma

    @cached_property
    def sigma(self) -> Nonlinearity:
        """The activation function."""
        return nonlinearity(self.function, self.slope)

    def inputs(self, n: int, rng: np.random.Generator) -> Array:
        x = rng.standard_normal((n, self.manifold.ambient - self.bias))
        return np.column_stack([x, np.ones(n)]) if self.bias else x

    def _arguments(self, omega: Array, x: Array) -> Array:
        return np.asarray(omega @ (x.T / self.scale))

    def __call__(self, omega: Array, x: Array) -> tuple[Array, Pullback]:
        z = self._arguments(omega, x)

        def gradient(weight: Array) -> Array:
            pulled = self.sigma.slope(z) @ (weight[:, None] * x / self.scale)
            return self.manifold.tangent(omega, pulled)

        return self.sigma.value(z), gradient

    @cached_property
    def _tables(self) -> dict[tuple[int, int], Table | None]:
        """Tables of sigma and of its derivative, by their order and their largest argument."""
        return {}

    def _evaluate(self, order: int, z: Array, x: Array, factor: float) -> None:
        """Replace arguments ``(m, n)`` by factor times sigma or, for order 1, its derivative."""
        function = (self.sigma.value, self.sigma.slope)[order]
        table = None
        if self.sigma.costly:
            reach = math.ceil(math.sqrt(float((x * x).sum(axis=1).max())) / self.scale + 1e-9)
            if (order, reach) not in self._tables:
                self._tables[order, reach] = tabulated(function, reach)
            table = self._tables[order, reach]
        if table is None:
            np.multiply(function(z), factor, out=z)
        else:
            table(z, factor)

    def values(self, omega: Array, x: Array, factor: float, out: Array) -> None:
        np.matmul(omega, x.T / self.scale, out=out)
        self._evaluate(0, out, x, factor)

    def gradient(
        self, omega: Array, x: Array, factor: float, weight: Array, values: Array
    ) -> Array:  # fmt: skip
        slopes = self._arguments(omega, x)
        self._evaluate(1, slopes, x, factor / self.scale)
        return self.manifold.tangent(omega, slopes @ (weight[:, None] * x))

    @property
    def kernel(self) -> ActivationKernel | None:
        if self.bias:
            return None
        return ActivationKernel(self.manifold, self.sigma, float(self.scale))

    def eigenvalues(self, cutoff: int) -> Array | None:
        return None if self.kernel is None else self.kernel.eigenvalues(cutoff)

    def convolution(self, cutoff: int) -> Convolution | None:
        return None

    @property
    def homogeneous(self) -> bool:
        """Whether phi(omega, s x) = s phi(omega, x) for s > 0."""
        return self.sigma.hinge is not None

    @property
    def sees(self) -> SeenSpace | None:
        return None if self.bias else self.sigma.space
