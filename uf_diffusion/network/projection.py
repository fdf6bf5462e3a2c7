"""Variable projection: the optimal outer weights of given features, exactly.

For the quadratic regularisers f(u) = (u - u0)^2 / 2, u0 = 1 (unbiased) or 0 (biased), the outer
weights solve one symmetric positive definite system, on the smaller of two sides:

    primal, M x M:   (K / M + lambda I) u = Psi.t + lambda u0
    dual,   R x R:   (Psi^T Psi / M + lambda I) a = t - u0 mean(Psi),      u = u0 + Psi a

Source: arXiv:2504.18208, section 2.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve

from uf_diffusion.errors import InputError, RunFailure
from uf_diffusion.network.feature_maps import FiniteNeurons, Neurons
from uf_diffusion.problem.divergences import Divergence
from uf_diffusion.problem.manifolds import Array

__all__ = ["Projection", "project", "quadratic_centre"]


@dataclass(frozen=True)
class Projection:
    """The exact outer layer for given features.

    Attributes:
        outer_weight: u, ``(M,)``.
        risk: the reduced risk L = misfit / (2 lambda) + mean f(u).
        velocity: u grad w at the neurons, ``(M, ambient)``: minus M times the gradient of L.
        residual: largest violation of u = f*'(w), relative to max |u|.
    """

    outer_weight: Array
    risk: float
    velocity: Array
    residual: float


def project(
    neurons: Neurons, width: int, divergence: Divergence, regularisation: float
) -> Projection:
    """Solve for the outer weights and differentiate the reduced risk.

    Args:
        neurons: the feature map at the M features.
        width: M.
        divergence: unbiased or biased.
        regularisation: lambda > 0.

    Raises:
        InputError: for a divergence that is not quadratic, or lambda <= 0.
    """
    if not regularisation > 0:
        raise InputError(f"network.lambda must be positive, not {regularisation}.")
    u0 = quadratic_centre(divergence)
    if isinstance(neurons, FiniteNeurons) and len(neurons.labels) < width:
        u, w = _dual(neurons, u0, regularisation)
    else:
        u, w = _primal(neurons, width, u0, regularisation)
    return Projection(
        outer_weight=u,
        risk=neurons.misfit(u) / (2 * regularisation) + float(divergence.f(u).mean()),
        velocity=u[:, None] * neurons.residual_gradient(u) / regularisation,
        residual=float(np.abs(u - divergence.dconjugate(w)).max() / np.abs(u).max()),
    )


def quadratic_centre(divergence: Divergence) -> float:
    """u0 of a divergence (u - u0)^2 / 2.

    Raises:
        InputError: for a divergence that is not quadratic.
    """
    curvature = divergence.d2conjugate(np.array([0.5, 1.0])) if divergence.power == 2.0 else 0.0
    if not np.all(curvature == 1.0):
        raise InputError(
            f"The projection is exact for 'unbiased' and 'biased', not for '{divergence.name}'."
        )
    return float(divergence.dconjugate(np.zeros(1))[0])


def _spd_solve(matrix: Array, rhs: Array, shift: float) -> Array:
    """(matrix + shift I)^-1 rhs by Cholesky, with one step of iterative refinement.

    Raises:
        RunFailure: where the shift is lost in the round-off of the matrix.
    """
    matrix[np.diag_indices_from(matrix)] += shift
    try:
        factor = cho_factor(matrix, lower=True)
    except LinAlgError:
        raise RunFailure(
            f"network.lambda = {shift:g} is too small: the projection's matrix is singular in "
            "double precision."
        ) from None
    x = cho_solve(factor, rhs)
    return np.asarray(x + cho_solve(factor, rhs - matrix @ x))


def _primal(neurons: Neurons, width: int, u0: float, shift: float) -> tuple[Array, Array]:
    u = _spd_solve(neurons.gram / width, neurons.target + shift * u0, shift)
    return u, (neurons.target - neurons.gram @ u / width) / shift


def _dual(neurons: FiniteNeurons, u0: float, shift: float) -> tuple[Array, Array]:
    psi, t = neurons.matrix, neurons.labels
    a = _spd_solve(psi.T @ psi / len(psi), t - u0 * psi.mean(axis=0), shift)
    u = u0 + psi @ a
    return u, psi @ (t - u @ psi / len(psi)) / shift
