"""Figures that go beyond the paper: other limits and manifolds, error budgets, animations."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure

from paper_figures.curves import RISK, TO_DIFFUSION, TO_TEACHER, Curve, CurveFigure, Panel
from paper_figures.drawing import Drawing, Results, Still
from paper_figures.movies import animate
from paper_figures.scale import Scale
from uf_diffusion.plots.figures import arranged
from uf_diffusion.plots.histories import budget_panels
from uf_diffusion.plots.style import PALETTE
from uf_diffusion.reports.studies import draw_study
from uf_diffusion.runs.config import Changes, Config, merged
from uf_diffusion.runs.reading import load_config
from uf_diffusion.studies.cache import Run
from uf_diffusion.studies.catalogue import study_named
from uf_diffusion.studies.error_budget import budget
from uf_diffusion.studies.ladder import ladder
from uf_diffusion.studies.plans import Plan

__all__ = ["decay", "error_budget", "injective", "movie_circle", "movie_sphere", "movie_torus",
           "sphere"]  # fmt: skip

PANELS = {RISK: "reduced risk", TO_TEACHER: "distance to the teacher",
          TO_DIFFUSION: "distance to the diffusion"}  # fmt: skip
# gradient flow of evenly placed neurons with infinitely many inputs: no noise and no step size
NOISELESS: Changes = {
    "network": {
        "algorithm": "flow",
        "placement": "even",
        "teacher_placement": "even",
        "width": 4096,
        "teacher_width": 4096,
        "kernel": "population",
    }
}
FRAMES = 48


def sphere(scale: Scale) -> Still:
    """Risk and distances of the gradient flow, ReLU on S^2, for three lambdas and two widths."""
    widths = (64,) if scale.quick else (128, 1024)
    curves = [
        Curve(f"$\\lambda$ = {value:g}, M = {width}",
              scale.runs("sphere", _flow(scale, 10.0), {
                  "network": {"kernel": "low-rank", "regularisation": value, "width": width},
                  "diffusion": {"cells": 5120},
              }),
              PALETTE[k], line)
        for width, line in zip(widths, (":", "-"), strict=False)
        for k, value in enumerate((1e-1, 1e-2, 1e-3))
    ]  # fmt: skip
    rows = [[Panel(title, name, curves) for name, title in PANELS.items()]]
    title = f"ReLU on $S^2$, population kernel, gradient flow\n{scale.warning}{scale.sample()}"
    return CurveFigure(rows, title=title)


def injective(scale: Scale) -> Still:
    """Distance to the diffusion for several lambdas: an injective kernel, and ReLU features."""
    rows = [[
        Panel(title, TO_DIFFUSION, [
            Curve(f"$\\lambda$ = {value:g}",
                  Scale(1, scale.quick).runs(preset, _flow(scale, 10.0), NOISELESS,
                                             {"network": {"regularisation": value}}),
                  PALETTE[k])
            for k, value in enumerate((1e-1, 1e-2, 1e-3, 1e-4, 1e-5)[: 3 if scale.quick else 5])
        ])
        for preset, title in (("matern-circle", "Matérn-3/2: injective"),
                              ("relu-circle", "ReLU: blind to odd waves"))
    ]]  # fmt: skip
    title = rf"{scale.warning}$\lambda \to 0$ on $S^1$: 4096 neurons, no sampling noise"
    return CurveFigure(rows, title=title)


def error_budget(scale: Scale) -> Still:
    """The error budget of the paper's network: what each approximation adds to its distance."""
    small: Changes = {
        "network": {"width": 128, "step": 0.0078125},
        "problem": {"t_end": 1.0},
        "diffusion": {"cells": 512, "snapshots": 3},
    }
    full: Changes = {
        "network": {"width": 1024},
        "problem": {"t_end": 5.0},
        "diffusion": {"snapshots": 6},
    }
    config = load_config("paper-6.1").changed(**(small if scale.quick else full))
    return _Budget(config, title=f"Error budget, {scale.warning}section 6.1, "
                                 f"width {config.network.width}")  # fmt: skip


def decay(scale: Scale) -> Still:
    """The decay rate of the diffusion at late times against the spectral gap: S^1, S^2, T^2."""
    coarse: Changes = {"diffusion": {"cells": 512}} if scale.quick else {}
    title = f"{scale.warning}last decay against $\\lambda_1$"
    return _Decay(study_named("decay").plan(changes=coarse), title=title)


def movie_circle(scale: Scale) -> Drawing:
    """A movie of diffusion and network on the circle with ReLU features, section 6.1."""
    config = _filmed(scale, "relu-circle", 10.0, {"network": {"width": 512}})
    return _Movie(config, rf"{scale.warning}ReLU on $S^1$")


def movie_torus(scale: Scale) -> Drawing:
    """A movie of diffusion and network on T^2 with radial features, appendix B."""
    config = _filmed(scale, "radial-torus", 4.0, {"diffusion": {"cells": 8192}})
    return _Movie(config, rf"{scale.warning}radial features on $T^2$")


def movie_sphere(scale: Scale) -> Drawing:
    """A movie of diffusion and network on S^2 with ReLU features."""
    settings: Changes = {"diffusion": {"cells": 5120}, "network": {"kernel": "low-rank"}}
    config = _filmed(scale, "sphere", 4.0, settings)
    return _Movie(config, rf"{scale.warning}ReLU on $S^2$")


def _flow(scale: Scale, t_end: float) -> Changes:
    """The changes for a gradient flow to ``t_end``, or to a quarter of it for a quick look."""
    end = t_end / 4 if scale.quick else t_end
    times = [t for t in scale.times if t < end] + [end]
    return {
        "network": {"algorithm": "flow"},
        "problem": {"t_end": end},
        "diffusion": {"snapshots": times},
    }


def _filmed(scale: Scale, preset: str, t_end: float, settings: Changes) -> Config:
    """The configuration of a movie's comparison: a snapshot for each frame, denser at the start."""
    end = t_end / 2 if scale.quick else t_end
    frames = FRAMES // 3 if scale.quick else FRAMES
    step = 2.0**-6
    steps = sorted({round((k / frames) ** 2 * end / step) for k in range(frames + 1)})
    small: Changes = {"network": {"width": 128, "samples": 1024}} if scale.quick else {}
    timed: Changes = {
        "problem": {"t_end": end},
        "diffusion": {"snapshots": [k * step for k in steps]},
        "network": {"step": step},
    }
    return load_config(preset).changed(**merged(timed, settings, small))


@dataclass(frozen=True)
class _Budget(Still):
    """The figure of an error budget of the comparison that ``config`` describes."""

    config: Config

    @property
    def runs(self) -> list[Run]:
        return [self._compared, *(rung.run for rung in ladder(self.config))]

    @property
    def _compared(self) -> Run:
        return Run("compare", self.config)

    def figure(self, results: Results) -> Figure:
        rungs = ladder(self.config)
        found = [results[rung.run] for rung in rungs]
        panels = budget_panels(budget(results[self._compared], rungs, found))
        return arranged([[(panel, [-1]) for panel in panels]])


@dataclass(frozen=True)
class _Decay(Still):
    """The figure of the study "decay" with the given plan."""

    plan: Plan

    @property
    def runs(self) -> list[Run]:
        return self.plan.runs

    def figure(self, results: Results) -> Figure:
        return draw_study(self.plan.measured([results[run] for run in self.runs]))


@dataclass(frozen=True)
class _Movie(Drawing):
    """A movie of the comparison that ``config`` describes, with a title on every frame."""

    config: Config
    title: str

    @property
    def runs(self) -> list[Run]:
        return [Run("compare", self.config)]

    def write(self, results: Results, stem: Path) -> Path:
        path = stem.with_suffix(".gif")
        animate(results[self.runs[0]], path, title=self.title)
        return path
