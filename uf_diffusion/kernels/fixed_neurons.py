"""Neurons that do not move: the nodes of a mesh, on which a density plays the part of the neurons.

The features are the same in every step, so what depends on them alone is computed once. That is a
low-rank part of the kernel, K ~ Phi Phi', by the randomised method of Nystrom (Tropp, Yurtsever,
Udell and Cevher, SIAM J. Matrix Anal. Appl. 38, 2017). It needs products with K only, which every
feature map has. What it leaves out is a small part of lambda, so it is a good preconditioner of the
projection at every density, and conjugate gradients with exact products do the rest. The potential
K sigma of the difference sigma of teacher and student is computed from sigma itself, so that it is
accurate where both are almost equal.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_solve, solve_triangular

from uf_diffusion.core.arrays import Array
from uf_diffusion.core.errors import RunFailure
from uf_diffusion.core.mpi import Share
from uf_diffusion.kernels.dense import spd_factor
from uf_diffusion.kernels.feature_maps import Neurons, Solver

__all__ = ["FixedNeurons", "low_rank"]

RANK = 48  # of the first low-rank part that is tried
ITERATIONS = 200  # of conjugate gradients


@dataclass(frozen=True)
class FixedNeurons:
    """`Neurons` at points that do not move, with a teacher at the same points.

    Attributes:
        neurons: the feature map at the points, with a teacher of mass 0.
        teacher: the teacher's masses at these points, ``(M,)``.
        features: Phi, ``(M, R)``.
        direct: whether to solve with the neurons' own solver, which is a fast one.
    """

    neurons: Neurons
    teacher: Array
    features: Array
    direct: bool = False

    @property
    def share(self) -> Share:
        return self.neurons.share

    def potential(self, v: Array) -> Array:
        return self.neurons.potential(v - self.teacher)

    def potential_gradient(self, v: Array) -> Array:
        return self.neurons.potential_gradient(v - self.teacher)

    def misfit(self, v: Array) -> float:
        return self.neurons.misfit(v - self.teacher)

    def fixed(self) -> FixedNeurons:
        return self

    def gram(self, c: Array) -> Array:
        """The matrix Phi' diag(c) Phi, ``(R, R)``, for c >= 0 of shape ``(M,)``."""
        root = np.sqrt(c)[:, None] * self.features
        return self.share.sum(root.T @ root)

    def product(self, v: Array) -> Array:
        """The product K v, ``(M,)``."""
        return -self.neurons.potential(v)

    def rest(self, v: Array) -> Array:
        """The product (K - Phi Phi') v, ``(M,)``."""
        low = self.features @ self.share.sum(self.features.T @ v)
        return self.product(v) - low

    def solver(self, shift: Array) -> Solver:
        """The map from b to (K + diag(shift))^-1 b, by conjugate gradients unless `direct`."""
        if self.direct:
            return self.neurons.solver(shift)
        rank = self.features.shape[1]
        factor = spd_factor(self.gram(1 / shift), np.ones(rank))

        def rough(r: Array) -> Array:
            y = r / shift
            inner = cho_solve((factor, True), self.share.sum(self.features.T @ y))
            return y - (self.features @ inner) / shift

        def solve(b: Array, goal: float = 0.0) -> Array:
            return self._conjugate_gradients(b, shift, rough, max(goal, 1e-15 * self._most(b)))

        return solve

    def _most(self, values: Array) -> float:
        return self.share.max(float(np.abs(values).max(initial=0.0)))

    def _dot(self, a: Array, b: Array) -> float:
        return float(self.share.sum(np.array(a @ b)))

    def _conjugate_gradients(
        self, b: Array, shift: Array, rough: Callable[[Array], Array], goal: float
    ) -> Array:
        x = rough(b)
        r = b - self._times(x, shift)
        y = rough(r)
        p, size, last = y, self._dot(r, y), math.inf
        for _ in range(ITERATIONS):
            left = self._most(r)
            if left <= goal or size <= 0 or (not left < 0.9 * last and left <= 1e3 * goal):
                return x
            last = min(left, last)
            product = self._times(p, shift)
            step = size / self._dot(p, product)
            x, r = x + step * p, r - step * product
            y = rough(r)
            before, size = size, self._dot(r, y)
            p = y + (size / before) * p
        raise RunFailure("The projection's conjugate gradients did not converge.")

    def _times(self, v: Array, shift: Array) -> Array:
        return shift * v + self.product(v)


def low_rank(neurons: Neurons, weight: Array, tolerance: float) -> Array:
    """Features Phi ``(M, R)`` with W K W - W Phi Phi' W below a tolerance, W = diag(weight^(1/2)).

    Args:
        neurons: the feature map with a teacher of mass 0.
        weight: positive, ``(M,)``.
        tolerance: for the largest eigenvalue of that difference, > 0.
    """
    share, root, rank = neurons.share, np.sqrt(weight), RANK
    while True:
        rank = min(rank, share.n)
        vectors, values = _nystrom(neurons, root, rank)
        kept = values > tolerance
        if not kept.all() or rank == share.n:
            return (vectors[:, kept] * np.sqrt(values[kept])) / root[:, None]
        rank *= 2


def _nystrom(neurons: Neurons, root: Array, rank: int) -> tuple[Array, Array]:
    """Orthonormal eigenvectors ``(M, R)`` of a low-rank part of W K W, and its eigenvalues."""
    share = neurons.share
    rng = np.random.default_rng(share.rows.start if share.split else 0)
    test = _orthonormal(share, rng.standard_normal((len(root), rank)))
    image = np.column_stack([-root * neurons.potential(root * x) for x in test.T])
    shift = 1e-15 * math.sqrt(float(share.sum(np.array((image**2).sum()))))
    image += shift * test
    core = share.sum(test.T @ image)
    lower = np.linalg.cholesky((core + core.T) / 2 + shift * np.eye(rank))
    half = solve_triangular(lower, image.T, lower=True).T
    values, turn = np.linalg.eigh(share.sum(half.T @ half))
    values, turn = values[::-1], turn[:, ::-1]
    found = half @ (turn / np.sqrt(np.maximum(values, 1e-300)))
    return found, np.maximum(values - shift, 0.0)


def _orthonormal(share: Share, vectors: Array) -> Array:
    """An orthonormal basis of the span of vectors ``(M, R)``, by two Cholesky factorisations."""
    for _ in range(2):
        factor = np.linalg.cholesky(share.sum(vectors.T @ vectors))
        vectors = solve_triangular(factor, vectors.T, lower=True).T
    return vectors
