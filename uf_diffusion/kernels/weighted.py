"""Features at inputs of unequal weights, as features at inputs with one more coordinate.

With weights w_j that sum to 1 the feature map has the coordinates sqrt(w_j) phi(omega, x_j). They
are those of N inputs of equal weight and the feature s phi(omega, x) at (x, s), where s_j is the
square root of N w_j.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from uf_diffusion.core.arrays import Array
from uf_diffusion.kernels.base import Feature, PairFunction, PlainFeature, Pullback
from uf_diffusion.kernels.basis import Basis, Remainder
from uf_diffusion.kernels.inputs import Inputs
from uf_diffusion.kernels.truncation import own_truncation
from uf_diffusion.problem.manifolds import Manifold

__all__ = ["Weighted", "at_equal_weights"]


@dataclass(frozen=True)
class Weighted(PlainFeature):
    """The feature s phi(omega, x) at inputs (x, s) with s > 0.

    Attributes:
        feature: phi.
    """

    feature: Feature

    @property
    def manifold(self) -> Manifold:
        return self.feature.manifold

    def inputs(self, n: int, rng: np.random.Generator) -> Array:
        return np.column_stack([self.feature.inputs(n, rng), np.ones(n)])

    def __call__(self, omega: Array, x: Array) -> tuple[Array, Pullback]:
        values, pullback = self.feature(omega, x[:, :-1])
        return values * x[:, -1], lambda weight: pullback(x[:, -1] * weight)

    def values(self, omega: Array, x: Array, factor: float, out: Array) -> None:
        self.feature.values(omega, x[:, :-1], factor, out)
        out *= x[:, -1]

    def gradient(
        self, omega: Array, x: Array, factor: float, weight: Array, values: Array
    ) -> Array:  # fmt: skip
        s = x[:, -1]
        return self.feature.gradient(omega, x[:, :-1], factor, s * weight, values / s)

    @property
    def kernel(self) -> PairFunction | None:
        return self.feature.kernel


@own_truncation.register
def _(feature: Weighted, dropped: float) -> tuple[Basis, Array, Remainder] | None:
    return own_truncation(feature.feature, dropped)


def at_equal_weights(feature: Feature, inputs: Inputs) -> tuple[Feature, Array]:
    """A feature and inputs ``(N, d)`` of equal weight with the feature map of weighted inputs.

    Features that are homogeneous of degree 1 in the input, such as ReLU, have it take the factor.
    """
    if inputs.weights is None:
        return feature, inputs.x
    s = np.sqrt(len(inputs.x) * inputs.weights)
    if getattr(feature, "homogeneous", False):
        return feature, inputs.x * s[:, None]
    return Weighted(feature), np.column_stack([inputs.x, s])
