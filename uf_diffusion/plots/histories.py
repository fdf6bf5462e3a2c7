"""Distances, risks, bounds and the error budget over time."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from uf_diffusion.core.arrays import Array
from uf_diffusion.plots.shown import Shown
from uf_diffusion.plots.style import BLUE, GREEN, GREY, ORANGE, PALETTE, Panel

__all__ = ["budget_panels", "last_decay", "time_panels"]


def time_panels(result: Shown) -> list[Panel]:
    """Distances, risks, the approach to equilibrium, bounds: those that the result has."""
    diffusion, network = result.group("diffusion"), result.group("network")
    comparison = result.group("comparison")
    panels: list[Panel] = []
    if comparison is not None:
        panels.append(lambda ax: _distances(ax, comparison))
    panels.append(lambda ax: _risks(ax, diffusion, network))
    if diffusion is not None and "decay_rate" in diffusion.attrs:
        panels.append(lambda ax: _decay(ax, diffusion))
    if diffusion is not None:
        panels.append(lambda ax: _bounds(ax, diffusion))
    return panels


def _distances(ax: Axes, comparison: xr.Dataset) -> None:
    lines = (
        ("energy_distance_teacher", "energy distance to the teacher", GREY, "o-"),
        ("energy_distance_diffusion", "energy distance to the diffusion", BLUE, "o-"),
        ("w2_diffusion", "$W_2$ to the diffusion", GREEN, "s-"),
        ("outer_weight_error", r"median $|u_i - u(\omega_i)|$", ORANGE, "^-"),
    )
    for name, label, colour, style in lines:
        values = comparison[name].values
        if np.isfinite(values).any():
            ax.plot(comparison.time.values, values, style, ms=3, color=colour, label=label)
    ax.set(title="network against diffusion", xlabel="time t", ylabel="distance", yscale="log")
    low, high = ax.get_ylim()
    ax.set_ylim(low * (low / high) ** 0.6, high)
    ax.legend(loc="lower left")


def budget_panels(budget: xr.Dataset) -> list[Panel]:
    """The entries of the error budget over time, and at the end."""
    names = [str(name) for name in budget.source.values]
    time, part, total = budget.time.values, budget.contribution.values, budget.total.values
    colours = [PALETTE[k % len(PALETTE)] for k in range(len(names))]
    distance = budget.attrs["distance"]

    def over_time(ax: Axes) -> None:
        for values, colour in zip(part, colours, strict=True):
            ax.plot(time, np.where(values > 0, values, np.nan), "o-", ms=2.5, color=colour)
        ax.plot(time, total, "k-", lw=2, label="network to diffusion")
        ax.plot(time, part.sum(axis=0), "k:", label="sum of the entries")
        ax.set(title="error budget", xlabel="time t", ylabel=distance, yscale="log")
        low = max(part[part > 0].min(initial=1e-6), 1e-6)
        ax.set_ylim(low / 5, 2 * part.sum(axis=0).max())
        ax.legend(loc="lower right")

    def at_end(ax: Axes) -> None:
        shown, values = [*names, "network to diffusion"], [*part[:, -1], total[-1]]
        ax.barh(shown, values, color=[*colours, "black"])
        ax.invert_yaxis()
        ax.set(title=f"error budget, t = {time[-1]:.3g}", xlabel=distance, xscale="log")

    return [over_time, at_end]


def _risks(ax: Axes, diffusion: xr.Dataset | None, network: xr.Dataset | None) -> None:
    if diffusion is not None:
        ax.plot(diffusion.time.values, diffusion.risk.values, color=BLUE,
                label=r"diffusion: $L^0 = \int f(u)\,d\mu$")  # fmt: skip
    if network is not None:
        ax.plot(network.time.values, network.risk.values, color=ORANGE,
                label=r"network: reduced risk $L^\lambda$")  # fmt: skip
    ax.set(title="risk", xlabel="time t", ylabel="risk", yscale="log")
    ax.legend()


def _decay(ax: Axes, diffusion: xr.Dataset) -> None:
    """The fluctuation of mu/nu; once it is small, the theory's rate through its last value."""
    spread = diffusion.max_ratio.values - diffusion.min_ratio.values
    ax.plot(diffusion.time.values, spread, color=BLUE,
            label=r"$\max\,\mu/\bar\nu - \min\,\mu/\bar\nu$")  # fmt: skip
    if (theory := last_decay(diffusion)) is not None:
        label = rf"$\exp(-f''(1)\lambda_1 t)$, rate {diffusion.attrs['decay_rate']:.4g}"
        ax.plot(*theory, "--", color=ORANGE, label=label)
    ax.set(title="approach to equilibrium", xlabel="time t", ylabel="range of the ratio",
           yscale="log")  # fmt: skip
    ax.legend()


def last_decay(diffusion: xr.Dataset) -> tuple[Array, Array] | None:
    """Times and the theory's decay exp(-f''(1) lambda_1 t) through the last range of the ratio;
    nothing where that is large, or the rate not known.
    """
    rate = diffusion.attrs.get("decay_rate")
    spread = float(diffusion.max_ratio[-1] - diffusion.min_ratio[-1])
    if rate is None or spread >= 0.5:
        return None
    t = diffusion.time.values
    late = t[(t >= t[-1] / 3) & (rate * (t[-1] - t) < 700)]
    return late, spread * np.exp(rate * (t[-1] - late))


def _bounds(ax: Axes, diffusion: xr.Dataset) -> None:
    t = diffusion.time.values
    ax.plot(t, diffusion.max_ratio.values, color=BLUE, label=r"$\max\,\mu/\bar\nu$")
    ax.plot(t, diffusion.min_ratio.values, color=ORANGE, label=r"$\min\,\mu/\bar\nu$")
    ax.axhline(1, color=GREY, lw=0.8)
    drift = float(np.abs(diffusion.mass.values - 1).max())
    ax.set(title=f"bounds; mass drift {drift:.0e}", xlabel="time t",
           ylabel="ratio to the teacher", yscale="log")  # fmt: skip
    ax.legend()
