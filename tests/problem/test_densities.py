"""Densities: normalised, the same in numpy and UFL, sampled from their own law."""

import math

import numpy as np
import pytest
from scipy.stats import kstest

from uf_diffusion.core.errors import InputError
from uf_diffusion.problem.densities import Bumps, Uniform, VonMisesFisher
from uf_diffusion.problem.exact import FirstMode, QuantileHeatFlow
from uf_diffusion.problem.manifolds import Circle, FlatTorus, Sphere
from uf_diffusion.problem.own_densities import Function
from uf_diffusion.runs.building import density

CIRCLE, TORUS, SPHERE = Circle(), FlatTorus(2, 4.0), Sphere(2)
ALL = [
    Uniform(SPHERE),
    Bumps(CIRCLE, 10.0),
    Bumps(CIRCLE, 1e4),
    Bumps(TORUS, 100.0),
    Bumps(FlatTorus(1, 1.0), 5.0, centres=[0.2]),
    VonMisesFisher(CIRCLE, 4.0),
    VonMisesFisher(SPHERE, [20.0, 3.0], [[1, 0, 0], [0, 1, 1]], [0.7, 0.3]),
    FirstMode(SPHERE),
    QuantileHeatFlow(CIRCLE),
]


@pytest.mark.parametrize("rho", ALL, ids=repr)
def test_integral_is_one(rho):
    """The mean over an even lattice times the volume, a quadrature of high order."""
    x = rho.manifold.even(512**2)
    assert rho(x).mean() * rho.manifold.volume == pytest.approx(1, abs=1e-6)


def test_paper_teacher_on_the_circle():
    """arXiv:2504.18208, section 6.1, written out with numpy and normalised numerically."""
    theta = 2 * np.pi * np.arange(4096) / 4096
    for gamma in (10.0, 100.0, 1000.0):
        f = 1 / (1 + gamma * np.sin(theta / 2) ** 2)
        f = f + 0.5 / (1 + gamma * np.sin((theta - 0.4 * np.pi) / 2) ** 2)
        f /= f.mean() * 2 * np.pi
        assert Bumps(CIRCLE, gamma)(CIRCLE.unchart(theta)) == pytest.approx(f, rel=1e-9)


def test_paper_teacher_on_the_torus():
    """Appendix B: per axis 1 / (1 + gamma sin^2(pi x / 4)), halves at (-1, 0) and (1, 1)."""
    x = TORUS.even(64**2)

    def axis(t):
        return 1 / (1 + 100 * np.sin(np.pi * t / 4) ** 2)

    f = axis(x[:, 0] + 1) * axis(x[:, 1]) + axis(x[:, 0] - 1) * axis(x[:, 1] - 1)
    fine = TORUS.even(512**2)
    g = axis(fine[:, 0]) * axis(fine[:, 1])
    assert Bumps(TORUS)(x) == pytest.approx(f / (2 * 16 * g.mean()), rel=1e-9)


@pytest.mark.parametrize(
    "rho", [r for r in ALL[1:8] if not isinstance(r.manifold, Circle)], ids=repr
)
def test_ufl_equals_numpy(rho):
    """One formula, two backends: a UFL expression interpolated on a mesh is the numpy density."""
    pytest.importorskip("dolfinx")
    from mpi4py import MPI

    import ufl
    from dolfinx import fem

    from uf_diffusion.diffusion.meshes import space_on
    from uf_diffusion.grids.built_in import grid_on

    mesh = space_on(grid_on(rho.manifold, 200), MPI.COMM_SELF)[0].mesh
    V = fem.functionspace(mesh, ("DG", 0))
    u = fem.Function(V)
    points = V.element.interpolation_points
    u.interpolate(fem.Expression(rho.formula(ufl.SpatialCoordinate(mesh), ufl), points))
    x = V.tabulate_dof_coordinates()[:, : rho.manifold.ambient]
    assert u.x.array == pytest.approx(rho(x), rel=1e-12)


def test_circle_formula_in_ufl():
    """On the circle the coordinates are those of the plane: evaluated on constants."""
    ufl = pytest.importorskip("ufl")
    x = CIRCLE.unchart(np.array([0.3, 2.0]))
    for rho in (Bumps(CIRCLE), VonMisesFisher(CIRCLE, 3.0), Uniform(CIRCLE)):
        for point, value in zip(x, rho(x), strict=True):
            expression = rho.formula(ufl.as_vector([float(c) for c in point]), ufl)
            assert float(expression) == pytest.approx(value, rel=1e-13)


def test_sample_of_the_paper_teacher(rng):
    """Kolmogorov-Smirnov against the integrated density, circle and both axes of the torus."""
    theta = np.linspace(-np.pi, np.pi, 20_001)
    cdf = np.cumsum(Bumps(CIRCLE)(CIRCLE.unchart(theta)))
    angles = CIRCLE.chart(Bumps(CIRCLE).sample(20_000, rng))[:, 0]
    assert kstest(angles, lambda t: np.interp(t, theta, cdf / cdf[-1])).pvalue > 1e-3
    x = TORUS.even(512**2)
    weight = Bumps(TORUS)(x)
    points = Bumps(TORUS).sample(20_000, rng)
    for axis in range(2):
        order = np.argsort(x[:, axis])
        cdf = np.cumsum(weight[order])
        law = lambda t, a=axis, o=order, c=cdf: np.interp(t, x[o, a], c / c[-1])  # noqa: E731
        assert kstest(points[:, axis], law).pvalue > 1e-3


@pytest.mark.parametrize("rho", [*ALL[4:7], QuantileHeatFlow(CIRCLE)], ids=repr)
def test_sample_moments(rho, rng):
    """The mean of the first harmonic, against quadrature, within five standard errors."""
    even = rho.manifold.even(256**2)
    weight = rho(even) / rho(even).sum()
    expected = weight @ rho.manifold.first_harmonic(even.T)
    sample = rho.manifold.first_harmonic(rho.sample(40_000, rng).T)
    assert abs(sample.mean() - expected) < 5 * sample.std() / math.sqrt(40_000)


def test_python_density(tmp_path, rng):
    """A user's function is normalised, and sampled by rejection."""
    (tmp_path / "my_density.py").write_text("def ring(x):\n    return 3 + 2 * x[:, 0]\n")
    rho = density({"kind": "python", "function": "my_density:ring"}, CIRCLE, str(tmp_path))
    assert rho(CIRCLE.unchart(np.array([0.0, np.pi]))) == pytest.approx(
        np.array([5, 1]) / (6 * np.pi)
    )
    sample = rho.sample(40_000, rng)
    assert sample[:, 0].mean() == pytest.approx(1 / 3, abs=0.02)  # E cos = 2 / (2 * 3)
    assert isinstance(rho, Function)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("return x[:, 0]", "negative"),
        ("return x[:, 0] * float('nan')", "not finite"),
        ("return 0 * x[:, 0]", "cannot be normalised"),
        ("return x", "must map"),
        ("return 1 / 0", "ZeroDivisionError"),
    ],
)
def test_python_density_refusals(tmp_path, body, message):
    name = f"bad_{abs(hash(body))}"
    (tmp_path / f"{name}.py").write_text(f"def f(x):\n    {body}\n")
    with pytest.raises(InputError, match=message):
        density({"kind": "python", "function": f"{name}:f"}, CIRCLE, str(tmp_path))
