"""Distances against linear programs, closed forms and invariances."""

import numpy as np
import ot
import pytest
from hypothesis import given
from hypothesis import strategies as st

from uf_diffusion.comparison.distances import (
    energy_distance,
    energy_distance_series,
    wasserstein_circle,
)
from uf_diffusion.errors import InputError
from uf_diffusion.problem.manifolds import Circle, FlatTorus, Sphere


def transport(x, y, a, b, p):
    """The linear program on the geodesic cost."""
    d = np.abs(x[:, None] - y) % (2 * np.pi)
    return ot.emd2(a, b, np.minimum(d, 2 * np.pi - d) ** p) ** (1 / p)


@pytest.mark.parametrize("p", [1, 1.5, 2, 3])
def test_circle_wasserstein_against_the_linear_program(p, rng):
    """Random cases, weighted and not, n != m, with ties, atoms of tiny mass, and any turn."""
    for k in range(150):
        n, m = rng.integers(1, 14, 2)
        x, y = rng.uniform(-9, 9, n), rng.uniform(0, 2 * np.pi, m)
        a, b = np.full(n, 1 / n), np.full(m, 1 / m)
        if k % 2:
            a, b = rng.dirichlet(np.full(n, 0.3)), rng.dirichlet(np.ones(m))
        if k % 3 == 0:
            x, y = np.round(x), np.round(y)
        expected = transport(x, y, a, b, p)
        assert wasserstein_circle(x, y, a, b, p) == pytest.approx(expected, rel=1e-10, abs=1e-10)


@pytest.mark.parametrize("p", [1, 2])
def test_circle_wasserstein_with_zero_and_tiny_weights(p, rng):
    """Atoms of no or hardly any mass, on either side, against the linear program."""
    assert wasserstein_circle([0.0], [1.0, 2.0], None, [0.0, 1.0]) == pytest.approx(2.0)
    for k in range(150):
        n, m = rng.integers(2, 40, 2)
        x, y = rng.uniform(0, 2 * np.pi, n), rng.uniform(0, 2 * np.pi, m)
        a, b = rng.dirichlet(np.full(n, 0.2)), rng.dirichlet(np.full(m, 0.2))
        if k % 2:
            a[rng.random(n) < 0.3], b[rng.random(m) < 0.3] = 0.0, 0.0
            if not (a.any() and b.any()):
                continue
            a, b = a / a.sum(), b / b.sum()
        expected = transport(x, y, a, b, p)
        assert wasserstein_circle(x, y, a, b, p) == pytest.approx(expected, rel=1e-8, abs=1e-8)


def test_circle_wasserstein_in_closed_form():
    """Two atoms; a rotation of an even grid; antipodal masses."""
    assert wasserstein_circle([0.1], [6.2]) == pytest.approx(2 * np.pi - 6.1)
    grid = 2 * np.pi * np.arange(100) / 100
    assert wasserstein_circle(grid, grid + 0.01) == pytest.approx(0.01)
    assert wasserstein_circle([0.0], [0.0, np.pi], p=1) == pytest.approx(np.pi / 2)
    assert wasserstein_circle(grid, grid) == 0


@given(seed=st.integers(0, 10**6), turn=st.floats(-10, 10))
def test_circle_wasserstein_is_a_metric_free_of_the_origin(seed, turn):
    rng = np.random.default_rng(seed)
    x, y, z = (rng.uniform(0, 6, n) for n in (5, 7, 6))
    w = wasserstein_circle(x, y)
    assert wasserstein_circle(y, x) == pytest.approx(w, abs=1e-7)
    assert wasserstein_circle(x + turn, y + turn) == pytest.approx(w, abs=1e-7)
    assert w <= wasserstein_circle(x, z) + wasserstein_circle(z, y) + 1e-9


def test_energy_distance_of_two_points():
    """2 d - 0 - 0, then the root; on the torus the wrapped distance."""
    assert energy_distance([[0.0, 0.0]], [[3.0, 4.0]]) == pytest.approx(np.sqrt(10))
    torus = FlatTorus(2, 4.0)
    x, y = np.array([[1.9, 0.0]]), np.array([[-1.9, 0.0]])
    assert energy_distance(x, y, manifold=torus) == pytest.approx(np.sqrt(0.4))


def test_energy_distance_of_a_gaussian_shift(rng):
    """One dimension: the energy distance squared is twice the L2 distance of the CDFs squared."""
    x, y = rng.standard_normal(400), 0.5 + rng.standard_normal(300)
    edges = np.sort(np.concatenate([x, y]))
    f = np.searchsorted(np.sort(x), edges[:-1], side="right") / 400
    g = np.searchsorted(np.sort(y), edges[:-1], side="right") / 300
    expected = np.sqrt(2 * ((f - g) ** 2 @ np.diff(edges)))
    assert energy_distance(x[:, None], y[:, None]) == pytest.approx(expected, rel=1e-10)


def test_energy_distance_of_a_point_to_the_uniform_circle():
    """E|x - U| = 4/pi = E|U - U'|, so the distance is sqrt(4/pi)."""
    circle = Circle()
    grid = circle.even(2000)
    assert energy_distance(grid[:1], grid) == pytest.approx(np.sqrt(4 / np.pi), abs=1e-5)


def test_energy_distance_invariances_and_weights(rng):
    X, Y = rng.standard_normal((30, 3)), rng.standard_normal((40, 3))
    a = rng.dirichlet(np.ones(30))
    q, _ = np.linalg.qr(rng.standard_normal((3, 3)))
    d = energy_distance(X, Y, a)
    assert energy_distance(X @ q + 5, Y @ q + 5, a) == pytest.approx(d, rel=1e-10)
    twice = np.concatenate([X, X])
    assert energy_distance(twice, Y, np.concatenate([a, a]) / 2) == pytest.approx(d, rel=1e-10)
    assert energy_distance(X, X, a, a) < 1e-7


def test_series_equals_single_distances(rng):
    sphere = Sphere(2)
    X = np.array([sphere.sample(20, rng) for _ in range(3)])
    Y, B = sphere.sample(50, rng), rng.dirichlet(np.ones(50), 3)
    series = energy_distance_series(X, Y, B, sphere)
    single = [energy_distance(x, Y, None, b) for x, b in zip(X, B, strict=True)]
    assert series == pytest.approx(single, rel=1e-12)


def test_refusals():
    nan, good = np.array([np.nan]), np.array([1.0])
    with pytest.raises(InputError, match="finite"):
        wasserstein_circle(nan, good)
    with pytest.raises(InputError, match="sum to 1"):
        wasserstein_circle(good, good, np.array([2.0]))
    with pytest.raises(InputError, match="shape"):
        energy_distance(good, good)
    with pytest.raises(InputError, match="coordinates"):
        energy_distance(np.ones((2, 2)), np.ones((2, 3)))
    with pytest.raises(InputError, match="at least 1"):
        wasserstein_circle(good, good, p=0.5)
