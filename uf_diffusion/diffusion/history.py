"""Records of a diffusion: some numbers after every step, and the ratio at the snapshot times."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from uf_diffusion.core.arrays import Array

if TYPE_CHECKING:
    from uf_diffusion.diffusion.states import DiffusionState
    from uf_diffusion.diffusion.time_stepping import Evolution

__all__ = ["DIFFUSION_SERIES", "DiffusionHistory"]

DIFFUSION_SERIES = (
    "t",
    "step_size",
    "mass",
    "risk",
    "min_ratio",
    "max_ratio",
    "newton_iterations",
    "linear_iterations",
    "stage_error",
    "dissipation",
)


class DiffusionHistory:
    """Records numbers after every step, and the ratio h at the snapshot times on this rank's nodes.

    Args:
        solver: the solver; it interpolates between steps, so that snapshots do not change these.
        times: increasing snapshot times, dimensionless, the last not after the end.

    Attributes:
        ratios: h at the snapshot times so far, ``(owned,)`` each.
    """

    def __init__(self, solver: Evolution, times: Array) -> None:
        self.times = times
        self.ratios: list[Array] = []
        self._solver = solver
        self._series: dict[str, list[float]] = {name: [] for name in DIFFUSION_SERIES}
        self._last: DiffusionState | None = None

    def __call__(self, state: DiffusionState) -> None:
        """Record a state. Call it on all ranks, with every state in turn."""
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
        """Replace the records by those of an earlier run up to its state ``last``.

        Args:
            series: each of `DIFFUSION_SERIES`, ``(step,)``.
            ratios: h at the snapshot times so far, ``(owned,)`` each.
            last: the state of the last step.
        """
        self._series = {name: list(series[name]) for name in DIFFUSION_SERIES}
        self.ratios, self._last = ratios, last

    @property
    def last(self) -> DiffusionState | None:
        """The state that was recorded last; None if there is none."""
        return self._last

    def series(self, name: str) -> Array:
        """The values of one of `DIFFUSION_SERIES` after every step, ``(step,)``."""
        return np.array(self._series[name])
