"""How far apart two measures are: energy distance, Wasserstein distances, and those of densities."""

from uf_diffusion.distances.circle_wasserstein import wasserstein_circle
from uf_diffusion.distances.energy_distances import energy_distance

__all__ = ["energy_distance", "wasserstein_circle"]
