"""What a figure is: the runs that it needs, and how their results become a picture."""

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
    """Results by their runs.

    Args:
        found: results by the keys of their runs.
    """

    def __init__(self, found: Mapping[str, Result]) -> None:
        self._found = found

    def __getitem__(self, run: Run) -> Result:
        return self._found[run.key]


class Drawing(ABC):
    """A figure at one scale."""

    @property
    def runs(self) -> Sequence[Run]:
        """All that must be computed first."""
        return ()

    @abstractmethod
    def write(self, results: Results, stem: Path) -> Path:
        """Draw it to files whose names begin with ``stem``; the main one is returned.

        One rank does it while the others wait: nothing in here may need them.
        """

    def agreement(self, results: Results) -> list[str]:
        """Lines of a table of ours against the paper's curves; none where it has none."""
        return []


@dataclass(frozen=True)
class Still(Drawing):
    """A figure with a title, as PNG and PDF.

    Attributes:
        title: above all panels; it says how much was done.
    """

    title: str = field(kw_only=True)

    @abstractmethod
    def figure(self, results: Results) -> Figure:
        """The figure without its title."""

    def write(self, results: Results, stem: Path) -> Path:
        with matplotlib.rc_context(STYLE):
            figure = self.figure(results)
            figure.suptitle(self.title, fontsize=10)
            for suffix in (".pdf", ".png"):
                save(figure, stem.with_suffix(suffix))
        return stem.with_suffix(".png")
