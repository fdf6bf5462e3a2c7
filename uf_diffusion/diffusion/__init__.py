"""The PDE side: a finite-element solver, the only place that imports DOLFINx, PETSc and UFL."""

from itertools import pairwise

import h5netcdf  # noqa: F401 (its HDF5 must be loaded before DOLFINx loads another one)

from uf_diffusion.core.errors import InputError
from uf_diffusion.core.threads import one_blas_thread

try:
    from mpi4py import MPI
except ImportError:
    pass
try:
    import petsc4py

    petsc4py.init(["uf-diffusion", "-no_signal_handler"])  # signals are Python's
    import dolfinx  # noqa: F401
except ImportError as error:
    raise InputError(
        "The PDE side needs DOLFINx: install it with `pip install 'uf-diffusion[fem]'`, or "
        f"`conda install -c conda-forge fenics-dolfinx=0.11` ({error})."
    ) from error

__all__ = ["describe", "insert_options"]

one_blas_thread()  # the solver's dense work is small; under MPI the ranks share the cores


def describe() -> dict[str, str]:
    """Versions of MPI and PETSc, and PETSc's external solvers that are there."""
    from petsc4py import PETSc

    packages = ("mumps", "superlu_dist", "hypre", "ptscotch", "parmetis", "kahip", "slepc")
    return {
        "MPI": MPI.Get_library_version().splitlines()[0].strip("\x00 "),
        "PETSc": ".".join(map(str, PETSc.Sys.getVersion())),
        "solvers": ", ".join(p for p in packages if PETSc.Sys.hasExternalPackage(p)) or "none",
    }


def insert_options(options: list[str]) -> None:
    """Put command-line options, ``-name`` or ``-name value``, into PETSc's database.

    Raises:
        InputError: for a word that is neither.
    """
    from petsc4py import PETSc

    for before, word in pairwise(["", *options]):
        if not word.startswith("-") and not before.startswith("-"):
            raise InputError(f"An option of PETSc begins with a dash, unlike '{word}'.")
    PETSc.Options().insertString(" ".join(options))
