"""Panels of the eigenvalues of the kernel and of the weighted Laplacian."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from uf_diffusion.core.errors import InputError
from uf_diffusion.plots.panels import Axis, Panel, Series, scale_of
from uf_diffusion.plots.shown import Shown
from uf_diffusion.plots.snapshots import by_coordinate
from uf_diffusion.plots.style import BLUE, ORANGE, PALETTE
from uf_diffusion.problem.manifolds import Manifold

__all__ = ["spectrum_panels"]

FAINT = 1e-20  # eigenvalues below this part of the largest one are not shown


def spectrum_panels(result: Shown) -> list[Panel]:
    """The panels of both kinds of eigenvalues, and of the first eigenfunctions of the Laplacian."""
    kernel, spectrum = result.group("kernel"), result.group("spectrum")
    panels = [] if kernel is None else [_kernel(kernel)]
    if spectrum is None:
        return panels
    panels.append(_laplacian(spectrum))
    try:
        manifold: Manifold = result.meridian or result.manifold
    except InputError:
        return panels
    return panels + ([_eigenfunctions(spectrum, manifold)] if manifold.axes else [])


def _kernel(kernel: xr.Dataset) -> Panel:
    degree, value = kernel.degree.values[1:].astype(float), kernel.eigenvalue.values[1:]
    seen = value > 0
    shown = value > FAINT * value.max()
    series = [Series(degree[shown], value[shown], "seen", BLUE, "points")]
    said = "Eigenvalues of the kernel: what the features see, and how well."
    if (seen & ~shown).any():
        said += f" Those below {FAINT * value.max():.0e} are not shown."
    if not seen.all():
        low = np.full(int((~seen).sum()), value[shown].min() / 10)
        series.append(Series(degree[~seen], low, "0: unseen", ORANGE, "crosses"))
        said += " Crosses: eigenvalue 0, of no place on this axis."
    x = Axis("degree, or length of the wave |k|", scale_of([degree]))
    y = Axis("eigenvalue (dimensionless)", scale_of([value[shown]]))
    return Panel("kernel", "Kernel of the features", x, y, tuple(series), said)


def _laplacian(spectrum: xr.Dataset) -> Panel:
    value = spectrum.eigenvalue.values
    points = Series(np.arange(1.0, len(value) + 1), value, "", BLUE, "points")
    y = Axis("eigenvalue (per unit time)", "linear", 0.0, 1.1 * float(value.max()))
    return Panel("laplacian", "Weighted Laplacian", Axis("mode"), y, (points,),
                 "The smallest sets the rate of the last decay.")  # fmt: skip


def _eigenfunctions(spectrum: xr.Dataset, manifold: Manifold) -> Panel:
    kind: Any = "line" if len(manifold.axes) == 1 else "dots"
    series = [
        Series(*by_coordinate(manifold, spectrum.node_position.values, values), f"mode {k}",
               PALETTE[k - 1], kind)
        for k, values in enumerate(spectrum.eigenfunction.values[:3], 1)
    ]  # fmt: skip
    axis = manifold.axes[0]
    return Panel("eigenfunctions", "Eigenfunctions of the weighted Laplacian",
                 Axis(axis.label, "linear", axis.low, axis.high),
                 Axis("eigenfunction (dimensionless)"), tuple(series),
                 "The first three; ∫ e² ν̄ = 1.")  # fmt: skip
