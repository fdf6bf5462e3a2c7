"""Checkpoints: files with everything that a run needs to go on, written now and then.

A checkpoint appears under its name once it is complete, so a killed process leaves the one before.
What it holds is the affair of the two sides; this module knows when to write, and signals.
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
LAYOUT = 3  # of the file; another number when it holds other things


class Job(NamedTuple):
    """What a run does: a name that `resume` knows, and its configuration."""

    name: str
    config: Config


class Checkpoints:
    """Writes a checkpoint every so often, and when the run is interrupted (Ctrl-C, SIGTERM).

    A context manager, for the work itself: the job's mistakes come before. Entering it takes the
    folder, and begins the run: from then on it can be resumed. Where the folder has a checkpoint of
    the same job, that is gone on from; another job's work is not thrown away. Inside, the two
    signals wait for the end of the step; the second Ctrl-C does not wait.

    Args:
        folder: of the run; none: nothing is written and signals act at once.
        job: what is done.

    Raises:
        InputError: on all ranks, for a checkpoint that cannot be read, or holds the work of another
            job, where the result does not fit onto the disk, or as `run_folder`.
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
        """What there is of a side, on all ranks if an earlier run wrote it."""
        return self._groups.get(side)

    def watch[S: Timed](
        self, side: str, pack: Callable[[S], xr.Dataset | None]
    ) -> Callable[[S], None]:
        """A function to call with each state, on all ranks, after the history has recorded it.

        Args:
            side: "diffusion" or "network", the group of the file.
            pack: what to store of a state; called on all ranks, its result matters on rank 0.

        Raises:
            Interrupted: by the function, on all ranks, after a checkpoint, when one of them
                got a signal.
            Unwritable: by the function, on all ranks, when the file cannot be written.
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
        """Write what ``pack`` gives on rank 0 now; the other side's group stays as it was."""
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
        mpi.on_root(lambda: write_result(folder / CHECKPOINT, tree, sealed=True))
        self._last = time.monotonic()


def work_of(folder: Path, job: Job) -> dict[str, xr.Dataset] | None:
    """What a job has left in a folder to go on from; nothing where it has not begun there.

    Raises:
        InputError: where another job has left its work, or the checkpoint cannot be read.
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


def interrupted(folder: Path) -> Job:
    """The job whose checkpoint lies in a run's folder.

    Raises:
        InputError: on all ranks, when there is none, or none that can be read.
    """

    def read() -> Job:
        found = _read(folder)
        if found is None:
            done = (folder / "result.nc").exists()
            raise InputError(
                f"'{folder}' holds no checkpoint: "
                + ("the run is complete." if done else "there is nothing to go on with.")
            )
        return found[0]

    return mpi.from_root(read)


def has_begun(folder: Path, job: Job) -> bool:
    """Whether a folder's checkpoint is one of a job; each rank looks for itself."""
    try:
        found = _read(folder)
    except InputError:
        return False
    return found is not None and found[0] == job


def _read(folder: Path) -> tuple[Job, dict[str, xr.Dataset]] | None:
    """A folder's checkpoint: its job and groups; nothing where there is none.

    Raises:
        InputError: when it cannot be read, or was not written by this version.
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
    if about.get("layout") != LAYOUT:
        raise InputError(f"Another version of uf_diffusion wrote this checkpoint; {advice}.")
    config = config_from_toml(about["config"], (), about["name"], about["folder"])
    groups = {name: node.to_dataset() for name, node in tree.children.items()}
    return Job(about["job"], config), groups
