"""Wording of error messages: values, causes, and the nearest valid name for a misspelt one."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

from uf_diffusion.core.errors import InputError

__all__ = ["cause", "shown", "unknown"]


def shown(value: Any) -> str:
    """The repr of a value on one line, shortened if it is long, for use in a sentence."""
    try:
        text = " ".join(repr(value).splitlines())  # the repr of an array has several lines
    except (ValueError, RecursionError):  # integers of thousands of digits, deeply nested lists
        return f"this {type(value).__name__}"
    return text if len(text) <= 80 else f"{text[:60]}...{text[-15:]}"


def cause(error: BaseException) -> str:
    """The type and message of an exception without a full stop, for the end of a sentence."""
    message = " ".join(str(error).split()).rstrip(".")
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


def unknown(
    what: str, name: str, valid: Iterable[str], also: Mapping[str, str] | None = None
) -> InputError:
    """The error for an unknown name; its message suggests the nearest valid name.

    Args:
        what: what the name stands for, such as "key in [diffusion]".
        name: the name that the user wrote.
        valid: the valid names.
        also: further names that users may write, each with the valid name that it means.
    """
    names = sorted(valid)
    if also and name in also:
        return InputError(f"Unknown {what} {shown(name)}: did you mean '{also[name]}'?")
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"did you mean '{close[0]}'?" if close else f"valid are {', '.join(names)}."
    return InputError(f"Unknown {what} {shown(name)}: {hint}")
