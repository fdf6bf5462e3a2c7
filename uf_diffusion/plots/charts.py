"""Interactive charts over time: distances, error budget, risks, bounds; and eigenvalues."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import xarray as xr

from uf_diffusion.core.arrays import Array
from uf_diffusion.core.errors import InputError
from uf_diffusion.plots.histories import last_decay
from uf_diffusion.plots.interactive import (
    COLOURS,
    DARK,
    Picture,
    axis_title,
    blank,
    chosen,
    scale,
    single,
)
from uf_diffusion.plots.shown import Shown
from uf_diffusion.plots.style import BLUE, GREEN, ORANGE, by_coordinate
from uf_diffusion.problem.manifolds import Manifold

__all__ = ["DISTANCES", "budget_charts", "distance_charts", "equilibrium_charts",
           "measured_distances", "risk_charts", "spectrum_charts"]  # fmt: skip

POINTS = 1000  # of a curve over the steps, at most
DISTANCES = {
    "energy_distance_teacher": "energy distance to the teacher",
    "energy_distance_diffusion": "energy distance to the diffusion",
    "w2_diffusion": "W₂ to the diffusion",
    "outer_weight_error": "median |uᵢ − u(ωᵢ)|",
}
LEAST = 1e-7  # entry of a budget that is shown


class _Curve(NamedTuple):
    """Values over time."""

    t: Array
    values: Array
    label: str
    colour: str
    style: str = "lines"
    dash: str = "solid"


def _over_time(
    name: str, title: str, quantity: str, curves: Sequence[_Curve], caption: str,
    least: float = 0.0, wide: bool = False, height: int = 340,
) -> Picture:  # fmt: skip
    """Curves, with gaps where they are not above ``least``."""
    figure, shown = blank(title, height), []
    for t, values, label, colour, style, dash in curves:
        some = chosen(len(t), POINTS)
        y = np.where(values[some] > least, values[some], np.nan)
        line = {"color": colour, "width": 2, "dash": dash}
        figure.add_scatter(x=single(t[some]), y=single(y), name=label, mode=style, line=line)
        shown.append(y[np.isfinite(y)])
    figure.update_xaxes(title="time t (dimensionless)")
    figure.update_yaxes(title=quantity, **scale(np.concatenate(shown)))
    return Picture(name, caption, figure, wide)


def distance_charts(comparison: xr.Dataset) -> list[Picture]:
    """How far the network is from teacher and diffusion; nothing where no distance is known."""
    if not measured_distances(comparison):
        return []
    colours = dict(zip(DISTANCES, (COLOURS[6], BLUE, GREEN, ORANGE), strict=True))
    curves = [
        _Curve(comparison.time.values, comparison[name].values, DISTANCES[name], colours[name],
               "lines+markers") for name in measured_distances(comparison)
    ]  # fmt: skip
    said = "How far the network is from the teacher and from the diffusion."
    return [_over_time("distances", "Distances of the network", "distance (dimensionless)", curves,
                       said, wide=True)]  # fmt: skip


def measured_distances(comparison: xr.Dataset) -> list[str]:
    """Those of `DISTANCES` that a comparison has."""
    return [k for k in DISTANCES if k in comparison and np.isfinite(comparison[k].values).any()]


def budget_charts(budget: xr.Dataset) -> list[Picture]:
    """The error budget over time, and at the end."""
    t, part, total = budget.time.values, budget.contribution.values, budget.total.values
    names = [str(name) for name in budget.source.values]
    colours = [COLOURS[k % len(COLOURS)] for k in range(len(names))]
    curves = [
        *(_Curve(t, row, name, colour, "lines+markers")
          for name, row, colour in zip(names, part, colours, strict=True)),
        _Curve(t, total, "network to diffusion", DARK),
        _Curve(t, part.sum(axis=0), "sum of the entries", DARK, dash="dot"),
    ]  # fmt: skip
    quantity = "energy distance (dimensionless)"
    said = f"What each approximation adds, over time: the {budget.attrs['distance']}."
    ends = np.maximum(np.append(part[:, -1], total[-1]), LEAST)
    bars = blank(f"Error budget, t = {float(t[-1]):.3g}", 460, showlegend=False)
    bars.add_bar(y=[*names, "network to diffusion"], x=single(ends), orientation="h",
                 marker={"color": [*colours, DARK]})  # fmt: skip
    low, high = np.log10([ends.min() / 2, 1.3 * ends.max()])
    bars.update_xaxes(title=quantity, type="log", dtick=1, range=[low, high])
    bars.update_yaxes(autorange="reversed")
    return [
        _over_time("budget-over-time", "Error budget", quantity, curves, said, LEAST, height=460),
        Picture("budget-end", "The same at the last time, and the whole distance.", bars),
    ]


def risk_charts(result: Shown) -> list[Picture]:
    """The risks of both sides."""
    labels = {
        "diffusion": ("diffusion: L⁰", BLUE),
        "network": ("network: reduced risk L<sup>λ</sup>", ORANGE),
    }
    curves = [
        _Curve(side.time.values, side.risk.values, *label)
        for name, label in labels.items() if (side := result.group(name)) is not None
    ]  # fmt: skip
    if not curves:
        return []
    said = "What each side decreases: the risk of the limit λ → 0, and the network's at its λ."
    return [_over_time("risks", "Risks", "risk (dimensionless)", curves, said)]


def equilibrium_charts(diffusion: xr.Dataset) -> list[Picture]:
    """The bounds of mu / nu, and how their difference decays."""
    t, low, high = (diffusion[k].values for k in ("time", "min_ratio", "max_ratio"))
    bounds = [_Curve(t, high, "max μ/ν̄", BLUE), _Curve(t, low, "min μ/ν̄", ORANGE)]
    spread, said = high - low, "max μ/ν̄ − min μ/ν̄: 0 in equilibrium."
    decay = [_Curve(t, spread, "range of μ/ν̄", BLUE)]
    if (theory := last_decay(diffusion)) is not None:
        rate = f"exp(−f″(1) λ₁ t), rate {diffusion.attrs['decay_rate']:.4g}"
        decay += [_Curve(theory[0], theory[1], rate, ORANGE, dash="dash")]
        said += " Dashed: the theory's last decay."
    return [
        _over_time("bounds", "Bounds of μ/ν̄", "μ/ν̄ (dimensionless)", bounds,
                   "Density over teacher: 1 everywhere in equilibrium."),
        _over_time("equilibrium", "Approach to equilibrium", "range of μ/ν̄ (dimensionless)", decay,
                   said),
    ]  # fmt: skip


def spectrum_charts(result: Shown) -> list[Picture]:
    """Eigenvalues of the kernel and of the weighted Laplacian, eigenfunctions on a line."""
    pictures: list[Picture] = []
    kernel, spectrum = result.group("kernel"), result.group("spectrum")
    if kernel is not None:
        pictures.append(_kernel(kernel))
    if spectrum is not None:
        pictures.append(_laplacian(spectrum))
        try:
            manifold = result.manifold
        except InputError:
            return pictures
        if len(manifold.axes) == 1:
            pictures.append(_eigenfunctions(spectrum, manifold))
    return pictures


def _kernel(kernel: xr.Dataset) -> Picture:
    degree, value = kernel.degree.values[1:], kernel.eigenvalue.values[1:]
    figure = blank("Kernel of the features")
    figure.update_xaxes(title="degree, or length of the wave |k|", type="log")
    seen = value > 0
    figure.update_yaxes(title="eigenvalue (dimensionless)", **scale(value[seen]))
    figure.add_scatter(x=single(degree[seen]), y=single(value[seen]), mode="markers", name="seen",
                       marker={"color": BLUE, "size": 5})  # fmt: skip
    said = "Eigenvalues of the kernel: what the features see, and how well."
    if not seen.all():
        low = np.full(int((~seen).sum()), value[seen].min() / 10)
        figure.add_scatter(x=single(degree[~seen]), y=single(low), mode="markers",
                           name="0: unseen", marker={"color": ORANGE, "symbol": "x"})  # fmt: skip
        said += " Crosses: eigenvalue 0, of no place on this axis."
    return Picture("kernel", said, figure)


def _laplacian(spectrum: xr.Dataset) -> Picture:
    figure = blank("Weighted Laplacian", showlegend=False)
    modes = np.arange(1, spectrum.sizes["mode"] + 1)
    figure.add_scatter(x=modes, y=single(spectrum.eigenvalue.values), mode="markers",
                       marker={"color": BLUE, "size": 8})  # fmt: skip
    figure.update_xaxes(title="mode")
    figure.update_yaxes(title="eigenvalue (per unit time)", rangemode="tozero")
    return Picture("laplacian", "The smallest sets the rate of the last decay.", figure)


def _eigenfunctions(spectrum: xr.Dataset, manifold: Manifold) -> Picture:
    figure = blank("Eigenfunctions of the weighted Laplacian", 380)
    for k, values in enumerate(spectrum.eigenfunction.values[:3]):
        x, y = by_coordinate(manifold, spectrum.node_position.values, values)
        some = chosen(len(x), 2 * POINTS)
        line = {"color": COLOURS[k], "width": 2}
        figure.add_scatter(x=single(x[some]), y=single(y[some]), mode="lines", line=line,
                           name=f"mode {k + 1}")  # fmt: skip
    axis = manifold.axes[0]
    figure.update_xaxes(title=axis_title(axis), range=[axis.low, axis.high])
    figure.update_yaxes(title="eigenfunction (dimensionless)")
    return Picture("eigenfunctions", "The first three; ∫ e² ν̄ = 1.", figure, wide=True)
