"""Chooses the panels of a figure and arranges them in rows."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from uf_diffusion.core.arrays import Array, Index
from uf_diffusion.core.errors import InputError
from uf_diffusion.core.paths import user_path
from uf_diffusion.core.wording import shown, unknown
from uf_diffusion.plots.densities import density_panels
from uf_diffusion.plots.histories import budget_panels, time_panels
from uf_diffusion.plots.lines import line_of
from uf_diffusion.plots.maps import MOST_AXES, Chart
from uf_diffusion.plots.matplotlib_renderer import draw_panel
from uf_diffusion.plots.panels import Panel
from uf_diffusion.plots.shown import Shown
from uf_diffusion.plots.snapshots import Snapshots, snapshot_times
from uf_diffusion.plots.spectra import spectrum_panels
from uf_diffusion.plots.style import STYLE, NotebookFigure, save

__all__ = ["arranged", "draw"]

COLUMNS = 4  # largest number of panels in a row
SIZE = (3.6, 3.3)  # width and height in inches of a panel with a legend of two lines
LINE = 0.16  # height in inches of a further line of a legend
EARLY = np.array([0.0, 0.05, 0.1, 0.5, 1.0])  # default times of curves, relative to the last time
GROUPS = ("diffusion", "network", "kernel")  # every result has at least one of these groups

type Slot = tuple[Panel, list[int]]  # a panel and the indices of the frames that are drawn


def draw(
    result: Shown, path: str | Path | None = None, *, panels: str | Sequence[str] | None = None,
    times: float | Sequence[float] | None = None, ax: Axes | None = None,
    style: Mapping[str, Any] | None = None, xscale: str | None = None, yscale: str | None = None,
) -> Figure:  # fmt: skip
    """As `uf_diffusion.draw`, for a `Result` only."""
    if all(result.group(name) is None for name in GROUPS):
        raise InputError(
            f"Nothing can be drawn: this is not a result with a group of {', '.join(GROUPS)}."
        )
    names = [panels] if isinstance(panels, str) else panels
    if ax is not None and (names is None or len(names) != 1):
        raise InputError("Into axes of your own goes one panel: name it, as in panels='risks'.")
    groups = [[_scaled(panel, xscale, yscale) for panel in group]
              for group in _groups(result, names, times)]  # fmt: skip
    rows = _default(groups) if names is None else _named(groups, names, times is not None)
    with _styled(style):
        if ax is None:
            figure = arranged(rows, result.title)
        else:
            draw_panel(ax, *rows[-1][-1])
            figure = cast(Figure, ax.get_figure(root=True))
        if path is not None:
            save(figure, user_path(path))
    return figure


def arranged(rows: Sequence[Sequence[Slot]], title: str = "") -> Figure:
    """A figure with rows of panels. Each row fills the width, whatever its number of panels."""
    em = matplotlib.rcParams["font.size"] / STYLE["font.size"]
    columns, lines = max(1.4, *map(len, rows)), 0
    figure = NotebookFigure(layout="constrained")
    parts = figure.subfigures(len(rows), 1, squeeze=False)[:, 0]
    for part, row in zip(parts, rows, strict=True):
        for each, slot in zip(part.subplots(1, len(row), squeeze=False)[0], row, strict=True):
            lines = max(lines, draw_panel(each, *slot))
    height = SIZE[1] + LINE * max(0, lines - 2)
    figure.set_size_inches(SIZE[0] * em * columns, height * em * len(rows))
    figure.suptitle("\n".join(textwrap.wrap(title, int(12 * SIZE[0] * columns))))
    return figure


def _styled(style: Mapping[str, Any] | None) -> Any:
    """A context with the rcParams of `STYLE` and those of the caller, which take precedence."""
    try:
        merged: dict[Any, Any] = {**STYLE, **(style or {})}
        with matplotlib.rc_context(merged):
            pass
    except (KeyError, ValueError, TypeError) as error:
        said = " ".join(str(error).strip("'\"").split()).partition(" (see")[0]
        raise InputError(f"The style is not one of matplotlib's: {said.rstrip('.')}.") from None
    return matplotlib.rc_context(merged)


def _groups(result: Shown, names: Sequence[str] | None, times: Any) -> list[list[Panel]]:
    """The panels of a result in groups: densities, curves over time, error budget, eigenvalues."""
    others = [time_panels(result), budget_panels(result.group("budget")), spectrum_panels(result)]
    if names is not None and set(names) <= {panel.name for group in others for panel in group}:
        return others
    every, line = snapshot_times(result), line_of(result)
    axes = len(result.manifold.axes) if line is None else 1
    if not len(every) or not 0 < axes <= MOST_AXES:
        return others
    default = every[-1] * EARLY if axes == 1 else every[[len(every) // 4, -1]]
    shots = Snapshots.of(result, _nearest(every, default if times is None else times))
    canvas = Chart(result.manifold) if line is None else None
    return [density_panels(shots, canvas, line), *others]


def _nearest(every: Array, times: Any) -> Index:
    """The indices of the snapshots nearest to some times."""
    try:
        wanted = np.atleast_1d(np.asarray(times, dtype=float))
    except (TypeError, ValueError):
        raise InputError(f"times are numbers, not {shown(times)}.") from None
    if not (wanted.size and ((wanted >= 0) & (wanted <= every[-1] * (1 + 1e-9))).all()):
        raise InputError(f"times lie between 0 and {every[-1]:g}, not {shown(times)}.")
    return np.unique(np.abs(every[:, None] - wanted.ravel()).argmin(axis=0))


def _named(groups: list[list[Panel]], names: Sequence[str], all_times: bool) -> list[list[Slot]]:
    """The panels with these names, in rows."""
    known = {panel.name: panel for group in groups for panel in group}
    for name in names:
        if name not in known:
            raise unknown("panel", str(name), known)
    if not len(names):
        raise InputError(f"There is no panel to draw: valid are {', '.join(known)}.")
    slots = [slot for name in names for slot in _slots(known[name], all_times)]
    rows = np.array_split(np.arange(len(slots)), -(-len(slots) // COLUMNS))
    return [[slots[k] for k in row] for row in rows]


def _default(groups: list[list[Panel]]) -> list[list[Slot]]:
    """All panels, with a row for each group, or a single row if there are few panels.

    Maps of both sides get a row for each time.
    """
    rows: list[list[Slot]] = []
    for group in groups:
        made = [_slots(panel, False) for panel in group if panel.name != "densities"]
        moving = [slots for slots in made if len(slots) > 1]
        if len(moving) > 1:
            still = [slot for slots in made if len(slots) == 1 for slot in slots]
            pairs = zip(*moving, strict=True)
            rows += [[*row, *still[k : k + 1]] for k, row in enumerate(pairs)]
        else:
            rows.append([slot for slots in made for slot in slots])
    few = [slot for row in rows for slot in row]
    return [few] if len(few) <= COLUMNS else [row for row in rows if row]


def _slots(panel: Panel, all_times: bool) -> list[Slot]:
    """The slots of a panel: one for each time if it is a map, otherwise one for several times."""
    count = len(panel.times)
    frames = list(range(count))
    if not panel.moves:
        return [(panel, [-1])]
    if panel.is_map:
        return [(panel, [k]) for k in frames]
    if all_times or panel.together >= count:
        return [(panel, frames)]
    return [(panel, frames[-1:] if panel.together == 1 else [1, count - 1])]


def _scaled(panel: Panel, xscale: Any, yscale: Any) -> Panel:
    """The panel with other scales of its axes, unless it is a map."""
    for scale in (xscale, yscale):
        if scale not in (None, "log", "linear"):
            raise unknown("scale", str(scale), ("log", "linear"))
    if panel.is_map:
        return panel
    x, y = replace(panel.x, scale=xscale or panel.x.scale), panel.y
    if yscale and yscale != y.scale:
        y = replace(y, scale=yscale, low=None, high=None)
    return replace(panel, x=x, y=y)
