"""Guards against HDF5 files that lead elsewhere, or on which the library crashes or never returns.

As a program, ``python -m uf_diffusion.results.hdf5 FILE`` reads all of a file.
"""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5netcdf  # noqa: F401 (its HDF5 must be loaded before DOLFINx loads another one)
import h5py

from uf_diffusion.core.errors import InputError

__all__ = ["require_harmless", "require_plain"]

PATIENCE = 6.0  # seconds that another process may take to start and to read a small file
SLOWEST = 2e7  # bytes per second that are read at least
DEFLATED = 1032  # at most how many times deflate makes data smaller


def require_harmless(path: Path) -> None:
    """Let another process read a file, and refuse it if that crashes or does not end.

    Raises:
        InputError: for such a file. One that HDF5 refuses to read is not refused here.
    """
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    words = [sys.executable, "-P", "-m", __name__, str(path.resolve())]
    seconds = PATIENCE + path.stat().st_size / SLOWEST
    try:
        done = subprocess.run(
            words, env=environment, capture_output=True, timeout=seconds, check=False
        )
    except subprocess.TimeoutExpired:
        raise InputError(f"'{path}' is damaged: reading it does not end.") from None
    if done.returncode < 0:
        raise InputError(f"'{path}' is damaged: HDF5 crashes on it.")


def require_plain(path: Path) -> None:
    """Refuse an HDF5 file that refers to others or to itself, or claims more data than it can hold.

    Raises:
        InputError: for such a file.
        Exception: of some type, for a file that HDF5 cannot read.
    """
    with h5py.File(path) as file:
        _require_plain(file, DEFLATED * path.stat().st_size)


def _require_plain(file: Any, room: int) -> None:
    claimed = 0
    for group in _groups(file):
        for name in group:
            nested = _is_group(group, name)
            if nested and group is not file:
                raise InputError(f"a result has no group '{group.name}/{name}'.")
            item = group[name]
            if isinstance(item, h5py.Dataset):
                if item.external or item.is_virtual:
                    raise InputError(f"the numbers of '{item.name}' are in another file.")
                claimed += math.prod(item.shape or ()) * item.dtype.itemsize
    if claimed > room:
        raise InputError(f"it claims to hold {claimed:.3g} bytes, more than fit into it.")


def _is_group(group: Any, name: str) -> bool:
    """Whether a member of an HDF5 group is a group.

    Raises:
        InputError: if it is a link.
    """
    if not isinstance(group.get(name, getlink=True), h5py.HardLink):
        raise InputError(f"'{group.name.rstrip('/')}/{name}' is a link.")
    return bool(group.get(name, getclass=True) is h5py.Group)


def _groups(file: Any) -> Iterator[Any]:
    """The root of a file and its groups."""
    yield file
    yield from (file[name] for name in file if _is_group(file, name))


def _read_all(path: Path) -> None:
    require_plain(path)
    with h5py.File(path) as file:
        for group in _groups(file):
            for item in (group, *group.values()):
                dict(item.attrs)
                if isinstance(item, h5py.Dataset):
                    item[()]


if __name__ == "__main__":
    _read_all(Path(sys.argv[1]))
