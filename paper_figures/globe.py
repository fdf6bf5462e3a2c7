"""Pictures of the unit sphere S^2 as a globe seen from far away."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.image import AxesImage
from matplotlib.patches import Circle

from uf_diffusion.core.arrays import Array
from uf_diffusion.problem.manifolds import Sphere

__all__ = ["Globe"]


@dataclass(frozen=True)
class Globe:
    """An orthographic projection of the near side of S^2 onto the unit disc.

    Attributes:
        longitude, latitude: the position in radians of the point in the middle.
        size: number of pixels along each axis of a picture.
    """

    longitude: float
    latitude: float
    size: int = 128

    @property
    def frame(self) -> Array:
        """The unit vectors to the right, up and towards the viewer, as the rows of ``(3, 3)``."""
        a, b = self.longitude, self.latitude
        right = [-math.sin(a), math.cos(a), 0]
        up = [-math.sin(b) * math.cos(a), -math.sin(b) * math.sin(a), math.cos(b)]
        return np.array([right, up, np.cross(right, up)])

    @property
    def pixels(self) -> Array:
        """The points ``(size^2, 3)`` at which `image` needs values.

        For a pixel outside the disc it is the nearest point of the limb.
        """
        axis = (2 * np.arange(self.size) + 1) / self.size - 1
        y, x = (a.ravel() for a in np.meshgrid(axis, axis, indexing="ij"))
        scale = np.maximum(np.hypot(x, y), 1)
        x, y = x / scale, y / scale
        seen = np.column_stack([x, y, np.sqrt(np.maximum(1 - x * x - y * y, 0))])
        return np.asarray(seen @ self.frame)

    def image(self, values: Array) -> Array:
        """The picture ``(size, size)``, lowest row first, of values ``(size^2,)``."""
        return values.reshape(self.size, self.size)

    def place(self, points: Array) -> Array:
        """The positions ``(m, 2)`` where points ``(m, 3)`` are seen; NaN on the far side."""
        seen = points @ self.frame.T
        return np.where(seen[:, 2:] >= 0, seen[:, :2], np.nan)

    @property
    def graticule(self) -> Array:
        """Meridians and parallels every 30 degrees as one line ``(m, 2)`` with gaps of NaN."""
        step, along = math.pi / 6, np.linspace(-math.pi, math.pi, 121)
        meridians = [(np.full_like(along, m * step), np.sin(along / 2)) for m in range(12)]
        parallels = [(along, np.full_like(along, math.sin(p * step))) for p in range(-2, 3)]
        lines = (Sphere().unchart(np.column_stack(c)) for c in meridians + parallels)
        return np.vstack([[*self.place(line), [np.nan] * 2] for line in lines])

    def show(self, ax: Axes, image: Array, norm: Normalize) -> AxesImage:
        """Draw a picture that is clipped along the limb (the edge of the disc), and the limb."""
        edge = 1.03  # leaves room for the limb's line
        ax.set_axis_off()
        limb = ax.add_patch(Circle((0, 0), 1, facecolor="none", edgecolor="0.3", lw=0.8))
        shown = ax.imshow(image, origin="lower", extent=(-1, 1, -1, 1), cmap="viridis", norm=norm,
                          interpolation="bilinear", clip_path=limb)  # fmt: skip
        ax.set(xlim=(-edge, edge), ylim=(-edge, edge))
        return shown
