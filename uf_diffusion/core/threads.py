"""Threads for compiled loops and matrix products, no more than this process has cores.

BLAS itself is limited to one thread. numpy and scipy each bring their own BLAS, and the idle
threads of one would occupy cores that the threads of the other need.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from threadpoolctl import threadpool_limits

from uf_diffusion.core.mpi import ranks_here

__all__ = ["blocks_of", "in_threads", "one_blas_thread", "using_threads"]

_pool: ThreadPoolExecutor | None = None


def _cores() -> int:
    """The number of cores for each rank on this machine, or OMP_NUM_THREADS if it is set."""
    chosen = os.environ.get("OMP_NUM_THREADS", "")
    if chosen.isdigit() and int(chosen) > 0:
        return int(chosen)
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, (usable or 1) // ranks_here())


@contextmanager
def using_threads(many: bool) -> Iterator[None]:
    """A context in which `in_threads` uses all cores of this rank if ``many``, otherwise one.

    One thread is faster for small amounts of work.
    """
    global _pool
    before, count = _pool, _cores() if many else 1
    with threadpool_limits(1), ThreadPoolExecutor(count) as pool:
        _pool = pool if count > 1 else None
        try:
            yield
        finally:
            _pool = before


def one_blas_thread() -> None:
    """Limit BLAS to one thread from now on, unless the user has set OMP_NUM_THREADS."""
    if "OMP_NUM_THREADS" not in os.environ:
        threadpool_limits(1)


def blocks_of(n: int, size: int) -> list[slice]:
    """Consecutive slices that cover ``n`` rows, with at most ``size`` rows each."""
    return [slice(i, min(i + size, n)) for i in range(0, n, size)]


def in_threads[Block](work: Callable[[Block], object], blocks: Sequence[Block]) -> None:
    """Call ``work`` on each block, in the threads that `using_threads` provides.

    ``work`` must release the global interpreter lock. If the blocks do not depend on the number of
    threads, neither do the results.
    """
    if _pool is None or len(blocks) == 1:
        for block in blocks:
            work(block)
    else:
        list(_pool.map(work, blocks))
