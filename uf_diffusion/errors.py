"""The two exceptions that a user meets, and the nearest valid name for a misspelt one."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = ["InputError", "RunFailure", "unknown"]


class InputError(ValueError):
    """Something that the user gave cannot be used; the message is one clear sentence."""


class RunFailure(RuntimeError):
    """A computation cannot go on; the message says where it stood and why."""


def unknown(what: str, name: str, valid: Iterable[str]) -> InputError:
    """The error for a name that does not exist, with the nearest name that does.

    Args:
        what: the kind of thing named, e.g. "key in [diffusion]".
        name: what the user wrote.
        valid: the names that exist.
    """
    names = sorted(valid)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"did you mean '{close[0]}'?" if close else f"valid are {', '.join(names)}."
    return InputError(f"Unknown {what} '{name}': {hint}")
