"""Keeps what is in a folder: decides whether a job may write there, and what it goes on from."""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path

from uf_diffusion.core.errors import InputError
from uf_diffusion.core.files import require_file
from uf_diffusion.core.wording import cause
from uf_diffusion.results.netcdf import read_attributes
from uf_diffusion.runs.checkpoints import continued
from uf_diffusion.runs.config import Config
from uf_diffusion.runs.extending import difference, extended
from uf_diffusion.runs.fingerprint import changed
from uf_diffusion.runs.folders import FIELDS
from uf_diffusion.runs.reading import config_from_toml
from uf_diffusion.runs.stored import (
    BEFORE,
    CHECKPOINT,
    STATE,
    Job,
    Stored,
    inputs_of,
    job_of,
    last_checkpoint,
    remove_unused_fields,
    state_at_end,
)

__all__ = ["finished_job", "remove", "remove_others", "require_free", "require_own_inputs",
           "require_own_toml", "settled", "to_continue"]  # fmt: skip

# the files of a finished run or study by which a folder is known to hold results
RESULT, STUDY = "result.nc", "study.nc"
OUTPUTS = (RESULT, STUDY, "figure.png", "figure.pdf", "report.html", FIELDS)


def finished_job(folder: Path) -> Job | None:
    """The job whose result or study lies in a folder; None if there is none that says so."""
    return job_of(folder / RESULT) or job_of(folder / STUDY)


def settled(folder: Path, job: Job) -> Job:
    """The job to run in a folder when one is asked for: itself, or the longer run that it becomes.

    An interrupted or a finished run of the same job is extended if a later final time or more
    snapshots are asked for, see `extended`.

    Raises:
        InputError: if the folder holds the work or the results of something else.
    """
    begun = last_checkpoint(folder)
    if begun is not None and (begun.groups or begun.job == job):
        return continued(folder, begun, job) if begun.groups else job
    held = next((name for name in OUTPUTS if os.path.lexists(folder / name)), None)
    if held is None:
        return job
    done = finished_job(folder)
    if done is None:
        raise _kept(folder, f"'{held}' of something else")
    if done.name != job.name:
        raise _kept(folder, f"the result of another command ({done.name})")
    state = state_at_end(folder)
    if state is None or state.job != done:
        if other := difference(done.config, job.config):
            raise _kept(folder, f"the result of another configuration ({other})")
        return job
    try:
        return Job(job.name, extended(state.job, state.reached, job.config))
    except InputError as reason:
        raise _kept(folder, f"the result of another configuration ({reason})") from None


def _kept(folder: Path, what: str) -> InputError:
    return InputError(
        f"'{folder}' holds {what}: choose another folder, or replace what is there with --force "
        "(in Python force=True)."
    )


def require_own_inputs(folder: Path, now: Mapping[str, str]) -> None:
    """Refuse to replace a result by one that is computed from something else.

    Args:
        folder: the folder of the result.
        now: the fingerprint of what is read now.

    Raises:
        InputError: with the name of what has changed.
    """
    before = inputs_of(read_attributes(folder / RESULT))
    if subject := changed(before, now):
        raise InputError(
            f"{subject} of the result in '{folder}': choose another folder, or replace what is "
            "there with --force (in Python force=True)."
        )


def to_continue(folder: Path, trust: bool = False) -> Job | None:
    """The job that goes on in a folder, with the times that its run.toml asks for now.

    With ``trust``, code that the folder's files name may be imported.

    Returns:
        The job; None if the run is complete and run.toml asks for nothing more.

    Raises:
        InputError: if there is nothing to go on with, or run.toml has other changes.
    """
    found = last_checkpoint(folder)
    state = state_at_end(folder) if found is None else found
    if state is not None:
        job = Job(state.job.name, _asked(folder, state, trust))
        complete = found is None and (folder / RESULT).exists()
        return None if complete and not difference(state.job.config, job.config) else job
    done = finished_job(folder)
    if done is None:
        raise InputError(f"'{folder}' holds no checkpoint: there is nothing to go on with.")
    require_own_toml(folder, trust)
    return None


def _asked(folder: Path, found: Stored, trust: bool) -> Config:
    """The configuration in run.toml, if the run that was found can become it."""
    path, before = folder / "run.toml", replace(found.job.config, trusted=trust)
    if not path.exists():
        return before
    asked = config_from_toml(_text(path), (), before.name, before.folder, trust)
    try:
        return extended(found.job, found.reached, asked)
    except InputError as reason:
        raise InputError(
            f"The run in '{folder}' cannot become what its run.toml asks for ({reason}): undo this "
            "change, or run the file in another folder."
        ) from None


def require_own_toml(folder: Path, trust: bool) -> None:
    """Refuse a result beside a run.toml that is not its configuration.

    With ``trust``, code that run.toml names may be imported.

    Raises:
        InputError: with the first key that differs.
    """
    path, done = folder / "run.toml", job_of(folder / RESULT)
    if done is None or not path.exists():
        return
    config = config_from_toml(_text(path), (), "run", str(folder), trust)
    if other := difference(done.config, config):
        raise InputError(
            f"'{path}' is not the configuration of the result beside it ({other}): go on with "
            f"'uf-diffusion resume {folder}', or undo this change."
        )


def _text(path: Path) -> str:
    require_file(path)
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"Cannot read '{path}': {cause(error)}.") from None


def require_free(folder: Path, job: Job, inputs: Mapping[str, str]) -> None:
    """Refuse to save a result into a folder that holds something else.

    Args:
        folder: the folder.
        job: the job of the result.
        inputs: the fingerprint of what the result was computed from.

    Raises:
        InputError: if the folder holds an interrupted run, or another result or study.
    """
    begun = last_checkpoint(folder)
    if begun is not None and begun.groups:
        raise _kept(folder, f"an interrupted run ({begun.job.name} {begun.job.config.name})")
    if settled(folder, job) != job:
        raise _kept(folder, "a shorter run")
    require_own_inputs(folder, inputs)


def remove_others(folder: Path, job: Job, groups: Collection[str]) -> None:
    """Remove what other jobs left in a folder, after the files of a job have been written.

    Args:
        folder: the folder.
        job: the job.
        groups: the groups of its result; none for a study.
    """
    stale = {
        RESULT: not groups,
        STUDY: bool(groups),
        "report.html": "comparison" not in groups,
        FIELDS: "diffusion" not in groups,
        STATE: job_of(folder / STATE) != job,
        CHECKPOINT: True,
        BEFORE: True,
    }
    for name, gone in stale.items():
        if gone:
            remove(folder / name)
    remove_unused_fields(folder)


def remove(path: Path) -> None:
    """Remove a file or a folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
