"""Eigenvalues of the weighted Laplacian -(1/nu) div(nu grad), which set the diffusion's last rate.

Near equilibrium the potential w decays like exp(-f''(1) lambda_1 t) and the energies twice as fast
(Iacobelli, Patacchini, Santambrogio, ARMA 2019).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from petsc4py import PETSc
from slepc4py import SLEPc

from uf_diffusion.core.arrays import Array
from uf_diffusion.diffusion.petsc import configure
from uf_diffusion.diffusion.time_stepping import Evolution, SolverFailure
from uf_diffusion.diffusion.ultra_fast import UltraFastDiffusion

__all__ = ["decay_rate", "spectrum"]

RATE_NODES = 20_000  # the eigenvalue problem is factorised: it would dominate larger runs


def decay_rate(solver: Evolution) -> float | None:
    """F''(1) lambda_1, the rate of the potential near equilibrium, f''(1) = 1 / f*''(f'(1)).

    None for another equation, and where it would take too long to compute.
    """
    if not isinstance(solver, UltraFastDiffusion) or len(solver.grid.nodes) > RATE_NODES:
        return None
    f, one = solver.problem.divergence, np.ones(1)
    return float(spectrum(solver, 1)[0][0] / f.d2conjugate(f.df(one))[0])


def spectrum(solver: UltraFastDiffusion, count: int = 1) -> tuple[Array, Array]:
    """The smallest non-zero eigenvalues and their eigenfunctions, K e = lambda diag(c) e.

    Found by slicing: the inertia of K - x diag(c) counts the eigenvalues below x, so no copy of a
    multiple eigenvalue is missed.

    Args:
        solver: gives the stiffness K and the masses c = m nu.
        count: how many, at least 1; fewer than there are nodes.

    Returns:
        Eigenvalues ``(count,)`` increasing, 1 / time, and eigenfunctions at the owned nodes
        ``(count, owned)`` with integral of e^2 nu equal to 1.

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
    """All eigenvalues from the zero one to ``top``."""
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
    # no ScaLAPACK at the root, which would hide the inertia; room for fill on small problems
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
    """PETSc's options with these added, where the user has not chosen them, for a while."""
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
    """The first pairs after the zero eigenvalue."""
    values = np.array([eps.getEigenvalue(i).real for i in range(eps.getConverged())])
    order = np.argsort(values)[1 : count + 1]
    vector = solver.stiffness.createVecRight()
    functions = np.empty((count, len(solver.weight)))
    for row, i in zip(functions, order, strict=True):
        eps.getEigenvector(int(i), vector)
        row[:] = vector.array_r
        row /= np.sqrt(solver.comm.allreduce(float(solver.weight @ row**2)))
    # the Rayleigh quotients: twice as many digits as the vectors have
    local = np.array([row @ solver.stage.stiffness(row) for row in functions])
    return solver.comm.allreduce(local), functions
