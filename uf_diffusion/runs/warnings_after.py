"""Warnings after a run: reasons not to trust its numbers, found in the result alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import xarray as xr

from uf_diffusion.grids.mesh_quality import inspect_mesh
from uf_diffusion.grids.triangulations import Triangulation
from uf_diffusion.problem.manifolds import Sphere
from uf_diffusion.runs.checks import checks
from uf_diffusion.runs.config import Config, DiffusionConfig
from uf_diffusion.runs.result import result_of
from uf_diffusion.runs.warnings_before import blindness

__all__ = ["findings"]

TRUNCATION = 0.1  # tolerated error of the outer weights, which are of order 1
ERROR = 0.01  # tolerated estimated error of the density in L1
LOCAL = 0.2  # tolerated largest error as a fraction of the density there
SLIGHT = 0.05  # a largest error below this fraction of the mean density is tolerated everywhere


def findings(result: Any) -> list[str]:
    """One sentence for each reason not to trust a result, with a number and a remedy.

    Args:
        result: a `Result`, or the xarray tree of a result.nc.

    Raises:
        InputError: as `checks`.
    """
    result = result_of(result)
    parts = [check.sentence for check in checks(result) if check.holds is False]
    for name, look in (
        ("diffusion", _diffusion), ("network", _network), ("comparison", _comparison),
    ):  # fmt: skip
        if (group := result.group(name)) is not None:
            parts += look(result.config, group)
    return parts


def _diffusion(config: Config, d: xr.Dataset) -> Iterator[str]:
    if "cell" in d:
        surface = Triangulation(Sphere(2), d.node_position.values, d.cell.values)
        yield from inspect_mesh(surface).warnings
    if {"mesh_error", "mesh_error_max", "mesh_error_node"} <= set(d):
        yield from _mesh_error(config, d)
    if "time_error" in d and (error := float(d.time_error.max())) > ERROR:
        yield (
            f"The time steps leave an error of the density of about {error:.2g} in L1: "
            f"use a smaller diffusion.{_pace(config.diffusion)}."
        )


def _pace(d: DiffusionConfig) -> str:
    """The key that sets the time steps."""
    return "tolerance" if d.tolerance else "step" if d.step else "rtol"


def _mesh_error(config: Config, d: xr.Dataset) -> Iterator[str]:
    worst, mean = int(np.argmax(d.mesh_error_max.values)), 1 / float(d.node_measure.sum())
    node = np.nan_to_num(d.mesh_error_node.values[worst], nan=-1.0)
    there = float(d.density[worst, int(np.clip(node, 0, d.sizes["node"] - 1))])
    error, most = float(d.mesh_error.max()), float(d.mesh_error_max[worst])
    if error > ERROR or most > max(LOCAL * there, SLIGHT * mean):
        finer = "a diffusion.mesh that is finer there" if "cell" in d else "more diffusion.cells"
        finer = "a smaller diffusion.tolerance" if config.diffusion.tolerance else finer
        yield (
            f"The mesh leaves an error of the density of about {error:.2g} in L1, and of "
            f"{most:.2g} at a place where it is {there:.2g} (t = "
            f"{float(d.snapshot_time[worst]):.3g}): use {finer}."
        )


def _network(config: Config, n: xr.Dataset) -> Iterator[str]:
    error = n.attrs["truncation_error"]
    if not error <= TRUNCATION:  # also NaN
        yield (
            f"The truncated kernel may move the outer weights by {error:.2g} (root mean square); "
            "use a smaller network.truncation."
        )
    if n.sizes["snapshot"] < len(config.times()):
        yield (
            f"There are {n.sizes['snapshot']} snapshots of the network, not {len(config.times())}: "
            "network.step is longer than the time between them."
        )


def _comparison(config: Config, c: xr.Dataset) -> Iterator[str]:
    yield from blindness(config, c.attrs)
    if "w2_diffusion" in c and np.isnan(c.w2_diffusion.values).any():
        yield (
            "W2 to the diffusion was not computed, as it would take long: "
            "use fewer diffusion.cells or a smaller network.width."
        )
    if not c.attrs["negative_type"] and (c.energy_distance_diffusion.values == 0).any():
        yield (
            "An energy distance of 0 stands for a negative square: of wrapped differences on tori "
            "it is no metric; trust W2."
        )
