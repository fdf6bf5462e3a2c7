"""Piecewise linear features on the circle that learn given labels, at a cost linear in M and N.

With omega = s w(b), w(b) = (cos b, sin b) and features linear * z + bent * |z|, 1/2 each for ReLU,
the labels y_j have the potential Psi(omega).t = (linear * s A + bent * H(b)).w(b). Here A is the
mean of y_j x_j, and H(b) that of sign(w(b).x_j) y_j x_j, which changes only where w(b) is
orthogonal to an input.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from uf_diffusion.core.arrays import Array
from uf_diffusion.kernels.circle_maps import CircleMap, SampledHinges, Target, sign_changes
from uf_diffusion.kernels.semiseparable import Generators

__all__ = ["LabelledCircleMap", "Labels"]


class Labels:
    """Labels as a `Target`.

    Args:
        x: the inputs, ``(N, 2)``.
        target: the coordinates of t, which are the labels divided by sqrt(N), ``(N,)``.
    """

    def __init__(self, x: Array, target: Array) -> None:
        order, self._change, after = sign_changes(x)
        moments = (target[:, None] * x)[order] / math.sqrt(len(x))
        turned = np.zeros((len(x) + 1, 2))
        np.cumsum(2 * after[:, None] * moments, axis=0, out=turned[1:])
        self._mean, self._signed = moments.sum(axis=0), turned - turned[-1] / 2

    def potential(self, position: Array, rows: Generators) -> Array:
        """The values Psi.t ``(m,)``, or their slopes if ``rows`` are derivatives.

        Args:
            position: the folded angles b, ``(m,)``.
            rows: the generators of `SampledHinges` there, which end with linear s w and bent w.
        """
        signed = self._signed[np.searchsorted(self._change, position)]
        ends = rows.earlier
        return np.asarray(ends[:, 4:6] @ self._mean + np.einsum("ij,ij->i", signed, ends[:, 6:8]))


@dataclass(frozen=True)
class LabelledCircleMap(CircleMap):
    """The feature map of `SampledHinges` with labels in place of a teacher.

    Attributes:
        kernel: the kernel.
        teacher: neurons, whose outputs are not used.
        target: the labels divided by sqrt(N), ``(N,)``.
    """

    kernel: SampledHinges
    target: Array

    @cached_property
    def sources(self) -> Target:
        return Labels(self.kernel.data, self.target)

    @cached_property
    def energy(self) -> float:
        return float(self.target @ self.target)
