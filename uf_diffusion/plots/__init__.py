"""Figures of results. They are drawn from a result alone, never from a running solver."""

from uf_diffusion.plots.figures import draw
from uf_diffusion.plots.style import save

__all__ = ["draw", "save"]
