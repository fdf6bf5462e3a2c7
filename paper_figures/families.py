"""Networks that differ in one setting: the curves of most of the paper's figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from paper_figures.curves import RISK, TO_DIFFUSION, TO_TEACHER, Curve, Panel
from paper_figures.kept import is_kept
from paper_figures.paper import SEEDS, Published, curves_of, vertices
from paper_figures.scale import AS_KEPT, DRAWS, WIDTHS, Scale
from uf_diffusion.plots.style import PALETTE
from uf_diffusion.runs.config import Changes, merged

__all__ = ["LINES", "Family", "exponent", "risk_panels"]

LINES = {"unbiased": "-", "biased": "--"}
PANELS = {TO_TEACHER: "distance_teacher", TO_DIFFUSION: "distance_diffusion"}


@dataclass(frozen=True)
class Family:
    """The networks of one experiment of the paper.

    Attributes:
        name: the name of the experiment in titles.
        preset: the preset that describes the experiment.
        experiment: how the names of the paper's figures of it begin.
        regularisations: the values of lambda in the sweep over lambda.
        chosen: the lambda of the sweep over widths.
        solver: settings of the diffusion.
    """

    name: str
    preset: str
    experiment: str
    regularisations: tuple[float, ...]
    chosen: float
    solver: Changes = field(default_factory=dict)

    def title(self, what: str, setting: str, note: str) -> str:
        """The title of a figure; ``note`` is that of the `Scale`."""
        return f"{self.name}, {what}: {setting}\n{note}"

    def curve(
        self, scale: Scale, label: str, colour: int, line: str, *changes: Changes, width: int,
        paper: Mapping[str, Published], seeds: int = 0, paper_seeds: int = SEEDS,
    ) -> Curve:  # fmt: skip
        """The curve of the network with this width and these changes of the preset.

        Args:
            scale: how much is computed.
            label, colour, line: as in `Curve`, the colour as a number.
            changes: changes of the preset.
            width: number of neurons.
            paper: the same network's curves in the paper.
            seeds: number of seeds, if not that of the scale.
            paper_seeds: number of seeds of the paper's curves.
        """
        times = scale.times_at(vertices(self.experiment, "distance"))
        setting: Changes = {
            "network": {"width": width, "draws": DRAWS[scale.draws]},
            "diffusion": {"snapshots": times},
        }
        settings = merged(setting, self.solver, *changes)
        runs = scale.runs(self.preset, settings, seeds=seeds)
        if self.experiment == "convolution" and scale.torus_seeds == AS_KEPT:
            runs = tuple(run for run in runs if is_kept(run))
        elif self.experiment == "convolution":
            runs = runs[: scale.torus_seeds]
        paper = paper if scale.draws == "paper" else {}
        return Curve(label, runs, PALETTE[colour], line, paper, paper_seeds)

    def of_widths(
        self, scale: Scale, regularisers: Sequence[str], widths: Sequence[int]
    ) -> list[Curve]:
        """A curve for each regulariser and width at the chosen lambda."""
        return [
            self.curve(scale, f"M = {width}, {regulariser}", k, LINES[regulariser],
                       _setting(self.chosen, regulariser), width=width,
                       paper=curves_of(self._of_width(regulariser), f"M={width} {regulariser}"))
            for regulariser in regularisers for k, width in enumerate(widths)
        ]  # fmt: skip

    def of_lambdas(self, scale: Scale, regularisers: Sequence[str], width: int) -> list[Curve]:
        """A curve for each regulariser and lambda, at one width; the paper's is 1024."""
        return [
            self.curve(scale, f"$\\lambda$ = {value:g}, {regulariser}", k, LINES[regulariser],
                       _setting(value, regulariser), width=width,
                       paper=self._of_lambda(value, regulariser) if width == WIDTHS[-1] else {})
            for regulariser in regularisers for k, value in enumerate(self.regularisations)
        ]  # fmt: skip

    @property
    def _end(self) -> str:
        """How the names of the paper's figures of the sweeps end."""
        return "_evolution" if self.experiment == "relu1d" else ""

    def _of_width(self, regulariser: str) -> dict[str, tuple[str, str]]:
        """The paper's figures and panels of the sweep over widths, by their quantities."""
        risk, distance = (f"{self.experiment}_width_{what}{self._end}" for what in
                          ("risk", "distance"))  # fmt: skip
        return {
            RISK: (risk, f"reduced_risk_{regulariser}"),
            **{quantity: (distance, panel) for quantity, panel in PANELS.items()},
        }

    def _of_lambda(self, value: float, regulariser: str) -> dict[str, Published]:
        figure = f"{self.experiment}_lmbda_distance{self._end}"
        return curves_of(
            {quantity: (figure, panel) for quantity, panel in PANELS.items()},
            f"lambda={exponent(value)} {regulariser}",
        )


def exponent(value: float) -> str:
    """A power of ten as the paper writes it, such as 1e-3."""
    return f"{value:.0e}".replace("e-0", "e-")


def _setting(regularisation: float, regulariser: str) -> Changes:
    """The changes that set lambda and the regulariser."""
    return {
        "network": {"regularisation": regularisation},
        "problem": {"regulariser": regulariser},
    }


def risk_panels(curves: Callable[[str], Sequence[Curve]]) -> list[Panel]:
    """A panel of risks for each regulariser, with the same axes as in the paper.

    Args:
        curves: a function from the name of a regulariser to its curves.
    """
    return [
        Panel(regulariser, RISK, curves(regulariser), logarithmic=regulariser == "biased")
        for regulariser in ("biased", "unbiased")
    ]
