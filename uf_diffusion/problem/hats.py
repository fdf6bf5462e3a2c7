"""Functions that are linear along each axis between the nodes of a regular grid.

Such a function is the sum of its values at the nodes times products of hat functions, one for each
axis. Where all values are positive it is, up to a factor, a mixture of these products: this is how
it is integrated and sampled.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np

from uf_diffusion.core.arrays import Array, Index

__all__ = ["Hats", "Multilinear"]


@dataclass(frozen=True, eq=False)
class Hats:
    """The hat functions of one axis: each is 1 at its own node, 0 at the others, linear between.

    Attributes:
        nodes: increasing coordinates, ``(n,)``.
        period: after which the nodes repeat; 0 if the axis ends at the first and the last node.
        latitude: whether lengths are weighted with the cosine of the coordinate, in radians.
    """

    nodes: Array
    period: float = 0.0
    latitude: bool = False

    @cached_property
    def _ends(self) -> Array:
        """The ends of all segments between nodes, ``(segments + 1,)``."""
        again = [self.nodes[0] + self.period] if self.period else []
        return np.concatenate([self.nodes, again])

    @cached_property
    def _halves(self) -> tuple[Array, Array]:
        """The integrals over each segment of the hats at its left and at its right end."""
        left, right = self._ends[:-1], self._ends[1:]
        if not self.latitude:
            return (right - left) / 2, (right - left) / 2
        mean = 2 * np.sin((right + left) / 2) * np.sin((right - left) / 2) / (right - left)
        return mean - np.sin(left), np.sin(right) - mean

    @cached_property
    def integrals(self) -> Array:
        """The integrals of the hats, ``(n,)``."""
        after, before = self._sides
        return after + before

    @cached_property
    def _sides(self) -> tuple[Array, Array]:
        """The integrals of each hat to the right and to the left of its node, ``(n,)``."""
        left, right = self._halves
        if self.period:
            return left, np.roll(right, 1)
        return np.append(left, 0.0), np.append(0.0, right)

    def located(self, c: Array) -> tuple[Index, Index, Array]:
        """For coordinates ``(m,)`` the numbers of the nodes to the left and to the right, and the
        value of the right one's hat; each ``(m,)``.
        """
        if self.period:
            c = self.nodes[0] + np.mod(c - self.nodes[0], self.period)
        left = np.clip(np.searchsorted(self._ends, c, "right") - 1, 0, len(self._ends) - 2)
        share = (c - self._ends[left]) / np.diff(self._ends)[left]
        return left, (left + 1) % len(self.nodes), np.clip(share, 0.0, 1.0)

    def sample(self, node: Index, rng: np.random.Generator) -> Array:
        """Draw from the density proportional to the hat of each node, both ``(m,)``."""
        after, before = self._sides
        to_right = rng.random(len(node)) * (after + before)[node] < after[node]
        away = np.diff(self._ends)[np.where(to_right, node, node - 1)] * np.where(to_right, 1, -1)
        c = np.empty(len(node))
        todo = np.arange(len(node))
        while len(todo):  # the distance to the node has a triangular law, before the weight
            k = node[todo]
            c[todo] = self.nodes[k] + away[todo] * (1 - np.sqrt(rng.random(len(todo))))
            if not self.latitude:
                break
            highest = np.cos(self.nodes[k]) + np.abs(away[todo])  # at least the weight
            todo = todo[rng.random(len(todo)) * highest > np.cos(c[todo])]
        return c


@dataclass(frozen=True, eq=False)
class Multilinear:
    """A function with given values at the nodes of a grid, linear along each axis between them.

    Attributes:
        axes: the axes of the grid.
        values: the values at the nodes, not negative, one axis for each of ``axes``.
    """

    axes: Sequence[Hats]
    values: Array

    @property
    def integral(self) -> float:
        """The integral, exact up to round-off."""
        total = self.values
        for axis in self.axes:
            total = np.tensordot(axis.integrals, total, 1)
        return float(total)

    def __call__(self, c: Array) -> Array:
        """The values ``(n,)`` at coordinates ``(n, axes)``."""
        found = [axis.located(c[:, k]) for k, axis in enumerate(self.axes)]
        total = np.zeros(len(c))
        for corner in product((0, 1), repeat=len(found)):
            node = tuple(ends[side] for side, ends in zip(corner, found, strict=True))
            part = self.values[node]
            for side, (_, _, share) in zip(corner, found, strict=True):
                part = part * (share if side else 1 - share)
            total += part
        return total

    def sample(self, n: int, rng: np.random.Generator) -> Array:
        """Draw coordinates ``(n, axes)`` from the density proportional to the function."""
        masses = self.values
        for k, axis in enumerate(self.axes):
            masses = np.moveaxis(np.moveaxis(masses, k, -1) * axis.integrals, -1, k)
        chosen = rng.choice(masses.size, size=n, p=masses.ravel() / masses.sum())
        nodes = np.unravel_index(chosen, masses.shape)
        drawn = [axis.sample(node, rng) for axis, node in zip(self.axes, nodes, strict=True)]
        return np.column_stack(drawn)
