"""Compiles functions by numba. The machine code is cached beside the source file.

Where that folder cannot be written it is in the user's folder of caches, see NUMBA_CACHE_DIR.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import Any, cast

from numba import njit, types
from numba.core.caching import FunctionCache
from numba.extending import intrinsic

from uf_diffusion.core.arrays import Array
from uf_diffusion.core.errors import Caution

__all__ = ["add_squares", "compiled", "exponential", "reordered", "vectorised"]

# constants of `_exp`: the lowest argument, 1 / log 2, the number 1.5 * 2^52 that rounds, log 2 in
# two parts, 1/2!, ..., 1/12!. They are passed at run time, because the compiler would load known
# constants again for every number.
_EXPONENTIAL = (-708.0, 1.4426950408889634, 6755399441055744.0, 0.6931471803691238,
                1.9082149292705877e-10, *(1 / math.factorial(k) for k in range(2, 13)))  # fmt: skip


Exponential = tuple[float, ...]


def compiled[F: Callable[..., Any]](function: F) -> F:
    """Compile a function to machine code that releases the global interpreter lock."""
    return _machine_code(function, False)


def vectorised[F: Callable[..., Any]](function: F) -> F:
    """As `compiled`, but faster for numbers that are all finite. Sums are not reordered."""
    return _machine_code(function, {"nnan", "ninf", "nsz", "contract"})


def reordered[F: Callable[..., Any]](function: F) -> F:
    """As `compiled`, but sums are taken in the fastest order, which is the same in every run."""
    return _machine_code(function, True)


def _machine_code[F: Callable[..., Any]](function: F, fastmath: bool | set[str]) -> F:
    jitted = njit(nogil=True, error_model="numpy", fastmath=fastmath)(function)
    try:
        jitted._cache = _Cache(function)
    except RuntimeError:  # no folder can be written
        _tell_that_nothing_is_cached()
    return cast(F, jitted)


class _Cache(FunctionCache):  # type: ignore[misc]
    """numba's cache of a function, which a damaged file or a full disk does not stop."""

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            return super().load_overload(sig, target_context)
        except Exception:  # unpickling a damaged file raises exceptions of many types
            with suppress(OSError):
                self.flush()
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        with suppress(OSError):
            super().save_overload(sig, data)


@cache
def _tell_that_nothing_is_cached() -> None:
    warnings.warn(
        "No folder for compiled functions can be written, so each run compiles them anew; set "
        "NUMBA_CACHE_DIR to a folder that can be written.",
        Caution, stacklevel=2,
    )  # fmt: skip


@intrinsic  # type: ignore[untyped-decorator]
def _bits(context: Any, x: Any) -> Any:
    """Reinterpret the 64 bits of a float64 as an integer, or those of an integer as a float64."""
    result = types.float64 if isinstance(x, types.Integer) else types.int64

    def bitcast(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], context.get_value_type(result))

    return result(types.int64 if result is types.float64 else types.float64), bitcast


@vectorised
def _exp(x: float, c: Exponential) -> float:
    """exp(x) for x <= 0 with an error of at most 2 ulp; ``c`` is _EXPONENTIAL.

    exp(x) = 2^n exp(r) with n = round(x / log 2). Adding 1.5 * 2^52 rounds to an integer and leaves
    n in the lowest bits; a shift adds n to the exponent of the polynomial's value. Unlike a call of
    the library's exp, all of this is done in vector registers.
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
    """Replace all x <= 0 ``(n,)`` in place by exp(x), with an error of at most 2 ulp."""
    for j in range(len(x)):
        x[j] = _exp(x[j], _EXPONENTIAL)


@vectorised
def add_squares(a: float, x: Array, period: float, sums: Array) -> None:
    """Add (a - x)^2 to ``sums`` in place; ``x`` and ``sums`` have shape ``(n,)``.

    If ``period`` is positive, differences are those on a circle of this length.
    """
    if period > 0:
        for j in range(len(sums)):
            lag = abs(a - x[j])
            lag = min(lag, period - lag)
            sums[j] += lag * lag
    else:
        for j in range(len(sums)):
            lag = a - x[j]
            sums[j] += lag * lag
