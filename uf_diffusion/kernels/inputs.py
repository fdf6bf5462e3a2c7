"""The inputs of sampled features: their laws, their weights and labels, and the input of biases."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from uf_diffusion.core.arrays import Array
from uf_diffusion.kernels.base import Feature
from uf_diffusion.kernels.own_features import drawn_inputs

__all__ = ["LAWS", "Inputs", "augmented", "given_columns", "inputs_of_law"]


@dataclass(frozen=True, eq=False)
class Inputs:
    """The inputs of a network, with their weights and what is learnt there.

    Attributes:
        x: the inputs as the features take them, ``(N, d)``.
        weights: positive weights that sum to 1, ``(N,)``; None for equal weights.
        labels: the outputs that are learnt, ``(N,)``, dimensionless; None for those of the teacher.
    """

    x: Array
    weights: Array | None = None
    labels: Array | None = None

    @property
    def target(self) -> Array | None:
        """The labels times the square roots of the weights, ``(N,)``; None without labels."""
        if self.labels is None:
            return None
        n = len(self.x)
        return self.labels * (1 / math.sqrt(n) if self.weights is None else np.sqrt(self.weights))


def augmented(feature: Feature, x: Array) -> Array:
    """Inputs ``(n, d)`` as a feature takes them: with a last column of ones if it has a bias."""
    if not getattr(feature, "bias", False):
        return x
    return np.column_stack([x, np.ones(len(x))])


def given_columns(feature: Feature) -> int:
    """The number of columns of the inputs that a user gives to a feature.

    Raises:
        InputError: as `drawn_inputs`.
    """
    columns: int = drawn_inputs(feature, 1, np.random.default_rng(0)).shape[1]
    return columns - bool(getattr(feature, "bias", False))


def _sphere(n: int, d: int, rng: np.random.Generator) -> Array:
    x = rng.standard_normal((n, d))
    return x * (math.sqrt(d) / np.linalg.norm(x, axis=1, keepdims=True))


# laws of n inputs with d columns: the covariance of the first two is the identity
LAWS: dict[str, Callable[[int, int, np.random.Generator], Any]] = {
    "gaussian": lambda n, d, rng: rng.standard_normal((n, d)),
    "sphere": _sphere,
    "cube": lambda n, d, rng: rng.uniform(-1.0, 1.0, (n, d)),
}


def inputs_of_law(law: str, feature: Feature, n: int, rng: np.random.Generator) -> Array:
    """n inputs of a law in `LAWS`, or for "" of the feature's own, as the feature takes them.

    Raises:
        InputError: as `drawn_inputs`.
    """
    if not law:
        return drawn_inputs(feature, n, rng)
    return augmented(feature, LAWS[law](n, given_columns(feature), rng))
