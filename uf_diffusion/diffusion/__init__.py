"""The finite-element solver of the PDE; only this package imports DOLFINx, PETSc and UFL."""

from itertools import pairwise

import h5netcdf  # noqa: F401 (its HDF5 must be loaded before DOLFINx loads another one)

from uf_diffusion.core.address_space import require_address_space
from uf_diffusion.core.errors import InputError
from uf_diffusion.core.signals import undisturbed
from uf_diffusion.core.threads import one_blas_thread

require_address_space(3 * 2**28, "DOLFINx")
try:
    from mpi4py import MPI
except ImportError:
    pass
try:
    with undisturbed():
        import petsc4py

        petsc4py.init(["uf-diffusion", "-no_signal_handler"])  # Python handles the signals
        import dolfinx  # noqa: F401
except ImportError as error:
    raise InputError(
        "The PDE side needs DOLFINx: install it with `pip install 'uf-diffusion[fem]'`, or "
        f"`conda install -c conda-forge fenics-dolfinx=0.11` ({error})."
    ) from error

__all__ = ["describe", "insert_options"]

one_blas_thread()  # the solver has little dense algebra, and under MPI the ranks share the cores


def describe() -> dict[str, str]:
    """The versions of MPI and PETSc, and the external solvers that PETSc has."""
    from petsc4py import PETSc

    packages = ("mumps", "superlu_dist", "hypre", "ptscotch", "parmetis", "kahip", "slepc")
    return {
        "MPI": MPI.Get_library_version().splitlines()[0].strip("\x00 "),
        "PETSc": ".".join(map(str, PETSc.Sys.getVersion())),
        "solvers": ", ".join(p for p in packages if PETSc.Sys.hasExternalPackage(p)) or "none",
    }


def insert_options(options: list[str]) -> None:
    """Put command-line options into PETSc's database.

    Args:
        options: words ``-name`` or ``-name``, ``value``.

    Raises:
        InputError: for a word that is neither a name nor the value of one.
    """
    from petsc4py import PETSc

    for before, word in pairwise(["", *options]):
        if not word.startswith("-") and not before.startswith("-"):
            raise InputError(f"An option of PETSc begins with a dash, unlike '{word}'.")
    PETSc.Options().insertString(" ".join(options))
