"""The names of all variables and distances of a result, as its readers see them."""

from __future__ import annotations

from typing import Any, NamedTuple

import h5netcdf  # noqa: F401 (its HDF5 must be loaded before DOLFINx loads another one)
import numpy as np
import xarray as xr

__all__ = ["COMPARED", "ERRORS", "dataset", "measured", "nodes_of_distances"]

# long name of each variable, stored in result.nc
LONG_NAMES = {
    "time": "time of the step, or of the snapshot",
    "step_size": "length of the step that led here",
    "mass": "integral of the density",
    "risk": "risk: integral of f(teacher/density) against the density, or reduced risk L",
    "min_ratio": "minimum of density / teacher",
    "max_ratio": "maximum of density / teacher",
    "newton_iterations": "Newton iterations of the step",
    "linear_iterations": "iterations of the linear solver in the step",
    "stage_error": "relative error of u that Newton's method left in the step's stages, as "
    "estimated; of an equation of transport the misplaced mass",
    "dissipation": "rate at which the risk falls, integral of mu |grad G|^2 (transport only)",
    "snapshot_time": "time of the snapshot",
    "node_position": "mesh nodes, coordinates of the embedding (of the chart on a torus)",
    "cell": "triangles, node numbers (meshes from files only)",
    "node_measure": "lumped volume of the node",
    "teacher": "teacher density at the node",
    "density": "density mu at the node",
    "outer_weight": "outer weight u: teacher / density without constraint, or u_i of the neuron",
    "truncation_error": "bound of the error of u that a truncated kernel causes, root mean square",
    "mesh_error": "estimated L1 norm of the density's error that the mesh leaves",
    "mesh_error_max": "estimated maximum of the density's error that the mesh leaves",
    "mesh_error_node": "node of the largest error that the mesh leaves",
    "time_error": "estimated L1 norm of the density's error that the time steps leave",
    "time_error_max": "estimated maximum of the density's error that the time steps leave",
    "eigenvalue": "eigenvalues: of the weighted Laplacian -(1/nu) div(nu grad), the non-zero ones; "
    "or of the kernel of infinitely many inputs against the uniform probability measure",
    "eigenfunction": "eigenfunctions, integral of e^2 nu equal to 1",
    "degree": "degree of the harmonics, or length |k| of the waves",
    "wave": "degree, or wave k, up to signs and order, that has the largest part in the function",
    "multiplicity": "number of eigenfunctions",
    "learnt": "factor by which a mode is learnt at lambda, eigenvalue / (eigenvalue + lambda)",
    "teacher_share": "share in the teacher's squared L2 norm without the constant",
    "initial_share": "share in the initial density's squared L2 norm without the constant",
    "training_error": "mean squared error of the outputs at the inputs of the training",
    "held_out_error": "mean squared error of the outputs at the inputs that are held out",
    "neuron_mass": "masses of the neurons, summing to 1",
    "feature": "features omega of the neurons",
    "energy_distance_teacher": "energy distance of the network to the teacher's neurons",
    "energy_distance_diffusion": "energy distance of the network to the diffusion",
    "w2_diffusion": "2-Wasserstein distance of the network to the diffusion; none where too costly",
    "w1_lower": "1-Wasserstein distance of the laws of the angle to the axis, a lower bound",
    "w2_lower": "2-Wasserstein distance of the laws of the angle to the axis, a lower bound",
    "chi2_height": "chi^2 of the smoothed laws of the height, network against diffusion",
    "kl_height": "KL divergence of the smoothed laws of the height, network against diffusion",
    "l1_height": "L1 distance of the smoothed laws of the height",
    "source": "the approximation that an entry of the error budget belongs to",
    "contribution": "energy distance that an approximation adds; tori of two and more dimensions "
    "are products of circles there",
    "signed": "share of an approximation in the whole distance, negative where it brings the "
    "network closer to the diffusion; the shares sum to the whole distance",
    "floor": "what a distance cannot resolve: of neurons their distance to the density they stand "
    "for at the start, of densities a bound of the modes that are left out",
    "contribution_w2": "2-Wasserstein distance of neighbouring problems (one dimension only)",
    "total": "energy distance of the network to the diffusion, measured as the contributions",
    "total_w2": "2-Wasserstein distance of the network to the diffusion (one dimension only)",
    "outer_weight_error": "median of |u_i - u| over the neurons, u of the diffusion there",
    "entry": "parts of the work; 'diffusion: ...' is a part of the set-up or the diffusion",
    "seconds": "wall-clock time since the run began or was resumed",
    "calls": "how many times",
    # deep networks
    "method": "how the network was trained",
    "batch": "inputs of a minibatch",
    "epoch": "passes over the data",
    "accuracy": "part of the inputs of the test whose largest output is that of their class",
    "minibatch_risk": "risk of the minibatches before their steps, mean over an epoch",
    # studies
    "energy_distance_diffusion_teacher": "energy distance of the diffusion to the teacher, both as "
    "densities",
    "risk_diffusion": "risk of the diffusion, by monotone cubic interpolation between its steps",
    "risk_network": "reduced risk of the network",
    "ratio_range": "maximum minus minimum of density / teacher",
    "seed": "seed of all random numbers",
    "local_order_first": "order between the first two values of the axis, of the median over seeds",
    "local_order_last": "order between the last two values of the axis, of the median over seeds",
    "quantity": "names of the measured quantities",
    "series": "names of the curves",
    "value": "values of the swept parameter",
    "abscissa": "horizontal axis: see attribute label",
    "order": "fitted order: of a power of the abscissa, or of an exponential (attribute law)",
    "order_low": "lower end of the order's 95 % confidence interval; none with a single seed",
    "order_high": "upper end of the order's 95 % confidence interval; none with a single seed",
    "local_order": "order between this value and the one before, of the median over the seeds",
    "order_limit": "order that the local orders tend to; not a number where that cannot be said",
    "factor": "what the fitted power or exponential is multiplied by",
    "expected_order": "order that the theory predicts, not a number where it predicts none",
    "energy_distance": "energy distance to the reference",
    "displacement": "root mean square displacement of the neurons from the reference",
    "density_error": "L2 norm of the density's error",
    "outer_weight_rms": "root mean square difference of outer weights",
    "decay_rate": "f''(1) lambda_1, the rate of the last decay",
    "slowest_mode": "norm of density/teacher - 1 in the eigenspace of lambda_1",
}


class Named(NamedTuple):
    """The name of a distance in a legend, and a short form for the head of a narrow column."""

    text: str
    short: str


# the distances that a comparison measures, by the names of their variables
COMPARED = {
    "energy_distance_teacher": Named("energy distance to the teacher", "E(teacher)"),
    "energy_distance_diffusion": Named("energy distance to the diffusion", "E(diffusion)"),
    "w2_diffusion": Named("W₂ to the diffusion", "W2(diffusion)"),
    "w2_lower": Named("W₂ of the angles, a lower bound", "W2(angles)"),
    "l1_height": Named("L¹ of the heights' smoothed laws", "L1(heights)"),
    "outer_weight_error": Named("median |uᵢ − u(ωᵢ)|", "median|u_i - u|"),
}


# the errors of a network's outputs, by the names of their variables
ERRORS = {
    "training_error": Named("inputs of the training", "training"),
    "held_out_error": Named("inputs that are held out", "held out"),
}


def measured(comparison: xr.Dataset) -> list[str]:
    """The names in `COMPARED` for which a group /comparison has at least one finite number."""
    return [k for k in COMPARED if k in comparison and np.isfinite(comparison[k].values).any()]


def nodes_of_distances(comparison: xr.Dataset) -> str:
    """A sentence on what a group /comparison measured with all nodes of a large field; empty if the
    field is not large.
    """
    if "whole_nodes" not in comparison.attrs:
        return ""
    whole = comparison.attrs.get("from_whole", "").split()
    names = [name for name in measured(comparison) if name != "energy_distance_teacher"]
    parts = [
        f"{', '.join(COMPARED[name].text for name in names if (name in whole) == among)} {nodes}"
        for among, nodes in (
            (True, f"with all {comparison.attrs['whole_nodes']} nodes"),
            (False, "with those of the coarse picture"),
        )
        if any((name in whole) == among for name in names)
    ]
    return f"Measured: {'; '.join(parts)}."


def dataset(**variables: tuple[tuple[str, ...], Any]) -> xr.Dataset:
    """An xarray dataset of variables, each given as (dimensions, values).

    The long name of each variable and the unit "1" are added.

    Raises:
        KeyError: for a variable that has no long name in `LONG_NAMES`.
    """
    named = {
        name: (dims, np.asarray(values), {"long_name": LONG_NAMES[name], "units": "1"})
        for name, (dims, values) in variables.items()
    }
    return xr.Dataset(named)
