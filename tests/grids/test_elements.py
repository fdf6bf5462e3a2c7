"""Mass-lumped elements: exactness of their rules, and the nodes of curved grids."""

import itertools
import math

import numpy as np
import pytest

from uf_diffusion.core.errors import InputError
from uf_diffusion.grids.built_in import grid_on
from uf_diffusion.grids.elements import lumped_element
from uf_diffusion.problem.manifolds import Circle, FlatTorus, Sphere

ELEMENTS = [*((1, degree) for degree in range(1, 9)), (2, 1), (2, 2), (2, 3), (3, 1), (3, 2)]
EXACT = {**{(1, degree): 2 * degree - 1 for degree in range(1, 9)}, (2, 1): 1, (2, 2): 3, (2, 3): 5,
         (3, 1): 1, (3, 2): 3}  # fmt: skip


@pytest.mark.parametrize(("dim", "degree"), ELEMENTS)
def test_rule_and_basis(dim, degree, rng):
    """Positive weights, the degree of exactness and no more, a nodal basis that sums to one."""
    element = lumped_element(dim, degree)
    assert (element.weights > 0).all()
    errors = {}
    for powers in itertools.product(range(7 if dim > 1 else 18), repeat=dim):
        exact = math.prod(map(math.factorial, powers)) * math.factorial(dim)
        exact /= math.factorial(sum(powers) + dim)
        found = element.weights @ np.prod(element.nodes[:, 1:] ** np.array(powers), axis=1)
        errors[sum(powers)] = max(errors.get(sum(powers), 0), abs(found - exact))
    first_wrong = min(k for k, e in errors.items() if e > 2e-15)
    assert first_wrong == EXACT[dim, degree] + 1
    assert element.basis(element.nodes) == pytest.approx(np.eye(len(element.nodes)), abs=1e-12)
    points = rng.dirichlet(np.ones(dim + 1), 20)
    assert element.basis(points).sum(axis=1) == pytest.approx(np.ones(20))
    for powers in itertools.product(range(degree + 1), repeat=dim):
        if sum(powers) <= degree:
            nodal, wanted = (np.prod(p[:, 1:] ** np.array(powers), axis=1)
                             for p in (element.nodes, points))  # fmt: skip
            assert element.basis(points) @ nodal == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize("degree", [2, 3])
@pytest.mark.parametrize("manifold", [Circle(), Sphere(2), FlatTorus(2, 4.0)], ids=repr)
def test_interpolation_on_curved_grids(manifold, degree, rng):
    """The first harmonic at random points, order degree + 1; nesting reproduces the base's values."""
    errors = []
    for cells in (80, 320):
        grid = grid_on(manifold, cells, degree)
        values = manifold.first_harmonic(grid.nodes.T)
        x = manifold.sample(2000, rng)
        errors.append(np.abs(grid.interpolate(values, x) - manifold.first_harmonic(x.T)).max())
        nesting = grid.coarser()
        assert nesting.grid.nodes == pytest.approx(grid.nodes[nesting.place])
        assert nesting.shares.sum(axis=1) == pytest.approx(np.ones(len(grid.nodes)))
    halvings = 2 if manifold.dim == 1 else 1
    assert np.log2(errors[0] / errors[1]) / halvings == pytest.approx(degree + 1, abs=0.5)


def test_no_such_element():
    with pytest.raises(InputError, match="one of 1, 2 in dimension 3, not 3"):
        grid_on(FlatTorus(3), 100, 3)
