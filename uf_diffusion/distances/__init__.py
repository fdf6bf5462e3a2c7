"""Distances between two measures: energy, Wasserstein and others."""

from uf_diffusion.distances.circle_wasserstein import wasserstein_circle
from uf_diffusion.distances.energy_distances import energy_distance
from uf_diffusion.distances.symmetric import angle_wasserstein, ring_energy_distances

__all__ = ["angle_wasserstein", "energy_distance", "ring_energy_distances", "wasserstein_circle"]
