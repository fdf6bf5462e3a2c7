"""Distances of a network to a large field, from the file of all its nodes in a run's folder."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import numpy as np
import xarray as xr
from scipy.spatial import cKDTree

from uf_diffusion.core import mpi
from uf_diffusion.core.arrays import Array
from uf_diffusion.core.errors import InputError
from uf_diffusion.distances.large_fields import Field, field_energy_distances
from uf_diffusion.grids.base import Grid
from uf_diffusion.results.hdf5 import require_plain
from uf_diffusion.results.netcdf import require_sealed
from uf_diffusion.results.pieces import reading
from uf_diffusion.runs.folders import WHOLE_FIELDS

__all__ = ["WholeDistances", "whole_distances"]

SAME = 1e-9  # distance of two nodes that are one, relative to the largest coordinate


class WholeDistances(NamedTuple):
    """What is measured with all nodes of a large field at k times; nothing by default.

    Attributes:
        energy_distance: the energy distance of the network to the field, ``(k,)``; None if the
            coarse picture has to do, see `field_energy_distances`.
        outer_weight: the field's outer weight at the features of the neurons, ``(k, n)``; None for
            elements of higher degree.
    """

    energy_distance: Array | None = None
    outer_weight: Array | None = None


class _Asked(NamedTuple):
    """What all ranks need to know: the file, the number of its nodes, its rows at the snapshot
    times ``(k,)``, the network's features ``(k, n, ambient)`` and masses ``(n,)``, and what
    `Grid.around` says of these features, None for elements of higher degree.
    """

    path: Path
    nodes: int
    rows: list[int]
    feature: Array
    masses: Array
    around: tuple[Array, Array] | None


def whole_distances(
    grid: Grid, folder: Path | None, diffusion: xr.Dataset | None, network: xr.Dataset | None
) -> WholeDistances:
    """What can be measured piece by piece. Call it on all ranks.

    Args:
        grid: the mesh of the whole field.
        folder: the folder of the run that solved the diffusion; None if it has none.
        diffusion, network: the groups /diffusion and /network with the same snapshot times on rank
            0, and None on other ranks.

    Returns:
        The same on all ranks; nothing if the group /diffusion has all nodes, or there is no file of
        all nodes.

    Raises:
        InputError: if the file is damaged, or not that of this diffusion.
    """
    asked = mpi.from_root(lambda: _asked(grid, folder, diffusion, network))
    if asked is None:
        return WholeDistances()
    with ExitStack() as stack:
        position, measure, density, outer_weight = (
            stack.enter_context(reading(asked.path, name))[1]
            for name in ("node_position", "node_measure", "density", "outer_weight")
        )

        def points(where: slice) -> Array:
            return position((where,))

        def masses(where: slice, q: int) -> Array:
            return density((asked.rows[q], where)) * measure((where,))

        def weights(where: slice, q: int) -> Array:
            return outer_weight((asked.rows[q], where))

        field = Field(grid.manifold, asked.nodes, points, masses)
        energy = field_energy_distances(field, asked.feature, asked.masses)
        outer = _interpolated(field, weights, asked)
    return WholeDistances(energy, outer)


def _interpolated(
    field: Field, values: Callable[[slice, int], Array], asked: _Asked
) -> Array | None:
    """The values ``(k, n)`` of a field at the features, from those at the corners of their cells.

    Each rank looks for these corners among the nodes of its pieces.
    """
    if asked.around is None:
        return None
    corners, shares = asked.around
    k, n, ambient = asked.feature.shape
    wanted, same = corners.reshape(k, -1, ambient), SAME * np.abs(corners).max()
    found, times = np.zeros(wanted.shape[:2]), np.zeros(wanted.shape[:2])
    for where in field.own:
        nodes = cKDTree(field.points(where))
        for q, points in enumerate(wanted):
            distance, place = (np.asarray(each) for each in nodes.query(points))
            here = distance <= same
            found[q, here] = values(where, q)[place[here]]
            times[q] += here
    found, times = field.share.sum(found), field.share.sum(times)
    if not (times == 1).all():
        raise InputError(f"'{asked.path}' does not have the nodes of this mesh.")
    return np.asarray((found.reshape(k, n, -1) * shares.reshape(k, n, -1)).sum(axis=2))


def _asked(
    grid: Grid, folder: Path | None, diffusion: xr.Dataset | None, network: xr.Dataset | None
) -> _Asked | None:
    assert diffusion is not None and network is not None
    if folder is None or "whole_nodes" not in diffusion.attrs:
        return None
    path, nodes = folder / WHOLE_FIELDS, int(diffusion.attrs["whole_nodes"])
    if not path.exists():
        return None
    require_sealed(path)
    require_plain(path)
    with reading(path, "density") as (shape, _), reading(path, "snapshot_time") as (_, read):
        times = read((slice(None),))
    wanted = diffusion.snapshot_time.values
    rows = [int(np.abs(times - t).argmin()) for t in wanted]
    if shape != (len(times), nodes) or not np.array_equal(times[rows], wanted):
        raise InputError(f"'{path}' does not have the fields of this diffusion.")
    x, masses = network.feature.values, network.neuron_mass.values
    around = grid.around(x.reshape(-1, x.shape[2])) if grid.degree == 1 else None
    return _Asked(path, nodes, rows, x, masses, around)
