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


def problem(dim, kappa):
    axis = np.eye(dim + 1)[0]
    return Problem(Sphere(dim), VonMisesFisher(kappa=kappa), Uniform(), axis=axis)


@cache
def reference(dim, kappa, t):
    """Risk and mean height of the spectral solution from the uniform density."""
    solution = gegenbauer.diffuse(
        dim, lambda s: kappa * s, gegenbauer.uniform, UNBIASED, [t], pieces=PIECES[dim]
    )
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


def decay_rate(dim, cells=1000):
    """The rate at which 1 % of the first mode on a uniform teacher decays, over one decay time."""
    sphere = Sphere(dim)
    posed = Problem(sphere, Uniform(), Height(values=lambda s: 1 + 0.01 * s))
    solver = UltraFastDiffusion(posed, grid_of(posed, cells), rtol=1e-5)
    height = solver.points @ np.array(posed.axis)
    states = list(solver.iterate(1 / dim))
    first, last = (solver.weight @ (height * (s.ratio - 1)) for s in (states[0], states[-1]))
    return float(np.log(first / last) * dim)
