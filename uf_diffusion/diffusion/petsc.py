"""What PETSc's solvers share: the user's options, and failures as sentences."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from petsc4py import PETSc

from uf_diffusion.core.arrays import Array
from uf_diffusion.core.errors import InputError, RunFailure

__all__ = ["PREFIX", "StageFailure", "configure", "solved", "told"]

PREFIX = "uf_"  # of the linear solver's options


class StageFailure(RunFailure):
    """Newton's method or the linear solver did not reach its tolerance."""


def configure(*solvers: PETSc.Object) -> None:
    """Give solvers the user's options.

    Raises:
        InputError: on all ranks, for one that PETSc refuses, with its reason.
    """
    try:
        for solver in solvers:
            solver.setFromOptions()
    except PETSc.Error as error:
        raise InputError(f"PETSc refuses an option: {_complaint(error)}.") from None


@contextmanager
def told() -> Iterator[None]:
    """Errors of PETSc, some options' among them, as a `RunFailure` with its reason."""
    try:
        yield
    except PETSc.Error as error:
        raise RunFailure(f"PETSc's linear solver failed: {_complaint(error)}.") from error


def _complaint(error: PETSc.Error) -> str:
    """The last line of PETSc's message, where it says what is wrong, without a full stop."""
    return str(error).strip().splitlines()[-1].rpartition("] ")[2].rstrip(".")


def solved(ksp: PETSc.KSP, left: PETSc.Vec, right: PETSc.Vec, rtol: float) -> tuple[Array, int]:
    """The solution to a relative tolerance, of which direct solvers know nothing, and iterations.

    Raises:
        StageFailure, RunFailure: on all ranks, with PETSc's reason.
    """
    if not PETSc.Options().hasName(f"{PREFIX}ksp_rtol"):
        ksp.setTolerances(rtol=rtol, atol=1e-300, max_it=500)
    with told():
        ksp.solve(left, right)
    if ksp.reason < 0:
        raise StageFailure(f"the linear solver stopped with PETSc's reason {ksp.reason}")
    return np.array(right.array_r), ksp.its
