"""Preconditioned conjugate gradients for systems with a kernel matrix.

Conjugate gradients need a few products with K instead of the M^2 N operations that form K. The
preconditioner is the smooth part of the kernel, see `preconditioner`. If there is none, or if it
needs too many iterations, the preconditioner is the inverse for the features of an earlier step,
since features move little from one training step to the next. Round-off does not matter for a
preconditioner, so this inverse is stored in single precision. Where there are more neurons than
coordinates, the system in the coordinates is solved instead of that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import numpy as np
from scipy.linalg import cho_solve, lapack

from uf_diffusion.core.arrays import Array
from uf_diffusion.core.mpi import Share
from uf_diffusion.kernels.dense import spd_factor
from uf_diffusion.kernels.feature_maps import Solver
from uf_diffusion.kernels.preconditioner import Smooth

__all__ = ["Preconditioned", "Recycled"]

TOLERANCE = 3e-8  # relative tolerance of the residual, above the round-off of rough products
ITERATIONS = 60  # of a solution with a recycled inverse, at most
ROUGH = 3e6  # rough products suffice while the residual is at most this multiple of the goal
WORTH = 40  # number of iterations that cost as much as a new factor
SMOOTH_WORTH = 30  # number of iterations of a solution from which a recycled inverse is cheaper


Preconditioner = Callable[[Array], Array]


class Products(Protocol):
    """Neurons with products with the kernel matrix K between them."""

    @property
    def share(self) -> Share:
        """How the neurons are spread over the ranks."""
        ...

    def product(self, v: Array, rough: bool = False) -> Array:
        """The product K v, ``(M,)``; perhaps in single precision if ``rough``."""
        ...


class KernelMatrix(Products, Protocol):
    """Products with K, and K itself."""

    @property
    def omega(self) -> Array: ...
    @property
    def kernel(self) -> Array: ...


class Recycled:
    """A solver that reuses the inverse of K + diag(shift) for earlier features, the anchor.

    Args:
        smooth: the smooth part of K, if there is one; it is used until an inverse is needed.
    """

    def __init__(self, smooth: Smooth | None = None) -> None:
        self._smooth = smooth
        self._anchor: Array | None = None
        self._shift, self._inverse = np.empty(0), np.empty((0, 0), np.float32)
        self._iterations = 0

    def solver(self, neurons: KernelMatrix, shift: Array) -> Solver:
        """The map from b ``(M,)`` to (K + diag(shift))^-1 b, with ``shift`` positive ``(M,)``.

        The map raises RunFailure if the matrix is singular in double precision.
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
        """An approximation of (K + diag(shift))^-1, and the largest number of iterations."""
        if self._anchor is None:
            return smooth, SMOOTH_WORTH
        if self._iterations <= WORTH and np.array_equal(shift, self._shift):
            return self._recycled, ITERATIONS
        return None, 0

    def _recycled(self, r: Array) -> Array:
        return np.asarray(self._inverse @ r.astype(np.float32), dtype=float)

    def _renew(self, neurons: KernelMatrix, shift: Array) -> Array:
        """Take these neurons as the anchor; returns the Cholesky factor in double precision."""
        factor = spd_factor(neurons.kernel, shift)
        self._anchor, self._shift, self._iterations = neurons.omega, shift, 0
        lower = lapack.spotri(factor.astype(np.float32), lower=1)[0]
        self._inverse = np.tril(lower) + np.tril(lower, -1).T
        return factor

    def keepsake(self) -> dict[str, Array]:
        """What a checkpoint needs to restore the solver: the anchor; `recall` inverts again."""
        if self._anchor is None:
            return {}
        iterations = np.array(float(self._iterations))
        return {"anchor": self._anchor, "anchor_shift": self._shift, "anchor_work": iterations}

    def recall(self, kept: Mapping[str, Array], anchor: KernelMatrix) -> None:
        """Restore what `keepsake` returned; ``anchor`` are the neurons at the stored features."""
        self._renew(anchor, kept["anchor_shift"])
        self._iterations = int(kept["anchor_work"])


class Preconditioned:
    """A solver for more neurons than coordinates, by the smooth part of K.

    When that needs too many iterations, the system in the coordinates is solved from then on.

    Args:
        smooth: the smooth part of K; None if there is none.
    """

    def __init__(self, smooth: Smooth | None) -> None:
        self._smooth = smooth

    def solver(
        self, neurons: KernelMatrix, shift: Array, exact: Callable[[], Solver]
    ) -> Solver:  # fmt: skip
        """The map from b ``(M,)`` to (K + diag(shift))^-1 b, with ``shift`` positive ``(M,)``.

        The argument ``exact`` makes this map from the system in the coordinates.
        """
        if self._smooth is None:
            return exact()
        preconditioner, made = self._smooth.solver(neurons.omega, shift), list[Solver]()

        def solve(b: Array, goal: float = 0.0) -> Array:
            if self._smooth is not None:
                x, iterations = conjugate_gradients(
                    neurons, shift, preconditioner, b, goal, ITERATIONS
                )
                if iterations < ITERATIONS:
                    return x
                self._smooth = None
            if not made:
                made.append(exact())
            return made[0](b, goal)

        return solve

    def keepsake(self) -> dict[str, Array]:
        """What a checkpoint needs to restore the solver: whether the smooth part is given up."""
        return {} if self._smooth is not None else {"in_coordinates": np.array(1.0)}

    def recall(self, kept: Mapping[str, Array]) -> None:
        """Restore what `keepsake` returned."""
        if "in_coordinates" in kept:
            self._smooth = None


def conjugate_gradients(
    matrix: Products,
    shift: Array,
    preconditioner: Preconditioner,
    b: Array,
    goal: float,
    limit: int,
) -> tuple[Array, int]:
    """(K + diag(shift))^-1 b, and the number of iterations; ``limit`` means no convergence.

    Errors of the products matter relative to the residual only, so products are computed in double
    precision only while the residual is large.
    """
    share = matrix.share

    def most(v: Array) -> float:
        return share.max(float(np.abs(v).max(initial=0.0)))

    def dot(v: Array, w: Array) -> float:
        return float(share.sum(np.array(v @ w)))

    x, r = np.zeros_like(b), b.copy()
    goal = max(goal, TOLERANCE * most(b))
    direction, old = np.zeros_like(b), 1.0
    for iteration in range(limit):
        size = most(r)
        if size <= goal:
            return x, iteration
        z = preconditioner(r)
        new = dot(r, z)
        direction = z + (new / old if iteration else 0.0) * direction
        product = matrix.product(direction, rough=size <= ROUGH * goal) + shift * direction
        step = new / dot(direction, product)
        x += step * direction
        r -= step * product
        old = new
    return x, limit
