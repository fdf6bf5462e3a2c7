"""Energy distances of densities as functions, against closed forms and other quadratures."""

import numpy as np
import pytest
from scipy.integrate import dblquad, quad
from scipy.special import eval_legendre

from uf_diffusion.distances.density_quantiles import Quantiles
from uf_diffusion.distances.energy_distances import energy_distance
from uf_diffusion.distances.energy_modes import EnergyModes
from uf_diffusion.distances.measures import Measure
from uf_diffusion.distances.named import distance
from uf_diffusion.grids.built_in import grid_on
from uf_diffusion.grids.quadrature import quadrature
from uf_diffusion.problem.densities import Bumps, VonMisesFisher
from uf_diffusion.problem.manifolds import Circle, FlatTorus, Sphere

ANGLE = 2 * np.pi


def on(manifold, cells, *functions, degree=1):
    """The metric of a mesh and the images of functions at its nodes."""
    grid = grid_on(manifold, cells, degree)
    energy = EnergyModes(grid)
    return energy, energy.densities(grid, np.array([f(grid.nodes) for f in functions]))


def of_hats(values):
    """The Fourier coefficients of k = 1, ..., n / 4 of the function that is linear between values
    at n even angles, times n: those of the values times the transform of a hat.
    """
    n = len(values)
    k = np.arange(1, n // 4 + 1)
    return k, np.fft.fft(values)[k] / n * np.sinc(k / n) ** 2


def on_the_circle(k, difference):
    """The energy distance of densities with these differences of Fourier coefficients, from the
    integrals of |x - y| over the circle.
    """
    kappa = [quad(lambda a, k=k: -2 * np.sin(a / 2) * np.cos(k * a), 0, ANGLE, limit=500)[0]
             for k in k]  # fmt: skip
    return np.sqrt(2 * ANGLE * np.array(kappa) @ np.abs(difference) ** 2)


def test_the_error_of_an_interpolant_is_resolved():
    """A density on 4096 cells, and on 16384: 5e-7, where atoms at the nodes are 2e-4 apart."""
    density = Bumps(Circle(), 100.0)
    coarse, fine = grid_on(Circle(), 4096), grid_on(Circle(), 16384)
    f, g = density(coarse.nodes), density(fine.nodes)
    f, g = f / (f.mean() * ANGLE), g / (g.mean() * ANGLE)
    (k, a), (_, b) = of_hats(f), of_hats(g)
    exact = on_the_circle(k[:200], a[:200] - b[:200])
    energy = EnergyModes(fine)
    [mu], [nu] = energy.densities(coarse, f[None]), energy.densities(fine, g[None])
    assert energy.between(mu, nu) == pytest.approx(exact, rel=1e-3)
    assert exact < 2e-6
    assert energy.left_out(mu, nu) < 0.01 * exact
    at_nodes = energy_distance(coarse.nodes, fine.nodes, f / f.sum(), g / g.sum(), Circle())
    assert at_nodes > 100 * exact


@pytest.mark.parametrize("degree", [1, 2, 3])
def test_zonal_densities_on_the_sphere(degree):
    """1 + P_l(z) / 2 against 1 by the integral of |x - y| P_l; the order is that of the element."""
    errors = []
    for cells in (1280, 5120):
        energy, one, other = None, None, None
        for n in (1, 5):
            energy, (one, other) = on(
                Sphere(2), cells, lambda x: np.ones(len(x)),
                lambda x, n=n: 1 + eval_legendre(n, x[:, 2]) / 2, degree=degree,
            )  # fmt: skip
            chords = quad(lambda t, n=n: np.sqrt(2 - 2 * t) * eval_legendre(n, t), -1, 1)[0]
            # of -|x - y|: the eigenvalue times the squared norm of P_l / 2 over 4 pi
            exact = np.sqrt(-2 * np.pi * chords / (4 * np.pi * 4 * (2 * n + 1)))
            errors.append(abs(energy.between(one, other) / exact - 1))
    order = np.log2(np.array(errors[:2]) / errors[2:])
    assert (order > min(degree + 1, 3) - 0.3).all()
    assert max(errors[2:]) < {1: 0.02, 2: 2e-3, 3: 5e-4}[degree]


@pytest.mark.parametrize("k", [(1, 0), (2, 1), (3, 3)])
def test_waves_on_the_torus(k):
    """1 + cos(q k.x) / 2 against 1, by an integral of chords of the product of two circles."""
    period, wave = 4.0, np.array(k)
    energy, (one, other) = on(
        FlatTorus(2, period), 8000, lambda x: np.ones(len(x)),
        lambda x: 1 + np.cos(ANGLE / period * (x @ wave)) / 2, degree=3,
    )  # fmt: skip

    def integrand(y, x):
        chord = period / np.pi * np.hypot(np.sin(np.pi * x / period), np.sin(np.pi * y / period))
        return -chord * np.cos(ANGLE / period * k[0] * x) * np.cos(ANGLE / period * k[1] * y)

    kappa = 4 * dblquad(integrand, 0, period / 2, 0, period / 2, epsrel=1e-6)[0] / period**2
    assert energy.between(one, other) == pytest.approx(np.sqrt(kappa / 8), rel=1e-4)


MANIFOLDS = [(Circle(), 256), (FlatTorus(1, 3.0), 256), (Sphere(2), 5120), (FlatTorus(2, 4.0), 2000),
             (FlatTorus(3, 2.0), 1000)]  # fmt: skip


@pytest.mark.parametrize(("manifold", "cells"), MANIFOLDS, ids=str)
def test_atoms_to_a_density_are_the_limit_of_atoms_to_atoms(manifold, cells, rng):
    """The density as more and more atoms: the quadrature of finer meshes, weighted by it."""
    points, mass = manifold.sample(40, rng), rng.dirichlet(np.ones(40))
    grid = grid_on(manifold, cells)
    density = 1 + 0.5 * manifold.first_harmonic(grid.nodes.T)
    energy = EnergyModes(grid)
    [image] = energy.densities(grid, density[None])
    found, apart = energy.between(energy.atoms(points, mass), image), []
    for finer in (1, 2):
        y, weight = quadrature(grid_on(manifold, cells * finer**manifold.dim))
        weight *= grid.interpolate(density, y)
        apart.append(energy.between_atoms(points, y, mass, weight / weight.sum()) - found)
    assert abs(apart[1]) < max(0.6 * abs(apart[0]), 1e-4 * found)
    assert abs(apart[1]) < 1e-3 * found


def test_the_rest_of_atoms_is_all_that_the_mesh_does_not_resolve(rng):
    """Distances of the same atoms to the same density, on a coarse and on a fine mesh."""
    points, mass = Sphere(2).sample(500, rng), np.full(500, 1 / 500)
    found = []
    for cells in (320, 1280, 20480):
        energy, [image] = on(Sphere(2), cells, lambda x: np.ones(len(x)))
        atoms = energy.atoms(points, mass)
        found.append(energy.between(atoms, image))
        assert energy.left_out(image, image) == 0
    assert found == pytest.approx([found[-1]] * 3, rel=1e-5)


def test_what_is_left_out_is_bounded():
    """Two peaks that a coarse metric does not resolve, against a fine one."""
    peaks = [VonMisesFisher(Sphere(2), kappa=[k], means=[[0, 0, 1.0]], weights=[1.0])
             for k in (300.0, 250.0)]  # fmt: skip
    truth, (f, g) = on(Sphere(2), 80_000, *peaks)
    fine, coarse = grid_on(Sphere(2), 80_000), EnergyModes(grid_on(Sphere(2), 1280))
    assert truth.left_out(f, g) < 1e-3 * truth.between(f, g)
    mu, nu = coarse.densities(fine, np.array([p(fine.nodes) for p in peaks]))
    assert coarse.left_out(mu, nu) > 0.01 * coarse.between(mu, nu)


@pytest.mark.parametrize("manifold", [Circle(), FlatTorus(1, 3.0)], ids=str)
def test_quantiles_resolve_a_small_shift(manifold):
    """W_2 of a density f and its rotation by 1e-6, on 1024 cells. For small shifts the velocity is
    1 + c / f with the c that makes its integral with f^0 vanish: W_2^2 = shift^2 (1 - 1 / int 1/f).
    """
    length, shift = manifold.axes[0].length, 1e-6
    grid = grid_on(manifold, 1024)

    def density(turned):
        angle = ANGLE / length * manifold.chart(grid.nodes)[:, 0]
        return 1 + 0.5 * np.cos(angle - turned * ANGLE / length)

    mu, nu = (Quantiles.of(grid, density(t)) for t in (0.0, shift))
    assert mu.w2(nu) == pytest.approx(shift * np.sqrt(1 - np.sqrt(0.75)), rel=1e-3)
    assert mu.w2(mu) < 1e-12


def test_quantiles_agree_with_atoms_where_these_are_fine_enough(rng):
    """W_2 of two densities, and of atoms to a density, by sampling it at many even angles."""
    grid = grid_on(Circle(), 512)
    f, g = Bumps(Circle(), 10.0)(grid.nodes), Bumps(Circle(), 2.0, centres=[[1.5]])(grid.nodes)
    mu, nu = Quantiles.of(grid, f), Quantiles.of(grid, g)
    exact = distance("w2", mu.atoms(), nu.atoms()).value
    assert mu.w2(nu) == pytest.approx(exact, rel=1e-6)
    even = Circle().even(20_000)
    atoms = Measure(Circle(), even, (w := grid.interpolate(f, even)) / w.sum())
    assert distance("w2", atoms, nu.atoms()).value == pytest.approx(exact, rel=1e-4)
