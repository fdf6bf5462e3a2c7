"""Eigenvalues of the weighted Laplacian against closed forms and a dense eigenproblem."""

import numpy as np
import pytest
from scipy.linalg import eigh

pytest.importorskip("dolfinx")
from mpi4py import MPI

from petsc4py import PETSc

from uf_diffusion.diffusion.direct_solvers import Band
from uf_diffusion.diffusion.spectrum import spectrum
from uf_diffusion.diffusion.ultra_fast import UltraFastDiffusion
from uf_diffusion.grids.built_in import grid_on
from uf_diffusion.problem import Problem
from uf_diffusion.problem.densities import Bumps, Uniform
from uf_diffusion.problem.divergences import Unbiased
from uf_diffusion.problem.manifolds import Circle, FlatTorus, Sphere


def solver_for(teacher, cells, degree, comm=MPI.COMM_SELF):
    problem = Problem(teacher.manifold, teacher, Uniform(teacher.manifold), Unbiased())
    return UltraFastDiffusion(problem, grid_on(teacher.manifold, cells, degree), comm=comm)


@pytest.mark.parametrize(
    ("manifold", "cells", "degree", "exact", "tolerance"),
    [(Circle(), 64, 3, [1, 1, 4, 4, 9, 9], 1e-7),
     (Sphere(2), 320, 2, [2] * 3 + [6] * 5, 2e-3),
     (FlatTorus(2, 2 * np.pi), 512, 2, [1] * 4 + [2] * 4, 1e-3),
     (FlatTorus(3, 2 * np.pi), 384, 2, [1] * 6, 2e-2)],
    ids=repr,
)  # fmt: skip
def test_closed_forms_with_all_copies(manifold, cells, degree, exact, tolerance):
    values, functions = spectrum(solver_for(Uniform(manifold), cells, degree), len(exact))
    assert values == pytest.approx(exact, rel=tolerance)
    assert len(functions) == len(exact)


def test_against_a_dense_eigenproblem():
    """gamma = 20 on the circle: K e = lambda diag(c) e by LAPACK."""
    solver = solver_for(Bumps(Circle(), 20.0), 60, 1)
    K = np.column_stack([solver.stage.stiffness(e) for e in np.eye(60)])
    exact = eigh(K, np.diag(solver.weight))[0][1:6]
    values, functions = spectrum(solver, 5)
    assert values == pytest.approx(exact, rel=1e-9)
    gram = (functions * solver.weight) @ functions.T
    assert gram == pytest.approx(np.eye(5), abs=1e-7)


def test_options_are_left_as_they_were():
    """The eigenvalue solver's settings do not outlive it: they would change the next solver."""
    before = PETSc.Options().getAll()
    solver = solver_for(Bumps(Circle(), 20.0), 60, 1)
    spectrum(solver, 2)
    assert PETSc.Options().getAll() == before
    assert isinstance(solver_for(Bumps(Circle(), 20.0), 60, 1).stage.linear, Band)


@pytest.mark.parallel(2)
def test_two_ranks_find_the_same():
    alone, together = (
        spectrum(solver_for(Bumps(FlatTorus(2, 4.0), 5.0), 128, 1, comm), 4)[0]
        for comm in (MPI.COMM_SELF, MPI.COMM_WORLD)
    )
    assert together == pytest.approx(alone, rel=1e-9)
