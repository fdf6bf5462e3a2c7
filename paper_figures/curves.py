"""Figures of curves over the iterations. Each curve shows the mean and range of several runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from paper_figures.drawing import Results, Still
from paper_figures.paper import SEEDS, Published, agreement
from paper_figures.scale import ITERATION
from uf_diffusion.core.arrays import Array
from uf_diffusion.plots.style import GREY
from uf_diffusion.results.names import COMPARED
from uf_diffusion.studies.cache import Run

__all__ = ["RISK", "TO_DIFFUSION", "TO_TEACHER", "Curve", "CurveFigure", "Panel"]

POINTS = 400  # largest number of points of a drawn curve
RISK, TO_TEACHER, TO_DIFFUSION = "risk", "energy_distance_teacher", "energy_distance_diffusion"
QUANTITIES = {
    RISK: ("network", "reduced risk $L^\\lambda$"),
    TO_TEACHER: ("comparison", COMPARED[TO_TEACHER].text),
    TO_DIFFUSION: ("comparison", COMPARED[TO_DIFFUSION].text),
}


@dataclass(frozen=True)
class Curve:
    """A network whose quantities are drawn over the iterations.

    Attributes:
        label: the label in the legend.
        runs: the runs, one for each seed.
        colour, line: the colour and the line style.
        paper: the curves of the same network in the paper, by their quantities.
        paper_seeds: the number of seeds of which these are means.
    """

    label: str
    runs: Sequence[Run]
    colour: str
    line: str = "-"
    paper: Mapping[str, Published] = field(default_factory=dict)
    paper_seeds: int = SEEDS

    def values(self, quantity: str, results: Results) -> tuple[Array, Array]:
        """Iterations ``(n,)`` that all seeds have, and the quantity of each, ``(seeds, n)``."""
        group = QUANTITIES[quantity][0]
        found = [results[run].tree[group].to_dataset() for run in self.runs]
        times = reduce(np.intersect1d, [data.time.values for data in found])
        values = [data[quantity].values[np.isin(data.time.values, times)] for data in found]
        return times / ITERATION, np.array(values)


@dataclass(frozen=True)
class Panel:
    """A panel with curves of one quantity.

    Attributes:
        title: the title of the panel.
        quantity: a name in `QUANTITIES`.
        curves: the curves that are drawn.
        logarithmic: whether the axis of the iterations is logarithmic.
        setting: what all its curves have in common, for the table of agreement.
    """

    title: str
    quantity: str
    curves: Sequence[Curve]
    logarithmic: bool = False
    setting: str = ""

    @property
    def computed(self) -> list[Curve]:
        """The curves that have runs; those on T^2 may not."""
        return [curve for curve in self.curves if curve.runs]

    def draw(self, ax: Axes, results: Results) -> None:
        """Draw the mean and range of each curve over its seeds, and the paper's in thin grey."""
        for curve in self.computed:
            x, y = curve.values(self.quantity, results)
            shown = self._shown(x)
            middle = y[:, shown].mean(axis=0)
            ax.plot(x[shown], middle, curve.line, color=curve.colour, label=curve.label)
            if len(y) > 1:
                low, high = y[:, shown].min(axis=0), y[:, shown].max(axis=0)
                ax.fill_between(x[shown], low, high, color=curve.colour, alpha=0.2, lw=0)
        self._draw_paper(ax)
        ax.set(title=self.title, xlabel="iteration (steps of $2^{-10}$ in t)", yscale="log",
               ylabel=QUANTITIES[self.quantity][1],
               xscale="log" if self.logarithmic else "linear")  # fmt: skip

    def _draw_paper(self, ax: Axes) -> None:
        label: str | None = "paper"
        for curve in self.curves:
            if (paper := curve.paper.get(self.quantity)) is not None:
                ax.plot(paper.x, paper.y, curve.line, color=GREY, lw=0.7, label=label)
                label = None

    def _shown(self, x: Array) -> Array:
        """The indices of the points that are drawn."""
        if self.logarithmic:
            first = int(np.searchsorted(x, 1.0))
            wanted = np.geomspace(max(first, 1), len(x) - 1, POINTS)
        else:
            wanted = np.linspace(0, len(x) - 1, POINTS)
        return np.unique(np.rint(wanted).astype(int))

    def agreement(self, results: Results) -> list[str]:
        """Lines that compare our curves with those of the paper, where it has the same curve."""
        lines = []
        for curve in self.computed:
            if (paper := curve.paper.get(self.quantity)) is not None:
                x, y = curve.values(self.quantity, results)
                most = curve.paper_seeds
                seeds = "" if len(y) == most else f", {len(y)} of {most} seeds"
                name = f"{self.quantity}, {curve.label}{self.setting}{seeds}"
                lines.append(agreement(name, paper, x, y.mean(axis=0)))
        return lines


@dataclass(frozen=True)
class CurveFigure(Still):
    """A figure with rows of panels and one legend."""

    rows: Sequence[Sequence[Panel]]

    @property
    def _panels(self) -> list[Panel]:
        return [panel for row in self.rows for panel in row]

    @property
    def runs(self) -> list[Run]:
        return [run for panel in self._panels for curve in panel.curves for run in curve.runs]

    @property
    def empty(self) -> bool:
        return not self.runs

    @property
    def vertices(self) -> dict[str, set[int]]:
        found: dict[str, set[int]] = {}
        for curve in (curve for panel in self._panels for curve in panel.curves):
            for run in curve.runs:
                found.setdefault(run.key, set()).update(
                    int(k) for paper in curve.paper.values() for k in np.rint(paper.x)
                )
        return found

    def figure(self, results: Results) -> Figure:
        rows = [[panel for panel in row if panel.computed] for row in self.rows]
        columns = max(map(len, rows))
        size = (max(6.6, 4.2 * columns), 0.4 + 3.1 * len(rows))  # wide enough for the title
        figure = Figure(figsize=size, layout="constrained")
        grid = figure.subplots(len(rows), columns, squeeze=False)
        for axes, row in zip(grid, rows, strict=True):
            for ax, panel in zip(axes, row, strict=True):
                panel.draw(ax, results)
        found = [ax.get_legend_handles_labels() for ax in figure.axes]
        by_label = {name: handle for pair in found for handle, name in zip(*pair, strict=True)}
        paper = by_label.pop("paper", None)  # the last entry of the legend
        by_label |= {"paper": paper} if paper is not None else {}
        figure.legend(by_label.values(), by_label, loc="outside lower center",
                      ncols=min(len(by_label), 2 * columns))  # fmt: skip
        return figure

    def agreement(self, results: Results) -> list[str]:
        return [line for panel in self._panels for line in panel.agreement(results)]
