"""Writes files so that they appear under their names only when they are complete."""

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
def appearing(path: Path, before: Path | None = None) -> Iterator[Path]:
    """Give a hidden path to write to, and rename it to ``path`` when the context ends.

    Args:
        path: the file.
        before: a further name for the file that was there before, which keeps it.

    Raises:
        Unwritable: if the file cannot be written; a file that was there before is kept.
    """
    partial = path.with_name(f".{path.name}")
    try:
        yield partial
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        if before is not None and path.exists():
            _keep(path, before)
        os.replace(partial, path)
    except OSError as error:
        raise _unwritable(path, error) from None
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def _keep(path: Path, before: Path) -> None:
    """Let ``before`` be a name of the file ``path``, whatever had this name."""
    before.unlink(missing_ok=True)
    try:
        os.link(path, before)
    except (
        OSError
    ):  # a file system without links: until the next file is there, this is the only one
        os.replace(path, before)


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file, which appears only when it is complete.

    Raises:
        Unwritable: as `appearing`.
    """
    with appearing(path) as partial:
        partial.write_text(text, encoding="utf-8")


def require_room(path: Path, needed: int) -> None:
    """Check that the disk has room for a file, because HDF5 and ADIOS2 crash on a full disk.

    Args:
        path: the file that is to be written.
        needed: its size in bytes.

    Raises:
        Unwritable: if there is not enough room.
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
