"""Shampoo as a transformation of Optax, in the plain form of its authors, and steps on spheres.

Source: Gupta, Koren, Singer, Shampoo: preconditioned stochastic tensor optimization, ICML 2018,
arXiv:1802.09568, algorithm 2.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

__all__ = ["ShampooState", "on_spheres", "scale_by_shampoo", "shampoo"]


class ShampooState(NamedTuple):
    """The sums of Shampoo.

    Attributes:
        sums: for each array of the parameters a tuple with a matrix ``(n_i, n_i)`` for each of its
            axes, epsilon plus the sum of the products of the gradients over the other axes.
    """

    sums: Any


def scale_by_shampoo(epsilon: float = 1e-4) -> optax.GradientTransformation:
    """Multiply a gradient with k axes, along each axis i, by H_i^(-1/(2k)).

    The matrix H_i is epsilon times the identity plus the sum over all steps so far of G_i G_i^T,
    where G_i is the gradient as a matrix whose rows are the axis i. Numbers are scaled as vectors
    of length 1.

    Args:
        epsilon: > 0, as in the paper.
    """

    def init(params: optax.Params) -> ShampooState:
        def start(p: jax.Array) -> tuple[jax.Array, ...]:
            return tuple(epsilon * jnp.eye(n, dtype=p.dtype) for n in p.shape or (1,))

        return ShampooState(jax.tree.map(start, params))

    def update(
        updates: optax.Updates, state: ShampooState, params: optax.Params | None = None
    ) -> tuple[optax.Updates, ShampooState]:
        del params
        gradients, structure = jax.tree.flatten(updates)
        before = structure.flatten_up_to(state.sums)
        sums = [_summed(g, h) for g, h in zip(gradients, before, strict=True)]
        scaled = [_scaled(g, h) for g, h in zip(gradients, sums, strict=True)]
        return structure.unflatten(scaled), ShampooState(structure.unflatten(sums))

    return optax.GradientTransformation(init, update)


def shampoo(
    learning_rate: optax.ScalarOrSchedule, epsilon: float = 1e-4
) -> optax.GradientTransformation:
    """Shampoo with a learning rate; the arguments are those of `scale_by_shampoo` otherwise."""
    return optax.chain(
        scale_by_shampoo(epsilon), optax.scale_by_learning_rate(learning_rate)
    )  # fmt: skip


def on_spheres() -> optax.GradientTransformation:
    """Turn updates into steps on the unit sphere that each row of the parameters stays on.

    As in the particles' training: the tangent part of the update is added, and the sum is
    normalised. It comes last in a chain, and needs the parameters.
    """

    def update(
        updates: optax.Updates, state: optax.EmptyState, params: optax.Params | None = None
    ) -> tuple[optax.Updates, optax.EmptyState]:
        def step(move: jax.Array, at: jax.Array) -> jax.Array:
            tangent = move - jnp.sum(move * at, axis=-1, keepdims=True) * at
            to = at + tangent
            return to / jnp.linalg.norm(to, axis=-1, keepdims=True) - at

        return jax.tree.map(step, updates, params), state

    return optax.GradientTransformation(lambda params: optax.EmptyState(), update)


def _summed(gradient: jax.Array, sums: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
    """The sums after a gradient of any shape."""
    g = jnp.atleast_1d(gradient)
    rows = (jnp.moveaxis(g, axis, 0).reshape(g.shape[axis], -1) for axis in range(g.ndim))
    return tuple(h + r @ r.T for h, r in zip(sums, rows, strict=True))


def _scaled(gradient: jax.Array, sums: tuple[jax.Array, ...]) -> jax.Array:
    """The gradient times the power -1/(2k) of the sum along each of its k axes."""
    g = jnp.atleast_1d(gradient)
    for axis, h in enumerate(sums):
        g = jnp.moveaxis(jnp.tensordot(_power(h, -0.5 / len(sums)), g, (1, axis)), 0, axis)
    return g.reshape(gradient.shape)


def _power(matrix: jax.Array, exponent: float) -> jax.Array:
    """A power of a symmetric positive matrix ``(n, n)``."""
    values, vectors = jnp.linalg.eigh(matrix)
    tiny = jnp.finfo(matrix.dtype).eps * values[-1]  # below it is round-off
    return (vectors * jnp.maximum(values, tiny) ** exponent) @ vectors.T
