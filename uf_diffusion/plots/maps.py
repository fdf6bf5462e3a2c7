"""Pictures in the plane of a chart: S^2 and tori of two and more dimensions."""

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

MOST_AXES = 4  # of a map: averages over more than two further ones take too many points


@dataclass(frozen=True)
class Chart:
    """Pictures in a manifold's chart: its first two axes, averaged over further ones.

    Attributes:
        manifold: has two axes at least.
        fine, coarse: pixels along each of the first two axes, and along each further one.
    """

    manifold: Manifold
    fine: int = 121
    coarse: int = 16
    hint = ""  # how a page's reader moves it
    shows_neurons = False  # on the diffusion

    @property
    def shape(self) -> tuple[int, ...]:
        """Pixels along each axis."""
        return (self.fine, self.fine) + (self.coarse,) * (len(self.manifold.axes) - 2)

    @cached_property
    def centres(self) -> list[Array]:
        """Of the pixels, along each axis."""
        return [
            a.low + a.length * (np.arange(n) + 0.5) / n
            for a, n in zip(self.manifold.axes, self.shape, strict=True)
        ]

    @cached_property
    def pixels(self) -> Array:
        """``(n, ambient)`` the points where `image` wants values."""
        mesh = np.stack(np.meshgrid(*self.centres, indexing="ij"), axis=-1)
        return self.manifold.unchart(mesh.reshape(-1, len(self.shape)))

    def image(self, values: Array) -> Array:
        """The picture, rows from below, of values ``(n,)`` at the pixels."""
        return np.asarray(values.reshape(*self.shape[:2], -1).mean(axis=2).T)

    def place(self, points: Array) -> Array:
        """``(m, 2)`` where points ``(m, ambient)`` are seen."""
        return self.manifold.chart(points)[:, :2]

    def show(self, ax: Axes, image: Array, norm: PowerNorm) -> AxesImage:
        """Draw a picture and label its axes; equal lengths where both axes are of one kind."""
        a, b = self.manifold.axes[:2]
        ax.set(xlabel=a.label, ylabel=b.label)
        return ax.imshow(
            image, origin="lower", extent=(a.low, a.high, b.low, b.high), cmap="viridis", norm=norm,
            aspect="equal" if a.length == b.length else "auto",
        )  # fmt: skip


def density_scale(top: float | None) -> PowerNorm:
    """Colours of densities from 0 to ``top``, finer where they are small."""
    return PowerNorm(0.5, vmin=0, vmax=top)
