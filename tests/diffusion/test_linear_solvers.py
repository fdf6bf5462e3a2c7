"""Solves with diag(d) + s K against scipy's sparse and dense direct solvers."""

import subprocess
import sys

import numpy as np
import pytest
from processes import environment
from scipy import sparse
from scipy.sparse.linalg import spsolve

pytest.importorskip("dolfinx")
from mpi4py import MPI

from petsc4py import PETSc

from uf_diffusion.diffusion.direct_solvers import LU, Band, Cholesky
from uf_diffusion.diffusion.multigrid import Multigrid
from uf_diffusion.diffusion.petsc import StageFailure
from uf_diffusion.diffusion.ultra_fast import UltraFastDiffusion
from uf_diffusion.grids.built_in import grid_on
from uf_diffusion.problem import Problem
from uf_diffusion.problem.densities import Bumps, Uniform, VonMisesFisher
from uf_diffusion.problem.divergences import Unbiased
from uf_diffusion.problem.manifolds import Circle, FlatTorus, Sphere

TEACHERS = {
    "circle": Bumps(Circle(), 100.0),
    "sphere": VonMisesFisher(Sphere(2), 4.0),
    "torus2": Bumps(FlatTorus(2, 4.0), 100.0),
    "torus3": Bumps(FlatTorus(3, 4.0), 10.0),
}
CASES = [
    ("circle", 200, 1, Band), ("circle", 60, 2, Band), ("circle", 40, 3, Band),
    ("sphere", 5120, 1, Multigrid), ("sphere", 1280, 2, Multigrid), ("sphere", 1280, 3, Multigrid),
    ("torus2", 5000, 1, Multigrid), ("torus2", 1152, 2, Multigrid), ("torus2", 1152, 3, Multigrid),
    ("torus3", 10368, 1, Multigrid), ("torus3", 750, 2, Multigrid),
    ("sphere", 320, 1, Cholesky),
]  # fmt: skip


def solver_for(name, cells, degree=1, comm=MPI.COMM_SELF):
    teacher = TEACHERS[name]
    problem = Problem(teacher.manifold, teacher, Uniform(teacher.manifold), Unbiased())
    return UltraFastDiffusion(problem, grid_on(teacher.manifold, cells, degree), comm=comm)


def assembled(solver):
    starts, columns, entries = solver.stiffness.getValuesCSR()
    return sparse.csr_array((entries, columns, starts))


@pytest.mark.parametrize(("name", "cells", "degree", "kind"), CASES)
@pytest.mark.parametrize("s", [1e-5, 1e-2, 10.0])
def test_solve_against_a_direct_solver(name, cells, degree, kind, s, rng):
    """Diagonals over six orders of magnitude; the error in the energy norm keeps its promise."""
    solver = solver_for(name, cells, degree)
    linear, n = solver.stage.linear, len(solver.weight)
    assert isinstance(linear, kind)
    d = solver.weight * 10.0 ** rng.uniform(-3, 3, n)
    A = (sparse.diags_array(d) + s * assembled(solver)).tocsc()
    linear.set(d, s)
    for rtol in (1e-2, 1e-10):
        rhs = rng.standard_normal(n)
        found, its = linear.solve(rhs, rtol)
        exact = spsolve(A, rhs)
        error = found - exact
        assert error @ (A @ error) <= rtol**2 * (exact @ rhs)
    assert its <= {1: 15, 2: 25, 3: 35}[degree]
    assert (linear.solve(0 * rhs, 1e-6)[0] == 0).all()


@pytest.mark.parallel(2)
@pytest.mark.parametrize(
    ("name", "cells", "degree"),
    [("circle", 60, 1), ("circle", 60, 2), ("circle", 60, 3), ("sphere", 320, 1)],
)
def test_direct_solvers_on_two_ranks(name, cells, degree):
    """The system is solved, and with the same bits by every solver that is made for it.

    MUMPS on two ranks adds in an order that depends on where its arrays lie.
    """
    found, elsewhere = set(), []
    for k in range(40):
        solver = solver_for(name, cells, degree, MPI.COMM_WORLD)
        linear, rng = solver.stage.linear, np.random.default_rng(0)
        elsewhere.append(np.empty(137 * k))
        d, rhs = rng.uniform(1.0, 2.0, solver.node.size), rng.normal(size=solver.node.size)
        linear.set(d, 0.1)
        x = linear.solve(rhs, 1e-10)[0]
        assert d * x + 0.1 * solver.stage.stiffness(x) == pytest.approx(rhs, abs=1e-11)
        found.add(x.tobytes())
    assert len(found) == 1


@pytest.mark.parametrize(("name", "sizes"), [("sphere", (1280, 81920)), ("torus2", (1800, 115200))])
def test_iterations_do_not_grow(name, sizes):
    """64 times as many unknowns: at most 1.3 times the iterations to 1e-6, and at most 15."""
    means = []
    for cells in sizes:
        solver, counts = solver_for(name, cells), []
        ratio = Uniform(solver.problem.manifold)(solver.points) / solver.teacher
        for s in (1e-4, 1e-2, 1.0):
            solver.stage.linear.set(solver.weight * ratio**2, s)
            counts.append(solver.stage.linear.solve(solver.weight * (ratio - 1), 1e-6)[1])
        means.append(np.mean(counts))
    assert means[1] <= 1.3 * means[0]
    assert means[1] <= 15


@pytest.mark.parametrize(("name", "cells", "degree", "kind"), CASES)
def test_fluxes_are_the_stiffness_matrix(name, cells, degree, kind, rng):
    """K w by differences, without stored zeros, against the assembled matrix; K 1 = 0."""
    solver = solver_for(name, cells, degree)
    K, w = assembled(solver), rng.standard_normal(len(solver.weight))
    assert abs(K - K.T).max() <= 1e-13 * abs(K).max()
    assert (np.abs(K.data) > 0).all()
    assert solver.stage.stiffness(w) == pytest.approx(K @ w, rel=1e-10, abs=1e-11)
    assert not np.abs(solver.stage.stiffness(np.ones_like(w))).any()
    if name == "torus2" and degree == 1:
        assert K.nnz == 5 * len(w)  # the diagonals of the boxes carry nothing


@pytest.mark.parametrize(
    ("option", "value", "kept"),
    [("uf_ksp_type", "minres", "python"), ("uf_pc_type", "jacobi", "jacobi")],
)
def test_a_solver_of_the_users_choice(option, value, kept, rng):
    """With an option of the prefix uf_ PETSc iterates, by default with the same V-cycle."""
    options = PETSc.Options()
    options[option] = value
    try:
        solver = solver_for("torus2", 5000)
        linear = solver.stage.linear
        linear.set(solver.weight, 0.1)
        rhs = rng.standard_normal(len(solver.weight))
        found, its = linear.solve(rhs, 1e-10)
    finally:
        options.delValue(option)
    assert linear._ksp.getType() == (value if "ksp" in option else "cg")
    assert linear._ksp.getPC().getType() == kept
    assert linear._ksp.its == its
    assert 0 < its < (20 if kept == "python" else 400)
    A = (sparse.diags_array(solver.weight) + 0.1 * assembled(solver)).tocsc()
    assert found == pytest.approx(spsolve(A, rhs), rel=1e-6, abs=1e-8 * np.abs(found).max())


@pytest.mark.parametrize(("name", "cells", "degree"), [("torus2", 5000, 1), ("sphere", 1280, 3)])
def test_extreme_diagonals(name, cells, degree, rng):
    """Diagonals over 60 orders of magnitude, and K almost alone or next to nothing; then the same
    solver has forgotten a diagonal that is not finite.
    """
    solver = solver_for(name, cells, degree)
    linear, K, n = solver.stage.linear, assembled(solver), len(solver.weight)
    linear.set(np.full(n, np.nan), 1.0)
    linear.solve(solver.weight, 1e-8)
    for low, high, s in (
        (-30, 30, 1.0),
        (-30, 0, 1.0),
        (0, 30, 1.0),
        (-3, 3, 1e-30),
        (-3, 3, 1e30),
    ):
        d = solver.weight * 10.0 ** rng.uniform(low, high, n)
        A = (sparse.diags_array(d) + s * K).tocsc()
        rhs = A @ rng.standard_normal(n)
        linear.set(d, s)
        found, its = linear.solve(rhs, 1e-8)
        assert np.abs(A @ found - rhs).max() <= 1e-7 * np.abs(rhs).max()
        assert its <= 20


@pytest.mark.parallel([2, 3])
def test_multigrid_on_several_ranks():
    """The system is solved, with the same bits by another solver. The V-cycle is symmetric and
    positive, and the fluxes are the stiffness matrix and conserve mass.
    """
    comm = MPI.COMM_WORLD
    for name, cells, degree, most in (("sphere", 20480, 1, 15), ("torus2", 3200, 2, 25)):
        found = []
        for _ in range(2):
            solver, rng = solver_for(name, cells, degree, comm), np.random.default_rng(comm.rank)
            linear, n = solver.stage.linear, solver.node.size
            d, b, c = solver.weight * rng.uniform(1.0, 9.0, n), *rng.standard_normal((2, n))
            linear.set(d, 1e-2)
            x, its = linear.solve(b, 1e-10)
            found.append(x)
        assert np.array_equal(*found)
        assert its <= most
        product = solver.stage.stiffness(x)
        assert d * x + 1e-2 * product == pytest.approx(b, abs=1e-7)
        right, left = solver.stiffness.createVecs()
        right.array_w[:] = x
        solver.stiffness.mult(right, left)
        assert product == pytest.approx(left.array_r, abs=1e-9 * np.abs(product).max())
        total, size = (comm.allreduce(f(product)) for f in (np.sum, np.linalg.norm))
        assert abs(total) < 1e-13 * size
        cycle, images = linear._cycle, []
        for vector in (b, c):
            cycle.apply(vector)
            images.append(cycle.x[:n].copy())
        (bb, bc), (cb, cc) = ([comm.allreduce(u @ v) for v in images] for u in (b, c))
        assert min(bb, cc) > 0
        assert bc == pytest.approx(cb, abs=1e-12 * np.sqrt(bb * cc))


def test_one_blas_thread_a_rank():
    """Under mpiexec without OMP_NUM_THREADS; a user's own choice is kept."""
    code = (
        "from mpi4py import MPI; import uf_diffusion.diffusion; from threadpoolctl import *; "
        "n = MPI.COMM_WORLD.gather(max(i['num_threads'] for i in threadpool_info())); "
        "MPI.COMM_WORLD.rank or print(n)"
    )
    threads = ("OMP_", "OPENBLAS_NUM")
    plain = {k: v for k, v in environment().items() if not k.startswith(threads)}
    for extra, expected in (({}, 1), ({"OMP_NUM_THREADS": "2"}, 2)):
        done = subprocess.run(
            ["mpiexec", "-n", "2", sys.executable, "-c", code],
            env=plain | extra, capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert done.stdout == f"[{expected}, {expected}]\n"


def test_lu_solves_whatever_came_before(rng):
    """Matrices with one pattern, not symmetric; bit for bit what a new factorisation gives."""
    n = 60
    places = sparse.random(n, n, 0.1, format="csr", random_state=rng) + sparse.eye_array(n)
    places = sparse.csr_matrix(places)
    lu, b = LU(places), rng.standard_normal(n)
    for _ in range(3):
        matrix = places.copy()
        matrix.data = rng.standard_normal(places.nnz)
        matrix += 20 * sparse.eye_array(n)
        lu.set(matrix)
        found = lu.solve(b)
        assert found == pytest.approx(spsolve(matrix.tocsc(), b), rel=1e-9)
        alone = LU(matrix)
        alone.set(matrix)
        assert np.array_equal(alone.solve(b), found)
    for bad in (0.0, np.nan):
        lu.set(sparse.csr_matrix((np.full(matrix.nnz, bad), matrix.indices, matrix.indptr)))
        with pytest.raises(StageFailure, match="linear solver"):
            lu.solve(b)
        lu.set(matrix)
        assert np.array_equal(lu.solve(b), found)
    lu.set(sparse.csr_matrix(2 * sparse.eye_array(n)))  # fewer entries
    assert lu.solve(b) == pytest.approx(b / 2)
