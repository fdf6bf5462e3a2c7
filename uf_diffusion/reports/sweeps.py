"""The table and the figure of a study over keys of a configuration, made from its dataset alone."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from uf_diffusion.core.arrays import Array
from uf_diffusion.core.paths import user_path
from uf_diffusion.plots.matplotlib_renderer import log_ticks
from uf_diffusion.plots.panels import scale_of
from uf_diffusion.plots.style import PALETTE, STYLE, NotebookFigure, save
from uf_diffusion.results.names import COMPARED
from uf_diffusion.studies.orders import spread
from uf_diffusion.studies.sweep_orders import axes_of, final, orders_along, quantities_of

__all__ = ["draw_sweep", "sweep_table"]

# the quantities of table and figure, with what the figure calls them
SHOWN = {
    **{name: named.text for name, named in COMPARED.items()},
    "energy_distance_diffusion_teacher": "energy distance, diffusion to teacher",
    "risk_network": "reduced risk of the network",
    "risk_diffusion": "risk of the diffusion",
    "ratio_range": "range of density / teacher",
}
MARKS = "os^Dv<>P"
FEW = 4  # colours of the palette; more series have colours in order
COLUMNS = 3  # panels beside each other
LETTERS = 50  # of a legend, below each of these panels
WIDEST = 8  # columns of a table
LEAST = 2  # values of an axis between which there is one order


def sweep_table(data: xr.Dataset) -> str:
    """The quantities at the last snapshot as text, with the orders along each numeric axis.

    The rows are the values of the first key, the columns those of the others. A key on which a
    quantity does not depend is left out. Where there are several seeds the numbers are their
    medians.

    Args:
        data: the result of `Sweep.measured`, or the dataset of a study.nc.
    """
    lines = [data.attrs["what"]]
    for name in _shown(data):
        numbers = final(data, name)
        keys = _moving(numbers, axes_of(data))
        one = numbers.isel({key: 0 for key in axes_of(data) if key not in keys})
        heading = f"{data[name].attrs['long_name']}, {_when(data, bool(_moving(one, ['seed'])))}"
        lines += ["", *textwrap.wrap(heading, 98), *_values(one, keys), *_orders(data, name, keys)]
    return "\n".join(lines)


def _shown(data: xr.Dataset) -> list[str]:
    known = quantities_of(data)
    return [name for name in SHOWN if name in known]


def _moving(numbers: xr.DataArray, axes: Sequence[str]) -> list[str]:
    """Those of the axes on which a quantity depends; on others all runs are one and the same."""
    found = []
    for axis in axes:
        same = (numbers == numbers.isel({axis: 0})) | numbers.isnull()
        if not bool(same.all()):
            found.append(axis)
    return found


def _when(data: xr.Dataset, random: bool) -> str:
    """When the numbers are taken, and from how many seeds."""
    last = "at the last snapshot"
    if "time" in data.dims:
        last = f"at t = {float(data['time'][-1]):g}"
    return last + (f", median of {data.sizes['seed']} seeds" if random else "")


def _places(numbers: Any, axes: Sequence[str]) -> Iterator[tuple[dict[str, int], list[str]]]:
    """The indices, and the names of the values, of all points of these axes."""
    for place in np.ndindex(*(numbers.sizes[axis] for axis in axes)):
        at = dict(zip(axes, place, strict=True))
        yield at, [_name(numbers[axis].values[k]) for axis, k in at.items()]


def _name(value: Any) -> str:
    return str(value) if isinstance(value, str) else f"{value:g}"


def _values(numbers: xr.DataArray, keys: Sequence[str]) -> list[str]:
    """The lines of the values of a quantity, whose dimensions are the keys and "seed"."""
    if not keys:
        return [f"  {spread(numbers.values[None])[0][0]:.4e} at all points"]
    first, *others = keys
    columns = list(_places(numbers, others))
    if len(columns) > WIDEST:
        return [f"  {len(columns)} columns are too many for a table: see study.nc"]
    width = max(13, *(2 + len(n) for _, names in columns for n in names), 0)
    rows = [_name(value) for value in numbers[first].values]
    left = max(map(len, [*keys, *rows])) + 2
    lines = [
        f"{key:>{left}}" + "".join(f"{names[k]:>{width}}" for _, names in columns)
        for k, key in enumerate(others)
    ]
    middle = [spread(numbers.isel(at).transpose(first, "seed").values)[0] for at, _ in columns]
    lines.append(f"{first:>{left}}")
    for k, row in enumerate(rows):
        lines.append(f"{row:>{left}}" + "".join(f"{column[k]:>{width}.4e}" for column in middle))
    return lines


def _orders(data: xr.Dataset, name: str, keys: Sequence[str]) -> list[str]:
    """A line for each of the axes and each point of the other axes at which there is an order."""
    lines = []
    for axis in keys:
        fits = orders_along(data, axis)
        if not fits:
            continue
        one = fits.sel(quantity=name)
        one = one.isel({key: 0 for key in one.dims if key not in keys})
        others = [other for other in keys if other != axis]
        for at, names in _places(one, others):
            words = [f"{key} = {value}" for key, value in zip(others, names, strict=True)]
            where = f" at {', '.join(words)}" if words else ""
            lines.append(f"  in {axis}{where}: {_order(one.isel(at), data.sizes[axis])}")
    return lines


def _order(one: xr.Dataset, values: int) -> str:
    order, half = float(one.order), float(one.order_high - one.order)
    if not math.isfinite(order):
        return "no order"
    said = f"order {round(order, 4) + 0.0:.4f}"  # no sign of zero
    if math.isfinite(half):
        said += f" +- {half:.2g}"
    local = (one.local_order_first, one.local_order_last)
    first, last = (f"{round(float(value), 3) + 0.0:.3f}" for value in local)
    return said + (f", local from {first} to {last}" if values > LEAST else "")


def draw_sweep(data: xr.Dataset, path: str | Path | None = None) -> Figure:
    """The matplotlib figure of a study, with a panel for each quantity.

    A quantity that depends on none of the keys has no panel. The first key is the horizontal axis;
    the second has the colours, and further ones have marks. Bands, or bars for an axis of texts,
    reach from the least to the greatest value of the seeds.

    Args:
        data: as in `sweep_table`.
        path: a file to which the figure is written, in the format of its suffix.

    Raises:
        Unwritable: if the file cannot be written.
    """
    names = _shown(data)
    names = [name for name in names if _moving(final(data, name), axes_of(data))] or names
    columns = max(1, min(COLUMNS, len(names)))
    rows = max(1, -(-len(names) // columns))
    with matplotlib.rc_context(STYLE):
        figure = NotebookFigure(figsize=(4.0 * columns, 3.1 * rows + 0.8), layout="constrained")
        panels = figure.subplots(rows, columns, squeeze=False).ravel()
        for ax, name in zip(panels, names, strict=False):
            _panel(ax, data, name)
        for ax in panels[len(names) :]:
            ax.set_visible(False)
        handles, labels = panels[0].get_legend_handles_labels()
        if any(labels):
            beside = max(1, min(len(labels), int(LETTERS * columns / _longest(labels))))
            figure.legend(handles, labels, loc="outside lower center", ncols=beside)
        when = _when(data, data.sizes["seed"] > 1).replace("median of", "median and range of")
        figure.suptitle(when.capitalize())
    if path is not None:
        save(figure, user_path(path))
    return figure


def _longest(labels: Sequence[str]) -> int:
    return max(map(len, labels)) + 6  # with the mark


def _panel(ax: Axes, data: xr.Dataset, name: str) -> None:
    first, *others = axes_of(data)
    x, numeric = data[first].values, data[first].dtype.kind in "if"
    places = np.arange(len(x), dtype=float) if not numeric else x.astype(float)
    numbers, shown = final(data, name), list[Array]()
    series = list(_places(data, others))
    looks = _looks(data, [at for at, _ in series], others)
    for k, ((at, names), (colour, mark)) in enumerate(zip(series, looks, strict=True)):
        y = spread(numbers.isel(at).transpose(first, "seed").values)
        words = [f"{key} = {value}" for key, value in zip(others, names, strict=True)]
        aside = 0.0 if numeric else 0.3 * ((k + 0.5) / len(series) - 0.5)
        _draw(ax, places + aside, y, numeric, color=colour, marker=mark, label=", ".join(words))
        shown += y
    label = f"{SHOWN[name]} (dimensionless)"
    ax.set(xlabel=first + (" (dimensionless)" if numeric else ""), yscale=scale_of(shown),
           ylabel="\n".join(textwrap.wrap(label, 34)))  # fmt: skip
    if not numeric:
        ax.set_xticks(places, ["\n".join(textwrap.wrap(_name(value), 14)) for value in x])
    elif scale_of([places]) == "log":
        ax.set(xscale="log")
        log_ticks(ax.xaxis)
    if ax.get_yscale() == "log":
        log_ticks(ax.yaxis)


def _draw(ax: Axes, x: Array, y: tuple[Array, Array, Array], joined: bool, **look: Any) -> None:
    """Medians with the range over the seeds: a line with a band, or marks with bars."""
    order = np.argsort(x)
    x, middle, low, high = (values[order] for values in (x, *y))
    seen = np.isfinite(middle)
    ax.plot(x[seen], middle[seen], ls="-" if joined else "", ms=4, **look)
    if (low[seen] == high[seen]).all():
        return
    if joined:
        ax.fill_between(x[seen], low[seen], high[seen], color=look["color"], alpha=0.15, lw=0)
    else:
        ax.vlines(x[seen], low[seen], high[seen], color=look["color"], lw=1)


def _looks(
    data: xr.Dataset, places: Sequence[dict[str, int]], others: Sequence[str]
) -> list[tuple[Any, str]]:
    """The colour, by the second key, and the mark, by the further keys, of each series."""
    if not others:
        return [(PALETTE[0], MARKS[0])]
    count, found = data.sizes[others[0]], []
    further: dict[tuple[int, ...], int] = {}
    for at in places:
        second, *rest = (at[key] for key in others)
        shade = matplotlib.colormaps["viridis"](0.9 * second / max(1, count - 1))
        mark = further.setdefault(tuple(rest), len(further))
        found.append((PALETTE[second] if count <= FEW else shade, MARKS[mark % len(MARKS)]))
    return found
