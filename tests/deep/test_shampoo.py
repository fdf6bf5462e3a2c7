"""Shampoo against a dense computation with scipy, and steps on spheres."""

import small_deep  # noqa: F401 (skips without JAX)

# isort: split
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy.linalg import fractional_matrix_power

from uf_diffusion.deep.shampoo import on_spheres, scale_by_shampoo, shampoo
from uf_diffusion.problem.manifolds import Sphere

EPSILON = 1e-2


@pytest.fixture(autouse=True)
def double():
    with jax.enable_x64(True):
        yield


def dense(gradients):
    """The last gradient times the Kronecker product of the powers, as one vector."""
    k = gradients[0].ndim
    power = np.eye(1)
    for axis in range(k):
        rows = [np.moveaxis(g, axis, 0).reshape(g.shape[axis], -1) for g in gradients]
        h = EPSILON * np.eye(len(rows[0])) + sum(r @ r.T for r in rows)
        power = np.kron(power, fractional_matrix_power(h, -1 / (2 * k)).real)
    return (power @ gradients[-1].ravel()).reshape(gradients[-1].shape)


@pytest.mark.parametrize("shape", [(5,), (4, 3), (2, 3, 4), (2, 3, 2, 2)])
def test_three_steps_are_those_of_the_dense_preconditioner(shape, rng):
    gradients = [rng.standard_normal(shape) for _ in range(3)]
    method = scale_by_shampoo(EPSILON)
    state = method.init({"w": jnp.zeros(shape)})
    for g in gradients:
        updates, state = method.update({"w": jnp.asarray(g)}, state)
    np.testing.assert_allclose(updates["w"], dense(gradients), rtol=1e-10, atol=1e-12)


def test_a_number_is_scaled_as_by_adagrad():
    method = scale_by_shampoo(EPSILON)
    updates, _ = method.update(jnp.asarray(3.0), method.init(jnp.asarray(0.0)))
    assert float(updates) == pytest.approx(3 / np.sqrt(EPSILON + 9))


def test_the_step_is_against_the_scaled_gradient(rng):
    gradient = jnp.asarray(rng.standard_normal((4, 3)))
    method = shampoo(0.5, EPSILON)
    updates, _ = method.update(gradient, method.init(gradient))
    np.testing.assert_allclose(updates, -0.5 * dense([np.asarray(gradient)]), rtol=1e-10)


def test_steps_on_spheres_are_those_of_the_manifold(rng):
    sphere = Sphere(3)
    at, move = sphere.sample(5, rng), rng.standard_normal((5, 4))
    updates, _ = on_spheres().update(jnp.asarray(move), optax.EmptyState(), jnp.asarray(at))
    expected = sphere.retract(at, sphere.tangent(at, move))
    np.testing.assert_allclose(at + updates, expected, rtol=1e-14, atol=1e-15)
