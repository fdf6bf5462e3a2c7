"""Densities and outer weights on a circle or a 1-D torus."""

from __future__ import annotations

from collections.abc import Callable

import matplotlib
import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from uf_diffusion.core.arrays import Array
from uf_diffusion.plots.shown import Shown
from uf_diffusion.plots.style import BLUE, ORANGE, Panel, by_coordinate, smoothed
from uf_diffusion.problem.manifolds import Manifold

__all__ = ["line_panels", "line_points"]


def line_panels(result: Shown, manifold: Manifold) -> list[Panel]:
    """Both densities at some times, and the outer weights."""
    diffusion, network = result.group("diffusion"), result.group("network")
    panels: list[Panel] = []

    def curves(
        ax: Axes, title: str, times: Array, lines: Callable[[int], tuple[Array, Array]]
    ) -> None:
        if diffusion is not None:
            x, y = by_coordinate(manifold, diffusion.node_position.values, diffusion.teacher.values)
            ax.fill_between(x, y, color="0.88", label="teacher", lw=0)
        colours = matplotlib.colormaps["viridis"](np.linspace(0, 0.9, 5))
        for colour, k in zip(colours, _chosen(times), strict=False):
            ax.plot(*lines(k), color=colour, label=f"t = {times[k]:.3g}")
        axis = manifold.axes[0]
        ax.set(title=title, xlabel=axis.label, ylabel="density", xlim=(axis.low, axis.high))
        ax.set_ylim(bottom=0)
        ax.legend(loc="upper right")

    if diffusion is not None:
        panels.append(
            lambda ax: curves(
                ax,
                "diffusion",
                diffusion.snapshot_time.values,
                lambda k: by_coordinate(
                    manifold, diffusion.node_position.values, diffusion.density.values[k]
                ),
            )
        )
    if network is not None:
        points = line_points(manifold, 801)
        panels.append(
            lambda ax: curves(
                ax,
                "network (kernel density estimate)",
                network.snapshot_time.values,
                lambda k: (
                    manifold.chart(points)[:, 0],
                    smoothed(
                        manifold, network.feature.values[k], network.neuron_mass.values, points
                    ),
                ),
            )
        )
    if diffusion is not None and network is not None:
        panels.append(lambda ax: _outer_weights(ax, diffusion, network, manifold))
    return panels


def _outer_weights(
    ax: Axes, diffusion: xr.Dataset, network: xr.Dataset, manifold: Manifold
) -> None:
    """u_i of the neurons on the curve nu/mu, at an early and at the last time."""
    times = diffusion.snapshot_time.values
    for k, colour in ((_chosen(times)[1], BLUE), (len(times) - 1, ORANGE)):
        x, y = by_coordinate(
            manifold, diffusion.node_position.values, diffusion.outer_weight.values[k]
        )
        ax.plot(x, y, color=colour, label=f"limit, t = {times[k]:.3g}")
        where = manifold.chart(network.feature.values[k])[:, 0]
        ax.plot(where, network.outer_weight.values[k], ".", ms=3, color=colour, alpha=0.5,
                label=f"neurons, t = {times[k]:.3g}")  # fmt: skip
    axis = manifold.axes[0]
    ax.set(title="outer weights", xlabel=axis.label, ylabel="outer weight",
           xlim=(axis.low, axis.high))  # fmt: skip
    low, high = ax.get_ylim()
    ax.set_ylim(low, high + 0.3 * (high - low))
    ax.legend(loc="upper center", ncols=2)


def line_points(manifold: Manifold, n: int) -> Array:
    """``(n, ambient)`` points evenly along the whole of the axis."""
    axis = manifold.axes[0]
    return manifold.unchart(np.linspace(axis.low, axis.high - 1e-9 * axis.length, n)[:, None])


def _chosen(times: Array) -> list[int]:
    """At most five snapshots, denser at the start where things move."""
    wanted = times[-1] * np.array([0.0, 0.05, 0.1, 0.5, 1.0])
    return sorted({int(np.argmin(np.abs(times - t))) for t in wanted})
