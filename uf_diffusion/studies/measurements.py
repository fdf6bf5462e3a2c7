"""The quantities that studies measure in a run and its reference, all dimensionless.

Each is a function of the result, the reference's result and the value of the swept parameter. It
is taken at the last snapshot unless its docstring says otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from uf_diffusion.core.errors import InputError
from uf_diffusion.core.threads import blocks_of
from uf_diffusion.distances.energy_distances import energy_distance
from uf_diffusion.distances.ring_energies import energies_on
from uf_diffusion.runs.result import Result

__all__ = [
    "Measurement",
    "compared",
    "decay_rate",
    "density_error",
    "displacement",
    "energy_between",
    "energy_to_density",
    "energy_to_network",
    "modes_left_out",
    "slowest_mode",
    "weight_difference",
    "weight_error",
]

Measurement = Callable[[Result, Result, float], float]

DEGENERATE = 5e-3  # eigenvalues that differ by less than this fraction count as one multiple one


def energy_to_network(run: Result, reference: Result, value: float) -> float:
    """Energy distance between two networks."""
    a, b = run.tree["network"], reference.tree["network"]
    return energy_distance(
        a.feature.values[-1], b.feature.values[-1], a.neuron_mass.values, b.neuron_mass.values,
        manifold=run.manifold,
    )  # fmt: skip


def energy_to_density(t: float = math.inf) -> Measurement:
    """Measures the energy distance between a network and the reference's density as a function.

    On tori of two and more dimensions it is that of a product of circles, see `EnergyModes`.

    Args:
        t: time, dimensionless; the snapshot nearest to it is taken.
    """

    def measure(run: Result, reference: Result, value: float) -> float:
        a, b = run.tree["network"], reference.tree["diffusion"]
        times = b.snapshot_time.values
        k = int(np.argmin(np.abs(times - min(t, times[-1]))))
        energy: Any = energies_on(reference.grid, reference.meridian)
        [density] = energy.densities(reference.grid, b.density.values[[k]])
        cloud = energy.atoms(a.feature.values[k], a.neuron_mass.values)
        return float(energy.between(cloud, density))

    return measure


def energy_between(run: Result, reference: Result, value: float) -> float:
    """Energy distance between two densities as functions; see `energy_to_density`."""
    energy, mu, nu = _images(run, reference)
    return float(energy.between(mu, nu))


def modes_left_out(run: Result, reference: Result, value: float) -> float:
    """A bound of what `energy_between` leaves out."""
    energy, mu, nu = _images(run, reference)
    return float(energy.left_out(mu, nu))


def _images(run: Result, reference: Result) -> tuple[Any, Any, Any]:
    """The energy distance on the finer mesh, and both densities in its coordinates."""
    grid = min(run.grid, reference.grid, key=lambda g: g.spacing)
    energy: Any = energies_on(grid, reference.meridian)
    last = ((r.grid, r.tree["diffusion"].density.values[[-1]]) for r in (run, reference))
    return energy, *(energy.densities(*each)[0] for each in last)


def displacement(run: Result, reference: Result, value: float) -> float:
    """Root mean square geodesic distance between the neurons of two networks of the same start."""
    a, b = run.tree["network"], reference.tree["network"]
    x, y, distance = a.feature.values[-1], b.feature.values[-1], run.manifold.distance
    blocks = [np.diagonal(distance(x[rows], y[rows])) for rows in blocks_of(len(x), 64)]
    return math.sqrt(float(a.neuron_mass.values @ np.concatenate(blocks) ** 2))


def weight_error(run: Result, reference: Result, value: float) -> float:
    """Root mean square over the neurons of u_i - u(omega_i), u of the reference's equation."""
    a, b = run.tree["network"], reference.tree["diffusion"]
    limit = reference.grid.interpolate(b.outer_weight.values[-1], a.feature.values[-1])
    return math.sqrt(float(a.neuron_mass.values @ (a.outer_weight.values[-1] - limit) ** 2))


def weight_difference(run: Result, reference: Result, value: float) -> float:
    """Root mean square over the run's density of the difference of two equations' u."""
    a, b = run.tree["diffusion"], reference.tree["diffusion"]
    there = reference.grid.interpolate(b.outer_weight.values[-1], a.node_position.values)
    mass = a.node_measure.values * a.density.values[-1]
    return math.sqrt(float(mass @ (a.outer_weight.values[-1] - there) ** 2))


def density_error(run: Result, reference: Result, value: float) -> float:
    """L2 norm of the difference of two densities, by quadrature at the reference's nodes."""
    a, b = run.tree["diffusion"], reference.tree["diffusion"]
    there = run.grid.interpolate(a.density.values[-1], b.node_position.values)
    error = there - b.density.values[-1]
    return math.sqrt(float(b.node_measure.values @ error**2))


def compared(name: str) -> Measurement:
    """Measures a distance that the run's group /comparison contains under this name."""
    return lambda run, _, value: float(run.tree["comparison"].to_dataset()[name][-1])


def decay_rate(run: Result, reference: Result, value: float) -> float:
    """The rate f''(1) lambda_1 of the run's problem.

    Raises:
        InputError: when the mesh was too fine for lambda_1 to be computed.
    """
    rate = run.tree["diffusion"].attrs.get("decay_rate")
    if rate is None:
        raise InputError("lambda_1 is not computed on so fine a mesh: use fewer diffusion.cells.")
    return float(rate)


def slowest_mode(run: Result, reference: Result, value: float) -> float:
    """Norm of the projection of mu/nu - 1 onto the eigenspace of lambda_1.

    The time is value / (f''(1) lambda_1). Between snapshots the logarithm of the norm is
    interpolated linearly; after the last snapshot the result is NaN.

    Raises:
        InputError: as `decay_rate`.
    """
    d, s = run.tree["diffusion"], reference.tree["spectrum"]
    first = s.eigenvalue.values < (1 + DEGENERATE) * s.eigenvalue.values[0]
    weighted = (d.density.values - d.teacher.values) * d.node_measure.values
    amplitude = np.linalg.norm(weighted @ s.eigenfunction.values[first].T, axis=1)
    logarithm = np.log(np.maximum(amplitude, np.finfo(float).tiny))
    clock = d.snapshot_time.values * decay_rate(run, reference, value)
    return math.exp(float(np.interp(value, clock, logarithm, right=math.nan)))
