"""Eigenvalues: of the weighted Laplacian, and of the kernel."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from uf_diffusion.plots.shown import Shown
from uf_diffusion.plots.style import BLUE, ORANGE, Panel, by_coordinate
from uf_diffusion.problem.manifolds import Manifold

__all__ = ["spectrum_panels"]


def spectrum_panels(result: Shown, manifold: Manifold) -> list[Panel]:
    """The eigenvalues, the first eigenfunctions along the first coordinate, and the kernel's."""
    spectrum, kernel = result.group("spectrum"), result.group("kernel")

    assert kernel is not None

    def values(ax: Axes) -> None:
        assert spectrum is not None
        modes = np.arange(1, spectrum.sizes["mode"] + 1)
        ax.plot(modes, spectrum.eigenvalue.values, "o", color=BLUE)
        ax.set(title="weighted Laplacian", xlabel="mode", ylabel="eigenvalue (1 / time)")
        ax.set_ylim(bottom=0)

    def functions(ax: Axes) -> None:
        assert spectrum is not None
        line = len(manifold.axes) == 1
        for k, e in enumerate(spectrum.eigenfunction.values[:3]):
            x, y = by_coordinate(manifold, spectrum.node_position.values, e)
            ax.plot(x, y, "-" if line else ".", ms=2, label=f"mode {k + 1}")
        ax.set(title="eigenfunctions", xlabel=manifold.axes[0].label, ylabel="eigenfunction")
        ax.legend(loc="upper right")

    def kernel_values(ax: Axes) -> None:
        degree, value = kernel.degree.values[1:], kernel.eigenvalue.values[1:]
        seen = value > 0
        ax.loglog(degree[seen], value[seen], ".", ms=4, color=BLUE, label="seen")
        if not seen.all():
            low = np.full((~seen).sum(), value[seen].min() / 10)
            ax.plot(degree[~seen], low, "x", ms=4, color=ORANGE, label="0: unseen")
            ax.legend(loc="upper right")
        ax.set(title="kernel of the features", xlabel="degree $|k|$", ylabel="eigenvalue")

    return [*([] if spectrum is None else [values, functions]), kernel_values]
