"""Activation functions: values, kernels, eigenvalues, fast forms, and what they see."""

import math

import numpy as np
import pytest
from activation_errors import CLOSED, closed_form_error
from scipy.integrate import dblquad, quad
from scipy.special import eval_gegenbauer

from uf_diffusion.core.errors import InputError
from uf_diffusion.kernels.activation_kernels import ActivationKernel
from uf_diffusion.kernels.activations import Activation
from uf_diffusion.kernels.base import PlainFeature
from uf_diffusion.kernels.choice import feature_map
from uf_diffusion.kernels.circle_expansions import CircleExpansion
from uf_diffusion.kernels.circle_maps import CircleMap
from uf_diffusion.kernels.feature_maps import Atoms
from uf_diffusion.kernels.identifiability import identifiability
from uf_diffusion.kernels.inputs import Inputs
from uf_diffusion.kernels.measured_kernels import MeasuredKernel
from uf_diffusion.kernels.measured_spaces import measured_space
from uf_diffusion.kernels.nonlinearities import NONLINEARITIES, nonlinearity
from uf_diffusion.kernels.projection import project
from uf_diffusion.kernels.sampled import Sampled
from uf_diffusion.kernels.seen_spaces import (
    CONSTANTS_AND_ODD,
    EVEN,
    EVEN_AND_LINEAR,
    EVERYTHING,
    ODD,
    ODD_AND_QUADRATIC,
)
from uf_diffusion.kernels.tabulated import tabulated
from uf_diffusion.kernels.zonal import multiplicities, zonal_harmonics
from uf_diffusion.problem.densities import Uniform, VonMisesFisher
from uf_diffusion.problem.divergences import UNBIASED
from uf_diffusion.problem.manifolds import Circle, FlatTorus, Sphere

CIRCLE, SPHERE = Circle(), Sphere(2)
NAMES = list(NONLINEARITIES)
SPACES = {
    EVEN_AND_LINEAR: ["relu", "leaky-relu", "softplus", "gelu", "silu"],
    ODD: ["tanh", "erf", "sin"],
    CONSTANTS_AND_ODD: ["sigmoid"],
    EVEN: ["abs", "cos", "gaussian"],
    ODD_AND_QUADRATIC: ["relu2"],
    EVERYTHING: ["elu", "exp"],
}


def known_value(name, z):
    """The activations, written anew with the standard library."""
    normal = 0.5 * (1 + math.erf(z / math.sqrt(2)))
    return {
        "relu": max(z, 0), "leaky-relu": max(z, 0.01 * z), "softplus": math.log(1 + math.exp(z)),
        "gelu": z * normal, "silu": z / (1 + math.exp(-z)), "elu": z if z > 0 else math.exp(z) - 1,
        "tanh": math.tanh(z), "erf": math.erf(z), "sigmoid": 1 / (1 + math.exp(-z)),
        "sin": math.sin(z), "cos": math.cos(z), "abs": abs(z), "exp": math.exp(z),
        "gaussian": math.exp(-z * z / 2), "relu2": max(z, 0) ** 2,
    }[name]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_values_and_derivatives(name):
    sigma, z = nonlinearity(name), np.array([-3.1, -0.7, -0.01, 0.02, 0.4, 2.9])
    assert sigma.value(z) == pytest.approx([known_value(name, x) for x in z], abs=1e-15)
    ahead, behind = (np.array([known_value(name, x + h) for x in z]) for h in (1e-6, -1e-6))
    assert sigma.slope(z) == pytest.approx((ahead - behind) / 2e-6, abs=1e-8)


@pytest.mark.parametrize("scale", [1.0, 0.6])
@pytest.mark.parametrize("name", CLOSED)
def test_closed_forms_are_the_hermite_series(name, scale):
    """Two independent ways to the kernel, to 1e-12 everywhere, the poles included."""
    assert closed_form_error(name, scale) < 1e-12


@pytest.mark.parametrize("name", NAMES)
def test_kernels_against_a_double_integral(name):
    """E sigma(z) sigma(z') by adaptive quadrature over the plane, at one correlation."""
    rho, root = 0.3, math.sqrt(1 - 0.3**2)
    found = dblquad(
        lambda y, x: known_value(name, x) * known_value(name, rho * x + root * y)
        * math.exp(-(x * x + y * y) / 2) / (2 * math.pi),
        -8.5, 8.5, -8.5, 8.5, epsabs=1e-7,
    )[0]  # fmt: skip
    kernel = ActivationKernel(SPHERE, nonlinearity(name), 1.0)
    assert kernel.of_correlation(np.array([rho]))[0][0] == pytest.approx(found, abs=2e-6)


@pytest.mark.parametrize("name", NAMES)
def test_sampled_kernels_tend_to_the_population(name):
    """Like N^(-1/2): the mean over blocks of inputs is within five standard errors."""
    phi, rng = Activation(name, manifold=SPHERE), np.random.default_rng(3)
    pair = SPHERE.sample(2, rng)
    x = phi.inputs(200_000, rng)
    products = np.prod(phi(pair, x)[0], axis=0)
    exact = phi.kernel(pair[:1], pair[1:])[0][0, 0]
    assert abs(products.mean() - exact) < 5 * products.std() / math.sqrt(len(x))


@pytest.mark.parametrize("name", ["tanh", "softplus", "silu", "elu", "sigmoid"])
def test_what_a_series_leaves_out_is_below_its_tail(name):
    """At rho = 1 the kernel is E sigma^2, a single integral."""
    kernel = ActivationKernel(SPHERE, nonlinearity(name), 0.7)
    second = quad(
        lambda z: known_value(name, z / 0.7) ** 2 * math.exp(-z * z / 2) / math.sqrt(2 * math.pi),
        -20, 20, points=[0.0], epsabs=1e-14, limit=400,
    )[0]  # fmt: skip
    missing = second - kernel.of_correlation(np.ones(1))[0][0]
    assert -1e-12 * second < missing <= kernel.tail + 1e-12 * second
    assert kernel.tail < 1e-7 * second


def test_kernel_gradients_are_differences():
    rng = np.random.default_rng(0)
    omega, other, weight = SPHERE.sample(5, rng), SPHERE.sample(7, rng), rng.standard_normal(7)
    for name in NAMES:
        kernel = ActivationKernel(SPHERE, nonlinearity(name), 0.8)
        slope = kernel(omega, other)[1](weight)
        way = SPHERE.tangent(omega, rng.standard_normal(omega.shape))
        near = [kernel(SPHERE.retract(omega, h * way), other)[0] @ weight for h in (1e-6, -1e-6)]
        measured = (near[0] - near[1]) / 2e-6
        assert (slope * way).sum(axis=1) == pytest.approx(measured, abs=1e-7, rel=1e-6), name


@pytest.mark.parametrize("dim", [1, 2, 9])
def test_eigenvalues_sum_to_the_kernel(dim):
    """Mercer's theorem, with scipy's Gegenbauer polynomials for the harmonics."""
    rho = np.array([-1.0, -0.4, 0.1, 0.8])
    for name in ("erf", "gelu", "sigmoid", "cos", "exp"):
        kernel = ActivationKernel(Sphere(dim), nonlinearity(name), 1.0)
        value = kernel.eigenvalues(48)
        if dim > 1:
            index = (dim - 1) / 2
            zonal = [
                eval_gegenbauer(k, index, rho) / eval_gegenbauer(k, index, 1.0) for k in range(49)
            ]
        else:
            zonal = [np.cos(k * np.arccos(rho)) for k in range(49)]
        total = (value * multiplicities(dim, 48)) @ np.array(zonal)
        assert total == pytest.approx(
            kernel.of_correlation(rho)[0], abs=1e-12 * value.sum() + 1e-13
        )


def test_eigenvalues_agree_with_those_of_relu():
    from uf_diffusion.kernels.zonal import relu_eigenvalues

    for dim in (1, 2, 9):
        found = ActivationKernel(Sphere(dim), nonlinearity("relu")).eigenvalues(20)
        assert found == pytest.approx(relu_eigenvalues(dim, 20), rel=1e-9, abs=1e-18)
        assert (found[3::2] == 0).all()


# --- fast forms -----------------------------------------------------------------------------------


def maps(name, bias, n=900, m=60):
    rng = np.random.default_rng(1)
    phi = Activation(name, scale=0.8, bias=bias, manifold=CIRCLE)
    teacher = Atoms(CIRCLE.sample(20, rng), rng.dirichlet(np.ones(20)))
    x = phi.inputs(n, rng)
    fast = feature_map(phi, "sampled", n, teacher, rng, m, 0.0, Inputs(x))
    return fast, Sampled(phi, x, teacher), CIRCLE.sample(m, rng), rng


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(
    ("name", "kind"),
    [("relu", CircleMap), ("leaky-relu", CircleMap), ("abs", CircleMap), ("gelu", CircleExpansion),
     ("tanh", CircleExpansion), ("sigmoid", CircleExpansion), ("exp", CircleExpansion),
     ("elu", Sampled), ("relu2", Sampled)],
)  # fmt: skip
def test_fast_forms_on_the_circle_are_the_dense_ones(name, kind, bias):
    fast, dense, omega, rng = maps(name, bias)
    assert type(fast) is kind
    v = rng.standard_normal(len(omega)) / len(omega)
    a, b = fast.at(omega), dense.at(omega)
    size = np.abs(b.potential(v)).max()
    assert a.potential(v) == pytest.approx(b.potential(v), abs=1e-11 * size)
    assert a.potential_gradient(v) == pytest.approx(b.potential_gradient(v), abs=1e-10 * size)
    assert a.misfit(v) == pytest.approx(b.misfit(v), rel=1e-10, abs=1e-14)
    mass = np.full(len(omega), 1 / len(omega))
    weights = [project(n, mass, UNBIASED, 1e-3).outer_weight for n in (a, b)]
    assert weights[0] == pytest.approx(weights[1], abs=1e-9)


def test_expansions_claim_no_truncation():
    fast, _, omega, _ = maps("gelu", True)
    mass, w = np.full(len(omega), 1 / len(omega)), np.zeros(len(omega))
    assert not fast.truncated and fast.weight_error(omega, mass, w, UNBIASED, 1e-3) == 0


# --- what is seen ---------------------------------------------------------------------------------


@pytest.mark.parametrize("dim", [1, 2, 5])
def test_parity_and_measurement_say_the_same(dim):
    """Section 7's table, found from values alone, in several dimensions."""
    for space, names in SPACES.items():
        for name in names:
            phi = Activation(name, manifold=Sphere(dim) if dim > 1 else CIRCLE)
            assert phi.sees == space, name
            assert measured_space(phi) == space, name


def test_a_bias_or_uneven_inputs_leave_no_known_space():
    for name in ("relu", "gelu", "tanh", "exp"):
        assert Activation(name, bias=True, manifold=CIRCLE).sees is None
        assert measured_space(Activation(name, bias=True, manifold=SPHERE)) is None
    cube = measured_space(
        Activation("tanh", manifold=SPHERE), lambda n, rng: rng.uniform(-1, 1, (n, 3))
    )
    assert cube is None


class Mixture(PlainFeature):
    """A user's features that say nothing about what they see."""

    def __init__(self, manifold, *parts):
        self.manifold, self.parts = manifold, parts

    def inputs(self, n, rng):
        return rng.standard_normal((n, self.manifold.ambient))

    def __call__(self, omega, x):
        z = omega @ x.T
        value = sum(c * nonlinearity(name).value(z) for c, name in self.parts)
        slope = sum(c * nonlinearity(name).slope(z) for c, name in self.parts)
        return value, lambda w: self.manifold.tangent(omega, slope @ (w[:, None] * x))


@pytest.mark.parametrize(
    ("parts", "space"),
    [([(1.0, "tanh")], ODD), ([(0.3, "tanh"), (0.7, "sin")], ODD),
     ([(1.0, "gelu"), (-0.5, "softplus")], EVEN_AND_LINEAR), ([(1.0, "tanh"), (1.0, "abs")],
     EVERYTHING), ([(1.0, "cos"), (0.5, "gaussian")], EVEN),
     ([(0.2, "tanh"), (1.0, "sigmoid")], CONSTANTS_AND_ODD)],
    ids=str,
)  # fmt: skip
def test_features_of_a_user_are_classified(parts, space):
    """Random mixtures too, on the circle and on S^2."""
    for manifold in (CIRCLE, SPHERE):
        phi = Mixture(manifold, *parts)
        assert measured_space(phi) == space
        seen = identifiability(phi, VonMisesFisher(manifold, 2.0), Uniform(manifold))
        assert seen.space == space
        null = seen.wave[seen.eigenvalue == 0][:, 0]
        low = null[null < 6]  # of analytic kernels the highest degrees are lost in round-off
        assert all(not space.has(degree) for degree in low)
        assert space == EVERYTHING or len(low)


def test_a_users_activation_is_measured():
    phi = Activation(lambda z: (np.arctan(z), 1 / (1 + z * z)), manifold=CIRCLE)
    assert phi.sees is None and measured_space(phi) == ODD
    value = phi.eigenvalues(12)
    assert (value[::2] == 0).all() and (value[1::2] > 0).all()


def test_measured_eigenvalues_are_those_of_the_population():
    """With many inputs, and with the shares of a density in the eigenspaces."""
    for manifold in (CIRCLE, SPHERE):
        phi = Activation("gelu", manifold=manifold)
        kernel = MeasuredKernel(phi, phi.inputs(20_000, np.random.default_rng(0)))
        exact = np.repeat(phi.eigenvalues(6), multiplicities(manifold.dim, 6).astype(int))
        assert kernel.eigenvalues[:6] == pytest.approx(np.sort(exact)[::-1][:6], rel=0.06)
        density = VonMisesFisher(manifold, 2.0)
        shares = kernel.shares(density)
        assert shares.sum() == pytest.approx(1, abs=1e-6)
        angle = np.linspace(0, np.pi, 20_001)[1:]
        weight = np.sin(angle) ** (manifold.dim - 1)
        weight /= weight.sum()
        values = np.exp(2 * np.cos(angle))
        values -= weight @ values
        first = zonal_harmonics(manifold.dim, 1, np.cos(angle))[1]
        share = float(weight @ (first * values)) ** 2 / float(weight @ values**2)
        # the eigenvalues of the degrees 0 and 1 are so close that the inputs mix them
        assert shares[kernel.degrees <= 1].sum() == pytest.approx(share, rel=0.05)


# --- mistakes -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Activation("relux"), "did you mean 'relu'"),
        (lambda: Activation("tanh", scale=0), "network.scale must be positive"),
        (lambda: Activation("tanh", bias=1), "network.bias must be true or false"),
        (lambda: Activation("leaky-relu", slope=math.nan), "network.slope must be a number"),
        (lambda: Activation("tanh", manifold=FlatTorus(2, 1.0)), "live on spheres"),
        (lambda: Activation(lambda z: z), "must map an array z to two arrays"),
        (lambda: Activation(lambda z: (z[:3], z[:3])), "two arrays of the shape of z"),
        (lambda: Activation(lambda z: (np.log(z), 1 / z)), "not finite"),
        (lambda: Activation(lambda z: (z**2, z)), "not those of its values"),
        (lambda: Activation(lambda z: 1 / 0), "ZeroDivisionError"),
    ],
)
def test_mistakes(make, said):
    with pytest.raises(InputError, match=said):
        make()


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    ("name", "kind"), [("gelu", "LabelledExpansion"), ("abs", "LabelledCircleMap")]
)
def test_given_labels_on_the_circle(name, kind, weighted):
    """Potentials, misfits and outer weights of labels, against sums over the inputs."""
    rng = np.random.default_rng(4)
    phi = Activation(name, bias=True, manifold=CIRCLE)
    n, m = 700, 40
    x, y = phi.inputs(n, rng), rng.standard_normal(n)
    weights = rng.dirichlet(np.ones(n)) if weighted else np.full(n, 1 / n)
    inputs = Inputs(x, weights if weighted else None, y)
    omega, u = CIRCLE.sample(m, rng), rng.standard_normal(m)
    teacher = Atoms(omega[:1], np.ones(1))
    psi = feature_map(phi, "sampled", n, teacher, rng, m, 0.0, inputs)
    assert type(psi).__name__ == kind
    values = phi(omega, x)[0]
    residual = y - u @ values / m
    neurons, v = psi.at(omega), u / m
    assert neurons.potential(v) == pytest.approx(values @ (weights * residual), abs=1e-10)
    assert neurons.misfit(v) == pytest.approx(weights @ residual**2, rel=1e-10)
    slope = phi(omega, x)[1](weights * residual)
    assert neurons.potential_gradient(v) == pytest.approx(slope, abs=1e-10)
    gram = (values * weights) @ values.T / m + 1e-2 * np.eye(m)
    exact = np.linalg.solve(gram, values @ (weights * y) + 1e-2)
    outer = project(neurons, np.full(m, 1 / m), UNBIASED, 1e-2)
    assert outer.outer_weight == pytest.approx(exact, abs=1e-8)


@pytest.mark.parametrize("reach", [0.7, 5.0, 40.0])
def test_tables_are_the_functions(reach):
    """Everywhere, at random arguments and at 0, to a few units of the last place."""
    for name, sigma in NONLINEARITIES.items():
        for function in (sigma.value, sigma.slope):
            table = tabulated(function, reach)
            assert table is not None, name
            z = np.random.default_rng(1).uniform(-reach, reach, (3, 5000))
            exact = function(z)
            table(z, 2.0)
            assert z == pytest.approx(2 * exact, abs=2e-14 * np.abs(exact).max()), name


def test_functions_without_a_table():
    """Kinks within a cell, infinite values and too many cells."""
    assert tabulated(lambda z: np.abs(z - 0.3), 5.0) is None
    assert tabulated(lambda z: 1 / (z - 0.3), 5.0) is None
    assert tabulated(np.tanh, 1e4) is None


def test_kernels_of_odd_activations_can_be_truncated():
    """Their constant is not seen, and at least one degree is kept, whatever may be dropped."""
    rng = np.random.default_rng(0)
    for manifold in (CIRCLE, SPHERE):
        phi = Activation("tanh", manifold=manifold)
        teacher = Atoms(manifold.sample(3, rng), np.full(3, 1 / 3))
        for dropped in (1e-8, 10.0):
            psi = feature_map(phi, "low-rank", 0, teacher, rng, 8, dropped)
            omega = manifold.sample(8, rng)
            missing = np.diag(phi.kernel(omega, omega)[0]) - np.diag(psi.at(omega).kernel)
            assert psi.size > 0 and (missing > -1e-9).all() and missing.max() < max(dropped, 1e-9)


def power(even, odd):
    """An activation |z|^even + sign(z) |z|^odd, each left out for 0."""

    def function(z):
        value, slope = np.zeros_like(z), np.zeros_like(z)
        for p, sign in ((even, np.ones_like(z)), (odd, np.sign(z))):
            if p:
                value = value + sign * np.abs(z) ** p
                slope = slope + sign * np.sign(z) * p * np.abs(z) ** (p - 1)
        return value, slope

    return function


@pytest.mark.parametrize(
    ("even", "odd", "space"),
    [(1, 1, EVEN_AND_LINEAR), (2, 2, ODD_AND_QUADRATIC), (0, 2, ODD), (1, 0, EVEN),
     (3, 2, EVERYTHING), (3, 3, None), (0, 3, None), (4, 0, None), (4, 2, None), (0, 1, None)],
)  # fmt: skip
def test_polynomial_parts_see_finitely_many_degrees(even, odd, space):
    """ReLU^3, z^3, z^4 and the like: a polynomial part of degree 3 is not all of its parity."""
    for manifold in (CIRCLE, SPHERE, Sphere(5)):
        assert measured_space(Activation(power(even, odd), manifold=manifold)) == space


def test_leaky_relu_may_be_linear_or_even():
    for slope, space in ((-1.0, EVEN), (0.0, EVEN_AND_LINEAR), (1.0, None)):
        phi = Activation("leaky-relu", slope=slope, manifold=SPHERE)
        assert phi.sees == space and measured_space(phi) == space
        seen = np.flatnonzero(phi.eigenvalues(9))
        assert seen.tolist() == {-1.0: [0, 2, 4, 6, 8], 0.0: [0, 1, 2, 4, 6, 8], 1.0: [1]}[slope]


def test_features_in_single_precision_are_measured_by_their_own():
    for name in ("relu", "tanh", "gelu"):
        sigma = nonlinearity(name)

        def single(z, sigma=sigma):
            z = z.astype(np.float32)
            return sigma.value(z).astype(np.float32), sigma.slope(z).astype(np.float32)

        assert measured_space(Activation(single, manifold=SPHERE)) == sigma.space


def test_a_series_that_leaves_out_too_much_is_refused():
    kernel = ActivationKernel(SPHERE, nonlinearity("tanh"), 0.05)
    with pytest.raises(InputError, match="no short series"):
        kernel.of_correlation(np.zeros(1))
