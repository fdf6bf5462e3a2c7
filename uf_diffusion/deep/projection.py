"""The optimal outer layer of a minibatch, and the risk that is left when it is projected out.

A network has the outputs Phi W / p, where Phi ``(n, p)`` are the features of n inputs and W
``(p, outputs)`` is the outer layer. For targets Y ``(n, outputs)`` its risk is the mean over the
outputs of

    mean over inputs of (Y - Phi W / p)^2 / (2 lambda) + mean over features of f(W),

which for a single output is the reduced risk of the particles, all of mass 1/p, in
`uf_diffusion.kernels.projection`. Here f is quadratic, f(u) = (u - c)^2 / 2 with c = 0 (biased) or
c = 1 (unbiased), so that the optimum is the solution of a linear system of p or n unknowns.
Source: arXiv:2504.18208, sections 2 and 6.2. Everything is dimensionless.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import cho_factor, cho_solve

from uf_diffusion.core.errors import InputError
from uf_diffusion.problem.divergences import BIASED, Divergence, quadratic

__all__ = ["optimal_outer_layer", "outputs", "projected_risk", "risk"]


def outputs(features: jax.Array, outer: jax.Array) -> jax.Array:
    """The outputs Phi W / p of a network, ``(n, outputs)``.

    Args:
        features: Phi, ``(n, p)``.
        outer: the outer layer W, ``(p, outputs)``.
    """
    return features @ outer / features.shape[1]


def risk(
    features: jax.Array,
    targets: jax.Array,
    outer: jax.Array,
    regularisation: float,
    divergence: Divergence = BIASED,
) -> jax.Array:
    """The risk of features and an outer layer, a scalar.

    Args:
        features: Phi, ``(n, p)``.
        targets: Y, real or one-hot, ``(n, outputs)``.
        outer: the outer layer W, ``(p, outputs)``.
        regularisation: lambda > 0.
        divergence: f.
    """
    misfit = jnp.mean((targets - outputs(features, outer)) ** 2)
    return misfit / (2 * regularisation) + jnp.mean(divergence.f(outer))


def optimal_outer_layer(
    features: jax.Array, targets: jax.Array, regularisation: float,
    divergence: Divergence = BIASED,
) -> jax.Array:  # fmt: skip
    """The outer layer W ``(p, outputs)`` with the least `risk`, whose arguments these are.

    With D = W - c and Y_c = Y - Phi c / p, it is D = (Phi^T Phi / p + lambda n)^-1 Phi^T Y_c,
    or D = Phi^T (Phi Phi^T / p + lambda n)^-1 Y_c where that matrix is smaller.

    Raises:
        InputError: for lambda <= 0, a divergence that is not quadratic, or arrays that do not fit.
    """
    _require(features, targets, regularisation, divergence)
    n, p = features.shape
    rest = float(divergence.dconjugate(np.zeros(1))[0])  # c, the outer weight without data
    missing = targets - rest * features.mean(axis=1, keepdims=True)
    if p <= n:
        return rest + _solved(features.T @ features / p, regularisation * n, features.T @ missing)
    return rest + features.T @ _solved(features @ features.T / p, regularisation * n, missing)


def projected_risk(
    features: jax.Array,
    targets: jax.Array,
    regularisation: float,
    divergence: Divergence = BIASED,
    previous: jax.Array | None = None,
    momentum: float = 0.0,
) -> tuple[jax.Array, jax.Array]:
    """The risk at the optimal outer layer, and this outer layer ``(p, outputs)``.

    Differentiate it with ``jax.value_and_grad(..., has_aux=True)``: the gradient goes through the
    features only, while the outer layer is held. Without momentum this is the gradient of the
    reduced risk, as the derivative of the risk with respect to an optimal outer layer is zero.

    Args:
        features, targets, regularisation, divergence: as in `risk`.
        previous: the outer layer of the step before, ``(p, outputs)``; None if there is none.
        momentum: m in [0, 1): the outer layer is (1 - m) times the optimum plus m times
            ``previous``. In the paper it is 1/2 for minibatches.

    Raises:
        InputError: as `optimal_outer_layer`, or for a momentum outside [0, 1).
    """
    if not 0 <= momentum < 1:
        raise InputError(f"The momentum of the outer layer must lie in [0, 1), not {momentum}.")
    held = jax.lax.stop_gradient(features)
    outer = optimal_outer_layer(held, targets, regularisation, divergence)
    if previous is not None:
        outer = (1 - momentum) * outer + momentum * jax.lax.stop_gradient(previous)
    return risk(features, targets, outer, regularisation, divergence), outer


def _solved(gram: jax.Array, shift: float, right: jax.Array) -> jax.Array:
    """The solution ``(k, outputs)`` of (gram + shift) x = right, for a matrix ``(k, k)``."""
    return cho_solve(cho_factor(gram + shift * jnp.eye(len(gram), dtype=gram.dtype)), right)


def _require(
    features: jax.Array, targets: jax.Array, regularisation: float, divergence: Divergence
) -> None:
    if not regularisation > 0:
        raise InputError(f"The regularisation must be positive, not {regularisation}.")
    if not quadratic(divergence):
        raise InputError(
            f"Minibatches are projected for the divergences BIASED and UNBIASED, not for "
            f"'{divergence.name}', whose optimum has no closed form."
        )
    if features.ndim != 2 or targets.ndim != 2 or len(features) != len(targets):
        raise InputError(
            "Features (n, p) and targets (n, outputs) are needed for the same inputs, not arrays "
            f"of the shapes {features.shape} and {targets.shape}."
        )
