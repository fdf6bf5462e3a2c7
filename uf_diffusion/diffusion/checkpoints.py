"""Checkpoints of the PDE: everything that a run needs to go on, on any number of ranks.

Fields are stored in the grid's own numbering, which does not depend on the ranks. The file appears
under its name once it is complete, so a killed process leaves the one before.
"""

from __future__ import annotations

from mpi4py import MPI

import signal
import time
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self

import numpy as np
import xarray as xr

from uf_diffusion.diffusion.solver import DiffusionState, Pace, UltraFastDiffusion
from uf_diffusion.errors import InputError
from uf_diffusion.observers import DIFFUSION_SERIES, DiffusionHistory
from uf_diffusion.parallel import broadcast, on_root
from uf_diffusion.store import write_result

__all__ = ["Checkpoints", "restore"]


class Checkpoints:
    """Writes a checkpoint every so often, and when the run is interrupted (Ctrl-C, SIGTERM).

    A context manager: inside it the two signals wait for the end of the step. The second Ctrl-C
    does not wait.

    Args:
        path: the file, ending in ``.nc``.
        seconds: wall-clock time between checkpoints.
        history: what has been recorded so far.
        solver: gathers the fields.
        job: the command that `resume` runs again.
    """

    def __init__(
        self,
        path: Path,
        seconds: float,
        history: DiffusionHistory,
        solver: UltraFastDiffusion,
        job: str = "solve",
    ) -> None:
        self._path, self._seconds, self._history, self._job = path, seconds, history, job
        self._solver, self._signal, self._last = solver, 0, time.monotonic()
        self._handlers: dict[int, Any] = {}

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._handlers[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self._signal:
            raise KeyboardInterrupt
        self._signal = number

    def __call__(self, state: DiffusionState) -> None:
        """Call it after the history has recorded a state, on all ranks.

        Raises:
            KeyboardInterrupt: on all ranks, after a checkpoint, when one of them got a signal.
            OSError: on all ranks, when the file cannot be written.
        """
        due = time.monotonic() - self._last > self._seconds
        wish = self._solver.comm.allreduce(2 if self._signal else int(due), MPI.MAX)
        if wish:
            self.write(state)
        if wish == 2:
            raise KeyboardInterrupt(
                f"Interrupted at t = {state.t:.4g}; go on with: "
                f"uf-diffusion resume {self._path.parent}"
            )

    def write(self, state: DiffusionState) -> None:
        """Write a checkpoint now."""
        history, gathered = self._history, self._solver.gathered
        ratio, shots = gathered(state.ratio), gathered(np.array(history.ratios))

        def store() -> None:
            pace = state.pace or Pace(0.0, 0.0)
            steps = {name: (("step",), history.series(name)) for name in DIFFUSION_SERIES}
            fields = xr.Dataset(
                {**steps, "ratio": (("node",), ratio), "snapshot": (("shot", "node"), shots)},
                attrs={
                    "count": state.step,
                    "next_step": pace.step,
                    "error": pace.error,
                    "job": self._job,
                },
            )
            write_result(self._path, xr.DataTree(fields))

        on_root(store)
        self._last = time.monotonic()


def restore(path: Path, solver: UltraFastDiffusion, history: DiffusionHistory) -> DiffusionState:
    """The state of a checkpoint, on this rank's nodes; the history takes over its records.

    Raises:
        InputError: on all ranks, when the file cannot be read or belongs to another problem.
    """

    def read() -> dict[str, Any]:
        try:
            with xr.open_dataset(path, engine="h5netcdf") as stored:
                found = {str(name): values.values for name, values in stored.items()}
                return found | stored.attrs
        except (OSError, ValueError) as error:
            raise InputError(f"Cannot read the checkpoint '{path}': {error}.") from None

    stored = broadcast(on_root(read)) or {}
    nodes = len(solver.grid.nodes)
    if {"ratio", "snapshot", "t", "count", "next_step"} - stored.keys() or stored[
        "ratio"
    ].shape != (nodes,):
        raise InputError(f"The checkpoint '{path}' is not one of this run with {nodes} nodes.")
    pace = Pace(float(stored["next_step"]), float(stored["error"]))
    state = solver.resumed(
        float(stored["t"][-1]), int(stored["count"]), pace, stored["ratio"][solver.node]
    )
    history.resume(stored, list(stored["snapshot"][:, solver.node]), state)
    return state
