"""Measured errors, orders and rates on problems whose answer is known.

The tests assert these numbers and ``scripts/verify.py`` prints them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import ufl
from basix.ufl import quadrature_element
from dolfinx import fem
from scipy.integrate import solve_ivp
from scipy.spatial import ConvexHull

from uf_diffusion.core.arrays import Array
from uf_diffusion.diffusion.constrained import ConstrainedDiffusion
from uf_diffusion.diffusion.schemes import SCHEMES
from uf_diffusion.diffusion.spectrum import spectrum
from uf_diffusion.diffusion.states import DiffusionState
from uf_diffusion.diffusion.ultra_fast import UltraFastDiffusion
from uf_diffusion.grids.base import Grid
from uf_diffusion.grids.built_in import grid_on
from uf_diffusion.grids.icosphere import Icosphere
from uf_diffusion.grids.triangulations import Triangulation
from uf_diffusion.kernels.base import Feature
from uf_diffusion.kernels.feature_maps import FeatureMap
from uf_diffusion.kernels.projection import OuterLayer, project
from uf_diffusion.problem import Problem
from uf_diffusion.problem.densities import Density, Uniform, VonMisesFisher
from uf_diffusion.problem.divergences import Divergence, Unbiased
from uf_diffusion.problem.exact import FirstMode, QuantileHeatFlow
from uf_diffusion.problem.manifolds import Circle, FlatTorus, Manifold, Sphere

__all__ = [
    "ZonalErrors",
    "constrained_zonal_solution",
    "decay_rate",
    "directional_derivatives",
    "distorted_sphere",
    "heat_flow_error",
    "kernel_error",
    "late_rate",
    "oblique_error",
    "random_sphere",
    "zonal_error",
    "zonal_errors",
    "zonal_solution",
]


def heat_flow_error(
    cells: int, step_size: float, scheme: str = "sdirk2", t: float = 1.0, degree: int = 1
) -> float:
    """Largest nodal error of the density at t on the circle with a uniform teacher.

    The exact solution is `QuantileHeatFlow`; the time step is fixed.
    """
    exact = QuantileHeatFlow(Circle())
    problem = Problem(exact.manifold, Uniform(exact.manifold), exact, Unbiased())
    solver = UltraFastDiffusion(problem, grid_on(exact.manifold, cells, degree), SCHEMES[scheme])
    for state in solver.iterate(t, step_size):
        pass
    return float(np.abs(state.ratio * solver.teacher - exact.at(t)(solver.points)).max())


def decay_rate(
    manifold: Manifold, cells: int, divergence: Divergence | None = None, rtol: float = 1e-4
) -> float:
    """The rate at which a 1 % first mode on a uniform teacher decays, over one decay time."""
    t_end = 1 / manifold.spectral_gap
    problem = Problem(manifold, Uniform(manifold), FirstMode(manifold), divergence or Unbiased())
    solver = UltraFastDiffusion(problem, grid_on(manifold, cells), rtol=rtol)
    mode = manifold.first_harmonic(solver.points.T)

    def amplitude(state: DiffusionState) -> float:
        return float(solver.comm.allreduce(solver.weight @ (mode * (state.ratio - 1))))

    states = list(solver.iterate(t_end))
    return float(np.log(amplitude(states[0]) / amplitude(states[-1])) / t_end)


def late_rate(teacher: Density, initial: Density, cells: int) -> tuple[float, float]:
    """The rate of mu/nu along the first eigenfunction while the risk falls from 1e-8 to 1e-12, and
    lambda_1 of the weighted Laplacian, which it should equal as f''(1) = 1.

    The start must not have a symmetry that leaves out the first eigenfunction.
    """
    problem = Problem(teacher.manifold, teacher, initial, Unbiased())
    solver = UltraFastDiffusion(problem, grid_on(teacher.manifold, cells))
    values, functions = spectrum(solver, 1)
    times, shares = [], []
    for state in solver.iterate(1e6):
        if state.risk < 1e-8:
            share = solver.comm.allreduce(solver.weight @ (functions[0] * (state.ratio - 1)))
            times.append(state.t)
            shares.append(abs(share))
        if state.risk < 1e-12:
            break
    return -float(np.polyfit(times, np.log(shares), 1)[0]), float(values[0])


def directional_derivatives(
    feature_map: FeatureMap,
    manifold: Manifold,
    feature: Array,
    direction: Array,
    divergence: Divergence,
    regularisation: float,
    h: float = 1e-5,
) -> tuple[float, float]:
    """The reduced risk's derivative along tangent vectors: by its velocity, and by differences.

    Args:
        feature_map: Psi, bound to a teacher.
        manifold: moves the features.
        feature: omega, ``(M, ambient)``.
        direction: tangent vectors there.
        divergence: f.
        regularisation: lambda.
        h: step of the central difference.
    """
    mass = np.full(len(feature), 1 / len(feature))

    def layer(omega: Array) -> OuterLayer:
        return project(feature_map.at(omega), mass, divergence, regularisation)

    ahead, behind = (manifold.retract(feature, s * h * direction) for s in (1, -1))
    return (
        -float(mass @ (layer(feature).velocity * direction).sum(axis=1)),
        (layer(ahead).risk - layer(behind).risk) / (2 * h),
    )


def kernel_error(feature: Feature, omega: Array, samples: int, rng: np.random.Generator) -> float:
    """Root mean square difference of the sampled from the population kernel at ``omega``."""
    assert feature.kernel is not None
    psi = feature(omega, feature.inputs(samples, rng))[0]
    return float(np.sqrt(np.mean((psi @ psi.T / samples - feature.kernel(omega, omega)[0]) ** 2)))


def zonal_solution(kappa: float, t: float, modes: int = 48) -> Callable[[Array], Array]:
    """The outer weight u = nu/mu at time t on the sphere S^2, from a one-dimensional equation.

    For a teacher c exp(kappa z) and a uniform start everything depends on z = x_3 alone:
    nu h_t = -((1 - z^2) nu u_z)_z with h = 1/u (p = 2). Legendre-Gauss collocation in z and a stiff
    ODE solver, independent of the finite elements.

    Returns:
        The polynomial u(z), to be called with z of any shape in [-1, 1].
    """
    z, _, analysis, derivative = _collocation(modes)
    nu = _zonal_teacher(kappa, z)

    def rate(_: float, h: Array) -> Array:
        return np.asarray(-derivative @ ((1 - z**2) * nu * (derivative @ (1 / h))) / nu)

    start = 1 / (4 * np.pi * nu)
    end = solve_ivp(rate, (0, t), start, method="BDF", rtol=1e-10, atol=1e-12).y[:, -1]
    coefficients = analysis @ (1 / end)
    return lambda z: np.asarray(np.polynomial.legendre.legval(z, coefficients))


def constrained_zonal_solution(kappa: float, t: float, modes: int = 40) -> Callable[[Array], Array]:
    """The density mu at time t of the constrained equation, otherwise as `zonal_solution`.

    d mu/dt = -((1 - z^2) mu u u_z)_z with u = e + b z and e even.
    """
    z, weights, analysis, derivative = _collocation(modes)
    nu = _zonal_teacher(kappa, z)

    def rate(_: float, mu: Array) -> Array:
        both, apart = mu + mu[::-1], mu - mu[::-1]
        even, odd = (nu + nu[::-1]) / both, z * (1 - apart / both)
        b = (weights * z) @ (nu - even * mu) / ((weights * z) @ (odd * mu))
        u = even + b * odd
        return np.asarray(-derivative @ ((1 - z**2) * mu * u * (derivative @ u)))

    start = np.full(modes, 1 / (4 * np.pi))
    end = solve_ivp(rate, (0, t), start, method="LSODA", rtol=1e-10, atol=1e-12).y[:, -1]
    coefficients = analysis @ end
    return lambda z: np.asarray(np.polynomial.legendre.legval(z, coefficients))


def _collocation(modes: int) -> tuple[Array, Array, Array, Array]:
    """Legendre-Gauss nodes z and weights, ``(n,)``, which are symmetric; the matrix from values to
    Legendre coefficients, and the one to the values of the derivative, ``(n, n)``.
    """
    z, weights = np.polynomial.legendre.leggauss(modes)
    table = np.polynomial.legendre.legvander(z, modes - 1)
    analysis = (table * weights[:, None]).T * (np.arange(modes)[:, None] + 0.5)
    rows = [np.polynomial.legendre.legder(row) for row in np.eye(modes)]
    slopes = np.stack([np.polynomial.legendre.legval(z, row) for row in rows], axis=1)
    return z, weights, analysis, slopes @ analysis


def _zonal_teacher(kappa: float, z: Array) -> Array:
    return np.asarray(kappa * np.exp(kappa * z) / (4 * np.pi * np.sinh(kappa)))


class ZonalErrors(NamedTuple):
    """Relative errors of the density at the nodes: root mean square, maximum over all nodes, and
    maximum over the nodes of S^2 that do not have six neighbours (0 if there are none).
    """

    mean_square: float
    maximum: float
    at_irregular: float


def zonal_errors(
    equation: type[UltraFastDiffusion | ConstrainedDiffusion], grid: Grid, t: float = 0.2
) -> ZonalErrors:
    """The errors on a mesh of S^2 for zonal densities about an axis oblique to the mesh."""
    constrained = issubclass(equation, ConstrainedDiffusion)
    sphere, kappa, axis = Sphere(2), 1.0, np.array([0.3, -0.7, 0.4]) / np.sqrt(0.74)
    problem = Problem(sphere, VonMisesFisher(sphere, kappa, [axis]), Uniform(sphere), Unbiased())
    solver = equation(problem, grid, SCHEMES["sdirk3"], 1e-6)
    for state in solver.iterate(t):
        pass
    z = solver.points @ axis
    if constrained:
        exact = constrained_zonal_solution(kappa, t)(z)
    else:
        exact = _zonal_teacher(kappa, z) / zonal_solution(kappa, t)(z)
    error = np.abs(state.ratio * solver.teacher / exact - 1)
    irregular = np.bincount(grid.cells.ravel(), minlength=len(grid.nodes))[solver.node] != 6
    irregular &= grid.degree == 1
    mean_square = float(np.sqrt(solver.volume @ error**2 / solver.volume.sum()))
    return ZonalErrors(mean_square, float(error.max()), float(error[irregular].max(initial=0.0)))


def distorted_sphere(level: int) -> Triangulation:
    """The built-in mesh of S^2, moved by a smooth map, so that its cells differ in shape."""
    grid = Icosphere(Sphere(2), level)
    a, b, _ = grid.nodes.T
    moved = grid.nodes + 0.25 * np.column_stack([np.sin(2 * b), 0.5 * np.cos(a + 1), np.sin(3 * a)])
    return Triangulation(Sphere(2), Sphere(2).project(moved), grid.cells)


def random_sphere(count: int) -> Triangulation:
    """The Delaunay triangulation of points drawn uniformly from S^2."""
    points = Sphere(2).sample(count, np.random.default_rng(1))
    corners = ConvexHull(points).simplices
    a, b, c = np.moveaxis(points[corners], 1, 0)
    inward = np.einsum("ij,ij->i", np.cross(b - a, c - a), a) < 0
    corners[inward] = corners[inward][:, ::-1]
    return Triangulation(Sphere(2), points, corners)


def zonal_error(cells: int, degree: int, kappa: float = 1.0, t: float = 0.2) -> float:
    """The L2 error of u = nu/mu on S^2 against `zonal_solution`, by quadrature inside the cells."""
    sphere = Sphere(2)
    exact = zonal_solution(kappa, t)
    problem = Problem(
        sphere, VonMisesFisher(sphere, kappa, [[0, 0, 1]]), Uniform(sphere), Unbiased()
    )
    return _l2_error(problem, t, grid_on(sphere, cells, degree), lambda x: exact(x[2]))


def oblique_error(cells: int, degree: int, t: float = 0.2) -> float:
    """The L2 error of u = nu/mu on T^2 for the exact solution in the direction (1, 2).

    With s = x_1 + 2 x_2 on the torus of period 2 pi, mu(x, t) = g(s, 5 t) / (2 pi), where g is the
    `QuantileHeatFlow` of the circle.
    """
    torus = FlatTorus(2, 2 * np.pi)
    start = _Oblique(torus)
    end = _Oblique(torus, 5 * t)
    problem = Problem(torus, Uniform(torus), start, Unbiased())
    grid = grid_on(torus, cells, degree)
    return _l2_error(problem, t, grid, lambda x: 1 / (torus.volume * end.formula(x, np)))


@dataclass(frozen=True)
class _Oblique(Density):
    t: float = 0.0

    def formula(self, x: Any, xp: Any) -> Array:
        s = x[0] + 2 * x[1]
        flow = QuantileHeatFlow(Circle(), self.t, (0.2, 0.05), (0.0, 1.0))
        return flow.formula(np.array([np.cos(s), np.sin(s)]), xp) / (2 * np.pi)


def _l2_error(problem: Problem, t: float, grid: Grid, exact: Callable[[Array], Array]) -> float:
    """The L2 norm of u - exact(x) at the end, with a quadrature of degree 10."""
    solver = UltraFastDiffusion(problem, grid, SCHEMES["sdirk3"], 1e-7)
    for state in solver.iterate(t):
        pass
    u = solver.elements.function(1 / state.ratio)
    mesh = u.function_space.mesh
    Q = quadrature_element(mesh.basix_cell(), degree=10)
    at = fem.functionspace(mesh, Q)
    position = ufl.SpatialCoordinate(mesh)
    coordinates = []
    for component in (*position, u):
        values = fem.Function(at)
        values.interpolate(fem.Expression(component, at.element.interpolation_points))
        coordinates.append(values)
    x = np.array([c.x.array for c in coordinates[:-1]])
    if isinstance(problem.manifold, Sphere):
        x /= np.linalg.norm(x, axis=0)
    error = coordinates[-1]
    error.x.array[:] -= exact(x)
    dx = ufl.dx(mesh, metadata={"quadrature_degree": 10})
    squared = fem.assemble_scalar(fem.form(error**2 * dx))
    return float(np.sqrt(solver.comm.allreduce(squared)))
