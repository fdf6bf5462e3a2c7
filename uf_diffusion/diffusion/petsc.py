"""Common functions for PETSc's solvers: the user's options, and errors with PETSc's reason."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from petsc4py import PETSc
from scipy import sparse

from uf_diffusion.core.arrays import Array
from uf_diffusion.core.errors import InputError, RunFailure

__all__ = ["PREFIX", "StageFailure", "chosen", "configure", "rows_of", "solved", "told",
           "whole_matrix"]  # fmt: skip

PREFIX = "uf_"  # prefix of the linear solver's options


class StageFailure(RunFailure):
    """Newton's method or the linear solver did not reach its tolerance."""


def configure(*solvers: PETSc.Object) -> None:
    """Apply the user's options to solvers.

    Raises:
        InputError: on all ranks, for an option that PETSc does not accept, with PETSc's reason.
    """
    try:
        for solver in solvers:
            solver.setFromOptions()
    except PETSc.Error as error:
        raise InputError(f"PETSc refuses an option: {_complaint(error)}.") from None


@contextmanager
def told() -> Iterator[None]:
    """Inside the context, an error of PETSc is raised as a `RunFailure` with its reason.

    Raises:
        RunFailure: for an error of PETSc, such as that of an option.
    """
    try:
        yield
    except PETSc.Error as error:
        raise RunFailure(f"PETSc's linear solver failed: {_complaint(error)}.") from error


def _complaint(error: PETSc.Error) -> str:
    """The last line of PETSc's message, which has the reason, without the full stop."""
    return str(error).strip().splitlines()[-1].rpartition("] ")[2].rstrip(".")


def solved(ksp: PETSc.KSP, left: PETSc.Vec, right: PETSc.Vec, rtol: float) -> tuple[Array, int]:
    """The solution on this rank, and the number of iterations.

    Args:
        ksp: the solver.
        left: the right-hand side.
        right: receives the solution.
        rtol: relative tolerance, unless the user has set one; direct solvers ignore it.

    Raises:
        StageFailure: on all ranks, if the solver does not converge.
        RunFailure: on all ranks, for an error of PETSc.
    """
    if not PETSc.Options().hasName(f"{PREFIX}ksp_rtol"):
        ksp.setTolerances(rtol=rtol, atol=1e-300, max_it=500)
    with told():
        ksp.solve(left, right)
    if ksp.reason < 0:
        raise StageFailure(f"the linear solver stopped with PETSc's reason {ksp.reason}")
    return np.array(right.array_r), ksp.its


def chosen(kind: str = "") -> bool:
    """Whether the user has set options of the linear solver whose names begin with ``kind``."""
    names = PETSc.Options().getAll()
    return any(n.startswith(PREFIX + kind) and not n.startswith(f"{PREFIX}eps_") for n in names)


def rows_of(matrix: PETSc.Mat) -> sparse.csr_array:
    """This rank's rows of a matrix, with global columns."""
    starts, columns, entries = matrix.getValuesCSR()
    return sparse.csr_array((entries, columns, starts), shape=(len(starts) - 1, matrix.size[1]))


def whole_matrix(matrix: PETSc.Mat) -> sparse.csr_array:
    """A distributed matrix on every rank, its rows in the numbering of all ranks' rows in turn."""
    parts = matrix.comm.tompi4py().allgather(rows_of(matrix))
    return sparse.csr_array(sparse.vstack(parts, format="csr"))
