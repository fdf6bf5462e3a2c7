"""The choice of a built-in grid for a manifold and a number of cells."""

from __future__ import annotations

import math
from collections.abc import Sequence

from uf_diffusion.core.arguments import whole_number
from uf_diffusion.core.errors import InputError
from uf_diffusion.grids.base import Grid
from uf_diffusion.grids.curved import Curved
from uf_diffusion.grids.elements import lumped_element
from uf_diffusion.grids.icosphere import Icosphere
from uf_diffusion.grids.lattice import Lattice
from uf_diffusion.grids.rings import graded
from uf_diffusion.problem import Problem
from uf_diffusion.problem.manifolds import Circle, FlatTorus, Manifold, Sphere
from uf_diffusion.problem.symmetry import AngleLaw, Meridian

__all__ = ["grid_of", "grid_on", "with_degree"]


def grid_on(manifold: Manifold, cells: int, degree: int = 1, laws: Sequence[AngleLaw] = ()) -> Grid:
    """The coarsest built-in grid with at least ``cells`` cells.

    In two and three dimensions the number of cells along an axis of a torus must be divisible by 2
    often enough for multigrid.

    Args:
        manifold: the manifold.
        cells: number of cells, at least 1.
        degree: degree of the finite element.
        laws: the laws of the angle to which the rings on a `Meridian` are fitted.

    Raises:
        InputError: for a manifold without built-in mesh, a number of cells that is not a whole
            number >= 1, or a degree without element on the manifold.
    """
    whole_number("diffusion.cells", cells, 1)
    if isinstance(manifold, Meridian):
        if degree > 1:
            raise InputError(
                f"diffusion.degree must be 1 for densities symmetric about an axis, not {degree}."
            )
        return graded(manifold, max(4, cells + cells % 2), laws)
    return with_degree(_base(manifold, cells), degree)


def grid_of(problem: Problem, cells: int, degree: int = 1) -> Grid:
    """The built-in grid on which a problem is solved: rings if it has an axis; see `grid_on`.

    Raises:
        InputError: as `grid_on`, and for a sphere of dimension 3 or more without an axis.
    """
    if (meridian := problem.meridian) is not None:
        return grid_on(meridian, cells, degree, problem.laws)
    return grid_on(problem.manifold, cells, degree)


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
        return Icosphere.of(manifold, cells)
    if isinstance(manifold, Sphere):
        raise InputError(
            "On spheres of dimension 3 and more the PDE is solved for densities that are symmetric "
            "about an axis: give it as problem.axis, or use von Mises-Fisher densities with all "
            "means on one line."
        )
    raise InputError(
        f"The PDE is solved on the circle, on spheres and on flat tori, not on {manifold}."
    )
