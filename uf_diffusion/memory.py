"""Will it fit: the memory that is free, and the sentence for a run that needs more."""

from __future__ import annotations

from pathlib import Path

import psutil

from uf_diffusion.errors import InputError
from uf_diffusion.parallel import ranks_here

__all__ = ["free_memory", "require_memory"]

GIB = 2**30
CGROUP = Path("/sys/fs/cgroup")


def free_memory() -> int:
    """Bytes that this machine, or the container we are in, can still give."""
    free = int(psutil.virtual_memory().available)
    try:
        limit = int((CGROUP / "memory.max").read_text())
        used = int((CGROUP / "memory.current").read_text())
    except (OSError, ValueError):  # no container, or one without a limit
        return free
    return min(free, limit - used)


def require_memory(needed: int, advice: str) -> None:
    """Refuse a run that needs more memory than there is.

    Args:
        needed: bytes on each rank.
        advice: what to change.

    Raises:
        InputError: when it does not fit.
    """
    total, free = needed * ranks_here(), free_memory()
    if total > free:
        raise InputError(
            f"The network needs about {total / GIB:.1f} GiB of memory and {free / GIB:.1f} GiB are "
            f"free; {advice}."
        )
