"""Networks that differ in one setting: the curves of most of the paper's figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from paper_figures.curves import Curve
from paper_figures.paper import published
from paper_figures.scale import Scale
from uf_diffusion.plots.style import PALETTE

__all__ = ["LINES", "Family"]

LINES = {"unbiased": "-", "biased": "--"}
PANELS = {
    "risk": "reduced_risk_",
    "energy_distance_teacher": "distance_teacher",
    "energy_distance_diffusion": "distance_diffusion",
}


@dataclass(frozen=True)
class Family:
    """The networks of one experiment.

    Attributes:
        preset: the experiment.
        regularisations: lambda, as they are swept.
        chosen: the lambda of the sweep over widths.
        papers: names of the paper's figures of the risk and of the distances of its widths.
        seen: the quantities of the paper's figure of the distances.
        solver: "diffusion.key=value" for each.
    """

    preset: str
    regularisations: tuple[float, ...]
    chosen: float
    papers: tuple[str, str]
    seen: tuple[str, ...]
    solver: tuple[str, ...] = ()

    def curve(
        self, scale: Scale, label: str, colour: int, line: str, *overrides: str, width: int
    ) -> Curve:
        """The curve of one network."""
        settings = (f"network.width={width}", *self.solver, *overrides)
        return Curve(label, scale.runs(self.preset, *settings), PALETTE[colour], line)

    def of_widths(
        self, scale: Scale, quantity: str, regularisers: Sequence[str], widths: Sequence[int]
    ) -> list[Curve]:
        """A curve for each width at the chosen lambda, with the paper's where it is known."""
        return [
            self._with_paper(quantity, width, regulariser, self.curve(
                scale, f"M = {width}, {regulariser}", k, LINES[regulariser],
                f"network.lambda={self.chosen!r}", f"problem.regulariser={regulariser}",
                width=width))
            for regulariser in regularisers for k, width in enumerate(widths)
        ]  # fmt: skip

    def of_lambdas(
        self, scale: Scale, regularisers: Sequence[str], width: int, *overrides: str
    ) -> list[Curve]:
        """A curve for each lambda."""
        return [
            self.curve(
                scale, f"$\\lambda$ = {value:g}, {regulariser}", k, LINES[regulariser],
                f"network.lambda={value!r}", f"problem.regulariser={regulariser}", *overrides,
                width=width)
            for regulariser in regularisers for k, value in enumerate(self.regularisations)
        ]  # fmt: skip

    def _with_paper(self, quantity: str, width: int, regulariser: str, curve: Curve) -> Curve:
        figure = self.papers[quantity != "risk"]
        panel = PANELS[quantity] + (regulariser if quantity == "risk" else "")
        if quantity != "risk" and quantity not in self.seen:
            return curve
        paper = published(figure, panel, f"M={width} {regulariser}")
        return Curve(curve.label, curve.runs, curve.colour, curve.line, paper)
