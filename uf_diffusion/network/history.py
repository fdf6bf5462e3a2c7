"""Records of a training: the risk after every step, and the network at the snapshot times."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from uf_diffusion.core import mpi
from uf_diffusion.core.arrays import Array
from uf_diffusion.results.names import dataset

if TYPE_CHECKING:
    from uf_diffusion.kernels.feature_maps import FeatureMap
    from uf_diffusion.network.training import Network, NetworkState

__all__ = ["NetworkHistory"]


class NetworkHistory:
    """Records the risk after every step, and the network at the snapshot times, on rank 0.

    Args:
        network: the network that is trained.
        times: increasing snapshot times, dimensionless; each must be the time of some step.
        errors: feature maps of inputs at which the mean squared error of the outputs is recorded
            at the snapshot times, by the names of the variables.
    """

    def __init__(
        self, network: Network, times: Array, errors: Mapping[str, FeatureMap] | None = None
    ) -> None:
        self.times = times
        self._network = network
        self._maps = errors or {}
        self._errors: dict[str, list[float]] = {name: [] for name in self._maps}
        self._series: dict[str, list[float]] = {"time": [], "risk": []}
        self._shots: dict[str, list[Array]] = {"feature": [], "outer_weight": []}
        self._taken: list[float] = []
        self._largest = {"residual": 0.0, "truncation": 0.0}

    def __call__(self, state: NetworkState) -> None:
        """Record a state. Call it on all ranks, with every state in turn."""
        self._series["time"].append(state.t)
        self._series["risk"].append(state.outer.risk)
        self._note("residual", state.outer.residual)
        due = len(self._taken)
        if due < len(self.times) and state.t >= self.times[due] * (1 - 1e-9):
            self._take(state)

    def _note(self, name: str, value: float) -> None:
        self._largest[name] = float(np.maximum(self._largest[name], value))  # NaN stays

    def _take(self, state: NetworkState) -> None:
        network, u = self._network, state.outer.outer_weight
        self._taken.append(state.t)
        for name, rows in (("feature", state.feature), ("outer_weight", u)):
            everyones = network.share.gathered(rows)
            if mpi.rank() == 0:
                self._shots[name].append(everyones)
        for name, psi in self._maps.items():
            neurons = psi.at(state.feature, network.share)
            self._errors[name].append(neurons.misfit(network.mass * u))
        error = network.feature_map.weight_error(
            state.feature, network.mass, state.outer.potential, network.divergence,
            network.regularisation, network.share,
        )  # fmt: skip
        self._note("truncation", error)

    def group(self, projections: int) -> xr.Dataset:
        """The group /network of a result, complete on rank 0 only.

        Args:
            projections: how many times the outer layer was computed.
        """
        risk = np.array(self._series["risk"])
        return dataset(
            time=(("step",), self._series["time"]),
            risk=(("step",), risk),
            snapshot_time=(("snapshot",), self._taken),
            feature=(("snapshot", "neuron", "ambient"), self._shots["feature"]),
            outer_weight=(("snapshot", "neuron"), self._shots["outer_weight"]),
            neuron_mass=(("neuron",), self._network.masses),
            **{name: (("snapshot",), errors) for name, errors in self._errors.items()},
        ).assign_attrs(
            projection_residual=self._largest["residual"],
            truncation_error=self._largest["truncation"],
            projections=projections,
            risk_rises=int((~(np.diff(risk) <= 1e-9 * np.abs(risk[:-1]))).sum()),  # NaN is one
        )

    def packed(self) -> dict[str, tuple[tuple[str, ...], Array]]:
        """The records as variables of a checkpoint, with their dimensions; for rank 0 only."""
        shots = self._network.masses.shape
        feature = np.array(self._shots["feature"])
        return {
            "history_time": (("row",), np.array(self._series["time"])),
            "history_risk": (("row",), np.array(self._series["risk"])),
            "history_largest": (("largest",), np.array(list(self._largest.values()))),
            "shot_time": (("shot",), np.array(self._taken)),
            "shot_feature": (("shot", "neuron", "ambient"), feature),
            **{f"shot_{k}": (("shot",), np.array(v)) for k, v in self._errors.items()},
            "shot_outer_weight": (
                ("shot", "neuron"),
                np.array(self._shots["outer_weight"]).reshape(-1, *shots),
            ),
        }

    def resume(self, stored: Mapping[str, Array]) -> None:
        """Replace the records by those of a checkpoint, see `packed`."""
        self._series = {k: list(stored[f"history_{k}"]) for k in self._series}
        self._shots = {k: list(stored[f"shot_{k}"]) for k in self._shots}
        self._errors = {k: list(stored[f"shot_{k}"]) for k in self._errors}
        self._taken = list(stored["shot_time"])
        self._largest = dict(zip(self._largest, stored["history_largest"], strict=True))
