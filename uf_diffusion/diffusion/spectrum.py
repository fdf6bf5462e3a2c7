"""Eigenvalues of the weighted Laplacian -(1/nu) div(nu grad), which determine the late decay rate.

Near equilibrium the potential w decays like exp(-f''(1) lambda_1 t), and the energies twice as fast
(Iacobelli, Patacchini, Santambrogio, Arch. Ration. Mech. Anal. 2019).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from petsc4py import PETSc
from slepc4py import SLEPc

from uf_diffusion.core.arrays import Array
from uf_diffusion.diffusion.petsc import configure
from uf_diffusion.diffusion.states import SolverFailure
from uf_diffusion.diffusion.time_stepping import Evolution
from uf_diffusion.diffusion.ultra_fast import UltraFastDiffusion

__all__ = ["decay_rate", "spectrum"]

RATE_NODES = 20_000  # with more nodes the eigenvalue problem's factorisation would dominate a run


def decay_rate(solver: Evolution) -> float | None:
    """The decay rate f''(1) lambda_1 of the potential near equilibrium, 1 / time.

    It uses f''(1) = 1 / f*''(f'(1)). The result is None for the constrained equation, and for more
    than 20 000 nodes, where lambda_1 would take too long to compute.

    Raises:
        SolverFailure: as `spectrum`.
    """
    if not isinstance(solver, UltraFastDiffusion) or len(solver.grid.nodes) > RATE_NODES:
        return None
    f, one = solver.problem.divergence, np.ones(1)
    return float(spectrum(solver, 1)[0][0] / f.d2conjugate(f.df(one))[0])


def spectrum(solver: UltraFastDiffusion, count: int = 1) -> tuple[Array, Array]:
    """The smallest non-zero eigenvalues and their eigenfunctions, K e = lambda diag(c) e.

    They are computed by spectrum slicing: the inertia of K - x diag(c) is the number of eigenvalues
    below x, so that no copy of a multiple eigenvalue is missed.

    Args:
        solver: the solver, with the stiffness K and the masses c = m nu.
        count: number of eigenvalues, at least 1 and less than the number of nodes.

    Returns:
        The eigenvalues ``(count,)`` in increasing order, 1 / time, and the eigenfunctions at the
        owned nodes, ``(count, owned)``, for which the integral of e^2 nu is 1.

    Raises:
        SolverFailure: when the eigenvalue solver fails.
    """
    mass = solver.stiffness.createVecRight()
    mass.array_w[:] = solver.weight
    M = PETSc.Mat().createDiagonal(mass)
    M.convert(PETSc.Mat.Type.AIJ)
    top = 4.0 * count * solver.problem.manifold.spectral_gap
    for _ in range(30):
        eps = _sliced(solver.stiffness, M, top)
        found = eps.getConverged()
        if found > count:
            return _pairs(eps, solver, count)
        top *= 2
    raise SolverFailure(f"Only {found} eigenvalue(s) were found below {top:.3g}.")


def _sliced(K: PETSc.Mat, M: PETSc.Mat, top: float) -> SLEPc.EPS:
    """A solver with all eigenvalues from 0, included, to ``top``."""
    for matrix in (K, M):
        matrix.setOption(PETSc.Mat.Option.SYMMETRIC, True)
    eps = SLEPc.EPS().create(K.comm)
    eps.setOptionsPrefix("uf_eps_")
    eps.setOperators(K, M)
    eps.setProblemType(SLEPc.EPS.ProblemType.GHEP)
    eps.setType(SLEPc.EPS.Type.KRYLOVSCHUR)
    eps.setWhichEigenpairs(SLEPc.EPS.Which.ALL)
    eps.setInterval(-0.05 * top, top)
    eps.setTolerances(1e-11, 500)
    ksp = eps.getKrylovSchurKSP()
    ksp.setType(PETSc.KSP.Type.PREONLY)
    ksp.getPC().setType(PETSc.PC.Type.CHOLESKY)
    ksp.getPC().setFactorSolverType("mumps")
    # no ScaLAPACK at the root, with which MUMPS gives no inertia; more memory for fill-in, which
    # small problems need
    prefix = ksp.getOptionsPrefix() or ""
    with _options({f"{prefix}mat_mumps_icntl_13": 1, f"{prefix}mat_mumps_icntl_14": 400}):
        configure(eps, ksp)
        try:
            eps.solve()
        except PETSc.Error as error:
            raise SolverFailure(
                f"The eigenvalue solver failed with PETSc's error {error.ierr}."
            ) from None
    return eps


@contextmanager
def _options(values: dict[str, int]) -> Iterator[None]:
    """Inside the context, these options of PETSc are set, unless the user has set them."""
    options = PETSc.Options()
    added = [name for name in values if not options.hasName(name)]
    for name in added:
        options[name] = values[name]
    try:
        yield
    finally:
        for name in added:
            options.delValue(name)


def _pairs(eps: SLEPc.EPS, solver: UltraFastDiffusion, count: int) -> tuple[Array, Array]:
    """The first ``count`` eigenvalues and eigenfunctions after the zero eigenvalue."""
    values = np.array([eps.getEigenvalue(i).real for i in range(eps.getConverged())])
    order = np.argsort(values)[1 : count + 1]
    vector = solver.stiffness.createVecRight()
    functions = np.empty((count, len(solver.weight)))
    for row, i in zip(functions, order, strict=True):
        eps.getEigenvector(int(i), vector)
        row[:] = vector.array_r
        row /= np.sqrt(solver.comm.allreduce(float(solver.weight @ row**2)))
    # Rayleigh quotients have twice as many correct digits as the eigenvectors
    local = np.array([row @ solver.stage.stiffness(row) for row in functions])
    return solver.comm.allreduce(local), functions
