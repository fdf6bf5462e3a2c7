"""Figures of results: drawn from the result tree alone, never from a running solver."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure

from uf_diffusion.config import Config, config_from_toml
from uf_diffusion.problem.grids import Grid, grid_on, with_degree
from uf_diffusion.problem.manifolds import Array, Manifold, Sphere
from uf_diffusion.problem.triangulations import Triangulation

__all__ = ["draw", "save"]

# Okabe and Ito's colours, told apart by all readers
DRAWN = 10_000  # neurons in a picture, at most
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "0.55"
STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.fontsize": 7.5,
    "legend.frameon": False,
    "lines.linewidth": 1.3,
}


def draw(result: xr.DataTree, path: str | Path | None = None) -> Figure:
    """The figure of a run: densities, outer weights, distances and risks over time.

    Args:
        result: what `solve`, `train` or `compare` returned, or a result.nc read back.
        path: a file to write it to, by its suffix.
    """
    config = config_from_toml(result.attrs["config"])
    manifold = config.problem.shape()
    with matplotlib.rc_context(STYLE):
        rows: list[Sequence[Callable[[Axes], None]]] = []
        if "kernel" in result:
            rows.append(_spectrum_panels(result, manifold))
        elif len(manifold.axes) == 1:
            rows.append(_line_panels(result, manifold))
        elif manifold.axes:
            rows += _map_panels(result, config, manifold)
        if "kernel" not in result:
            rows.append(_time_panels(result))
        if "budget" in result:
            rows.append(_budget_panels(result["budget"].to_dataset()))
        columns = max(map(len, rows))
        figure = Figure(figsize=(3.6 * columns, 2.9 * len(rows)), layout="constrained")
        grid = figure.subplots(len(rows), columns, squeeze=False)
        for axes, panels in zip(grid, rows, strict=True):
            for ax, panel in zip(axes, panels, strict=False):
                panel(ax)
            for ax in axes[len(panels) :]:
                ax.set_axis_off()
        lines = textwrap.wrap(_title(config, result), int(14 * figure.get_figwidth()))
        figure.suptitle("\n".join(lines), fontsize=10)
    if path is not None:
        save(figure, Path(path))
    return figure


def save(figure: Figure, path: Path) -> None:
    """Write a figure; the file appears under its name once it is complete."""
    partial = path.with_name(f".{path.name}")
    figure.savefig(partial, format=path.suffix[1:], dpi=150)
    partial.replace(path)


def _title(config: Config, result: xr.DataTree) -> str:
    p, n = config.problem, config.network
    text = f"{p.manifold} (dimension {p.dim}), {p.regulariser} regulariser"
    if p.limit == "constrained":
        text += ", constrained limit"
    if "network" in result:
        text += (
            f"; {n.features} network of width {n.width}, $\\lambda$ = {n.regularisation:g}, "
            f"{n.algorithm}, {n.pace}"
        )
    return text


def _group(result: xr.DataTree, name: str) -> xr.Dataset | None:
    return result[name].to_dataset() if name in result else None


# --- densities on a line --------------------------------------------------------------------------


def _line_panels(result: xr.DataTree, manifold: Manifold) -> list[Callable[[Axes], None]]:
    diffusion, network = _group(result, "diffusion"), _group(result, "network")
    panels: list[Callable[[Axes], None]] = []

    def curves(
        ax: Axes, title: str, times: Array, lines: Callable[[int], tuple[Array, Array]]
    ) -> None:
        if diffusion is not None:
            x, y = _by_coordinate(manifold, diffusion.node.values, diffusion.teacher.values)
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
                lambda k: _by_coordinate(
                    manifold, diffusion.node.values, diffusion.density.values[k]
                ),
            )
        )
    if network is not None:
        points = _line(manifold, 801)
        panels.append(
            lambda ax: curves(
                ax,
                "network (kernel density estimate)",
                network.snapshot_time.values,
                lambda k: (
                    manifold.chart(points)[:, 0],
                    _smoothed(
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
        x, y = _by_coordinate(manifold, diffusion.node.values, diffusion.outer_weight.values[k])
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


def _by_coordinate(manifold: Manifold, node: Array, values: Array) -> tuple[Array, Array]:
    x = manifold.chart(node)[:, 0]
    order = np.argsort(x)
    return x[order], values[order]


def _line(manifold: Manifold, n: int) -> Array:
    axis = manifold.axes[0]
    return manifold.unchart(np.linspace(axis.low, axis.high - 1e-9 * axis.length, n)[:, None])


def _chosen(times: Array) -> list[int]:
    """At most five snapshots, denser at the start where things move."""
    wanted = times[-1] * np.array([0.0, 0.05, 0.1, 0.5, 1.0])
    return sorted({int(np.argmin(np.abs(times - t))) for t in wanted})


def _smoothed(manifold: Manifold, feature: Array, mass: Array, points: Array) -> Array:
    """A kernel density estimate of the neurons at points, with a Gaussian of the chord; of every
    k-th neuron where there are very many.

    The bandwidth is 2 / dim mean spacings of uniform neurons: narrow, so that peaks keep their
    height.
    """
    every = -(-len(feature) // DRAWN)
    feature, mass = feature[::every], mass[::every] / mass[::every].sum()
    dim, n = manifold.dim, len(feature)
    width = 2 / dim * (manifold.volume / n) ** (1 / dim)
    total = np.zeros(len(points))
    rows = max(1, 2**22 // len(points))
    for i in range(0, n, rows):
        chord = manifold.chord(points, feature[i : i + rows])
        total += np.exp(-0.5 * (chord / width) ** 2) @ mass[i : i + rows]
    return np.asarray(total / (math.sqrt(2 * math.pi) * width) ** dim)


# --- eigenvalues ---------------------------------------------------------------------------------


def _spectrum_panels(result: xr.DataTree, manifold: Manifold) -> list[Callable[[Axes], None]]:
    """The eigenvalues, the first eigenfunctions along the first coordinate, and the kernel's."""
    spectrum, kernel = _group(result, "spectrum"), result["kernel"].to_dataset()

    def values(ax: Axes) -> None:
        assert spectrum is not None
        modes = np.arange(1, spectrum.sizes["mode"] + 1)
        ax.plot(modes, spectrum.eigenvalue.values, "o", color=BLUE)
        ax.set(title="weighted Laplacian", xlabel="mode", ylabel="eigenvalue (1 / time)")
        ax.set_ylim(bottom=0)

    def functions(ax: Axes) -> None:
        assert spectrum is not None
        line = len(manifold.axes) == 1
        for k, e in enumerate(spectrum.eigenfunction.values[:3]):
            x, y = _by_coordinate(manifold, spectrum.node.values, e)
            ax.plot(x, y, "-" if line else ".", ms=2, label=f"mode {k + 1}")
        ax.set(title="eigenfunctions", xlabel=manifold.axes[0].label, ylabel="eigenfunction")
        ax.legend(loc="upper right")

    def kernel_values(ax: Axes) -> None:
        degree, value = kernel.degree.values[1:], kernel.eigenvalue.values[1:]
        seen = value > 0
        ax.loglog(degree[seen], value[seen], ".", ms=4, color=BLUE, label="seen")
        if not seen.all():
            low = np.full((~seen).sum(), value[seen].min() / 10)
            ax.plot(degree[~seen], low, "x", ms=4, color=ORANGE, label="0: unseen")
            ax.legend(loc="upper right")
        ax.set(title="kernel of the features", xlabel="degree $|k|$", ylabel="eigenvalue")

    return [*([] if spectrum is None else [values, functions]), kernel_values]


# --- densities on a map ---------------------------------------------------------------------------


def _map_panels(
    result: xr.DataTree, config: Config, manifold: Manifold
) -> list[list[Callable[[Axes], None]]]:
    """Both densities side by side at a middle and at the last time, and the teacher."""
    diffusion, network = _group(result, "diffusion"), _group(result, "network")
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
    rows: list[list[Callable[[Axes], None]]] = []
    for k in (len(times) // 4, len(times) - 1):
        row = []
        if diffusion is not None:
            image = at_pixels(diffusion.density.values[k])
            row.append(_map(image, manifold, top, f"diffusion, t = {times[k]:.3g}"))
        if network is not None:
            values = _smoothed(
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


def _weight_scatter(limit: Array, u: Array, t: float) -> Callable[[Axes], None]:
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
) -> Callable[[Axes], None]:
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


# --- over time ------------------------------------------------------------------------------------


def _time_panels(result: xr.DataTree) -> list[Callable[[Axes], None]]:
    diffusion, network = _group(result, "diffusion"), _group(result, "network")
    comparison = _group(result, "comparison")
    panels: list[Callable[[Axes], None]] = []
    if comparison is not None:
        panels.append(lambda ax: _distances(ax, comparison))
    panels.append(lambda ax: _risks(ax, diffusion, network))
    if diffusion is not None and "decay_rate" in diffusion.attrs:
        panels.append(lambda ax: _decay(ax, diffusion))
    if diffusion is not None:
        panels.append(lambda ax: _bounds(ax, diffusion))
    return panels


def _distances(ax: Axes, comparison: xr.Dataset) -> None:
    lines = (
        ("energy_distance_teacher", "energy distance to the teacher", GREY, "o-"),
        ("energy_distance_diffusion", "energy distance to the diffusion", BLUE, "o-"),
        ("w2_diffusion", "$W_2$ to the diffusion", GREEN, "s-"),
        ("outer_weight_error", r"median $|u_i - u(\omega_i)|$", ORANGE, "^-"),
    )
    for name, label, colour, style in lines:
        values = comparison[name].values
        if np.isfinite(values).any():
            ax.plot(comparison.time.values, values, style, ms=3, color=colour, label=label)
    ax.set(title="network against diffusion", xlabel="time t", ylabel="distance", yscale="log")
    low, high = ax.get_ylim()
    ax.set_ylim(low * (low / high) ** 0.6, high)
    ax.legend(loc="lower left")


def _budget_panels(budget: xr.Dataset) -> list[Callable[[Axes], None]]:
    """The entries of the error budget over time, and at the end."""
    names = [str(name) for name in budget.source.values]
    time, part, total = budget.time.values, budget.contribution.values, budget.total.values
    colours = matplotlib.colormaps["tab10"](np.linspace(0, 1, 10))[: len(names)]

    def over_time(ax: Axes) -> None:
        for name, values, colour in zip(names, part, colours, strict=True):
            ax.plot(time, values, "o-", ms=2.5, color=colour, label=name)
        ax.plot(time, total, "k-", lw=2, label="network to diffusion")
        ax.plot(time, part.sum(axis=0), "k:", label="sum of the entries")
        ax.set(title="error budget", xlabel="time t", ylabel="energy distance", yscale="log")
        ax.legend(fontsize=6)

    def at_end(ax: Axes) -> None:
        shown, values = [*names, "network to diffusion"], [*part[:, -1], total[-1]]
        ax.barh(shown, values, color=[*colours, "black"])
        ax.invert_yaxis()
        ax.set(title=f"error budget, t = {time[-1]:.3g}", xlabel="energy distance", xscale="log")

    return [over_time, at_end]


def _risks(ax: Axes, diffusion: xr.Dataset | None, network: xr.Dataset | None) -> None:
    if diffusion is not None:
        ax.plot(diffusion.time.values, diffusion.risk.values, color=BLUE,
                label=r"diffusion: $L^0 = \int f(u)\,d\mu$")  # fmt: skip
    if network is not None:
        ax.plot(network.time.values, network.risk.values, color=ORANGE,
                label=r"network: reduced risk $L^\lambda$")  # fmt: skip
    ax.set(title="risk", xlabel="time t", ylabel="risk", yscale="log")
    ax.legend()


def _decay(ax: Axes, diffusion: xr.Dataset) -> None:
    """The fluctuation of mu/nu, and the theory's rate through its last value."""
    t, rate = diffusion.time.values, diffusion.attrs["decay_rate"]
    spread = diffusion.max_ratio.values - diffusion.min_ratio.values
    ax.plot(t, spread, color=BLUE, label=r"$\max\,\mu/\bar\nu - \min\,\mu/\bar\nu$")
    late = t >= t[-1] / 3
    ax.plot(t[late], spread[-1] * np.exp(rate * (t[-1] - t[late])), "--", color=ORANGE,
            label=rf"$\exp(-f''(1)\lambda_1 t)$, rate {rate:.4g}")  # fmt: skip
    ax.set(title="approach to equilibrium", xlabel="time t", ylabel="range of the ratio",
           yscale="log")  # fmt: skip
    ax.legend()


def _bounds(ax: Axes, diffusion: xr.Dataset) -> None:
    t = diffusion.time.values
    ax.plot(t, diffusion.max_ratio.values, color=BLUE, label=r"$\max\,\mu/\bar\nu$")
    ax.plot(t, diffusion.min_ratio.values, color=ORANGE, label=r"$\min\,\mu/\bar\nu$")
    ax.axhline(1, color=GREY, lw=0.8)
    drift = float(np.abs(diffusion.mass.values - 1).max())
    ax.set(title=f"bounds; mass drift {drift:.0e}", xlabel="time t",
           ylabel="ratio to the teacher", yscale="log")  # fmt: skip
    ax.legend()
