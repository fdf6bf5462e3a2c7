"""Runs a job in a folder: locks the folder, computes, and writes the files of the result."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from uf_diffusion.core import mpi
from uf_diffusion.core.errors import InputError, Unwritable
from uf_diffusion.library.keeping import finished_job, require_own_inputs, settled
from uf_diffusion.library.outputs import try_outputs
from uf_diffusion.library.saving import publish
from uf_diffusion.runs import jobs
from uf_diffusion.runs.checkpoints import has_begun, work_of
from uf_diffusion.runs.fingerprint import fingerprint
from uf_diffusion.runs.folders import run_folder
from uf_diffusion.runs.result import Result
from uf_diffusion.runs.setup import Setup
from uf_diffusion.runs.stored import BEFORE, CHECKPOINT, STATE, Job
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
    work: Callable[[Setup], Result],
    folder: Path,
    force: bool = False,
    finish: Callable[[Result], None] = lambda result: None,
) -> Result:
    """Run a job and write all its files into a folder.

    If the folder holds a shorter run of this job, the run goes on from there, see `settled`.

    Args:
        job: the job.
        work: the function that computes the result.
        folder: the run's folder.
        force: whether to discard what other jobs have left in the folder.
        finish: a function that is called with the result on rank 0 when all files are written.

    Raises:
        InputError: on all ranks, if the folder holds other files, or work or results of another job
            or of this job from other inputs.
        Unwritable, Interrupted: with a sentence that says how to continue the run.
    """

    def write(result: Result) -> None:
        publish(result, folder, fields=result.group("diffusion") is not None)
        finish(result)

    with run_folder(folder):
        asked = job
        job = asked if force else mpi.from_root(lambda: settled(folder, asked))
        setup = Setup(job.config)
        with only_work_of(folder, job, force, _inputs(folder, setup, job, force)):
            mpi.on_root(lambda: try_outputs(folder, report=job.name.startswith("compare")))
            try:
                result = work(setup)
                mpi.on_root(lambda: write(result))
            except (KeyboardInterrupt, Unwritable) as stop:
                if not has_begun(folder, job):
                    raise
                said = str(stop) or "Interrupted."
                raise type(stop)(f"{said} Go on with: uf-diffusion resume {folder}") from None
        return result


def _inputs(folder: Path, setup: Setup, job: Job, force: bool) -> Mapping[str, str]:
    """The `fingerprint` of a job that the folder knows; empty if it does not know the job.

    Raises:
        InputError: on all ranks, if the folder has its result from other inputs, without ``force``.
    """
    begun = mpi.from_root(lambda: has_begun(folder, job))
    done = mpi.from_root(lambda: finished_job(folder) == job)
    inputs = fingerprint(setup, job.name) if begun or done else {}
    if done and not force:
        mpi.on_root(lambda: require_own_inputs(folder, inputs))
    return inputs


@contextmanager
def only_work_of(
    folder: Path, job: Job, force: bool, inputs: Mapping[str, str] | None = None
) -> Iterator[None]:
    """Make sure that a folder holds no checkpoints of another job while a job runs in it.

    With ``force`` such checkpoints are set aside, and deleted once the job has begun or is done. If
    the job fails before it begins, they are put back.

    Args:
        folder: the run's folder, which must be locked by `run_folder`.
        job: the job that is to run in the folder.
        force: whether to discard the checkpoints of another job.
        inputs: the `fingerprint` of what the job reads; checkpoints with another one are not its.

    Raises:
        InputError: on all ranks, if there are such checkpoints and ``force`` is not given.
    """
    aside = mpi.on_root(lambda: _set_aside(folder, job, force, inputs))
    try:
        yield
    except BaseException:
        if aside is not None:  # only on rank 0; other ranks may have ended
            begun = (folder / CHECKPOINT).exists()
            for name, path in aside.items():
                if begun:
                    path.unlink()
                else:
                    path.rename(folder / name)
        raise
    for path in (aside or {}).values():
        path.unlink()


def _set_aside(
    folder: Path, job: Job, force: bool, inputs: Mapping[str, str] | None
) -> dict[str, Path]:
    """Rename the checkpoints of another job, and return their new paths by their names."""
    try:
        found = work_of(folder, job, inputs)
        own = found is None or found.path != folder / STATE
    except InputError:
        if not force:
            raise
        own = False
    if own or not force:
        return {}
    present = [name for name in (CHECKPOINT, BEFORE, STATE) if (folder / name).exists()]
    return {name: (folder / name).rename(folder / f".given-up-{name}") for name in present}
