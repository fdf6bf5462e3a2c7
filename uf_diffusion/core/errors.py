"""The exceptions and warnings that a user meets."""

from __future__ import annotations

__all__ = ["Caution", "Finding", "InputError", "Interrupted", "RunFailure", "Unwritable"]


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


class Interrupted(KeyboardInterrupt):
    """Ctrl-C or SIGTERM, heard where work could stop; on all ranks, with a sentence."""
