"""A surface in R^3, drawn as a body that the reader of an HTML page can turn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from uf_diffusion.core.arrays import Array
from uf_diffusion.core.errors import InputError
from uf_diffusion.grids.base import Grid
from uf_diffusion.grids.built_in import grid_on
from uf_diffusion.problem.manifolds import Manifold

__all__ = ["Ball", "ball_of"]

TRIANGLES = 5120  # least number of triangles of the surface


@dataclass(frozen=True, eq=False)
class Ball:
    """A closed surface in R^3 as a body, coloured by a density at the nodes of a mesh.

    Attributes:
        mesh: the mesh of triangles.
        middle: the point ``(3,)`` in whose direction the viewer is; its length does not matter.
        hint: a sentence for the reader of a page.
        shows_neurons: whether neurons are drawn on the picture of the diffusion.
    """

    mesh: Grid
    middle: Array
    hint = " Turn it with the mouse or a finger."
    shows_neurons = True  # the picture is large enough

    @property
    def pixels(self) -> Array:
        """The points ``(n, 3)`` at which `image` needs values."""
        return self.mesh.nodes

    @property
    def eye(self) -> Array:
        """The position ``(3,)`` of the viewer."""
        length = float(np.linalg.norm(self.middle))
        side = self.middle / length if length > 1e-3 else np.array([1.0, 0.0, 0.0])
        return np.asarray(2.1 * side + [0, 0, 0.45])

    def image(self, values: Array) -> Array:
        """The values ``(n,)`` that are drawn: the given ones, with negative ones replaced by 0."""
        return np.maximum(values, 0)

    def place(self, points: Array) -> Array:
        """The positions ``(m, 3)``, just above the surface, where points ``(m, 3)`` are drawn."""
        return 1.012 * points


def ball_of(manifold: Manifold, middle: Array) -> Ball | None:
    """The `Ball` of a surface in R^3 with a built-in mesh; None for other manifolds."""
    if (manifold.dim, manifold.ambient) != (2, 3):
        return None
    try:
        return Ball(grid_on(manifold, TRIANGLES), middle)
    except InputError:
        return None
