"""Watching: progress bars, histories and snapshots of the states that the solvers yield."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Protocol

import numpy as np
from tqdm import tqdm

from uf_diffusion import parallel
from uf_diffusion.problem.manifolds import Array

if TYPE_CHECKING:
    from uf_diffusion.diffusion.solver import DiffusionState, UltraFastDiffusion
    from uf_diffusion.network.training import NetworkState

__all__ = ["DIFFUSION_SERIES", "DiffusionHistory", "NetworkHistory", "with_progress"]


DIFFUSION_SERIES = (
    "t",
    "step_size",
    "mass",
    "risk",
    "min_ratio",
    "max_ratio",
    "newton_iterations",
    "linear_iterations",
)


class Timed(Protocol):
    """Anything with a clock."""

    @property
    def t(self) -> float: ...


def with_progress[S: Timed](states: Iterable[S], t_end: float, label: str) -> Iterator[S]:
    """The states, with a progress bar over t on rank 0; silent without a terminal."""
    silent = parallel.rank() != 0 or not sys.stderr.isatty()
    layout = "{desc} {percentage:3.0f}% |{bar}| t = {n:.3g}/{total:.3g} [{elapsed}<{remaining}]"
    with tqdm(total=t_end, desc=f"{label:9}", disable=silent, bar_format=layout) as bar:
        for state in states:
            bar.update(min(state.t, t_end) - bar.n)
            yield state


class DiffusionHistory:
    """Every step's numbers, and the ratio h at the snapshot times, on this rank's nodes.

    Args:
        solver: interpolates between steps, so that the snapshots do not distort them.
        times: increasing snapshot times, the last not after the end.
    """

    def __init__(self, solver: UltraFastDiffusion, times: Array) -> None:
        self.times = times
        self.ratios: list[Array] = []
        self._solver = solver
        self._series: dict[str, list[float]] = {name: [] for name in DIFFUSION_SERIES}
        self._last: DiffusionState | None = None

    def __call__(self, state: DiffusionState) -> None:
        """Record a state; call it with each in turn, on all ranks."""
        while len(self.ratios) < len(self.times):
            t = self.times[len(self.ratios)]
            if t > state.t * (1 + 1e-12):
                break
            if self._last is None or t >= state.t * (1 - 1e-12):
                self.ratios.append(state.ratio)
            else:
                self.ratios.append(self._solver.between(self._last, state, t))
        for name, values in self._series.items():
            values.append(getattr(state, name))
        self._last = state

    def resume(self, series: dict[str, Array], ratios: list[Array], last: DiffusionState) -> None:
        """Take over what an earlier run had recorded up to ``last``."""
        self._series = {name: list(series[name]) for name in DIFFUSION_SERIES}
        self.ratios, self._last = ratios, last

    @property
    def last(self) -> DiffusionState | None:
        """The newest state, if any."""
        return self._last

    def series(self, name: str) -> Array:
        """One of `DIFFUSION_SERIES` at every step, ``(step,)``."""
        return np.array(self._series[name])


class NetworkHistory:
    """The risk of every step, and the network at the snapshot times.

    Args:
        times: increasing snapshot times, each a whole number of training steps.
    """

    def __init__(self, times: Array) -> None:
        self.times = times
        self.time: list[float] = []
        self.risk: list[float] = []
        self.residual = 0.0
        self.snapshots: list[NetworkState] = []

    def __call__(self, state: NetworkState) -> None:
        """Record a state; call it with each in turn."""
        self.time.append(state.t)
        self.risk.append(state.projection.risk)
        self.residual = max(self.residual, state.projection.residual)
        due = len(self.snapshots)
        if due < len(self.times) and state.t >= self.times[due] * (1 - 1e-9):
            self.snapshots.append(state)
