"""Loops compiled by numba: each is compiled once and kept beside its source file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from numba import njit

__all__ = ["compiled"]


def compiled[F: Callable[..., Any]](function: F) -> F:
    """The function as machine code; it lets other threads run."""
    return cast(F, njit(cache=True, nogil=True, error_model="numpy")(function))
