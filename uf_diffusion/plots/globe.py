"""The unit sphere S^2: seen from far away, and as a body that a page turns."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.image import AxesImage
from matplotlib.patches import Circle

from uf_diffusion.core.arrays import Array
from uf_diffusion.core.errors import InputError
from uf_diffusion.grids.base import Grid
from uf_diffusion.grids.built_in import grid_on
from uf_diffusion.problem.manifolds import Manifold, Sphere

__all__ = ["Ball", "Globe", "ball_of"]

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


@dataclass(frozen=True)
class Globe:
    """Orthographic pictures of S^2: the near side, in the unit disc.

    Attributes:
        longitude, latitude: of the point in the middle, in radians.
        size: pixels along each axis of a picture.
    """

    longitude: float
    latitude: float
    size: int = 128

    @property
    def frame(self) -> Array:
        """``(3, 3)`` the unit vectors to the right, up and towards the eye, one a row."""
        a, b = self.longitude, self.latitude
        right = [-math.sin(a), math.cos(a), 0]
        up = [-math.sin(b) * math.cos(a), -math.sin(b) * math.sin(a), math.cos(b)]
        return np.array([right, up, np.cross(right, up)])

    @property
    def pixels(self) -> Array:
        """``(size^2, 3)`` the points where `image` wants values; off the disc the nearest ones."""
        axis = (2 * np.arange(self.size) + 1) / self.size - 1
        y, x = (a.ravel() for a in np.meshgrid(axis, axis, indexing="ij"))
        scale = np.maximum(np.hypot(x, y), 1)
        x, y = x / scale, y / scale
        seen = np.column_stack([x, y, np.sqrt(np.maximum(1 - x * x - y * y, 0))])
        return np.asarray(seen @ self.frame)

    def image(self, values: Array) -> Array:
        """The picture, rows from below, of values ``(size^2,)`` at the pixels."""
        return values.reshape(self.size, self.size)

    def place(self, points: Array) -> Array:
        """``(m, 2)`` where points ``(m, 3)`` are seen; not a number on the far side."""
        seen = points @ self.frame.T
        return np.where(seen[:, 2:] >= 0, seen[:, :2], np.nan)

    @property
    def graticule(self) -> Array:
        """``(m, 2)`` meridians and parallels every 30 degrees, with gaps of not-a-number."""
        step, along = math.pi / 6, np.linspace(-math.pi, math.pi, 121)
        meridians = [(np.full_like(along, m * step), np.sin(along / 2)) for m in range(12)]
        parallels = [(along, np.full_like(along, math.sin(p * step))) for p in range(-2, 3)]
        lines = (Sphere().unchart(np.column_stack(c)) for c in meridians + parallels)
        return np.vstack([[*self.place(line), [np.nan] * 2] for line in lines])

    def show(self, ax: Axes, image: Array, norm: Normalize) -> AxesImage:
        """Draw a picture, cut along the limb, and the limb."""
        edge = 1.03  # leaves room for the limb's line
        ax.set_axis_off()
        limb = ax.add_patch(Circle((0, 0), 1, facecolor="none", edgecolor="0.3", lw=0.8))
        shown = ax.imshow(image, origin="lower", extent=(-1, 1, -1, 1), cmap="viridis", norm=norm,
                          interpolation="bilinear", clip_path=limb)  # fmt: skip
        ax.set(xlim=(-edge, edge), ylim=(-edge, edge))
        return shown
