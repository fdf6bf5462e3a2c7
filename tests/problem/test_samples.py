"""Densities of points that are smoothed by a kernel: values, integrals, widths and draws."""

import math

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import kstest, vonmises_fisher

import uf_diffusion as uf
from uf_diffusion.core.errors import InputError
from uf_diffusion.network.placement import place
from uf_diffusion.problem.manifolds import Circle, FlatTorus, Sphere

CIRCLE, SPHERE = Circle(), Sphere(2)


def lattice_integral(rho, side):
    """The integral over a flat torus or the circle, by a lattice whose error decays exponentially."""
    return rho(rho.manifold.even(side**rho.manifold.dim)).mean() * rho.manifold.volume


def sphere_integral(f, heights=400, longitudes=400):
    """The integral over S^2 by Gauss's rule in the height and equal longitudes."""
    z, weight = np.polynomial.legendre.leggauss(heights)
    longitude = 2 * np.pi * np.arange(longitudes) / longitudes
    chart = np.column_stack([np.tile(longitude, heights), np.repeat(z, longitudes)])
    return np.repeat(weight, longitudes) @ f(SPHERE.unchart(chart)) * 2 * np.pi / longitudes


def images(difference, period, width):
    """A Gaussian summed over 41 periods."""
    shifted = np.asarray(difference)[..., None] + period * np.arange(-20, 21)
    values = np.exp(-0.5 * (shifted / width) ** 2) / (math.sqrt(2 * np.pi) * width)
    return values.sum(axis=-1)


@pytest.mark.parametrize("width", [0.02, 0.1, 0.5, 1.5, 30.0])
def test_the_integral_on_circle_and_sphere_is_one(width, rng):
    weights = rng.random(5) + 0.1
    rho = uf.Samples(CIRCLE, points=CIRCLE.sample(5, rng), weights=weights, width=width)
    assert lattice_integral(rho, 4096) == pytest.approx(1, abs=1e-12)
    rho = uf.Samples(SPHERE, points=SPHERE.sample(5, rng), weights=weights, width=width)
    assert sphere_integral(rho) == pytest.approx(1, abs=1e-10)


@pytest.mark.parametrize("dim", [9, 40, 100])
def test_the_integral_about_an_axis_is_one(dim):
    """Of kernels at both ends of an axis, ring by ring; the volume of rings by logarithms."""
    rho = uf.Samples(Sphere(dim), points=np.eye(2, dim + 1)[:1], width=0.4)
    both = uf.Samples(Sphere(dim), points=[*np.eye(1, dim + 1), *-np.eye(1, dim + 1)], width=0.4)
    ring = math.log(2) + dim / 2 * math.log(math.pi) - math.lgamma(dim / 2)

    def at(density):
        def value(angle):
            x = np.zeros((1, dim + 1))
            x[0, :2] = math.cos(angle), math.sin(angle)
            return float(density(x)[0]) * math.exp(ring + (dim - 1) * math.log(math.sin(angle)))

        return value

    for density in (rho, both):
        total, _ = quad(at(density), 0, math.pi, epsabs=1e-12, epsrel=1e-12, limit=200)
        assert total == pytest.approx(1, abs=1e-10)


def test_values_on_spheres_are_those_of_scipy(rng):
    for dim, width in ((2, 0.3), (4, 1.2), (9, 0.5)):
        manifold = Sphere(dim)
        points, x = manifold.sample(3, rng), manifold.sample(50, rng)
        exact = sum(vonmises_fisher(p, width**-2).pdf(x) for p in points) / 3
        assert uf.Samples(manifold, points=points, width=width)(x) == pytest.approx(exact, rel=1e-9)


@pytest.mark.parametrize("dim", [1, 2, 3])
@pytest.mark.parametrize("part", [0.03, 0.11, 0.112, 0.35, 1.0])
def test_wrapped_gaussians_are_sums_over_images(dim, part, rng):
    """On a lattice and at random points, on both sides of the width that changes the formula."""
    torus = FlatTorus(dim, 1.7)
    points, weights = torus.sample(4, rng), np.array([0.1, 0.2, 0.3, 0.4])
    rho = uf.Samples(torus, points=points, weights=weights, width=part * 1.7)
    side = {1: 400, 2: 100, 3: 40}[dim]
    assert lattice_integral(rho, side) == pytest.approx(1, abs=1e-10)
    for x in (torus.sample(200, rng), torus.even(8**dim)):
        product = np.prod(images(x[:, None] - points, 1.7, part * 1.7), axis=2)
        assert rho(x) == pytest.approx(product @ weights, rel=1e-10)


def brute_force(manifold, points, widths):
    """The mean logarithm of the density that the other points give, width by width."""
    n = len(points)
    found = []
    for width in widths:
        if manifold.period:
            lags = points[:, None] - points
            kernel = np.prod(images(lags, manifold.period, width), axis=2)
        else:
            kernel = np.array([vonmises_fisher(p, width**-2).pdf(points) for p in points])
        np.fill_diagonal(kernel, 0)
        found.append(np.log(kernel.sum(axis=1) / (n - 1)).mean())
    return np.array(found)


@pytest.mark.parametrize("manifold", [CIRCLE, SPHERE, Sphere(4), FlatTorus(2, 4.0)], ids=repr)
def test_the_chosen_width_is_nearly_the_best(manifold, rng):
    """Its likelihood is within 0.001 of that of the best of 120 widths, by brute force."""
    peak = uf.Bumps(manifold, 30.0) if manifold.period else uf.VonMisesFisher(manifold, 8.0)
    points = peak.sample(80, rng)
    chosen = uf.Samples(manifold, points=points).width
    tried = brute_force(manifold, points, np.geomspace(0.05, 1.5, 120))
    assert brute_force(manifold, points, [chosen])[0] > tried.max() - 1e-3
    assert brute_force(manifold, points, [chosen / 3])[0] < tried.max() - 0.02


def test_a_weight_of_two_is_a_point_more(rng):
    """The likelihood counts pairs of different rows, so only the density is the same."""
    points = CIRCLE.sample(6, rng)
    twice = uf.Samples(CIRCLE, points=[*points, points[0]], width=0.4)
    weighted = uf.Samples(CIRCLE, points=points, weights=[2, 1, 1, 1, 1, 1], width=0.4)
    x = CIRCLE.even(64)
    assert weighted(x) == pytest.approx(twice(x), rel=1e-13)
    scaled = uf.Samples(CIRCLE, points=points, weights=np.array([2, 1, 1, 1, 1, 1]) / 70, width=0.4)
    assert scaled(x) == pytest.approx(twice(x), rel=1e-13)
    dominated = uf.Samples(CIRCLE, points=points, weights=[1e40, 1, 1, 1, 1, 1])
    assert np.isfinite(dominated(x)).all()


def test_many_points_give_the_density_they_are_from(rng):
    """The L1 distance to the paper's teacher falls about as n^(-2/5), to 5 % for 10^4 points."""
    teacher, x = uf.Bumps(CIRCLE, 100.0), CIRCLE.even(4096)
    points = teacher.sample(10_000, rng)
    apart = [
        np.abs(uf.Samples(CIRCLE, points=points[:n])(x) - teacher(x)).mean() * 2 * np.pi
        for n in (100, 1000, 10_000)
    ]
    assert apart[1] < 0.6 * apart[0] and apart[2] < 0.6 * apart[1]
    assert apart[2] < 0.06


def test_draws_have_the_smooth_density(rng):
    """Kolmogorov-Smirnov: on the circle with a floor, on a torus, and the height on S^9."""
    rho = uf.Samples(CIRCLE, points=[-1.0, 0.5, 3.0], weights=[1, 2, 1], width=0.3, floor=0.2)
    angle = np.linspace(-np.pi, np.pi, 20_001)
    share = np.cumsum(rho(CIRCLE.unchart(angle)))
    law = lambda t: np.interp(t, angle, share / share[-1])  # noqa: E731
    assert kstest(CIRCLE.chart(rho.sample(20_000, rng))[:, 0], law).pvalue > 1e-3

    torus = FlatTorus(2, 2.0)
    drawn = uf.Samples(torus, points=[[0.9, -0.3]], width=0.5).sample(20_000, rng)
    assert drawn.min() >= -1 and drawn.max() < 1
    t = np.linspace(-1, 1, 20_001)
    for k, centre in enumerate((0.9, -0.3)):
        share = np.cumsum(images(t - centre, 2.0, 0.5))
        law = lambda c, s=share: np.interp(c, t, s / s[-1])  # noqa: E731
        assert kstest(drawn[:, k], law).pvalue > 1e-3

    ninth, kappa = Sphere(9), 0.5**-2
    point = ninth.sample(1, rng)
    drawn = uf.Samples(ninth, points=point, width=0.5).sample(20_000, rng)
    assert np.linalg.norm(drawn, axis=1) == pytest.approx(np.ones(20_000), abs=1e-12)
    s = np.linspace(-1, 1, 20_001)
    share = np.cumsum(np.exp(kappa * (s - 1)) * (1 - s * s) ** 3.5)
    law = lambda h: np.interp(h, s, share / share[-1])  # noqa: E731
    assert kstest(drawn @ point[0], law).pvalue > 1e-3
    across = drawn - np.outer(drawn @ point[0], point[0])
    assert np.abs(across.mean(axis=0)).max() < 5 * across.std() / math.sqrt(20_000)


def test_the_integral_in_ten_dimensions_by_random_points(rng):
    """Of kernels that are wide enough for random points to see them; 4 standard errors."""
    ninth = Sphere(9)
    values = uf.Samples(ninth, points=ninth.sample(20, rng), width=0.7)(ninth.sample(100_000, rng))
    values = values * ninth.volume
    assert abs(values.mean() - 1) < 4 * values.std() / math.sqrt(100_000)


def test_a_network_has_exactly_the_points(rng):
    """With their weights as masses, in one dimension in another order; another number is drawn."""
    points, weights = SPHERE.sample(7, rng), np.arange(1.0, 8.0)
    atoms = place(uf.Samples(SPHERE, points=points, weights=weights, width=0.3), 7, "random", rng)
    assert np.array_equal(atoms.points, points)
    assert atoms.weights == pytest.approx(weights / 28, rel=1e-15)
    angle = np.array([2.0, -1.0, 0.5])
    rho = uf.Samples(CIRCLE, points=angle, weights=[2, 1, 1], width=0.3)
    atoms = place(rho, 3, "random", rng)
    assert CIRCLE.chart(atoms.points)[:, 0] == pytest.approx(np.sort(angle))
    assert atoms.weights == pytest.approx([0.25, 0.25, 0.5])
    many = [place(rho, 4000, "random", np.random.default_rng(3)) for _ in range(2)]
    assert np.array_equal(many[0].points, many[1].points)
    assert np.array_equal(many[0].weights, np.full(4000, 1 / 4000))
    drawn = CIRCLE.chart(many[0].points)[:, 0]
    assert np.unique(drawn) == pytest.approx(np.sort(angle))
    assert np.mean(drawn > 1.9) == pytest.approx(0.5, abs=0.04)


def test_an_axis_through_all_points_is_found():
    """A point and its antipode make a problem with an axis, two other points do not."""
    ninth, e = Sphere(9), np.eye(10)
    assert uf.Problem(ninth, uf.Samples(points=[e[3], -e[3]], width=0.5)).axis == tuple(e[3])
    assert uf.Problem(ninth, uf.Samples(points=e[:2], width=0.5)).axis is None


def test_equal_points_are_equal_values(rng):
    points = SPHERE.sample(20, rng)
    one, two = (uf.Samples(SPHERE, points=p, width=0.2) for p in (points, points.copy()))
    assert one == two and hash(one) == hash(two)
    assert one != uf.Samples(SPHERE, points=points[::-1], width=0.2)
    assert uf.Samples(SPHERE, points=one.points, width=0.2) == one


def test_coordinates_of_the_chart_are_points():
    for manifold, chart in ((CIRCLE, [[3.0], [-1.0]]), (SPHERE, [[3.0, 0.5], [-1.0, -1.0]])):
        points = uf.Samples(manifold, points=chart, width=0.3).data[0]
        assert points == pytest.approx(manifold.unchart(np.array(chart)), abs=1e-15)
    beyond = uf.Samples(FlatTorus(1, 2.0), points=[1.5], width=0.3).data[0]
    assert beyond == pytest.approx(np.array([[-0.5]]))


NAN, ONES = float("nan"), np.ones(3)
BAD = {
    "nothing": ({}, "needs points or a file"),
    "nan": ({"points": [0.1, NAN]}, "points must be finite and below 1e+50, not nan"),
    "mixed": ({"points": [0.1, "a"]}, "points must be real numbers"),
    "ragged": ({"points": [[0.1], [0.2, 0.3]]}, "points must be real numbers"),
    "three columns": ({"points": np.ones((4, 3))}, r"shape (n, 1) or (n, 2), not (4, 3)"),
    "a number": ({"points": 3.0}, r"shape (n, 1) or (n, 2), not ()"),
    "empty": ({"points": []}, r"shape (n, 1) or (n, 2), not (0, 1)"),
    "one point": ({"points": [0.3]}, "needs at least two points: give a width"),
    "one point many times": ({"points": [0.3] * 5}, "The points repeat one another"),
    "rounded": ({"points": np.round(np.linspace(-1, 1, 400), 1)}, "The points repeat one another"),
    "far off": ({"points": [[1, 0], [0, 2]]}, "Row 1 of points is not a point of Circle(dim=1): [0.0, 2.0]"),
    "origin": ({"points": [[0, 0], [0, 1]]}, "Row 0 of points is not a point of"),
    "degrees": ({"points": [10.0, 200.0]}, "Row 0 of points is not a point of Circle(dim=1): [10.0]"),
    "negative weight": ({"points": ONES, "weights": [1, -1, 1]}, "weights must be 3 positive numbers"),
    "few weights": ({"points": ONES, "weights": [1, 1]}, "weights must be 3 positive numbers"),
    "nan weight": ({"points": ONES, "weights": [1, NAN, 1]}, "weights must be finite"),
    "width 0": ({"points": ONES, "width": 0}, "width must be at least 1e-06 and at most 1e+06, not 0"),
    "width -1": ({"points": ONES, "width": -1.0}, "width must be at least 1e-06"),
    "width nan": ({"points": ONES, "width": NAN}, "width must be at least 1e-06"),
    "width text": ({"points": ONES, "width": "wide"}, "width must be at least 1e-06"),
    "floor": ({"points": ONES, "width": 1.0, "floor": 1.0}, "floor must be a number from 0 to below 1"),
    "both": ({"points": ONES, "file": "points.csv"}, "takes points or a file, not both"),
    "no path": ({"file": 3}, "A file or folder is a path, not 3"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_a_mistake_is_one_sentence(case):
    given, said = BAD[case]
    with pytest.raises(InputError) as raised:
        uf.Problem(uf.Circle(), teacher=uf.Samples(**given))
    text = str(raised.value)
    assert said in text
    assert "\n" not in text and text.endswith(".")


def test_points_as_the_first_argument_are_refused():
    with pytest.raises(InputError, match="Samples takes its data by name, and a manifold first"):
        uf.Samples(ONES)


def test_a_manifold_of_ones_own_has_no_kernel():
    class Blob(uf.Embedded):
        dim, ambient, volume, spectral_gap = 1, 2, 1.0, 1.0

        def first_harmonic(self, x, xp=np):
            return x[0]

        def project(self, x):
            return x

        def tangent(self, x, v):
            return v

        def sample(self, n, rng):
            return rng.random((n, 2))

    with pytest.raises(
        InputError, match="'samples' lives on the circle, on spheres and on flat tori"
    ):
        uf.Samples(Blob(), points=ONES)
