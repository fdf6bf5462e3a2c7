"""The network's part of a checkpoint, from which a run continues with identical bits."""

from __future__ import annotations

import numpy as np
import xarray as xr

from uf_diffusion.core import mpi
from uf_diffusion.core.arguments import stored_numbers, undamaged
from uf_diffusion.core.errors import InputError
from uf_diffusion.kernels.projection import OuterLayer
from uf_diffusion.network.history import NetworkHistory
from uf_diffusion.network.run import Training
from uf_diffusion.network.training import NetworkState

__all__ = ["pack", "restore"]

ROWS = ("feature", "velocity", "outer_weight", "potential", "carried")  # arrays by neurons


def pack(state: NetworkState, training: Training, history: NetworkHistory) -> xr.Dataset | None:
    """Everything that the next step depends on, and the records. Call it on all ranks.

    Args:
        state: the state to store.
        training: the training.
        history: the records so far.

    Returns:
        The checkpoint's dataset on rank 0, None on the other ranks.
    """
    gathered = training.network.share.gathered
    outer = state.outer
    values = (state.feature, outer.velocity, outer.outer_weight, outer.potential, state.carried)
    rows = {name: gathered(v) for name, v in zip(ROWS, values, strict=True)}
    keepsake = training.network.feature_map.keepsake()  # all ranks take part in this
    if mpi.rank() != 0:
        return None
    variables = {k: (("neuron", f"{k}_column")[: v.ndim], v) for k, v in rows.items()}
    numbers = {
        "t": state.t,
        "step": state.step,
        "projections": state.projections,
        "risk": outer.risk,
        "residual": outer.residual,
        "draws": training.draws,
    }
    pace = {"pace": (("pace_number",), state.pace)}
    kept = {f"kept_{k}": (("neuron", "feature_column")[: v.ndim], v) for k, v in keepsake.items()}
    return xr.Dataset({**variables, **pace, **kept, **history.packed()}, attrs=numbers)


@undamaged("The checkpoint")
def restore(stored: xr.Dataset, training: Training, history: NetworkHistory) -> NetworkState:
    """The state of a checkpoint, with this rank's neurons; also restores the history's records.

    Args:
        stored: what `pack` returned.
        training: the training to continue.
        history: receives the stored records.

    Raises:
        InputError: on all ranks, when the checkpoint belongs to another network or its random
            numbers differ from those of this version of numpy.
    """
    values, numbers = stored_numbers(stored.data_vars), stored.attrs
    rows = training.network.share.rows
    if values["feature"].shape[0] != len(training.network.masses):
        raise InputError("The checkpoint is not one of this network.")
    if numbers["draws"] != training.draws:
        raise InputError(
            "This version of numpy draws other random numbers than the one that began the run."
        )
    history.resume(values)
    training.network.feature_map.recall(
        {k.removeprefix("kept_"): v for k, v in values.items() if k.startswith("kept_")}
    )
    own = {k: np.ascontiguousarray(values[k][rows]) for k in ROWS}
    outer = OuterLayer(own["outer_weight"], own["velocity"], own["potential"],
                       float(numbers["risk"]), float(numbers["residual"]))  # fmt: skip
    return NetworkState(
        float(numbers["t"]), int(numbers["step"]), own["feature"], outer,
        int(numbers["projections"]), values["pace"], own["carried"],
    )  # fmt: skip
