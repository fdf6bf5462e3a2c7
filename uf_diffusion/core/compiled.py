"""Functions compiled by numba: each is compiled once and kept beside its source file."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, cast

from numba import njit, types
from numba.extending import intrinsic

from uf_diffusion.core.arrays import Array

__all__ = ["add_squares", "compiled", "exponential", "reordered", "vectorised"]

# lowest argument, 1 / log 2, what rounds, log 2 in two parts, 1/2!, ..., 1/12!. They are handed
# to the loops at run time: constants that it knows, the compiler loads anew for every number.
_EXPONENTIAL = (-708.0, 1.4426950408889634, 6755399441055744.0, 0.6931471803691238,
                1.9082149292705877e-10, *(1 / math.factorial(k) for k in range(2, 13)))  # fmt: skip


Exponential = tuple[float, ...]


def compiled[F: Callable[..., Any]](function: F) -> F:
    """The function as machine code; it lets other threads run."""
    return _machine_code(function, False)


def vectorised[F: Callable[..., Any]](function: F) -> F:
    """As `compiled`, for numbers that are all finite; no sum is reordered."""
    return _machine_code(function, {"nnan", "ninf", "nsz", "contract"})


def reordered[F: Callable[..., Any]](function: F) -> F:
    """As `compiled`; sums are taken in the order that is fastest, the same in every run."""
    return _machine_code(function, True)


def _machine_code[F: Callable[..., Any]](function: F, fastmath: bool | set[str]) -> F:
    jit = njit(cache=True, nogil=True, error_model="numpy", fastmath=fastmath)
    return cast(F, jit(function))


@intrinsic  # type: ignore[untyped-decorator]
def _bits(context: Any, x: Any) -> Any:
    """The 64 bits of a float64 as an integer, and of an integer as a float64."""
    result = types.float64 if isinstance(x, types.Integer) else types.int64

    def bitcast(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], context.get_value_type(result))

    return result(types.int64 if result is types.float64 else types.float64), bitcast


@vectorised
def _exp(x: float, c: Exponential) -> float:
    """exp(x) for x <= 0, to 2 ulp; ``c`` is _EXPONENTIAL.

    exp x = 2^n exp(r) with n = round(x / log 2). Adding 1.5 * 2^52 rounds, and leaves n in the low
    bits, from where a shift takes it to the exponent of the polynomial's value; all of it in
    vector registers, which a library call is not.
    """
    y = max(x, c[0])
    shifted = y * c[1] + c[2]
    n = shifted - c[2]
    r = (y - n * c[3]) - n * c[4]
    p = c[14] + r * c[15]
    p = c[13] + r * p
    p = c[12] + r * p
    p = c[11] + r * p
    p = c[10] + r * p
    p = c[9] + r * p
    p = c[8] + r * p
    p = c[7] + r * p
    p = c[6] + r * p
    p = c[5] + r * p
    value: float = _bits(_bits(1 + r * (1 + r * p)) + (_bits(shifted) << 52))
    return value


@vectorised
def exponential(x: Array) -> None:
    """Replace x <= 0 by exp(x), to 2 ulp."""
    for j in range(len(x)):
        x[j] = _exp(x[j], _EXPONENTIAL)


@vectorised
def add_squares(a: float, x: Array, period: float, sums: Array) -> None:
    """Add the squared differences of a and x to ``sums``: on a circle where ``period`` is not 0."""
    if period > 0:
        for j in range(len(sums)):
            lag = abs(a - x[j])
            lag = min(lag, period - lag)
            sums[j] += lag * lag
    else:
        for j in range(len(sums)):
            lag = a - x[j]
            sums[j] += lag * lag
