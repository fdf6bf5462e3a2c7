"""Writes the files of a complete run into its folder, and reads its result back."""

from __future__ import annotations

import shutil
from pathlib import Path

from uf_diffusion.core import mpi
from uf_diffusion.core.errors import InputError
from uf_diffusion.core.files import write_text
from uf_diffusion.results.netcdf import read_result, write_result
from uf_diffusion.runs.checkpoints import CHECKPOINT
from uf_diffusion.runs.folders import run_folder
from uf_diffusion.runs.result import Result, result_from

__all__ = ["load_result", "publish", "save", "save_figure"]


def save(result: Result, folder: Path) -> Path:
    """Write all files of a complete run into a folder, and return it. Call it on all ranks.

    Raises:
        InputError: if the folder holds other files, or is in use.
        Unwritable: if a file cannot be written.
    """
    with run_folder(folder):
        mpi.on_root(lambda: publish(result, folder))
    return folder


def publish(result: Result, folder: Path) -> None:
    """Write all files of a complete run into its folder, and delete those of an earlier run.

    Raises:
        Unwritable: if a file cannot be written.
    """
    from uf_diffusion.plots import draw

    write_text(folder / "run.toml", result.attributes["config"])
    write_result(folder / "result.nc", result.tree)
    save_figure(draw(result), folder)
    if result.group("diffusion") is None:
        shutil.rmtree(folder / "fields.bp", ignore_errors=True)
    if result.group("comparison") is not None:
        from uf_diffusion.reports.html import write_report  # plotly takes long to load

        write_report(result, folder)
    else:
        (folder / "report.html").unlink(missing_ok=True)
    (folder / CHECKPOINT).unlink(missing_ok=True)


def save_figure(figure: object, folder: Path) -> None:
    """Write a matplotlib figure as figure.pdf and figure.png into a folder.

    Raises:
        Unwritable: if a file cannot be written.
    """
    from uf_diffusion.plots import save as save_picture

    for suffix in ("pdf", "png"):
        save_picture(figure, folder / f"figure.{suffix}")  # type: ignore[arg-type]


def load_result(folder: Path, trust: bool = False) -> Result:
    """Read the result in a run's folder, or in a file result.nc.

    Args:
        folder: the folder or the file.
        trust: whether code that the result names as "module:name" may be imported.

    Raises:
        InputError: if there is no result, or it cannot be read.
    """
    path = folder / "result.nc" if folder.is_dir() or not folder.suffix else folder
    if not path.exists():
        if (folder / CHECKPOINT).exists():
            raise InputError(
                f"The run in '{folder}' is not complete; go on with: uf-diffusion resume {folder}"
            )
        if (folder / "study.nc").exists():
            raise InputError(
                f"'{folder}' holds a study, which has a table, study.nc, and a figure, but no "
                "result of a run."
            )
    tree = read_result(path)
    return result_from(tree, f"'{path}'", trust=trust, complete=True)
