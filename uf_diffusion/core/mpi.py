"""Which rank this is, and work that one rank does for all. Serial where mpi4py is not in use."""

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

__all__ = ["Share", "abort_all", "alone", "broadcast", "communicator", "from_root", "highest",
           "on_root", "rank", "ranks_here", "size"]  # fmt: skip


# set in every process that an MPI launcher starts: MPICH and Intel MPI, Open MPI, SLURM
_LAUNCHED = ("PMI_SIZE", "PMIX_RANK", "OMPI_COMM_WORLD_SIZE")

_sharing: int | None = None  # inside `alone`: how many processes share this machine's memory


def _world() -> Any:
    """MPI.COMM_WORLD under a launcher or once mpi4py is loaded; nothing else, and when `alone`."""
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
    """Inside, every process acts as if it were the only one: it is rank 0 of 1.

    Enter it on all ranks together. Only `ranks_here` still counts the others, since they use the
    same memory and cores.
    """
    global _sharing
    before, _sharing = _sharing, ranks_here()
    try:
        yield
    finally:
        _sharing = before


def communicator() -> Any:
    """The ranks that work together, for those who need MPI itself: all, or one when `alone`."""
    from mpi4py import MPI

    return MPI.COMM_WORLD if _sharing is None else MPI.COMM_SELF


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

    Inside, rank 0 acts as if it were the only one (`alone`): it must not wait for the others.

    Raises:
        BaseException: what ``work`` raised, on all ranks, so that all of them stop.
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
    """Do ``work`` on rank 0 alone; its result on all ranks, each with its own copy.

    Raises:
        Exception: what ``work`` raised, on all ranks.
    """
    result: Any = on_root(work)
    return cast(T, broadcast(result))


def broadcast[T](value: T) -> T:
    """Rank 0's value, on all ranks."""
    return value if size() == 1 else _world().bcast(value, root=0)


def highest(value: float) -> float:
    """The largest of all ranks' values, on all ranks."""
    return value if size() == 1 else max(_world().allgather(value))


def ranks_here() -> int:
    """How many processes share this machine's memory."""
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
    """End all processes at once, when one of them cannot go on."""
    if size() > 1:
        sys.stdout.flush()
        sys.stderr.flush()
        time.sleep(0.5)  # mpiexec may drop what it has not yet passed on
        _world().Abort(code)


@dataclass(frozen=True)
class Share:
    """Rows of an array that are spread over the ranks in order, or that every rank has.

    Attributes:
        n: number of rows in all.
        split: whether each rank holds only its own ``rows``.
    """

    n: int
    split: bool = False

    @property
    def rows(self) -> slice:
        """This rank's rows."""
        if not self.split:
            return slice(0, self.n)
        return slice(self.n * rank() // size(), self.n * (rank() + 1) // size())

    def sum(self, partial: Array) -> Array:
        """The sum over the ranks of what each has summed over its rows; the same on all ranks."""
        if not self.split or size() == 1:
            return partial
        total = np.empty_like(partial)
        _world().Allreduce(np.ascontiguousarray(partial), total)
        return total

    def max(self, partial: float) -> float:
        """The largest of what each rank has found in its rows."""
        return highest(float(partial)) if self.split else float(partial)

    def gathered(self, rows: Array) -> Array:
        """All rows, on every rank."""
        if not self.split or size() == 1:
            return rows
        return np.concatenate(_world().allgather(rows))
