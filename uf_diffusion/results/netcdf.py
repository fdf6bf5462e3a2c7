"""Writes and reads results as NetCDF-4 files, which are either complete or not written.

A file ends with a checksum, so that damage is noticed before HDF5 trips over it. Other readers of
NetCDF ignore it.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5netcdf  # (its HDF5 must be loaded before DOLFINx loads another one)
import numpy as np
import xarray as xr

from uf_diffusion.core.errors import InputError
from uf_diffusion.core.files import appearing, require_file, require_room
from uf_diffusion.core.wording import cause
from uf_diffusion.results.hdf5 import require_harmless, require_plain

__all__ = ["read_attributes", "read_result", "read_sealed", "require_sealed", "sealed",
           "write_result"]  # fmt: skip

MARK = b"\nsealed\n"  # the end of a file with a checksum, which is before it
SEAL = hashlib.sha256().digest_size + len(MARK)  # bytes


def write_result(path: Path, tree: xr.DataTree, before: Path | None = None) -> None:
    """Write a result as a NetCDF-4 file with a checksum, which appears only when it is complete.

    Args:
        path: the file.
        tree: the groups that are stored.
        before: a further name for the file that was there before, which keeps it.

    Raises:
        Unwritable: as `appearing`.
    """
    require_room(path, tree.nbytes + tree.nbytes // 8 + 2**16)
    with appearing(path, before) as partial, sealed(partial):
        tree.to_netcdf(partial, engine="h5netcdf")


@contextmanager
def sealed(path: Path) -> Iterator[None]:
    """A context in which a file is written, which gets its checksum at the end."""
    yield
    seal = _digest(path, path.stat().st_size) + MARK
    with path.open("ab") as file:
        file.write(seal)


def read_sealed(path: Path) -> xr.DataTree:
    """As `read_result`, for a file that must still have the checksum of `write_result`."""
    require_file(path)
    if not _sealed(path):
        raise InputError(f"'{path}' is damaged: its checksum is missing.")
    return read_result(path)


def require_sealed(path: Path) -> None:
    """Refuse a file that does not have the checksum that it got when it was written.

    Raises:
        InputError: for such a file, or one that does not exist.
    """
    require_file(path)
    _require_intact(path)


def read_result(path: str | Path, what: str = "result") -> xr.DataTree:
    """Read a result, or another NetCDF-4 file, into memory.

    A file without a checksum, which other programs and earlier versions write, is read by another
    process first, because HDF5 may crash or never return where bytes are damaged.

    Args:
        path: the file.
        what: what the file is called in the sentence of an error.

    Raises:
        InputError: if the file does not exist, its checksum is wrong, it cannot be read, or it
            refers to something outside of it.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"There is no file '{path}'.")
    _require_harmless(path)
    return _loaded(path, what)


def _loaded(path: Path, what: str) -> xr.DataTree:
    try:
        with warnings.catch_warnings(action="ignore"), np.errstate(all="ignore"):
            require_plain(path)
            with xr.open_datatree(path, engine="h5netcdf", decode_times=False) as tree:
                return _renamed(tree.load())
    except InputError as error:
        raise InputError(f"Cannot read the {what} '{path}': {error}") from None
    except Exception as error:  # HDF5 raises exceptions of many types for a damaged file
        reason = error.strerror if isinstance(error, OSError) and error.strerror else cause(error)
        raise InputError(f"Cannot read the {what} '{path}': {reason}.") from None


def read_attributes(path: Path) -> dict[str, Any]:
    """The attributes of a result, without its arrays; empty if there is no file to read."""
    try:
        if not path.is_file():
            return {}
        _require_harmless(path)
        require_plain(path)
        with h5netcdf.File(path, "r") as file:
            return dict(file.attrs)
    except Exception:  # as in `read_result`
        return {}


def _require_harmless(path: Path) -> None:
    """Refuse a file whose bytes are damaged, before HDF5 opens it.

    Raises:
        InputError: for such a file.
    """
    require_file(path)
    if _sealed(path):
        _require_intact(path)
    else:
        require_harmless(path)


def _sealed(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-min(SEAL, path.stat().st_size), 2)
        return file.read().endswith(MARK)


def _require_intact(path: Path) -> None:
    size = path.stat().st_size - SEAL
    with path.open("rb") as file:
        file.seek(max(size, 0))
        stored = file.read()
    if size < 0 or stored != _digest(path, size) + MARK:
        raise InputError(f"'{path}' is damaged: its checksum does not fit.")


def _digest(path: Path, size: int) -> bytes:
    """The SHA-256 of the first ``size`` bytes of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(min(size, 2**20)):
            digest.update(part)
            size -= len(part)
    return digest.digest()


def _renamed(tree: xr.DataTree) -> xr.DataTree:
    """The tree with current names: versions before 0.3 called the variable node_position "node"."""
    for group in tree.children.values():
        if "node" in group.variables:
            group.dataset = group.to_dataset().reset_coords().rename_vars(node="node_position")
    return tree
