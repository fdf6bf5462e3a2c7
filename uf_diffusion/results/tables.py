"""Reads arrays of numbers that users give: CSV, NumPy's .npy and .npz, and NetCDF files."""

from __future__ import annotations

import csv
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from uf_diffusion.core.arrays import Array
from uf_diffusion.core.errors import InputError
from uf_diffusion.core.files import require_file
from uf_diffusion.core.wording import cause

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["SUFFIXES", "read_arrays", "read_dataset"]

SUFFIXES = (".csv", ".npy", ".npz", ".nc")
# further names of arrays, in any case, and the names that they have here
ALSO = {"label": "labels", "labels": "labels", "weight": "weights", "weights": "weights"}


def read_arrays(path: Path, name: str, wanted: tuple[str, ...] = ()) -> dict[str, Any]:
    """Read the arrays of a CSV, NumPy or NetCDF file. What they hold is not checked here.

    A CSV file holds rows of numbers separated by commas. Its first line may give the names of its
    columns, after a # or not. Empty lines and others that begin with # are skipped. An array or a
    column "label" is called "labels", and "weight" is called "weights", in any case. No content of
    the file is told in an error. The four files that were read last are not read again unless they
    have changed, so the arrays must not be written to.

    Args:
        path: the file, which ends in .csv, .npy, .npz or .nc.
        name: the name of an array that has none: that of a .npy file, or ``(rows, columns)`` of a
            CSV file without names.
        wanted: the arrays that are read from .npz and NetCDF files; if empty, all, and of NetCDF
            those that are not coordinates.

    Returns:
        The arrays by name; a CSV file with names gives each of its columns, ``(rows,)``.

    Raises:
        InputError: if the file cannot be read.
    """
    require_file(path)
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(f"Cannot read '{path}': its name must end in {', '.join(SUFFIXES)}.")
    about = path.stat()
    if not about.st_size:
        raise InputError(f"Cannot read '{path}': it is empty.")
    return dict(_read(path, name, wanted, about.st_ino, about.st_mtime_ns, about.st_size))


@lru_cache(maxsize=4)
def _read(path: Path, name: str, wanted: tuple[str, ...], *version: int) -> dict[str, Any]:
    """The arrays of a version of a file; a configuration and its copies all ask for them."""
    suffix = path.suffix.lower()
    if suffix == ".csv":
        return _csv(path, name)
    arrays = _netcdf(path, wanted) if suffix == ".nc" else _numpy(path, name, wanted)
    found = {_called(key): array for key, array in arrays.items()}
    if len(found) < len(arrays):
        raise InputError(f"Cannot read '{path}': it has two arrays of labels or of weights.")
    return found


def _called(name: str) -> str:
    return ALSO.get(name.lower(), name)


def read_dataset(path: Path) -> xr.Dataset:
    """Read the variables of a NetCDF-4 file with their coordinates into memory.

    Raises:
        InputError: if the file cannot be read.
    """
    from uf_diffusion.results.netcdf import read_result  # xarray takes long to load

    require_file(path)
    return read_result(path, "file").to_dataset()


def _netcdf(path: Path, wanted: tuple[str, ...]) -> dict[str, Any]:
    data = read_dataset(path)
    keys = [*data.data_vars, *(key for key in data.coords if key in wanted)]
    return {str(k): data[k].values for k in keys if not wanted or _called(str(k)) in wanted}


def _numpy(path: Path, name: str, wanted: tuple[str, ...]) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            loaded = np.load(file, allow_pickle=False)
            if not hasattr(loaded, "files"):
                return {name: loaded}
            return {k: loaded[k] for k in loaded.files if not wanted or _called(k) in wanted}
    except Exception as error:  # numpy and zlib raise exceptions of many types for damaged bytes
        raise InputError(f"Cannot read '{path}': {cause(error)}.") from None


def _csv(path: Path, name: str) -> dict[str, Any]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise InputError(f"Cannot read '{path}': {error.strerror}.") from None
    except UnicodeDecodeError:
        raise InputError(f"Cannot read '{path}': it is not UTF-8 text.") from None
    filled = [(number, line.strip()) for number, line in enumerate(lines, 1) if line.strip()]
    table = _table(path, [row for row in filled[1:] if not row[1].startswith("#")], filled[:1])
    if not len(table):
        raise InputError(f"Cannot read '{path}': it has no row of numbers.")
    names = _names(path, filled[0][1], table.shape[1])
    return dict(zip(names, table.T.copy(), strict=True)) if names else {name: table}


def _table(path: Path, rows: list[tuple[int, str]], first: list[tuple[int, str]]) -> Array:
    """The numbers of numbered lines, ``(rows, columns)``; the first line may hold names instead."""
    first = [line for line in first if _numbers(line[1])]
    table = [_numbers(line) for _, line in first + rows]
    for (number, _), row in zip(first + rows, table, strict=True):
        if not row or len(row) != len(table[0]):
            count = f"{len(table[0])} " if table[0] else ""
            wanted = "one number" if count == "1 " else f"{count}numbers separated by commas"
            raise InputError(f"Cannot read '{path}': line {number} does not hold {wanted}.")
    return np.array(table, dtype=float)


def _names(path: Path, line: str, columns: int) -> list[str]:
    """The names of columns in a first line; empty if it holds numbers, or is another comment."""
    if _numbers(line):
        return []
    words = [word.strip() for word in _words(line.lstrip("#"))]
    names = {_called(word) for word in words if word and not _numbers(word)}
    if len(words) == len(names) == columns:
        return [_called(word) for word in words]
    if line.startswith("#"):
        return []
    raise InputError(
        f"Cannot read '{path}': its first line must hold numbers, or a different name for each of "
        f"the {columns} columns."
    )


def _words(line: str) -> list[str]:
    if '"' not in line:
        return line.split(",")  # faster
    try:
        return next(csv.reader([line], skipinitialspace=True), [])
    except csv.Error:  # a field that is too long
        return []


def _numbers(line: str) -> list[float]:
    """The numbers of a line; empty if one of its words is none."""
    try:
        return list(map(float, _words(line)))
    except ValueError:
        return []
