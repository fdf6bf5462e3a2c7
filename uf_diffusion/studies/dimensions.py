"""The study of the dimension: whether the diffusion describes networks with many inputs."""

from __future__ import annotations

import numpy as np
from scipy.optimize import brentq

from uf_diffusion.problem.densities import VonMisesFisher
from uf_diffusion.problem.manifolds import Sphere
from uf_diffusion.runs.config import Changes, merged
from uf_diffusion.studies.measurements import energy_to_density, weight_error
from uf_diffusion.studies.plans import Quantity, Series, Study

__all__ = ["DIMENSION", "equally_hard"]

DIMS = (1, 2, 3, 5, 10, 20, 50)
CHI2 = 1.0  # of the teacher against the uniform initial density, the same in every dimension


def equally_hard(dim: int, chi2: float = CHI2) -> float:
    """The concentration kappa at which a von Mises-Fisher density on S^dim has a given chi^2.

    chi^2 is the integral of (nu - mu)^2 / mu against the uniform density mu. It is the risk at the
    start for the unbiased regulariser, up to a factor. With the density c exp(kappa s) and the
    volume V of the sphere it is V c(kappa)^2 / c(2 kappa) - 1.
    """
    sphere = Sphere(dim)
    peak = VonMisesFisher(sphere).peak

    def excess(kappa: float) -> float:
        return sphere.volume * peak(kappa) ** 2 / peak(2 * kappa) - 1 - chi2

    return float(brentq(excess, 1e-3, 1e3, xtol=1e-10))


def _on_sphere(dim: int) -> Changes:
    return {
        "problem": {
            "dim": dim,
            "axis": np.eye(1, dim + 1)[0].tolist(),
            "teacher": {"kind": "von-mises-fisher", "kappa": round(equally_hard(dim), 6)},
            "t_end": 1 / dim,  # in which the slowest mode near equilibrium falls to 1 / e
        },
    }


_FOURIER: Changes = {"network": {"features": "fourier", "scale": 1.0, "profile": "matern"}}
_RELU: Changes = {"problem": {"limit": "constrained"}, "network": {"features": "relu"}}

DIMENSION = Study(
    name="dimension",
    what="Distance of networks on S^d to their limits: fourier to the diffusion, ReLU to the "
    "constrained equation (theory: order -1/2 until lambda limits it)",
    preset="sphere-9",
    problem={},
    changes={
        "diffusion": {"cells": 1000, "snapshots": 2},
        "network": {
            "regularisation": 1e-4,
            "kernel": "sampled",
            "samples": 2048,
            "teacher_width": 8192,
            "algorithm": "flow",
            "rtol": 1e-3,
            "placement": "random",
            "teacher_placement": "quantile",
        },
    },
    job="train",
    parameter="network.width",
    label="width M (neurons)",
    values=(128, 512, 2048, 8192),
    quantities=(
        Quantity("energy_distance", energy_to_density(), energy_to_density(0.0)),
        Quantity("outer_weight_rms", weight_error),
    ),
    series=tuple(
        Series(f"{name}, $d$ = {dim}", merged(_on_sphere(dim), own), seeds=2, expected=-0.5)
        for name, own in (("fourier", _FOURIER), ("relu", _RELU))
        for dim in DIMS
    ),
    reference_job="solve",
    reference=lambda values: {"network": {"seed": 0}},
)
