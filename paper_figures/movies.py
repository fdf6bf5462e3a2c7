"""Movies of a comparison: diffusion and network side by side, with a frame for each snapshot."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import xarray as xr
from matplotlib.animation import AbstractMovieWriter, FFMpegWriter
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator
from PIL import Image

from paper_figures.globe import Globe
from uf_diffusion.core.arrays import Array
from uf_diffusion.core.errors import InputError
from uf_diffusion.core.files import appearing
from uf_diffusion.grids.base import Grid
from uf_diffusion.plots.maps import Chart, density_scale
from uf_diffusion.plots.snapshots import along_axis, by_coordinate, neuron_density
from uf_diffusion.plots.style import BLUE, GREY, ORANGE, STYLE
from uf_diffusion.problem.manifolds import Manifold
from uf_diffusion.runs.config import Config
from uf_diffusion.runs.result import Result, result_of

__all__ = ["animate", "movie"]

type Move = Callable[[int], None]
type Pixels = np.ndarray[Any, np.dtype[np.uint8]]

SIZE, DPI = (7.2, 3.0), 90  # size in inches, and pixels per inch
DENSITIES = matplotlib.colormaps["viridis"](np.linspace(0, 1, 128))  # half of the colours of a GIF
DOTS = 10_000  # largest number of neurons in a frame
LATITUDE, TURN = math.pi / 9, 2 * math.pi / 3  # radians: of the viewer; of the globe


def animate(result: Any, path: Path, fps: int = 12, title: str = "") -> None:
    """Write the movie of a comparison, with a frame for each snapshot.

    A GIF shows the last frame for a second. The file appears only when it is complete.

    Args:
        result: a result of `compare`, or the xarray tree of its result.nc.
        path: the file to write, ``.gif``, or ``.mp4`` if ffmpeg is installed.
        fps: frames per second.
        title: the text before the time in each frame.

    Raises:
        InputError: for another suffix, a missing ffmpeg, ``fps`` < 1, or as `movie`.
        Unwritable: if the file cannot be written.
    """
    writer = _writer(path, fps)
    with matplotlib.rc_context(STYLE):
        figure, move, count = movie(result, title)
        with appearing(path) as partial, writer.saving(figure, partial, DPI):
            for k in range(count):
                move(k)
                writer.grab_frame()


def movie(result: Any, title: str = "") -> tuple[Figure, Move, int]:
    """The figure of a movie, a function that draws the snapshot of an index, and their number.

    Raises:
        InputError: if the result lacks the diffusion or the network.
    """
    run = _run(result_of(result))
    figure = Figure(figsize=SIZE, dpi=DPI, layout="constrained")
    if len(run.manifold.axes) == 1:
        density, weights = figure.subplots(1, 2)
        moves = [_densities(density, run), _outer_weights(weights, run)]
    else:
        moves = _pictures(figure, run)
    heading = figure.suptitle(" ", fontsize=10)

    def move(k: int) -> None:
        for part in moves:
            part(k)
        heading.set_text(f"{title}   t = {run.times[k]:.3f}".lstrip())

    move(0)
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # keeps the axes in place
    return figure, move, len(run.times)


class _Gif(AbstractMovieWriter):
    """Writes a GIF with one palette for all frames, which avoids flicker and a large file."""

    def setup(self, fig: Any, outfile: Any, dpi: float | None = None) -> None:
        super().setup(fig, outfile, dpi)
        self.canvas: Any = FigureCanvasAgg(fig)
        self.frames: list[Pixels] = []

    def grab_frame(self, **savefig_kwargs: Any) -> None:
        self.canvas.draw()  # faster than saving the figure, which draws it twice
        self.frames.append(np.array(self.canvas.buffer_rgba())[..., :3])

    def finish(self) -> None:
        film = Image.fromarray(np.vstack(self.frames))
        few = film.quantize(128, Image.Quantize.MAXCOVERAGE).getpalette() or []
        colours = [*few, *(255 * DENSITIES[:, :3]).astype(int).ravel().tolist()]
        palette = Image.new("P", (1, 1))
        palette.putpalette(colours)
        film = film.quantize(palette=palette, dither=Image.Dither.NONE)
        background = 3 * film.tobytes()[0]
        colours[background : background + 3] = [255] * 3  # restore pure white, which was rounded
        film.putpalette(colours)
        width, height = self.frame_size
        first, *rest = (
            film.crop((0, k * height, width, (k + 1) * height)) for k in range(len(self.frames))
        )
        duration = [round(1000 / self.fps)] * len(rest) + [1000]  # milliseconds
        first.save(self.outfile, format="GIF", save_all=True, append_images=rest,
                   duration=duration, loop=0)  # fmt: skip


@dataclass(frozen=True)
class _Run:
    """Both sides of a comparison, with the density of each at any points of the manifold."""

    config: Config
    diffusion: xr.Dataset
    network: xr.Dataset
    comparison: xr.Dataset | None
    manifold: Manifold
    grid: Grid

    @property
    def times(self) -> Array:
        return np.asarray(self.diffusion.snapshot_time.values)

    @property
    def limit(self) -> str:
        constrained = self.config.problem.limit == "constrained"
        return "constrained diffusion" if constrained else "diffusion"

    def solved(self, k: int, points: Array) -> Array:
        return self.grid.interpolate(self.diffusion.density.values[k], points)

    def trained(self, k: int, points: Array) -> Array:
        """The density of the neurons at points, smoothed with one width for all frames.

        The width is 2 / dim times the mean spacing of uniformly distributed neurons.
        """
        n, dim = self.network.sizes["neuron"], self.manifold.dim
        width = 2 / dim * (self.manifold.volume / n) ** (1 / dim)
        mass, feature = self.network.neuron_mass.values, self.network.feature.values[k]
        return neuron_density(self.manifold, feature, mass, points, width)

    def neurons(self, k: int) -> Array:
        """The features of the neurons that are drawn in frame ``k``."""
        feature = np.asarray(self.network.feature.values[k])
        return feature[:: -(-len(feature) // DOTS)]


def _run(result: Result) -> _Run:
    diffusion, network = result.group("diffusion"), result.group("network")
    if diffusion is None or network is None:
        raise InputError("A movie needs the diffusion and the network: the result of a comparison.")
    compared = result.group("comparison")
    return _Run(result.config, diffusion, network, compared, result.manifold, result.grid)


def _writer(path: Path, fps: int) -> AbstractMovieWriter:
    """The movie writer for the suffix of a file."""
    if fps < 1:
        raise InputError(f"A movie needs at least one frame a second, not {fps}.")
    if path.suffix == ".gif":
        return _Gif(fps)
    if path.suffix != ".mp4":
        raise InputError(f"A movie is a .gif or .mp4 file, which '{path.name}' is not.")
    if not FFMpegWriter.isAvailable():
        raise InputError("A movie as .mp4 needs the program ffmpeg; write a .gif instead.")
    return FFMpegWriter(fps)


def _densities(ax: Axes, run: _Run) -> Move:
    """Draw the teacher, both densities, and a tick below them for each neuron."""
    manifold, points = run.manifold, along_axis(run.manifold, 801)
    node, x = run.diffusion.node_position.values, manifold.chart(points)[:, 0]
    solved = [by_coordinate(manifold, node, mu) for mu in run.diffusion.density.values]
    trained = [run.trained(k, points) for k in range(len(run.times))]
    teacher = by_coordinate(manifold, node, run.diffusion.teacher.values)
    ax.fill_between(*teacher, color="0.88", lw=0, label="teacher")
    (diffusion,) = ax.plot([], [], color=BLUE, label=run.limit, zorder=3)
    (network,) = ax.plot([], [], color=ORANGE, label="network (smoothed)")
    (rug,) = ax.plot([], [], "|", ms=5, mew=0.6, color=ORANGE, alpha=0.4,
                     transform=ax.get_xaxis_transform())  # fmt: skip
    top = max(teacher[1].max(), np.max(trained), *(y.max() for _, y in solved))
    _axis(ax, manifold, "density")
    ax.set_ylim(0, 1.05 * top)
    ax.legend(loc="upper right")

    def move(k: int) -> None:
        diffusion.set_data(*solved[k])
        network.set_data(x, trained[k])
        neurons = manifold.chart(run.neurons(k))[:, 0]
        rug.set_data(neurons, np.full(len(neurons), 0.015))

    return move


def _outer_weights(ax: Axes, run: _Run) -> Move:
    """Draw the outer weights u_i of the neurons and those of the diffusion."""
    manifold, outer = run.manifold, run.network.outer_weight.values
    node, feature = run.diffusion.node_position.values, run.network.feature.values
    limit = [by_coordinate(manifold, node, u) for u in run.diffusion.outer_weight.values]
    (dots,) = ax.plot([], [], ".", ms=3, color=ORANGE, alpha=0.6, label="neurons")
    (curve,) = ax.plot([], [], color=BLUE, label=run.limit)
    ax.axhline(1, color=GREY, lw=0.6, zorder=0)
    low = min(outer.min(), *(u.min() for _, u in limit))
    high = max(outer.max(), *(u.max() for _, u in limit))
    _axis(ax, manifold, "outer weight $u$")
    ax.set_ylim(low - 0.04 * (high - low), high + 0.04 * (high - low))
    ax.legend(loc="upper right")

    def move(k: int) -> None:
        curve.set_data(*limit[k])
        dots.set_data(manifold.chart(feature[k])[:, 0], outer[k])

    return move


def _axis(ax: Axes, manifold: Manifold, quantity: str) -> None:
    axis = manifold.axes[0]
    ax.set(xlabel=axis.label, ylabel=quantity, xlim=(axis.low, axis.high))


def _pictures(figure: Figure, run: _Run) -> list[Move]:
    """Draw both densities on one scale of colours, and the distances over time if known."""
    ratios = [1.0, 1.0] if run.comparison is None else [1.0, 1.0, 0.85]
    left, right, *rest = figure.subplots(1, len(ratios), width_ratios=ratios)
    views, teacher = _views(run), run.diffusion.teacher.values
    norm = density_scale(float(teacher.max()))
    sides = ((left, run.limit, run.solved), (right, "network (smoothed)", run.trained))
    shown, lines = [], []
    for ax, name, density in sides:
        shown.append(views[0].show(ax, views[0].image(density(0, views[0].pixels)), norm))
        lines += ax.plot([], [], color="white", lw=0.4, alpha=0.4)
        ax.set_title(name)
    right.set_ylabel("")
    (dots,) = right.plot([], [], ".", ms=1.8, mew=0, color="white", alpha=0.7)
    figure.colorbar(shown[0], ax=[left, right], label="density", shrink=0.8, pad=0.02)

    def move(k: int) -> None:
        view = views[k]
        for image, line, (_, _, density) in zip(shown, lines, sides, strict=True):
            image.set_data(view.image(density(k, view.pixels)))
            if isinstance(view, Globe):
                line.set_data(*view.graticule.T)
        dots.set_data(*view.place(run.neurons(k)).T)

    return [move, *(_distances(ax, run) for ax in rest)]


def _views(run: _Run) -> Sequence[Chart | Globe]:
    """The view of each snapshot. A globe turns slowly and faces the teacher at half time."""
    count = len(run.times)
    if run.manifold.ambient != 3 or run.manifold.dim != 2:  # not a surface in R^3
        return [Chart(run.manifold)] * count
    mass = run.diffusion.teacher.values * run.diffusion.node_measure.values
    x, y, _ = mass @ run.diffusion.node_position.values
    turns = math.atan2(y, x) + np.linspace(-TURN / 2, TURN / 2, count)
    return [Globe(float(turn), LATITUDE) for turn in turns]


def _distances(ax: Axes, run: _Run) -> Move:
    """Draw the network's energy distances over time, with dots at the time of the snapshot."""
    assert run.comparison is not None
    lines = (("energy_distance_teacher", "network to teacher", GREY),
             ("energy_distance_diffusion", f"network to {run.limit}", BLUE))  # fmt: skip
    values = [run.comparison[name].values for name, _, _ in lines]
    for y, (_, label, colour) in zip(values, lines, strict=True):
        ax.plot(run.times, y, color=colour, label=label)
    dots = [ax.plot([], [], "o", ms=4, color=colour)[0] for _, _, colour in lines]
    low, high = np.min(values), np.max(values)
    ax.set(title="energy distance", xlabel="time t", yscale="log", ylim=(low / 1.5, high * 3))
    ax.yaxis.set(major_locator=LogLocator(subs=(1, 2, 5)), major_formatter="{x:g}",
                 minor_locator=NullLocator())  # fmt: skip
    ax.legend(loc="upper right")

    def move(k: int) -> None:
        for dot, y in zip(dots, values, strict=True):
            dot.set_data(run.times[k : k + 1], y[k : k + 1])

    return move
