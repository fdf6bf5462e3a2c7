"""Inputs, labels and weights of a network in files: CSV, NumPy arrays and archives, NetCDF."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from uf_diffusion.core.errors import InputError
from uf_diffusion.results.tables import read_arrays

__all__ = ["NAMES", "read_inputs", "read_labels"]

NAMES = ("inputs", "labels", "weights")  # of arrays, and of the variables of a file


def read_inputs(path: Path) -> dict[str, Any]:
    """The array of inputs in a file and, if it has them, their weights, by the names in `NAMES`.

    Raises:
        InputError: if the file cannot be read or has no inputs.
    """
    arrays = _arrays(path)
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
    if "labels" in arrays:
        return arrays["labels"]
    alone = arrays.get("inputs")
    if alone is not None and path.suffix.lower() == ".npy":
        return alone
    if alone is not None and _is_csv(path) and alone.shape[1] == 1:
        return alone[:, 0]
    needed = "a column 'label', or no other column" if _is_csv(path) else "an array 'labels'"
    raise InputError(f"'{path}' has no labels: it needs {needed}.")


def _is_csv(path: Path) -> bool:
    return path.suffix.lower() == ".csv"


def _arrays(path: Path) -> dict[str, Any]:
    """The arrays of a file by the names in `NAMES`; those without a name are inputs."""
    arrays = read_arrays(path, "inputs", NAMES)
    if _is_csv(path):
        columns = [arrays.pop(name) for name in list(arrays) if name not in NAMES[1:]]
        arrays |= {"inputs": np.column_stack(columns)} if columns else {}
    return arrays
