"""The studies that ``uf-diffusion study`` offers, each a value of type `Study`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from uf_diffusion.core.errors import InputError
from uf_diffusion.core.wording import unknown
from uf_diffusion.runs.config import Changes, merged
from uf_diffusion.runs.setup import Setup
from uf_diffusion.studies.dimensions import DIMENSION
from uf_diffusion.studies.limits import ACTIVATIONS, LAMBDA, WIDTH
from uf_diffusion.studies.measurements import (
    compared,
    decay_rate,
    density_error,
    displacement,
    energy_to_density,
    energy_to_network,
    slowest_mode,
)
from uf_diffusion.studies.plans import Plan, Quantity, Series, Study

__all__ = ["STUDIES", "possible_plan", "study_named"]

# a network without sampling noise, unless a study adds some
_NOISELESS: Changes = {
    "network": {"kernel": "population", "placement": "even", "teacher_placement": "even"}
}
_AT_ONE: Changes = {"problem": {"t_end": 1.0}, "diffusion": {"snapshots": 2}}


def _finest_step(values: Sequence[float]) -> Changes:
    return {"diffusion": {"scheme": "esdirk4", "step": min(values) / 4}}


def _finest_mesh(values: Sequence[float]) -> Changes:
    return {"diffusion": {"degree": 3, "cells": 8 * int(max(values))}}


# problems whose initial densities have no symmetry that would make the slowest mode vanish
_CIRCLE: Changes = {
    "problem": {"teacher": {"kind": "bumps", "gamma": 10.0}, "t_end": 16.0},
    "diffusion": {"cells": 1024},
}
_SPHERE: Changes = {
    "problem": {
        "teacher": {"kind": "von-mises-fisher", "kappa": 1.0},
        "initial": {"kind": "von-mises-fisher", "kappa": 0.5, "means": [[0.0, 1.0, 1.0]]},
        "t_end": 10.0,
    },
    "diffusion": {"cells": 5120},
}
_TORUS: Changes = {
    "problem": {
        "teacher": {"kind": "bumps", "gamma": 10.0},
        "initial": {"kind": "bumps", "gamma": 1.0, "centres": [[0.3, -0.7]]},
        "t_end": 16.0,
    },
    "diffusion": {"cells": 8192},
}

_ALL = (
    Study(
        name="samples",
        what="Distance of a network with N inputs to one with infinitely many (theory: order -1/2)",
        preset="relu-circle",
        problem=_AT_ONE,
        changes=merged(_NOISELESS, {"network": {"kernel": "sampled", "width": 8192}}),
        job="train",
        parameter="network.samples",
        label="inputs N",
        values=tuple(2**k for k in range(7, 15)),
        quantities=(
            Quantity("displacement", displacement),
            Quantity("energy_distance", energy_to_network),
        ),
        series=(Series("random inputs", seeds=8, expected=-0.5),),
        reference_job="train",
        reference=lambda values: {"network": {"kernel": "population", "seed": 0}},
    ),
    Study(
        name="step",
        what="Distance of gradient descent to the gradient flow (theory: order 1)",
        preset="matern-circle",
        problem=merged({"network": {"regularisation": 0.01}}, _AT_ONE),
        changes=_NOISELESS,
        job="train",
        parameter="network.step",
        label=r"training step $\tau$ (time)",
        values=tuple(2.0**-k for k in range(7, 13)),
        quantities=(Quantity("displacement", displacement),),
        series=(Series("varpro", expected=1.0),),
        reference_job="train",
        reference=lambda values: {"network": {"algorithm": "flow", "rtol": 1e-08}},
    ),
    Study(
        name="mesh",
        what="Error of the density by the elements' degree (theory: order degree + 1)",
        preset="relu-circle",
        problem={"problem": {"t_end": 0.5}, "diffusion": {"snapshots": 2}},
        # the time step is the same for all meshes, so its error does not depend on h
        changes={"diffusion": {"step": 0.015625}},
        job="solve",
        parameter="diffusion.cells",
        label="longest edge h (length)",
        values=(128, 181, 256, 362, 512),
        quantities=(Quantity("density_error", density_error),),
        series=tuple(
            Series(f"degree {k}", {"diffusion": {"degree": k}}, expected=k + 1) for k in (1, 2, 3)
        ),
        reference_job="solve",
        reference=_finest_mesh,
        abscissa=lambda config, value: Setup(config).grid.spacing,
    ),
    Study(
        name="time-step",
        what="Error of the density by the time scheme (theory: the scheme's own order)",
        preset="relu-circle",
        # a mild teacher: the orders show only for steps that resolve the fastest initial decay
        problem=merged(
            {"problem": {"teacher": {"gamma": 2.0}}, "diffusion": {"cells": 1024}}, _AT_ONE
        ),
        changes={},
        job="solve",
        parameter="diffusion.step",
        label=r"time step $\tau$ (time)",
        values=tuple(2.0**-k for k in range(5, 10)),
        quantities=(Quantity("density_error", density_error),),
        series=tuple(
            Series(name, {"diffusion": {"scheme": name}}, expected=order)
            for name, order in (("euler", 1), ("sdirk2", 2), ("sdirk3", 3), ("esdirk4", 4))
        ),
        reference_job="solve",
        reference=_finest_step,
    ),
    Study(
        name="gamma",
        what="How a comparison depends on the teacher's sharpness (measured, not predicted)",
        preset="matern-circle",
        problem=_AT_ONE,
        changes=merged(
            _NOISELESS,
            {
                "network": {"width": 8192, "teacher_width": 8192, "algorithm": "flow"},
                "diffusion": {"cells": 16384},
            },
        ),
        job="compare",
        parameter="problem.teacher.gamma",
        label=r"sharpness $\gamma$ of the teacher (dimensionless)",
        values=(1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0),
        quantities=(
            Quantity("energy_distance_diffusion", energy_to_density(), energy_to_density(0.0)),
            Quantity("energy_distance_teacher", compared("energy_distance_teacher")),
            Quantity("decay_rate", decay_rate),
        ),
        series=(Series("flow"),),
    ),
    Study(
        name="two-timescale",
        what="Distance to VarPro by the total rate of the outer steps (theory: order -1)",
        preset="matern-circle",
        problem=merged({"network": {"regularisation": 0.1}}, _AT_ONE),
        changes=merged(
            _NOISELESS, {"network": {"algorithm": "two-timescale", "step": 0.00048828125}}
        ),
        job="train",
        parameter="network.ratio",
        label="outer rate for each inner step (dimensionless)",
        values=tuple(2.0**k for k in range(-5, 1)),
        quantities=(Quantity("displacement", displacement),),
        series=(Series("two-timescale", expected=-1.0),),
        reference_job="train",
        reference=lambda values: {"network": {"algorithm": "varpro"}},
    ),
    Study(
        name="decay",
        what="The last decay of the ratio in units of its predicted rate (theory: -1)",
        preset="relu-circle",
        problem={},
        changes={"diffusion": {"rtol": 1e-05, "snapshots": 61}},
        job="solve",
        parameter="",
        label=r"time $t\, f''(1)\, \lambda_1$ (dimensionless)",
        values=tuple(np.arange(6, 12.1, 0.5).tolist()),
        quantities=(Quantity("slowest_mode", slowest_mode),),
        series=(
            Series("$S^1$", _CIRCLE, expected=-1.0, preset="relu-circle"),
            Series("$S^2$", _SPHERE, expected=-1.0, preset="sphere"),
            Series("$T^2$", _TORUS, expected=-1.0, preset="radial-torus"),
        ),
        reference_job="spectrum",
        law="exponential",
    ),
)

STUDIES = {s.name: s for s in (WIDTH, LAMBDA, ACTIVATIONS, *_ALL, DIMENSION)}


def possible_plan(
    name: str, source: str, overrides: Sequence[str], values: Sequence[float], seeds: int | None
) -> Plan:
    """`Study.plan` of a study, if at least one of its runs can begin. Call it on all ranks.

    Raises:
        InputError: as `study_named` and `Study.plan`; or if no run can begin, with the studies that
            are possible for the problem.
    """
    plan = study_named(name).plan(source, overrides, values, seeds)
    try:
        plan.require_possible()
    except InputError as error:
        way = _placements(plan)
        others = [s for s in STUDIES if _possible(s, source, [*overrides, *way])]
        there = f"there are {', '.join(others)}" if others else "there is none"
        raise InputError(f"{error} With {' and '.join(way)} {there}.") from None
    return plan


def _placements(plan: Plan) -> tuple[str, str]:
    """The settings of placements that exist where there is no even one."""
    try:
        kind = "random" if Setup(plan.base).problem.axis is None else "quantile"
    except InputError:
        kind = "random"
    return f"network.placement={kind}", f"network.teacher_placement={kind}"


def _possible(name: str, source: str, overrides: Sequence[str]) -> bool:
    try:
        STUDIES[name].plan(source, overrides).require_possible()
    except InputError:
        return False
    return True


def study_named(name: str) -> Study:
    """The study with this name.

    Raises:
        InputError: for an unknown name.
    """
    if name not in STUDIES:
        raise unknown("study", name, STUDIES)
    return STUDIES[name]
