"""Measured errors, orders and rates on problems whose answer is known.

The tests assert these numbers and ``scripts/verify.py`` prints them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from uf_diffusion.diffusion.schemes import SCHEMES
from uf_diffusion.diffusion.solver import DiffusionState, UltraFastDiffusion
from uf_diffusion.network.feature_maps import FeatureMap
from uf_diffusion.network.features import Feature
from uf_diffusion.network.projection import project
from uf_diffusion.problem import Problem
from uf_diffusion.problem.densities import Uniform
from uf_diffusion.problem.divergences import Divergence, Unbiased
from uf_diffusion.problem.exact import FirstMode, QuantileHeatFlow
from uf_diffusion.problem.grids import grid_on
from uf_diffusion.problem.manifolds import Array, Circle, Manifold

__all__ = [
    "decay_rate",
    "directional_derivatives",
    "heat_flow_error",
    "kernel_error",
    "observed_order",
]


def observed_order(sizes: Sequence[float], errors: Sequence[float]) -> float:
    """The slope of log error over log size, by least squares."""
    return float(np.polyfit(np.log(sizes), np.log(errors), 1)[0])


def heat_flow_error(
    cells: int, step_size: float, scheme: str = "sdirk2", t: float = 1.0, degree: int = 1
) -> float:
    """Largest nodal error of the density at t on the circle with a uniform teacher.

    The exact solution is `QuantileHeatFlow`; the time step is fixed.
    """
    exact = QuantileHeatFlow(Circle())
    problem = Problem(exact.manifold, Uniform(exact.manifold), exact, Unbiased(), t)
    solver = UltraFastDiffusion(problem, grid_on(exact.manifold, cells, degree), SCHEMES[scheme])
    for state in solver.iterate(t, step_size):
        pass
    return float(np.abs(state.ratio * solver.teacher - exact.at(t)(solver.points)).max())


def decay_rate(
    manifold: Manifold, cells: int, divergence: Divergence | None = None, rtol: float = 1e-4
) -> float:
    """The rate at which a 1 % first mode on a uniform teacher decays, over one decay time."""
    t_end = 1 / manifold.spectral_gap
    problem = Problem(
        manifold, Uniform(manifold), FirstMode(manifold), divergence or Unbiased(), t_end
    )
    solver = UltraFastDiffusion(problem, grid_on(manifold, cells), rtol=rtol)
    mode = manifold.first_harmonic(solver.points.T)

    def amplitude(state: DiffusionState) -> float:
        return float(solver.comm.allreduce(solver.weight @ (mode * (state.ratio - 1))))

    states = list(solver.iterate(t_end))
    return float(np.log(amplitude(states[0]) / amplitude(states[-1])) / t_end)


def directional_derivatives(
    feature_map: FeatureMap,
    manifold: Manifold,
    feature: Array,
    direction: Array,
    divergence: Divergence,
    regularisation: float,
    h: float = 1e-5,
) -> tuple[float, float]:
    """The reduced risk's derivative along tangent vectors: by its velocity, and by differences.

    Args:
        feature_map: Psi, bound to a teacher.
        manifold: moves the features.
        feature: omega, ``(M, ambient)``.
        direction: tangent vectors there.
        divergence: unbiased or biased.
        regularisation: lambda.
        h: step of the central difference.
    """

    def risk(omega: Array) -> float:
        return project(feature_map.at(omega), len(omega), divergence, regularisation).risk

    velocity = project(
        feature_map.at(feature), len(feature), divergence, regularisation
    ).velocity  # fmt: skip
    ahead, behind = (manifold.retract(feature, s * h * direction) for s in (1, -1))
    return (
        -float((velocity * direction).sum()) / len(feature),
        (risk(ahead) - risk(behind)) / (2 * h),
    )


def kernel_error(feature: Feature, omega: Array, samples: int, rng: np.random.Generator) -> float:
    """Root mean square difference of the sampled from the population kernel at ``omega``."""
    assert feature.kernel is not None
    psi = feature(omega, feature.inputs(samples, rng))[0]
    return float(np.sqrt(np.mean((psi @ psi.T / samples - feature.kernel(omega, omega)[0]) ** 2)))
