"""Inputs that a user gives to a network, with weights and labels, as arrays or in files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from uf_diffusion.core.arguments import LARGEST
from uf_diffusion.core.arrays import Array
from uf_diffusion.core.errors import InputError
from uf_diffusion.core.wording import shown, unknown
from uf_diffusion.kernels.inputs import LAWS
from uf_diffusion.network.data_files import NAMES, read_inputs, read_labels
from uf_diffusion.network.draws import GIVEN
from uf_diffusion.results.tables import SUFFIXES

__all__ = ["NAMES", "TEACHER", "Data", "data_of", "is_file", "require_settings"]

TEACHER = "teacher"  # value of network.labels: the outputs of the problem's teacher
SHAPES = {1: "(n,)", 2: "(n, columns)"}


@dataclass(frozen=True, eq=False)
class Data:
    """Inputs that are given; n is their number.

    Attributes:
        inputs: x_1, ..., x_n without the coordinate 1 of a bias, ``(n, d)``, dimensionless.
        labels: the outputs that are learnt, ``(n,)``, dimensionless; None for the teacher's.
        weights: how much each input counts, ``(n,)``; they are not negative, and only their ratios
            matter; None for equal weights.

    Raises:
        InputError: for arrays that are not finite real numbers or do not have such shapes, and for
            weights that are negative or all 0.
    """

    inputs: Array
    labels: Array | None = None
    weights: Array | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "inputs", _numbers("inputs", self.inputs, 2))
        for name in ("labels", "weights"):
            if getattr(self, name) is not None:
                array = _numbers(name, getattr(self, name), 1)
                if len(array) != len(self.inputs):
                    raise InputError(
                        f"There are {len(array)} {name} for {len(self.inputs)} inputs: each input "
                        "needs one."
                    )
                object.__setattr__(self, name, array)
        if self.weights is not None and (self.weights.min() < 0 or not self.weights.any()):
            raise InputError("The weights must not be negative, nor all of them 0.")

    def inputs_for(self, columns: int) -> Array:
        """The inputs, for features that take inputs ``(n, columns)``.

        Raises:
            InputError: if the inputs have another number of columns.
        """
        if self.inputs.shape[1] != columns:
            raise InputError(
                f"The inputs must have shape (n, {columns}) for these features, not "
                f"{self.inputs.shape}."
            )
        return self.inputs


def data_of(inputs: str, labels: str, given: Mapping[str, Any] | None = None) -> Data:
    """The inputs of the keys network.inputs and network.labels, with labels and weights.

    Args:
        inputs: a file, or `GIVEN`.
        labels: a file, `GIVEN` or `TEACHER`.
        given: the arrays that are given in Python, by the names in `NAMES`.

    Raises:
        InputError: if a file cannot be read, an array is missing, and as `Data`.
    """
    arrays, sources = dict(given or {}), (inputs, labels)
    for name, source in zip(("inputs", "labels"), sources, strict=True):
        if source == GIVEN and name not in arrays:
            raise InputError(
                f"The {name} of this run were given as arrays in Python; give them again."
            )
    if is_file(inputs):
        arrays = {**read_inputs(Path(inputs)), **arrays}
    if is_file(labels):
        arrays["labels"] = read_labels(Path(labels))
    try:
        return Data(**arrays)
    except InputError as error:
        files = " and ".join(f"'{name}'" for name in dict.fromkeys(filter(is_file, sources)))
        raise InputError(f"{files}: {error}" if files else str(error)) from None


def is_file(value: str) -> bool:
    """Whether a value of network.inputs or network.labels is the name of a file."""
    return value not in ("", GIVEN, TEACHER, *LAWS)


def require_settings(
    kernel: str, draws: str, inputs: str, labels: str, noise: float, held_out: float
) -> None:
    """Check the keys of the section [network] on inputs and labels, by their names.

    Raises:
        InputError: for values that are out of range or do not fit together.
    """
    for name, value, names in (("inputs", inputs, LAWS), ("labels", labels, [TEACHER])):
        if is_file(value) and Path(value).suffix.lower() not in SUFFIXES:
            kinds = [*names, *(f"a file {suffix}" for suffix in SUFFIXES)]
            raise unknown(f"network.{name}", value, kinds)
    if not noise >= 0:
        raise InputError(f"network.noise must not be negative, but is {noise}.")
    if not 0 <= held_out < 1:
        raise InputError(f"network.held_out must be at least 0 and below 1, not {held_out}.")
    used = {"inputs": inputs != "", "labels": labels != TEACHER, "noise": noise > 0,
            "held_out": held_out > 0}  # fmt: skip
    name = next((name for name, is_used in used.items() if is_used), "")
    if name and kernel != "sampled":
        raise InputError(
            f"network.{name} is for network.kernel = 'sampled': the inputs of the kernel "
            f"'{kernel}' are infinitely many and have the features' own law."
        )
    if draws and name in ("inputs", "labels"):
        raise InputError(f"network.draws gives inputs and a teacher: leave network.{name} out.")
    if used["labels"] and (inputs == "" or inputs in LAWS):
        raise InputError(
            "network.labels belong to inputs that are given: network.inputs must be a file, or in "
            "Python an array."
        )


def _numbers(name: str, values: Any, dimensions: int) -> Array:
    try:
        array = np.asarray(values)
    except ValueError:  # rows of different lengths
        raise InputError(f"The rows of the {name} have different lengths.") from None
    if array.dtype.kind not in "biuf":
        raise InputError(f"The {name} must be real numbers, not {array.dtype}.")
    if array.ndim != dimensions or not array.size:
        raise InputError(f"The {name} must have a shape {SHAPES[dimensions]}, not {array.shape}.")
    array = np.ascontiguousarray(array, dtype=float)
    if not (usable := np.abs(array) < LARGEST).all():
        row = int(np.argmin(usable.reshape(len(array), -1).all(axis=1)))
        raise InputError(
            f"Row {row} of the {name} is not finite and below {LARGEST:g}: "
            f"{shown(array[row].tolist())}."
        )
    return array
