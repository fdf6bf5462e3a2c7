"""Solutions of the mean-field equation and their errors against spectral ones.

Tests and `scripts/verify.py` share these functions.
"""

from typing import NamedTuple

import numpy as np
import spectral_mean_field as spectral

import uf_diffusion as uf
from uf_diffusion.diffusion.constrained import ConstrainedDiffusion
from uf_diffusion.diffusion.history import DiffusionHistory
from uf_diffusion.diffusion.mean_field import MeanFieldDiffusion
from uf_diffusion.diffusion.schemes import SCHEMES
from uf_diffusion.diffusion.ultra_fast import UltraFastDiffusion
from uf_diffusion.grids.built_in import grid_of, grid_on
from uf_diffusion.kernels.choice import feature_map
from uf_diffusion.kernels.feature_maps import nothing
from uf_diffusion.kernels.zonal_modes import ring_map
from uf_diffusion.problem import Problem
from uf_diffusion.problem.densities import Bumps, Uniform, VonMisesFisher
from uf_diffusion.problem.divergences import Biased, Entropy, Unbiased
from uf_diffusion.problem.manifolds import Circle, Sphere

CIRCLE = Circle()
FORMS = {"unbiased": Unbiased(), "biased": Biased(), "entropy": Entropy()}
KERNELS = {
    "relu": (uf.ReLU(CIRCLE), spectral.arc_cosine_circle(64)),
    "laplace": (uf.Laplace(CIRCLE, 0.5), spectral.matern_circle(64, 2 * np.pi, 0.5)),
}


def mapped(features, kernel="population", dropped=1e-8, samples=64):
    """The feature map with a teacher of mass 0."""
    rng = np.random.default_rng(5)
    return feature_map(features, kernel, samples, nothing(features.manifold), rng, 10**9, dropped)


def on_circle(cells, features, regularisation, divergence=None, gamma=10.0, **settings):
    problem = Problem(CIRCLE, Bumps(CIRCLE, gamma), Uniform(CIRCLE), divergence or Unbiased())
    return MeanFieldDiffusion(
        problem, grid_on(CIRCLE, cells), mapped(features), regularisation, **settings
    )


def last(solver, t, step=None):
    for state in solver.iterate(t, step):
        pass
    return state, solver.everywhere(state.ratio * solver.teacher)


class Errors(NamedTuple):
    """Errors of the density, relative to its maximum, and of the risk.

    Attributes:
        few: the largest over 16 nodes.
        maximum, l2: the largest over all nodes, and the root mean square.
        risk, relative_risk: of the risk, and relative to it.
    """

    few: float
    maximum: float
    l2: float
    risk: float
    relative_risk: float


def compared(name, outer, regularisation, cells, t=0.5, scheme="sdirk3", rtol=1e-7):
    """The errors on the circle against the spectral solution, with two bumps, gamma = 10."""
    features, kappa = KERNELS[name]
    basis = spectral.circle(kappa, number=128)
    reference = spectral.solve(
        basis, spectral.two_peaks, spectral.uniform, regularisation, outer, [t],
        rtol=1e-9, atol=1e-11,
    )  # fmt: skip
    solver = on_circle(
        cells, features, regularisation, FORMS[outer], scheme=SCHEMES[scheme], rtol=rtol
    )
    state, mu = last(solver, t)
    exact = basis.at(CIRCLE.chart(solver.grid.nodes)[:, 0])[0] @ reference.coefficients[0]
    gap = np.abs(mu - exact) / exact.max()
    risk = abs(state.risk - reference.risk[0])
    return Errors(
        gap[:: cells // 16].max(), gap.max(), np.sqrt(np.mean(gap**2)), risk,
        risk / reference.risk[0],
    )  # fmt: skip


def peaked(dim, kappa):
    manifold = Sphere(dim)
    return Problem(manifold, VonMisesFisher(manifold, kappa), Uniform(manifold))


def heights(problem, features, regularisation, times, cells=500):
    """The mean height over time for a kernel between rings."""
    solver = MeanFieldDiffusion(
        problem, grid_of(problem, cells),
        ring_map(features, problem.axis, 1e-9, nothing(problem.manifold)), regularisation, rtol=1e-5,
    )  # fmt: skip
    history = DiffusionHistory(solver, np.array(times))
    for state in solver.iterate(times[-1]):
        history(state)
    return [float((solver.weight * h) @ solver.points[:, 0]) for h in history.ratios]


LIMITS = {"relu": ConstrainedDiffusion, "laplace": UltraFastDiffusion}


def distances_to_limit(name, regularisations, cells=256, t=0.5):
    """The distances in L1 to the equation of the kernel's limit, one for each lambda."""
    apart, there = [], None
    for regularisation in regularisations:
        near = on_circle(cells, KERNELS[name][0], regularisation, rtol=1e-5)
        if there is None:
            there = last(LIMITS[name](near.problem, near.grid, rtol=1e-5), t)[1]
        apart.append(float(near._volume @ np.abs(last(near, t)[1] - there)))
    return np.array(apart)
