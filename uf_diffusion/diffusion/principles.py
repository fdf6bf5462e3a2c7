"""The principles that a step of the ultra-fast diffusion must not violate, and their tolerance."""

from __future__ import annotations

from typing import NamedTuple

from uf_diffusion.core.compiled import compiled
from uf_diffusion.diffusion.states import DiffusionState

__all__ = ["STAGE", "VIOLATED", "Watched", "stage_tolerance", "step_tolerance",
           "violated", "watched"]  # fmt: skip

STAGE = 1e-2  # tolerance of a stage as a fraction of the step control's tolerance
ROUND_OFF = 1e-14  # relative error of u that estimates cannot resolve

VIOLATED = (
    "",
    "the dual energy increased",
    "the risk increased",
    "the minimum of mu/nu fell",
    "the maximum of mu/nu rose",
)


class Watched(NamedTuple):
    """The numbers of a state that the principles are about, as in `DiffusionState`."""

    risk: float
    dual_energy: float
    min_ratio: float
    max_ratio: float


def watched(state: DiffusionState) -> Watched:
    """The numbers of a state."""
    return Watched(state.risk, state.dual_energy, state.min_ratio, state.max_ratio)


@compiled
def step_tolerance(rtol: float, distance: float) -> float:
    """The tolerance for the relative error of u in a step: relative to the distance from
    equilibrium, and above round-off.

    Args:
        rtol: tolerance of the step control.
        distance: distance of the state from the teacher, see `DiffusionState`.
    """
    return max(ROUND_OFF, rtol * min(1.0, max(1e-8, distance)))


@compiled
def stage_tolerance(exact: bool, rtol: float, distance: float) -> float:
    """The tolerance for the relative error of u in a stage: round-off for implicit Euler, whose
    principles are exact, and for fixed steps; else a small fraction of the step's tolerance.

    Args:
        exact: whether it is round-off.
        rtol, distance: see `step_tolerance`.
    """
    if exact:
        return 1e-13
    return max(1e-16, STAGE * step_tolerance(rtol, distance))


@compiled
def violated(old: Watched, new: Watched, slack: float, monotone: bool) -> int:
    """Which principle a step violates by more than ``slack``, as a place in `VIOLATED`.

    Args:
        old, new: the numbers before and after the step.
        slack: relative tolerance.
        monotone: whether K has no positive entry off the diagonal; else only the dual energy is
            sure to decrease.
    """
    if new.dual_energy > old.dual_energy + slack * max(abs(old.dual_energy), 1e-3):
        return 1
    if not monotone:
        return 0
    if new.risk > old.risk + slack * max(abs(old.risk), 1e-3):
        return 2
    if new.min_ratio < old.min_ratio * (1 - slack):
        return 3
    if new.max_ratio > old.max_ratio * (1 + slack):
        return 4
    return 0
