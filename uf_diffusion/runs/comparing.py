"""Distances over time of a network to a diffusion and to the teacher."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import xarray as xr

from uf_diffusion.core.arrays import Array
from uf_diffusion.distances.energy_distances import energy_distance_series, negative_type
from uf_diffusion.distances.measures import Measure
from uf_diffusion.distances.named import w2
from uf_diffusion.grids.base import Grid
from uf_diffusion.kernels.feature_maps import Atoms
from uf_diffusion.problem.manifolds import Manifold
from uf_diffusion.results.names import dataset

__all__ = ["distances", "energies"]

W2_PAIRS = 2**24  # largest neurons x nodes for which W2 takes only a few seconds per snapshot


def distances(
    manifold: Manifold, grid: Grid, diffusion: xr.Dataset, network: xr.Dataset, teacher: Atoms
) -> xr.Dataset:
    """The group /comparison of a diffusion and a network with the same snapshot times.

    Args:
        manifold: the feature space, which defines the distances.
        grid: the diffusion's mesh, which interpolates its outer weight to the neurons.
        diffusion, network: the groups /diffusion and /network of a result.
        teacher: the teacher's neurons.
    """
    node, feature = diffusion.node_position.values, network.feature.values
    mass = diffusion.density.values * diffusion.node_measure.values
    masses = network.neuron_mass.values
    outer = zip(
        network.outer_weight.values, diffusion.outer_weight.values, feature, strict=True
    )  # fmt: skip
    error = [np.median(np.abs(u - grid.interpolate(limit, x))) for u, limit, x in outer]
    return dataset(
        **energies(manifold, diffusion, network, teacher),
        w2_diffusion=(
            ("snapshot",),
            [
                _w2(Measure(manifold, x, masses), Measure(manifold, node, m / m.sum()))
                for x, m in zip(feature, mass, strict=True)
            ],
        ),
        outer_weight_error=(("snapshot",), error),
    ).assign_attrs(negative_type=int(negative_type(manifold)))


def energies(
    manifold: Manifold, diffusion: xr.Dataset | None, network: xr.Dataset, teacher: Atoms
) -> dict[str, Any]:
    """The energy distances of `distances` and their times, as arguments of `dataset`.

    Without a diffusion only the distance to the teacher is computed.
    """
    feature, masses = network.feature.values, network.neuron_mass.values

    def to(points: Array, weights: Array) -> tuple[tuple[str], Array]:
        rows = np.broadcast_to(weights, (len(feature), len(points)))
        return ("snapshot",), energy_distance_series(feature, points, rows, manifold, masses)

    found: dict[str, Any] = {"time": (("snapshot",), network.snapshot_time.values)}
    found["energy_distance_teacher"] = to(teacher.points, teacher.weights)
    if diffusion is not None:
        mass = diffusion.density.values * diffusion.node_measure.values
        found["energy_distance_diffusion"] = to(diffusion.node_position.values, mass)
    return found


def _w2(mu: Measure, nu: Measure) -> float:
    """The 2-Wasserstein distance, or NaN if it would take more than a few seconds."""
    if mu.manifold.dim > 1 and len(mu.points) * len(nu.points) > W2_PAIRS:
        return math.nan
    return w2(mu, nu).value
