"""A run's folder, which only one run at a time can use."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import h5netcdf  # noqa: F401 (its HDF5 must be loaded before DOLFINx loads another one)

from uf_diffusion.core import mpi
from uf_diffusion.core.errors import InputError
from uf_diffusion.core.files import remove_partial
from uf_diffusion.core.signals import interruptible

try:
    import fcntl
except ImportError:  # not POSIX: folders are not locked
    fcntl = None  # type: ignore[assignment]

__all__ = ["FIELDS", "WHOLE_FIELDS", "run_folder"]

FIELDS = "fields.bp"  # densities and outer weights for ParaView
WHOLE_FIELDS = "fields.nc"  # the same for other programs, where result.nc has a coarse picture
FILES = ("run.toml", "checkpoint.nc", "checkpoint-before.nc", "state.nc", "result.nc", "study.nc",
         WHOLE_FIELDS, "figure.png", "figure.pdf", "report.html")  # fmt: skip
_held: set[Path] = set()  # folders that this process has locked


@contextmanager
def run_folder(folder: Path, mark: str = "run.toml") -> Iterator[Path]:
    """Lock a folder for a run while the context lasts, and make it if it does not exist.

    Files of earlier runs stay until this run's files replace them. The operating system holds the
    lock and releases it when the process ends, however it ends.

    Args:
        folder: the run's folder.
        mark: a file that marks a folder of a run; a folder with other files but without this one
            is refused. Hidden files do not count, since a killed run may have left them.

    Raises:
        InputError: on all ranks, if the folder cannot be written, holds other files, or is in use.
    """
    with interruptible():
        lock = mpi.on_root(lambda: _taken(folder, mark))
        try:
            yield folder
        finally:
            if lock is not None:
                _held.discard(folder.resolve())
                with suppress(OSError):  # usually the folder is not empty and stays
                    folder.rmdir()
                os.close(lock)


def _taken(folder: Path, mark: str) -> int | None:
    """A descriptor of the locked folder; None if this process has locked it already."""
    if folder.resolve() in _held:
        return None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder, os.O_RDONLY)
        try:
            if not _locked(lock, folder):  # another run has just removed the folder
                os.close(lock)
                return _taken(folder, mark)
            remove_partial(folder)
            if any(folder.glob("[!.]*")) and not (folder / mark).exists():
                raise InputError(
                    f"'{folder}' holds other files and is not a run's folder; choose another --out."
                )
            _require_replaceable(folder)
            tempfile.TemporaryFile(dir=folder).close()
        except BaseException:
            os.close(lock)
            raise
    except OSError as error:
        raise InputError(f"Cannot write to '{folder}': {error.strerror}.") from None
    _held.add(folder.resolve())
    return lock


def _require_replaceable(folder: Path) -> None:
    """Refuse a folder in which a file of a run could not get its name.

    Raises:
        InputError: for a folder in the place of a file, or something else in that of fields.bp.
    """
    fields = folder / FIELDS
    in_the_way = [path for path in map(folder.joinpath, FILES)
                  if path.is_dir() and not path.is_symlink()]  # fmt: skip
    if fields.is_symlink() or (fields.exists() and not fields.is_dir()):
        in_the_way.append(fields)
    if in_the_way:
        raise InputError(
            f"'{in_the_way[0]}' was not written by a run and is in its way: remove it, or choose "
            "another --out."
        )


def _locked(lock: int, folder: Path) -> bool:
    """Lock an open folder, and return whether it still exists under its name.

    Raises:
        InputError: if another process has locked it.
    """
    try:
        if fcntl is not None:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise InputError(
            f"Another process is at work in '{folder}': wait for it, or choose another --out."
        ) from None
    except OSError:  # a file system without locks
        pass
    return folder.exists() and os.path.samestat(os.fstat(lock), folder.stat())
