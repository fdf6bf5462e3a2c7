"""The space in one dimension against DOLFINx's assembly on the same mesh."""

import numpy as np
import pytest

pytest.importorskip("dolfinx_solver", reason="the diffusion needs DOLFINx")
from mpi4py import MPI

from uf_diffusion.diffusion.spaces import Simplices, space_of
from uf_diffusion.grids.built_in import grid_on
from uf_diffusion.problem.densities import Bumps, VonMisesFisher
from uf_diffusion.problem.manifolds import Circle, FlatTorus, Sphere
from uf_diffusion.problem.symmetry import Meridian


def whole(space, K, n):
    """A matrix in the grid's numbering."""
    starts, columns, entries = K.getValuesCSR()
    dense = np.zeros((n, n))
    rows = space.node[np.repeat(np.arange(n), np.diff(starts))]
    dense[rows, space.node[columns]] = entries
    return dense


@pytest.mark.parametrize(
    ("manifold", "cells", "degree"),
    [
        *((Circle(), 7, degree) for degree in range(1, 9)),
        (FlatTorus(1, 4.0), 20, 1), (FlatTorus(1, 4.0), 3, 3),
        (Meridian(Sphere(2), (0.0, 0.0, 1.0)), 20, 1), (Meridian(Sphere(5), (1.0,) + 5 * (0.0,)), 31, 1),
    ],
)  # fmt: skip
def test_volumes_and_matrix(manifold, cells, degree):
    """Up to round-off, relative to the largest entry."""
    grid, comm = grid_on(manifold, cells, degree), MPI.COMM_SELF
    bumps = Bumps(manifold, 20.0) if not isinstance(manifold, Meridian) else None
    density = bumps or VonMisesFisher(manifold.sphere, 3.0)
    ours, dolfinx = space_of(grid, comm), Simplices(grid, comm)
    n, teacher = grid.node_count, density(grid.nodes)
    assert sorted(ours.node) == list(range(n))
    assert np.array_equal(ours.points, grid.nodes[ours.node])
    for values in ("volumes", "points"):
        found, expected = np.empty((2, n, grid.nodes.shape[1]))
        found[ours.node] = np.reshape(getattr(ours, values), (n, -1))
        expected[dolfinx.node] = np.reshape(getattr(dolfinx, values), (n, -1))
        assert np.abs(found - expected).max() <= 1e-14 * np.abs(expected).max()
    K, exact = (whole(s, s.stiffness(teacher[s.node]), n) for s in (ours, dolfinx))
    assert np.abs(K - exact).max() <= 1e-13 * np.abs(exact).max()
    chain = ours.chain(teacher[ours.node])
    assert np.array_equal(chain.owned(chain.placed(teacher[ours.node])), teacher[ours.node])
    f = ours.function(teacher[ours.node])
    assert np.allclose(f.x.array, dolfinx.function(teacher[dolfinx.node]).x.array, rtol=1e-14)
