"""Maps of densities in the plane of a chart, for S^2 and tori of two and more dimensions."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.image import AxesImage

from uf_diffusion.core.arrays import Array
from uf_diffusion.problem.manifolds import Manifold

__all__ = ["MOST_AXES", "Chart", "density_scale"]

MOST_AXES = 4  # largest dimension of a map; to average over more axes takes too many points


@dataclass(frozen=True)
class Chart:
    """Maps in the first two axes of a manifold's chart, averaged over the other axes.

    Attributes:
        manifold: a manifold with at least two axes.
        fine, coarse: number of pixels along each of the first two axes, and along each other axis.
        hint: a sentence for the reader of a page.
        shows_neurons: whether neurons are drawn on the picture of the diffusion.
    """

    manifold: Manifold
    fine: int = 121
    coarse: int = 16
    hint = ""
    shows_neurons = False

    @property
    def shape(self) -> tuple[int, ...]:
        """The number of pixels along each axis."""
        return (self.fine, self.fine) + (self.coarse,) * (len(self.manifold.axes) - 2)

    @cached_property
    def centres(self) -> list[Array]:
        """The coordinates of the centres of the pixels, ``(pixels,)`` for each axis."""
        return [
            a.low + a.length * (np.arange(n) + 0.5) / n
            for a, n in zip(self.manifold.axes, self.shape, strict=True)
        ]

    @cached_property
    def pixels(self) -> Array:
        """The points ``(n, ambient)`` at which `image` needs values."""
        mesh = np.stack(np.meshgrid(*self.centres, indexing="ij"), axis=-1)
        return self.manifold.unchart(mesh.reshape(-1, len(self.shape)))

    def image(self, values: Array) -> Array:
        """The picture ``(fine, fine)``, lowest row first, of values ``(n,)`` at the pixels."""
        return np.asarray(values.reshape(*self.shape[:2], -1).mean(axis=2).T)

    def place(self, points: Array) -> Array:
        """The positions ``(m, 2)`` where points ``(m, ambient)`` are drawn."""
        return self.manifold.chart(points)[:, :2]

    def show(self, ax: Axes, image: Array, norm: PowerNorm) -> AxesImage:
        """Draw a picture and label its axes, with equal scales if both axes have one length."""
        a, b = self.manifold.axes[:2]
        ax.set(xlabel=a.label, ylabel=b.label)
        return ax.imshow(
            image, origin="lower", extent=(a.low, a.high, b.low, b.high), cmap="viridis", norm=norm,
            aspect="equal" if a.length == b.length else "auto",
        )  # fmt: skip


def density_scale(top: float | None) -> PowerNorm:
    """The scale of colours for densities from 0 to ``top``: the colour follows the square root."""
    return PowerNorm(0.5, vmin=0, vmax=top)
