"""The kernel of a mean-field run: that of its network, for the nodes of the diffusion's mesh."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from uf_diffusion.core.errors import InputError
from uf_diffusion.kernels.choice import feature_map
from uf_diffusion.kernels.feature_maps import FeatureMap, nothing
from uf_diffusion.kernels.zonal_modes import ring_map
from uf_diffusion.runs.inputs import inputs_of
from uf_diffusion.runs.resources import require_memory
from uf_diffusion.runs.setup import Setup
from uf_diffusion.runs.training import neurons

__all__ = ["kernel_at_nodes"]

EXACT = 1e-6  # how much of K(w, w) a kernel of rings may leave out, as a multiple of lambda


def kernel_at_nodes(setup: Setup) -> FeatureMap:
    """The feature map with a teacher of mass 0. Call it on all ranks.

    The inputs of a sampled kernel are those of the network with the same configuration. The
    equation is that of exact labels, without the network's noise.

    Raises:
        InputError: for a kernel that does not suit the mesh, or does not fit into memory.
    """
    c, problem, nodes = setup.config.network, setup.problem, setup.grid.node_count
    features, dropped = setup.features, c.truncation * c.regularisation
    nobody = nothing(problem.manifold)
    if problem.axis is not None:
        if features.eigenvalues(1) is None:
            raise InputError(
                "About problem.axis the mean-field equation needs features whose kernel is one of "
                "omega.omega'; those with a bias, for example, have none."
            )
        if c.kernel == "sampled":
            raise InputError(
                "Drawn inputs are not symmetric about problem.axis: use network.kernel = "
                "'population' or 'low-rank' with problem.limit = 'mean-field'."
            )
        omitted = dropped if c.kernel == "low-rank" else EXACT * c.regularisation
        return ring_map(features, problem.axis, omitted, nobody)
    data, rng = None, np.random.default_rng(c.seed)
    if c.kernel == "sampled":
        data = replace(inputs_of(setup, nobody, neurons(setup).rng).training, labels=None)
    psi = feature_map(features, c.kernel, c.samples, nobody, rng, nodes, dropped, data)
    require_memory(
        psi.memory(nodes), "use fewer diffusion.cells, or network.kernel = 'low-rank'",
        "The mean-field equation",
    )  # fmt: skip
    return psi
