"""Estimated errors of densities against true ones, and what is said about them."""

import numpy as np
import pytest

pytest.importorskip("dolfinx")
from true_errors import CASES, measured
from verification import random_sphere

from uf_diffusion.diffusion.error_estimates import estimated_errors
from uf_diffusion.diffusion.history import DiffusionHistory
from uf_diffusion.diffusion.ultra_fast import UltraFastDiffusion
from uf_diffusion.grids.built_in import grid_on
from uf_diffusion.problem import Problem
from uf_diffusion.problem.densities import Uniform, VonMisesFisher
from uf_diffusion.problem.divergences import Unbiased
from uf_diffusion.problem.manifolds import Circle, Sphere

SPHERE = Sphere(2)
QUICK = ["S1, gamma = 1000, too coarse", "S1, exact solution", "S1, entropy, large steps",
         "S1, power 3, degree 2", "S1, linearly implicit", "S1, implicit Euler", "S2, smooth",
         "S1, constrained, smooth"]  # fmt: skip


@pytest.mark.parametrize("name", QUICK)
def test_estimates_agree_with_true_errors_within_a_factor_of_5(name):
    """``python scripts/benchmarks/errors.py`` prints these and nine more."""
    worst = measured(CASES[name]).worst
    assert np.isfinite(worst).any()
    assert (np.abs(np.log(worst[np.isfinite(worst)])) < np.log(5)).all(), worst


def solved(grid, times=(0.05, 0.2), kappa=1.0, comm=None):
    axis = [0.3, -0.7, 0.4]
    problem = Problem(SPHERE, VonMisesFisher(SPHERE, kappa, [axis]), Uniform(SPHERE), Unbiased())
    solver = UltraFastDiffusion(
        problem, grid, rtol=1e-5, **({} if comm is None else {"comm": comm})
    )
    history = DiffusionHistory(solver, np.array(times))
    for state in solver.iterate(times[-1]):
        history(state)
    return solver, history


def test_a_mesh_from_a_file_has_no_estimate_of_its_own_error():
    """But of that of the time steps, which hardly depends on the mesh."""
    found = estimated_errors(*solved(random_sphere(3000)))
    assert found.keys() == {"time_error", "time_error_max"}
    built_in = estimated_errors(*solved(grid_on(SPHERE, 5120)))
    assert found["time_error"] == pytest.approx(built_in["time_error"], rel=0.5)


def test_too_few_cells_have_no_estimate():
    solver, history = solved(grid_on(SPHERE, 80))
    assert estimated_errors(solver, history) == {}
    problem = Problem(Circle(), Uniform(Circle()), Uniform(Circle()), Unbiased())
    solver = UltraFastDiffusion(problem, grid_on(Circle(), 16))
    history = DiffusionHistory(solver, np.array([0.1]))
    for state in solver.iterate(0.1):
        history(state)
    assert estimated_errors(solver, history) == {}


@pytest.mark.parallel([2])
def test_the_same_estimates_on_any_number_of_ranks():
    from mpi4py import MPI

    grid = grid_on(SPHERE, 1280)
    together, alone = (estimated_errors(*solved(grid, comm=comm))
                       for comm in (MPI.COMM_WORLD, MPI.COMM_SELF))  # fmt: skip
    if MPI.COMM_WORLD.rank == 0:
        for name in ("mesh_error", "mesh_error_max", "time_error", "time_error_max"):
            assert together[name] == pytest.approx(alone[name], rel=1e-2), name
    else:
        assert together == {}
