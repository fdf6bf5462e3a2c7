"""Measured errors and rates of the diffusion on S^d for densities symmetric about an axis.

The tests assert these numbers and ``scripts/verify.py`` prints them.
"""

from functools import cache

import gegenbauer
import numpy as np

from uf_diffusion.diffusion.constrained import ConstrainedDiffusion
from uf_diffusion.diffusion.schemes import SCHEMES
from uf_diffusion.diffusion.ultra_fast import UltraFastDiffusion
from uf_diffusion.grids.built_in import grid_of
from uf_diffusion.problem import Problem
from uf_diffusion.problem.densities import Uniform, VonMisesFisher
from uf_diffusion.problem.divergences import UNBIASED
from uf_diffusion.problem.manifolds import Sphere
from uf_diffusion.problem.own_densities import Height

PIECES = {3: 32, 9: 96, 29: 128}  # of the reference


def problem(dim, kappa, divergence=UNBIASED):
    axis = np.eye(dim + 1)[0]
    return Problem(Sphere(dim), VonMisesFisher(kappa=kappa), Uniform(), divergence, axis)


@cache
def reference(dim, kappa, t):
    """Risk and mean height of the spectral solution from the uniform density."""
    solution = _spectral(dim, kappa, t, UNBIASED)
    return float(solution.risk[-1]), float(solution.mean_height[-1])


@cache
def constrained_reference(dim, kappa, t):
    """The same of the constrained equation."""
    solution = gegenbauer.diffuse_constrained(
        dim, lambda s: kappa * s, gegenbauer.uniform, UNBIASED, [t]
    )
    return float(solution.risk[-1]), float(solution.mean_height[-1])


def measured(equation, dim, kappa, cells, t, rtol=1e-8):
    """Risk and mean height of the package's solution."""
    posed = problem(dim, kappa)
    solver = equation(posed, grid_of(posed, cells), SCHEMES["esdirk4"], rtol)
    *_, state = solver.iterate(t)
    height = solver.points @ np.array(posed.axis)
    return state.risk, float(solver.weight * state.ratio @ height)


def errors(dim, kappa, cells, t):
    """The errors of risk and mean height of the diffusion, ``(2,)``."""
    found = measured(UltraFastDiffusion, dim, kappa, cells, t)
    return np.abs(np.subtract(found, reference(dim, kappa, t)))


def constrained_errors(dim, kappa, cells, t):
    """The same of the constrained equation."""
    found = measured(ConstrainedDiffusion, dim, kappa, cells, t, 1e-7)
    return np.abs(np.subtract(found, constrained_reference(dim, kappa, t)))


def density_errors(dim, kappa, cells, t, divergence):
    """The errors of the diffusion's density, as a multiple of the uniform one: L2 norm and maximum
    over all nodes, the poles included, ``(2,)``.
    """
    exact = _spectral(dim, kappa, t, divergence)
    posed = problem(dim, kappa, divergence)
    solver = UltraFastDiffusion(posed, grid_of(posed, cells), SCHEMES["esdirk4"], 1e-8)
    *_, state = solver.iterate(t)
    height, share = solver.points @ np.array(posed.axis), solver.volume / posed.manifold.volume
    error = state.ratio * solver.teacher * posed.manifold.volume - exact.density(height)[-1]
    return np.array([np.sqrt(share @ error**2), np.abs(error).max()])


@cache
def _spectral(dim, kappa, t, divergence):
    """The spectral solution from the uniform density."""
    return gegenbauer.diffuse(
        dim, lambda s: kappa * s, gegenbauer.uniform, divergence, [t], pieces=PIECES[dim]
    )


def decay_rate(dim, cells=1000):
    """The rate at which 1 % of the first mode on a uniform teacher decays, over one decay time."""
    sphere = Sphere(dim)
    posed = Problem(sphere, Uniform(), Height(values=lambda s: 1 + 0.01 * s))
    solver = UltraFastDiffusion(posed, grid_of(posed, cells), rtol=1e-5)
    height = solver.points @ np.array(posed.axis)
    states = list(solver.iterate(1 / dim))
    first, last = (solver.weight @ (height * (s.ratio - 1)) for s in (states[0], states[-1]))
    return float(np.log(first / last) * dim)
