"""Deprecated: the distances were here until version 0.2; see `uf_diffusion.distances`."""
