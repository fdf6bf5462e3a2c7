"""Figures of section 6.1 of the paper, ReLU features on the circle, with a function for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from paper_figures.curves import RISK, TO_DIFFUSION, TO_TEACHER, CurveFigure, Panel
from paper_figures.drawing import Results, Still
from paper_figures.families import LINES, Family, exponent, risk_panels
from paper_figures.paper import curves_of, difference, published
from paper_figures.scale import ITERATION, Scale
from uf_diffusion.core.arrays import Array
from uf_diffusion.plots.snapshots import neuron_density
from uf_diffusion.plots.style import GREY, PALETTE
from uf_diffusion.problem.manifolds import Circle
from uf_diffusion.runs.config import Changes
from uf_diffusion.runs.reading import load_config
from uf_diffusion.studies.cache import Run

__all__ = ["densities", "distances_by_lambda", "distances_by_width", "gammas", "risks_by_lambda",
           "risks_by_width", "teachers", "two_timescale"]  # fmt: skip

GAMMAS = (10, 100, 1000)
SHOWN = (0, 100, 1000, 5000, 10000)  # iterations at which densities are drawn
DISTANCES = {TO_TEACHER: "to the teacher", TO_DIFFUSION: "to the diffusion"}
SMOOTHED = 0.04  # radians: the width of the Gaussian in a density of neurons
CIRCLE_SHAPE = Circle()

CIRCLE = Family(
    name="ReLU on $S^1$",
    preset="paper-6.1",
    experiment="relu1d",
    regularisations=(1e-1, 1e-2, 1e-3, 1e-4),
    chosen=1e-3,
)
ALGORITHMS = {"varpro": ("VarPro", "-"), "two-timescale": ("2TS", ":")}


def teachers(scale: Scale) -> Still:
    """Densities of teachers of three sharpnesses, drawn over the paper's curves."""
    return _Teachers(title="Teachers of section 6.1, normalised densities")


def risks_by_width(scale: Scale) -> Still:
    """Reduced risk for four widths, biased and unbiased, at lambda = 1e-3."""
    rows = [risk_panels(lambda r: CIRCLE.of_widths(scale, [r], scale.widths))]
    return CurveFigure(
        rows, title=CIRCLE.title("reduced risk", r"$\lambda = 10^{-3}$", scale.note())
    )


def distances_by_width(scale: Scale) -> Still:
    """Distances to teacher and diffusion for four widths and both regularisers, lambda = 1e-3."""
    curves = CIRCLE.of_widths(scale, list(LINES), scale.widths)
    rows = [[Panel(title, name, curves) for name, title in DISTANCES.items()]]
    return CurveFigure(rows, title=CIRCLE.title("distances", r"$\lambda = 10^{-3}$", scale.note()))


def risks_by_lambda(scale: Scale) -> Still:
    """Reduced risk for four lambdas, biased and unbiased, at width 1024."""
    rows = [risk_panels(lambda r: CIRCLE.of_lambdas(scale, [r], scale.widths[-1]))]
    return CurveFigure(
        rows, title=CIRCLE.title("reduced risk", f"width {scale.widths[-1]}", scale.note())
    )


def distances_by_lambda(scale: Scale) -> Still:
    """Distances to teacher and diffusion for four lambdas and both regularisers, width 1024."""
    curves = CIRCLE.of_lambdas(scale, list(LINES), scale.widths[-1])
    rows = [[Panel(title, name, curves) for name, title in DISTANCES.items()]]
    return CurveFigure(
        rows, title=CIRCLE.title("distances", f"width {scale.widths[-1]}", scale.note())
    )


def gammas(scale: Scale) -> Still:
    """Risk and distances for teachers of three sharpnesses, at lambda = 1e-4 and width 1024."""
    figure = "relu1d_gamma_diffusion"
    panels = {RISK: (figure, "risk_unbiased"), TO_TEACHER: (figure, "distance_teacher"),
              TO_DIFFUSION: (figure, "distance_diffusion")}  # fmt: skip
    curves = [
        CIRCLE.curve(scale, f"$\\gamma$ = {gamma}", k, "-", _sharp(gamma),
                     {"network": {"regularisation": 1e-4}}, width=scale.widths[-1],
                     paper=curves_of(panels, f"gamma={gamma} unbiased"))
        for k, gamma in enumerate(GAMMAS)
    ]  # fmt: skip
    row = [Panel("reduced risk", RISK, curves)]
    row += [Panel(f"distance {title}", name, curves) for name, title in DISTANCES.items()]
    title = CIRCLE.title(
        "sharpness of the teacher",
        rf"$\lambda = 10^{{-4}}$, width {scale.widths[-1]}",
        scale.note(),
    )
    return CurveFigure([row], title=title)


def two_timescale(scale: Scale) -> Still:
    """Risk and distances of VarPro and the two-timescale algorithm for three lambdas, seed 0."""
    rows, names = [], {RISK: "risk", **DISTANCES}
    panels = {RISK: "risk", TO_TEACHER: "distance_teacher", TO_DIFFUSION: "distance_diffusion"}
    for value in (1e-1, 1e-2, 1e-3):
        places = {
            quantity: ("relu1d_2ts", f"{panel}_lambda{exponent(value)}")
            for quantity, panel in panels.items()
        }
        curves = [
            CIRCLE.curve(scale, f"M = {width}, {algorithm}", k, line,
                         {"network": {"regularisation": value, "algorithm": algorithm}},
                         width=width, seeds=1, paper_seeds=1,
                         paper=curves_of(places, f"M={width} {name}"))
            for algorithm, (name, line) in ALGORITHMS.items()
            for k, width in enumerate(scale.widths)
        ]  # fmt: skip
        rows.append([
            Panel(f"$\\lambda$ = {value:g}, {title}", name, curves, setting=f", {value:g}")
            for name, title in names.items()
        ])  # fmt: skip
    return CurveFigure(
        rows, title=CIRCLE.title("VarPro and two-timescale", "unbiased, seed 0",
                                 scale.steps)
    )  # fmt: skip


def densities(scale: Scale) -> Still:
    """Densities of diffusion and network side by side, gamma = 100, lambda = 1e-4, width 1024."""
    networks = CIRCLE.of_lambdas(scale, ["unbiased"], scale.widths[-1])[-1]
    times = [k * ITERATION for k in SHOWN]
    shown: Changes = {"problem": {"t_end": times[-1]}, "diffusion": {"snapshots": times}}
    diffusion = Run("solve", load_config(CIRCLE.preset).changed(**shown))
    title = CIRCLE.title(
        "densities", rf"$\lambda = 10^{{-4}}$, width {scale.widths[-1]}", scale.note("mean")
    )
    return _Densities(networks.runs, diffusion, title=title)


@dataclass(frozen=True)
class _Teachers(Still):
    def figure(self, results: Results) -> Figure:
        figure = Figure(figsize=(6.0, 3.4), layout="constrained")
        ax = figure.subplots()
        angle = np.linspace(-np.pi, np.pi, 2001)
        for k, gamma in enumerate(GAMMAS):
            paper = published("gamma_densities", "density", f"gamma={gamma}")
            label = "paper" if k == 0 else None
            ax.plot(paper.x, paper.y, color=GREY, lw=2.5, alpha=0.6, label=label)
            ax.plot(angle, _teacher(gamma, angle), color=PALETTE[k], label=f"$\\gamma$ = {gamma}")
        ax.axhline(1 / (2 * np.pi), color="black", lw=0.8, ls=":", label="uniform (the start)")
        ax.set(xlabel=r"angle $\theta$ (radians)", ylabel="density", yscale="log")
        ax.legend()
        return figure

    def agreement(self, results: Results) -> list[str]:
        lines = []
        for gamma in GAMMAS:
            paper = published("gamma_densities", "density", f"gamma={gamma}")
            lines.append(
                difference(
                    f"density of the teacher, gamma = {gamma}", paper, _teacher(gamma, paper.x)
                )
            )
        return lines


def _sharp(gamma: float) -> Changes:
    """The change that sets the sharpness of the teacher."""
    return {"problem": {"teacher": {"gamma": float(gamma)}}}


def _teacher(gamma: float, angle: Array) -> Array:
    problem = load_config(CIRCLE.preset).changed(**_sharp(gamma)).build()
    return problem.teacher(CIRCLE_SHAPE.unchart(angle[:, None]))


@dataclass(frozen=True)
class _Densities(Still):
    """Densities of diffusion and network at the iterations `SHOWN`, with the paper's curves.

    Attributes:
        networks: the runs of the network, one for each seed.
        diffusion: the run of the diffusion.
    """

    networks: Sequence[Run]
    diffusion: Run

    @property
    def runs(self) -> list[Run]:
        return [*self.networks, self.diffusion]

    @property
    def snapshots(self) -> dict[str, Sequence[int]]:
        return {run.key: SHOWN for run in self.networks}

    def figure(self, results: Results) -> Figure:
        figure = Figure(figsize=(9.0, 3.6), layout="constrained")
        axes = figure.subplots(1, 2, sharey=True)
        angle = np.linspace(-np.pi, np.pi, 801)
        panels = (
            ("diffusion", "ultrafast_diffusion", self._diffusion(results, angle)),
            (f"network, smoothed over {SMOOTHED:g} radians", "learned_distribution",
             self._network(results, angle)),
        )  # fmt: skip
        colours = matplotlib.colormaps["viridis"](np.linspace(0, 0.9, len(SHOWN)))
        for ax, (title, paper, lines) in zip(axes, panels, strict=True):
            ax.fill_between(angle, _teacher(100, angle), color="0.88", label="teacher", lw=0)
            for colour, k, density in zip(colours, SHOWN, lines, strict=False):
                curve = published("density_evolution", paper, _name(k))
                label = f"iteration {k} (t = {k * ITERATION:.3g})"
                ax.plot(angle, density, color=colour, label=label)
                ax.plot(curve.x, curve.y, color="black", lw=0.5, label="paper" * (k == 0) or None)
            ax.set(
                title=title, xlabel=r"angle $\theta$ (radians)", ylabel="density", ylim=(0, None)
            )
            ax.legend(loc="upper left")
        return figure

    def _diffusion(self, results: Results, angle: Array) -> Array:
        """The densities ``(shown, n)`` of the diffusion at angles ``(n,)``."""
        data = results[self.diffusion].tree["diffusion"].to_dataset()
        at = CIRCLE_SHAPE.chart(data.node_position.values)[:, 0]
        order = np.argsort(at)
        return np.array([
            np.interp(angle, at[order], density[order], period=2 * np.pi)
            for density in data.density.values
        ])  # fmt: skip

    def _network(self, results: Results, angle: Array) -> Array:
        """The densities of the smoothed neurons at those of `SHOWN` that were reached.

        They are means over the seeds, ``(reached, n)``, at angles ``(n,)``.
        """
        data = [results[run].tree["network"].to_dataset() for run in self.networks]
        clock, points = data[0].snapshot_time.values, CIRCLE_SHAPE.unchart(angle[:, None])
        steps = [int(np.argmin(np.abs(clock - k * ITERATION))) for k in SHOWN
                 if k * ITERATION <= clock[-1]]  # fmt: skip
        return np.array([
            np.mean([neuron_density(CIRCLE_SHAPE, d.feature.values[k], d.neuron_mass.values, points,
                                    SMOOTHED) for d in data], axis=0)
            for k in steps
        ])  # fmt: skip

    def agreement(self, results: Results) -> list[str]:
        """Lines that compare our densities with the paper's, whose diffusion has order 1."""
        lines = []
        for what, series, ours in (("diffusion", "ultrafast_diffusion", self._diffusion),
                                   ("network", "learned_distribution", self._network)):  # fmt: skip
            for row, k in enumerate(SHOWN):
                paper = published("density_evolution", series, _name(k))
                found = ours(results, paper.x)
                if row < len(found):
                    name = f"density of the {what}, iteration {k}"
                    lines.append(difference(name, paper, found[row]))
        return lines


def _name(iteration: int) -> str:
    """The name of an iteration in the files with the paper's curves."""
    return f"iteration={iteration} (t={iteration * ITERATION:.4g})"
