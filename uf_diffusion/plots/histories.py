"""Panels of curves over time: distances, risks, bounds and the error budget."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from uf_diffusion.core.arrays import Array
from uf_diffusion.plots.panels import Axis, Bars, Panel, Series, scale_of
from uf_diffusion.plots.shown import Shown
from uf_diffusion.plots.style import BLUE, DARK, GREEN, GREY, ORANGE, PALETTE
from uf_diffusion.results.names import COMPARED, ERRORS, measured

__all__ = ["budget_panels", "time_panels"]

ROUND_OFF = 1e-13  # estimated errors below it are not shown
LEAST = 1e-7  # smallest entry of a budget that is shown
WHOLE = "network to diffusion"


def time_panels(result: Shown) -> list[Panel]:
    """The panels of distances, risks, bounds and the approach to equilibrium that apply."""
    diffusion, network = result.group("diffusion"), result.group("network")
    comparison, panels = result.group("comparison"), []
    if comparison is not None and measured(comparison):
        panels.append(_distances(comparison))
    if diffusion is not None or network is not None:
        panels.append(_risks(diffusion, network))
    if network is not None and "training_error" in network:
        panels.append(_output_errors(network))
    if diffusion is None:
        return panels
    return [*panels, _bounds(diffusion), _equilibrium(diffusion), *_errors(diffusion)]


def budget_panels(budget: xr.Dataset | None) -> list[Panel]:
    """The panels of the error budget over time, of its shares, which older results lack, and at the
    last time; empty without a budget.
    """
    if budget is None:
        return []
    shares = [_budget_shares(budget)] if "signed" in budget else []
    return [_budget_over_time(budget), *shares, _budget_end(budget)]


def _over_time(
    name: str, title: str, quantity: str, series: Sequence[Series], caption: str, wide: bool = False
) -> Panel:
    axis = Axis(f"{quantity} (dimensionless)", scale_of(s.y for s in series))
    return Panel(name, title, Axis("time t (dimensionless)"), axis, tuple(series), caption,
                 wide=wide)  # fmt: skip


def _distances(comparison: xr.Dataset) -> Panel:
    colours = dict(zip(COMPARED, (GREY, BLUE, GREEN, GREEN, PALETTE[3], ORANGE), strict=True))
    series = [
        Series(comparison.time.values, comparison[name].values, COMPARED[name].text, colours[name],
               "marked") for name in measured(comparison)
    ]  # fmt: skip
    said = "How far the network is from the teacher and from the diffusion."
    return _over_time("distances", "Distances of the network", "distance", series, said, wide=True)


def _risks(diffusion: xr.Dataset | None, network: xr.Dataset | None) -> Panel:
    sides = ((diffusion, "diffusion: L⁰ = ∫ f(u) dμ", BLUE),
             (network, "network: reduced risk $L^λ$", ORANGE))  # fmt: skip
    series = [Series(side.time.values, side.risk.values, label, colour)
              for side, label, colour in sides if side is not None]  # fmt: skip
    said = "What each side decreases: the risk of the limit λ → 0, and the network's at its λ."
    return _over_time("risks", "Risks", "risk", series, said)


def _output_errors(network: xr.Dataset) -> Panel:
    colours, t = (ORANGE, BLUE), network.snapshot_time.values
    series = [Series(t, network[name].values, named.text, colour, "marked")
              for (name, named), colour in zip(ERRORS.items(), colours, strict=True)
              if name in network]  # fmt: skip
    said = "The mean squared difference of the network's outputs and the labels."
    return _over_time("output-errors", "Errors of the outputs", "squared error", series, said)


def _bounds(diffusion: xr.Dataset) -> Panel:
    t, drift = diffusion.time.values, float(np.abs(diffusion.mass.values - 1).max())
    series = [Series(t, diffusion.max_ratio.values, "max μ/ν̄", BLUE),
              Series(t, diffusion.min_ratio.values, "min μ/ν̄", ORANGE),
              Series(t[[0, -1]], np.ones(2), "equilibrium", GREY, "thin")]  # fmt: skip
    said = f"Density over teacher: 1 everywhere in equilibrium. The mass drifts by {drift:.0e}."
    return _over_time("bounds", "Bounds of μ/ν̄", "μ/ν̄", series, said)


def _equilibrium(diffusion: xr.Dataset) -> Panel:
    """The range of mu / nu over time, with the predicted decay if the range becomes small."""
    spread = diffusion.max_ratio.values - diffusion.min_ratio.values
    series = [Series(diffusion.time.values, spread, "max μ/ν̄ − min μ/ν̄", BLUE)]
    said = "max μ/ν̄ − min μ/ν̄: 0 in equilibrium."
    if (theory := _last_decay(diffusion)) is not None:
        rate = f"exp(−f″(1) λ₁ t), rate {diffusion.attrs['decay_rate']:.4g}"
        series.append(Series(*theory, rate, ORANGE, "dashed"))
        said += " Dashed: the theory's last decay."
    return _over_time("equilibrium", "Approach to equilibrium", "range of μ/ν̄", series, said)


def _errors(diffusion: xr.Dataset) -> list[Panel]:
    """The panel of the density's estimated errors; none if they were not estimated."""
    looks = {"mesh_error": ("mesh, L¹ norm", BLUE), "mesh_error_max": ("mesh, maximum", GREEN),
             "time_error": ("time steps, L¹ norm", ORANGE),
             "time_error_max": ("time steps, maximum", GREY)}  # fmt: skip
    t = diffusion.snapshot_time.values
    found = {name: diffusion[name].values for name in looks if name in diffusion}
    series = [Series(t, np.where(value > ROUND_OFF, value, np.nan), *looks[name], "marked")
              for name, value in found.items()]  # fmt: skip
    said = "What mesh and time steps leave, estimated from solutions on coarser meshes."
    title = "Estimated errors of the density"
    return [_over_time("errors", title, "error of μ", series, said)] if series else []


def _last_decay(diffusion: xr.Dataset) -> tuple[Array, Array] | None:
    """Times, and the predicted decay exp(-f''(1) lambda_1 t) through the last range of mu / nu.

    None if this range is not small, or the rate is not known.
    """
    rate = diffusion.attrs.get("decay_rate")
    spread = float(diffusion.max_ratio[-1] - diffusion.min_ratio[-1])
    if rate is None or spread >= 0.5:
        return None
    t = diffusion.time.values
    late = t[(t >= t[-1] / 3) & (rate * (t[-1] - t) < 700)]
    return late, spread * np.exp(rate * (t[-1] - late))


def _entries(budget: xr.Dataset) -> tuple[list[str], list[str], Array, Array]:
    """Names and colours of the entries, their values ``(entries, times)``, and the total."""
    names = [str(name) for name in budget.source.values]
    colours = [PALETTE[k % len(PALETTE)] for k in range(len(names))]
    return names, colours, budget.contribution.values, budget.total.values


def _budget_over_time(budget: xr.Dataset) -> Panel:
    t, (names, colours, part, total) = budget.time.values, _entries(budget)
    shown = np.where(part > LEAST, part, np.nan)
    series = [Series(t, *each, "marked") for each in zip(shown, names, colours, strict=True)]
    whole, added = (np.where(a > LEAST, a, np.nan) for a in (total, part.sum(axis=0)))
    series += [Series(t, whole, WHOLE, DARK),
               Series(t, added, "sum of the entries", DARK, "dotted")]  # fmt: skip
    said = f"What each approximation adds, over time: the {budget.attrs['distance']}."
    return _over_time("budget-over-time", "Error budget", "energy distance", series, said)


def _budget_shares(budget: xr.Dataset) -> Panel:
    """The shares over time, which have both signs and add up to the whole distance."""
    t, (names, colours, _, total) = budget.time.values, _entries(budget)
    rows = zip(budget.signed.values, names, colours, strict=True)
    series = [Series(t, *each, "marked") for each in rows]
    series += [Series(t, total, WHOLE, DARK),
               Series(t[[0, -1]], np.zeros(2), "", GREY, "thin")]  # fmt: skip
    said = "Shares of the whole distance: one below 0 brings the network closer to the diffusion."
    axis = Axis("share of the distance (dimensionless)")
    return Panel("budget-shares", "Error budget with signs", Axis("time t (dimensionless)"), axis,
                 tuple(series), said)  # fmt: skip


def _budget_end(budget: xr.Dataset) -> Panel:
    names, colours, part, total = _entries(budget)
    ends = np.maximum(np.append(part[:, -1], total[-1]), LEAST)
    axis = Axis("energy distance (dimensionless)", "log", ends.min() / 2, 1.3 * ends.max())
    bars = Bars((*names, WHOLE), ends, (*colours, DARK))
    said = "The same at the last time, and the whole distance."
    if "floor" in budget:
        said += f" No entry resolves less than {float(budget.floor[:, -1].max()):.0e}."
    return Panel("budget-end", f"Error budget, t = {float(budget.time[-1]):.3g}", axis, Axis(""),
                 (bars,), said)  # fmt: skip
