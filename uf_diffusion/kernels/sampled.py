"""The feature map of given inputs: dense matrices, computed in threads.

Under MPI either the inputs or the neurons are spread over the ranks.
"""

from __future__ import annotations

import math
import weakref
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uf_diffusion.core.arrays import Array
from uf_diffusion.core.mpi import Share, broadcast, size
from uf_diffusion.core.threads import blocks_of, in_threads
from uf_diffusion.kernels.base import Feature
from uf_diffusion.kernels.feature_maps import (
    Atoms,
    FeatureMap,
    FiniteNeurons,
    Projectable,
    Solver,
    pair_blocks,
)
from uf_diffusion.kernels.iterative_solver import Preconditioned, Recycled
from uf_diffusion.kernels.passes import Passes
from uf_diffusion.kernels.preconditioner import Smooth, smooth_functions

__all__ = ["Sampled", "SampledNeurons"]

RECYCLED = 256  # number of neurons from which `Recycled` is faster than a new factorisation
COORDINATES = 1024  # number of inputs from which `Preconditioned` is faster than a Gram matrix
FITTED = 2048  # number of points at which the smooth part of Psi is fitted


@dataclass(frozen=True)
class Sampled(FeatureMap):
    """The feature map Psi_j(omega) = phi(omega, x_j) / sqrt(N) for inputs x_1, ..., x_N.

    Attributes:
        feature: phi.
        data: this rank's inputs x_j, ``(R, d)``.
        teacher: the teacher's neurons.
        coordinates: how the inputs are spread over the ranks; by default every rank has all.
        target: this rank's coordinates of t, ``(R,)``, if labels are given; None for those of the
            teacher's outputs.
    """

    feature: Feature
    data: Array
    teacher: Atoms
    coordinates: Share | None = None
    target: Array | None = None

    @property
    def samples(self) -> Share:
        """How the N inputs are spread over the ranks."""
        return self.coordinates or Share(len(self.data))

    @cached_property
    def labels(self) -> Array:
        """This rank's coordinates of t, the outputs to learn divided by sqrt(N), ``(R,)``."""
        if self.target is not None:
            return self.target
        points, weights = self.teacher.points, self.teacher.weights
        blocks = pair_blocks(points, self.data)
        outputs = sum(weights[i] @ self.feature(points[i], self.data)[0] for i in blocks)
        return np.asarray(outputs) / math.sqrt(self.samples.n)

    def share(self, width: int) -> Share:
        return Share(width, split=not self.samples.split)

    def at(self, omega: Array, share: Share | None = None) -> SampledNeurons:
        return SampledNeurons(self, omega, share or Share(len(omega)))

    def at_rest(self, omega: Array, share: Share | None = None) -> Projectable:
        return self.at(omega, share).at_rest()

    def memory(self, width: int) -> int:
        own, side = len(self.data), min(width, self.samples.n)
        return 12 * width * own + 24 * side**2

    @cached_property
    def spare(self) -> dict[type, deque[NDArray[Any]]]:
        """Matrices that are no longer used and can be overwritten, by their precision."""
        return {np.float64: deque(maxlen=1), np.float32: deque(maxlen=1)}

    @cached_property
    def recycled(self) -> Recycled:
        """The solver that reuses the inverse of an earlier step."""
        return Recycled(self._smooth)

    @cached_property
    def preconditioned(self) -> Preconditioned:
        """The solver for more neurons than inputs."""
        return Preconditioned(self._smooth)

    @property
    def iterates(self) -> bool:
        """Whether an iterative solver has been used, which needs products in single precision."""
        return bool({"recycled", "preconditioned"} & vars(self).keys())

    @cached_property
    def _smooth(self) -> Smooth | None:
        """The smooth part of the kernel, the same on all ranks; None if there is none."""
        omega = self.feature.manifold.sample(FITTED, np.random.default_rng(0))
        basis = smooth_functions(self.feature, self.teacher, omega)
        if basis is None:
            return None
        fit, gram = np.linalg.pinv(basis.matrix(omega)), np.zeros((basis.size, basis.size))
        for columns in blocks_of(len(self.data), 512):
            x = self.data[columns]
            values = np.empty((FITTED, len(x)))
            self.feature.values(omega, x, 1 / math.sqrt(self.samples.n), values)
            coefficients = fit @ values
            gram += coefficients @ coefficients.T
        return Smooth(basis, self.samples.sum(gram))

    def keepsake(self) -> dict[str, Array]:
        if "preconditioned" in vars(self):
            return self.preconditioned.keepsake()
        return self.recycled.keepsake() if "recycled" in vars(self) else {}

    def recall(self, kept: Mapping[str, Array]) -> None:
        if "anchor" in kept:
            self.recycled.recall(kept, self.at(kept["anchor"]))
        if "in_coordinates" in kept:
            self.preconditioned.recall(kept)


@dataclass(frozen=True)
class SampledNeurons(FiniteNeurons):
    """Neurons of `Sampled`, with their matrix of feature values.

    Attributes:
        map: the feature map.
        omega: this rank's features, ``(M, ambient)``.
        share: how the neurons are spread over the ranks.
    """

    map: Sampled
    omega: Array
    share: Share

    @property
    def coordinates(self) -> Share:  # type: ignore[override]
        return self.map.samples

    @property
    def labels(self) -> Array:
        return self.map.labels

    def _room(self, dtype: type) -> NDArray[Any]:
        """An empty matrix ``(M, R)``. New memory is slow, so deleted neurons leave theirs here."""
        shape, spare = (len(self.omega), len(self.map.data)), self.map.spare[dtype]
        room = spare.pop() if spare and spare[-1].shape == shape else np.empty(shape, dtype)
        weakref.finalize(self, spare.append, room)
        return room

    @cached_property
    def _passes(self) -> Passes:
        phi, omega, x = self.map.feature, self.omega, self.map.data
        factor = 1 / math.sqrt(self.map.samples.n)

        def compute(rows: slice, out: Array) -> None:
            phi.values(omega[rows], x, factor, out)

        # once the solver has been used, the first pass also makes its copy in single precision
        single = self._room(np.float32) if self.map.iterates else None
        return Passes(compute, self._room(np.float64), pair_blocks(omega, x), single)

    @property
    def matrix(self) -> Array:
        return self._passes.matrix

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
        return self.share.sum(self._passes.from_left(v))

    def values(self, a: Array) -> Array:
        return self.coordinates.sum(self._passes.from_right(a))

    def gradient(self, a: Array) -> Array:
        phi, omega, x = self.map.feature, self.omega, self.map.data
        psi, gradient = self.matrix, np.empty_like(omega)
        factor = 1 / math.sqrt(self.map.samples.n)

        def fill(k: int, rows: slice) -> None:
            gradient[rows] = phi.gradient(omega[rows], x, factor, a, psi[rows])

        self._passes.visit(fill)
        return self.coordinates.sum(gradient)

    def gram(self, c: Array) -> Array:
        root = np.sqrt(c)[:, None] * self.matrix
        return self.share.sum(root.T @ root)

    def product(self, v: Array, rough: bool = False) -> Array:
        """The product K v, ``(M,)``; if ``rough``, only sums over ranks are in double precision."""
        if not rough:
            return self.values(self.moments(v))
        psi = self._passes.in_single(lambda: self._room(np.float32))
        moments = self.share.sum(self._passes.from_left(v.astype(np.float32), psi).astype(float))
        values = self._passes.from_right(moments.astype(np.float32), psi)
        return self.coordinates.sum(values.astype(float))

    def solver(self, shift: Array) -> Solver:
        exact = super().solver
        if self.in_coordinates and size() == 1 and self.coordinates.n >= COORDINATES:
            return self.map.preconditioned.solver(self, shift, lambda: exact(shift))
        if self.in_coordinates or len(self.omega) < RECYCLED:
            return exact(shift)
        solve = self.map.recycled.solver(self, shift)
        # all ranks must continue with the same bits
        return lambda b, goal=0.0: broadcast(solve(b, goal))
