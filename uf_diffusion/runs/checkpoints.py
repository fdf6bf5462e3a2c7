"""Checkpoints: files from which an interrupted run can continue, written at regular intervals.

The diffusion and the network decide what is stored; this module decides when, and handles signals.
"""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

import xarray as xr

from uf_diffusion.core import mpi
from uf_diffusion.core.errors import Caution, InputError, Interrupted
from uf_diffusion.core.files import write_text
from uf_diffusion.core.progress import Timed
from uf_diffusion.core.signals import delayed_signals
from uf_diffusion.runs.extending import extended
from uf_diffusion.runs.fingerprint import changed, code
from uf_diffusion.runs.folders import run_folder
from uf_diffusion.runs.resources import folder_bytes, require_disk
from uf_diffusion.runs.stored import (
    BEFORE,
    CHECKPOINT,
    Job,
    Stored,
    last_checkpoint,
    state_at_end,
    write_checkpoint,
)

__all__ = ["Checkpoints", "continued", "has_begun", "interrupted", "work_of"]


class Checkpoints:
    """Writes a checkpoint at regular intervals, and when the run is interrupted (Ctrl-C, SIGTERM).

    Use it as a context manager around the computation, after the input has been checked. Entering
    it locks the folder and writes a first checkpoint, so that the run can be resumed from then on.
    If the folder already has a checkpoint of the same job, the run continues from it, and if it has
    the state at the end of a shorter run, from that; work of another job is never overwritten.
    Inside, the two signals take effect at the end of the current step; a second Ctrl-C takes effect
    at once.

    Args:
        folder: the run's folder. If None, nothing is written and signals take effect at once.
        job: the job that is run.
        inputs: the `fingerprint` of what the job reads.
        said: the warnings so far, to which rank 0 adds that another version of this package has
            begun the run; None for no warnings.

    Raises:
        InputError: on all ranks, on entering: if no checkpoint can be read, or it belongs to
            another job or to one that read something else, if the result does not fit on the disk,
            or as `run_folder`.
    """

    def __init__(
        self, folder: Path | None, job: Job, inputs: Mapping[str, str] | None = None,
        said: list[str] | None = None,
    ) -> None:  # fmt: skip
        self._folder, self._job, self._inputs, self._said = folder, job, inputs or {}, said
        self._seconds = job.config.diffusion.checkpoint
        self._last = time.monotonic()
        self._inside, self._heard = ExitStack(), list[int]()
        self._groups: dict[str, xr.Dataset | None] = {}

    def __enter__(self) -> Self:
        with self._inside as inside:
            if (folder := self._folder) is not None:
                inside.enter_context(run_folder(folder))
                require_disk(folder, folder_bytes(self._job.config, self._job.name))
                found = mpi.from_root(lambda: work_of(folder, self._job, self._inputs))
                self._groups = {} if found is None else dict(found.groups)
                mpi.on_root(lambda: self._prepare(folder, found))
                self._heard = inside.enter_context(delayed_signals())
            self._inside = inside.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._inside.close()

    def _prepare(self, folder: Path, found: Stored | None) -> None:
        """Make the last checkpoint in the folder one of this job, with what has been found."""
        if found is None:
            for name in (CHECKPOINT, BEFORE):  # of a job that had done nothing yet
                (folder / name).unlink(missing_ok=True)
        else:
            self._say(found)
            if found.path == folder / BEFORE:
                os.replace(folder / BEFORE, folder / CHECKPOINT)
        if found is None or found.path != folder / CHECKPOINT or found.job != self._job:
            write_text(folder / "run.toml", self._job.config.to_toml())
            self._store(folder)

    def _say(self, found: Stored) -> None:
        """Warn if the run does not go on from the last checkpoint, or with another code."""
        if found.damage:
            damage = found.damage.partition(";")[0]
            warnings.warn(
                f"{damage}; the checkpoint before it is used, and the run goes on from "
                f"t = {found.reached:.6g}.",
                Caution, stacklevel=2,
            )  # fmt: skip
        if found.groups and found.code != code() and self._said is not None:
            self._said.append(
                f"Another version of uf_diffusion ({found.code}) computed this run up to "
                f"t = {found.reached:.6g}; its numbers are from both."
            )
            warnings.warn(self._said[-1], Caution, stacklevel=2)

    def stored(self, side: str) -> xr.Dataset | None:
        """What the checkpoint holds of "diffusion" or "network"; None if it holds nothing.

        What an earlier run stored is available on all ranks.
        """
        return self._groups.get(side)

    def watch[S: Timed](
        self, side: str, pack: Callable[[S], xr.Dataset | None]
    ) -> Callable[[S], None]:
        """A function that writes a checkpoint when one is due.

        Call it on all ranks with each state, after the history has recorded the state. It raises
        `Interrupted` on all ranks after writing a checkpoint if one of them received a signal, and
        `Unwritable` on all ranks if the file cannot be written.

        Args:
            side: "diffusion" or "network", the group of the file.
            pack: returns what to store of a state. It is called on all ranks; its result is used
                on rank 0.
        """

        def look(state: S) -> None:
            if self._folder is None:
                return
            due = time.monotonic() - self._last > self._seconds
            wish = mpi.highest(2 if self._heard else int(due))
            if wish:
                self.write(side, lambda: pack(state))
            if wish == 2:
                raise Interrupted(f"Interrupted at t = {state.t:.4g}.")

        return look

    def write(self, side: str, pack: Callable[[], xr.Dataset | None]) -> None:
        """Write a checkpoint now, on rank 0, with what ``pack`` returns as the group ``side``.

        The group of the other side stays as it was.

        Raises:
            Unwritable: on all ranks, if the file cannot be written.
        """
        if self._folder is not None:
            self._groups[side] = pack()
            self._write()

    def _write(self) -> None:
        if (folder := self._folder) is not None:
            mpi.on_root(lambda: self._store(folder))
            self._last = time.monotonic()

    def _store(self, folder: Path) -> None:
        write_checkpoint(folder, Stored(self._job, self._groups, self._inputs))


def work_of(folder: Path, job: Job, inputs: Mapping[str, str] | None = None) -> Stored | None:
    """What a job goes on from in a folder; None if it has to begin.

    Args:
        folder: the run's folder.
        job: the job.
        inputs: the `fingerprint` of what the job reads.

    Raises:
        InputError: if the folder holds work of another job or of this job with other inputs, or
            its checkpoints cannot be read.
    """
    found = last_checkpoint(folder)
    if found is not None and found.job != job and not found.groups:
        found = None
    if found is not None:
        if continued(folder, found, job) != job:
            raise _other(folder, found, "problem.t_end or diffusion.snapshots")
    else:
        found = state_at_end(folder)
        if found is None or found.job == job or not _extends(found, job):
            return None
    if subject := changed(found.inputs, inputs or {}):
        raise InputError(
            f"{subject} that the run in '{folder}' began with: undo this change, choose another "
            "folder, or begin anew with --force (in Python force=True)."
        )
    return found


def continued(folder: Path, found: Stored, job: Job) -> Job:
    """The job that goes on from a checkpoint when another one is asked for, see `extended`.

    Raises:
        InputError: if the checkpoint is not one of this job.
    """
    if found.job.name != job.name:
        raise _other(folder, found)
    try:
        return Job(job.name, extended(found.job, found.reached, job.config))
    except InputError as reason:
        raise _other(folder, found, str(reason)) from None


def _extends(found: Stored, job: Job) -> bool:
    try:
        config = extended(found.job, found.reached, job.config)
    except InputError:
        return False
    return found.job.name == job.name and config == job.config


def _other(folder: Path, found: Stored, reason: str = "") -> InputError:
    name = f"{found.job.name} {found.job.config.name}"
    return InputError(
        f"'{folder}' holds the checkpoint of another configuration or command ({name}"
        f"{': ' * bool(reason)}{reason}); choose another folder, go on with that by 'uf-diffusion "
        f"resume {folder}', or give it up with --force."
    )


def interrupted(folder: Path) -> Job:
    """The job whose checkpoint lies in a run's folder.

    Raises:
        InputError: on all ranks, if there is no checkpoint or it cannot be read.
    """

    def read() -> Job:
        found = last_checkpoint(folder)
        if found is None:
            raise InputError(f"'{folder}' holds no checkpoint: there is nothing to go on with.")
        return found.job

    return mpi.from_root(read)


def has_begun(folder: Path, job: Job) -> bool:
    """Whether the checkpoint in a folder belongs to a job. Each rank reads the file itself."""
    try:
        found = last_checkpoint(folder)
    except InputError:
        return False
    return found is not None and found.job == job
