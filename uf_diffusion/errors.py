"""The exceptions and warnings that a user meets, and the nearest name for a misspelt one."""

from __future__ import annotations

import difflib
import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TextIO

__all__ = ["Caution", "Finding", "InputError", "Interrupted", "RunFailure", "Unwritable", "cause",
           "shown", "told_at_once", "unknown"]  # fmt: skip


class InputError(ValueError):
    """Something that the user gave cannot be used; the message is one clear sentence."""


class RunFailure(RuntimeError):
    """A computation cannot go on; the message says where it stood and why."""


class Unwritable(RunFailure):
    """A file cannot be written, as on a full disk; the message names it and says why."""


class Caution(UserWarning):
    """Before a run: numbers that could not be trusted; the message says why, and what helps."""


class Finding(Caution):
    """After a run: a check that fails, or numbers that cannot be trusted."""


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


class Interrupted(KeyboardInterrupt):
    """Ctrl-C or SIGTERM, heard where work could stop; on all ranks, with a sentence."""


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


@contextmanager
def told_at_once() -> Iterator[None]:
    """Cautions go to stderr before the work, whether or not it ends; findings to the summary."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", Caution)
        warnings.simplefilter("ignore", Finding)
        usual = warnings.showwarning

        def show(
            message: Warning | str, category: type[Warning], filename: str, lineno: int,
            file: TextIO | None = None, line: str | None = None,
        ) -> None:  # fmt: skip
            if issubclass(category, Caution):
                print(f"warning   {message}", file=sys.stderr, flush=True)
            else:
                usual(message, category, filename, lineno, file, line)

        warnings.showwarning = show
        yield
