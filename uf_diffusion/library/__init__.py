"""What ``import uf_diffusion as uf`` offers: calls that take objects, and results as objects."""
