"""Manifolds: volumes, projections, charts and distances against elementary geometry."""

import math

import numpy as np
import pytest

from uf_diffusion.core.errors import InputError
from uf_diffusion.problem.manifolds import Circle, FlatTorus, Sphere

ALL = [Circle(), Sphere(2), Sphere(4), FlatTorus(1, 3.0), FlatTorus(2, 4.0), FlatTorus(3, 0.5)]


def test_volumes():
    """Surface areas of unit spheres and of boxes."""
    assert Circle().volume == pytest.approx(2 * math.pi)
    assert Sphere(2).volume == pytest.approx(4 * math.pi)
    assert Sphere(3).volume == pytest.approx(2 * math.pi**2)
    assert FlatTorus(3, 2.0).volume == 8


@pytest.mark.parametrize("manifold", ALL)
def test_retraction_moves_along_the_tangent(manifold, rng):
    """R(x, h v) = x + h v + O(h^2) for tangent v, and the result is on the manifold."""
    x = manifold.sample(50, rng)
    v = manifold.tangent(x, rng.standard_normal(x.shape))
    for h, bound in ((1e-3, 2e-5), (1e-4, 2e-7)):
        y = manifold.retract(x, h * v)
        moved = manifold.distance(x, y).diagonal()
        assert np.abs(moved - h * np.linalg.norm(v, axis=1)).max() < bound
        assert manifold.distance(y, manifold.retract(y, 0 * v)).diagonal().max() < 1e-15


@pytest.mark.parametrize("manifold", ALL)
def test_distance_is_a_metric(manifold, rng):
    """Symmetry, identity, triangle inequality, and the chord is not longer than the arc."""
    x = manifold.sample(30, rng)
    d = manifold.distance(x, x)
    assert np.abs(d - d.T).max() < 1e-14
    assert np.abs(d.diagonal()).max() < 1e-14
    assert (d[:, None, :] <= d[:, :, None] + d[None, :, :] + 1e-12).all()
    assert (manifold.chord(x, x) <= d + 1e-12).all()


def test_sphere_distance_is_accurate_near_and_opposite():
    """Angles of 1e-9 and pi - 1e-9, where arccos of the product has no digit left."""
    angle = np.array([0.0, 1e-9, math.pi - 1e-9])
    x = Circle().unchart(angle)
    assert Circle().distance(x[:1], x)[0] == pytest.approx(angle, rel=1e-7)


@pytest.mark.parametrize("manifold", [m for m in ALL if m.axes])
def test_chart_inverts_and_keeps_volume(manifold, rng):
    """x -> chart -> x is the identity, and the chart's box has the manifold's volume."""
    x = manifold.sample(100, rng)
    assert np.abs(manifold.unchart(manifold.chart(x)) - x).max() < 1e-12
    assert math.prod(a.length for a in manifold.axes) == pytest.approx(manifold.volume)


@pytest.mark.parametrize("manifold", [Circle(), Sphere(2), FlatTorus(2, 4.0), FlatTorus(3, 2.0)])
def test_even_points_integrate_the_first_harmonic(manifold):
    """The mean of an eigenfunction is 0; a random sample of this size would give 0.01."""
    x = manifold.even(4096)
    assert x.shape == (4096, manifold.ambient)
    assert abs(manifold.first_harmonic(x.T).mean()) < 1e-3


@pytest.mark.parametrize("manifold", ALL)
def test_uniform_samples(manifold, rng):
    """The first harmonic of a uniform sample has mean 0 within five standard errors."""
    x = manifold.sample(20_000, rng)
    assert abs(manifold.first_harmonic(x.T).mean()) < 5 / math.sqrt(20_000)


def test_refusals():
    calls = [(Sphere, 0), (Circle, 2), (FlatTorus, 0), (FlatTorus, 1, -1.0)]
    calls += [(FlatTorus(2).even, 10), (Sphere(3).even, 10)]
    for call, *args in calls:
        with pytest.raises(InputError):
            call(*args)
