"""Reads inputs, labels and weights from files: CSV, NumPy arrays and archives, NetCDF."""

from __future__ import annotations

import csv
import warnings
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from uf_diffusion.core.errors import InputError
from uf_diffusion.core.files import require_file
from uf_diffusion.core.wording import cause
from uf_diffusion.results.netcdf import read_result

__all__ = ["NAMES", "SUFFIXES", "read_inputs", "read_labels"]

NAMES = ("inputs", "labels", "weights")  # of arrays, and of the variables of a file
# what the columns of a CSV file with these names hold; all others are inputs
COLUMNS = {"label": "labels", "labels": "labels", "weight": "weights", "weights": "weights"}
ALONE = ""  # stands for the name of the only array of a file


def read_inputs(path: Path) -> dict[str, Any]:
    """The array of inputs in a file and, if it has them, their weights, by the names in `NAMES`.

    Raises:
        InputError: if the file cannot be read or has no inputs.
    """
    arrays = _arrays(path)
    if ALONE in arrays:
        return {"inputs": arrays[ALONE]}
    if "inputs" not in arrays:
        needed = "a column beside labels and weights" if _is_csv(path) else "an array 'inputs'"
        raise InputError(f"'{path}' has no inputs: it needs {needed}.")
    return {name: arrays[name] for name in ("inputs", "weights") if name in arrays}


def read_labels(path: Path) -> Any:
    """The array of labels in a file.

    Raises:
        InputError: if the file cannot be read or has no labels.
    """
    arrays = _arrays(path)
    for name in ("labels", ALONE):
        if name in arrays:
            return arrays[name]
    if _is_csv(path) and arrays["inputs"].shape[1] == 1:
        return arrays["inputs"][:, 0]
    needed = "a column 'label', or no other column" if _is_csv(path) else "an array 'labels'"
    raise InputError(f"'{path}' has no labels: it needs {needed}.")


def _is_csv(path: Path) -> bool:
    return path.suffix.lower() == ".csv"


def _arrays(path: Path) -> dict[str, Any]:
    """The arrays of a file by the names in `NAMES`, or `ALONE`."""
    require_file(path)
    about = path.stat()
    if not about.st_size:
        raise InputError(f"'{path}' is empty.")
    return _read(path, about.st_mtime_ns, about.st_size)


@lru_cache(maxsize=4)
def _read(path: Path, modified: int, size: int) -> dict[str, Any]:
    """The arrays of a file that has not changed; a configuration and its copies all ask for them.

    Damaged files raise exceptions of many types.
    """
    try:
        return SUFFIXES[path.suffix.lower()](path)
    except InputError:
        raise
    except Exception as error:
        raise _unreadable(path, cause(error)) from None


def _table(path: Path) -> dict[str, Any]:
    """The columns of a CSV file; its first line may have their names."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        first = next(csv.reader([file.readline()]), [])
        names = [cell.strip().lstrip("#").strip() for cell in first]
        numbers = list(map(_is_number, names))
        if any(numbers) and not all(numbers):
            raise _unreadable(path, "its first line has names for some of its columns only")
        has_names = not any(numbers)
        file.seek(0)
        with warnings.catch_warnings(action="ignore"):  # of no rows
            rows = np.loadtxt(file, delimiter=",", skiprows=int(has_names), ndmin=2,
                              comments=None, quotechar='"')  # fmt: skip
    if not rows.size:
        raise _unreadable(path, "it has no rows")
    return _by_kind(path, names, rows) if has_names else {"inputs": rows}


def _by_kind(path: Path, names: list[str], rows: Any) -> dict[str, Any]:
    """The columns ``(n, k)`` of a table with their names, as arrays by the names in `NAMES`."""
    if rows.shape[1] != len(names):
        reason = f"its first line has {len(names)} names and its rows have {rows.shape[1]} columns"
        raise _unreadable(path, reason)
    kinds = np.array([COLUMNS.get(name.lower(), "inputs") for name in names])
    arrays = {}
    for kind in set(kinds):
        found = rows[:, kinds == kind]
        if kind != "inputs" and found.shape[1] > 1:
            raise _unreadable(path, f"{found.shape[1]} of its columns are named for {kind}")
        arrays[str(kind)] = found if kind == "inputs" else found[:, 0]
    return arrays


def _is_number(text: str) -> bool:
    """Whether a cell is a number; an empty one is a number that is missing."""
    try:
        float(text or "nan")
    except ValueError:
        return False
    return True


def _array(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        found = np.load(file, allow_pickle=False)
        if not isinstance(found, np.ndarray):
            raise _unreadable(path, "it is an archive, whose name must end with .npz")
        return {ALONE: found}


def _archive(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        found = np.load(file, allow_pickle=False)
        if isinstance(found, np.ndarray):
            raise _unreadable(path, "it is a single array, whose name must end with .npy")
        return {name: found[name] for name in NAMES if name in found.files}


def _netcdf(path: Path) -> dict[str, Any]:
    data = read_result(path).to_dataset()
    return {name: data[name].values for name in NAMES if name in data.variables}


def _unreadable(path: Path, reason: str) -> InputError:
    return InputError(f"Cannot read the data in '{path}': {reason}.")


# readers of files, by their suffixes
SUFFIXES: dict[str, Callable[[Path], dict[str, Any]]] = {
    ".csv": _table, ".npy": _array, ".npz": _archive, ".nc": _netcdf,
}  # fmt: skip
