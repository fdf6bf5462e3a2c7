"""Mends environment variables that would crash libraries, before these libraries are loaded."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

__all__ = ["mend_environment"]

THREADS = ("OMP_NUM_THREADS", "DUCC0_NUM_THREADS")


def mend_environment() -> None:
    """Give this process a HOME and numbers of threads that every library can read.

    ADIOS2 crashes without HOME. ducc0 refuses a number of threads that is no whole number, such as
    OpenMP's list "4,2", of which the first number is kept. Other texts are removed.
    """
    if "HOME" not in os.environ:
        os.environ["HOME"] = _home()
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
