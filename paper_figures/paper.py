"""The curves of the paper, taken from its vector figures, and their distance from ours."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from functools import cache
from importlib import resources

import numpy as np

from uf_diffusion.core.arrays import Array

__all__ = ["Agreement", "Published", "published"]

FRACTIONS = (0.25, 0.5, 0.75, 1.0)  # fractions of the iterations at which curves are compared


@dataclass(frozen=True)
class Published:
    """A curve of arXiv:2504.18208.

    Attributes:
        x: iterations, or angles in radians, ``(n,)``.
        y: values, all positive, ``(n,)``.
        logarithmic: whether the axis of x in the paper is logarithmic.
    """

    x: Array
    y: Array
    logarithmic: bool = False

    def __call__(self, x: Array) -> Array:
        """The values at ``x``, by linear interpolation in the paper's axes (log in y)."""
        scale = np.log if self.logarithmic else np.asarray
        return np.asarray(np.exp(np.interp(scale(x), scale(self.x), np.log(self.y))))

    def difference(self, name: str, ours: Array) -> str:
        """A line with the relative differences of our values ``(n,)`` at x from the paper's."""
        apart = np.abs(ours / self.y - 1)
        largest, middle = apart.max(), np.median(apart)
        return f"{name:44} largest relative difference {largest:.1e}, median {middle:.1e}"


@cache
def published(figure: str, panel: str, series: str) -> Published:
    """The curve ``series`` in the file ``curves/<figure>__<panel>.csv``.

    Raises:
        KeyError: if the file has no such series.
    """
    file = resources.files("paper_figures") / "curves" / f"{figure}__{panel}.csv"
    rows = csv.DictReader(file.read_text().splitlines())
    points = sorted((float(r["x"]), float(r["y"])) for r in rows if r["series"] == series)
    if not points:
        raise KeyError(f"{file.name} has no series '{series}'")
    x, y = np.array(points).T
    return Published(x, y, logarithmic=panel.endswith("_biased"))


@dataclass(frozen=True)
class Agreement:
    """Our values and the paper's at some iterations of a curve.

    Attributes:
        name: the name of the curve.
        iterations: the iterations, ``(k,)``.
        ours: our values for each seed, ``(seeds, k)``.
        paper: the values of the paper, ``(k,)``.
    """

    name: str
    iterations: Array
    ours: Array
    paper: Array

    @classmethod
    def of(cls, name: str, curve: Published, x: Array, y: Array) -> Agreement:
        """The comparison at 25, 50, 75 and 100 % of the iterations that both curves reach.

        Args:
            name: the name of the curve.
            curve: the curve of the paper.
            x: our iterations, ``(n,)``.
            y: our values, ``(seeds, n)``.
        """
        at = np.rint(min(curve.x[-1], x[-1]) * np.array(FRACTIONS))
        ours = [np.exp(np.interp(at, x, np.log(row))) for row in y]
        return cls(name, at, np.array(ours), curve(at))

    @property
    def lines(self) -> list[str]:
        """A line for each iteration: our mean, the paper's value, their ratio, and, for several
        seeds, our relative spread and the difference in units of its expected standard deviation.
        """
        rows = zip(self.iterations, self.ours.T, self.paper, strict=True)
        return [self._line(at, ours, paper) for at, ours, paper in rows]

    def _line(self, at: float, ours: Array, paper: float) -> str:
        mean = float(ours.mean())
        text = f"{self.name:44}{at:9.0f}{mean:13.4g}{paper:13.4g}{mean / paper:9.3f}"
        if len(ours) == 1:
            return text
        spread = float(ours.std(ddof=1))
        # both values are means over seeds, in the paper over six
        expected = spread * math.sqrt(1 / len(ours) + 1 / 6)
        return f"{text}{spread / mean:9.1%}{(mean - paper) / expected:9.1f}"

    @staticmethod
    def head() -> str:
        """The line with the headings of the columns of `lines`."""
        names = ("iteration", "ours", "paper's", "ratio", "spread", "sigmas")
        widths = (9, 13, 13, 9, 9, 9)
        return f"{'':44}" + "".join(f"{n:>{w}}" for n, w in zip(names, widths, strict=True))
