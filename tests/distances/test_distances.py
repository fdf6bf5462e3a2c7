"""Distances against linear programs, closed forms and invariances."""

import math

import numpy as np
import ot
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import erf

from uf_diffusion.core.errors import InputError
from uf_diffusion.distances import optimal_transport as program
from uf_diffusion.distances.circle_wasserstein import wasserstein_circle
from uf_diffusion.distances.density_estimates import smoothed
from uf_diffusion.distances.energy_distances import (
    energy_distance,
    energy_distance_series,
    mean_distance,
)
from uf_diffusion.distances.measures import Measure
from uf_diffusion.distances.named import DISTANCES, distance
from uf_diffusion.distances.teacher_mesh import TeacherMesh
from uf_diffusion.grids.built_in import grid_on
from uf_diffusion.problem.densities import Bumps, Uniform, VonMisesFisher
from uf_diffusion.problem.exact import FirstMode
from uf_diffusion.problem.manifolds import Circle, FlatTorus, Sphere

MANIFOLDS = [Circle(), FlatTorus(1, 3.0), Sphere(2), FlatTorus(2, 4.0), Sphere(3), FlatTorus(3)]
PLANAR = [Sphere(2), FlatTorus(2, 4.0), Sphere(3), FlatTorus(3)]


def named(value):
    return f"{type(value).__name__}-{value.dim}"


# --- W_p on the circle ----------------------------------------------------------------------------


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


# --- the energy distance --------------------------------------------------------------------------


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


@pytest.mark.parametrize("manifold", MANIFOLDS, ids=named)
def test_energy_distance_is_the_sum_over_all_pairs(manifold, rng):
    """The fast sums, in one dimension and in threads, against whole matrices of chords."""
    X, Y = manifold.sample(700, rng), manifold.sample(900, rng)
    a, b = rng.dirichlet(np.ones(700)), rng.dirichlet(np.full(900, 0.2))
    d = manifold.chord
    squared = 2 * a @ d(X, Y) @ b - a @ d(X, X) @ a - b @ d(Y, Y) @ b
    assert energy_distance(X, Y, a, b, manifold) ** 2 == pytest.approx(squared, rel=1e-11)


@pytest.mark.parametrize("shift", [1e-2, 1e-6, 1e-10])
def test_energy_distance_of_a_turned_lattice(shift):
    """n even points turned by less than their spacing, in closed form.

    Circle: the mean of the chords, a sum of sines. Flat circle, n odd: half circles that begin or
    end between a point and its image have mass 1 / n in mu - nu, the others none.
    """
    n = 1001
    circle, torus = Circle(), FlatTorus(1, 2.0)
    x = 2 * np.pi * np.arange(n) / n
    value = energy_distance(circle.unchart(x), circle.unchart(x + shift / n), manifold=circle)
    half = np.pi / (2 * n)
    sines = math.sin(half - shift / n / 4) * math.sin(shift / n / 4) / math.sin(half)
    assert value**2 == pytest.approx(8 / n * sines, rel=1e-15 * n / shift + 1e-12)
    y = (x / np.pi)[:, None]
    value = energy_distance(y, y + shift / n, manifold=torus)
    assert value**2 == pytest.approx(2 * shift / n**2, rel=1e-15 * n / shift + 1e-12)


def test_energy_distance_of_close_clouds(rng):
    """Particles 1e-7 apart on S^2: the square is small, and right against extended precision."""
    sphere, n = Sphere(2), 1500
    X = sphere.sample(n, rng)
    Y = sphere.retract(X, 1e-7 * rng.standard_normal(X.shape))
    points = np.concatenate([X, Y]).astype(np.longdouble)
    s = np.repeat([1 / n, -1 / n], n).astype(np.longdouble)
    squared = 0
    for i in range(len(points)):
        squared -= s[i] * (np.sqrt(((points - points[i]) ** 2).sum(axis=1)) @ s)
    assert squared < 1e-9
    assert energy_distance(X, Y, manifold=sphere) ** 2 == pytest.approx(float(squared), rel=1e-6)


def test_energy_distance_on_the_flat_circle_misses_even_waves():
    """The Fourier coefficients of the wrapped |x - y| vanish there."""
    torus = FlatTorus(1, 2 * np.pi)
    x = torus.even(64)
    even, odd = (1 + 0.5 * np.cos(k * x[:, 0]) for k in (2, 3))
    assert energy_distance(x, x, even / 64, None, torus) < 1e-8
    # the coefficient of cos(k d) in |d| is -4 / (pi k^2) for odd k
    expected = np.sqrt(0.25 / 4 * 4 / (np.pi * 9))
    assert energy_distance(x, x, odd / 64, None, torus) == pytest.approx(expected, rel=2e-2)


def test_energy_distance_invariances_and_weights(rng):
    X, Y = rng.standard_normal((30, 3)), rng.standard_normal((40, 3))
    a = rng.dirichlet(np.ones(30))
    q, _ = np.linalg.qr(rng.standard_normal((3, 3)))
    d = energy_distance(X, Y, a)
    assert energy_distance(X @ q + 5, Y @ q + 5, a) == pytest.approx(d, rel=1e-10)
    twice = np.concatenate([X, X])
    assert energy_distance(twice, Y, np.concatenate([a, a]) / 2) == pytest.approx(d, rel=1e-10)
    assert energy_distance(X, X, a, a) == 0


def test_series_equals_single_distances(rng):
    sphere = Sphere(2)
    X = np.array([sphere.sample(20, rng) for _ in range(3)])
    Y, B = sphere.sample(50, rng), rng.dirichlet(np.ones(50), 3)
    series = energy_distance_series(X, Y, B, sphere)
    single = [energy_distance(x, Y, None, b) for x, b in zip(X, B, strict=True)]
    assert series == pytest.approx(single, rel=1e-12)


def test_single_precision_is_taken(rng):
    """As the numbers that it is."""
    x = rng.standard_normal((20, 2)).astype(np.float32)
    assert energy_distance(x, x[::2]) == energy_distance(x.astype(float), x[::2].astype(float))


@pytest.mark.parametrize("manifold", MANIFOLDS, ids=str)
def test_other_weights_of_the_same_points(manifold, rng):
    """The points are one set then; in another order they are two."""
    X, mixed = manifold.sample(30, rng), rng.permutation(30)
    a, b = rng.dirichlet(np.ones(30), 2)
    one_set = energy_distance(X, X, a, b, manifold)
    assert one_set == pytest.approx(energy_distance(X, X[mixed], a, b[mixed], manifold), rel=1e-9)
    assert energy_distance(X, X, a, a, manifold) == 0


@pytest.mark.parametrize("manifold", MANIFOLDS, ids=str)
def test_mean_distance_is_the_sum_over_all_pairs(manifold, rng):
    X, a = manifold.sample(30, rng), rng.standard_normal(30)
    assert mean_distance(X, a, manifold) == pytest.approx(a @ manifold.chord(X, X) @ a, rel=1e-10)


# --- W_1 and W_2 on every manifold ----------------------------------------------------------------


def cloud(manifold, n, rng, concentration=1.0):
    return Measure(manifold, manifold.sample(n, rng), rng.dirichlet(np.full(n, concentration)))


def linear_program(mu, nu, p):
    cost = mu.manifold.distance(mu.points, nu.points) ** p
    return ot.emd2(mu.weights, nu.weights, cost, numItermax=10**7) ** (1 / p)


@pytest.mark.parametrize("manifold", MANIFOLDS, ids=named)
@given(seed=st.integers(0, 10**6))
@settings(max_examples=40)
def test_wasserstein_is_the_linear_program(manifold, seed):
    """Random measures of few atoms, some of them with hardly any mass."""
    rng = np.random.default_rng(seed)
    mu, nu = (cloud(manifold, n, rng, 0.3) for n in rng.integers(1, 25, 2))
    for p, name in ((1, "w1"), (2, "w2")):
        expected = linear_program(mu, nu, p)
        value, error = distance(name, mu, nu)
        assert abs(value - expected) <= error + 1e-9 * expected
        assert error <= 1e-8 * expected + 1e-12


@pytest.mark.parametrize("manifold", PLANAR, ids=named)
@pytest.mark.parametrize("p", [1, 2])
def test_wasserstein_by_merged_atoms_is_the_linear_program(manifold, p, rng, monkeypatch):
    """The same program with few pairs, from merged atoms: the bounds meet at its value."""
    monkeypatch.setattr(program, "_SMALL", 40)
    near = cloud(manifold, 150, rng)
    again = Measure(manifold, near.points[::-1], cloud(manifold, 150, rng).weights)
    for mu, nu in ((cloud(manifold, 300, rng), cloud(manifold, 70, rng)), (near, again)):
        expected, (lower, upper) = linear_program(mu, nu, p), program.wasserstein(mu, nu, p)
        assert lower <= expected * (1 + 1e-9) and upper >= expected * (1 - 1e-9)
        assert upper - lower <= 1e-8 * expected


@pytest.mark.parametrize("manifold", PLANAR, ids=named)
def test_wasserstein_of_too_many_atoms_is_bracketed(manifold, rng, monkeypatch):
    """The bounds from merged atoms contain the linear program's value, and say something."""
    monkeypatch.setattr(program, "_SMALL", 40)
    monkeypatch.setattr(program, "_LARGE", 1e6)
    for p in (1, 2):
        for n, m in ((400, 60), (300, 350)):
            mu = Measure.of_particles(manifold, manifold.sample(n, rng))
            nu = Measure.of_particles(manifold, mu.points[:m] if m < n else manifold.sample(m, rng))
            expected, (lower, upper) = linear_program(mu, nu, p), program.wasserstein(mu, nu, p)
            assert lower < expected < upper < 4 * lower + 0.1


def test_wasserstein_of_many_atoms_in_closed_form(rng):
    """A torus cloud and its shift: every coupling moves the mean by as much, and the shift does no
    more; 800 atoms in pairs with another order.
    """
    torus = FlatTorus(2, 4.0)
    x = rng.uniform(-0.8, 0.8, (800, 2))
    mu = Measure.of_particles(torus, x)
    nu = Measure.of_particles(torus, rng.permutation(x + np.array([0.3, -0.4])))
    for name in ("w1", "w2"):
        value, error = distance(name, mu, nu)
        assert value == pytest.approx(0.5, rel=1e-8)
        assert error < 1e-8


def test_uniform_masses_in_closed_form():
    """A pole to the uniform measures: the mean angle is pi/2 on S^2, its mean square pi^2/2 - 2;
    half the period away at most, and L/4 on average, on the flat circle.
    """
    sphere, torus = Sphere(2), FlatTorus(1, 3.0)
    pole = Measure.of_particles(sphere, [[0.0, 0.0, 1.0]])
    even = Measure.of_density(Uniform(sphere), 20_000)
    assert distance("w1", pole, even).value == pytest.approx(np.pi / 2, rel=1e-6)
    assert distance("w2", pole, even).value ** 2 == pytest.approx(np.pi**2 / 2 - 2, rel=1e-6)
    point, flat = Measure.of_particles(torus, [[0.7]]), Measure.of_density(Uniform(torus), 4000)
    assert distance("w1", point, flat).value == pytest.approx(0.75, rel=1e-6)
    assert distance("w2", point, flat).value ** 2 == pytest.approx(0.75, rel=1e-6)


@pytest.mark.parametrize("manifold", MANIFOLDS, ids=named)
def test_a_measure_is_at_no_distance_from_itself(manifold, rng):
    """Up to the root of what round-off adds to a square."""
    mu = cloud(manifold, 50, rng)
    for name in ("energy", "w1", "w2"):
        value, error = distance(name, mu, mu)
        assert value - error <= 1e-7 and value <= 1e-6


def test_wasserstein_of_opposite_points():
    """The vertices of an octahedron in pairs without a mean, to one of them: four are at pi/2, one at pi."""
    sphere = Sphere(2)
    vertices = np.kron(np.eye(3), np.array([[1.0], [-1.0]]))
    mu, nu = Measure.of_particles(sphere, vertices), Measure.of_particles(sphere, vertices[:1])
    for x, y in ((mu, nu), (nu, mu)):
        assert distance("w1", x, y).value == pytest.approx(np.pi / 2, rel=1e-12)
        assert distance("w2", x, y).value ** 2 == pytest.approx(np.pi**2 / 3, rel=1e-12)


# --- measures -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["energy", "w1", "w2"])
def test_quantile_particles_converge_to_a_density_at_first_order(name):
    """n particles at the quantiles of a density to its finite elements: distance of order 1 / n."""
    circle = Circle()
    teacher, nodes = Bumps(circle, gamma=10.0), circle.even(2**15)
    density = teacher(nodes)
    volume = np.full(len(nodes), circle.volume / len(nodes))
    fine = Measure.of_nodes(circle, nodes, density / (density @ volume), volume)
    sizes = [32, 64, 128, 256, 512]
    errors = [distance(name, Measure.of_density(teacher, n, "quantile"), fine).value for n in sizes]
    order = -np.polyfit(np.log(sizes), np.log(errors), 1)[0]
    assert order == pytest.approx(1, abs=0.15)
    assert errors[-1] < 0.01


@pytest.mark.parametrize("manifold", [Sphere(2), FlatTorus(2, 4.0)], ids=named)
def test_even_atoms_converge_to_a_density(manifold):
    """In two dimensions like the spacing, n^(-1/2), in W_2."""
    teacher = Bumps(manifold, 5.0) if manifold.dim == manifold.ambient else VonMisesFisher(manifold)
    fine = Measure.of_density(teacher, 128**2)
    sizes = [12**2, 20**2, 33**2]
    errors = [distance("w2", Measure.of_density(teacher, n), fine).value for n in sizes]
    order = -np.polyfit(np.log(sizes), np.log(errors), 1)[0]
    assert order == pytest.approx(0.5, abs=0.15)
    assert errors[-1] < manifold.volume**0.5 / 33


def test_atoms_of_a_density_integrate_smooth_functions():
    """The mean of a harmonic: spectrally accurate on the circle, to 1 / n on S^2."""
    circle, sphere = Circle(), Sphere(2)
    atoms = Measure.of_density(FirstMode(circle, 0.3), 64)
    assert atoms.weights @ atoms.points[:, 0] == pytest.approx(0.15, abs=1e-14)
    atoms = Measure.of_density(VonMisesFisher(sphere, 3.0), 2000)
    assert atoms.weights @ atoms.points[:, 0] == pytest.approx(1 / np.tanh(3) - 1 / 3, abs=5e-4)
    three = Measure.of_density(Uniform(Sphere(3)), 100, "random")
    assert (three.points == Measure.of_density(Uniform(Sphere(3)), 100, "random").points).all()


# --- what all have in common ----------------------------------------------------------------------


def lattice_background(manifold, per_axis, bandwidth=None):
    """The uniform teacher on a lattice, without DOLFINx."""
    grid = grid_on(manifold, math.factorial(manifold.dim) * per_axis**manifold.dim)
    n = len(grid.nodes)
    volume = np.full(n, manifold.volume / n)
    return TeacherMesh(grid, volume, np.full(n, 1 / manifold.volume), bandwidth)


@pytest.mark.parametrize("name", DISTANCES)
def test_no_distance_feels_a_motion(name, rng):
    """Moved by lattice vectors both measures are as far apart as before, on the torus."""
    if name == "h-1":
        pytest.importorskip("dolfinx")
    torus = FlatTorus(2, 4.0)
    background = lattice_background(torus, 24)
    mu, nu = cloud(torus, 30, rng), cloud(torus, 40, rng)
    shift = np.array([7, -5]) * 4 / 24
    moved = [Measure(torus, torus.wrap(m.points + shift), m.weights) for m in (mu, nu)]
    value, error = distance(name, mu, nu, background)
    there, _ = distance(name, *moved, background)
    assert value > 1e-3
    assert there == pytest.approx(value, rel=1e-9, abs=2 * error)


@pytest.mark.parametrize("name", ["energy", "w1", "w2"])
def test_no_distance_feels_a_rotation(name, rng):
    sphere = Sphere(2)
    mu, nu = cloud(sphere, 30, rng), cloud(sphere, 40, rng)
    q, _ = np.linalg.qr(rng.standard_normal((3, 3)))
    turned = [Measure(sphere, m.points @ q, m.weights) for m in (mu, nu)]
    value = distance(name, mu, nu).value
    assert distance(name, *turned).value == pytest.approx(value, rel=1e-8)


@pytest.mark.parametrize("name", ["energy", "w1", "w2", "h-1", "l1"])
def test_metrics_are_symmetric_and_obey_the_triangle_inequality(name, rng):
    """On the circle, where the energy distance is a metric too."""
    if name == "h-1":
        pytest.importorskip("dolfinx")
    circle = Circle()
    background = lattice_background(circle, 64, 0.2)
    for _ in range(20):
        x, y, z = (cloud(circle, n, rng) for n in (4, 6, 5))
        d = {
            pair: distance(name, *pair, background).value
            for pair in ((x, y), (y, x), (x, z), (z, y))
        }
        assert d[x, y] == pytest.approx(d[y, x], rel=1e-9)
        assert d[x, y] <= d[x, z] + d[z, y] + 1e-9


# --- distances between densities ------------------------------------------------------------------


@pytest.mark.parametrize("apart", [1e-4, 0.1, 0.5])
def test_smoothed_point_masses_are_two_gaussians(apart):
    """Two Gaussians of standard deviation h at distance a: chi2 = exp(a^2 / h^2) - 1,
    KL = a^2 / (2 h^2), L1 = 2 erf(a / (2 sqrt(2) h)); on a torus of many bandwidths.
    """
    torus, h = FlatTorus(1, 8.0), 0.25
    background = lattice_background(torus, 1024, h)
    mu, nu = (Measure.of_particles(torus, [[0.3 + a]]) for a in (0, apart))
    expected = {
        "chi2": math.expm1((apart / h) ** 2),
        "kl": (apart / h) ** 2 / 2,
        "l1": 2 * erf(apart / (2 * math.sqrt(2) * h)),
    }
    for name, value in expected.items():
        # L1 has a kink where the densities cross: second order in the mesh
        rel = 1e-4 if name == "l1" else 1e-6
        assert distance(name, mu, nu, background).value == pytest.approx(value, rel=rel)


def test_smoothed_densities_have_mass_one_and_contract(rng):
    """Smoothing is a Markov operator: it brings measures closer in chi2, KL and L1."""
    torus = FlatTorus(2, 4.0)
    mu, nu = cloud(torus, 60, rng), cloud(torus, 50, rng)
    narrow, wide = (lattice_background(torus, 48, h) for h in (0.2, 0.6))
    for background in (narrow, wide):
        f = smoothed(mu, background, background.bandwidth)
        assert f @ background.volume == pytest.approx(1, rel=1e-12)
    for name in ("chi2", "kl", "l1"):
        near, far = (distance(name, mu, nu, b).value for b in (wide, narrow))
        assert 0 < near < far


def test_disjoint_densities_are_infinitely_far_in_chi2_and_kl():
    torus = FlatTorus(1, 100.0)
    mu, nu = (Measure.of_particles(torus, [[x]]) for x in (0.0, 50.0))
    background = lattice_background(torus, 400, 0.2)
    assert distance("chi2", mu, nu, background).value == math.inf
    assert distance("kl", mu, nu, background).value == math.inf
    assert distance("l1", mu, nu, background).value == pytest.approx(2, rel=1e-12)


@pytest.mark.parametrize("degree", [1, 2])
@pytest.mark.parametrize("manifold", [Circle(), FlatTorus(2, 4.0), Sphere(2)], ids=named)
def test_h_minus_1_of_an_eigenfunction(manifold, degree):
    """mu - nu = eps e nu with -(1/nu) div(nu grad e) = lambda e: the norm is
    eps |e|_nu / sqrt(lambda), on the mesh to round-off.
    """
    pytest.importorskip("dolfinx")
    from uf_diffusion.diffusion.spectrum import spectrum
    from uf_diffusion.diffusion.ultra_fast import UltraFastDiffusion
    from uf_diffusion.problem import Problem
    from uf_diffusion.problem.divergences import Unbiased

    flat = manifold.dim == manifold.ambient
    teacher = Bumps(manifold, 3.0) if flat else VonMisesFisher(manifold, 1.0)
    grid = grid_on(manifold, 300, degree)
    background = TeacherMesh.of(grid, teacher)
    solver = UltraFastDiffusion(Problem(manifold, teacher, teacher, Unbiased()), grid)
    values, functions = spectrum(solver, 2)
    nu = Measure.of_nodes(manifold, grid.nodes, background.teacher, background.volume)
    for eigenvalue, function in zip(values, functions, strict=True):
        density = background.teacher * (1 + 1e-3 * solver.gathered(function))
        mu = Measure.of_nodes(manifold, grid.nodes, density, background.volume)
        value = distance("h-1", mu, nu, background).value
        assert value == pytest.approx(1e-3 / math.sqrt(eigenvalue), rel=1e-8)


def test_h_minus_1_of_point_masses_on_the_circle():
    """In one dimension psi' = (F - G) 2 pi - constant: two points half a turn apart on the uniform
    circle have the norm sqrt(2 pi) sqrt(2 pi) / 2 = pi, for any place of the points.
    """
    pytest.importorskip("dolfinx")
    circle = Circle()
    background = TeacherMesh.of(grid_on(circle, 400), Uniform(circle))
    for turn in (0.0, 0.01, 1.3):
        mu, nu = (Measure.of_particles(circle, circle.unchart([a])) for a in (turn, turn + np.pi))
        value = distance("h-1", mu, nu, background).value
        assert value == pytest.approx(np.pi, rel=5e-3)


@pytest.mark.parallel(2)
def test_h_minus_1_is_each_rank_s_own():
    """The mesh is not shared: ranks with other measures get other values, as alone."""
    pytest.importorskip("dolfinx")
    from mpi4py import MPI

    torus = FlatTorus(2, 2 * np.pi)
    grid = grid_on(torus, 2 * 24**2)
    background = TeacherMesh.of(grid, Uniform(torus))
    wave = 1 + MPI.COMM_WORLD.rank
    density = (1 + 0.1 * np.cos(wave * grid.nodes[:, 0])) / torus.volume
    mu = Measure.of_nodes(torus, grid.nodes, density, background.volume)
    nu = Measure.of_nodes(torus, grid.nodes, background.teacher, background.volume)
    value = distance("h-1", mu, nu, background).value
    assert value == pytest.approx(0.1 / math.sqrt(2) / wave, rel=0.02)


# --- refusals -------------------------------------------------------------------------------------


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


def test_refusals_of_measures_and_distances(rng):
    circle, torus = Circle(), FlatTorus(1, 2.0)
    mu, other = cloud(circle, 3, rng), cloud(torus, 3, rng)
    with pytest.raises(InputError, match="off the manifold"):
        Measure.of_particles(circle, [[1.0, 1.0]])
    with pytest.raises(InputError, match="off the manifold"):
        Measure.of_particles(circle, [[0.0, 0.0]])
    with pytest.raises(InputError, match="2 coordinates"):
        Measure.of_particles(circle, [[1.0]])
    with pytest.raises(InputError, match="not 1"):
        Measure.of_nodes(circle, circle.even(4), np.ones(4), np.ones(4))
    with pytest.raises(InputError, match="'energy'"):
        distance("enrgy", mu, mu)
    with pytest.raises(InputError, match="different manifolds"):
        distance("w2", mu, other)
    for name in ("h-1", "chi2", "kl", "l1"):
        with pytest.raises(InputError, match=f"'{name}' needs a mesh"):
            distance(name, mu, mu)
    with pytest.raises(InputError, match="another manifold"):
        distance("l1", mu, mu, lattice_background(torus, 16))
    with pytest.raises(InputError, match="bandwidth"):
        lattice_background(torus, 16, 1e-3)
    with pytest.raises(InputError, match="teacher must be positive"):
        grid = grid_on(torus, 16)
        TeacherMesh(grid, np.full(16, 1 / 8), np.zeros(16))
