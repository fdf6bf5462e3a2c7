"""A job in a folder: what it needs of the folder before, and what it leaves there when it ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from uf_diffusion.core import mpi
from uf_diffusion.core.errors import InputError, Unwritable
from uf_diffusion.library.saving import publish
from uf_diffusion.runs import jobs
from uf_diffusion.runs.checkpoints import CHECKPOINT, Job, has_begun, work_of
from uf_diffusion.runs.folders import run_folder
from uf_diffusion.runs.result import Result
from uf_diffusion.studies.error_budget import compare_with_budget

__all__ = ["JOBS", "complete", "only_work_of"]

# what a run can do, by the name that checkpoints keep; each takes a setup and a folder
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
    """Compute, and write all files of the run; whatever stops it says how to go on.

    Args:
        job: what is done.
        work: computes it.
        folder: of the run.
        force: whether to give up the work of another job that lies there.
        finish: called on rank 0 once the files are there.

    Raises:
        InputError: on all ranks, where the folder holds other things, or another job's work.
        Unwritable, Interrupted: with a sentence on how to go on.
    """

    def write(result: Result) -> None:
        publish(result, folder)
        finish(result)

    with run_folder(folder), only_work_of(folder, job, force):
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
    """Before any work: nobody else's is in the folder, or it is given up once the job has begun.

    A job that is refused before it begins leaves the other's checkpoint where it was.

    Args:
        folder: of a run, taken.
        job: that is to be done there.
        force: whether to give up the work of others.

    Raises:
        InputError: on all ranks, where there is such work, and no force.
    """
    aside = mpi.on_root(lambda: _set_aside(folder, job, force))
    try:
        yield
    except BaseException:
        if aside is not None:  # on rank 0, which waits for nobody here: the others may be gone
            aside.unlink() if (folder / CHECKPOINT).exists() else aside.rename(folder / CHECKPOINT)
        raise
    if aside is not None:
        aside.unlink()


def _set_aside(folder: Path, job: Job, force: bool) -> Path | None:
    """Put another job's checkpoint under another name; that name, or nothing."""
    try:
        work_of(folder, job)
    except InputError:
        if not force:
            raise
        return (folder / CHECKPOINT).rename(folder / f".given-up-{CHECKPOINT}")
    return None
