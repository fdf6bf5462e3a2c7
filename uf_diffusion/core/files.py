"""Reads regular files only, and writes files so that they appear only when they are complete."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5netcdf  # noqa: F401 (its HDF5 must be loaded before DOLFINx loads another one)

from uf_diffusion.core.errors import InputError, Unwritable
from uf_diffusion.core.wording import shown

__all__ = ["appearing", "private_folder", "remove_partial", "require_file", "require_room",
           "write_text"]  # fmt: skip

PARTIAL = ".partial-"  # how the names of the folders of unfinished files begin


def require_file(path: Path) -> None:
    """Refuse what is not a readable regular file: a folder, or a pipe, which might never end.

    Raises:
        InputError: for such a path, or one that does not exist.
    """
    try:
        regular = stat.S_ISREG(path.stat().st_mode)
        if regular or path.is_dir():
            path.open("rb").close()
    except OSError as error:
        raise InputError(f"Cannot read '{path}': {error.strerror}.") from None
    except ValueError:  # the path has a zero byte
        raise InputError(f"Cannot read {shown(str(path))}: there is no such path.") from None
    if not regular:
        raise InputError(f"Cannot read '{path}': it is a pipe or a device, not a regular file.")


@contextmanager
def appearing(path: Path, before: Path | None = None) -> Iterator[Path]:
    """Give a hidden path to write to, and move it to ``path`` when the context ends.

    If ``path`` is a symbolic link, the link is replaced and what it points to is kept.

    Args:
        path: the file.
        before: a further name for the file that was there before, which keeps it.

    Raises:
        Unwritable: if the file cannot be written; a file that was there before is kept.
    """
    private = private_folder(path)
    try:
        partial = private / path.name
        yield partial
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        if before is not None and path.exists():
            _keep(path, before)
        os.replace(partial, path)
    except OSError as error:
        raise _unwritable(path, error) from None
    finally:
        shutil.rmtree(private, ignore_errors=True)


def private_folder(path: Path) -> Path:
    """A new folder beside ``path``, in which only this user may write; the caller removes it.

    No name in it is a symbolic link that somebody else has planted.

    Raises:
        Unwritable: if it cannot be made.
    """
    try:
        return Path(tempfile.mkdtemp(prefix=PARTIAL, dir=path.parent))
    except OSError as error:
        raise _unwritable(path, error) from None


def remove_partial(folder: Path) -> None:
    """Remove what processes that were killed left unfinished in a folder that is locked."""
    for place in (folder, folder / "runs", folder / "budget"):
        for private in place.glob(f"{PARTIAL}*"):
            shutil.rmtree(private, ignore_errors=True)


def _keep(path: Path, before: Path) -> None:
    """Let ``before`` be a name of the file ``path``, whatever had this name."""
    before.unlink(missing_ok=True)
    try:
        os.link(path, before)
    except OSError:  # no links there: until the next file is in place, this is the only one
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
