"""The quantile function of a density on the circle or on a torus of dimension 1, and W_2 by it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar

from uf_diffusion.core.arrays import Array
from uf_diffusion.distances.measures import Measure
from uf_diffusion.grids.base import Grid

__all__ = ["Quantiles"]

LEVELS = 2**15
ARCS = 4  # for each node of the mesh, to integrate the density


@dataclass(frozen=True, eq=False)
class Quantiles:
    """The quantile function of a density on a mesh in one dimension.

    Atoms at common nodes would be wrong for W_2 of two densities: to move mass by less than the
    distance of the nodes, they move a part of it by the whole distance.

    Attributes:
        grid: a mesh of the circle or of a torus of dimension 1.
        ends: the ends of arcs in the chart, increasing over one period, ``(n + 1,)``.
        share: the part of the mass before each of them, from 0 to 1, ``(n + 1,)``.
    """

    grid: Grid
    ends: Array
    share: Array

    @classmethod
    def of(cls, grid: Grid, density: Array) -> Quantiles:
        """The quantiles of a density with values at the nodes of a mesh, ``(nodes,)``."""
        manifold = grid.manifold
        axis, n = manifold.axes[0], ARCS * len(grid.nodes)
        ends = axis.low + axis.length * np.arange(n + 1) / n
        middle = manifold.unchart((ends[:-1, None] + ends[1:, None]) / 2)
        share = np.concatenate([[0.0], np.cumsum(grid.interpolate(density, middle))])
        return cls(grid, ends, share / share[-1])

    def at(self, level: Array) -> Array:
        """The quantiles at levels ``(n,)`` in the chart; a level more by 1 is a period more."""
        turns = np.floor(level)
        period = self.ends[-1] - self.ends[0]
        return np.asarray(np.interp(level - turns, self.share, self.ends) + period * turns)

    def atoms(self) -> Measure:
        """Atoms of equal mass at `LEVELS` quantiles."""
        manifold = self.grid.manifold
        return Measure.of_particles(manifold, manifold.unchart(self.at(_levels())[:, None]))

    def w2(self, other: Quantiles) -> float:
        """W_2 to another density on the same manifold, a length.

        Its square is the minimum over a shift of the integral of |F^-1(s) - G^-1(s + shift)|^2, a
        convex function of the shift, see `wasserstein_circle`.
        """
        here = self.at(_levels())

        def cost(shift: float) -> float:
            return float(np.mean((here - other.at(_levels() + shift)) ** 2))

        found = minimize_scalar(cost, bounds=(-0.5, 0.5), method="bounded",
                                options={"xatol": 1e-14})  # fmt: skip
        return math.sqrt(found.fun)


def _levels() -> Array:
    return (np.arange(LEVELS) + 0.5) / LEVELS
