"""The PDE's part of a checkpoint, from which a run continues on any number of ranks.

Fields are stored in the grid's numbering, which does not depend on the number of ranks. Large ones
are in a file of their own, which is written and read piece by piece.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from uf_diffusion.core.arguments import stored_numbers, undamaged
from uf_diffusion.core.arrays import Array
from uf_diffusion.core.errors import InputError
from uf_diffusion.diffusion.history import DIFFUSION_SERIES, DiffusionHistory
from uf_diffusion.diffusion.states import Before, DiffusionState, Pace
from uf_diffusion.diffusion.time_stepping import Evolution
from uf_diffusion.results import sizes
from uf_diffusion.results.pieces import Piece, reading, write_pieces

__all__ = ["pack", "restore"]

NODAL = ("ratio", "potential", "derivative")
NUMBERS = (*DIFFUSION_SERIES, "dual_energy", "distance")  # numbers of the state, with its step


ARRAYS = {"field": ("name", "node"), "snapshot": ("shot", "node")}


def pack(
    state: DiffusionState, solver: Evolution, history: DiffusionHistory, folder: Path | None = None
) -> xr.Dataset | None:
    """A state and the records so far. Call it on all ranks.

    Args:
        state: the state to store.
        solver: the solver.
        history: the records so far.
        folder: where the fields of more than `sizes.WHOLE` nodes are written, as a file that the
            attribute "fields" of the dataset names; if None, they are in the dataset as well.

    Returns:
        The checkpoint's dataset on rank 0, None on the other ranks.

    Raises:
        Unwritable: on all ranks, if the file cannot be written.
    """
    before = state.before or Before(0.0, state.potential, state.derivative)
    fields = [*(getattr(state, name) for name in NODAL), *before[1:]]
    values, name = {"field": fields, "snapshot": history.ratios}, ""
    if folder is not None and solver.grid.node_count > sizes.WHOLE:
        name = f"checkpoint-fields-{state.step}.nc"
        count = {"name": len(fields), "shot": len(history.ratios), "node": solver.grid.node_count}
        write_pieces(folder / name, count, ARRAYS, _pieces(solver, values))
        stored = {}
    else:
        stored = {key: solver.gathered(np.array(each)) for key, each in values.items()}
    if solver.comm.rank > 0:
        return None
    steps = {name: (("step",), history.series(name)) for name in DIFFUSION_SERIES}
    numbers = {f"last_{name}": getattr(state, name) for name in NUMBERS}
    numbers |= {"count": state.step, "before": before.t}
    if state.pace is not None:
        numbers |= {"pace": np.array(state.pace)}
    whole = {key: (ARRAYS[key], each) for key, each in stored.items()}
    return xr.Dataset({**steps, **whole}, attrs=numbers | ({"fields": name} if name else {}))


def _pieces(solver: Evolution, values: dict[str, list[Array]]) -> Iterator[Piece]:
    for name, rows in values.items():
        for k, row in enumerate(rows):
            for where, piece in solver.gathering.pieces(row):
                yield name, (k, where), piece


@undamaged("The checkpoint")
def restore(
    stored: xr.Dataset, solver: Evolution, history: DiffusionHistory, folder: Path | None = None
) -> DiffusionState:
    """The state of a checkpoint, at this rank's nodes; also restores the history's records.

    Args:
        stored: what `pack` returned.
        solver: the solver with which to continue.
        history: receives the stored records.
        folder: the folder of the file of large fields, see `pack`.

    Raises:
        InputError: on all ranks, when the checkpoint has another number of nodes.
    """
    values = stored_numbers(stored.data_vars)
    file = None if folder is None else stored.attrs.get("fields")
    path = None if folder is None or file is None else folder / str(file)
    rows = _own(values.get("field"), path, "field", solver)
    if len(rows) != len(NODAL) + 2:
        raise _other(solver)
    shots = _own(values.get("snapshot"), path, "snapshot", solver)
    numbers, count = stored.attrs, int(stored.attrs["count"])
    fields: dict[str, Any] = dict(zip(NODAL, rows[:-2], strict=True))
    state = DiffusionState(
        **fields,
        **{name: numbers[f"last_{name}"] for name in NUMBERS},
        step=count,
        pace=Pace(*map(float, numbers["pace"])) if "pace" in numbers else None,
        before=Before(float(numbers["before"]), *rows[-2:]) if count else None,
    )
    history.resume(values, shots, state)
    return state


def _own(whole: Array | None, path: Path | None, name: str, solver: Evolution) -> list[Array]:
    """This rank's values ``(owned,)`` of each row of a field.

    Args:
        whole: the field, ``(rows, nodes)``; None if there is none.
        path: a file that has it instead, from which it is read piece by piece; None for no file.
        name: its name in the file.
        solver: the solver.

    Raises:
        InputError: if there is no such field with the grid's nodes.
    """
    nodes, gathering = solver.grid.node_count, solver.gathering
    if path is None:
        if whole is None or whole.shape != (len(whole), nodes):
            raise _other(solver)
        return list(whole[:, solver.node])
    with reading(path, name) as (shape, read):
        if len(shape) != 2 or shape[1] != nodes:
            raise _other(solver)

        def row(k: int) -> Array:
            return gathering.own(lambda where: read((k, where)))

        return [row(k) for k in range(shape[0])]


def _other(solver: Evolution) -> InputError:
    return InputError(f"The checkpoint is not one of this run with {solver.grid.node_count} nodes.")
