"""Writes the files of a complete run into its folder, and reads its result back."""

from __future__ import annotations

import shutil
from pathlib import Path

from uf_diffusion.core import mpi
from uf_diffusion.core.errors import InputError
from uf_diffusion.core.files import write_text
from uf_diffusion.library.outputs import FIGURES, Outputs, save_figure
from uf_diffusion.results.netcdf import read_result, write_result
from uf_diffusion.runs.checkpoints import CHECKPOINT
from uf_diffusion.runs.folders import run_folder
from uf_diffusion.runs.result import Result, result_of
from uf_diffusion.runs.solving import FIELDS

__all__ = ["load_result", "publish", "save"]


def save(result: Result, folder: Path) -> Path:
    """Write all files of a complete run into a folder, and return it. Call it on all ranks.

    Raises:
        InputError: if the folder holds other files, or is in use.
        Unwritable: if a file cannot be written.
    """
    with run_folder(folder):
        mpi.on_root(lambda: publish(result, folder))
    return folder


def publish(result: Result, folder: Path, fields: bool = False) -> None:
    """Write all files of a complete run into its folder, and delete those of an earlier run.

    Where one cannot be written the others are written all the same, and the checkpoint is kept.

    Args:
        result: the result of the run.
        folder: its folder.
        fields: whether the run should have written fields for ParaView.

    Raises:
        Unwritable: if a file cannot be written, after the others have been.
    """
    from uf_diffusion.plots import draw

    outputs = Outputs(folder)
    outputs.write(lambda: write_text(folder / "run.toml", result.attributes["config"]), "run.toml")
    outputs.write(lambda: write_result(folder / "result.nc", result.tree), "result.nc")
    outputs.write(lambda: save_figure(draw(result), folder), *FIGURES)
    if result.group("diffusion") is None:
        shutil.rmtree(folder / FIELDS, ignore_errors=True)
    if fields:
        outputs.expect(FIELDS)
    if result.group("comparison") is not None:
        outputs.write(lambda: _write_report(result, folder), "report.html")
    else:
        (folder / "report.html").unlink(missing_ok=True)
    outputs.require_all()
    (folder / CHECKPOINT).unlink(missing_ok=True)


def _write_report(result: Result, folder: Path) -> None:
    from uf_diffusion.reports.html import write_report  # plotly takes long to load

    write_report(result, folder)


def load_result(folder: Path) -> Result:
    """Read the result in a run's folder, or in a file result.nc.

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
    return result_of(read_result(path))
