"""The curves of the paper, taken from its vector figures, and their distance from ours."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources

import numpy as np

from uf_diffusion.core.arrays import Array

__all__ = ["HEAD", "SEEDS", "Published", "agreement", "curves_of", "difference", "published",
           "vertices"]  # fmt: skip

SEEDS = 6  # of which the paper's curves are means, except for those of the two-timescale algorithm
HIGH = 1e-6  # risks above are far from it
SMALLEST = 1e-7  # risks below are round-off of the paper's single precision
HEAD = f"{'relative differences at the vertices of the paper':60}{'vertices':>9}" + "".join(
    f"{name:>11}" for name in ("largest", "median", "last", "above 1e-6")
)


@dataclass(frozen=True)
class Published:
    """A curve of arXiv:2504.18208.

    Attributes:
        x: iterations, or angles in radians, ``(n,)``.
        y: values, all positive, ``(n,)``.
    """

    x: Array
    y: Array


@cache
def _table(figure: str, panel: str) -> dict[str, Published]:
    """All curves in the file ``curves/<figure>__<panel>.csv``; empty if there is none."""
    file = resources.files("paper_figures") / "curves" / f"{figure}__{panel}.csv"
    if not file.is_file():
        return {}
    points: dict[str, list[tuple[float, float]]] = {}
    for row in csv.DictReader(file.read_text().splitlines()):
        points.setdefault(row["series"], []).append((float(row["x"]), float(row["y"])))
    return {name: Published(*np.array(sorted(found)).T) for name, found in points.items()}


def published(figure: str, panel: str, series: str) -> Published:
    """A curve of a panel of a figure.

    Raises:
        KeyError: if there is no such curve.
    """
    return _table(figure, panel)[series]


def curves_of(panels: Mapping[str, tuple[str, str]], series: str) -> dict[str, Published]:
    """The paper's curves of a network, by their quantities, as far as the paper has them.

    Args:
        panels: the name of a figure and of its panel for each quantity.
        series: the name of the network in these panels.
    """
    tables = {quantity: _table(*place) for quantity, place in panels.items()}
    return {quantity: table[series] for quantity, table in tables.items() if series in table}


@cache
def vertices(experiment: str, what: str) -> tuple[int, ...]:
    """The iterations at which the paper's curves of an experiment have a vertex, increasing.

    Args:
        experiment: "relu1d" or "convolution", how the names of its figures begin.
        what: "risk" or "distance".
    """
    found: set[int] = set()
    for file in (resources.files("paper_figures") / "curves").iterdir():
        figure, _, panel = file.name.removesuffix(".csv").partition("__")
        if figure.startswith(experiment) and what in panel:
            for curve in _table(figure, panel).values():
                found |= {int(k) for k in np.rint(curve.x)}
    return tuple(sorted(found))


def agreement(name: str, paper: Published, x: Array, y: Array) -> str:
    """A line that compares a curve with the paper's, at its vertices that both reach.

    Args:
        name: the name of the curve.
        paper: the curve of the paper.
        x: our iterations or angles, ``(n,)``, increasing.
        y: our values, ``(n,)``.
    """
    there = (paper.x <= x[-1]) & (paper.y >= SMALLEST) & (paper.x >= x[0])
    apart = np.abs(np.interp(paper.x[there], x, y) / paper.y[there] - 1)
    high = apart[paper.y[there] > HIGH]
    numbers = (apart.max(), np.median(apart), apart[-1], high.max())
    return f"{name:58}{there.sum():9d}" + "".join(f"{number:11.2%}" for number in numbers)


def difference(name: str, paper: Published, ours: Array) -> str:
    """A line with the differences of our values ``(n,)`` at the paper's points of a density."""
    apart = np.abs(ours - paper.y)
    relative = apart / paper.y
    return (
        f"{name:58}{len(ours):9d}{relative.max():11.2%}{np.median(relative):11.2%}"
        f"   at most {apart.max():.1e} absolute"
    )
