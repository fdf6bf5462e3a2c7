"""Features and kernels: gradients against differences, kernels against direct sums and samples."""

import numpy as np
import pytest
from verification import kernel_error

from uf_diffusion.core.compiled import exponential
from uf_diffusion.core.errors import InputError
from uf_diffusion.kernels.closed_forms import ArcCosine, Matern32
from uf_diffusion.kernels.features import Laplace, Radial, ReLU
from uf_diffusion.kernels.loops import TILE
from uf_diffusion.problem.manifolds import Circle, FlatTorus, Sphere
from uf_diffusion.runs.building import feature
from uf_diffusion.studies.orders import fit

CIRCLE, TORUS = Circle(), FlatTorus(2, 4.0)
FEATURES = [
    ReLU(CIRCLE),
    ReLU(Sphere(3)),
    Laplace(CIRCLE, 0.7),
    Radial(TORUS, 0.5, "laplace"),
    Radial(TORUS, 0.5, "gaussian"),
    Radial(FlatTorus(1, 2.0), 0.3, "matern"),
]
KERNELS = [ArcCosine(CIRCLE), ArcCosine(Sphere(2)), Matern32(CIRCLE, 0.5), Matern32(CIRCLE, 3.0)]


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
    omega[3] = phi.manifold.retract(x[7:8], 0 * x[7:8])[0]
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


@pytest.mark.parametrize("phi", [ReLU(CIRCLE), ReLU(Sphere(2)), Laplace(CIRCLE, 0.5)], ids=repr)
def test_sampled_kernel_tends_to_the_population_kernel(phi, rng):
    """The error falls like N^(-1/2); ten draws at each N."""
    omega = phi.manifold.sample(8, rng)
    sizes = [100, 400, 1600, 6400]
    errors = [
        np.sqrt(np.mean([kernel_error(phi, omega, n, rng) ** 2 for _ in range(10)])) for n in sizes
    ]
    assert fit(sizes, errors).order == pytest.approx(-0.5, abs=0.1)


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
