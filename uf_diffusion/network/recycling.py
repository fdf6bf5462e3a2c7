"""Solving with a kernel matrix that is nearly one solved with before.

From one training step to the next the features hardly move, so the inverse of an earlier step's
matrix is an excellent preconditioner: conjugate gradients need a few products with K instead of the
M^2 N operations that form it. Round-off of the preconditioner does not matter; it is kept in single
precision.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np
from scipy.linalg import cho_solve, lapack

from uf_diffusion.network.dense import spd_factor
from uf_diffusion.problem.manifolds import Array

__all__ = ["Recycled"]

TOLERANCE = 1e-10  # of the residual, relative: corrections of a start that is near
ITERATIONS = 60
WORTH = 40  # iterations that cost as much as a new factor


class KernelMatrix(Protocol):
    """Neurons as a matrix K."""

    @property
    def omega(self) -> Array: ...
    @property
    def kernel(self) -> Array: ...
    def product(self, v: Array) -> Array:
        """K v."""
        ...


class Recycled:
    """Remembers the inverse of K + diag(shift) for the features at ``anchor``."""

    def __init__(self) -> None:
        self._anchor: Array | None = None
        self._shift, self._inverse = np.empty(0), np.empty((0, 0), np.float32)
        self._iterations = 0

    def solve(self, neurons: KernelMatrix, shift: Array, b: Array) -> Array:
        """(K + diag(shift))^-1 b, to `TOLERANCE` or directly.

        Raises:
            RunFailure: where the matrix is singular in double precision.
        """
        if self._iterations <= WORTH and np.array_equal(shift, self._shift):
            x, iterations = self._conjugate_gradients(neurons, b)
            self._iterations += iterations
            if iterations < ITERATIONS:
                return x
        factor = self._renew(neurons, shift)
        return np.asarray(cho_solve((factor, True), b, check_finite=False))

    def _renew(self, neurons: KernelMatrix, shift: Array) -> Array:
        """The factor in double precision."""
        factor = spd_factor(neurons.kernel, shift)
        self._anchor, self._shift, self._iterations = neurons.omega, shift, 0
        lower = lapack.spotri(factor.astype(np.float32), lower=1)[0]
        self._inverse = np.tril(lower) + np.tril(lower, -1).T
        return factor

    def _conjugate_gradients(self, neurons: KernelMatrix, b: Array) -> tuple[Array, int]:
        x, r = np.zeros_like(b), b.copy()
        goal = TOLERANCE * float(np.linalg.norm(b))
        direction, old = np.zeros_like(b), 1.0
        for iteration in range(ITERATIONS):
            if np.linalg.norm(r) <= goal:
                return x, iteration
            z = self._preconditioned(r)
            new = float(r @ z)
            direction = z + (new / old if iteration else 0.0) * direction
            product = neurons.product(direction) + self._shift * direction
            step = new / float(direction @ product)
            x += step * direction
            r -= step * product
            old = new
        return x, ITERATIONS

    def _preconditioned(self, r: Array) -> Array:
        return np.asarray(self._inverse @ r.astype(np.float32), dtype=float)

    def keepsake(self) -> dict[str, Array]:
        """All that is remembered, small enough for a checkpoint: the inverse is found again."""
        if self._anchor is None:
            return {}
        iterations = np.array(float(self._iterations))
        return {"anchor": self._anchor, "anchor_shift": self._shift, "anchor_work": iterations}

    def recall(self, kept: Mapping[str, Array], anchor: KernelMatrix) -> None:
        """Go on from a keepsake; ``anchor`` are the neurons at its features."""
        self._renew(anchor, kept["anchor_shift"])
        self._iterations = int(kept["anchor_work"])
