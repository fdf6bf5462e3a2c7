"""Random draws that are given: the inputs, the teacher's neurons and the student's at the start.

With the draws of another program a training can be compared with it curve by curve.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from uf_diffusion.core.arguments import weights
from uf_diffusion.core.arrays import Array
from uf_diffusion.core.errors import InputError
from uf_diffusion.core.files import require_file
from uf_diffusion.core.wording import cause, shown, unknown
from uf_diffusion.kernels.feature_maps import Atoms
from uf_diffusion.problem.manifolds import Manifold
from uf_diffusion.results.netcdf import read_result

__all__ = ["GIVEN", "PAPER", "Draws", "read_draws"]

PAPER, GIVEN = "paper", "arrays"  # values of network.draws that are not files

NEEDED = ("inputs", "teacher", "student")
MASSES = ("teacher_mass", "student_mass")
APART = 1e-3  # a point so far from a sphere, or outside of half a period, is a mistake


@dataclass(frozen=True, eq=False)
class Draws:
    """The random draws of a training; n, k and M are the numbers of inputs and neurons.

    Attributes:
        inputs: x_1, ..., x_n, ``(n, d)``.
        teacher, student: neurons as points of the manifold, ``(k, ambient)`` and ``(M, ambient)``;
            on tori in the coordinates of the chart.
        teacher_mass, student_mass: positive masses that sum to 1, ``(k,)`` and ``(M,)``; None for
            equal masses.

    Raises:
        InputError: for arrays that are not finite numbers or do not have such shapes, and for
            masses that are not positive or do not sum to 1.
    """

    inputs: Array
    teacher: Array
    student: Array
    teacher_mass: Array | None = None
    student_mass: Array | None = None

    def __post_init__(self) -> None:
        for name in NEEDED:
            object.__setattr__(self, name, _numbers(name, getattr(self, name), 2))
        for name in MASSES:
            mass = getattr(self, name)
            if mass is not None:
                count = len(getattr(self, name.removesuffix("_mass")))
                object.__setattr__(self, name, _masses(name, mass, count))

    @classmethod
    def of(cls, arrays: Mapping[str, Any]) -> Draws:
        """Draws from arrays by their names.

        Raises:
            InputError: for a name that is missing or unknown, and as the class.
        """
        for name in arrays:
            if name not in NEEDED + MASSES:
                raise unknown("array of random draws", str(name), NEEDED + MASSES)
        for name in NEEDED:
            if name not in arrays:
                raise InputError(f"Random draws need the array '{name}'.")
        return cls(**arrays)

    @property
    def sizes(self) -> dict[str, int]:
        """The keys of the section [network] that these draws decide."""
        return {
            "width": len(self.student), "samples": len(self.inputs),
            "teacher_width": len(self.teacher),
        }  # fmt: skip

    def atoms(self, manifold: Manifold) -> tuple[Atoms, Atoms]:
        """The neurons of student and teacher, moved to the manifold by less than round-off in
        single precision.

        Raises:
            InputError: for points that do not lie on the manifold.
        """
        return (
            _atoms("student", self.student, self.student_mass, manifold),
            _atoms("teacher", self.teacher, self.teacher_mass, manifold),
        )

    def inputs_for(self, columns: int) -> Array:
        """The inputs, for features that take inputs ``(n, columns)``.

        Raises:
            InputError: if the inputs have another number of columns.
        """
        if self.inputs.shape[1] != columns:
            raise InputError(
                f"The drawn inputs must have shape (n, {columns}), not {self.inputs.shape}."
            )
        return self.inputs


def read_draws(path: Path) -> Draws:
    """Read draws from a NumPy archive (.npz) or a NetCDF file with arrays of these names.

    Raises:
        InputError: if the file cannot be read, and as `Draws.of`.
    """
    require_file(path)
    about = path.stat()
    return _read(path, about.st_mtime_ns, about.st_size)


@lru_cache(maxsize=4)
def _read(path: Path, modified: int, size: int) -> Draws:
    """The draws in a file that has not changed; a configuration and its copies all ask for them."""
    if path.suffix == ".npz":
        arrays = _archive(path)
    else:
        data = read_result(path).to_dataset()
        arrays = {str(name): values.values for name, values in data.data_vars.items()}
    try:
        return Draws.of(arrays)
    except InputError as error:
        raise InputError(f"'{path}': {error}") from None


def _archive(path: Path) -> dict[str, Array]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files if name in NEEDED + MASSES}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, NotImplementedError) as error:
        raise InputError(f"Cannot read the random draws '{path}': {cause(error)}.") from None


def _numbers(name: str, values: Any, dimensions: int) -> Array:
    array = np.asarray(values)
    if array.dtype.kind not in "biuf" or not np.isfinite(array).all():
        raise InputError(f"The drawn array '{name}' must hold finite real numbers.")
    if array.ndim != dimensions or not array.size:
        kind = "(n, columns)" if dimensions == 2 else "(n,)"
        raise InputError(f"The drawn array '{name}' must have a shape {kind}, not {array.shape}.")
    return np.ascontiguousarray(array, dtype=float)


def _masses(name: str, values: Any, count: int) -> Array:
    mass = _numbers(name, values, 1)
    try:
        mass = weights(mass, count)
    except InputError as error:
        raise InputError(f"The drawn array '{name}' does not fit: {error}") from None
    if not (mass > 0).all():
        raise InputError(f"The drawn array '{name}' must be positive.")
    return mass


def _atoms(name: str, points: Array, mass: Array | None, manifold: Manifold) -> Atoms:
    if points.shape[1] != manifold.ambient:
        raise InputError(
            f"The drawn array '{name}' must have shape (n, {manifold.ambient}), not {points.shape}."
        )
    with np.errstate(invalid="ignore", divide="ignore"):
        on = manifold.retract(points, np.zeros_like(points))
        if manifold.period > 0:
            apart = np.abs(points).max(axis=1) / (manifold.period / 2) - 1
        else:
            apart = np.linalg.norm(on - points, axis=1)
    far = ~(apart <= APART)
    if far.any():
        row = int(np.argmax(far))
        raise InputError(
            f"Row {row} of the drawn array '{name}' is not a point of {manifold}: "
            f"{shown(points[row].tolist())}."
        )
    return Atoms(on, np.full(len(on), 1 / len(on)) if mass is None else mass)
