"""Zonal kernels between rings: the feature map of densities that are symmetric about an axis.

Averaged over the rotations about the axis, a kernel of omega.omega' is a sum over the degrees of
kappa_l Z_l(s) Z_l(s') with the heights s and s' of two points, where Z_l are the zonal harmonics
and kappa_l the kernel's eigenvalues, orthonormal with and for the uniform probability measure.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from uf_diffusion.core.arrays import Array
from uf_diffusion.core.errors import InputError
from uf_diffusion.kernels.base import Feature
from uf_diffusion.kernels.basis import too_many
from uf_diffusion.kernels.feature_maps import Atoms
from uf_diffusion.kernels.truncation import Modes, Tail
from uf_diffusion.kernels.zonal import multiplicities, zonal_harmonics

__all__ = ["ZonalModes", "ring_map"]

DEGREES = 4096  # most degrees of a kernel
BAND = 4  # factor between the degrees whose omission is measured and those that are kept


@dataclass(frozen=True)
class ZonalModes:
    """The zonal harmonics of some degrees, as a `Basis` on rings.

    Attributes:
        dim: the sphere's dimension.
        axis: the axis, a unit vector ``(ambient,)``.
        degrees: the degrees, increasing.
    """

    dim: int
    axis: tuple[float, ...]
    degrees: np.ndarray[Any, np.dtype[np.int64]]
    _known: list[tuple[Array, Array]] = field(default_factory=list, repr=False, compare=False)

    @property
    def size(self) -> int:
        return len(self.degrees)

    def kept(self, n: int) -> int:
        return 8 * n * self.size

    def matrix(self, omega: Array) -> Array:
        if self._known and self._known[0][0] is omega:  # rings do not move
            return self._known[0][1]
        height = np.clip(omega @ np.array(self.axis), -1, 1)
        harmonics = zonal_harmonics(self.dim, int(self.degrees.max(initial=0)), height)
        matrix = np.array(harmonics[self.degrees].T, order="C")
        self._known[:] = [(omega, matrix)]
        return matrix

    def values(self, c: Array, omega: Array) -> Array:
        return np.asarray(self.matrix(omega) @ c)

    def gradient(self, c: Array, omega: Array) -> Array:
        raise InputError("Rings do not move.")

    def moments(self, v: Array, omega: Array) -> Array:
        return np.asarray(v @ self.matrix(omega))

    def gram(self, v: Array, omega: Array) -> Array:
        values = self.matrix(omega)
        return np.asarray(values.T @ (v[:, None] * values))


def ring_map(feature: Feature, axis: tuple[float, ...], dropped: float, teacher: Atoms) -> Modes:
    """The feature map of a zonal kernel between rings about an axis.

    Args:
        feature: phi, whose kernel's eigenvalues are known.
        axis: the axis, a unit vector ``(ambient,)``.
        dropped: how much of K(omega, omega) may be left out, > 0.
        teacher: points on the rings, with the rings' masses.

    Raises:
        InputError: if the eigenvalues are not known, or too many degrees are needed.
    """
    dim, degree = feature.manifold.dim, 32
    while degree < DEGREES:
        degree *= 2
        eigenvalues = feature.eigenvalues(BAND * degree)
        if eigenvalues is None:
            raise InputError("The mean-field equation of rings needs a kernel of omega.omega'.")
        parts = eigenvalues * multiplicities(dim, BAND * degree)
        beyond = np.append(np.cumsum(parts[::-1])[::-1], 0.0)  # from each degree on
        rest = float(beyond[-2]) * BAND * degree  # decays at least like 1 / degree^2 from there
        first = int(np.flatnonzero(eigenvalues)[0])  # at least one degree is kept
        enough = first + np.flatnonzero(beyond[first + 1 : degree + 1] + rest <= dropped)
        if len(enough):
            kept = np.flatnonzero(eigenvalues[: enough[0] + 1])
            further = enough[0] + 1 + np.flatnonzero(eigenvalues[enough[0] + 1 :])
            basis, band = (ZonalModes(dim, axis, each) for each in (kept, further))
            tail = Tail(band, eigenvalues[further], rest, float(beyond[0]))
            return Modes(basis, np.sqrt(eigenvalues[kept]), tail, teacher)
    raise too_many(dropped, f"{DEGREES} degrees")
