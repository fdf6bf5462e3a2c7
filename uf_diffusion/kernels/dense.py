"""Dense symmetric positive definite systems, solved by Cholesky factorisation."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve

from uf_diffusion.core.arrays import Array
from uf_diffusion.core.errors import RunFailure

__all__ = ["singular", "spd_factor", "spd_solver"]


def singular() -> RunFailure:
    """The error for a matrix whose shift is lost in the round-off of the kernel."""
    return RunFailure(
        "network.lambda is too small: the projection's matrix is singular in double precision."
    )


def spd_factor(matrix: Array, shift: Array) -> Array:
    """The lower Cholesky factor of matrix + diag(shift); the upper triangle has no meaning.

    Args:
        matrix: symmetric, ``(n, n)``.
        shift: ``(n,)``.

    Raises:
        RunFailure: if the sum is not positive definite in double precision.
    """
    shifted = matrix.copy()
    shifted[np.diag_indices_from(shifted)] += shift
    try:
        factor = cho_factor(shifted, lower=True, overwrite_a=True, check_finite=False)
    except LinAlgError:
        raise singular() from None
    return np.asarray(factor[0])


def spd_solver(matrix: Array, shift: Array) -> Callable[[Array], Array]:
    """The map from b ``(n,)`` to (matrix + diag(shift))^-1 b.

    The arguments and errors are those of `spd_factor`.
    """
    factor = spd_factor(matrix, shift)
    return lambda rhs: np.asarray(cho_solve((factor, True), rhs, check_finite=False))
