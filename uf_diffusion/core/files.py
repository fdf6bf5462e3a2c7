"""Files that appear under their names once they are complete."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import h5netcdf  # noqa: F401 (its HDF5 must be loaded before DOLFINx loads another one)

from uf_diffusion.core.errors import Unwritable

try:
    import fcntl
except ImportError:  # not POSIX: folders are not locked
    fcntl = None  # type: ignore[assignment]

__all__ = ["appearing", "require_room", "write_text"]


@contextmanager
def appearing(path: Path) -> Iterator[Path]:
    """A hidden name to write a file under, which appears under its own once it is complete.

    Raises:
        Unwritable: when it cannot be written; what was there before stays.
    """
    partial = path.with_name(f".{path.name}")
    try:
        yield partial
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(partial, path)
    except OSError as error:
        raise _unwritable(path, error) from None
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file at once."""
    with appearing(path) as partial:
        partial.write_text(text, encoding="utf-8")


def require_room(path: Path, needed: int) -> None:
    """Ask for room before HDF5 or ADIOS2 fill it: they end badly on a full disk.

    Args:
        path: what is to be written.
        needed: bytes.

    Raises:
        Unwritable: when they are not there.
    """
    if not hasattr(os, "posix_fallocate"):
        return
    try:
        with tempfile.TemporaryFile(dir=path.parent) as file:
            os.posix_fallocate(file.fileno(), 0, needed)
    except OSError as error:
        raise _unwritable(path, error) from None


def _unwritable(path: Path, error: OSError) -> Unwritable:
    reason = os.strerror(error.errno) if error.errno else error
    return Unwritable(f"Cannot write '{path}': {reason}.")
