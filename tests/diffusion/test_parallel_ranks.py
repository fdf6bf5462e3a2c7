"""The same numbers on any number of ranks."""

import numpy as np
import pytest

pytest.importorskip("dolfinx")
from mpi4py import MPI

from uf_diffusion.core.errors import InputError
from uf_diffusion.core.mpi import on_root
from uf_diffusion.diffusion.paraview import write_fields
from uf_diffusion.diffusion.ultra_fast import UltraFastDiffusion
from uf_diffusion.grids.built_in import grid_on
from uf_diffusion.problem import Problem
from uf_diffusion.problem.densities import Bumps, Uniform, VonMisesFisher
from uf_diffusion.problem.divergences import Unbiased
from uf_diffusion.problem.manifolds import Circle, FlatTorus, Sphere

CASES = [
    (Bumps(Circle(), 100.0), 200),
    (VonMisesFisher(Sphere(2), 3.0), 320),
    (Bumps(FlatTorus(2, 4.0), 10.0), 200),
    (Bumps(FlatTorus(3, 1.0), 2.0), 384),
]


@pytest.mark.parallel([2, 3])
def test_solution_does_not_depend_on_ranks():
    """All ranks together against each alone: relative difference below 1e-10."""
    for teacher, cells in CASES:
        manifold = teacher.manifold
        problem = Problem(manifold, teacher, Uniform(manifold), Unbiased())
        ends = []
        for comm in (MPI.COMM_SELF, MPI.COMM_WORLD):
            solver = UltraFastDiffusion(problem, grid_on(manifold, cells), rtol=1e-3, comm=comm)
            states = list(solver.iterate(0.005))
            ends.append((solver.gathered(states[-1].ratio), len(states), states[-1].risk))
        (alone, steps_alone, risk_alone), (together, steps, risk) = ends
        assert steps == steps_alone
        assert risk == pytest.approx(risk_alone, rel=1e-10)
        assert abs(states[-1].mass - 1) < 1e-13
        difference = on_root(lambda a=alone, b=together: float(np.abs(b / a - 1).max()))
        assert MPI.COMM_WORLD.bcast(difference) < 1e-10  # on all ranks, or none would return
        assert (together is None) == (MPI.COMM_WORLD.rank > 0)


@pytest.mark.parallel(2)
def test_fields_and_errors_in_parallel(shared_folder):
    """The ParaView folder is complete, and an error on rank 0 reaches all ranks."""
    comm = MPI.COMM_WORLD
    path = shared_folder / "fields.bp"
    circle = Circle()
    problem = Problem(circle, Bumps(circle), Uniform(circle), Unbiased())
    solver = UltraFastDiffusion(problem, grid_on(circle, 64))
    write_fields(path, solver, [(0.0, np.ones(len(solver.node)))])
    assert (path / "md.idx").exists()

    def fail():
        raise InputError("only rank 0 knows")

    with pytest.raises(InputError, match="only rank 0 knows"):
        on_root(fail)
    assert on_root(lambda: 7) == (7 if comm.rank == 0 else None)


class Picky(Uniform):
    """Refuses the points of one half of the circle."""

    def formula(self, x, xp):
        if (x[1] > 0.9).any():
            raise InputError("the upper half is refused")
        return super().formula(x, xp)


@pytest.mark.parallel(2)
def test_a_refusal_on_one_rank_stops_all():
    circle = Circle()
    problem = Problem(circle, Picky(circle), Uniform(circle), Unbiased())
    with pytest.raises(InputError, match="upper half"):
        UltraFastDiffusion(problem, grid_on(circle, 64))
