"""Deprecated: import `wasserstein_circle` and `energy_distance` from `uf_diffusion.distances`."""

import warnings

from uf_diffusion.distances import energy_distance, wasserstein_circle

__all__ = ["energy_distance", "wasserstein_circle"]

warnings.warn(
    "uf_diffusion.comparison.distances is uf_diffusion.distances now; "
    "the old path goes with the next version.",
    DeprecationWarning,
    stacklevel=2,
)
