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
from typing import Any, Self

import xarray as xr

from uf_diffusion import parallel
from uf_diffusion.errors import InputError
from uf_diffusion.observers import Timed
from uf_diffusion.signals import patient
from uf_diffusion.store import write_result

__all__ = ["Checkpoints", "read_checkpoint"]


class Checkpoints:
    """Writes a checkpoint every so often, and when the run is interrupted (Ctrl-C, SIGTERM).

    What an earlier run left in the file is read at once, on all ranks, and stays there until the
    same side writes again.

    A context manager: inside it the two signals wait for the end of the step. The second Ctrl-C
    does not wait.

    Args:
        path: the file, ending in ``.nc``; none: nothing is written and signals act at once.
        seconds: wall-clock time between checkpoints.
        job: the command that `resume` runs again.

    Raises:
        InputError: on all ranks, when there is a file that cannot be read.
    """

    def __init__(self, path: Path | None, seconds: float, job: str) -> None:
        self._path, self._seconds, self._job = path, seconds, job
        self._last = time.monotonic()
        self._waiting, self._heard = ExitStack(), list[int]()
        self._groups: dict[str, xr.Dataset | None] = dict(read_checkpoint(path))

    def __enter__(self) -> Self:
        if self._path is not None:
            self._heard = self._waiting.enter_context(patient())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._waiting.close()

    def stored(self, side: str) -> xr.Dataset | None:
        """What the file holds of a side, on all ranks if an earlier run wrote it."""
        return self._groups.get(side)

    def watch[S: Timed](
        self, side: str, pack: Callable[[S], xr.Dataset | None]
    ) -> Callable[[S], None]:
        """A function to call with each state, on all ranks, after the history has recorded it.

        Args:
            side: "diffusion" or "network", the group of the file.
            pack: what to store of a state; called on all ranks, its result matters on rank 0.

        Raises:
            KeyboardInterrupt: by the function, on all ranks, after a checkpoint, when one of them
                got a signal.
            OSError: by the function, on all ranks, when the file cannot be written.
        """

        def look(state: S) -> None:
            if self._path is None:
                return
            due = time.monotonic() - self._last > self._seconds
            wish = parallel.highest(2 if self._heard else int(due))
            if wish:
                self.write(side, pack(state))
            if wish == 2:
                raise KeyboardInterrupt(
                    f"Interrupted at t = {state.t:.4g}; go on with: "
                    f"uf-diffusion resume {self._path.parent}"
                )

        return look

    def write(self, side: str, group: xr.Dataset | None) -> None:
        """Write a checkpoint now; the groups of the other side stay as they were."""
        self._groups[side] = group
        path = self._path
        if path is None:
            return
        present: dict[str, Any] = {f"/{k}": v for k, v in self._groups.items() if v is not None}
        root = xr.Dataset(attrs={"job": self._job})
        parallel.on_root(lambda: write_result(path, xr.DataTree.from_dict({"/": root, **present})))
        self._last = time.monotonic()


def read_checkpoint(path: Path | None) -> dict[str, xr.Dataset]:
    """The groups of a checkpoint, on all ranks; none where there is no file.

    Raises:
        InputError: on all ranks, when the file cannot be read.
    """

    def read() -> dict[str, xr.Dataset]:
        if path is None or not path.exists():
            return {}
        try:
            with xr.open_datatree(path, engine="h5netcdf") as tree:
                return {name: node.to_dataset().load() for name, node in tree.children.items()}
        except (OSError, ValueError) as error:
            raise InputError(f"Cannot read the checkpoint '{path}': {error}.") from None

    return parallel.from_root(read)
