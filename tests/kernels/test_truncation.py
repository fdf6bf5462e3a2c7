"""Truncated feature maps: fast sums against dense ones, kernels against closed forms and quadrature,
and the error of the outer weights against its bound.
"""

import itertools
import math
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from numpy.polynomial.legendre import leggauss
from scipy.special import sph_harm_y

from uf_diffusion.core.errors import InputError, RunFailure
from uf_diffusion.core.mpi import Share
from uf_diffusion.kernels.closed_forms import ArcCosine, Matern32
from uf_diffusion.kernels.feature_maps import Atoms, FiniteNeurons
from uf_diffusion.kernels.features import PROFILES, Laplace, Radial, RandomFourier, ReLU
from uf_diffusion.kernels.fourier import Fourier, ball
from uf_diffusion.kernels.pivoted_cholesky import Landmarks
from uf_diffusion.kernels.projection import project
from uf_diffusion.kernels.spherical_harmonics import Harmonics, circle_eigenvalues, funk_hecke
from uf_diffusion.kernels.truncation import truncated
from uf_diffusion.problem.divergences import Biased, Custom, Entropy, Power, Unbiased
from uf_diffusion.problem.manifolds import Circle, FlatTorus, Sphere

CIRCLE, SPHERE = Circle(), Sphere(2)


def torus(dim):
    return FlatTorus(dim, 4.0)


BASES = {
    "circle": (CIRCLE, Fourier(CIRCLE, np.array([[0], [1], [2], [4], [6], [40]]))),
    "circle, a band": (CIRCLE, Fourier(CIRCLE, np.arange(5, 30)[:, None])),
    "torus 1": (torus(1), Fourier(torus(1), ball(1, 0, 9))),
    "torus 2": (torus(2), Fourier(torus(2), ball(2, 0, 5))),
    "torus 2, a band": (torus(2), Fourier(torus(2), ball(2, 3, 4))),
    "torus 3": (torus(3), Fourier(torus(3), ball(3, 0, 3))),
    "sphere": (SPHERE, Harmonics(np.arange(9))),
    "sphere, even": (SPHERE, Harmonics(np.array([0, 1, 2, 4, 6, 20]))),
    "landmarks": (
        Sphere(3),
        Landmarks(ArcCosine(Sphere(3)), Sphere(3).sample(25, np.random.default_rng(3))),
    ),
}
seeds = st.integers(0, 2**32 - 1)


@pytest.mark.parametrize("name", BASES)
@settings(max_examples=8)
@given(seed=seeds, n=st.integers(1, 60))
def test_fast_sums_are_the_dense_ones(name, seed, n):
    """Values, moments and Gram matrices for weights of any sign, to 1e-11 of their scale."""
    (manifold, basis), rng = BASES[name], np.random.default_rng(seed)
    omega, v = manifold.sample(n, rng), rng.standard_normal(n)
    c, E = rng.standard_normal(basis.size), basis.matrix(omega)
    assert E.shape == (n, basis.size)
    scale = 1e-11 * np.abs(v).sum() * max(1, np.abs(E).max()) ** 2
    assert basis.values(c, omega) == pytest.approx(E @ c, abs=1e-11 * np.abs(c).sum())
    assert basis.moments(v, omega) == pytest.approx(v @ E, abs=scale)
    assert basis.gram(v, omega) == pytest.approx((E.T * v) @ E, abs=scale)


@pytest.mark.parametrize("name", BASES)
@settings(max_examples=8)
@given(seed=seeds)
def test_gradients_are_those_of_the_values(name, seed):
    """Richardson's central differences of the dense values, along tangent vectors."""
    (manifold, basis), rng = BASES[name], np.random.default_rng(seed)
    omega, c = manifold.sample(12, rng), rng.standard_normal(basis.size)
    v = manifold.tangent(omega, rng.standard_normal(omega.shape))

    def difference(h):
        ahead, behind = manifold.retract(omega, h * v), manifold.retract(omega, -h * v)
        return (basis.matrix(ahead) - basis.matrix(behind)) @ c / (2 * h)

    gradient = basis.gradient(c, omega)
    expected = (4 * difference(1e-4) - difference(2e-4)) / 3
    scale = np.abs(gradient).max()
    assert np.einsum("ij,ij->i", gradient, v) == pytest.approx(expected, abs=2e-8 * scale)
    assert manifold.tangent(omega, gradient) == pytest.approx(gradient, abs=1e-11 * scale)


def test_fourier_modes_are_sines_and_cosines(rng):
    """In the order of the docstring; together with the negative waves they fill the ball."""
    waves = ball(2, 2, 4)
    both = {tuple(k) for k in np.vstack([waves, -waves])}
    square = itertools.product(range(-4, 5), repeat=2)
    assert both == {k for k in square if 4 <= k[0] ** 2 + k[1] ** 2 <= 16}
    assert len(both) == 2 * len(waves)
    omega = torus(2).sample(20, rng)
    phase = [2 * math.pi / 4 * (k[0] * omega[:, 0] + k[1] * omega[:, 1]) for k in waves]
    expected = [math.sqrt(2) * np.cos(p) for p in phase] + [math.sqrt(2) * np.sin(p) for p in phase]
    assert Fourier(torus(2), waves).matrix(omega) == pytest.approx(np.array(expected).T, abs=1e-13)
    angle = np.linspace(-3, 3, 9)
    found = Fourier(CIRCLE, np.array([[0], [3]])).matrix(CIRCLE.unchart(angle))
    root = math.sqrt(2)
    expected = [np.ones(9), root * np.cos(3 * angle), root * np.sin(3 * angle)]
    assert found == pytest.approx(np.array(expected).T, abs=1e-14)


def test_harmonics_are_those_of_scipy(rng):
    """Real and imaginary parts, times sqrt 2, of Y_lm with m > 0, and Y_l0."""
    omega, degrees = SPHERE.sample(30, rng), np.array([0, 1, 3, 8])
    theta, phi = np.arccos(omega[:, 2]), np.arctan2(omega[:, 1], omega[:, 0])
    pairs = [(d, m) for m in range(9) for d in degrees if d >= m]
    Y = {pair: sph_harm_y(*pair, theta, phi) * (math.sqrt(2) if pair[1] else 1) for pair in pairs}
    expected = [Y[p].real for p in pairs] + [Y[p].imag for p in pairs if p[1]]
    assert Harmonics(degrees).matrix(omega) == pytest.approx(np.array(expected).T, abs=1e-13)


def test_harmonics_at_the_poles(rng):
    """A linear function has gradient b - (b.omega) omega, at the poles and next to them."""
    basis, c = Harmonics(np.array([1])), rng.standard_normal(3)
    b = basis.matrix(np.eye(3)) @ c
    tiny = np.array([0, 1e-300, 1e-160, 1e-12, 1e-6])
    near = np.column_stack([tiny, -2 * tiny, np.ones(5)])
    omega = SPHERE.project(np.vstack([near, -near, near * [1, 1, -1], near * [-1, 0, 1]]))
    assert basis.values(c, omega) == pytest.approx(omega @ b, abs=1e-12)
    expected = SPHERE.tangent(omega, np.broadcast_to(b, omega.shape))
    assert basis.gradient(c, omega) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("feature", "dropped"),
    [(ReLU(CIRCLE), 1e-4), (ReLU(CIRCLE), 1e-7), (ReLU(Sphere(1)), 1e-3), (Laplace(CIRCLE, 0.2), 1e-3),
     (Laplace(CIRCLE, 1.0), 1e-6), (ReLU(SPHERE), 1e-3), (ReLU(SPHERE), 1e-5),
     (RandomFourier(CIRCLE, 0.3), 1e-6), (RandomFourier(SPHERE, 0.5), 1e-6),
     (RandomFourier(SPHERE, 0.5, "matern"), 1e-2), (RandomFourier(CIRCLE, 1.0, "laplace"), 1e-2)],
)  # fmt: skip
def test_mercer_sums_approach_the_closed_form(feature, dropped, rng):
    """The error is at most what is left on the diagonal, that at most `dropped`, and one degree
    less would leave more. What is left is positive semidefinite.
    """
    manifold = feature.manifold
    teacher = Atoms(manifold.sample(5, rng), np.full(5, 0.2))
    psi = truncated(feature, teacher, dropped)
    omega = manifold.sample(60, rng)
    P = psi.at(omega).matrix
    assert P.shape == (60, psi.size)
    left = feature.kernel(omega, omega)[0] - P @ P.T
    diagonal = np.diag(left)
    assert np.ptp(diagonal) < 1e-13
    assert np.abs(left).max() < diagonal.max() + 1e-13
    assert np.linalg.eigvalsh(left).min() > -1e-13
    last = psi.basis.degree_of == psi.basis.degree_of.max()
    assert diagonal.max() <= dropped < diagonal.min() + np.sum(P[:, last] ** 2, axis=1).min()


def test_eigenvalues_in_closed_form():
    """Matern-3/2 on the circle, whose transform on the line is 4 s / (1 + (s k)^2)^2; ReLU on the
    circle and on S^2 (Bach, JMLR 18 (2017), appendix D: 0 for odd degrees from 3 on).
    """
    k, s = np.arange(200), 0.3
    expected = 4 * s / (1 + (s * k) ** 2) ** 2 / (2 * math.pi)
    assert circle_eigenvalues(Matern32(CIRCLE, s), 199) == pytest.approx(expected, abs=1e-15)
    even = k[::2]
    expected = 2 / (math.pi**2 * (even**2 - 1.0) ** 2)
    relu = circle_eigenvalues(ArcCosine(CIRCLE), 199)
    assert relu[::2] == pytest.approx(expected, abs=1e-15)
    assert relu[1] == pytest.approx(1 / 8, abs=1e-15)
    assert np.abs(relu[3::2]).max() < 1e-15
    sphere = funk_hecke(ArcCosine(SPHERE), 199)
    assert sphere[:2] == pytest.approx([3 * math.pi / 4, math.pi / 3], abs=1e-14)
    assert np.abs(sphere[3::2]).max() < 1e-14
    assert sphere[::2].min() > 0


def quadrature(breaks, order):
    """Gauss-Legendre nodes and weights between breaks that cover one period."""
    x, w = leggauss(order)
    half = np.diff(breaks)[:, None] / 2
    return (breaks[:-1, None] + half * (1 + x)).ravel(), (half * w).ravel()


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("dim", [1, 2])
def test_transform_of_a_profile(dim, profile):
    """Gauss-Legendre quadrature in cells that shrink towards the cusp at 0, without Duffy."""
    feature = Radial(torus(dim), 0.7, profile)
    half = np.append(0, 2.0 ** np.arange(-20, 2))
    x, w = quadrature(np.append(-half[:0:-1], half), 14)
    w = np.prod(np.meshgrid(*[w] * dim), axis=0)
    grid = np.meshgrid(*[x] * dim, indexing="ij")
    g, _ = PROFILES[profile](np.sqrt(sum(a * a for a in grid)), 0.7)
    table, squares = feature.transform(4), feature.transform(4, 2)
    assert table.shape == (5,) * dim
    for k in itertools.product((0, 1, 4), repeat=dim):
        wave = np.prod([np.cos(math.pi / 2 * j * a) for j, a in zip(k, grid, strict=True)], axis=0)
        assert table[k] == pytest.approx(np.sum(w * g * wave), abs=1e-11)
        assert squares[k] == pytest.approx(np.sum(w * g**2 * wave), abs=1e-11)


def wrapped_gaussian(x):
    """The density of a standard Gaussian wrapped to period 4, per axis, multiplied."""
    images = np.exp(-0.5 * (x[..., None] + 4 * np.arange(-5, 6)) ** 2).sum(-1)
    return np.prod(images / math.sqrt(2 * math.pi), axis=-1)


def line(points):
    """Exact to round-off for features at these points of T^1: it knows all of their kinks."""
    kinks = np.unique(np.concatenate([points, torus(1).wrap(points + 2), [[-2.0]]]))
    x, w = quadrature(np.append(kinks, 2.0), 20)
    return x[:, None], w * wrapped_gaussian(x[:, None])


def square(refine=1):
    """For features at multiples of 1/4 on T^2: their kinks are lines of a lattice."""
    x, w = quadrature(np.linspace(-2, 2, 32 * refine + 1), 10)
    x = np.stack(np.meshgrid(x, x, indexing="ij"), -1).reshape(-1, 2)
    return x, np.outer(w, w).ravel() * wrapped_gaussian(x)


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("dropped", [1e-2, 1e-3])
def test_radial_kernel_against_quadrature(profile, dropped, rng):
    """Psi.Psi' is a projection of K: what is left is positive semidefinite, at most `dropped` on
    the diagonal, and the energy that is left is at most its bound, which is sharp to a factor.
    """
    feature = Radial(torus(2), 0.5, profile)
    points = rng.integers(-8, 8, (30, 2)) / 4
    points[:3] = [[0, 0], [-2, 0], [-2, -2]]
    omega = np.unique(points, axis=0)
    x, w = square()
    phi = feature(omega, x)[0]
    K = (phi * w) @ phi.T
    teacher = Atoms(omega[:8], np.full(8, 1 / 8))
    psi = truncated(feature, teacher, dropped)
    left = K - psi.at(omega).matrix @ psi.at(omega).matrix.T
    assert np.diag(left).max() <= dropped
    assert np.linalg.eigvalsh(left).min() > -2e-7  # the quadrature's error
    v = rng.standard_normal(len(omega)) / len(omega)
    sigma = -v
    sigma[:8] += 1 / 8
    true, bound = sigma @ left @ sigma, psi.dropped_energy(omega, v)
    assert true <= bound + 2e-7
    assert bound < 20 * true + 2e-7


def test_radial_projection_in_three_dimensions(rng):
    """A smooth profile on T^3: what is left at one point, by Gauss-Legendre quadrature."""
    feature = Radial(torus(3), 0.6, "gaussian")
    psi = truncated(feature, Atoms(np.zeros((1, 3)), np.ones(1)), 1e-2)
    x, w = quadrature(np.linspace(-2, 2, 9), 6)
    x = np.stack(np.meshgrid(x, x, x, indexing="ij"), -1).reshape(-1, 3)
    w = np.einsum("i,j,k->ijk", w, w, w).ravel() * wrapped_gaussian(x)
    phi = feature(np.zeros((1, 3)), x)[0][0]
    kept = psi.at(np.zeros((1, 3))).matrix[0]
    left = w @ phi**2 - kept @ kept
    assert 0 < left <= 1e-2
    assert kept @ kept == pytest.approx(psi.labels @ psi.labels, rel=1e-12)


@dataclass(frozen=True)
class Case:
    """A feature, its manifold and its kernel between points."""

    feature: object
    dropped: tuple[float, ...]

    @property
    def manifold(self):
        return self.feature.manifold

    def kernel(self, points):
        if self.feature.kernel is not None:
            return self.feature.kernel(points, points)[0]
        x, w = line(points)
        phi = self.feature(points, x)[0]
        return (phi * w) @ phi.T


CASES = {
    "arc-cosine on the circle": Case(ReLU(CIRCLE), (1e-2, 1e-4, 1e-6)),
    "Matern on the circle": Case(Laplace(CIRCLE), (1e-1, 1e-2, 1e-4)),
    "arc-cosine on the sphere": Case(ReLU(SPHERE), (1e-2, 1e-3, 1e-4)),
    "landmarks on S^3": Case(ReLU(Sphere(3)), (3e-2, 1e-2, 3e-3)),
    "landmarks on S^9": Case(ReLU(Sphere(9)), (2e-1, 1e-1, 5e-2)),
    "Fourier on the circle": Case(RandomFourier(CIRCLE, 0.5), (1e-1, 1e-3, 1e-6)),
    "Fourier on the sphere": Case(RandomFourier(SPHERE, 1.0, "matern"), (1e-1, 1e-2, 3e-3)),
    "Fourier on S^9": Case(RandomFourier(Sphere(9), 3.0), (1e-2, 3e-3, 1e-3)),
    "Laplace on the torus": Case(Radial(torus(1), 0.5, "laplace"), (1e-1, 1e-2, 1e-4)),
    "Matern on the torus": Case(Radial(torus(1), 0.3, "matern"), (1e-1, 1e-3, 1e-6)),
    "Gauss on the torus": Case(Radial(torus(1), 0.5, "gaussian"), (1e-1, 1e-3, 1e-6)),
}


@pytest.mark.parametrize("name", CASES)
@settings(max_examples=25)
@given(seed=seeds, n=st.integers(1, 40), atoms=st.integers(1, 20), level=st.integers(0, 2),
       logarithm=st.floats(-4, -1))  # fmt: skip
def test_error_of_the_outer_weights_is_bounded(name, seed, n, atoms, level, logarithm):
    """The exact projection u = 1 + (K_teacher - K m u) / lambda and the one in the coordinates
    differ by at most sqrt(dropped_energy / (4 lambda)), root mean square.
    """
    case, rng, lam = CASES[name], np.random.default_rng(seed), 10.0**logarithm
    omega, teacher = (case.manifold.sample(k, rng) for k in (n, atoms))
    m, nu = rng.dirichlet(np.ones(n)), rng.dirichlet(np.ones(atoms))
    candidates = case.manifold.sample(600, rng)
    psi = truncated(case.feature, Atoms(teacher, nu), case.dropped[level], candidates)
    K = case.kernel(np.vstack([omega, teacher]))
    u = np.linalg.solve(K[:n, :n] * m + lam * np.eye(n), K[:n, n:] @ nu + lam)

    neurons = psi.at(omega)
    system = neurons.gram(m) + lam * np.eye(psi.size)
    found = 1 + neurons.values(np.linalg.solve(system, neurons.labels - neurons.moments(m)))
    P, t = neurons.matrix, psi.at(teacher).matrix.T @ nu
    dense = np.linalg.solve(P @ P.T * m + lam * np.eye(n), P @ t + lam)
    assert found == pytest.approx(dense, abs=1e-8)

    sigma = np.concatenate([-m * found, nu])
    left = sigma @ K @ sigma - np.sum((t - P.T @ (m * found)) ** 2)
    energy = psi.dropped_energy(omega, m * found)
    assert left <= energy + 1e-13
    bound = psi.weight_error(omega, m, found - 1, Unbiased(), lam)
    assert math.sqrt(m @ (u - found) ** 2) <= bound + 1e-9
    assert bound == pytest.approx(math.sqrt(energy / (4 * lam)), rel=1e-9)


@dataclass(frozen=True)
class Dense(FiniteNeurons):
    """The first n points with an explicit feature map; the other ones are the teacher's."""

    rows: np.ndarray
    n: int
    weights: np.ndarray

    @property
    def share(self):
        return Share(self.n)

    @property
    def coordinates(self):
        return Share(self.rows.shape[1])

    @property
    def matrix(self):
        return self.rows[: self.n]

    @property
    def labels(self):
        return self.weights @ self.rows[self.n :]

    def moments(self, v):
        return v @ self.matrix

    def values(self, a):
        return self.matrix @ a

    def gradient(self, a):
        return np.zeros((self.n, 1))

    def gram(self, c):
        return (self.matrix.T * c) @ self.matrix


FORMS = [
    Biased(),
    Entropy(),
    Power(1.2),
    Power(1.7),
    Power(3.0),
    Power(4.0),
    Custom(Entropy(), "own"),
]


@pytest.mark.parametrize("form", FORMS, ids=lambda f: f"{f.name}-{f.power:g}")
@settings(max_examples=30)
@given(seed=seeds, n=st.integers(1, 60), atoms=st.integers(1, 20), logarithm=st.floats(-4, -1),
       name=st.sampled_from(sorted(CASES)), level=st.integers(0, 1))  # fmt: skip
def test_error_of_the_outer_weights_is_bounded_for_every_divergence(
    form, seed, n, atoms, logarithm, name, level
):
    case, rng, lam = CASES[name], np.random.default_rng(seed), 10.0**logarithm
    omega, points = (case.manifold.sample(k, rng) for k in (n, atoms))
    m, teacher = rng.dirichlet(np.ones(n)), Atoms(points, rng.dirichlet(np.ones(atoms)))
    psi = truncated(case.feature, teacher, case.dropped[level], case.manifold.sample(600, rng))
    K = case.kernel(np.vstack([omega, points]))
    values, vectors = np.linalg.eigh(K)
    exact = Dense(vectors * np.sqrt(np.maximum(values, 0)), n, teacher.weights)
    try:
        u = project(exact, m, form, lam)
        found = project(psi.at(omega), m, form, lam)
    except RunFailure:  # lambda is lost in round-off; there is nothing to compare
        reject()
    error = math.sqrt(m @ (u.outer_weight - found.outer_weight) ** 2)
    assert error <= psi.weight_error(omega, m, found.potential, form, lam) + 1e-7


def test_landmarks_leave_out_no_more_than_asked(rng):
    """At the candidates; and nothing at the landmarks, where the kernel is interpolated."""
    feature, candidates = ReLU(Sphere(3)), Sphere(3).sample(800, rng)
    psi = truncated(feature, Atoms(candidates[:3], np.full(3, 1 / 3)), 3e-3, candidates)
    P = psi.at(candidates).matrix
    left = feature.kernel(candidates, candidates)[0] - P @ P.T
    assert np.diag(left).max() <= 3e-3
    assert np.linalg.eigvalsh(left).min() > -1e-12
    fewer = psi.at(candidates).matrix[:, :-1]
    assert np.max(0.5 - np.sum(fewer**2, axis=1)) > 3e-3
    assert psi.at(psi.basis.points).matrix @ P.T == pytest.approx(
        feature.kernel(psi.basis.points, candidates)[0], abs=1e-12
    )
    assert psi.dropped_energy(psi.basis.points, np.zeros(psi.size)) > 0


@pytest.mark.parametrize(
    ("feature", "dropped", "sentence"),
    [(ReLU(SPHERE), 1e-10, "more than 16000 modes"), (Laplace(CIRCLE), 1e-16, "more than 16000 modes"),
     (ReLU(CIRCLE), 0.0, "must be positive"),
     (Radial(torus(2)), 1e-12, "more than 16000 modes"), (Radial(torus(4)), 1e-1, "problem.dim <= 3"),
     (ReLU(Sphere(3)), 1e-5, "more than 25 landmarks")],
)  # fmt: skip
def test_what_cannot_be_truncated_is_said(feature, dropped, sentence, rng):
    teacher = Atoms(feature.manifold.sample(2, rng), np.full(2, 0.5))
    with pytest.raises(InputError, match=f"network.truncation.*{sentence}"):
        truncated(feature, teacher, dropped, feature.manifold.sample(100, rng))


def test_features_without_a_kernel_cannot_be_truncated():
    class Plain:
        kernel = None

    with pytest.raises(InputError, match=r"network\.kernel = 'low-rank' needs a kernel"):
        truncated(Plain(), Atoms(np.zeros((1, 2)), np.ones(1)), 1e-3)


@pytest.mark.parallel(3)
def test_ranks_share_the_neurons(rng):
    """The sums over all ranks are those over all neurons, and every rank has them."""
    for name in ("arc-cosine on the sphere", "landmarks on S^3"):
        share_of(name, rng)


def share_of(name, rng):
    case = CASES[name]
    omega, v = case.manifold.sample(20, rng), rng.standard_normal(20)
    teacher = Atoms(case.manifold.sample(4, rng), np.full(4, 0.25))
    psi = truncated(case.feature, teacher, 1e-2, case.manifold.sample(300, rng))
    share, whole = psi.share(20), psi.at(omega)
    own = psi.at(omega[share.rows], share)
    assert share.split and len(own.omega) < 20
    mine = v[share.rows]
    assert own.moments(mine) == pytest.approx(whole.moments(v), abs=1e-12)
    assert own.gram(mine) == pytest.approx(whole.gram(v), abs=1e-12)
    assert own.potential(mine) == pytest.approx(whole.potential(v)[share.rows], abs=1e-12)
    energy = psi.dropped_energy(omega[share.rows], mine, share)
    assert energy == pytest.approx(psi.dropped_energy(omega, v), rel=1e-10)
