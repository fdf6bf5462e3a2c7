"""The PDE's part of a checkpoint, from which a run continues on any number of ranks.

Fields are stored in the grid's numbering, which does not depend on the number of ranks.
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from uf_diffusion.core.arguments import stored_numbers, undamaged
from uf_diffusion.core.errors import InputError
from uf_diffusion.diffusion.history import DIFFUSION_SERIES, DiffusionHistory
from uf_diffusion.diffusion.time_stepping import Before, DiffusionState, Evolution, Pace

__all__ = ["pack", "restore"]

NODAL = ("ratio", "potential", "derivative")
NUMBERS = (*DIFFUSION_SERIES, "dual_energy", "distance")  # numbers of the state, with its step


def pack(state: DiffusionState, solver: Evolution, history: DiffusionHistory) -> xr.Dataset | None:
    """A state and the records so far. Call it on all ranks.

    Args:
        state: the state to store.
        solver: the solver.
        history: the records so far.

    Returns:
        The checkpoint's dataset on rank 0, None on the other ranks.
    """
    before = state.before or Before(0.0, state.potential, state.derivative)
    fields = [*(getattr(state, name) for name in NODAL), *before[1:]]
    nodal, shots = (solver.gathered(np.array(a)) for a in (fields, history.ratios))
    if nodal is None:
        return None
    steps = {name: (("step",), history.series(name)) for name in DIFFUSION_SERIES}
    numbers = {f"last_{name}": getattr(state, name) for name in NUMBERS}
    numbers |= {"count": state.step, "before": before.t}
    if state.pace is not None:
        numbers |= {"pace": np.array(state.pace)}
    return xr.Dataset(
        {**steps, "field": (("name", "node"), nodal), "snapshot": (("shot", "node"), shots)},
        attrs=numbers,
    )


@undamaged("The checkpoint")
def restore(stored: xr.Dataset, solver: Evolution, history: DiffusionHistory) -> DiffusionState:
    """The state of a checkpoint, at this rank's nodes; also restores the history's records.

    Args:
        stored: what `pack` returned.
        solver: the solver with which to continue.
        history: receives the stored records.

    Raises:
        InputError: on all ranks, when the checkpoint has another number of nodes.
    """
    values = stored_numbers(stored.data_vars)
    nodes = len(solver.grid.nodes)
    if "field" not in values or values["field"].shape != (len(NODAL) + 2, nodes):
        raise InputError(f"The checkpoint is not one of this run with {nodes} nodes.")
    *nodal, potential, derivative = values["field"][:, solver.node]
    numbers, count = stored.attrs, int(stored.attrs["count"])
    state = DiffusionState(
        **dict(zip(NODAL, nodal, strict=True)),
        **{name: numbers[f"last_{name}"] for name in NUMBERS},
        step=count,
        pace=Pace(*map(float, numbers["pace"])) if "pace" in numbers else None,
        before=Before(float(numbers["before"]), potential, derivative) if count else None,
    )
    history.resume(values, list(values["snapshot"][:, solver.node]), state)
    return state
