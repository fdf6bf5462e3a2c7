"""Grids: closed, oriented, without obtuse angles; interpolation is exact where it must be."""

import numpy as np
import pytest

from uf_diffusion.core.errors import InputError
from uf_diffusion.grids.base import Whole
from uf_diffusion.grids.built_in import grid_on
from uf_diffusion.grids.icosphere import Icosphere
from uf_diffusion.grids.lattice import Lattice
from uf_diffusion.problem.manifolds import Circle, FlatTorus, Sphere

GRIDS = [
    Lattice(Circle(), 40),
    Lattice(FlatTorus(1, 2.0), 40),
    Lattice(FlatTorus(2, 4.0), 20),
    Lattice(FlatTorus(3, 1.0), 6),
    Icosphere(Sphere(2), 0),
    Icosphere(Sphere(2), 3),
    Icosphere(Sphere(2), 1, 5),
]


@pytest.mark.parametrize("grid", GRIDS, ids=lambda g: f"{type(g).__name__}{g.manifold}")
def test_interpolation(grid, rng):
    """Nodal values are reproduced, constants too, and a smooth function up to h^2."""
    values = rng.random(len(grid.nodes))
    assert np.abs(grid.interpolate(values, grid.nodes) - values).max() < 1e-12
    points = grid.manifold.sample(500, rng)
    assert grid.interpolate(np.ones(len(values)), points) == pytest.approx(1)
    smooth = grid.manifold.first_harmonic
    found = grid.interpolate(smooth(grid.nodes.T), points)
    curvature = grid.manifold.spectral_gap
    assert np.abs(found - smooth(points.T)).max() <= 0.5 * curvature * grid.spacing**2


@pytest.mark.parametrize(("level", "frequency"), [(3, 1), (0, 3), (2, 3), (1, 5)])
def test_icosphere_is_a_closed_oriented_acute_surface(level, frequency):
    """Each directed edge occurs once and its reverse once; Euler's number is 2; angles < 90; twelve
    nodes have five neighbours; every node has an antipode; cells of similar sizes.
    """
    grid = Icosphere(Sphere(2), level, frequency)
    cells = grid.cells
    assert len(cells) == grid.cell_count == 20 * frequency**2 * 4**level
    directed = {tuple(e) for c in cells for e in (c[[0, 1]], c[[1, 2]], c[[2, 0]])}
    assert len(directed) == 3 * len(cells)
    assert {(b, a) for a, b in directed} == directed
    assert len(grid.nodes) - len(directed) // 2 + len(cells) == 2
    a, b, c = np.moveaxis(grid.nodes[cells], 1, 0)
    assert (np.einsum("ij,ij->i", np.cross(b - a, c - a), a) > 0).all()  # outward
    for p, q, r in ((a, b, c), (b, c, a), (c, a, b)):
        assert (np.einsum("ij,ij->i", q - p, r - p) > 0).all()
    assert np.linalg.norm(grid.nodes, axis=1) == pytest.approx(1)
    assert (np.bincount(cells.ravel()) == np.where(np.arange(len(grid.nodes)) < 12, 5, 6)).all()
    apart = np.linalg.norm(grid.nodes[:, None] + grid.nodes, axis=2)
    assert apart.min(axis=1).max() < 1e-14
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1)
    assert area.max() / area.min() < 2.2
    if level:
        below = Icosphere(Sphere(2), level - 1, frequency).nodes
        assert np.array_equal(below, grid.nodes[: len(below)])


def test_kuhn_simplices_fill_the_box_without_obtuse_angles():
    """Volumes are equal and sum to the box; the gradients of hat functions never point together."""
    grid = Lattice(FlatTorus(3, 1.0), 3)
    corners = grid.chart(grid.part(0, 1).corners)
    edges = corners[:, 1:] - corners[:, :1]
    volume = np.abs(np.linalg.det(edges)) / 6
    assert volume == pytest.approx(1 / grid.cell_count)
    gradients = np.linalg.inv(edges)  # columns: gradients of the hats of corners 1, 2, 3
    gradients = np.concatenate([-gradients.sum(axis=2, keepdims=True), gradients], axis=2)
    products = np.einsum("nki,nkj->nij", gradients, gradients)
    assert (products[:, ~np.eye(4, dtype=bool)] <= 1e-12).all()


@pytest.mark.parametrize(
    ("grid", "size"), [(Lattice(FlatTorus(2), 36), 4), (Lattice(FlatTorus(3), 8), 3),
                       (Icosphere(Sphere(2), 5), 3), (Icosphere(Sphere(2), 4, 3), 2)],
    ids=["T2", "T3", "S2", "S2 in thirds"],
)  # fmt: skip
def test_parts_are_those_of_the_whole(grid, size):
    """Cells are in one part each; nodes and parents on all levels have the bits of the whole."""
    parts = [grid.part(rank, size) for rank in range(size)]
    both = [np.concatenate([part.cells for part in parts]), grid.cells]
    assert np.array_equal(*(np.unique(np.sort(cells, axis=1), axis=0) for cells in both))
    assert len(both[0]) == grid.cell_count
    assert all(isinstance(part, Whole) is False and part.compact for part in parts)
    for part in parts:
        whole, number = grid, np.unique(part.cells)[::-1]
        assert np.array_equal(part.nodes_at(number), grid.nodes[number])
        while (found := part.coarsened(number)) is not None:
            nesting = whole.coarser()
            assert np.array_equal(found.parents, nesting.parents[number])
            assert np.array_equal(found.shares, nesting.shares[number])
            here = found.same >= 0
            assert np.array_equal(nesting.place[found.same[here]], number[here])
            assert not np.isin(number[~here], nesting.place).any()
            part, number, whole = found.part, found.same[here], nesting.grid
        assert whole.coarser() is None


def test_wanted_cells():
    """The coarsest mesh with at least so many cells that can be halved down to a coarse one."""
    assert grid_on(Circle(), 4096).per_axis == 4096
    assert grid_on(FlatTorus(2), 8192).per_axis == 64
    assert grid_on(FlatTorus(2), 8193).per_axis == 68
    assert grid_on(FlatTorus(3), 6 * 4**3).per_axis == 4
    assert grid_on(Sphere(2), 1280).level == 3
    found = [grid_on(Sphere(2), cells).cell_count for cells in (1281, 2001, 2881, 5121)]
    assert found == [20 * n for n in (100, 144, 256, 400)]
    for manifold, cells in ((Sphere(3), 100), (FlatTorus(4), 100), (Circle(), 0)):
        with pytest.raises(InputError):
            grid_on(manifold, cells)
