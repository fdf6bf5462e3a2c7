"""Points and weights on a mesh, at which densities are compared as functions."""

from __future__ import annotations

import math

import numpy as np

from uf_diffusion.core.arrays import Array
from uf_diffusion.grids.base import Grid

__all__ = ["quadrature"]


def quadrature(grid: Grid) -> tuple[Array, Array]:
    """Points ``(m, ambient)`` inside the cells, dim + 1 in each, and their weights ``(m,)``.

    The weights sum to the manifold's volume. In each cell the rule integrates polynomials of degree
    2, on intervals 3; on S^2 it integrates over the sphere, not over the flat triangles.
    """
    cells = grid.cells
    n = cells.shape[1]
    share = (1 - 1 / math.sqrt(n + 1)) / n  # on triangles 1/6, 1/6, 2/3
    rule = share + (1 - n * share) * np.eye(n)
    corners, shares = np.repeat(cells, n, axis=0), np.tile(rule, (len(cells), 1))
    weight = grid.stretch(corners, shares)
    return grid.between(corners, shares), weight * (grid.manifold.volume / weight.sum())
