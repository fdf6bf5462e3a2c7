"""Distances and risks of a run at its snapshot times, as jobs that take the results of other runs.

A comparison of many networks with few diffusions solves each diffusion once in this way, and trains
each network once. Each job returns a result with the group /measured, whose variables have the
dimension "snapshot" and are dimensionless.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from scipy.interpolate import PchipInterpolator

from uf_diffusion.core.arrays import Array
from uf_diffusion.distances.ring_energies import energies_on
from uf_diffusion.results.names import dataset
from uf_diffusion.runs.comparing import distances, energies
from uf_diffusion.runs.config import Config
from uf_diffusion.runs.result import Result
from uf_diffusion.runs.setup import Setup
from uf_diffusion.runs.training import neurons

__all__ = ["at_clock_times", "measure_both", "measure_diffusion", "measure_network"]


def at_clock_times(config: Config) -> Config:
    """The configuration with the snapshot times that both sides of a comparison have.

    Raises:
        InputError: as `Config.clock_times`.
    """
    times = config.clock_times()
    if np.array_equal(times, config.times()):
        return config
    return config.changed(
        problem={"t_end": float(times[-1])}, diffusion={"snapshots": times.tolist()}
    )


def measure_diffusion(setup: Setup, solution: Result) -> Result:
    """What the equation alone says: its risk, and its distance to the teacher.

    Args:
        setup: the objects of the run.
        solution: the result of `solve`.
    """
    d = solution.tree["diffusion"].to_dataset()
    grid = solution.grid
    energy: Any = energies_on(grid, setup.problem.meridian)
    [teacher] = energy.densities(grid, d.teacher.values[None])
    images = energy.densities(grid, d.density.values)
    ratio = d.density.values / d.teacher.values
    return _measured(
        setup,
        energy_distance_diffusion_teacher=[energy.between(image, teacher) for image in images],
        risk_diffusion=_between_steps(d.time.values, d.risk.values, d.snapshot_time.values),
        ratio_range=np.ptp(ratio, axis=1),
    )


def measure_network(setup: Setup, network: Result) -> Result:
    """What the network alone says: its risk, and its distance to the teacher's neurons.

    Args:
        setup: the objects of the run.
        network: the result of `train`.
    """
    group = network.tree["network"].to_dataset()
    found = energies(setup.problem, None, group, neurons(setup).teacher)
    return _measured(
        setup,
        energy_distance_teacher=found["energy_distance_teacher"][1],
        risk_network=_risk(group),
    )


def measure_both(setup: Setup, solution: Result, network: Result) -> Result:
    """The distances of a comparison, and the network's risk.

    Args:
        setup: the objects of the run.
        solution: the result of `solve` at the snapshot times of the network.
        network: the result of `train`.
    """
    group = network.tree["network"].to_dataset()
    diffusion = solution.tree["diffusion"].to_dataset()
    found = distances(setup.problem, solution.grid, diffusion, group, neurons(setup).teacher)
    values = {str(k): v.values for k, v in found.drop_vars("time").data_vars.items()}
    return _measured(setup, **values, risk_network=_risk(group))


def _measured(setup: Setup, **values: Any) -> Result:
    group = dataset(**{name: (("snapshot",), value) for name, value in values.items()})
    return Result(setup, xr.DataTree.from_dict({"/measured": group}))


def _risk(network: xr.Dataset) -> Array:
    """The risk ``(snapshots,)`` at the steps whose times are those of the snapshots."""
    t, times = network.time.values, network.snapshot_time.values
    steps = np.rint(np.interp(times, t, np.arange(len(t)))).astype(int)
    return np.asarray(network.risk.values[steps])


def _between_steps(t: Array, values: Array, times: Array) -> Array:
    """Values ``(steps,)`` at other times, by monotone cubic interpolation (Fritsch and Carlson)."""
    return np.asarray(PchipInterpolator(t, values)(np.clip(times, t[0], t[-1])))
