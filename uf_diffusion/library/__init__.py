"""The functions that ``import uf_diffusion as uf`` offers, and the results that they return."""
