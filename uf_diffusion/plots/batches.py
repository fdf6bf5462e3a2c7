"""Figure and table of an experiment with several methods and batch sizes."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib
import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from uf_diffusion.core.arrays import Array
from uf_diffusion.plots.style import GREY, PALETTE, STYLE, NotebookFigure

__all__ = ["QUANTITIES", "batch_table", "draw_batches", "draw_quantity"]

LAST = 5  # epochs of which the table has the mean
QUANTITIES = {"accuracy": "test accuracy", "minibatch_risk": "risk of the minibatches"}

LINES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)))  # of curves in grey

type Curves = Mapping[str, tuple[Array, Array]]  # by label, x and y ``(n,)`` each


def draw_batches(data: xr.Dataset) -> NotebookFigure:
    """A figure with a row for each quantity and a panel for each method.

    Args:
        data: ``accuracy`` and ``minibatch_risk`` with the dimensions method, batch, seed, epoch.
    """
    with matplotlib.rc_context(STYLE):
        methods = [str(method) for method in data.method.values]
        figure = NotebookFigure(figsize=(3.2 * len(methods), 5.4), layout="constrained")
        grid = figure.subplots(2, len(methods), sharey="row", sharex=True, squeeze=False)
        for row, name in zip(grid, QUANTITIES, strict=True):
            for ax, method in zip(row, methods, strict=True):
                draw_quantity(ax, data, name, method)
        for ax in grid[0]:
            ax.set_xlabel("")
        for ax in grid[:, 1:].flat:
            ax.set_ylabel("")
        handles, labels = grid[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    return figure


def draw_quantity(
    ax: Axes, data: xr.Dataset | None, name: str, method: str, paper: Curves | None = None
) -> None:
    """Draw a quantity of a method over the epochs: mean and range of the seeds for each batch size.

    Args:
        ax: the panel.
        data: as in `draw_batches`; None if there is nothing to draw but ``paper``.
        name: a name in `QUANTITIES`.
        method: the method.
        paper: curves of the paper, by their labels, drawn in thin grey.
    """
    for (x, y), line, label in zip((paper or {}).values(), LINES, paper or {}, strict=False):
        ax.plot(x, y, linestyle=line, color=GREY, lw=0.8, label=f"paper, {label}")
    found = () if data is None else data[name].sel({"method": method})
    for colour, one in zip(PALETTE, found, strict=False):
        x, y = one.epoch.values, one.values
        ax.plot(x, y.mean(axis=0), color=colour, label=f"batch size {int(one.batch)}")
        if len(y) > 1:
            ax.fill_between(x, y.min(axis=0), y.max(axis=0), color=colour, alpha=0.2, lw=0)
    ax.set(title=method, xlabel="passes over the data", ylabel=QUANTITIES[name],
           yscale="log" if name == "minibatch_risk" else "linear")  # fmt: skip


def batch_table(data: xr.Dataset) -> str:
    """The results as text: mean over the last epochs and all seeds, and the range of the seeds.

    Args:
        data: as in `draw_batches`.
    """
    epochs, seeds = min(LAST, data.sizes["epoch"] - 1), data.sizes["seed"]
    last = data.isel(epoch=slice(-epochs, None)).mean("epoch").transpose("batch", "method", "seed")
    methods = [str(method) for method in data.method.values]
    lines = []
    for name, factor, unit in (("accuracy", 100.0, ", %"), ("minibatch_risk", 1.0, "")):
        values = factor * last[name].values
        said = f"mean (range) of {seeds} seeds over the last {epochs} epochs"
        lines.append(f"{QUANTITIES[name]}{unit}, {said}")
        lines.append(f"{'batch size':>10}" + "".join(f"{m:>26}" for m in methods))
        for batch, row in zip(data.batch.values, values, strict=True):
            lines.append(f"{batch:10d}" + "".join(f"{_shown(cell):>26}" for cell in row))
        with np.errstate(invalid="ignore"):  # NaN of runs that ended early
            spread = np.ptp(values.mean(axis=2), axis=0)
        lines += [f"{'spread':>10}" + "".join(f"{f'{s:.2f}':>26}" for s in spread), ""]
    named = ("spread: the largest mean less the smallest, over the batch sizes",)
    return "\n".join([*lines, *named])


def _shown(values: Array) -> str:
    return f"{values.mean():.2f} ({values.min():.2f} ... {values.max():.2f})"
