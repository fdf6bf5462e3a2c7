"""Memory of large arrays that come and go in every step."""

from __future__ import annotations

import ctypes
from contextlib import suppress

__all__ = ["keep_freed_memory"]

LARGE = 2**25  # bytes below which glibc keeps what is freed, unless it is told otherwise
TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # parameters of glibc's mallopt
MOST = 2**31 - 1  # bytes


def keep_freed_memory(largest: int) -> None:
    """Keep memory that is freed for the arrays to come, if they are large.

    Otherwise glibc returns large arrays to the system, which then clears every page of the next
    one: a quarter of the time of a step. Other systems' memory is left as it is.

    Args:
        largest: bytes of the largest array that comes and goes.
    """
    if largest < LARGE:
        return
    with suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL("libc.so.6").mallopt
        mallopt(MMAP_THRESHOLD, MOST)
        mallopt(TRIM_THRESHOLD, MOST)
