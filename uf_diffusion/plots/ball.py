"""A surface in R^3 as a body that a page turns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from uf_diffusion.core.arrays import Array
from uf_diffusion.core.errors import InputError
from uf_diffusion.grids.base import Grid
from uf_diffusion.grids.built_in import grid_on
from uf_diffusion.problem.manifolds import Manifold

__all__ = ["Ball", "ball_of"]

TRIANGLES = 5120  # of a ball


@dataclass(frozen=True, eq=False)
class Ball:
    """A closed surface in R^3 as a body, with a density at the nodes of a mesh.

    Attributes:
        mesh: of triangles.
        middle: what lies in front, ``(3,)``, at any distance.
    """

    mesh: Grid
    middle: Array
    hint = " Turn it with the mouse or a finger."
    shows_neurons = True  # on the diffusion too: there is room

    @property
    def pixels(self) -> Array:
        """``(n, 3)`` the points where `image` wants values."""
        return self.mesh.nodes

    @property
    def eye(self) -> Array:
        """From where it is seen, ``(3,)``."""
        length = float(np.linalg.norm(self.middle))
        side = self.middle / length if length > 1e-3 else np.array([1.0, 0.0, 0.0])
        return np.asarray(2.1 * side + [0, 0, 0.45])

    def image(self, values: Array) -> Array:
        """The picture: values ``(n,)``, none below zero."""
        return np.maximum(values, 0)

    def place(self, points: Array) -> Array:
        """``(m, 3)`` where points are seen: a little above the surface."""
        return 1.012 * points


def ball_of(manifold: Manifold, middle: Array) -> Ball | None:
    """The ball of a surface in R^3 of which there is a built-in mesh; of others nothing."""
    if (manifold.dim, manifold.ambient) != (2, 3):
        return None
    try:
        return Ball(grid_on(manifold, TRIANGLES), middle)
    except InputError:
        return None
