"""Densities and outer weights on a map: S^2 and tori of two and more dimensions."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.image import AxesImage

from uf_diffusion.core.arrays import Array
from uf_diffusion.plots.shown import Shown
from uf_diffusion.plots.style import BLUE, GREY, Panel, smoothed, thinned
from uf_diffusion.problem.manifolds import Manifold

__all__ = ["MOST_AXES", "Chart", "density_scale", "map_panels"]

MOST_AXES = 4  # of a map: averages over more than two further ones take too many points


@dataclass(frozen=True)
class Chart:
    """Pictures in a manifold's chart: its first two axes, averaged over further ones."""

    manifold: Manifold

    @property
    def shape(self) -> tuple[int, ...]:
        """Pixels along each axis, few along further ones."""
        return (121, 121) + (16,) * (len(self.manifold.axes) - 2)

    @cached_property
    def pixels(self) -> Array:
        """``(n, ambient)`` the points where `image` wants values."""
        lines = [
            a.low + a.length * (np.arange(n) + 0.5) / n
            for a, n in zip(self.manifold.axes, self.shape, strict=True)
        ]
        mesh = np.stack(np.meshgrid(*lines, indexing="ij"), axis=-1)
        return self.manifold.unchart(mesh.reshape(-1, len(lines)))

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


def map_panels(result: Shown) -> list[list[Panel]]:
    """Both densities side by side at a middle and at the last time, and the teacher."""
    diffusion, network = result.group("diffusion"), result.group("network")
    manifold = result.manifold
    chart = Chart(manifold)
    some = diffusion if diffusion is not None else network
    assert some is not None
    times = some.snapshot_time.values
    grid = result.grid if diffusion is not None else None

    def at_pixels(nodal: Array) -> Array:
        assert grid is not None
        return chart.image(grid.interpolate(nodal, chart.pixels))

    teacher = at_pixels(diffusion.teacher.values) if diffusion is not None else None
    top = None if teacher is None else float(teacher.max())
    rows: list[list[Panel]] = []
    for k in (len(times) // 4, len(times) - 1):
        row = []
        if diffusion is not None:
            image = at_pixels(diffusion.density.values[k])
            row.append(_map(chart, image, top, f"diffusion, t = {times[k]:.3g}"))
        if network is not None:
            values = smoothed(
                manifold, network.feature.values[k], network.neuron_mass.values, chart.pixels
            )
            title = f"network (smoothed), t = {times[k]:.3g}"
            dots = thinned(chart.place(network.feature.values[k]))
            row.append(_map(chart, chart.image(values), top, title, dots))
        if teacher is not None and (network is None or k < len(times) - 1):
            row.append(_map(chart, teacher, top, "teacher"))
        elif grid is not None and diffusion is not None and network is not None:
            limit = grid.interpolate(diffusion.outer_weight.values[k], network.feature.values[k])
            row.append(_weight_scatter(limit, network.outer_weight.values[k], times[k]))
        rows.append(row)
    return rows


def _weight_scatter(limit: Array, u: Array, t: float) -> Panel:
    def panel(ax: Axes) -> None:
        ends = [min(limit.min(), u.min()), max(limit.max(), u.max())]
        ax.plot(ends, ends, color=GREY, lw=0.8)
        ax.plot(limit, u, ".", ms=3, color=BLUE, alpha=0.6)
        ax.set(title=f"outer weights, t = {t:.3g}", ylabel="$u_i$ (network)",
               xlabel="$u$ at the neuron (diffusion)")  # fmt: skip

    return panel


def _map(
    chart: Chart, image: Array, top: float | None, title: str, dots: Array | None = None
) -> Panel:
    def panel(ax: Axes) -> None:
        shown = chart.show(ax, image, density_scale(top))
        if dots is not None:
            ax.plot(dots[:, 0], dots[:, 1], ".", ms=1, color="white", alpha=0.4)
        figure: Any = ax.figure
        figure.colorbar(shown, ax=ax, label="density", pad=0.02)
        ax.set_title(title)

    return panel
