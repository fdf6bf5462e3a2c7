"""What densities that are made from data have in common."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from uf_diffusion.core.arrays import Array
from uf_diffusion.core.errors import InputError
from uf_diffusion.core.paths import user_path
from uf_diffusion.core.wording import shown
from uf_diffusion.problem.densities import Density
from uf_diffusion.problem.manifolds import NOWHERE, Manifold

__all__ = ["FromData", "digest_of", "nested", "of_file", "require_one_source"]


@dataclass(frozen=True)
class FromData(Density):
    """A base class of densities from data, mixed with the uniform density.

    Two densities from files are equal only if these held the same numbers when they were read.

    Attributes:
        file: the file with the data; if None, they are given as arrays.
        floor: the mass of the uniform density in the mixture, at least 0 and below 1,
            dimensionless.
        digest: a hash of the data.

    Raises:
        InputError: for another floor, or something else than a path.
    """

    file: Any = None
    floor: float = 0.0
    digest: str = field(default="", init=False, repr=False)

    def __post_init__(self) -> None:
        if self.manifold is not NOWHERE and not isinstance(self.manifold, Manifold):
            raise InputError(
                f"{type(self).__name__} takes its data by name, and a manifold first, not "
                f"{shown(self.manifold)}."
            )
        number = isinstance(self.floor, int | float) and not isinstance(self.floor, bool)
        if not number or not 0 <= self.floor < 1:
            raise InputError(f"floor must be a number from 0 to below 1, not {shown(self.floor)}.")
        if self.file is not None:
            object.__setattr__(self, "file", os.path.abspath(user_path(self.file)))

    def _estimate(self, x: Array) -> Array:
        """The density of the data alone at points ``(n, ambient)``, ``(n,)``."""
        raise NotImplementedError

    def _drawn(self, n: int, rng: np.random.Generator) -> Array:
        """Independent points ``(n, ambient)`` from the density of the data alone."""
        raise NotImplementedError

    def formula(self, x: Any, xp: ModuleType) -> Any:
        if xp is not np:
            raise InputError("A density from data is a numpy function without UFL form.")
        estimate = self._estimate(np.ascontiguousarray(np.transpose(x)))
        return (1 - self.floor) * estimate + self.floor / self.manifold.volume

    def sample(self, n: int, rng: np.random.Generator) -> Array:
        """Draw exactly: from the density of the data, or with probability ``floor`` uniformly."""
        uniform = rng.random(n) < self.floor
        x = np.empty((n, self.manifold.ambient))
        x[uniform] = self.manifold.sample(int(uniform.sum()), rng)
        x[~uniform] = self._drawn(int((~uniform).sum()), rng)
        return x


def digest_of(*arrays: Array) -> str:
    """A hash of arrays of numbers and their shapes."""
    found = hashlib.sha256()
    for array in arrays:
        found.update(repr(array.shape).encode() + np.ascontiguousarray(array).tobytes())
    return found.hexdigest()


def nested(array: Array) -> Any:
    """The numbers of an array as tuples of tuples, so that they can be compared and written."""

    def frozen(values: Any) -> Any:
        return tuple(map(frozen, values)) if isinstance(values, list) else values

    return frozen(array.tolist())


def require_one_source(kind: str, name: str, given: Any, file: str | None) -> None:
    """Refuse data that are given both as an array and as a file, or not at all.

    Raises:
        InputError: for such data; ``kind`` is that of the density and ``name`` that of the array.
    """
    if given is None and file is None:
        raise InputError(f"Density '{kind}' needs {name} or a file.")
    if given is not None and file is not None:
        raise InputError(f"Density '{kind}' takes {name} or a file, not both.")


@contextmanager
def of_file(file: str | None) -> Iterator[Path | None]:
    """A context in which mistakes in a file's data are told with its name, and its path.

    Where ``file`` is None, they are told as they are.
    """
    try:
        yield None if file is None else Path(file)
    except InputError as error:
        if file is None or f"'{file}'" in str(error):
            raise
        raise InputError(f"'{file}': {error}") from None
