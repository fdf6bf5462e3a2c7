"""Energy distances to fields of which each rank has pieces, against sums over all pairs."""

import numpy as np
import pytest

pytest.importorskip("mpi4py")

from uf_diffusion.distances import large_fields
from uf_diffusion.distances.large_fields import Field, field_energy_distances
from uf_diffusion.distances.near_and_far import NearAndFar, Neighbours
from uf_diffusion.grids.built_in import grid_on
from uf_diffusion.grids.icosphere import Icosphere
from uf_diffusion.grids.lattice import Lattice
from uf_diffusion.kernels.spherical_harmonics import harmonic_sums, power_spectrum
from uf_diffusion.problem.manifolds import Circle, FlatTorus, Sphere

GRIDS = [
    Lattice(FlatTorus(2), 25), Lattice(FlatTorus(2, 3.0), 26), Lattice(FlatTorus(3), 10),
    Lattice(FlatTorus(1), 301), Lattice(Circle(), 300), Icosphere(Sphere(2), 3),
    Icosphere(Sphere(2), 1, 5), grid_on(Sphere(2), 300, 2),
]  # fmt: skip


def example(grid):
    """A field at two times, and a network of 40 neurons, the same on all ranks."""
    rng = np.random.default_rng(0)
    X = grid.manifold.sample(80, rng).reshape(2, 40, -1)
    X[1] = grid.nodes[:40]  # at distance 0 to nodes
    a = rng.random(40) + 0.1
    return X, a / a.sum(), 0.9 * rng.random((2, grid.node_count))


def field_of(grid, masses):
    return Field(grid.manifold, grid.node_count, lambda r: grid.nodes[r], lambda r, q: masses[q, r])


def by_all_pairs(manifold, x, a, y, b):
    cross, own, other = (manifold.chord(*pair) for pair in ((x, y), (x, x), (y, y)))
    return np.sqrt(max(0.0, 2 * a @ cross @ b - a @ own @ a - b @ other @ b))


@pytest.mark.parallel([1, 2])
def test_pieces_give_the_sums_over_all_pairs(monkeypatch):
    """On lattices and on S^2, there also with elements of degree 2; masses may sum to less."""
    monkeypatch.setattr(large_fields, "PIECE", 100)
    for grid in GRIDS:
        X, a, masses = example(grid)
        found = field_energy_distances(field_of(grid, masses), X, a)
        for x, m, value in zip(X, masses, found, strict=True):
            wanted = by_all_pairs(grid.manifold, x, a, grid.nodes, m / m.sum())
            assert value == pytest.approx(wanted, rel=1e-12, abs=1e-14), grid


def test_nodes_that_are_no_lattice_are_refused():
    """Those of elements of degree 2 on a torus, and those of a lattice in another order."""
    grid = grid_on(FlatTorus(2), 200, 2)
    X, a, masses = example(grid)
    assert field_energy_distances(field_of(grid, masses), X, a) is None
    grid = Lattice(FlatTorus(2), 20)
    X, a, masses = example(grid)
    turned = Field(grid.manifold, 400, lambda r: grid.nodes[::-1][r], lambda r, q: masses[q, r])
    assert field_energy_distances(turned, X, a) is None


@pytest.mark.parametrize("degree", [64, 150, 400])
def test_near_and_far_parts_sum_to_the_chord(degree):
    """For every length that divides them, also at a pole and at opposite points."""
    x = np.concatenate([Sphere(2).sample(500, np.random.default_rng(1)), np.eye(3), -np.eye(3)])
    masses = np.random.default_rng(2).normal(size=len(x)) / len(x)
    parts = NearAndFar(degree)
    here = Neighbours.of(parts, x, masses[None])
    far = parts.eigenvalues @ power_spectrum(harmonic_sums(masses, x, degree))
    wanted = masses @ Sphere(2).chord(x, x) @ masses
    assert here.sums(here)[0] + far == pytest.approx(wanted, rel=1e-12, abs=1e-15)


def test_corners_of_cells_are_known_without_the_mesh():
    """They are those that `locate` finds in the whole mesh, up to round-off."""
    for grid in (Lattice(FlatTorus(2), 24), Icosphere(Sphere(2), 4), Icosphere(Sphere(2), 2, 3)):
        points = grid.manifold.sample(300, np.random.default_rng(3))
        corners, shares = grid.around(points)
        numbers, others = grid.locate(points)
        order, other = (np.argsort(s, axis=1) for s in (shares, others))
        assert np.allclose(np.sort(shares), np.sort(others), rtol=0, atol=1e-12)
        found = np.take_along_axis(corners, order[..., None], axis=1)
        known = grid.nodes[np.take_along_axis(numbers, other, axis=1)]
        assert np.allclose(found, known, rtol=0, atol=1e-15)
        assert (shares >= -1e-12).all()
