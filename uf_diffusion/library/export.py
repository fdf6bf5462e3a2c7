"""Exports results to files that other programs read: VTK, XDMF, tables and numpy archives.

The mesh of a flat torus is cut open along its seam, where the nodes are duplicated, so that no cell
reaches across the box. For finite elements of degree 2 and 3 only the corners of the cells are
exported as a mesh.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from uf_diffusion.core.arrays import Array, Index
from uf_diffusion.core.errors import InputError
from uf_diffusion.core.files import appearing
from uf_diffusion.grids.base import Grid
from uf_diffusion.runs.result import Result

__all__ = ["SUFFIXES", "Opened", "export_result", "opened", "require_known"]

SUFFIXES = (".xdmf", ".vtu", ".csv", ".npz")
AXES = "xyz"
CELLS = {1: "line", 2: "triangle", 3: "tetra"}  # meshio's names of cells, by dimension


@dataclass(frozen=True, eq=False)
class Opened:
    """A mesh in R^3 without periodic cells.

    Attributes:
        points: coordinates ``(n, 3)``, lengths; those that the manifold does not have are 0.
        cells: the indices ``(m, dim + 1)`` of the points of each cell.
        node: for each point ``(n,)`` the index of the node of the grid of which it is a copy.
    """

    points: Array
    cells: Index
    node: Index


def opened(grid: Grid) -> Opened:
    """The corners and cells of a grid; on a flat torus, nodes at the seam are duplicated.

    Rings of a sphere in more than three dimensions are points of a half circle, whose axis is x.
    """
    manifold, cells = grid.manifold, grid.cells
    if not manifold.period:
        count = int(cells.max()) + 1
        points = grid.nodes[:count]
        if points.shape[1] > 3:  # rings about an axis, by their angles
            angle = grid.coordinates[:count, 0]
            points = np.column_stack([np.cos(angle), np.sin(angle)])
        return Opened(_in_space(points), cells, np.arange(count))
    length, chart = manifold.period, manifold.chart(grid.nodes)
    corners = chart[cells]
    # number of periods, -1, 0 or 1 in each coordinate, that bring each corner of a cell close to
    # the first corner
    turns = -np.rint((corners - corners[:, :1]) / length).astype(np.int64)
    digits = 3 ** np.arange(manifold.dim)
    copies, number = np.unique(3**manifold.dim * cells + (turns + 1) @ digits, return_inverse=True)
    node, code = np.divmod(copies, 3**manifold.dim)
    points = chart[node] + length * (code[:, None] // digits % 3 - 1)
    return Opened(_in_space(points), number.reshape(cells.shape), node)


def require_known(file: Path) -> None:
    """Refuse a file whose suffix does not stand for a known format.

    Raises:
        InputError: unless the suffix is one of `SUFFIXES`.
    """
    if file.suffix.lower() not in SUFFIXES:
        raise InputError(
            f"Results are exported as {', '.join(SUFFIXES)}, and '{file}' is none of them."
        )


def export_result(
    result: Result, file: Path, time: float | None = None, network: bool = False
) -> list[str]:
    """Write densities, outer weights and teacher at the nodes, or the neurons of a network.

    Args:
        result: the result to export.
        file: the file to write, whose suffix chooses the format. ``.xdmf`` holds the mesh and all
            snapshots, ``.vtu`` the mesh and one snapshot, ``.csv`` a row for each node and
            snapshot, and ``.npz`` all arrays of the result under their names in result.nc, such as
            "diffusion/density".
        time: writes only the snapshot nearest to this time, dimensionless. None writes all
            snapshots, or the last one to ``.vtu``.
        network: whether to write the neurons, if the result also has a diffusion.

    Returns:
        Lines of text that say what was written.

    Raises:
        InputError: for an unknown suffix, a result that lacks what is to be written, a time
            outside the run, or a network in a format that cannot hold it.
        Unwritable: if the file cannot be written; a file that was there before is kept.
    """
    require_known(file)
    suffix = file.suffix.lower()
    if suffix == ".npz":
        said = _write_arrays(result, file, time)
    else:
        name = "network" if network or result.group("diffusion") is None else "diffusion"
        group = result.group(name)
        if group is None:
            raise InputError(
                "This run has no network to export."
                if network
                else "This run has neither a diffusion nor a network; export its arrays as .npz."
            )
        kept = _kept(group, time, last=suffix == ".vtu")
        said = _WRITERS[suffix](result, kept, file)
    return [*said, f"{suffix[1:]:9} {file}"]


def _kept(group: xr.Dataset, time: float | None, last: bool = False) -> xr.Dataset:
    """A group reduced to the snapshots that are to be written."""
    times = group.snapshot_time.values
    if time is None:
        return group.isel(snapshot=[-1]) if last else group
    if not times[0] <= time <= times[-1]:
        raise InputError(f"--time must lie between {times[0]:g} and {times[-1]:g}, not {time:g}.")
    return group.isel(snapshot=[int(np.argmin(np.abs(times - time)))])


def _write_arrays(result: Result, file: Path, time: float | None) -> list[str]:
    arrays: dict[str, Any] = {}
    for name in result.tree.children:
        group = result.group(name)
        assert group is not None
        if "snapshot_time" in group:
            group = _kept(group, time)
        arrays |= {f"{name}/{key}": variable.values for key, variable in group.variables.items()}
    with appearing(file) as partial:
        np.savez_compressed(partial, **arrays)
    return [f"arrays    {', '.join(arrays)}"]


def _write_table(result: Result, group: xr.Dataset, file: Path) -> list[str]:
    """Write a row for each snapshot and each node or neuron."""
    neurons = "neuron" in group.dims
    names = ("outer_weight", "neuron_mass") if neurons else ("density", "outer_weight", "teacher")
    places = group.feature if neurons else group.node_position
    axes = [AXES[k] if places.shape[-1] <= 3 else f"x{k + 1}" for k in range(places.shape[-1])]
    with appearing(file) as partial, partial.open("w", encoding="utf-8") as out:
        out.write(",".join(["time", *axes, *names]) + "\n")
        for snapshot, time in enumerate(group.snapshot_time.values):
            columns = [_at(group[name], snapshot) for name in names]
            place = _at(places, snapshot)
            np.savetxt(out, np.column_stack([np.full(len(place), time), place, *columns]),
                       fmt="%.17g", delimiter=",")  # fmt: skip
    return _told(group, neurons)


def _write_vtu(result: Result, group: xr.Dataset, file: Path) -> list[str]:
    """Write one snapshot: cells with values at the nodes, or the neurons as vertices."""
    meshio, neurons = _meshio(), "neuron" in group.dims
    if neurons:
        feature = _at(group.feature, 0)
        if feature.shape[1] > 3:
            raise InputError(
                f"Neurons of {feature.shape[1]} coordinates cannot be shown in space: export them "
                "as .csv or .npz."
            )
        points, kind, cells = _in_space(feature), "vertex", np.arange(len(feature))[:, None]
        values = {name: _at(group[name], 0) for name in ("outer_weight", "neuron_mass")}
    else:
        shape = opened(result.grid)
        points, kind, cells = shape.points, CELLS[result.grid.manifold.dim], shape.cells
        values = _nodal(group, 0, shape.node)
    with appearing(file) as partial:
        meshio.write(partial, meshio.Mesh(points, [(kind, cells)], point_data=values), "vtu")
    return _told(group, neurons, 1 if neurons else result.grid.degree)


def _write_xdmf(result: Result, group: xr.Dataset, file: Path) -> list[str]:
    """Write all snapshots on one mesh, as text in a single file."""
    if "neuron" in group.dims:
        raise InputError(
            "Neurons move, and .xdmf holds one mesh for all times: export them as .vtu, .csv or "
            ".npz."
        )
    _meshio()
    from meshio.xdmf import TimeSeriesWriter

    shape = opened(result.grid)
    with (
        appearing(file) as partial,
        TimeSeriesWriter(partial, data_format="XML") as writer,
    ):
        writer.write_points_cells(shape.points, [(CELLS[result.grid.manifold.dim], shape.cells)])
        for topology in writer.xdmf_file.iter("Topology"):  # meshio leaves it out for lines
            topology.set("NodesPerElement", str(shape.cells.shape[1]))
        for snapshot, time in enumerate(group.snapshot_time.values):
            writer.write_data(float(time), point_data=_nodal(group, snapshot, shape.node))
    return _told(group, False, result.grid.degree)


# functions that write a file, by suffix; they take the result, the group with the snapshots to
# write, and the file
_WRITERS: dict[str, Callable[[Result, xr.Dataset, Path], list[str]]] = {
    ".xdmf": _write_xdmf,
    ".vtu": _write_vtu,
    ".csv": _write_table,
}


def _nodal(group: xr.Dataset, snapshot: int, node: Index) -> dict[str, Array]:
    """The values of a snapshot at points, given the index of the node of each point."""
    names = ("density", "outer_weight", "teacher")
    return {name: _at(group[name], snapshot)[node] for name in names}


def _at(variable: xr.DataArray, snapshot: int) -> Array:
    """The values of a variable at a snapshot, or its only values if it does not depend on time."""
    if "snapshot" in variable.dims:
        variable = variable.isel(snapshot=snapshot)
    return np.asarray(variable.values)


def _told(group: xr.Dataset, neurons: bool, degree: int = 1) -> list[str]:
    """Lines of text that say what a file holds.

    Args:
        group: the group that was written.
        neurons: whether it is a network.
        degree: the degree of the elements, if the file has cells.
    """
    times = group.snapshot_time.values
    span = f"t = {times[0]:g}" if len(times) == 1 else f"{len(times)} times to t = {times[-1]:g}"
    if neurons:
        return [f"neurons   {group.sizes['neuron']}, {span}"]
    nodes = [f"nodes     {group.sizes['node']}, {span}"]
    if degree == 1:
        return nodes
    return [
        *nodes,
        f"corners   only, in linear cells: of the elements of degree {degree} the other nodes are "
        "in .csv and .npz",
    ]


def _in_space(points: Array) -> Array:
    """Points ``(n, k)`` with k <= 3 as points ``(n, 3)`` whose other coordinates are 0."""
    return np.hstack([points, np.zeros((len(points), 3 - points.shape[1]))])


def _meshio() -> Any:
    try:
        import meshio
    except ImportError as error:
        raise InputError(
            "Files for ParaView need meshio: install it with `pip install 'uf-diffusion[fem]'` "
            f"({error})."
        ) from None
    return meshio
