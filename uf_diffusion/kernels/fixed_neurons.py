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
from dataclasses import dataclass

import numpy as np
from scipy.linalg import solve_triangular

from uf_diffusion.core.arrays import Array
from uf_diffusion.core.errors import RunFailure
from uf_diffusion.core.mpi import Share
from uf_diffusion.kernels.feature_maps import Projectable, Solver, in_coordinates
from uf_diffusion.kernels.iterative_solver import conjugate_gradients

__all__ = ["FixedNeurons", "low_rank"]

RANK = 48  # of the first low-rank part that is tried
ITERATIONS = 200  # of conjugate gradients


@dataclass(frozen=True)
class FixedNeurons:
    """Neurons at points that do not move, with a teacher at the same points.

    Attributes:
        neurons: the feature map at the points, with a teacher of mass 0.
        teacher: the teacher's masses at these points, ``(M,)``.
        features: Phi, ``(M, R)``.
        direct: whether to solve with the neurons' own solver, which is a fast one.
    """

    neurons: Projectable
    teacher: Array
    features: Array
    direct: bool = False

    @property
    def share(self) -> Share:
        return self.neurons.share

    def potential(self, v: Array) -> Array:
        return self.neurons.potential(v - self.teacher)

    def gram(self, c: Array) -> Array:
        """The matrix Phi' diag(c) Phi, ``(R, R)``, for c >= 0 of shape ``(M,)``."""
        root = np.sqrt(c)[:, None] * self.features
        return self.share.sum(root.T @ root)

    def product(self, v: Array, rough: bool = False) -> Array:
        """The product K v, ``(M,)``, always in double precision."""
        return -self.neurons.potential(v)

    def rest(self, v: Array) -> Array:
        """The product (K - Phi Phi') v, ``(M,)``."""
        return self.product(v) - self._values(self._moments(v))

    def solver(self, shift: Array) -> Solver:
        """The map from b to (K + diag(shift))^-1 b, by conjugate gradients unless `direct`."""
        if self.direct:
            return self.neurons.solver(shift)
        rough = in_coordinates(self.gram(1 / shift), self._moments, self._values, shift)

        def solve(b: Array, goal: float = 0.0) -> Array:
            x, iterations = conjugate_gradients(self, shift, rough, b, goal, ITERATIONS)
            if iterations == ITERATIONS:
                raise RunFailure("The projection's conjugate gradients did not converge.")
            return x

        return solve

    def _moments(self, v: Array) -> Array:
        return self.share.sum(self.features.T @ v)

    def _values(self, a: Array) -> Array:
        return np.asarray(self.features @ a)


def low_rank(neurons: Projectable, weight: Array, tolerance: float) -> Array:
    """Features Phi ``(M, R)`` with W K W - W Phi Phi' W below a tolerance, W = diag(weight^(1/2)).

    Only the first half of the eigenvalues that are found is accurate: where the kernel's decay
    slowly, the others are far too small. What is left may still exceed the tolerance a few times.

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
        if 2 * kept.sum() <= rank or rank == share.n:
            return (vectors[:, kept] * np.sqrt(values[kept])) / root[:, None]
        rank *= 2


def _nystrom(neurons: Projectable, root: Array, rank: int) -> tuple[Array, Array]:
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
