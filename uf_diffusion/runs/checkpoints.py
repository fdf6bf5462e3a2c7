"""Checkpoints: files from which an interrupted run can continue, written at regular intervals.

A new checkpoint replaces the old one only when it is complete, so a process that is killed leaves a
usable file. The diffusion and the network decide what is stored; this module decides when, and
handles signals.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import xarray as xr

from uf_diffusion.core import mpi
from uf_diffusion.core.arguments import undamaged
from uf_diffusion.core.errors import InputError, Interrupted
from uf_diffusion.core.files import write_text
from uf_diffusion.core.progress import Timed
from uf_diffusion.core.signals import delayed_signals
from uf_diffusion.results.netcdf import read_sealed, write_result
from uf_diffusion.runs.config import Config
from uf_diffusion.runs.folders import run_folder
from uf_diffusion.runs.reading import config_from_toml
from uf_diffusion.runs.resources import require_disk, result_bytes

__all__ = ["CHECKPOINT", "Checkpoints", "Job", "has_begun", "interrupted", "work_of"]

CHECKPOINT = "checkpoint.nc"
LAYOUT = 3  # version of the file's contents; increase it when they change


class Job(NamedTuple):
    """What a run does: the name of the job, such as "compare", and its configuration."""

    name: str
    config: Config


class Checkpoints:
    """Writes a checkpoint at regular intervals, and when the run is interrupted (Ctrl-C, SIGTERM).

    Use it as a context manager around the computation, after the input has been checked. Entering
    it locks the folder and writes a first checkpoint, so that the run can be resumed from then on.
    If the folder already has a checkpoint of the same job, the run continues from it; work of
    another job is never overwritten. Inside, the two signals take effect at the end of the current
    step; a second Ctrl-C takes effect at once.

    Args:
        folder: the run's folder. If None, nothing is written and signals take effect at once.
        job: the job that is run.

    Raises:
        InputError: on all ranks, on entering: if a checkpoint cannot be read or belongs to another
            job, if the result does not fit on the disk, or as `run_folder`.
    """

    def __init__(self, folder: Path | None, job: Job) -> None:
        self._folder, self._job = folder, job
        self._seconds = job.config.diffusion.checkpoint
        self._last = time.monotonic()
        self._inside, self._heard = ExitStack(), list[int]()
        self._groups: dict[str, xr.Dataset | None] = {}

    def __enter__(self) -> Self:
        with self._inside as inside:
            if (folder := self._folder) is not None:
                inside.enter_context(run_folder(folder))
                require_disk(folder, result_bytes(self._job.config, self._job.name))
                found = mpi.from_root(lambda: work_of(folder, self._job))
                if found is None:
                    self._begin(folder)
                else:
                    self._groups = dict(found)
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

    def _begin(self, folder: Path) -> None:
        config = self._job.config.to_toml()
        mpi.on_root(lambda: write_text(folder / "run.toml", config))
        self._write()

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
        if (folder := self._folder) is None:
            return
        name, config = self._job
        root = xr.Dataset(
            attrs={"job": name, "config": config.to_toml(), "name": config.name,
                   "folder": config.folder, "layout": LAYOUT}
        )  # fmt: skip
        groups: dict[str, Any] = {k: v for k, v in self._groups.items() if v is not None}
        tree = xr.DataTree.from_dict({"/": root, **groups})
        mpi.on_root(lambda: write_result(folder / CHECKPOINT, tree))
        self._last = time.monotonic()


def work_of(folder: Path, job: Job) -> dict[str, xr.Dataset] | None:
    """The groups of the checkpoint that a job left in a folder; None if it has not begun there.

    Raises:
        InputError: if the folder holds work of another job, or the checkpoint cannot be read.
    """
    found = _read(folder)
    if found is None or (found[0] != job and not found[1]):
        return None
    (name, config), groups = found
    if found[0] != job:
        raise InputError(
            f"'{folder}' holds the checkpoint of another configuration or command ({name} "
            f"{config.name}); choose another folder, go on with that by 'uf-diffusion resume "
            f"{folder}', or remove the file '{folder / CHECKPOINT}' to give it up."
        )
    return groups


def interrupted(folder: Path, trust: bool = False) -> Job:
    """The job whose checkpoint lies in a run's folder.

    With ``trust``, code that the checkpoint names may be imported.

    Raises:
        InputError: on all ranks, if there is no checkpoint or it cannot be read.
    """

    def read() -> Job:
        found = _read(folder, trust)
        if found is None:
            done = (folder / "result.nc").exists()
            raise InputError(
                f"'{folder}' holds no checkpoint: "
                + ("the run is complete." if done else "there is nothing to go on with.")
            )
        return found[0]

    return mpi.from_root(read)


def has_begun(folder: Path, job: Job) -> bool:
    """Whether the checkpoint in a folder belongs to a job. Each rank reads the file itself."""
    try:
        found = _read(folder)
    except InputError:
        return False
    return found is not None and found[0] == job


def _read(folder: Path, trust: bool = False) -> tuple[Job, dict[str, xr.Dataset]] | None:
    """The job and the groups of the checkpoint in a folder; None if there is no checkpoint.

    Raises:
        InputError: if it cannot be read, or another version of this package wrote it.
    """
    path = folder / CHECKPOINT
    if not path.exists():
        return None
    advice = f"remove the file '{path}' to begin the run anew"
    try:
        tree = read_sealed(path)
    except InputError as error:
        raise InputError(f"{str(error).rstrip('.')}; {advice}.") from None
    about = tree.attrs
    with undamaged(f"'{path}'"):
        if int(about["layout"]) != LAYOUT:
            raise InputError(f"Another version of uf_diffusion wrote this checkpoint; {advice}.")
        name, home = str(about["name"]), str(about["folder"])
        config = config_from_toml(str(about["config"]), (), name, home, trust)
        groups = {name: node.to_dataset() for name, node in tree.children.items()}
        return Job(str(about["job"]), config), groups
