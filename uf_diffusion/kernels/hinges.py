"""ReLU features of at most three coordinates, evaluated anew in every product.

The matrix of feature values is not stored: max(0, omega.x) and its product take five operations in
vector registers, while a core computes about ten in the time in which it reads a number from
memory. With 1024 neurons and 4096 inputs half a product with the kernel takes 0.6 ms in double and
0.3 ms in single precision, which is the limit of the arithmetic.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uf_diffusion.core.arrays import Array
from uf_diffusion.core.mpi import Share
from uf_diffusion.core.threads import blocks_of, in_threads
from uf_diffusion.kernels.loops import hinge_moments, hinge_pull, hinge_values
from uf_diffusion.kernels.sampled import Sampled, SampledNeurons

__all__ = ["COORDINATES", "HingeNeurons", "Hinges"]

COORDINATES = 3  # the compiled loops have this number; others are 0

type Reals = NDArray[Any]  # in double or in single precision


@dataclass(frozen=True)
class Hinges(Sampled):
    """The feature map of `Sampled` for ReLU features on the circle or on S^2."""

    @cached_property
    def columns(self) -> dict[str, Reals]:
        """The coordinates of the inputs divided by sqrt(N), ``(3, R)``, by their precision."""
        return _both(_padded(self.data / math.sqrt(self.samples.n)).T)

    def at(self, omega: Array, share: Share | None = None) -> HingeNeurons:
        return HingeNeurons(self, omega, share or Share(len(omega)))


@dataclass(frozen=True)
class HingeNeurons(SampledNeurons):
    """Neurons of `Hinges`; their matrix is computed only for what needs it as a whole."""

    map: Hinges

    @cached_property
    def _rows(self) -> dict[str, Reals]:
        """The features with 3 coordinates, by their precision; a last one may be added, which is 0.

        The compiled loops take two neurons at once.
        """
        return _both(np.pad(_padded(self.omega), ((0, len(self.omega) % 2), (0, 0))))

    def moments(self, v: Array) -> Array:
        return self.share.sum(self._moments(v))

    def values(self, a: Array) -> Array:
        return self.coordinates.sum(self._values(a))

    def gradient(self, a: Array) -> Array:
        pulled = self._filled(hinge_pull, a, (3,))[:, : self.omega.shape[1]]
        return self.coordinates.sum(self.map.feature.manifold.tangent(self.omega, pulled))

    def product(self, v: Array, rough: bool = False) -> Array:
        if not rough:
            return self.values(self.moments(v))
        moments = self.share.sum(self._moments(v.astype(np.float32)).astype(float))
        return self.coordinates.sum(self._values(moments.astype(np.float32)).astype(float))

    def _moments(self, v: Reals) -> Reals:
        """The sum over this rank's neurons of v_i Psi(omega_i), ``(R,)``, in v's precision."""
        omega, x = self._rows[v.dtype.name], self.map.columns[v.dtype.name]
        v, sums = np.pad(v, (0, len(omega) - len(v))), np.empty(x.shape[1], v.dtype)

        def fill(part: slice) -> None:
            first, second, third = x[:, part]
            hinge_moments(omega, v, first, second, third, v.dtype.type(0), sums[part])

        in_threads(fill, blocks_of(len(sums), 1024))
        return sums

    def _values(self, a: Reals) -> Reals:
        """The values Psi(omega_i).a, ``(M,)``, of this rank's coordinates, in a's precision."""
        return self._filled(hinge_values, a, ())

    def _filled(self, loop: Any, a: Reals, shape: tuple[int, ...]) -> Reals:
        """What a compiled loop computes from weights a of the inputs, ``(M, *shape)``."""
        omega, x = self._rows[a.dtype.name], self.map.columns[a.dtype.name]
        out = np.empty((len(omega), *shape), a.dtype)

        def fill(rows: slice) -> None:
            loop(omega[rows], *x, a, a.dtype.type(0), out[rows])

        in_threads(fill, blocks_of(len(omega), 256))
        return out[: len(self.omega)]


def _padded(points: Array) -> Array:
    """Points with zeros as further coordinates, ``(n, 3)``."""
    return np.pad(points, ((0, 0), (0, COORDINATES - points.shape[1])))


def _both(x: Array) -> dict[str, Reals]:
    """An array in double and in single precision."""
    return {"float64": np.ascontiguousarray(x), "float32": np.ascontiguousarray(x, np.float32)}
