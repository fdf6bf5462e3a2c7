"""Mends environment variables that would crash libraries, before these libraries are loaded."""

from __future__ import annotations

import os
import tempfile
from importlib.util import find_spec
from pathlib import Path

from uf_diffusion.core.errors import InputError

__all__ = ["mend_environment", "require_mpi4py"]

THREADS = ("OMP_NUM_THREADS", "DUCC0_NUM_THREADS")
PROCESSES = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE")  # their number, from MPICH and Open MPI


def mend_environment() -> None:
    """Give this process a HOME, numbers of threads and a backend that every library accepts.

    ADIOS2 crashes without HOME. ducc0 refuses a number of threads that is no whole number, such as
    OpenMP's list "4,2", of which the first number is kept. Other texts are removed. matplotlib
    refuses a backend that is not installed, such as that of Jupyter in processes that a notebook
    starts.
    """
    if "HOME" not in os.environ:
        os.environ["HOME"] = _home()
    scheme, colon, module = os.environ.get("MPLBACKEND", "").partition("://")
    if colon and not find_spec(module.partition(".")[0] or scheme):
        del os.environ["MPLBACKEND"]
    for name in THREADS:
        if name in os.environ:
            first = os.environ[name].partition(",")[0].strip()
            if first.isascii() and first.isdigit() and 0 < len(first) < 6:
                os.environ[name] = first
            else:
                del os.environ[name]


def _home() -> str:
    """The home folder of the user; of a user without an entry, the folder of temporary files."""
    try:
        return str(Path.home())
    except RuntimeError:
        return tempfile.gettempdir()


def require_mpi4py() -> None:
    """Refuse to be one of several processes of a launcher without mpi4py, each for itself.

    Raises:
        InputError: in this case.
    """
    several = any(os.environ.get(name, "1") != "1" for name in PROCESSES)
    if several and find_spec("mpi4py") is None:
        raise InputError(
            "Several processes were started, but they need mpi4py to work together: install it "
            "with `pip install 'uf-diffusion[fem]'`, or start one process."
        )
