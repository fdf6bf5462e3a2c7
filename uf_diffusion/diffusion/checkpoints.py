"""The PDE's part of a checkpoint: enough to go on, on any number of ranks.

Fields are stored in the grid's own numbering, which does not depend on the ranks.
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from uf_diffusion.diffusion.evolution import DiffusionState, Evolution, Pace
from uf_diffusion.errors import InputError
from uf_diffusion.observers import DIFFUSION_SERIES, DiffusionHistory

__all__ = ["pack", "restore"]


def pack(state: DiffusionState, solver: Evolution, history: DiffusionHistory) -> xr.Dataset | None:
    """A state and what has been recorded, on rank 0; call it on all ranks."""
    ratio, shots = solver.gathered(state.ratio), solver.gathered(np.array(history.ratios))
    if ratio is None:
        return None
    pace = state.pace or Pace(0.0, 0.0)
    steps = {name: (("step",), history.series(name)) for name in DIFFUSION_SERIES}
    return xr.Dataset(
        {**steps, "ratio": (("node",), ratio), "snapshot": (("shot", "node"), shots)},
        attrs={"count": state.step, "next_step": pace.step, "error": pace.error},
    )


def restore(stored: xr.Dataset, solver: Evolution, history: DiffusionHistory) -> DiffusionState:
    """The state of a checkpoint, on this rank's nodes; the history takes over its records.

    Raises:
        InputError: on all ranks, when it belongs to another problem.
    """
    values = {str(name): variable.values for name, variable in stored.items()}
    nodes = len(solver.grid.nodes)
    if {"ratio", "snapshot", "t"} - values.keys() or values["ratio"].shape != (nodes,):
        raise InputError(f"The checkpoint is not one of this run with {nodes} nodes.")
    pace = Pace(float(stored.attrs["next_step"]), float(stored.attrs["error"]))
    state = solver.at(
        float(values["t"][-1]), int(stored.attrs["count"]), values["ratio"][solver.node], pace
    )
    history.resume(values, list(values["snapshot"][:, solver.node]), state)
    return state
