"""Sampled features on the circle as trigonometric polynomials, up to round-off.

For an analytic activation and a fixed input x the function omega -> sigma(omega.x / s) is analytic
on the circle, so that its Fourier coefficients decay exponentially. With N inputs the feature map
is then a matrix times a few dozen waves, and the kernel is F F' between them, where F has as many
columns as there are waves. Projections cost O(M + R^3) instead of O(M N), and nothing is lost.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from uf_diffusion.core.arrays import Array
from uf_diffusion.core.mpi import Share
from uf_diffusion.core.threads import blocks_of
from uf_diffusion.kernels.base import Feature
from uf_diffusion.kernels.feature_maps import Atoms
from uf_diffusion.kernels.fourier import Fourier
from uf_diffusion.kernels.truncation import ModeNeurons, Modes
from uf_diffusion.problem.manifolds import Circle

__all__ = ["CircleExpansion", "LabelledExpansion", "circle_expansion"]

WAVES = (32, 64, 128)  # largest wave numbers that are tried
LOST = 1e-14  # of the root mean square of the features, beyond the largest wave
LONGEST = 64  # number of the longest inputs, with which wave numbers are tried
RANK = 1e-15  # singular values below this part of the largest are round-off


@dataclass(frozen=True)
class CircleExpansion(Modes):
    """The feature map of given inputs, whose coordinates are trigonometric polynomials."""


@dataclass(frozen=True)
class LabelledExpansion(CircleExpansion):
    """The same with labels in place of a teacher.

    Attributes:
        target: the coordinates of the labels divided by sqrt(N), ``(R,)``.
        rest: the squared norm of the part of the labels that no network can learn.
    """

    target: Array
    rest: float

    @property
    def labels(self) -> Array:
        return self.target

    def at(self, omega: Array, share: Share | None = None) -> ModeNeurons:
        return _LabelledNeurons(self, omega, share or Share(len(omega)), Share(self.size))


@dataclass(frozen=True)
class _LabelledNeurons(ModeNeurons):
    map: LabelledExpansion

    def misfit(self, v: Array) -> float:
        return super().misfit(v) + self.map.rest


def circle_expansion(
    feature: Feature, data: Array, teacher: Atoms, target: Array | None = None
) -> CircleExpansion | None:
    """The expansion of features on the circle with inputs ``(N, d)``.

    Args:
        feature: phi.
        data: the inputs.
        teacher: the teacher's neurons.
        target: labels divided by sqrt(N), ``(N,)``; None to learn the teacher's outputs.

    Returns:
        The feature map; None if the coefficients do not decay fast enough, or if there are not many
        more inputs than waves.
    """
    longest = data[np.argsort(-np.linalg.norm(data, axis=1))[:LONGEST]]
    for degree in WAVES:
        if len(data) < 4 * degree:
            return None
        if _decays(_coefficients(feature, longest, degree)):
            c = _coefficients(feature, data, degree)
            orthogonal, triangle = np.linalg.qr(c.T / math.sqrt(len(data)))
            left, size, right = np.linalg.svd(triangle, full_matrices=False)
            kept = size > RANK * size[0]
            basis = Fourier(Circle(), np.arange(degree + 1)[:, None])
            factor = np.array((size[kept, None] * right[kept]).T, order="C")
            if target is None:
                return CircleExpansion(basis, factor, None, teacher)
            seen = left[:, kept].T @ (orthogonal.T @ target)
            rest = float(((target - orthogonal @ (left[:, kept] @ seen)) ** 2).sum())
            return LabelledExpansion(basis, factor, None, teacher, seen, rest)
    return None


def _decays(coefficients: Array) -> bool:
    """Whether the last eighth of the waves is round-off."""
    waves = len(coefficients) // 2
    size = np.sqrt((coefficients**2).mean(axis=1))
    last = np.r_[waves - waves // 8 : waves + 1, 2 * waves - waves // 8 : 2 * waves + 1]
    return bool(size[last].max() <= LOST * np.linalg.norm(size))


def _coefficients(feature: Feature, data: Array, degree: int) -> Array:
    """The coefficients of the features in the basis `Fourier`, ``(2 degree + 1, N)``."""
    omega = Circle().even(4 * degree)
    angle = Circle().chart(omega)[:, 0]
    k = np.arange(degree + 1)
    norm = np.where(k > 0, math.sqrt(2), 1.0)[:, None] / len(omega)
    waves = np.vstack(
        [norm * np.cos(np.outer(k, angle)), norm[1:] * np.sin(np.outer(k[1:], angle))]
    )
    found = [waves @ feature(omega, data[block])[0] for block in blocks_of(len(data), 512)]
    return np.concatenate(found, axis=1)
