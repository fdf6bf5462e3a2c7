"""Writes and reads results as NetCDF-4 files, which are either complete or not written."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import h5netcdf  # (its HDF5 must be loaded before DOLFINx loads another one)
import xarray as xr

from uf_diffusion.core.errors import InputError
from uf_diffusion.core.files import appearing, require_room

try:
    import fcntl
except ImportError:  # not POSIX: folders are not locked
    fcntl = None  # type: ignore[assignment]

__all__ = ["read_attributes", "read_result", "read_sealed", "write_result"]


def write_result(
    path: Path, tree: xr.DataTree, sealed: bool = False, before: Path | None = None
) -> None:
    """Write a result as a NetCDF-4 file, which appears only when it is complete.

    Args:
        path: the file.
        tree: the groups that are stored.
        sealed: whether to append the SHA-256 of the file, which `read_sealed` checks and other
            readers of NetCDF ignore.
        before: a further name for the file that was there before, which keeps it.

    Raises:
        Unwritable: as `appearing`.
    """
    require_room(path, tree.nbytes + tree.nbytes // 8 + 2**16)
    with appearing(path, before) as partial:
        tree.to_netcdf(partial, engine="h5netcdf")
        if sealed:
            seal = _seal(partial.read_bytes())
            with partial.open("ab") as file:
                file.write(seal)


def read_sealed(path: Path) -> xr.DataTree:
    """Read a file that `write_result` has written with ``sealed``.

    Raises:
        InputError: if it cannot be read, or its checksum is wrong.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"Cannot read '{path}': {error.strerror}.") from None
    size = hashlib.sha256().digest_size
    if _seal(content[:-size]) != content[-size:]:
        raise InputError(f"'{path}' is damaged: its checksum does not fit.")
    return read_result(path)


def _seal(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()


def read_result(path: str | Path) -> xr.DataTree:
    """Read a result into memory.

    Raises:
        InputError: if the file does not exist or cannot be read.
    """
    if not Path(path).exists():
        raise InputError(f"There is no file '{path}'.")
    try:
        with xr.open_datatree(path, engine="h5netcdf") as tree:
            return _renamed(tree.load())
    except Exception as error:  # HDF5 raises exceptions of many types for a damaged file
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise InputError(f"Cannot read the result '{path}': {reason}.") from None


def read_attributes(path: Path) -> dict[str, Any]:
    """The attributes of a result, without its arrays; empty if there is no file to read."""
    if not path.is_file():
        return {}
    try:
        with h5netcdf.File(path, "r") as file:
            return dict(file.attrs)
    except Exception:  # as in `read_result`
        return {}


def _renamed(tree: xr.DataTree) -> xr.DataTree:
    """The tree with current names: versions before 0.3 called the variable node_position "node"."""
    for group in tree.children.values():
        if "node" in group.variables:
            group.dataset = group.to_dataset().reset_coords().rename_vars(node="node_position")
    return tree
