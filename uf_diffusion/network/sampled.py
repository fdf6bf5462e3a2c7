"""Features on given data: dense, in threads, spread over ranks by data or by neurons."""

from __future__ import annotations

import math
import weakref
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from uf_diffusion.network.feature_maps import Atoms, FeatureMap, FiniteNeurons, Solver, pair_blocks
from uf_diffusion.network.features import Feature
from uf_diffusion.network.recycling import Recycled
from uf_diffusion.parallel import Share, broadcast
from uf_diffusion.problem.manifolds import Array
from uf_diffusion.threads import blocks_of, in_threads

__all__ = ["Sampled", "SampledNeurons"]

RECYCLED = 256  # neurons from which it pays to remember the solver of earlier steps


@dataclass(frozen=True)
class Sampled(FeatureMap):
    """Psi_j(omega) = phi(omega, x_j) / sqrt(N) for data x_1, ..., x_N.

    Attributes:
        feature: phi.
        data: this rank's x_j, ``(R, d)``.
        teacher: the teacher's neurons.
        coordinates: how the data are spread over the ranks; all on each where not given.
    """

    feature: Feature
    data: Array
    teacher: Atoms
    coordinates: Share | None = None

    @property
    def samples(self) -> Share:
        """The share of the N data."""
        return self.coordinates or Share(len(self.data))

    @cached_property
    def labels(self) -> Array:
        """t: the teacher's outputs over sqrt(N), ``(R,)``."""
        points, weights = self.teacher.points, self.teacher.weights
        blocks = pair_blocks(points, self.data)
        outputs = sum(weights[i] @ self.feature(points[i], self.data)[0] for i in blocks)
        return np.asarray(outputs) / math.sqrt(self.samples.n)

    def share(self, width: int) -> Share:
        return Share(width, split=not self.samples.split)

    def at(self, omega: Array, share: Share | None = None) -> SampledNeurons:
        return SampledNeurons(self, omega, share or Share(len(omega)))

    def memory(self, width: int) -> int:
        own, side = len(self.data), min(width, self.samples.n)
        return 8 * (width * own + 3 * side**2)

    @cached_property
    def spare(self) -> deque[Array]:
        """Matrices that are not in use any more."""
        return deque(maxlen=1)

    @cached_property
    def recycled(self) -> Recycled:
        """The solver that remembers earlier steps."""
        return Recycled()

    def keepsake(self) -> dict[str, Array]:
        return self.recycled.keepsake()

    def recall(self, kept: Mapping[str, Array]) -> None:
        if "anchor" in kept:
            self.recycled.recall(kept, self.at(kept["anchor"]))


@dataclass(frozen=True)
class SampledNeurons(FiniteNeurons):
    """Dense features on the data."""

    map: Sampled
    omega: Array
    share: Share

    @property
    def coordinates(self) -> Share:  # type: ignore[override]
        return self.map.samples

    @property
    def labels(self) -> Array:
        return self.map.labels

    @cached_property
    def matrix(self) -> Array:
        phi, omega, x = self.map.feature, self.omega, self.map.data
        shape, spare = (len(omega), len(x)), self.map.spare
        psi = spare.pop() if spare and spare[-1].shape == shape else np.empty(shape)
        scale = 1 / math.sqrt(self.map.samples.n)
        # fresh memory costs as much as the numbers: neurons that go leave theirs to the next
        weakref.finalize(self, spare.append, psi)

        def fill(rows: slice) -> None:
            phi.values(omega[rows], x, psi[rows])
            psi[rows] *= scale

        in_threads(fill, pair_blocks(omega, x))
        return psi

    @cached_property
    def kernel(self) -> Array:
        psi, K = self.matrix, np.empty((len(self.omega), len(self.omega)))

        def fill(pair: tuple[slice, slice]) -> None:
            rows, columns = pair
            np.matmul(psi[rows], psi[columns].T, out=K[rows, columns])
            K[columns, rows] = K[rows, columns].T

        blocks = blocks_of(len(K), 256)
        in_threads(fill, [(a, b) for k, a in enumerate(blocks) for b in blocks[: k + 1]])
        return self.coordinates.sum(K)

    def moments(self, v: Array) -> Array:
        psi, sums = self.matrix, np.empty(len(self.map.data))

        def fill(columns: slice) -> None:
            np.matmul(v, psi[:, columns], out=sums[columns])

        in_threads(fill, blocks_of(len(sums), 1024))
        return self.share.sum(sums)

    def values(self, a: Array) -> Array:
        psi, values = self.matrix, np.empty(len(self.omega))

        def fill(rows: slice) -> None:
            np.matmul(psi[rows], a, out=values[rows])

        in_threads(fill, blocks_of(len(values), 256))
        return self.coordinates.sum(values)

    def gradient(self, a: Array) -> Array:
        phi, omega, x = self.map.feature, self.omega, self.map.data
        weight, gradient = a / math.sqrt(self.map.samples.n), np.empty_like(omega)

        def fill(rows: slice) -> None:
            gradient[rows] = phi.gradient(omega[rows], x, weight)

        in_threads(fill, pair_blocks(omega, x))
        return self.coordinates.sum(gradient)

    def gram(self, c: Array) -> Array:
        root = np.sqrt(c)[:, None] * self.matrix
        return self.share.sum(root.T @ root)

    def product(self, v: Array) -> Array:
        """K v, ``(M,)``."""
        return self.values(self.moments(v))

    def solver(self, shift: Array) -> Solver:
        if self.in_coordinates or len(self.omega) < RECYCLED:
            return super().solver(shift)
        # every rank goes on with the same bits
        return lambda b: broadcast(self.map.recycled.solve(self, shift, b))
