"""The table and the figure of a study, made from its dataset alone."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from uf_diffusion.core.arrays import Array
from uf_diffusion.core.paths import user_path
from uf_diffusion.plots.matplotlib_renderer import legend_below, log_ticks
from uf_diffusion.plots.style import BLUE, GREEN, GREY, ORANGE, STYLE, NotebookFigure, save
from uf_diffusion.studies.orders import spread

__all__ = ["draw_study", "study_table"]

LINE = 0.17  # inches of the figure for each further line of the legend
DRIFT = 0.05  # local orders that differ by more are said to drift
MARKS = ((BLUE, "o"), (ORANGE, "s"), (GREEN, "^"), (GREY, "D"))


def study_table(study: xr.Dataset) -> str:
    """The results of a study as text.

    For each quantity and series it lists the values, their spread over the seeds, what they cannot
    resolve where that is known, the local orders and the fitted order.

    Args:
        study: the result of `Plan.measured`, or the dataset of a study.nc.
    """
    lines = [study.attrs["what"]]
    for quantity in map(str, study["quantity"].values):
        lines += ["", study[quantity].attrs["long_name"]]
        for series in map(str, study["series"].values):
            lines += [f"  {series}", *_rows(study, quantity, series)]
            lines += [f"  {_fitted(study, quantity, series)}"]
    return "\n".join(lines)


def _rows(study: xr.Dataset, quantity: str, series: str) -> list[str]:
    one = study.sel(series=series)
    y, law = one[quantity].values, one.sel(quantity=quantity)
    middle, low, high = spread(y)
    columns = {"value": middle}
    if _random(y):
        columns = {"median": middle, "lowest": low, "highest": high}
    if np.isfinite(law.floor.values).any():
        columns["floor"] = law.floor.values
    name = study.attrs["parameter"] or "value"
    lines = [f"{name:>24}" + "".join(f"{head:>13}" for head in columns) + f"{'order':>9}"]
    for k, value in enumerate(one["value"].values):
        numbers = "".join(f"{column[k]:13.4e}" for column in columns.values())
        order = float(law.local_order[k])
        lines.append(f"{value:24.8g}{numbers}" + (f"{order:9.3f}" if math.isfinite(order) else ""))
    return lines


def _fitted(study: xr.Dataset, quantity: str, series: str) -> str:
    """The fitted order in words. With several seeds it has half the length of its 95 % confidence
    interval, with one the range of the local orders and what they tend to.
    """
    one = study.sel(quantity=quantity, series=series)
    order, half = float(one.order), float(one.order_high - one.order)
    theory, limit = float(one.expected_order), float(one.order_limit)
    local = one.local_order.values[np.isfinite(one.local_order.values)]
    word = "order" if study.attrs["law"] == "power" else "rate"
    said = f"{word} {order:.4f}" if math.isfinite(order) else f"no {word}"
    if math.isfinite(half):
        said += f" +- {half:.2g}"
    elif len(local) > 1:
        drifts = np.ptp(local) > DRIFT
        said += f", {'drifting' if drifts else 'local'} from {local[0]:.3f} to {local[-1]:.3f}"
        unsettled = ", not settled" if drifts else ""
        said += f", tends to {limit:.3f}" if math.isfinite(limit) else unsettled
    return said + (f" (theory: {theory:g})" if math.isfinite(theory) else "")


def _last(study: xr.Dataset, quantity: str, series: str) -> str:
    """The order in few words: the fitted one with its interval, or the last local one."""
    one = study.sel(quantity=quantity, series=series)
    half, local = float(one.order_high - one.order), float(one.local_order[-1])
    said = f"at last {local:.2f}"
    if math.isfinite(half):
        said = f"{float(one.order):.2f} +- {half:.2g}"
    theory = float(one.expected_order)
    return said + (f" (theory: {theory:g})" if math.isfinite(theory) else "")


def _random(y: Array) -> bool:
    """Whether values ``(k, seeds)`` have more than one seed."""
    return bool(np.isfinite(y).sum(axis=1).max() > 1)


def draw_study(study: xr.Dataset, path: str | Path | None = None) -> Figure:
    """The matplotlib figure of a study, with a panel for each quantity.

    Args:
        study: as in `study_table`.
        path: a file to which the figure is written, in the format of its suffix.

    Raises:
        Unwritable: if the file cannot be written.
    """
    quantities = list(map(str, study["quantity"].values))
    height = 4.0 + LINE * max(0, study.sizes["series"] - len(MARKS))
    with matplotlib.rc_context(STYLE):
        figure = NotebookFigure(figsize=(4.4 * len(quantities), height), layout="constrained")
        for ax, quantity in zip(figure.subplots(1, len(quantities), squeeze=False)[0], quantities,
                                strict=True):  # fmt: skip
            _panel(ax, study, quantity)
        lines = textwrap.wrap(study.attrs["what"], int(12 * figure.get_figwidth()))
        figure.suptitle("\n".join(lines))
    if path is not None:
        save(figure, user_path(path))
    return figure


def _looks(names: Sequence[str]) -> list[tuple[Any, str]]:
    """The colour and the mark of each series.

    Of many series those with one beginning, up to the comma, have one mark, and colours in order.
    """
    if len(names) <= len(MARKS):
        return list(MARKS[: len(names)])
    kinds = [name.partition(",")[0] for name in names]
    order, found = list(dict.fromkeys(kinds)), []
    for i, kind in enumerate(kinds):
        share = kinds[:i].count(kind) / max(1, kinds.count(kind) - 1)
        colour = matplotlib.colormaps["viridis"](0.9 * share)
        found.append((colour, MARKS[order.index(kind) % len(MARKS)][1]))
    return found


def _panel(ax: Axes, study: xr.Dataset, quantity: str) -> None:
    power = study.attrs["law"] == "power"
    ax.set(yscale="log", xscale="log" if power else "linear")
    names = list(map(str, study["series"].values))
    for series, (colour, mark) in zip(names, _looks(names), strict=True):
        one = study.sel(series=series)
        x, (middle, low, high) = one.abscissa.values, spread(one[quantity].values)
        seen = np.isfinite(middle) & (middle > 0)
        fitted = (_fitted if len(names) <= len(MARKS) else _last)(study, quantity, series)
        label = f"{series}: {fitted}".replace("+-", r"$\pm$")
        ax.plot(x[seen], middle[seen], mark, ms=4, color=colour, label=label)
        if _random(one[quantity].values):
            ax.fill_between(x[seen], low[seen], high[seen], color=colour, alpha=0.15, lw=0)
        order, factor = (float(one[n].sel(quantity=quantity)) for n in ("order", "factor"))
        if math.isfinite(order):
            law = x**order if power else np.exp(order * x)
            ax.plot(x, factor * law, color=colour, lw=0.8)
    label = f"{study[quantity].attrs['long_name']} (dimensionless)"
    ax.set(xlabel=study.attrs["label"], ylabel="\n".join(textwrap.wrap(label, 38)))
    for axis in (ax.xaxis, ax.yaxis)[0 if power else 1 :]:
        log_ticks(axis)
    legend_below(ax)
