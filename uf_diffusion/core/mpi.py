"""MPI ranks, and work that one rank does for all. Without mpi4py there is a single rank."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from uf_diffusion.core.arrays import Array

__all__ = ["REPLICATED", "Share", "abort_all", "alone", "broadcast", "communicator", "exchanged",
           "from_root", "highest", "on_root", "rank", "ranks_here", "size"]  # fmt: skip


# number of unknowns up to which every one of several ranks computes all of them, which takes less
# time than sending them, and gives the same bits for every number of ranks
REPLICATED = 5000

# environment variables that MPI launchers set: MPICH and Intel MPI, PMIx (SLURM), Open MPI
_LAUNCHED = ("PMI_SIZE", "PMIX_RANK", "OMPI_COMM_WORLD_SIZE")

_sharing: int | None = None  # inside `alone`: how many processes share this machine's memory


def _world() -> Any:
    """MPI.COMM_WORLD under an MPI launcher or if mpi4py is loaded; otherwise None.

    Inside `alone` it is None as well.
    """
    if _sharing is not None:
        return None
    if "mpi4py.MPI" not in sys.modules and not any(name in os.environ for name in _LAUNCHED):
        return None
    try:
        from mpi4py import MPI
    except ImportError:
        return None
    return MPI.COMM_WORLD


@contextmanager
def alone() -> Iterator[None]:
    """A context in which every process acts as if it were the only one: it is rank 0 of 1.

    Enter it on all ranks together. Only `ranks_here` still counts the other processes, since they
    use the same memory and cores.
    """
    global _sharing
    before, _sharing = _sharing, ranks_here()
    try:
        yield
    finally:
        _sharing = before


def communicator() -> Any:
    """The MPI communicator of the ranks that work together: all, or inside `alone` only this one.

    Raises:
        ImportError: if mpi4py is missing.
    """
    from mpi4py import MPI

    return MPI.COMM_WORLD if _sharing is None else MPI.COMM_SELF


def rank() -> int:
    """The number of this process, from 0 to `size` - 1."""
    world = _world()
    return 0 if world is None else int(world.rank)


def size() -> int:
    """The number of processes that work together."""
    world = _world()
    return 1 if world is None else int(world.size)


def on_root[T](work: Callable[[], T]) -> T | None:
    """Call ``work`` on rank 0 alone, and return its result there and None on other ranks.

    Meanwhile rank 0 acts as if it were the only one (`alone`), because it must not wait for others.

    Raises:
        BaseException: on all ranks, the exception that ``work`` raised.
    """
    if size() == 1:
        return work()
    world, result, error = _world(), None, None
    with alone():
        if world.rank == 0:
            try:
                result = work()
            except BaseException as caught:  # Ctrl-C too, or the others would wait for ever
                error = caught
    error = world.bcast(error, root=0)
    if error is not None:
        raise error
    return result


def from_root[T](work: Callable[[], T]) -> T:
    """Call ``work`` on rank 0 alone, and return a copy of its result on every rank.

    Raises:
        BaseException: on all ranks, the exception that ``work`` raised.
    """
    result: Any = on_root(work)
    return cast(T, broadcast(result))


def broadcast[T](value: T) -> T:
    """The value of rank 0, on all ranks."""
    return value if size() == 1 else _world().bcast(value, root=0)


def highest(value: float) -> float:
    """The largest of the values of all ranks, on all ranks."""
    return value if size() == 1 else max(_world().allgather(value))


def exchanged(parts: list[Array]) -> list[Array]:
    """What each rank has for this one, from what this one has for each rank."""
    return parts if size() == 1 else list(_world().alltoall(parts))


def ranks_here() -> int:
    """The number of these processes that run on this machine and share its memory."""
    if _sharing is not None:
        return _sharing
    if size() == 1:
        return 1
    from mpi4py import MPI

    node = _world().Split_type(MPI.COMM_TYPE_SHARED)
    count = int(node.size)
    node.Free()
    return count


def abort_all(code: int) -> None:
    """End all processes at once, because one of them cannot continue. A single rank returns."""
    if size() > 1:
        sys.stdout.flush()
        sys.stderr.flush()
        time.sleep(0.5)  # mpiexec may lose output that it has not yet printed
        _world().Abort(code)


@dataclass(frozen=True)
class Share:
    """How the rows of an array are distributed: in order over the ranks, or all on every rank.

    Attributes:
        n: number of rows in all.
        split: whether each rank holds only its own ``rows``.
    """

    n: int
    split: bool = False

    @property
    def rows(self) -> slice:
        """The slice of the rows that this rank holds."""
        if not self.split:
            return slice(0, self.n)
        return slice(self.n * rank() // size(), self.n * (rank() + 1) // size())

    def sum(self, partial: Array) -> Array:
        """The total, on all ranks, of the sums ``partial`` over the rows of each rank."""
        if not self.split or size() == 1:
            return partial
        total = np.empty_like(partial)
        _world().Allreduce(np.ascontiguousarray(partial), total)
        return total

    def max(self, partial: float) -> float:
        """The maximum, on all ranks, of the maxima ``partial`` over the rows of each rank."""
        return highest(float(partial)) if self.split else float(partial)

    def gathered(self, rows: Array) -> Array:
        """The array ``(n, ...)`` of all rows, on every rank, from the rows of each rank."""
        if not self.split or size() == 1:
            return rows
        return np.concatenate(_world().allgather(rows))
