"""Functions of one variable as tables of polynomials, evaluated by a compiled loop.

Special functions take up to a hundred nanoseconds for a number. A polynomial of degree 9 on each of
many short cells takes a few, and is as accurate as double precision where the function is smooth in
the cells. Kinks at 0 are at the end of a cell.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from uf_diffusion.core.arrays import Array
from uf_diffusion.core.compiled import compiled

__all__ = ["Table", "tabulated"]

CELLS = 8  # in a unit of length
DEGREE = 9
EXACT = 4e-15  # error, relative to the largest value, up to which a table replaces the function
LONGEST = 512.0  # largest argument of a table, which has 16 numbers for each then
TRIED = 4  # points in each cell at which a table is tried


@dataclass(frozen=True, eq=False)
class Table:
    """A function on [-reach, reach].

    Attributes:
        coefficients: of the powers of the distance from a cell's middle, in cells, ``(cells, 10)``.
        reach: the largest argument.
        cells: number of cells in a unit of length.
    """

    coefficients: Array
    reach: float
    cells: int

    def __call__(self, z: Array, factor: float = 1.0) -> None:
        """Replace numbers ``(m, n)`` by factor times their function values."""
        _replace(z, self.coefficients, self.reach, self.cells, factor)


def tabulated(function: Callable[[Array], Array], reach: float, cells: int = CELLS) -> Table | None:
    """A table of a function up to |z| = reach; None if it would not be exact.

    Args:
        function: elementwise.
        reach: positive; it is rounded up to a whole number.
        cells: number of cells in a unit of length.
    """
    if not 0 < reach <= LONGEST:
        return None
    reach = float(math.ceil(reach))
    count = 2 * int(reach) * cells
    middle = (np.arange(count) + 0.5) / cells - reach
    node = np.cos(math.pi * (np.arange(DEGREE + 1) + 0.5) / (DEGREE + 1)) / 2
    with np.errstate(all="ignore"):
        values = function(middle[:, None] + node / cells)
        coefficients = np.linalg.solve(np.vander(node, increasing=True), values.T).T.copy()
        table = Table(coefficients, reach, cells)
        z = np.random.default_rng(0).uniform(-reach, reach, (1, TRIED * count))
        exact = function(z)
        table(z)
        error = np.abs(z - exact).max() if np.isfinite(exact).all() else math.inf
    return table if error <= EXACT * np.abs(exact).max() else None


@compiled
def _replace(z: Array, coefficients: Array, reach: float, cells: int, factor: float) -> None:
    last = len(coefficients) - 1
    for i in range(z.shape[0]):
        for j in range(z.shape[1]):
            place = (z[i, j] + reach) * cells
            cell = min(max(int(place), 0), last)
            t = place - cell - 0.5
            c = coefficients[cell]
            value = c[9]
            for k in range(8, -1, -1):
                value = value * t + c[k]
            z[i, j] = factor * value
