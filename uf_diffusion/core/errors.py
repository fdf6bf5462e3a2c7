"""The exceptions and warnings that a user may see."""

from __future__ import annotations

__all__ = ["Caution", "Finding", "InputError", "Interrupted", "RunFailure", "Unwritable"]


class InputError(ValueError):
    """Raised for input that cannot be used. The message is one sentence that says why."""


class RunFailure(RuntimeError):
    """Raised when a computation cannot continue. The message says where it stopped and why."""


class Unwritable(RunFailure):
    """Raised when a file cannot be written, for example because the disk is full."""


class Caution(UserWarning):
    """Warns before a run that its numbers could not be trusted, and says why and what helps."""


class Finding(Caution):
    """Warns after a run that a check has failed or that numbers cannot be trusted."""


class Interrupted(KeyboardInterrupt):
    """Raised on all ranks after Ctrl-C or SIGTERM, at a point where the work can be resumed."""
