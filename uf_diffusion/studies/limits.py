"""The studies of the two limits: infinite width at a fixed lambda, and then lambda to zero, for the
kernels of the paper and for activations of every kind.
"""

from __future__ import annotations

import math

from uf_diffusion.runs.config import Changes, merged
from uf_diffusion.studies.measurements import (
    energy_between,
    energy_to_density,
    modes_left_out,
    weight_difference,
    weight_error,
)
from uf_diffusion.studies.plans import Quantity, Series, Study

__all__ = ["ACTIVATIONS", "LAMBDA", "WIDTH"]

# on T^2 a teacher that the kernel resolves
_MATERN: Changes = {
    "problem": {
        "teacher": {
            "kind": "bumps",
            "gamma": 10.0,
            "centres": [[-1.0, 0.0], [1.0, 1.0]],
            "weights": [0.5, 0.5],
        }
    },
    "network": {"profile": "matern"},
}

# of the energy distance: that of the best n points in d dimensions, n^(-(d + 1) / (2 d))
_LINE, _PLANE = -1.0, -0.75
_POINT: Changes = {"problem": {"t_end": 1.0}, "diffusion": {"cells": 2048, "rtol": 1e-5}}
_LOW: Changes = {"network": {"kernel": "low-rank"}}
_BALL: Changes = {
    "problem": {"t_end": 0.25},
    "diffusion": {"cells": 1000, "rtol": 1e-4},
    "network": {"features": "fourier", "teacher_placement": "quantile"},
}
_FLAT: Changes = {"diffusion": {"cells": 5120, "rtol": 1e-4}, "problem": {"t_end": 1.0}}

# name, preset, settings, seeds, other placement and its order
_FIXED: tuple[tuple[str, str, Changes, int, str, float], ...] = (
    ("$S^1$ laplace", "matern-circle", _POINT, 64, "even", _LINE),
    ("$S^1$ ReLU", "relu-circle", _POINT, 64, "even", _LINE),
    ("$S^2$ ReLU", "sphere", merged(_FLAT, _LOW), 32, "even", _PLANE),
    (
        "$T^2$ radial",
        "radial-torus",
        merged(_FLAT, _LOW, _MATERN),
        32,
        "even",
        _PLANE,
    ),
    ("$S^9$ fourier", "sphere-9", _BALL, 16, "quantile", math.nan),
)

WIDTH = Study(
    name="width",
    what="Distance of M neurons to the mean-field equation at the same lambda (theory: order -1/2 "
    "if random)",
    preset="matern-circle",
    problem={},
    changes={
        "problem": {"limit": "mean-field"},
        "diffusion": {"snapshots": 2},
        "network": {
            "regularisation": 1e-2,
            "kernel": "population",
            "algorithm": "flow",
            "rtol": 1e-3,
            "teacher_width": 4096,
            "teacher_placement": "even",
        },
    },
    job="train",
    parameter="network.width",
    label="width M (neurons)",
    values=(16, 64, 256, 1024),
    quantities=(
        Quantity("energy_distance", energy_to_density()),
        Quantity("outer_weight_rms", weight_error),
    ),
    series=tuple(
        Series(
            f"{placement}, {name}",
            merged(own, {"network": {"placement": placement}}),
            seeds,
            expected,
            preset,
        )
        for name, preset, own, drawn, other, best in _FIXED
        for placement, seeds, expected in (("random", drawn, -0.5), (other, 1, best))
    ),
    reference_job="solve",
    reference=lambda values: {"network": {"seed": 0}},
    given=(
        Series("random", {"network": {"placement": "random"}}, seeds=32, expected=-0.5),
        Series("even", {"network": {"placement": "even"}}),
    ),
)

# The truncation of a kernel is a multiple of lambda; without one, ReLU on rings needs thousands of
# degrees.
_THREE: Changes = {"problem": {"dim": 3, "teacher": {"kappa": 3.0}}}
_RINGS: Changes = {
    "problem": {"t_end": 0.25},
    "diffusion": {"cells": 1000, "rtol": 1e-4},
    "network": {"kernel": "low-rank", "features": "relu"},
}
_CIRCLE: Changes = {
    "problem": {"t_end": 1.0},
    "diffusion": {"cells": 2048, "rtol": 1e-5},
    "network": {"kernel": "population"},
}
_SURFACE: Changes = {
    "problem": {"t_end": 1.0},
    "diffusion": {"cells": 5120, "rtol": 1e-3},
    "network": {"kernel": "low-rank", "truncation": 1.0},
}
_HINGES: tuple[tuple[str, str, Changes], ...] = (
    ("$S^1$", "relu-circle", _CIRCLE),
    ("$S^2$", "sphere", _SURFACE),
    ("$S^3$", "sphere-9", merged(_RINGS, _THREE)),
    ("$S^9$", "sphere-9", _RINGS),
)
_SMOOTH: Changes = {"network": {"features": "fourier", "profile": "matern"}}
_INJECTIVE: tuple[tuple[str, str, Changes], ...] = (
    ("$S^1$", "matern-circle", _CIRCLE),
    ("$T^2$", "radial-torus", merged(_SURFACE, _MATERN)),
    ("$S^9$", "sphere-9", merged(_RINGS, _SMOOTH)),
)

LAMBDA = Study(
    name="lambda",
    what="Distance of the mean-field equation to its limits as lambda falls: the constrained "
    "equation for ReLU, the ultra-fast diffusion for injective kernels",
    preset="matern-circle",
    problem={},
    changes={"diffusion": {"snapshots": 2}},
    job="solve",
    parameter="network.lambda",
    label=r"regularisation $\lambda$ (dimensionless)",
    values=(1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6),
    quantities=(
        Quantity("energy_distance", energy_between, modes_left_out),
        Quantity("outer_weight_rms", weight_difference),
    ),
    series=tuple(
        Series(
            f"{kernel} to {limit}, {where}", merged(own, {"problem": {"limit": key}}), preset=preset
        )
        for kernel, limit, key, cases in (
            ("ReLU", "constrained", "constrained", _HINGES),
            ("ReLU", "ultra-fast", "unconstrained", _HINGES),
            ("injective", "ultra-fast", "unconstrained", _INJECTIVE),
        )
        for where, preset, own in cases
    ),
    reference_job="solve",
    of_runs={"problem": {"limit": "mean-field"}},
)

# one activation for each space of functions that is seen
_KINDS = ("gelu", "erf", "sigmoid", "gaussian", "relu2", "elu")

ACTIVATIONS = Study(
    name="activations",
    what="Distance of the mean-field equation to the limit of its activation, and to the "
    "ultra-fast diffusion, as lambda falls",
    preset="relu-circle",
    problem={"problem": {"teacher": {"gamma": 10.0}, "t_end": 1.0}},
    changes={
        "diffusion": {"snapshots": 2, "cells": 1024, "rtol": 1e-5},
        "network": {"kernel": "population"},
    },
    job="solve",
    parameter="network.lambda",
    label=r"regularisation $\lambda$ (dimensionless)",
    values=(1e-1, 1e-2, 1e-3, 1e-4, 1e-5),
    quantities=(
        Quantity("energy_distance", energy_between, modes_left_out),
        Quantity("outer_weight_rms", weight_difference),
    ),
    series=tuple(
        Series(
            f"{'to its limit' if limit == 'auto' else 'to the diffusion'}, {name}",
            {
                "problem": {"limit": limit},
                "network": {"features": "activation", "activation": name},
            },
        )
        for limit in ("auto", "unconstrained")
        for name in _KINDS
    ),
    reference_job="solve",
    of_runs={"problem": {"limit": "mean-field"}},
)
