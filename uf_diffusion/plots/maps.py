"""Densities and outer weights on a map: S^2 and tori of two and more dimensions."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm

from uf_diffusion.config import Config
from uf_diffusion.plots.style import BLUE, DRAWN, GREY, Panel, group, smoothed
from uf_diffusion.problem.grids import Grid, grid_on, with_degree
from uf_diffusion.problem.manifolds import Array, Manifold, Sphere
from uf_diffusion.problem.triangulations import Triangulation

__all__ = ["map_panels"]


def map_panels(result: xr.DataTree, config: Config, manifold: Manifold) -> list[list[Panel]]:
    """Both densities side by side at a middle and at the last time, and the teacher."""
    diffusion, network = group(result, "diffusion"), group(result, "network")
    points, shape = _pixels(manifold)
    some = diffusion if diffusion is not None else network
    assert some is not None
    times = some.snapshot_time.values
    grid = _grid(diffusion, config) if diffusion is not None else None

    def at_pixels(nodal: Array) -> Array:
        assert grid is not None
        return _image(grid.interpolate(nodal, points), shape)

    teacher = at_pixels(diffusion.teacher.values) if diffusion is not None else None
    top = None if teacher is None else float(teacher.max())
    rows: list[list[Panel]] = []
    for k in (len(times) // 4, len(times) - 1):
        row = []
        if diffusion is not None:
            image = at_pixels(diffusion.density.values[k])
            row.append(_map(image, manifold, top, f"diffusion, t = {times[k]:.3g}"))
        if network is not None:
            values = smoothed(
                manifold, network.feature.values[k], network.neuron_mass.values, points
            )
            title = f"network (smoothed), t = {times[k]:.3g}"
            dots = manifold.chart(network.feature.values[k])
            dots = dots[:: -(-len(dots) // DRAWN)]
            row.append(_map(_image(values, shape), manifold, top, title, dots))
        if teacher is not None and (network is None or k < len(times) - 1):
            row.append(_map(teacher, manifold, top, "teacher"))
        elif grid is not None and diffusion is not None and network is not None:
            limit = grid.interpolate(diffusion.outer_weight.values[k], network.feature.values[k])
            row.append(_weight_scatter(limit, network.outer_weight.values[k], times[k]))
        rows.append(row)
    return rows


def _grid(diffusion: xr.Dataset, config: Config) -> Grid:
    """The mesh of a result: from a file if it names its cells, else built in."""
    cells, degree = config.diffusion.cells, config.diffusion.degree
    if "cell" not in diffusion:
        return grid_on(config.problem.shape(), cells, degree)
    corners = diffusion.node.values[: int(diffusion.cell.values.max()) + 1]
    return with_degree(Triangulation(Sphere(2), corners, diffusion.cell.values), degree)


def _weight_scatter(limit: Array, u: Array, t: float) -> Panel:
    def panel(ax: Axes) -> None:
        ends = [min(limit.min(), u.min()), max(limit.max(), u.max())]
        ax.plot(ends, ends, color=GREY, lw=0.8)
        ax.plot(limit, u, ".", ms=3, color=BLUE, alpha=0.6)
        ax.set(title=f"outer weights, t = {t:.3g}", ylabel="$u_i$ (network)",
               xlabel="$u$ at the neuron (diffusion)")  # fmt: skip

    return panel


def _pixels(manifold: Manifold) -> tuple[Array, tuple[int, ...]]:
    """Points of a regular grid of the chart, coarse along further axes."""
    shape = (121, 121) + (16,) * (len(manifold.axes) - 2)
    lines = [
        a.low + a.length * (np.arange(n) + 0.5) / n
        for a, n in zip(manifold.axes, shape, strict=True)
    ]
    mesh = np.stack(np.meshgrid(*lines, indexing="ij"), axis=-1)
    return manifold.unchart(mesh.reshape(-1, len(shape))), shape


def _image(values: Array, shape: tuple[int, ...]) -> Array:
    """Values at `_pixels` as an image over the first two axes, averaged over further ones."""
    return np.asarray(values.reshape(*shape[:2], -1).mean(axis=2))


def _aspect(manifold: Manifold) -> Any:
    """Equal lengths where both axes are of one kind."""
    a, b = manifold.axes[:2]
    return "equal" if a.length == b.length else "auto"


def _map(
    image: Array, manifold: Manifold, top: float | None, title: str, dots: Array | None = None
) -> Panel:
    def panel(ax: Axes) -> None:
        a, b = manifold.axes[:2]
        shown = ax.imshow(
            image.T, origin="lower", extent=(a.low, a.high, b.low, b.high),
            aspect=_aspect(manifold), cmap="viridis", norm=PowerNorm(0.5, vmin=0, vmax=top),
        )  # fmt: skip
        if dots is not None:
            ax.plot(dots[:, 0], dots[:, 1], ".", ms=1, color="white", alpha=0.4)
        figure: Any = ax.figure
        figure.colorbar(shown, ax=ax, label="density", pad=0.02)
        ax.set(title=title, xlabel=a.label, ylabel=b.label)

    return panel
