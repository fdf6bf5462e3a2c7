"""Writes the files of a complete run into its folder, and reads its result back."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

from uf_diffusion.core import mpi
from uf_diffusion.core.errors import InputError
from uf_diffusion.core.files import appearing, require_room, write_text
from uf_diffusion.library.keeping import (
    finished_job,
    remove,
    remove_others,
    require_free,
    require_own_toml,
)
from uf_diffusion.library.outputs import FIGURES, Outputs, save_figure
from uf_diffusion.results.netcdf import read_result, write_result
from uf_diffusion.runs.folders import FIELDS, WHOLE_FIELDS, run_folder
from uf_diffusion.runs.result import Result, result_from
from uf_diffusion.runs.stored import CHECKPOINT, STATE, Job, job_of

__all__ = ["load_result", "publish", "save"]


def save(result: Result, folder: Path, force: bool = False) -> Path:
    """Write all files of a complete run into a folder, and return it. Call it on all ranks.

    Args:
        result: the result.
        folder: the folder.
        force: whether to replace the result or the interrupted run of something else.

    Raises:
        InputError: if the folder holds other files, or is in use, or without ``force`` holds
            another result or an interrupted run.
        Unwritable: if a file cannot be written.
    """

    def write() -> None:
        job = Job(str(result.attributes["command"]), result.config)
        own = finished_job(folder) == job
        if not force:
            require_free(folder, job, result.inputs)
        if _is_large(result) and result.folder is not None:
            _copy_whole_fields(result.folder, folder)
        publish(result, folder)
        if not own:
            remove(folder / FIELDS)

    with run_folder(folder):
        mpi.on_root(write)
    return folder


def _is_large(result: Result) -> bool:
    """Whether a result has the picture of a large field, and a file beside it the field."""
    diffusion = result.group("diffusion")
    return diffusion is not None and "fields" in diffusion.attrs


def _copy_whole_fields(before: Path, folder: Path) -> None:
    """Copy the file of a large field from the folder of a result that was loaded, if it is there.

    Raises:
        Unwritable: if it cannot be written.
    """
    source, target = before / WHOLE_FIELDS, folder / WHOLE_FIELDS
    if source.exists() and before.resolve() != folder.resolve():
        require_room(target, source.stat().st_size)
        with appearing(target) as partial:
            shutil.copyfile(source, partial)


def publish(result: Result, folder: Path, fields: bool = False) -> None:
    """Write all files of a complete run into its folder, and delete those of earlier runs.

    The last checkpoint of the run becomes the state from which a longer run goes on. Where a file
    cannot be written the others are written all the same, and the checkpoint is kept.

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
    if fields:
        outputs.expect(FIELDS)
    if result.group("comparison") is not None:
        outputs.write(lambda: _write_report(result, folder), "report.html")
    outputs.require_all()
    job = Job(str(result.attributes["command"]), result.config)
    if job_of(folder / CHECKPOINT) == job:
        os.replace(folder / CHECKPOINT, folder / STATE)
    if not _is_large(result):
        remove(folder / WHOLE_FIELDS)
    remove_others(folder, job, list(result.tree.children))


def _write_report(result: Result, folder: Path) -> None:
    from uf_diffusion.reports.html import write_report  # plotly takes long to load

    write_report(result, folder)


def load_result(folder: Path, trust: bool = False) -> Result:
    """Read the result in a run's folder, or in a file result.nc.

    Args:
        folder: the folder or the file.
        trust: whether code that the result names as "module:name" may be imported.

    Raises:
        InputError: if there is no result, or it cannot be read, or run.toml is not its
            configuration.
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
    if folder.is_dir():
        require_own_toml(folder, trust)
    tree = read_result(path)
    result = result_from(tree, f"'{path}'", trust=trust, complete=True)
    return replace(result, folder=path.parent)
