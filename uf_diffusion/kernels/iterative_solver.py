"""Solving with a kernel matrix that is nearly one that is easy to solve with.

Conjugate gradients need a few products with K instead of the M^2 N operations that form it. The
preconditioner is the smooth part of the kernel, see `smooth`. Where there is none, or it does not
do, it is the inverse for the features of an earlier step: from one training step to the next they
hardly move. Round-off of that inverse does not matter; it is kept in single precision.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import numpy as np
from scipy.linalg import cho_solve, lapack

from uf_diffusion.core.arrays import Array
from uf_diffusion.kernels.dense import spd_factor
from uf_diffusion.kernels.feature_maps import Solver
from uf_diffusion.kernels.preconditioner import Smooth

__all__ = ["Recycled"]

TOLERANCE = 3e-8  # of the residual, relative: beyond lies the round-off of rough products
ITERATIONS = 60
WORTH = 40  # iterations that cost as much as a new factor
SMOOTH_WORTH = 30  # iterations of one solution from which it pays to recycle an inverse


Preconditioner = Callable[[Array], Array]


class KernelMatrix(Protocol):
    """Neurons as a matrix K."""

    @property
    def omega(self) -> Array: ...
    @property
    def kernel(self) -> Array: ...
    def product(self, v: Array, rough: bool = False) -> Array:
        """K v, in single precision where it need only be ``rough``."""
        ...


class Recycled:
    """Remembers the inverse of K + diag(shift) for the features at ``anchor``, once it is needed.

    Args:
        smooth: the smooth part of K, if there is one.
    """

    def __init__(self, smooth: Smooth | None = None) -> None:
        self._smooth = smooth
        self._anchor: Array | None = None
        self._shift, self._inverse = np.empty(0), np.empty((0, 0), np.float32)
        self._iterations = 0

    def solver(self, neurons: KernelMatrix, shift: Array) -> Solver:
        """The map from b to (K + diag(shift))^-1 b.

        It raises RunFailure where the matrix is singular in double precision.
        """
        smooth = None
        if self._smooth is not None and self._anchor is None:
            smooth = self._smooth.solver(neurons.omega, shift)

        def solve(b: Array, goal: float = 0.0) -> Array:
            preconditioner, limit = self._preconditioner(smooth, shift)
            if preconditioner is not None:
                x, iterations = conjugate_gradients(neurons, shift, preconditioner, b, goal, limit)
                self._iterations += iterations
                if iterations < limit:
                    return x
            factor = self._renew(neurons, shift)
            return np.asarray(cho_solve((factor, True), b, check_finite=False))

        return solve

    def _preconditioner(
        self, smooth: Preconditioner | None, shift: Array
    ) -> tuple[Preconditioner | None, int]:
        """What is nearly (K + diag(shift))^-1, and how many iterations it is good for."""
        if self._anchor is None:
            return smooth, SMOOTH_WORTH
        if self._iterations <= WORTH and np.array_equal(shift, self._shift):
            return self._recycled, ITERATIONS
        return None, 0

    def _recycled(self, r: Array) -> Array:
        return np.asarray(self._inverse @ r.astype(np.float32), dtype=float)

    def _renew(self, neurons: KernelMatrix, shift: Array) -> Array:
        """The factor in double precision."""
        factor = spd_factor(neurons.kernel, shift)
        self._anchor, self._shift, self._iterations = neurons.omega, shift, 0
        lower = lapack.spotri(factor.astype(np.float32), lower=1)[0]
        self._inverse = np.tril(lower) + np.tril(lower, -1).T
        return factor

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


def conjugate_gradients(
    matrix: KernelMatrix,
    shift: Array,
    preconditioner: Preconditioner,
    b: Array,
    goal: float,
    limit: int,
) -> tuple[Array, int]:
    """(K + diag(shift))^-1 b, and the number of iterations, ``limit`` where they did not do.

    The errors of the products weigh as much as the residual: only the first one is exact.
    """
    x, r = np.zeros_like(b), b.copy()
    goal = max(goal, TOLERANCE * float(np.abs(b).max()))
    direction, old = np.zeros_like(b), 1.0
    for iteration in range(limit):
        if np.abs(r).max() <= goal:
            return x, iteration
        z = preconditioner(r)
        new = float(r @ z)
        direction = z + (new / old if iteration else 0.0) * direction
        product = matrix.product(direction, rough=iteration > 0) + shift * direction
        step = new / float(direction @ product)
        x += step * direction
        r -= step * product
        old = new
    return x, limit
