"""Base classes of figures. A figure names the runs that it needs and draws their results."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from uf_diffusion.plots import save
from uf_diffusion.plots.style import STYLE
from uf_diffusion.runs.result import Result
from uf_diffusion.studies.cache import Run

__all__ = ["Drawing", "Results", "Still"]


class Results:
    """A mapping from runs to their results.

    Args:
        found: the results by the keys of their runs.
    """

    def __init__(self, found: Mapping[str, Result]) -> None:
        self._found = found

    def __getitem__(self, run: Run) -> Result:
        return self._found[run.key]


class Drawing(ABC):
    """A figure at a certain scale."""

    @property
    def runs(self) -> Sequence[Run]:
        """The runs that must be computed before the figure can be drawn."""
        return ()

    @property
    def empty(self) -> bool:
        """Whether there is nothing to draw, as no run of it is kept."""
        return False

    @property
    def snapshots(self) -> dict[str, Sequence[int]]:
        """By the key of a run, the iterations at which its neurons are drawn."""
        return {}

    @property
    def vertices(self) -> dict[str, set[int]]:
        """By the key of a run, the iterations at which the paper's curves of it have a vertex."""
        return {}

    @abstractmethod
    def write(self, results: Results, stem: Path) -> Path:
        """Draw the figure to files whose names begin with ``stem``, and return the main file.

        Only rank 0 calls this while the others wait, so it must not need them.
        """

    def agreement(self, results: Results) -> list[str]:
        """Lines of a table that compares our curves with the paper's; empty if it has none."""
        return []


@dataclass(frozen=True)
class Still(Drawing):
    """A still figure with a title, written as PNG and PDF.

    Attributes:
        title: the title above all panels, which also says how much was computed.
    """

    title: str = field(kw_only=True)

    @abstractmethod
    def figure(self, results: Results) -> Figure:
        """Draw the figure without its title."""

    def write(self, results: Results, stem: Path) -> Path:
        with matplotlib.rc_context(STYLE):
            figure = self.figure(results)
            figure.suptitle(self.title, fontsize=10)
            for suffix in (".pdf", ".png"):
                save(figure, stem.with_suffix(suffix))
        return stem.with_suffix(".png")
