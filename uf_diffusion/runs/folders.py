"""A run's folder: held by one run at a time."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import h5netcdf  # noqa: F401 (its HDF5 must be loaded before DOLFINx loads another one)

from uf_diffusion.core import mpi
from uf_diffusion.core.errors import InputError

try:
    import fcntl
except ImportError:  # not POSIX: folders are not locked
    fcntl = None  # type: ignore[assignment]

__all__ = ["run_folder"]

_held: set[Path] = set()  # folders that this process keeps


@contextmanager
def run_folder(folder: Path, mark: str = "run.toml") -> Iterator[Path]:
    """Take a folder for a run, or make it, and keep other processes out of it.

    What earlier runs left there stays until this one's files replace them. The lock is the
    kernel's: it ends with the process, however that ends.

    Args:
        folder: of the run.
        mark: what a folder that is not empty must hold to be taken.

    Raises:
        InputError: on all ranks, when it cannot be written, holds other things, or is in use.
    """
    lock = mpi.on_root(lambda: _taken(folder, mark))
    try:
        yield folder
    finally:
        if lock is not None:
            _held.discard(folder.resolve())
            with suppress(OSError):  # not empty, as a rule
                folder.rmdir()
            os.close(lock)


def _taken(folder: Path, mark: str) -> int | None:
    """An open, locked descriptor of the folder; nothing where this process has one."""
    if folder.resolve() in _held:
        return None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder, os.O_RDONLY)
        try:
            if not _locked(lock, folder):  # who had it has removed it
                os.close(lock)
                return _taken(folder, mark)
            if any(folder.iterdir()) and not (folder / mark).exists():
                raise InputError(
                    f"'{folder}' holds other files and is not a run's folder; choose another --out."
                )
            tempfile.TemporaryFile(dir=folder).close()
        except BaseException:
            os.close(lock)
            raise
    except OSError as error:
        raise InputError(f"Cannot write to '{folder}': {error.strerror}.") from None
    _held.add(folder.resolve())
    return lock


def _locked(lock: int, folder: Path) -> bool:
    """Lock an open folder; whether it still has its name.

    Raises:
        InputError: when another process has locked it.
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
