"""The mesh for densities on a sphere that are symmetric about an axis: rings at some angles to it.

Each node stands for a ring; its volume is that between the middles of its neighbours. In high
dimensions nearly all of the sphere is close to the equator, and densities have their peaks
elsewhere. So the angles are quantiles of a mixture of the laws of the angle under the uniform
density, the teacher and the initial density, and of an even spread.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.interpolate import PchipInterpolator

from uf_diffusion.core.arrays import Array, Index
from uf_diffusion.core.errors import InputError
from uf_diffusion.grids.base import Interpolating, Nesting
from uf_diffusion.problem.symmetry import AngleLaw, Meridian

__all__ = ["Rings", "graded"]

OUTSIDE = 1e-14  # mass of each law beyond the first and the last node, at most
NEAR = 0.1  # angle below which the first node is at the pole instead
TABLE = 2**14  # angles at which the mixture is tabulated


@dataclass(frozen=True, eq=False)
class Rings(Interpolating):
    """A mesh of intervals of the angle to the axis.

    Values are interpolated linearly in the angle, and are constant beyond the first and the last
    node.

    Attributes:
        manifold: the sphere with its axis.
        angles: the angles of the nodes, increasing, from 0 to pi, ``(n,)``, in radians.

    Raises:
        InputError: for angles that are not so.
    """

    manifold: Meridian
    angles: Array

    def __post_init__(self) -> None:
        inside = len(self.angles) > 1 and self.angles[0] >= 0 and self.angles[-1] <= math.pi
        if not (inside and (np.diff(self.angles) > 0).all()):
            raise InputError("The angles of rings must increase, from 0 to pi at most.")

    def __repr__(self) -> str:
        return f"Rings(cells={self.cell_count}, manifold={self.manifold})"

    @property
    def node_count(self) -> int:
        return len(self.angles)

    @property
    def cell_count(self) -> int:
        return len(self.angles) - 1

    @property
    def spacing(self) -> float:
        return float(np.diff(self.angles).max())

    @cached_property
    def nodes(self) -> Array:
        return self.manifold.unchart(self.angles[:, None])

    @property
    def coordinates(self) -> Array:
        return self.angles[:, None]

    @property
    def cells(self) -> Index:
        first = np.arange(self.cell_count)
        return np.column_stack([first, first + 1])

    @property
    def middles(self) -> Array:
        """The angles in the middle of the cells, ``(n - 1,)``."""
        return (self.angles[:-1] + self.angles[1:]) / 2

    @property
    def volumes(self) -> Array:
        ends = np.concatenate([[0.0], self.middles, [math.pi]])
        return self.manifold.between(ends)

    @property
    def sections(self) -> Array:
        return self.manifold.rings(self.middles)

    @property
    def linear(self) -> Array:
        return np.cos(self.angles)[:, None]

    @property
    def opposite(self) -> Index:
        """The node with the angle pi - theta, ``(n,)``, for each node.

        Raises:
            InputError: if a node has no such node.
        """
        if np.abs(self.angles + self.angles[::-1] - math.pi).max() > 1e-12:
            raise InputError("The angles of the rings are not symmetric about the equator.")
        return np.arange(self.node_count)[::-1]

    def locate(self, points: Array) -> tuple[Index, Array]:
        angle = np.clip(self.manifold.angle(points), self.angles[0], self.angles[-1])
        cell = np.clip(np.searchsorted(self.angles, angle) - 1, 0, self.cell_count - 1)
        low, high = self.angles[cell], self.angles[cell + 1]
        share = (angle - low) / (high - low)
        return self.cells[cell], np.column_stack([1 - share, share])

    def between(self, corners: Index, shares: Array) -> Array:
        return self.manifold.unchart((self.angles[corners] * shares).sum(axis=1)[:, None])

    def stretch(self, corners: Index, shares: Array) -> Array:
        ends = self.angles[corners]
        return self.manifold.rings((ends * shares).sum(axis=1)) * (ends[:, 1] - ends[:, 0])

    def coarser(self) -> Nesting | None:
        """Every second ring, for an even number of cells of at least 6."""
        if self.cell_count % 2 or self.cell_count < 6:
            return None
        coarse = Rings(self.manifold, self.angles[::2])
        numbers = np.arange(self.node_count)
        parents = np.column_stack([numbers // 2, (numbers + 1) // 2])
        low, high = coarse.angles[parents].T
        width = np.where(high > low, high - low, 1.0)
        share = np.where(high > low, (self.angles - low) / width, 0.5)
        return Nesting(coarse, parents, np.column_stack([1 - share, share]), numbers[::2])


def graded(meridian: Meridian, cells: int, laws: Sequence[AngleLaw] = ()) -> Rings:
    """The rings for some laws of the angle, which are symmetric about the equator.

    Args:
        meridian: the sphere with its axis.
        cells: the number of cells, at least 3.
        laws: the laws; without any, the uniform density's on the sphere is used.

    Raises:
        InputError: for fewer cells.
    """
    if cells < 3:
        raise InputError(f"A mesh of rings needs 3 cells, not {cells}.")
    laws = laws or (AngleLaw.of(meridian, lambda x: np.ones(len(x))),)
    tails = [(law.quantile(OUTSIDE), math.pi - law.quantile(1 - OUTSIDE)) for law in laws]
    low = float(np.min(tails))
    low = low if low > NEAR else 0.0
    angle = np.linspace(low, math.pi - low, TABLE + 1)
    known = np.concatenate([angle, *(law.ends for law in laws)])
    known = np.unique(np.concatenate([known, math.pi - known]))
    known = known[(known >= low) & (known <= math.pi - low)]
    level = (known - low) / (math.pi - 2 * low)
    for law in laws:
        for share in (law.below(known), 1 - law.below(math.pi - known)):
            level = level + share / 2
    level = (level - level[0]) / (level[-1] - level[0])
    fresh = np.concatenate([[True], np.diff(level) > 1e-15])
    angles = PchipInterpolator(level[fresh], known[fresh])(np.linspace(0, 1, cells + 1))
    angles[0], angles[-1] = low, math.pi - low  # not up to round-off
    return Rings(meridian, (angles + math.pi - angles[::-1]) / 2)
