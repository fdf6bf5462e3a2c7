"""Distances between measures on a manifold, one signature for all."""

from __future__ import annotations

from uf_diffusion.comparison.circle import wasserstein_circle
from uf_diffusion.comparison.energy import energy_distance, energy_distance_series

__all__ = ["energy_distance", "energy_distance_series", "wasserstein_circle"]
