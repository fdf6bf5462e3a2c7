"""The PDE side: a finite-element solver, the only place that imports DOLFINx, PETSc and UFL."""

from uf_diffusion.errors import InputError

try:
    from mpi4py import MPI  # noqa: F401  (loads the MPI library that DOLFINx links to)
except ImportError:
    pass
try:
    import dolfinx  # noqa: F401
except ImportError as error:
    raise InputError(
        "The PDE side needs DOLFINx: install it with `pip install 'uf-diffusion[fem]'`, or "
        f"`conda install -c conda-forge fenics-dolfinx=0.11` ({error})."
    ) from error
