"""Networks that differ in one setting: the curves of most of the paper's figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from paper_figures.curves import RISK, TO_DIFFUSION, TO_TEACHER, Curve, Panel
from paper_figures.paper import Published, published
from paper_figures.scale import Scale
from uf_diffusion.plots.style import PALETTE
from uf_diffusion.runs.config import Changes, merged

__all__ = ["LINES", "Family", "risk_panels"]

LINES = {"unbiased": "-", "biased": "--"}
PAPER_PANELS = {TO_TEACHER: "distance_teacher", TO_DIFFUSION: "distance_diffusion"}


@dataclass(frozen=True)
class Family:
    """The networks of one experiment of the paper.

    Attributes:
        name: the name of the experiment in titles.
        preset: the preset that describes the experiment.
        regularisations: the values of lambda in the sweep over lambda.
        chosen: the lambda of the sweep over widths.
        papers: for each quantity in the paper, the name of its figure of the sweep over widths.
        solver: settings of the diffusion.
    """

    name: str
    preset: str
    regularisations: tuple[float, ...]
    chosen: float
    papers: Mapping[str, str]
    solver: Changes = field(default_factory=dict)

    def title(self, what: str, setting: str, note: str) -> str:
        """The title of a figure; ``note`` is that of the `Scale`."""
        return f"{self.name}, {what}: {setting}\n{note}"

    def curve(
        self, scale: Scale, label: str, colour: int, line: str, *changes: Changes, width: int
    ) -> Curve:
        """The curve of the network with this width and these changes of the preset."""
        settings = merged({"network": {"width": width}}, self.solver, *changes)
        return Curve(label, scale.runs(self.preset, settings), PALETTE[colour], line)

    def of_widths(
        self, scale: Scale, quantity: str, regularisers: Sequence[str], widths: Sequence[int]
    ) -> list[Curve]:
        """A curve for each regulariser and width at the chosen lambda, with the paper's curve."""
        curves = []
        for regulariser in regularisers:
            settings = _setting(self.chosen, regulariser)
            for k, width in enumerate(widths):
                curve = self.curve(scale, f"M = {width}, {regulariser}", k, LINES[regulariser],
                                   settings, width=width)  # fmt: skip
                paper = self._paper(quantity, width, regulariser)
                curves.append(replace(curve, paper=paper))
        return curves

    def of_lambdas(self, scale: Scale, regularisers: Sequence[str], width: int) -> list[Curve]:
        """A curve for each regulariser and lambda, at one width."""
        return [
            self.curve(
                scale, f"$\\lambda$ = {value:g}, {regulariser}", k, LINES[regulariser],
                _setting(value, regulariser), width=width)
            for regulariser in regularisers for k, value in enumerate(self.regularisations)
        ]  # fmt: skip

    def _paper(self, quantity: str, width: int, regulariser: str) -> Published | None:
        if quantity not in self.papers:
            return None
        panel = PAPER_PANELS.get(quantity, f"reduced_risk_{regulariser}")
        return published(self.papers[quantity], panel, f"M={width} {regulariser}")


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
