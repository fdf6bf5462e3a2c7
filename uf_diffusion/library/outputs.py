"""The files of a run as outputs that are tried before the work, and that fail one by one."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import xarray as xr

from uf_diffusion.core.errors import Unwritable
from uf_diffusion.core.files import private_folder
from uf_diffusion.core.signals import undisturbed
from uf_diffusion.core.wording import cause
from uf_diffusion.results.netcdf import write_result

__all__ = ["FIGURES", "Outputs", "save_figure", "try_outputs"]

FIGURES = ("figure.pdf", "figure.png")


class Outputs:
    """Writes the files of a run's folder; where one fails, the others are written all the same.

    Args:
        folder: the run's folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._failed: dict[str, str] = {}  # the sentence on each file that is missing

    def write(self, work: Callable[[], object], *names: str) -> None:
        """Call the function that writes the files with these names."""
        try:
            work()
        except Exception as error:  # such as one of matplotlib: the other files are still worth it
            path = self._folder / names[0]
            said = f"Cannot make '{path}': {cause(error)}."
            for name in names:
                self._failed[name] = str(error) if isinstance(error, Unwritable) else said

    def expect(self, name: str) -> None:
        """Count a file as one that could not be written if it is missing."""
        if not (self._folder / name).exists():
            self._failed[name] = f"Cannot write '{self._folder / name}'."

    def require_all(self) -> None:
        """Refuse to go on if any output failed.

        Raises:
            Unwritable: in this case, with the first reason and the names of all these files.
        """
        if self._failed:
            first, *others = self._failed
            also = f" Also missing: {', '.join(others)}." if others else ""
            raise Unwritable(self._failed[first] + also)


def try_outputs(folder: Path, report: bool) -> None:
    """Write a small file of each kind into a folder and delete it, to find out if that works.

    Args:
        folder: the run's folder.
        report: whether a report is among the outputs.

    Raises:
        Unwritable: if a file cannot be written.
    """
    with undisturbed():  # the imports
        from uf_diffusion.plots.style import NotebookFigure

        if report:
            import uf_diffusion.reports.html  # noqa: F401
    trial = private_folder(folder / "result.nc")
    try:
        outputs = Outputs(trial)
        tree = xr.DataTree(xr.Dataset({"x": ("n", [0.0])}))
        outputs.write(lambda: write_result(trial / "result.nc", tree), "result.nc")
        outputs.write(lambda: save_figure(NotebookFigure(), trial), *FIGURES)
        outputs.require_all()
    finally:
        shutil.rmtree(trial, ignore_errors=True)


def save_figure(figure: object, folder: Path) -> None:
    """Write a matplotlib figure as figure.pdf and figure.png into a folder.

    Raises:
        Unwritable: if a file cannot be written.
    """
    from uf_diffusion.plots import save

    for name in FIGURES:
        save(figure, folder / name)  # type: ignore[arg-type]
