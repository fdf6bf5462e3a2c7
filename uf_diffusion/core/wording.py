"""How sentences name values, causes, and the nearest valid name for a misspelt one."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

from uf_diffusion.core.errors import InputError

__all__ = ["cause", "shown", "unknown"]


def shown(value: Any) -> str:
    """A value as a sentence quotes it: on one line, and cut where it is long."""
    try:
        text = " ".join(repr(value).splitlines())  # of an array
    except (ValueError, RecursionError):  # an integer of thousands of digits, tables in tables
        return f"this {type(value).__name__}"
    return text if len(text) <= 80 else f"{text[:60]}...{text[-15:]}"


def cause(error: BaseException) -> str:
    """The kind of an error and its message, without a full stop, for a sentence that ends so."""
    message = " ".join(str(error).split()).rstrip(".")
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


def unknown(
    what: str, name: str, valid: Iterable[str], also: Mapping[str, str] | None = None
) -> InputError:
    """The error for a name that does not exist, with the nearest name that does.

    Args:
        what: the kind of thing named, e.g. "key in [diffusion]".
        name: what the user wrote.
        valid: the names that exist.
        also: other names, and the valid one that is meant by each.
    """
    names = sorted(valid)
    if also and name in also:
        return InputError(f"Unknown {what} {shown(name)}: did you mean '{also[name]}'?")
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"did you mean '{close[0]}'?" if close else f"valid are {', '.join(names)}."
    return InputError(f"Unknown {what} {shown(name)}: {hint}")
