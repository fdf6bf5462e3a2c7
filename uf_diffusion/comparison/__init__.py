"""The place of the distances until version 0.2; see `uf_diffusion.distances`."""
