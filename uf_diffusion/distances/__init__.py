"""Distances between two measures: energy, Wasserstein and others."""

from uf_diffusion.distances.circle_wasserstein import wasserstein_circle
from uf_diffusion.distances.energy_distances import energy_distance

__all__ = ["energy_distance", "wasserstein_circle"]
