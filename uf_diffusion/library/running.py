"""Runs a job in a folder: locks the folder, computes, and writes the files of the result."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from uf_diffusion.core import mpi
from uf_diffusion.core.errors import InputError, Unwritable
from uf_diffusion.library.outputs import try_outputs
from uf_diffusion.library.saving import publish
from uf_diffusion.runs import jobs
from uf_diffusion.runs.checkpoints import CHECKPOINT, Job, has_begun, work_of
from uf_diffusion.runs.folders import run_folder
from uf_diffusion.runs.result import Result
from uf_diffusion.studies.error_budget import compare_with_budget

__all__ = ["JOBS", "complete", "only_work_of"]

# the jobs by their names, which checkpoints store; each takes a setup and a folder
JOBS: dict[str, Callable[..., Result]] = {
    "solve": jobs.solve,
    "train": jobs.train,
    "compare": jobs.compare,
    "compare --budget": compare_with_budget,
}


def complete(
    job: Job,
    work: Callable[[], Result],
    folder: Path,
    force: bool = False,
    finish: Callable[[Result], None] = lambda result: None,
) -> Result:
    """Run a job and write all its files into a folder.

    Args:
        job: the job.
        work: the function that computes the result.
        folder: the run's folder.
        force: whether to discard a checkpoint of another job in the folder.
        finish: a function that is called with the result on rank 0 when all files are written.

    Raises:
        InputError: on all ranks, if the folder holds other files or another job's checkpoint.
        Unwritable, Interrupted: with a sentence that says how to continue the run.
    """

    def write(result: Result) -> None:
        publish(result, folder, fields=result.group("diffusion") is not None)
        finish(result)

    with run_folder(folder), only_work_of(folder, job, force):
        mpi.on_root(lambda: try_outputs(folder, report=job.name.startswith("compare")))
        try:
            result = work()
            mpi.on_root(lambda: write(result))
        except (KeyboardInterrupt, Unwritable) as stop:
            if not has_begun(folder, job):
                raise
            said = str(stop) or "Interrupted."
            raise type(stop)(f"{said} Go on with: uf-diffusion resume {folder}") from None
        return result


@contextmanager
def only_work_of(folder: Path, job: Job, force: bool) -> Iterator[None]:
    """Make sure that a folder holds no checkpoint of another job while a job runs in it.

    With ``force`` such a checkpoint is set aside, and deleted once the job has begun or is done. If
    the job fails before it begins, the checkpoint is put back.

    Args:
        folder: the run's folder, which must be locked by `run_folder`.
        job: the job that is to run in the folder.
        force: whether to discard the checkpoint of another job.

    Raises:
        InputError: on all ranks, if there is such a checkpoint and ``force`` is not given.
    """
    aside = mpi.on_root(lambda: _set_aside(folder, job, force))
    try:
        yield
    except BaseException:
        if aside is not None:  # only on rank 0; other ranks may have ended
            if (folder / CHECKPOINT).exists():
                aside.unlink()
            else:
                aside.rename(folder / CHECKPOINT)
        raise
    if aside is not None:
        aside.unlink()


def _set_aside(folder: Path, job: Job, force: bool) -> Path | None:
    """Rename the checkpoint of another job and return its new path; None if there is none."""
    try:
        work_of(folder, job)
    except InputError:
        if not force:
            raise
        return (folder / CHECKPOINT).rename(folder / f".given-up-{CHECKPOINT}")
    return None
