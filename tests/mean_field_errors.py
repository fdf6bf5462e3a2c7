"""Solutions of the mean-field equation and their errors against spectral ones.

Tests and `scripts/verify.py` share these functions.
"""

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
    """The function from a teacher to the feature map, with the same inputs in every call."""

    def made(teacher):
        rng = np.random.default_rng(5)
        return feature_map(features, kernel, samples, teacher, rng, 10**9, dropped)

    return made


def on_circle(cells, features, regularisation, divergence=None, gamma=10.0, **settings):
    problem = Problem(CIRCLE, Bumps(CIRCLE, gamma), Uniform(CIRCLE), divergence or Unbiased())
    return MeanFieldDiffusion(
        problem, grid_on(CIRCLE, cells), mapped(features), regularisation, **settings
    )


def last(solver, t, step=None):
    for state in solver.iterate(t, step):
        pass
    return state, solver.everywhere(state.ratio * solver.teacher)


def compared(name, outer, regularisation, cells, t=0.5):
    """The largest errors of the density, relative to its maximum, and of the risk."""
    features, kappa = KERNELS[name]
    reference = spectral.solve(
        spectral.circle(kappa, number=128), spectral.two_peaks, spectral.uniform, regularisation,
        outer, [t],
    )  # fmt: skip
    solver = on_circle(
        cells, features, regularisation, FORMS[outer], scheme=SCHEMES["sdirk3"], rtol=1e-7
    )
    state, mu = last(solver, t)
    nodes = np.linspace(0, cells, 16, endpoint=False).astype(int)
    exact = reference.at(CIRCLE.chart(solver.grid.nodes[nodes])[:, 0])[0]
    return np.abs(mu[nodes] - exact).max() / exact.max(), abs(state.risk - reference.risk[0])


def peaked(dim, kappa):
    manifold = Sphere(dim)
    return Problem(manifold, VonMisesFisher(manifold, kappa), Uniform(manifold))


def heights(problem, features, regularisation, times, cells=500):
    """The mean height over time for a kernel between rings."""
    solver = MeanFieldDiffusion(
        problem, grid_of(problem, cells),
        lambda teacher: ring_map(features, problem.axis, 1e-9, teacher), regularisation, rtol=1e-5,
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
