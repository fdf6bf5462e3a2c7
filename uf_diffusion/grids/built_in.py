"""The choice of a built-in grid for a manifold and a number of cells."""

from __future__ import annotations

import math

from uf_diffusion.core.arguments import whole_number
from uf_diffusion.core.errors import InputError
from uf_diffusion.grids.base import Grid
from uf_diffusion.grids.curved import Curved
from uf_diffusion.grids.elements import lumped_element
from uf_diffusion.grids.icosphere import Icosphere
from uf_diffusion.grids.lattice import Lattice
from uf_diffusion.problem.manifolds import Circle, FlatTorus, Manifold, Sphere

__all__ = ["grid_on", "with_degree"]


def grid_on(manifold: Manifold, cells: int, degree: int = 1) -> Grid:
    """The coarsest built-in grid with at least ``cells`` cells.

    In two and three dimensions the number of cells along an axis of a torus must be divisible by 2
    often enough for multigrid.

    Args:
        manifold: the manifold.
        cells: number of cells, at least 1.
        degree: degree of the finite element.

    Raises:
        InputError: for a manifold without built-in mesh, a number of cells that is not a whole
            number >= 1, or a degree without element on the manifold.
    """
    whole_number("diffusion.cells", cells, 1)
    return with_degree(_base(manifold, cells), degree)


def with_degree(grid: Grid, degree: int) -> Grid:
    """The grid with the same cells and with the nodes of the element of a given degree.

    Args:
        grid: a grid of degree 1.
        degree: degree of the finite element.

    Raises:
        InputError: for a degree without element.
    """
    lumped_element(grid.manifold.dim, degree)
    return grid if degree == 1 else Curved(grid, degree)


def _base(manifold: Manifold, cells: int) -> Lattice | Icosphere:
    if isinstance(manifold, Circle | FlatTorus):
        if manifold.dim > 3:
            raise InputError("The PDE is solved on tori of dimension 1, 2 and 3.")
        per_axis = (cells / math.factorial(manifold.dim)) ** (1 / manifold.dim)
        wanted = max(3, math.ceil(per_axis - 1e-9))
        coarsest = {1: wanted, 2: 12, 3: 5}[manifold.dim]
        halvings = max(0, int(math.log2(wanted / coarsest)))
        return Lattice(manifold, -(-wanted // 2**halvings) * 2**halvings)
    if isinstance(manifold, Sphere) and manifold.dim == 2:
        return Icosphere(manifold, max(0, math.ceil(math.log(cells / 20, 4) - 1e-9)))
    raise InputError(
        "The PDE is solved on the circle, the sphere of dimension 2 and flat tori, "
        f"not on {manifold}."
    )
