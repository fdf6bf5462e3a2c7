"""Distances to measures that are symmetric about an axis, against quadrature, rotated copies and
the distances between points.
"""

import math
from itertools import pairwise

import numpy as np
import ot
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad

from uf_diffusion.core.errors import InputError
from uf_diffusion.distances.energy_distances import energy_distance, mean_distance
from uf_diffusion.distances.measures import Measure
from uf_diffusion.distances.optimal_transport import wasserstein
from uf_diffusion.distances.symmetric import (
    angle_wasserstein,
    angles_to_axis,
    mean_ring_distances,
    ring_energy_distances,
    symmetric_energy_distances,
)
from uf_diffusion.problem.manifolds import Sphere

DIMENSIONS = [1, 2, 3, 4, 9, 29, 100]
angle = st.floats(0, math.pi)


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def masses_on(angles, dim, kappa):
    """The masses of the density proportional to exp(kappa cos) on rings, lumped."""
    with np.errstate(divide="ignore"):
        log = (dim - 1) * np.log(np.sin(angles)) if dim > 1 else np.zeros_like(angles)
    mass = np.exp(log + kappa * np.cos(angles) - abs(kappa)) * np.gradient(angles)
    return mass / mass.sum()


def ring(points, angle, axis):
    """Points at an angle, with directions those of the given points orthogonal to the axis."""
    across = unit(points - np.outer(points @ axis, axis))
    return np.cos(angle) * axis + np.sin(angle) * across


def rotated(cloud, rng):
    """A cloud turned about the first coordinate's axis by a random orthogonal matrix."""
    Q, R = np.linalg.qr(rng.standard_normal((cloud.shape[1] - 1,) * 2))
    return np.column_stack([cloud[:, 0], cloud[:, 1:] @ (Q * np.sign(np.diag(R))).T])


# --- the mean distance of rings -------------------------------------------------------------------


def by_quadrature(a, b, dim):
    """The mean of |x - y| over the angle phi between the components orthogonal to the axis."""
    if dim == 1:
        return abs(2 * math.sin((a - b) / 2)) / 2 + 2 * math.sin((a + b) / 2) / 2
    D, S = abs(math.sin((a - b) / 2)), math.sin((a + b) / 2)
    ends = [0, *(e for e in 4.0 ** np.arange(-12, 1)), math.pi / 2, math.pi]

    def integral(f):
        return sum(quad(lambda p: f(p) * math.sin(p) ** (dim - 2), *piece, epsabs=0, epsrel=5e-14,
                        limit=200)[0] for piece in pairwise(ends))  # fmt: skip

    with np.errstate(all="ignore"):
        chords = integral(lambda p: 2 * math.hypot(D * math.cos(p / 2), S * math.sin(p / 2)))
        return chords / integral(lambda p: 1.0)


@pytest.mark.parametrize("dim", DIMENSIONS)
def test_the_mean_distance_is_that_of_quadrature(dim, rng):
    """A relative error below 1e-12, also of rings that nearly or wholly coincide and at a pole."""
    x = np.concatenate([[0, 1e-9, 1e-4, 0.5, math.pi / 2], rng.uniform(0, math.pi, 5)])
    y = np.concatenate([x, x[3:] + 1e-7, x[4:] - 1e-3, [3.0]])
    y = y[y <= math.pi]
    found = mean_ring_distances(x, y, dim)
    for i, a in enumerate(x):
        for j, b in enumerate(y):
            assert found[i, j] == pytest.approx(by_quadrature(a, b, dim), rel=1e-12, abs=1e-290)


def test_the_mean_distance_is_that_of_random_points(rng):
    """In the ambient space, without a formula: within 5 standard errors."""
    for dim in (1, 2, 3, 9):
        axis = np.eye(dim + 1)[0]
        many = ring(rng.standard_normal((200_000, dim + 1)), 2.0, axis)
        chords = np.linalg.norm(many - ring(np.ones((1, dim + 1)), 0.7, axis), axis=1)
        expected = mean_ring_distances([0.7], [2.0], dim)[0, 0]
        assert abs(chords.mean() - expected) < 5 * chords.std() / math.sqrt(len(many))


def test_on_the_three_dimensional_sphere_the_mean_distance_is_elementary():
    """For d = 3, xi is uniform, and the root has the mean ((p + q)^1.5 - (p - q)^1.5) / (3 q)."""
    a, b = 0.4, 1.9
    p, q = 2 - 2 * math.cos(a) * math.cos(b), 2 * math.sin(a) * math.sin(b)
    expected = ((p + q) ** 1.5 - (p - q) ** 1.5) / (3 * q)
    assert mean_ring_distances([a], [b], 3)[0, 0] == pytest.approx(expected, rel=1e-13)


@settings(max_examples=200)
@given(angle, angle, st.integers(1, 1000))
def test_the_mean_distance_is_symmetric_and_between_the_extreme_chords(a, b, dim):
    there, back = (mean_ring_distances([x], [y], dim)[0, 0] for x, y in ((a, b), (b, a)))
    mirrored = mean_ring_distances([math.pi - a], [math.pi - b], dim)[0, 0]
    assert there == pytest.approx(back, rel=1e-14, abs=1e-290)
    assert there == pytest.approx(mirrored, rel=1e-11, abs=1e-14)
    least, most = 2 * abs(math.sin((a - b) / 2)), 2 * math.sin((a + b) / 2)
    assert least - 1e-14 <= there <= most * (1 + 1e-13) + 1e-14
    root = math.sqrt(2 - 2 * math.cos(a) * math.cos(b))  # the root of the mean square
    assert there <= root * (1 + 1e-12) + 1e-7


@pytest.mark.parametrize("dim", [1, 2, 9, 100, 1000])
def test_a_pole_is_a_point(dim):
    """Its distance to a ring is the chord, the poles are 2 apart, and each is 0 from itself."""
    x = np.linspace(0, math.pi, 7)
    found = mean_ring_distances(x, [0.0, math.pi], dim)
    assert found == pytest.approx(np.stack([2 * np.sin(x / 2), 2 * np.cos(x / 2)], axis=1), abs=2e-16, rel=1e-13)  # fmt: skip


def test_large_dimensions_have_no_bounds():
    """The mean distance tends to that of orthogonal directions, the root of p; d = 200 is finite."""
    for dim in (29, 30, 199, 200, 1000, 100_000):
        found = mean_ring_distances([0.7, 1.5], [0.7], dim)[:, 0]
        limit = np.sqrt(2 - 2 * np.cos(0.7) * np.cos([0.7, 1.5]))
        assert (found < limit).all()
        assert found == pytest.approx(limit, rel=1 / dim)


@pytest.mark.parametrize("dim", [1, 2, 9])
def test_angles_are_accurate_at_both_poles(dim):
    axis = unit(np.arange(1.0, dim + 2))
    exact = np.array([0, 1e-12, 1e-6, 1.0, math.pi - 1e-6, math.pi])
    points = np.concatenate([ring(np.ones((1, dim + 1)) * [1] + np.eye(dim + 1)[:1], t, axis) for t in exact])  # fmt: skip
    assert angles_to_axis(points, axis) == pytest.approx(exact, abs=3e-16 * 10)
    assert angles_to_axis(points * (1 + 1e-8), axis) == pytest.approx(exact, abs=1e-14)


# --- energy distance ------------------------------------------------------------------------------


def test_on_the_circle_rings_are_two_points(rng):
    """The same number as with these points as atoms, and other axes than the first coordinate."""
    turn = 0.8
    axis = np.array([math.cos(turn), math.sin(turn)])
    angles = np.concatenate([[0, math.pi], rng.uniform(0, math.pi, 18)])
    masses = rng.dirichlet(np.ones(20), 3)
    clouds, a = unit(rng.standard_normal((3, 50, 2))), rng.dirichlet(np.ones(50))
    found = ring_energy_distances(clouds, a, axis, angles, masses)
    both = turn + np.concatenate([angles, -angles])
    atoms = np.stack([np.cos(both), np.sin(both)], axis=1)
    for cloud, mass, value in zip(clouds, masses, found, strict=True):
        expected = energy_distance(cloud, atoms, a, np.concatenate([mass, mass]) / 2)
        assert value == pytest.approx(expected, rel=1e-12)


def test_on_the_sphere_rings_are_many_points(rng):
    """Rings of 400 points: |x - y| has kinks, so their energy is off by about 1 / 400^2."""
    angles, masses = np.array([0.3, 1.2, 2.8]), np.array([0.2, 0.5, 0.3])
    cloud, a = unit(rng.standard_normal((40, 3))), rng.dirichlet(np.ones(40))
    phi = 2 * math.pi * np.arange(400) / 400
    atoms = np.concatenate([np.stack([np.full(400, np.cos(t)), np.sin(t) * np.cos(phi), np.sin(t) * np.sin(phi)], axis=1) for t in angles])  # fmt: skip
    expected = energy_distance(cloud, atoms, a, np.repeat(masses / 400, 400))
    found = ring_energy_distances(cloud[None], a, np.eye(3)[0], angles, masses[None])
    assert found == pytest.approx(expected, abs=2e-5)


@pytest.mark.parametrize("dim", [1, 2, 4, 9])
def test_the_energy_distance_is_that_of_rotated_copies(dim, rng):
    """10^5 random copies of a second cloud, turned about the axis, instead of its rings.

    The distance agrees to 1e-3, within 5 standard errors of the mean. A direction and its opposite
    are both used, which lowers that error.
    """
    e = np.eye(dim + 1)[0]
    cloud = unit(rng.standard_normal((10, dim + 1)) + 0.5 * e)
    angles = angles_to_axis(unit(rng.standard_normal((6, dim + 1)) - 0.3 * e), e)
    mass, terms = rng.dirichlet(np.ones(6)), 0.0
    U, V = rng.standard_normal((2, 50_000, dim + 1))
    for turn in (U, -U):
        copies = [ring(turn, t, e) for t in angles]
        others = [ring(V, t, e) for t in angles]
        for m, Y in zip(mass, copies, strict=True):
            terms += m * np.mean([np.linalg.norm(Y - x, axis=1) for x in cloud], axis=0)
            for other, Z in zip(mass, others, strict=True):
                terms -= m * other * np.linalg.norm(Y - Z, axis=1) / 2
    squared = terms.mean() - mean_distance(cloud, np.full(10, 1 / 10))
    (found,) = ring_energy_distances(cloud[None], None, e, angles, mass[None])
    error = terms.std() / math.sqrt(len(terms)) / (2 * found)
    assert error < 5e-4
    assert abs(found - math.sqrt(squared)) < min(5 * error + 1e-12, 1e-3)
    if dim == 9:  # turning the cloud itself about the axis changes nothing
        turned = ring_energy_distances(rotated(cloud, rng)[None], None, e, angles, mass[None])
        assert turned == pytest.approx(found, rel=1e-12)


@pytest.mark.parametrize("dim", [1, 2, 9, 29])
def test_random_points_approach_their_density_like_the_root_of_their_number(dim, rng):
    """The mean square distance is (E|Y - Y'|) / n exactly, for independent points."""
    angles = np.linspace(0, math.pi, 1501)
    mass = masses_on(angles, dim, 6.0)
    e, sizes, squares = np.eye(dim + 1)[0], np.array([30, 120, 480]), []
    for n in sizes:
        drawn = rng.choice(angles, (40, n), p=mass)
        clouds = [ring(rng.standard_normal((n, dim + 1)), each[:, None], e) for each in drawn]
        found = ring_energy_distances(np.array(clouds), None, e, angles, np.tile(mass, (40, 1)))
        squares.append(np.mean(found**2))
    expected = mass @ mean_ring_distances(angles, angles, dim) @ mass / sizes
    assert np.array(squares) == pytest.approx(expected, rel=0.25)
    slope = np.polyfit(np.log(sizes), np.log(squares) / 2, 1)[0]
    assert -0.6 < slope < -0.4


@settings(max_examples=40)
@given(st.integers(1, 60), st.integers(0, 2**32 - 1))
def test_symmetric_measures_have_a_metric(dim, seed):
    """Zero for equal measures, symmetric, the triangle inequality; rings may be in any order."""
    rng = np.random.default_rng(seed)
    angles = [np.concatenate([[0.0], rng.uniform(0, math.pi, n)]) for n in (5, 8, 3)]
    masses = [rng.dirichlet(np.ones(len(x)), 2) for x in angles]

    def between(i, j):
        return symmetric_energy_distances(angles[i], masses[i], angles[j], masses[j], dim)

    assert (between(0, 0) == 0).all()
    assert between(0, 1) == pytest.approx(between(1, 0), rel=1e-6)
    assert (between(0, 2) <= between(0, 1) + between(1, 2) + 1e-12).all()
    order = rng.permutation(6)
    shuffled = symmetric_energy_distances(angles[0], masses[0], angles[0][order], masses[0][:, order], dim)  # fmt: skip
    assert (shuffled < 1e-7).all()


@pytest.mark.parametrize("dim", [1, 2, 3, 9])
def test_a_cloud_with_mean_distances_is_the_symmetric_measure(dim, rng):
    """A cloud at the two poles is symmetric, so both functions agree."""
    e = unit(rng.standard_normal(dim + 1))
    cloud, a = np.stack([e, -e]), np.array([0.3, 0.7])
    angles, mass = rng.uniform(0, math.pi, 9), rng.dirichlet(np.ones(9))
    one = ring_energy_distances(cloud[None], a, e, angles, mass[None])
    two = symmetric_energy_distances([0.0, math.pi], a[None], angles, mass[None], dim)
    assert one == pytest.approx(two, rel=1e-10)
    itself = ring_energy_distances(cloud[None], a, e, np.array([0.0, math.pi]), a[None])
    assert (itself < 1e-7).all()


def test_many_snapshots_are_one_at_a_time(rng):
    """Rows of masses that are equal are treated once and keep their order."""
    clouds = unit(rng.standard_normal((4, 300, 5)))
    angles, mass = np.linspace(0, math.pi, 33), rng.dirichlet(np.ones(33), 2)
    masses = mass[[1, 0, 1, 0]]
    e = np.eye(5)[2]
    together = ring_energy_distances(clouds, None, e, angles, masses)
    alone = [ring_energy_distances(c[None], None, e, angles, m[None])[0] for c, m in zip(clouds, masses, strict=True)]  # fmt: skip
    assert together == pytest.approx(np.array(alone), rel=1e-12)


# --- Wasserstein distance -------------------------------------------------------------------------


@pytest.mark.parametrize("p", [1, 2, 3])
def test_angle_wasserstein_is_the_linear_program(p, rng):
    for k in range(60):
        n, m = rng.integers(1, 14, 2)
        x, y = rng.uniform(0, math.pi, n), rng.uniform(0, math.pi, m)
        a, b = np.full(n, 1 / n), np.full(m, 1 / m)
        if k % 2:
            a, b = rng.dirichlet(np.full(n, 0.3)), rng.dirichlet(np.ones(m))
        if k % 3 == 0:
            x, y = np.round(x), np.round(y)
        expected = ot.emd2(a, b, np.abs(x[:, None] - y) ** p) ** (1 / p)
        assert angle_wasserstein(x, a, y, b, p) == pytest.approx(expected, rel=1e-8, abs=1e-8)


def test_angle_wasserstein_of_equal_laws_is_zero(rng):
    """Also in another order, with an atom split in two, and with atoms of no mass."""
    x, a = rng.uniform(0, math.pi, 30), rng.dirichlet(np.ones(30))
    order = rng.permutation(30)
    assert angle_wasserstein(x, a, x[order], a[order]) == 0
    split = np.append(a, a[0] / 2)
    split[0] /= 2
    assert angle_wasserstein(x, a, np.append(x, x[0]), split) < 1e-8
    assert angle_wasserstein([1.0], None, [1.0, 3.0], [1.0, 0.0]) == 0
    assert angle_wasserstein([0.0], None, [math.pi], None, 1) == pytest.approx(math.pi)


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("dim", [2, 3])
def test_angle_wasserstein_bounds_that_of_clouds_from_below(p, dim, rng):
    """With equality for points on one meridian."""
    e = np.eye(dim + 1)[0]
    X, Y = (unit(rng.standard_normal((25, dim + 1)) + shift * e) for shift in (0.5, -0.5))
    whole = wasserstein(*(Measure.of_particles(Sphere(dim), z) for z in (X, Y)), p)
    x, y = angles_to_axis(X, e), angles_to_axis(Y, e)
    bound = angle_wasserstein(x, None, y, None, p)
    assert 0.3 * whole.upper < bound <= whole.upper * (1 + 1e-9)
    across = np.ones((1, dim + 1))
    meridian = [np.concatenate([ring(across, t, e) for t in z]) for z in (x, y)]
    same = wasserstein(*(Measure.of_particles(Sphere(dim), z) for z in meridian), p)
    assert bound == pytest.approx(same.upper, rel=1e-7)


def test_angle_wasserstein_of_symmetric_measures_on_the_sphere():
    """Rings of 24 points each, turned alike: the plan along meridians is optimal."""
    phi = 2 * math.pi * np.arange(24) / 24
    angles = [np.array([0.4, 1.0, 2.0]), np.array([0.7, 1.6, 2.9])]
    a, b = np.array([0.25, 0.5, 0.25]), np.array([0.5, 0.25, 0.25])
    clouds = [
        np.concatenate([np.stack([np.full(24, np.cos(t)), np.sin(t) * np.cos(phi), np.sin(t) * np.sin(phi)], axis=1) for t in row])
        for row in angles
    ]  # fmt: skip
    whole = wasserstein(
        *(Measure.of_particles(Sphere(2), x, np.repeat(w / 24, 24))
          for x, w in zip(clouds, (a, b), strict=True)), 2
    )  # fmt: skip
    assert angle_wasserstein(angles[0], a, angles[1], b) == pytest.approx(whole.upper, rel=1e-7)


# --- bad input ------------------------------------------------------------------------------------

GOOD = {
    "points": np.array([[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]]),
    "weights": np.array([0.5, 0.5]),
    "axis": np.array([0.0, 0.0, 1.0]),
    "angles": np.array([0.0, 1.0, 2.0]),
    "masses": np.array([[0.2, 0.3, 0.5]]),
}
BAD = [
    ("points", np.zeros((2, 3)), r"Clouds must have shape \(k, n, ambient\)"),
    ("points", np.ones((1, 2, 1)), r"Clouds must have shape \(k, n, ambient\)"),
    ("points", np.full((1, 2, 3), np.nan), "Clouds must be finite"),
    ("points", np.ones((1, 2, 3)), "A point is off the sphere"),
    ("points", np.full((1, 2, 4), 0.5), "A point has 4 coordinates here, not 3"),
    ("weights", [1.0], r"Weights must have shape \(2,\), not \(1,\)"),
    ("weights", [0.5, 0.6], "Weights must sum to 1"),
    ("axis", [0.0, 0.0, 2.0], "The axis must be a unit vector, not one of length 2"),
    ("axis", "north", "The axis must be real numbers"),
    ("angles", [0.0, 1.0], r"Masses must have shape \(1, 2\), not \(1, 3\)"),
    ("angles", [[0.0, 1.0, 2.0]], r"Angles must have shape \(n,\)"),
    ("angles", [0.0, 1.0, 3.2], "Angles to an axis must lie from 0 to pi, not be 3.2"),
    ("angles", [0.0, -1.0, 3.1], "Angles to an axis must lie from 0 to pi, not be -1"),
    ("masses", [0.2, 0.3, 0.5], r"Masses must have shape \(1, 3\), not \(3,\)"),
    ("masses", [[0.2, 0.3, 0.5]] * 2, r"Masses must have shape \(1, 3\), not \(2, 3\)"),
    ("masses", [[0.2, 0.3, 0.6]], "Masses must sum to 1 in each row, not to 1.1"),
    ("masses", [[-0.2, 0.7, 0.5]], "Masses must not be negative"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value", "sentence"), BAD)
def test_wrong_arguments_are_one_sentence(name, value, sentence):
    ring_energy_distances(**GOOD)
    with pytest.raises(InputError, match=sentence):
        ring_energy_distances(**{**GOOD, name: value})


def test_wrong_arguments_of_symmetric_measures_are_one_sentence():
    angles, masses = GOOD["angles"], GOOD["masses"]
    with pytest.raises(InputError, match="The dimension must be a whole number of at least 1"):
        symmetric_energy_distances(angles, masses, angles, masses, 0)
    with pytest.raises(InputError, match=r"Masses must have shape \(1, 3\), not \(2, 3\)"):
        symmetric_energy_distances(angles, masses, angles, [[0.2, 0.3, 0.5]] * 2, 2)
    with pytest.raises(InputError, match=r"Masses must have shape \(k, 3\), not \(3,\)"):
        symmetric_energy_distances(angles, masses[0], angles, masses, 2)
    with pytest.raises(InputError, match="The dimension must be a whole number"):
        mean_ring_distances(angles, angles, 1.5)
    with pytest.raises(InputError, match="p must be at least 1"):
        angle_wasserstein(angles, None, angles, None, 0.5)
    with pytest.raises(InputError, match=r"Weights must have shape \(3,\)"):
        angle_wasserstein(angles, [1.0], angles, None)
    with pytest.raises(InputError, match="Angles must be finite"):
        angle_wasserstein([np.inf], None, angles, None)
