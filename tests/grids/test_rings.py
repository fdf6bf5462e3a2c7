"""Meshes of rings about an axis: volumes, interpolation, nestings, symmetry, resolution."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad

from uf_diffusion.core.errors import InputError
from uf_diffusion.grids.built_in import grid_of, grid_on
from uf_diffusion.grids.quadrature import quadrature
from uf_diffusion.grids.rings import Rings, graded
from uf_diffusion.problem import Problem
from uf_diffusion.problem.densities import Uniform, VonMisesFisher
from uf_diffusion.problem.manifolds import Circle, Sphere
from uf_diffusion.problem.symmetry import AngleLaw, Meridian
from uf_diffusion.studies.orders import fit

DIMENSIONS = [1, 2, 3, 9, 29, 100]


def space(dim):
    return Circle() if dim == 1 else Sphere(dim)


def meridian(dim):
    e = np.cos(np.arange(dim + 1.0))
    return Meridian(Sphere(dim), tuple((e / np.linalg.norm(e)).tolist()))


def grid_for(dim, kappa=3.0, cells=64):
    e = meridian(dim).direction
    problem = Problem(space(dim), VonMisesFisher(space(dim), kappa, [e]), axis=e)
    return grid_of(problem, cells)


@settings(max_examples=12)
@given(dim=st.integers(1, 100), cells=st.integers(1, 300), exponent=st.floats(-3, 5))
def test_volumes_sum_to_that_of_the_sphere(dim, cells, exponent):
    """To round-off, positive everywhere; the sections are those of the rings in the middle."""
    grid = grid_for(dim, 10**exponent, cells)
    assert isinstance(grid, Rings)
    assert grid.cell_count >= max(4, cells) and grid.cell_count % 2 == 0
    assert grid.node_count == grid.cell_count + 1 == len(grid.nodes) == len(grid.volumes)
    assert (grid.volumes > 0).all() and (grid.sections > 0).all()
    assert grid.volumes.sum() == pytest.approx(space(dim).volume, rel=1e-13)


@pytest.mark.parametrize("dim", [1, 2, 9])
def test_volumes_are_those_between_the_middles(dim):
    grid = grid_for(dim, cells=12)
    ends = np.concatenate([[0], (grid.angles[1:] + grid.angles[:-1]) / 2, [math.pi]])
    m = grid.manifold
    for low, high, volume in zip(ends[:-1], ends[1:], grid.volumes, strict=True):
        expected = quad(lambda t: m.rings(np.array([t]))[0], low, high, epsabs=0, epsrel=1e-12)[0]
        assert volume == pytest.approx(expected, rel=1e-10)
    assert grid.sections == pytest.approx(m.rings(ends[1:-1]), rel=1e-14)


@settings(max_examples=12)
@given(dim=st.integers(1, 100), exponent=st.floats(-3, 5))
def test_the_mesh_is_symmetric_about_the_equator(dim, exponent):
    """Each node has its antipode, and their volumes are equal."""
    grid = grid_for(dim, 10**exponent)
    assert grid.angles == pytest.approx(math.pi - grid.angles[::-1], abs=1e-15 * 4)
    assert (grid.opposite[grid.opposite] == np.arange(grid.node_count)).all()
    assert grid.linear[grid.opposite] == pytest.approx(-grid.linear, abs=1e-15)
    assert grid.volumes[grid.opposite] == pytest.approx(grid.volumes, rel=1e-11)
    assert grid.linear[:, 0] == pytest.approx(
        grid.nodes @ np.array(grid.manifold.direction), abs=1e-14
    )


@pytest.mark.parametrize("dim", DIMENSIONS)
def test_interpolation_is_linear_in_the_angle(dim, rng):
    """Exact for linear functions, the same on a whole ring, and constant beyond the last nodes."""
    grid = grid_for(dim)
    m, low, high = grid.manifold, grid.angles[0], grid.angles[-1]
    points = m.sample(200, rng)
    corners, shares = grid.locate(points)
    assert corners.shape == shares.shape == (200, 2)
    assert (shares >= 0).all() and shares.sum(axis=1) == pytest.approx(1, abs=1e-15)
    angle = np.clip(m.angle(points), low, high)
    values = 3 - 2 * grid.angles
    assert grid.interpolate(values, points) == pytest.approx(3 - 2 * angle, abs=1e-12)
    assert m.angle(grid.between(corners, shares)) == pytest.approx(angle, abs=1e-13)
    assert grid.interpolate(grid.angles, grid.nodes) == pytest.approx(grid.angles, abs=1e-13)
    poles = np.array([m.direction, [-c for c in m.direction]])
    assert grid.interpolate(grid.angles, poles) == pytest.approx([low, high], abs=1e-15)


@pytest.mark.parametrize("dim", DIMENSIONS)
def test_stretch_is_the_volume_of_a_step_along_a_cell(dim):
    """Its mean over the share, by Gauss's rule, is the volume between two nodes."""
    grid = grid_for(dim, cells=400)
    x, w = np.polynomial.legendre.leggauss(8)
    total = np.zeros(grid.cell_count)
    for share, weight in zip((1 + x) / 2, w / 2, strict=True):
        shares = np.tile([1 - share, share], (grid.cell_count, 1))
        total += weight * grid.stretch(grid.cells, shares)
    # the error of volumes is that of their sum, which is round-off of the whole half
    expected = grid.manifold.between(grid.angles)
    assert total == pytest.approx(expected, rel=1e-9, abs=1e-14 * space(dim).volume)


@pytest.mark.parametrize("dim", DIMENSIONS)
def test_quadrature_integrates_densities(dim):
    """The uniform density and a peak to 1e-6, second order in the cells' width."""
    e = meridian(dim).direction
    for rho in (Uniform(space(dim)), VonMisesFisher(space(dim), 30.0, [e])):
        points, weights = quadrature(grid_for(dim, 30.0, 512))
        assert weights @ rho(points) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("dim", DIMENSIONS)
def test_coarser_has_every_second_ring(dim):
    """Down to 3 cells; parents interpolate the nodes' angles, and a coarse node is its own."""
    grid, cells = grid_for(dim, cells=64), []
    while (nesting := grid.coarser()) is not None:
        coarse = nesting.grid
        assert isinstance(coarse, Rings)
        assert (coarse.angles == grid.angles[::2]).all()
        assert coarse.volumes.sum() == pytest.approx(space(dim).volume, rel=1e-13)
        found = (coarse.angles[nesting.parents] * nesting.shares).sum(axis=1)
        assert found == pytest.approx(grid.angles, abs=1e-14)
        assert nesting.shares.sum(axis=1) == pytest.approx(1, abs=1e-15)
        assert (grid.angles[nesting.place] == coarse.angles).all()
        cells.append(coarse.cell_count)
        grid = coarse
    assert cells == [32, 16, 8, 4]
    assert Rings(grid.manifold, np.linspace(0, 3, 8)).coarser() is None  # an odd number of cells


def interpolation_error(rho, grid):
    """The L1 norm of rho minus its interpolant, by the midpoint rule where rho is."""
    ends = AngleLaw.of(grid.manifold, rho).ends
    angle = (ends[1:] + ends[:-1]) / 2
    x, weight = grid.manifold.unchart(angle[:, None]), grid.manifold.rings(angle) * np.diff(ends)
    return float(weight @ np.abs(rho(x) - grid.interpolate(rho(grid.nodes), x)))


@pytest.mark.parametrize("dim", [2, 9])
def test_narrow_teachers_are_resolved(dim):
    """kappa = 1e4: order 2 in the cells, an eighth of which are where the teacher's mass is."""
    e = meridian(dim).direction
    rho, cells = VonMisesFisher(space(dim), 1e4, [e]), [512, 1024, 2048]
    grids = [grid_for(dim, 1e4, n) for n in cells]
    errors = [interpolation_error(rho, grid) for grid in grids]
    assert fit(cells, errors).order == pytest.approx(-2, abs=0.3)
    assert errors[-1] < 2e-3
    low, high = AngleLaw.of(grids[0].manifold, rho).quantile(np.array([0.001, 0.999]))
    for n, grid in zip(cells, grids, strict=True):
        assert ((grid.angles > low) & (grid.angles < high)).sum() > n / 8
    uniform = graded(grids[0].manifold, 512)
    assert errors[0] < 0.1 * interpolation_error(rho, uniform)


@pytest.mark.parametrize("dim", DIMENSIONS)
def test_the_tails_hold_nothing(dim):
    """Beyond the first and the last node every law has a mass below 1e-12."""
    e = meridian(dim).direction
    problem = Problem(space(dim), VonMisesFisher(space(dim), 30.0, [e]), axis=e)
    grid = grid_of(problem, 64)
    for law in problem.laws:
        assert law.below(grid.angles[:1]) <= 1e-12
        assert 1 - law.below(grid.angles[-1:]) <= 1e-12
    if dim <= 3:  # the poles are nodes
        assert grid.angles[[0, -1]].tolist() == [0, math.pi]


def test_refusals():
    m = meridian(3)
    with pytest.raises(InputError, match=r"diffusion\.degree must be 1 for densities symmetric"):
        grid_on(m, 64, 2)
    with pytest.raises(InputError, match="needs 3 cells, not 2"):
        graded(m, 2)
    for angles in ([0.0, 1.0, 1.0], [1.0], [-0.1, 1.0], [0.0, 3.2], [0.0, math.nan, 1.0]):
        with pytest.raises(InputError, match="must increase, from 0 to pi"):
            Rings(m, np.array(angles))
    with pytest.raises(InputError, match="not symmetric about the equator"):
        _ = Rings(m, np.array([0.0, 1.0, 2.0, math.pi])).opposite
    with pytest.raises(InputError, match=r"symmetric about an axis: give it as problem\.axis"):
        grid_on(Sphere(3), 64)


def test_a_grid_of_rings_says_what_it_is():
    grid = grid_for(9)
    assert repr(grid).startswith("Rings(cells=64, ")
    assert grid.spacing == pytest.approx(np.diff(grid.angles).max())
    assert graded(meridian(9), 64).node_count == 65
