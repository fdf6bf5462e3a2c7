"""The states of a diffusion, and the failure of a solver."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from uf_diffusion.core.arrays import Array
from uf_diffusion.core.errors import RunFailure
from uf_diffusion.core.reprs import one_line

__all__ = ["Before", "DiffusionState", "Pace", "SolverFailure", "stopped"]


class SolverFailure(RunFailure):
    """The solver cannot continue; the message has the reason and, in a step, the time."""


def stopped(state: DiffusionState, tau: float, reason: str) -> SolverFailure:
    """The failure of a solver for which no step from a state is small enough.

    Args:
        state: the last state.
        tau: the length that the next step would have had.
        reason: why the last step failed; empty for its error.
    """
    return SolverFailure(
        f"The diffusion solver stopped at t = {state.t:.6g} with step {tau:.1e} and "
        f"min mu/nu = {state.min_ratio:.3g}: {reason or 'the error stays above rtol'}."
    )


class Before(NamedTuple):
    """The previous state's time, and its potential and the derivative of its ratio at this rank's
    nodes, ``(owned,)``.
    """

    t: float
    potential: Array
    derivative: Array


class Pace(NamedTuple):
    """The state of the step control: the length of the next step, and the error of the last step as
    a multiple of the tolerance.
    """

    step: float
    error: float


@dataclass(frozen=True)
class DiffusionState:
    """The solution at one time, at this rank's nodes, and the work of the last step.

    It contains everything that the next step depends on. All numbers are dimensionless.

    Attributes:
        t: time.
        step: number of accepted steps so far.
        step_size: length of the last step; 0 at the start.
        ratio: h = mu / nu at the owned nodes, ``(owned,)``, positive.
        potential: w at the owned nodes, ``(owned,)``, for the homogeneous form of the divergence.
        derivative: dh/dt at the owned nodes, ``(owned,)``.
        mass: integral of mu over the mesh.
        risk: L0; the PDE is its gradient flow in W_2.
        dual_energy: the energy whose gradient flow in H^-1(nu) the PDE is, KL(nu | mu) for p = 2;
            NaN for the constrained equation, which has none.
        min_ratio, max_ratio: minimum and maximum of h over all ranks.
        distance: distance from the teacher, the root mean square over nu of h - 1.
        newton_iterations, linear_iterations: numbers of iterations in the last step.
        stage_error: estimated error that Newton's method left in the stages of the last step: the
            largest relative error of u, or, for the constrained equation, the misplaced mass.
        dissipation: int mu |grad G|^2, the rate at which a transport lowers the risk; NaN for the
            ultra-fast diffusion.
        pace: the state of the step control; None at the start and with fixed steps.
        before: the previous state, for a first guess by extrapolation; None at the start.
    """

    t: float
    step: int
    step_size: float
    ratio: Array
    potential: Array
    derivative: Array
    mass: float
    risk: float
    dual_energy: float
    min_ratio: float
    max_ratio: float
    distance: float
    newton_iterations: int = 0
    linear_iterations: int = 0
    stage_error: float = 0.0
    dissipation: float = math.nan
    pace: Pace | None = None
    before: Before | None = None

    def __repr__(self) -> str:
        return one_line(
            "DiffusionState", t=self.t, step=self.step, mass=self.mass, risk=self.risk,
            nodes=len(self.ratio),
        )  # fmt: skip
