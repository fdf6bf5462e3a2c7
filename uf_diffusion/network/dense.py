"""Dense symmetric positive definite systems by Cholesky."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve

from uf_diffusion.errors import RunFailure
from uf_diffusion.problem.manifolds import Array

__all__ = ["singular", "spd_solver"]


def singular() -> RunFailure:
    """The sentence for a shift that is lost in the round-off of the kernel."""
    return RunFailure(
        "network.lambda is too small: the projection's matrix is singular in double precision."
    )


def spd_solver(matrix: Array, shift: Array) -> Callable[[Array], Array]:
    """The map from b to (matrix + diag(shift))^-1 b.

    Raises:
        RunFailure: where the shift is lost in the round-off of the matrix.
    """
    shifted = matrix.copy()
    shifted[np.diag_indices_from(shifted)] += shift
    try:
        factor = cho_factor(shifted, lower=True, overwrite_a=True, check_finite=False)
    except LinAlgError:
        raise singular() from None
    return lambda rhs: np.asarray(cho_solve(factor, rhs, check_finite=False))
