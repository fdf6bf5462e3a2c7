"""Watching: progress bars, histories and snapshots of the states that the solvers yield."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import xarray as xr
from tqdm import tqdm

from uf_diffusion import parallel
from uf_diffusion.errors import InputError, shown
from uf_diffusion.problem.manifolds import Array
from uf_diffusion.store import dataset

if TYPE_CHECKING:
    from uf_diffusion.diffusion.evolution import DiffusionState, Evolution
    from uf_diffusion.network.training import Network, NetworkState

__all__ = ["DIFFUSION_SERIES", "DiffusionHistory", "NetworkHistory", "Timed", "Watch",
           "watchers", "with_progress"]  # fmt: skip


type Watch = Sequence[Callable[[Any], object]]  # functions to call with each state

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
)


def watchers(watch: Watch) -> list[Callable[[Any], object]]:
    """The functions to call.

    Raises:
        InputError: for anything but a sequence of functions.
    """
    if not isinstance(watch, Sequence) or not all(map(callable, watch)):
        raise InputError(f"watch takes functions in a list, not {shown(watch)}.")
    return list(watch)


class Timed(Protocol):
    """Anything with a clock."""

    @property
    def t(self) -> float: ...


def with_progress[S: Timed](states: Iterable[S], t_end: float, label: str) -> Iterator[S]:
    """The states, with a progress bar over t on rank 0; silent without a terminal."""
    silent = parallel.rank() != 0 or not sys.stderr.isatty()
    layout = "{desc} {percentage:3.0f}% |{bar}| t = {n:.3g}/{total:.3g} [{elapsed}<{remaining}]"
    with tqdm(total=t_end, desc=f"{label:9}", disable=silent, leave=None, bar_format=layout) as bar:
        for state in states:
            bar.update(min(state.t, t_end) - bar.n)
            yield state


class DiffusionHistory:
    """Every step's numbers, and the ratio h at the snapshot times, on this rank's nodes.

    Args:
        solver: interpolates between steps, so that the snapshots do not distort them.
        times: increasing snapshot times, the last not after the end.
    """

    def __init__(self, solver: Evolution, times: Array) -> None:
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
    """The risk of every step, and the network at the snapshot times, gathered on rank 0.

    Args:
        network: what is trained.
        times: increasing snapshot times, met by the training steps.
    """

    def __init__(self, network: Network, times: Array) -> None:
        self.times = times
        self._network = network
        self._series: dict[str, list[float]] = {"time": [], "risk": []}
        self._shots: dict[str, list[Array]] = {"feature": [], "outer_weight": []}
        self._taken: list[float] = []
        self._largest = {"residual": 0.0, "truncation": 0.0}

    def __call__(self, state: NetworkState) -> None:
        """Record a state; call it with each in turn, on all ranks."""
        self._series["time"].append(state.t)
        self._series["risk"].append(state.outer.risk)
        self._note("residual", state.outer.residual)
        due = len(self._taken)
        if due < len(self.times) and state.t >= self.times[due] * (1 - 1e-9):
            self._take(state)

    def _note(self, name: str, value: float) -> None:
        self._largest[name] = max(self._largest[name], value)

    def _take(self, state: NetworkState) -> None:
        network, u = self._network, state.outer.outer_weight
        self._taken.append(state.t)
        for name, rows in (("feature", state.feature), ("outer_weight", u)):
            everyones = network.share.gathered(rows)
            if parallel.rank() == 0:
                self._shots[name].append(everyones)
        energy = network.feature_map.dropped_energy(state.feature, network.mass * u, network.share)
        self._note("truncation", math.sqrt(energy / (4 * network.regularisation)))

    def group(self, projections: int) -> xr.Dataset:
        """The group /network of a result, on rank 0."""
        risk = np.array(self._series["risk"])
        return dataset(
            time=(("step",), self._series["time"]),
            risk=(("step",), risk),
            snapshot_time=(("snapshot",), self._taken),
            feature=(("snapshot", "neuron", "ambient"), self._shots["feature"]),
            outer_weight=(("snapshot", "neuron"), self._shots["outer_weight"]),
            neuron_mass=(("neuron",), self._network.masses),
        ).assign_attrs(
            projection_residual=self._largest["residual"],
            truncation_error=self._largest["truncation"],
            projections=projections,
            risk_rises=int((np.diff(risk) > 1e-9 * np.abs(risk[:-1])).sum()),
        )

    def packed(self) -> dict[str, tuple[tuple[str, ...], Array]]:
        """What has been recorded, for a checkpoint; on rank 0."""
        shots = self._network.masses.shape
        feature = np.array(self._shots["feature"])
        return {
            "history_time": (("row",), np.array(self._series["time"])),
            "history_risk": (("row",), np.array(self._series["risk"])),
            "history_largest": (("largest",), np.array(list(self._largest.values()))),
            "shot_time": (("shot",), np.array(self._taken)),
            "shot_feature": (("shot", "neuron", "ambient"), feature),
            "shot_outer_weight": (
                ("shot", "neuron"),
                np.array(self._shots["outer_weight"]).reshape(-1, *shots),
            ),
        }

    def resume(self, stored: Mapping[str, Array]) -> None:
        """Take over what an earlier run had recorded."""
        self._series = {k: list(stored[f"history_{k}"]) for k in self._series}
        self._shots = {k: list(stored[f"shot_{k}"]) for k in self._shots}
        self._taken = list(stored["shot_time"])
        self._largest = dict(zip(self._largest, stored["history_largest"], strict=True))
