"""The table and the figure of a study, made from its dataset alone."""

from __future__ import annotations

import math
import textwrap
from pathlib import Path

import matplotlib
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from uf_diffusion.core.arrays import Array
from uf_diffusion.core.paths import user_path
from uf_diffusion.plots.matplotlib_renderer import legend_below, log_ticks
from uf_diffusion.plots.style import BLUE, GREEN, GREY, ORANGE, STYLE, NotebookFigure, save
from uf_diffusion.studies.orders import local_orders

__all__ = ["draw_study", "study_table"]

MARKS = ((BLUE, "o"), (ORANGE, "s"), (GREEN, "^"), (GREY, "D"))


def study_table(study: xr.Dataset) -> str:
    """The results of a study as text.

    For each quantity and series it lists the values, their spread over the seeds, the local orders
    and the fitted order.

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
    middle, low, high = _spread(one[quantity].values)
    orders = local_orders(one.abscissa.values, middle, study.attrs["law"])
    random = _random(one[quantity].values)
    head = ["median", "lowest", "highest"] if random else ["value"]
    columns = (middle, low, high) if random else (middle,)
    name = study.attrs["parameter"] or "value"
    lines = [f"{name:>24}" + "".join(f"{h:>13}" for h in head) + f"{'order':>9}"]
    for k, value in enumerate(one["value"].values):
        numbers = "".join(f"{column[k]:13.4e}" for column in columns)
        order = f"{orders[k]:9.3f}" if math.isfinite(orders[k]) else ""
        lines.append(f"{value:24.8g}{numbers}{order}")
    return lines


def _fitted(study: xr.Dataset, quantity: str, series: str) -> str:
    """The fitted order in words, plus or minus half the length of its 95 % confidence interval."""
    one = study.sel(quantity=quantity, series=series)
    order, half = float(one.order), float(one.order_high - one.order)
    theory = float(one.expected_order)
    word = "order" if study.attrs["law"] == "power" else "rate"
    predicted = f" (theory: {theory:g})" if math.isfinite(theory) else ""
    if not math.isfinite(half):  # a line through two points has no error
        return f"{word} {order:.4f}{predicted}" if math.isfinite(order) else f"no {word}{predicted}"
    return f"{word} {order:.4f} +- {half:.2g}{predicted}"


def _random(y: Array) -> bool:
    """Whether values ``(k, seeds)`` have more than one seed."""
    return bool(np.isfinite(y).sum(axis=1).max() > 1)


def _spread(y: Array) -> tuple[Array, Array, Array]:
    """Median, minimum and maximum ``(k,)`` over the finite values of ``(k, seeds)``."""
    rows = [row[np.isfinite(row)] for row in y]
    good = [row if len(row) else np.array([math.nan]) for row in rows]
    median, low, high = (np.array([f(row) for row in good]) for f in (np.median, np.min, np.max))
    return median, low, high


def draw_study(study: xr.Dataset, path: str | Path | None = None) -> Figure:
    """The matplotlib figure of a study, with a panel for each quantity.

    Args:
        study: as in `study_table`.
        path: a file to which the figure is written, in the format of its suffix.

    Raises:
        Unwritable: if the file cannot be written.
    """
    quantities = list(map(str, study["quantity"].values))
    with matplotlib.rc_context(STYLE):
        figure = NotebookFigure(figsize=(4.4 * len(quantities), 4.0), layout="constrained")
        for ax, quantity in zip(figure.subplots(1, len(quantities), squeeze=False)[0], quantities,
                                strict=True):  # fmt: skip
            _panel(ax, study, quantity)
        lines = textwrap.wrap(study.attrs["what"], int(14 * figure.get_figwidth()))
        figure.suptitle("\n".join(lines))
    if path is not None:
        save(figure, user_path(path))
    return figure


def _panel(ax: Axes, study: xr.Dataset, quantity: str) -> None:
    power = study.attrs["law"] == "power"
    ax.set(yscale="log", xscale="log" if power else "linear")
    for i, series in enumerate(map(str, study["series"].values)):
        colour, mark = MARKS[i % len(MARKS)]
        one = study.sel(series=series)
        x, (middle, low, high) = one.abscissa.values, _spread(one[quantity].values)
        seen = np.isfinite(middle) & (middle > 0)
        label = f"{series}: {_fitted(study, quantity, series)}".replace("+-", r"$\pm$")
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
