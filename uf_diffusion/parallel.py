"""Which rank this is, and work that one rank does for all. Serial where mpi4py is not in use."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any, cast

__all__ = ["abort_all", "broadcast", "from_root", "on_root", "rank", "size"]

# set in every process that an MPI launcher starts: MPICH and Intel MPI, Open MPI, SLURM
_LAUNCHED = ("PMI_SIZE", "PMIX_RANK", "OMPI_COMM_WORLD_SIZE")


def _world() -> Any:
    """MPI.COMM_WORLD under a launcher or once mpi4py is loaded, else nothing."""
    if "mpi4py.MPI" not in sys.modules and not any(name in os.environ for name in _LAUNCHED):
        return None
    try:
        from mpi4py import MPI
    except ImportError:
        return None
    return MPI.COMM_WORLD


def rank() -> int:
    """This process's number; 0 when serial."""
    world = _world()
    return 0 if world is None else int(world.rank)


def size() -> int:
    """How many processes there are."""
    world = _world()
    return 1 if world is None else int(world.size)


def on_root[T](work: Callable[[], T]) -> T | None:
    """Do ``work`` on rank 0 alone; its result there, nothing elsewhere.

    Raises:
        Exception: what ``work`` raised, on all ranks, so that all of them stop.
    """
    if size() == 1:
        return work()
    result, error = None, None
    if rank() == 0:
        try:
            result = work()
        except Exception as caught:
            error = caught
    error = _world().bcast(error, root=0)
    if error is not None:
        raise error
    return result


def from_root[T](work: Callable[[], T]) -> T:
    """Do ``work`` on rank 0 alone; its result on all ranks, each with its own copy.

    Raises:
        Exception: what ``work`` raised, on all ranks.
    """
    result: Any = on_root(work)
    return cast(T, broadcast(result))


def broadcast[T](value: T) -> T:
    """Rank 0's value, on all ranks."""
    return value if size() == 1 else _world().bcast(value, root=0)


def abort_all(code: int) -> None:
    """End all processes at once, when one of them cannot go on."""
    if size() > 1:
        sys.stdout.flush()
        sys.stderr.flush()
        _world().Abort(code)
