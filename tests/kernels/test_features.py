"""Features and kernels: gradients against differences, kernels against direct sums and samples."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from verification import kernel_error

from uf_diffusion.core.compiled import exponential
from uf_diffusion.core.errors import InputError
from uf_diffusion.kernels.closed_forms import FREEDOM, ArcCosine, Chordal, Matern32
from uf_diffusion.kernels.features import Laplace, Radial, RandomFourier, ReLU
from uf_diffusion.kernels.loops import TILE, turned_cosines
from uf_diffusion.kernels.own_features import placed_features
from uf_diffusion.problem.manifolds import Circle, FlatTorus, Sphere
from uf_diffusion.runs.building import feature
from uf_diffusion.runs.describing import features_keys
from uf_diffusion.studies.orders import fit

CIRCLE, TORUS = Circle(), FlatTorus(2, 4.0)
FEATURES = [
    ReLU(CIRCLE),
    ReLU(Sphere(3)),
    Laplace(CIRCLE, 0.7),
    Radial(TORUS, 0.5, "laplace"),
    Radial(TORUS, 0.5, "gaussian"),
    Radial(FlatTorus(1, 2.0), 0.3, "matern"),
    RandomFourier(CIRCLE, 0.7),
    RandomFourier(Sphere(2), 0.5, "matern"),
    RandomFourier(Sphere(9), 1.0),
    RandomFourier(Sphere(29), 2.0, "laplace"),
    RandomFourier(Sphere(100), 1.0, "matern"),
]
KERNELS = [
    ArcCosine(CIRCLE),
    ArcCosine(Sphere(2)),
    ArcCosine(Sphere(29)),
    Matern32(CIRCLE, 0.5),
    Matern32(CIRCLE, 3.0),
    *(Chordal(Sphere(d), s, profile) for d, s in ((1, 0.4), (9, 1.0)) for profile in FREEDOM),
]


@pytest.mark.parametrize("pair", FEATURES + KERNELS, ids=repr)
def test_gradient(pair, rng):
    """Central differences along tangent directions, away from kinks."""
    manifold = pair.manifold
    omega = manifold.sample(20, rng)
    other = pair.inputs(30, rng) if hasattr(pair, "inputs") else manifold.sample(30, rng)
    weight = rng.standard_normal(30)
    direction = manifold.tangent(omega, rng.standard_normal(omega.shape))
    h = 1e-7
    ahead, behind = (
        pair(manifold.retract(omega, s * h * direction), other)[0] @ weight for s in (1, -1)
    )
    gradient = pair(omega, other)[1](weight)
    assert manifold.tangent(omega, gradient) == pytest.approx(gradient, abs=1e-12)
    slope = (gradient * direction).sum(axis=1)
    assert (ahead - behind) / (2 * h) == pytest.approx(slope, rel=1e-5, abs=1e-5)


@pytest.mark.parametrize(
    "phi", [*FEATURES, Radial(TORUS, 0.01), Radial(FlatTorus(3, 1.0))], ids=repr
)
def test_compiled_features_are_the_same_numbers(phi, rng):
    """`values` and `gradient` against the formula in numpy; a feature on top of a datum too."""
    n = 3 * TILE + 7
    omega, x = phi.manifold.sample(20, rng), phi.inputs(n, rng)
    datum = x[7:8, : phi.manifold.ambient]
    omega[3] = phi.manifold.retract(datum, 0 * datum)[0]
    weight, out = rng.standard_normal(n), np.empty((20, n))
    phi.values(omega, x, 0.3, out)
    values, pullback = phi(omega, x)
    assert out == pytest.approx(0.3 * values, rel=1e-12, abs=1e-14)
    gradient = 0.3 * pullback(weight)
    size = np.abs(gradient).max()
    assert phi.gradient(omega, x, 0.3, weight, out) == pytest.approx(gradient, abs=1e-12 * size)


def test_exponential():
    """To 2 ulp on [-700, 0], and finite below."""
    x = -np.concatenate([[0.0, 1e-300, 1e-17], np.linspace(0, 700, 100_001)])
    y = x.copy()
    exponential(y)
    assert np.abs(y / np.exp(x) - 1).max() <= 2 * np.finfo(float).eps
    y = np.array([-1e6])
    exponential(y)
    assert 0 <= y[0] < 1e-300


@pytest.mark.parametrize("kernel", KERNELS, ids=repr)
def test_kernels_are_symmetric_and_positive(kernel, rng):
    x = kernel.manifold.sample(60, rng)
    K = kernel(x, x)[0]
    assert np.abs(K - K.T).max() < 1e-13
    assert np.linalg.eigvalsh(K).min() > -1e-12


def test_matern_against_its_images(rng):
    """The closed form is the sum over many images."""
    x = CIRCLE.sample(30, rng)
    lag = CIRCLE.chart(x) - CIRCLE.chart(x).T
    for s in (0.2, 0.5, 4.0):
        images = np.abs(lag[..., None] + 2 * np.pi * np.arange(-60, 61)) / s
        assert Matern32(CIRCLE, s)(x, x)[0] == pytest.approx(
            ((1 + images) * np.exp(-images)).sum(axis=-1), rel=1e-12
        )


def test_arc_cosine_by_quadrature():
    """E over the Gaussian plane in polar coordinates: E r^2 = 2, times a mean over the angle."""
    angle = np.linspace(0, np.pi, 9)
    x = CIRCLE.even(200_000)
    omega = CIRCLE.unchart(angle)
    phi = np.maximum(omega @ x.T, 0)
    assert ArcCosine(CIRCLE)(omega, omega)[0] == pytest.approx(
        2 * phi @ phi.T / len(x), abs=1e-9
    )  # fmt: skip


@pytest.mark.parametrize(
    "phi",
    [ReLU(CIRCLE), ReLU(Sphere(2)), ReLU(Sphere(29)), Laplace(CIRCLE, 0.5),
     RandomFourier(Sphere(9), 1.0), RandomFourier(Sphere(100), 1.0, "laplace")],
    ids=repr,
)  # fmt: skip
def test_sampled_kernel_tends_to_the_population_kernel(phi, rng):
    """The error falls like N^(-1/2); ten draws at each N."""
    omega = phi.manifold.sample(8, rng)
    sizes = [100, 400, 1600, 6400]
    errors = [
        np.sqrt(np.mean([kernel_error(phi, omega, n, rng) ** 2 for _ in range(10)])) for n in sizes
    ]
    assert fit(sizes, errors).order == pytest.approx(-0.5, abs=0.1)


@pytest.mark.parametrize("profile", FREEDOM)
@pytest.mark.parametrize("dim", [1, 2, 9, 100])
def test_fourier_features_have_their_kernel(dim, profile, rng):
    """The mean over N inputs, to six standard errors: E phi^2 phi'^2 is 1 + k(2 r) / 2 + K^2, less
    than 3 - K^2, where k(2 r) <= 1 is the kernel at twice the distance.
    """
    phi, n = RandomFourier(Sphere(dim), 0.8, profile), 200_000
    omega = phi.manifold.retract(
        np.repeat(phi.manifold.sample(1, rng), 6, axis=0), rng.standard_normal((6, dim + 1)) / 4
    )
    values = phi(omega, phi.inputs(n, rng))[0]
    r = np.linalg.norm(omega[:, None] - omega, axis=-1) / 0.8
    expected = {"gaussian": np.exp(-(r**2) / 2), "matern": (1 + r) * np.exp(-r),
                "laplace": np.exp(-r)}[profile]  # fmt: skip
    assert phi.kernel(omega, omega)[0] == pytest.approx(expected, abs=1e-14)
    assert np.abs(values @ values.T / n - expected).max() < 6 * np.sqrt(2 / n)
    assert np.abs(values.mean(axis=1)).max() < 6 / np.sqrt(n)  # of a uniform phase it is 0


def test_compiled_cosines():
    """Against numpy's, of angles that are exact multiples of a turn too."""
    turns = np.concatenate([np.linspace(-3, 3, 40_001), np.arange(-8, 8) / 4, [1e9 + 0.125]])
    found = turns[None].copy()
    turned_cosines(found, 2.0)
    exact = 2 * np.cos(2 * np.pi * (turns - np.rint(turns)))
    assert found[0] == pytest.approx(exact, abs=1e-15)


@pytest.mark.parametrize("profile", FREEDOM)
def test_fourier_kernels_where_points_coincide(profile, rng):
    """The value is 1, and the gradient is 0 where the kernel is smooth or has a symmetric cusp."""
    sphere = Sphere(9)
    kernel, omega = Chordal(sphere, 0.5, profile), sphere.sample(1, rng)
    value, pullback = kernel(omega, omega)
    assert value == pytest.approx(1, abs=1e-14)
    assert np.abs(pullback(np.ones(1))).max() < 1e-14


@given(
    scale=st.floats(1e-3, 1e3), dim=st.integers(1, 100), profile=st.sampled_from(sorted(FREEDOM))
)
def test_fourier_features_of_every_scale_can_be_used(scale, dim, profile):
    """The test on a few points that a user's features undergo: values, gradients, kernel."""
    phi = placed_features(RandomFourier(scale=scale, profile=profile), Sphere(dim))
    assert phi.manifold == Sphere(dim)
    keys = features_keys(phi)
    assert feature(keys["features"], phi.manifold, keys["scale"], keys["profile"]) == phi


def test_paper_radial_feature():
    """Appendix B: 2 exp(-r/s) / s^2 of the wrapped distance, at a hand-picked pair."""
    omega, x = np.array([[1.9, 0.0]]), np.array([[-1.9, 0.3]])
    r = np.hypot(0.2, 0.3)
    assert Radial(TORUS, 0.5)(omega, x)[0][0, 0] == pytest.approx(8 * np.exp(-r / 0.5))


def test_refusals():
    for args in (("relu", TORUS, 1.0, ""), ("radial", CIRCLE, 1.0, "laplace"),
                 ("radial", TORUS, 1.0, "box"), ("laplace", CIRCLE, 0.0, ""),
                 ("rellu", CIRCLE, 1.0, "")):  # fmt: skip
        with pytest.raises(InputError):
            feature(*args)


@pytest.mark.parametrize(
    ("manifold", "scale", "profile", "sentence"),
    [(TORUS, 1.0, "gaussian", "'fourier' live on spheres"),
     (CIRCLE, 0.0, "gaussian", "network.scale must be positive, not 0.0"),
     (CIRCLE, float("nan"), "gaussian", "network.scale must be positive"),
     (CIRCLE, 1e-4, "gaussian", "between 0.001 and 1000, not 0.0001"),
     (CIRCLE, 1.0, "gausian", "did you mean 'gaussian'")],
)  # fmt: skip
def test_fourier_features_refuse_in_one_sentence(manifold, scale, profile, sentence):
    with pytest.raises(InputError, match=sentence) as refused:
        feature("fourier", manifold, scale, profile)
    assert str(refused.value).count(". ") == 0
