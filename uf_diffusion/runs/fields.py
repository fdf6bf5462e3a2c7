"""The fields of a diffusion in a result: all of them, or a coarse picture beside a file of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from uf_diffusion.core.arrays import Array
from uf_diffusion.grids.base import Grid
from uf_diffusion.results import sizes
from uf_diffusion.results.names import dataset
from uf_diffusion.results.pieces import Piece, write_pieces
from uf_diffusion.runs.folders import WHOLE_FIELDS

if TYPE_CHECKING:
    from uf_diffusion.diffusion.history import DiffusionHistory
    from uf_diffusion.diffusion.time_stepping import Evolution

__all__ = ["Shown", "shown_fields"]

ARRAYS = {
    "node_position": ("node", "ambient"), "node_measure": ("node",), "teacher": ("node",),
    "density": ("snapshot", "node"), "outer_weight": ("snapshot", "node"),
}  # fmt: skip


class Shown(NamedTuple):
    """The fields that a result has.

    Attributes:
        fields: arguments of `dataset` by the names of the variables.
        attributes: "fields", the name of a file with all of them beside the result, and
            "whole_nodes", the number of nodes there; empty if the result has all fields.
    """

    fields: dict[str, tuple[tuple[str, ...], Any]]
    attributes: dict[str, Any]


def shown_fields(solver: Evolution, history: DiffusionHistory, folder: Path | None) -> Shown | None:
    """What a result shows of the fields, on rank 0. Call it on all ranks.

    Fields of more than `sizes.WHOLE` nodes are written to a file in the folder, and the result gets
    their values at the nodes of a coarser grid, if the hierarchy has one.

    Raises:
        Unwritable: on all ranks, if the file cannot be written.
    """
    from uf_diffusion.diffusion.pictures import coarse_picture

    large = folder is not None and solver.grid.node_count > sizes.WHOLE
    picture = coarse_picture(solver, sizes.PICTURE) if large else None
    if folder is None or picture is None:
        take, grid, volume = solver.gathered, solver.grid, solver.gathered(solver.volume)
    else:
        _write(folder / WHOLE_FIELDS, solver, history)
        take, grid, volume = picture.gathered, picture.grid, picture.volume
    teacher = take(solver.teacher)
    ratios = [take(h) for h in history.ratios]
    outer = [take(solver.outer_weight(h)) for h in history.ratios]
    if teacher is None:
        return None
    values = (grid.nodes, volume, teacher, np.array(ratios) * teacher, np.array(outer))
    fields = {name: (dims, value) for (name, dims), value in
              zip(ARRAYS.items(), values, strict=True)}  # fmt: skip
    return Shown(_cells(grid) | fields, {} if picture is None else {
        "fields": WHOLE_FIELDS, "whole_nodes": solver.grid.node_count,
    })  # fmt: skip


def _cells(grid: Grid) -> dict[str, tuple[tuple[str, ...], Any]]:
    """The cells, if readers of the result may not have the mesh file."""
    return {} if grid.built_in else {"cell": (("cell", "corner"), grid.cells)}


def _write(path: Path, solver: Evolution, history: DiffusionHistory) -> None:
    count = {
        "node": solver.grid.node_count, "ambient": solver.points.shape[1],
        "snapshot": len(history.ratios),
    }  # fmt: skip
    times = dataset(snapshot_time=(("snapshot",), history.times[: count["snapshot"]]))
    write_pieces(path, count, ARRAYS, _pieces(solver, history), times)


def _pieces(solver: Evolution, history: DiffusionHistory) -> Iterator[Piece]:
    gathering = solver.gathering
    for k, x in enumerate(solver.points.T):
        for where, piece in gathering.pieces(x):
            yield "node_position", (where, k), piece
    for name, field in (("node_measure", solver.volume), ("teacher", solver.teacher)):
        for where, piece in gathering.pieces(field):
            yield name, (where,), piece
    for k, ratio in enumerate(history.ratios):
        for name, values in _fields(solver, ratio):
            for where, piece in gathering.pieces(values):
                yield name, (k, where), piece


def _fields(solver: Evolution, ratio: Array) -> Iterator[tuple[str, Array]]:
    yield "density", ratio * solver.teacher
    yield "outer_weight", solver.outer_weight(ratio)
