"""The address space that a limit, such as ``ulimit -v``, leaves to this process.

Libraries that find too little of it crash while they are loaded, or say that they are missing.
"""

from __future__ import annotations

import math
import os

import psutil

from uf_diffusion.core.errors import InputError

try:
    import resource
except ImportError:  # not POSIX: there is no such limit
    resource = None  # type: ignore[assignment]

__all__ = ["free_address_space", "require_address_space"]

GIB = 2**30
THREAD = 2**25  # bytes for the stacks of a thread of each BLAS


def free_address_space() -> float:
    """Bytes that this process may still reserve; infinite without a limit."""
    limit = -1 if resource is None else resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit < 0:  # RLIM_INFINITY
        return math.inf
    return max(0, limit - int(psutil.Process().memory_info().vms))


def require_address_space(needed: float, what: str) -> None:
    """Refuse work for which the limit leaves too little.

    Args:
        needed: bytes of address space; those of BLAS's threads are added.
        what: what needs them; it begins the sentence of the error.

    Raises:
        InputError: if there is less.
    """
    free = free_address_space()
    needed += THREAD * int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1))
    if free < needed:
        raise InputError(
            f"{what} needs {needed / GIB:.1f} GiB of memory, and a limit of this process's address "
            f"space leaves {free / GIB:.1f} GiB: raise the limit (ulimit -v)."
        )
