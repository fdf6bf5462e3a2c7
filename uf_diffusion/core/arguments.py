"""Checks of the values that a caller gives: real arrays, points, weights and numbers."""

from __future__ import annotations

import numbers
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from uf_diffusion.core.errors import InputError
from uf_diffusion.core.wording import cause, shown

__all__ = [
    "LARGEST",
    "finite_number",
    "points",
    "reals",
    "stored_numbers",
    "undamaged",
    "weights",
    "whole_number",
]

LARGEST = 1e50  # the fourth power of a number below it does not overflow


@contextmanager
def undamaged(what: str) -> Iterator[None]:
    """A context in which data that lack a part, or have one of another shape, are refused.

    Args:
        what: where the data come from; it begins the sentence of the error.

    Raises:
        InputError: if the data are not complete.
    """
    try:
        yield
    except InputError:
        raise
    except (LookupError, TypeError, ValueError) as error:
        raise InputError(f"{what} is damaged: {cause(error)}.") from None


def stored_numbers(variables: Mapping[Any, Any]) -> dict[str, np.ndarray[Any, Any]]:
    """The arrays of stored variables by their names.

    Raises:
        TypeError: if one does not hold real numbers.
    """
    arrays = {str(name): variable.values for name, variable in variables.items()}
    for name, array in arrays.items():
        if array.dtype.kind not in "iuf":
            raise TypeError(f"'{name}' must hold real numbers, not {array.dtype}")
    return arrays


def reals(name: str, values: Any) -> np.ndarray[Any, np.dtype[np.float64]]:
    """The given values as a float64 array of the same shape.

    Args:
        name: what the values are; it begins the sentence of an error.
        values: the values that the caller gave.

    Raises:
        InputError: unless they are real numbers of magnitude below `LARGEST`.
    """
    try:
        array = np.asarray(values)
    except (TypeError, ValueError):  # rows of different lengths, or no array at all
        array = np.array(None)
    if array.dtype.kind not in "iuf":
        raise InputError(f"{name} must be real numbers, not {shown(values)}.")
    array = array.astype(float, copy=False)  # LARGEST is out of the range of float32
    usable = np.abs(array) < LARGEST
    if not usable.all():
        first = float(array[~usable].flat[0])
        raise InputError(f"{name} must be finite and below {LARGEST:g}, not {first}.")
    return array


def points(values: Any, ambient: int = 0) -> np.ndarray[Any, np.dtype[np.float64]]:
    """The given values as points ``(n, ambient)`` with n >= 1.

    Where ``ambient`` is 0, the points may have any number of coordinates.

    Raises:
        InputError: for values of another shape, or as `reals`.
    """
    x = reals("Points", values)
    if x.ndim != 2 or not x.size:
        raise InputError(f"Points must have shape (n, ambient) with n >= 1, not {x.shape}.")
    if ambient and x.shape[1] != ambient:
        raise InputError(f"A point has {ambient} coordinates here, not {x.shape[1]}.")
    return x


def weights(values: Any, n: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """The given values as weights ``(n,)`` of a probability measure; None gives equal weights.

    Raises:
        InputError: for another shape, a negative weight, or a sum further than 1e-8 from 1.
    """
    if values is None:
        return np.full(n, 1 / n)
    a = reals("Weights", values)
    if a.shape != (n,):
        raise InputError(f"Weights must have shape ({n},), not {a.shape}.")
    if a.min() < 0:
        raise InputError(f"Weights must not be negative, but one is {a.min():g}.")
    if not abs(a.sum() - 1) <= 1e-8:
        raise InputError(f"Weights must sum to 1, not to {a.sum():.6g}.")
    return a


def whole_number(name: str, value: Any, least: int, most: int | None = None) -> None:
    """Refuse a value that is not a whole number from ``least`` to ``most``.

    Raises:
        InputError: for such a value; ``name`` begins the sentence.
    """
    whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if not whole or value < least or (most is not None and value > most):
        span = f"of at least {least}" if most is None else f"from {least} to {most}"
        raise InputError(f"{name} must be a whole number {span}, not {shown(value)}.")


def finite_number(name: str, value: Any, least: float, most: float) -> None:
    """Refuse a value that is not a real number from ``least`` to ``most``.

    Raises:
        InputError: for such a value; ``name`` begins the sentence.
    """
    real = isinstance(value, int | float | np.integer | np.floating)
    if not real or not least <= value <= most:
        raise InputError(
            f"{name} must be at least {least:g} and at most {most:g}, not {shown(value)}."
        )
