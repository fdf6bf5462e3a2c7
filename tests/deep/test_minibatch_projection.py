"""The outer layer of a minibatch: optimal, the same as that of the particles, and held."""

import small_deep  # noqa: F401 (skips without JAX)

# isort: split
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from uf_diffusion.core.errors import InputError
from uf_diffusion.deep.projection import optimal_outer_layer, projected_risk, risk
from uf_diffusion.kernels.feature_maps import Atoms
from uf_diffusion.kernels.features import ReLU
from uf_diffusion.kernels.projection import project
from uf_diffusion.kernels.sampled import Sampled
from uf_diffusion.problem.divergences import BIASED, ENTROPY, UNBIASED
from uf_diffusion.problem.manifolds import Sphere

SHAPES = [(40, 7), (7, 40), (9, 9)]
QUADRATIC = [BIASED, UNBIASED]


@pytest.fixture(autouse=True)
def double():
    with jax.enable_x64(True):
        yield


def example(n, p, outputs, rng):
    return jnp.asarray(rng.standard_normal((n, p))), jnp.asarray(rng.standard_normal((n, outputs)))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("divergence", QUADRATIC, ids=lambda d: d.name)
def test_no_outer_layer_has_a_smaller_risk(shape, divergence, rng):
    """The risk is strictly convex, and JAX's gradient of it vanishes at the solution."""
    features, targets = example(*shape, 3, rng)
    best = optimal_outer_layer(features, targets, 1e-2, divergence)
    slope = jax.grad(lambda w: risk(features, targets, w, 1e-2, divergence))(best)
    start = jax.grad(lambda w: risk(features, targets, w, 1e-2, divergence))(jnp.zeros_like(best))
    assert jnp.abs(slope).max() < 1e-12 * jnp.abs(start).max()


@pytest.mark.parametrize("width", [6, 60])
@pytest.mark.parametrize("divergence", QUADRATIC, ids=lambda d: d.name)
def test_it_is_the_projection_of_the_particles(width, divergence, rng):
    """For features max(0, omega.x) and one output the network column has the same outer layer."""
    sphere, data = Sphere(2), rng.standard_normal((30, 3))
    omega, labels = sphere.sample(width, rng), rng.standard_normal(30)
    atoms = Atoms(sphere.sample(1, rng), np.ones(1))
    features = Sampled(ReLU(sphere), data, atoms, target=labels / np.sqrt(30))
    ours = project(features.at(omega), np.full(width, 1 / width), divergence, 1e-3)
    phi, targets = jax.nn.relu(jnp.asarray(data @ omega.T)), jnp.asarray(labels)[:, None]
    value, outer = projected_risk(phi, targets, 1e-3, divergence)
    np.testing.assert_allclose(outer[:, 0], ours.outer_weight, rtol=1e-9, atol=1e-9)
    assert value == pytest.approx(ours.risk, rel=1e-10)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("divergence", QUADRATIC, ids=lambda d: d.name)
def test_the_gradient_is_that_at_a_fixed_outer_layer(shape, divergence, rng):
    """The envelope theorem: differentiating the solution, too, adds nothing."""
    features, targets = example(*shape, 3, rng)
    held = jax.grad(lambda phi: projected_risk(phi, targets, 1e-2, divergence)[0])(features)

    def through(phi):
        outer = optimal_outer_layer(phi, targets, 1e-2, divergence)
        return risk(phi, targets, outer, 1e-2, divergence)

    np.testing.assert_allclose(held, jax.grad(through)(features), rtol=0, atol=1e-11 * 100)
    assert jnp.abs(held).max() > 1e-2


def test_with_momentum_the_outer_layer_is_held_and_not_optimal(rng):
    features, targets = example(20, 5, 2, rng)
    previous = jnp.ones((5, 2))
    value, outer = projected_risk(features, targets, 1e-1, BIASED, previous, 0.5)
    best = optimal_outer_layer(features, targets, 1e-1)
    np.testing.assert_allclose(outer, (best + previous) / 2, rtol=1e-14)
    assert value > risk(features, targets, best, 1e-1)
    held = jax.grad(lambda phi: projected_risk(phi, targets, 1e-1, BIASED, previous, 0.5)[0])
    fixed = jax.grad(lambda phi: risk(phi, targets, outer, 1e-1))
    np.testing.assert_allclose(held(features), fixed(features), rtol=1e-12)


def test_what_has_no_closed_form_or_does_not_fit_is_refused(rng):
    features, targets = example(20, 5, 2, rng)
    with pytest.raises(InputError, match="'entropy', whose optimum has no closed form"):
        projected_risk(features, targets, 1e-3, ENTROPY)
    with pytest.raises(InputError, match="must be positive, not 0"):
        projected_risk(features, targets, 0.0)
    with pytest.raises(InputError, match=r"shapes \(20, 5\) and \(19, 2\)"):
        projected_risk(features, targets[1:], 1e-3)
    with pytest.raises(InputError, match=r"lie in \[0, 1\), not 1"):
        projected_risk(features, targets, 1e-3, momentum=1.0)
