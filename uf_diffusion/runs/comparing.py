"""Distances over time of a network to a diffusion and to the teacher."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import xarray as xr

from uf_diffusion.core.arrays import Array
from uf_diffusion.distances.energy_distances import energy_distance_series, negative_type
from uf_diffusion.distances.height_laws import bandwidth, divergences, smoothed_law
from uf_diffusion.distances.measures import Measure
from uf_diffusion.distances.named import w2
from uf_diffusion.distances.symmetric import angle_wasserstein, ring_energy_distances
from uf_diffusion.grids.base import Grid
from uf_diffusion.kernels.feature_maps import Atoms
from uf_diffusion.problem import Problem
from uf_diffusion.problem.manifolds import Manifold
from uf_diffusion.problem.symmetry import Meridian
from uf_diffusion.results.names import dataset
from uf_diffusion.runs.whole_fields import WholeDistances

__all__ = ["distances", "energies"]

NOTHING = WholeDistances()
W2_PAIRS = 2**24  # largest neurons x nodes for which W2 takes only a few seconds per snapshot


def distances(
    problem: Problem, grid: Grid, diffusion: xr.Dataset, network: xr.Dataset, teacher: Atoms,
    whole: WholeDistances = NOTHING,
) -> xr.Dataset:  # fmt: skip
    """The group /comparison of a diffusion and a network with the same snapshot times.

    Args:
        problem: the problem, whose manifold and axis define the distances.
        grid: the diffusion's mesh, which interpolates its outer weight to the neurons.
        diffusion, network: the groups /diffusion and /network of a result.
        teacher: the teacher's neurons.
        whole: what was measured with all nodes of a large field.

    Returns:
        The group. For a large field it has the attributes "whole_nodes", the number of all nodes,
        and "from_whole", the names of the variables that were measured with all of them.
    """
    limit = whole.outer_weight
    if limit is None:
        outer = zip(diffusion.outer_weight.values, network.feature.values, strict=True)
        limit = np.array([grid.interpolate(u, x) for u, x in outer])
    error = np.median(np.abs(network.outer_weight.values - limit), axis=1)
    if (meridian := problem.meridian) is None:
        found = _w2_distances(problem.manifold, diffusion, network)
    else:
        found = _of_angles(meridian, diffusion, network)
    return dataset(
        **energies(problem, diffusion, network, teacher, whole),
        **{name: (("snapshot",), values) for name, values in found.items()},
        outer_weight_error=(("snapshot",), error),
    ).assign_attrs(
        negative_type=int(negative_type(problem.manifold)),
        **_nodes(diffusion, whole),
    )


def energies(
    problem: Problem, diffusion: xr.Dataset | None, network: xr.Dataset, teacher: Atoms,
    whole: WholeDistances = NOTHING,
) -> dict[str, Any]:  # fmt: skip
    """The energy distances of `distances` and their times, as arguments of `dataset`.

    Without a diffusion only the distance to the teacher is computed.
    """
    feature, masses = network.feature.values, network.neuron_mass.values
    manifold, meridian = problem.manifold, problem.meridian
    rows = np.broadcast_to(teacher.weights, (len(feature), len(teacher.points)))
    to_teacher = energy_distance_series(feature, teacher.points, rows, manifold, masses)
    found: dict[str, Any] = {"time": (("snapshot",), network.snapshot_time.values)}
    found["energy_distance_teacher"] = (("snapshot",), to_teacher)
    if diffusion is None:
        return found
    node, mass = diffusion.node_position.values, _masses(diffusion)
    if whole.energy_distance is not None:
        value = whole.energy_distance
    elif meridian is None:
        value = energy_distance_series(feature, node, mass, manifold, masses)
    else:
        axis = np.array(meridian.direction)
        value = ring_energy_distances(feature, masses, axis, meridian.angle(node), mass)
    found["energy_distance_diffusion"] = (("snapshot",), value)
    return found


def _nodes(diffusion: xr.Dataset, whole: WholeDistances) -> dict[str, Any]:
    """The attributes that `distances` gives the distances to a large field."""
    if "whole_nodes" not in diffusion.attrs:
        return {}
    both = {"energy_distance_diffusion": whole.energy_distance,
            "outer_weight_error": whole.outer_weight}  # fmt: skip
    names = " ".join(name for name, values in both.items() if values is not None)
    return {"whole_nodes": diffusion.attrs["whole_nodes"], "from_whole": names}


def _masses(diffusion: xr.Dataset) -> Array:
    """The masses of the nodes at the snapshot times, ``(snapshots, nodes)``; rows sum to 1."""
    mass = diffusion.density.values * diffusion.node_measure.values
    return np.asarray(mass / mass.sum(axis=1, keepdims=True))


def _w2_distances(
    manifold: Manifold, diffusion: xr.Dataset, network: xr.Dataset
) -> dict[str, list[float]]:
    """W_2 to a density on a mesh of the whole manifold."""
    node, masses = diffusion.node_position.values, network.neuron_mass.values
    pairs = zip(network.feature.values, _masses(diffusion), strict=True)
    return {"w2_diffusion": [
        _w2(Measure(manifold, x, masses), Measure(manifold, node, m)) for x, m in pairs
    ]}  # fmt: skip


def _of_angles(
    meridian: Meridian, diffusion: xr.Dataset, network: xr.Dataset
) -> dict[str, list[float]]:
    """Distances between the laws of angle and height, blind to what rotations change."""
    node, masses = meridian.angle(diffusion.node_position.values), network.neuron_mass.values
    found: dict[str, list[float]] = {}
    for feature, mass in zip(network.feature.values, _masses(diffusion), strict=True):
        angle = meridian.angle(feature)
        values = {f"w{p}_lower": angle_wasserstein(angle, masses, node, mass, p) for p in (1, 2)}
        width = bandwidth(np.cos(angle), masses)
        laws = (smoothed_law(np.cos(a), m, width) for a, m in ((angle, masses), (node, mass)))
        values |= {f"{name}_height": value for name, value in divergences(*laws).items()}
        for name, value in values.items():
            found.setdefault(name, []).append(value)
    return found


def _w2(mu: Measure, nu: Measure) -> float:
    """The 2-Wasserstein distance, or NaN if it would take more than a few seconds."""
    if mu.manifold.dim > 1 and len(mu.points) * len(nu.points) > W2_PAIRS:
        return math.nan
    return w2(mu, nu).value
