"""Figures of appendix B of the paper, radial features on the flat torus, with a function for each.

The paper does not solve the diffusion here; the function `diffusion` compares with ours.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from paper_figures.curves import RISK, TO_DIFFUSION, TO_TEACHER, CurveFigure, Panel
from paper_figures.drawing import Results, Still
from paper_figures.families import LINES, Family, risk_panels
from paper_figures.paper import curves_of
from paper_figures.scale import Scale
from uf_diffusion.core.arrays import Array
from uf_diffusion.core.threads import blocks_of
from uf_diffusion.runs.config import Changes, Config
from uf_diffusion.runs.reading import load_config
from uf_diffusion.runs.setup import Setup
from uf_diffusion.runs.training import neurons

__all__ = ["by_lambda", "diffusion", "diracs", "distances_by_width", "risks_by_width", "teacher"]

TORUS = Family(
    name="radial features on $T^2$",
    preset="radial-torus",
    experiment="convolution",
    regularisations=(1e-1, 1e-2, 1e-3),
    chosen=1e-3,
    solver={"diffusion": {"cells": 2048, "degree": 2, "scheme": "esdirk4"}},
)
TWO_DIRACS: Changes = {"problem": {"teacher": {
    "kind": "diracs", "centres": [[-1.0, 0.0], [1.0, 1.0]], "weights": [0.5, 0.5],
}}}  # fmt: skip
PIXELS = 161


def teacher(scale: Scale) -> Still:
    """The teacher density for gamma = 100, and the outputs of this teacher and of two Diracs."""
    return _Teacher(title="Teachers of appendix B on $T^2$, and what they output")


def risks_by_width(scale: Scale) -> Still:
    """Reduced risk for four widths on T^2, biased and unbiased, at lambda = 1e-3."""
    widths = scale.torus_widths
    rows = [risk_panels(lambda r: TORUS.of_widths(scale, [r], widths))]
    return CurveFigure(
        rows, title=TORUS.title("reduced risk", r"$\lambda = 10^{-3}$", scale.torus_note)
    )


def distances_by_width(scale: Scale) -> Still:
    """Distance to the teacher for four widths on T^2, biased and unbiased, at lambda = 1e-3."""
    rows = [[
        Panel(regulariser, TO_TEACHER,
              TORUS.of_widths(scale, [regulariser], scale.torus_widths))
        for regulariser in LINES
    ]]  # fmt: skip
    return CurveFigure(
        rows, title=TORUS.title("distances", r"$\lambda = 10^{-3}$", scale.torus_note)
    )


def by_lambda(scale: Scale) -> Still:
    """Risk and distance to the teacher for three lambdas on T^2, at width 1024."""
    width = scale.torus_widths[-1]
    curves = TORUS.of_lambdas(scale, list(LINES), width)
    rows = [[Panel("reduced risk", RISK, curves),
             Panel("distance to the teacher", TO_TEACHER, curves)]]  # fmt: skip
    return CurveFigure(
        rows, title=TORUS.title("risk and distance", f"width {width}", scale.torus_note)
    )


def diracs(scale: Scale) -> Still:
    """A teacher with gamma = 100 and one with two Diracs on T^2, at lambda = 1e-2."""
    width = scale.torus_widths[-1]
    places = {RISK: ("convolution_gamma", "risk_unbiased"),
              TO_TEACHER: ("convolution_gamma", "distance_teacher")}  # fmt: skip
    curves = [
        TORUS.curve(scale, name, k, "-", {"network": {"regularisation": 0.01}}, teacher,
                    width=width, paper=curves_of(places, f"gamma={series} unbiased"))
        for k, (name, series, teacher) in enumerate((
            ("$\\gamma$ = 100", "100", {}), ("two Diracs", "inf (two diracs)", TWO_DIRACS),
        ))
    ]  # fmt: skip
    rows = [[Panel("reduced risk", RISK, curves),
             Panel("distance to the teacher", TO_TEACHER, curves)]]  # fmt: skip
    title = TORUS.title(
        r"$\gamma = 100$ and two Diracs", rf"$\lambda = 10^{{-2}}$, width {width}", scale.torus_note
    )
    return CurveFigure(rows, title=title)


def diffusion(scale: Scale) -> Still:
    """Distances to the diffusion on T^2 by width and by lambda, which the paper does not have."""
    width = scale.torus_widths[-1]
    rows = [[
        Panel(r"$\lambda = 10^{-3}$", TO_DIFFUSION,
              TORUS.of_widths(scale, list(LINES), scale.torus_widths)),
        Panel(f"width {width}", TO_DIFFUSION, TORUS.of_lambdas(scale, ["unbiased"], width)),
    ]]  # fmt: skip
    return CurveFigure(
        rows, title=TORUS.title("distances to the diffusion", "beyond the paper", scale.torus_note)
    )


@dataclass(frozen=True)
class _Teacher(Still):
    def figure(self, results: Results) -> Figure:
        figure = Figure(figsize=(10.0, 3.1), layout="constrained")
        axes = figure.subplots(1, 3)
        line = 4.0 * ((np.arange(PIXELS) + 0.5) / PIXELS - 0.5)
        x = np.stack(np.meshgrid(line, line, indexing="ij"), axis=-1).reshape(-1, 2)
        smooth = load_config(TORUS.preset)
        _image(axes[0], smooth.build().teacher(x), r"teacher, $\gamma = 100$", "density")
        teachers: tuple[Changes, ...] = ({}, TWO_DIRACS)
        for ax, change, name in zip(
            axes[1:], teachers, (r"$\gamma = 100$", "two Diracs"),
            strict=True,
        ):  # fmt: skip
            _image(ax, _signal(smooth.changed(**change), x), f"signal, {name}",
                   "output Y(x)")  # fmt: skip
        return figure


def _signal(config: Config, x: Array) -> Array:
    """The outputs ``(n,)`` of the teacher's neurons at inputs ``(n, 2)``."""
    setup = Setup(config)
    atoms, phi, signal = neurons(setup).teacher, setup.features, np.empty(len(x))
    for rows in blocks_of(len(x), 512):
        values = np.empty((len(atoms.points), len(x[rows])))
        phi.values(atoms.points, x[rows], 1.0, values)
        signal[rows] = atoms.weights @ values
    return signal


def _image(ax: Axes, values: Array, title: str, label: str) -> None:
    shown = ax.imshow(values.reshape(PIXELS, PIXELS).T, origin="lower", extent=(-2, 2, -2, 2),
                      cmap="viridis")  # fmt: skip
    ax.figure.colorbar(shown, ax=ax, label=label, pad=0.02)
    ax.set(title=title, xlabel="$x_1$", ylabel="$x_2$")
