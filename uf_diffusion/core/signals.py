"""Handles Ctrl-C and SIGTERM: at once while there is nothing to lose, later while there is."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["delayed_signals", "interruptible", "leave_on_interrupt", "undisturbed"]


def leave_on_interrupt() -> None:
    """From now on Ctrl-C prints one sentence and ends this process at once.

    This is for the time of the imports: libraries turn an exception that is raised while they are
    loaded into others, or into a traceback. A process that ignores Ctrl-C goes on ignoring it.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _leave)


def _leave(number: int, frame: FrameType | None) -> None:
    os.write(2, b"uf-diffusion: Interrupted before the work began.\n")
    os._exit(128 + number)


@contextmanager
def interruptible() -> Iterator[None]:
    """A context in which Ctrl-C raises KeyboardInterrupt, so that work in progress is not lost."""
    if signal.getsignal(signal.SIGINT) is not _leave:
        yield
        return
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, _leave)


@contextmanager
def undisturbed() -> Iterator[None]:
    """A context of some seconds, such as an import, at whose end a Ctrl-C takes effect.

    Raises:
        KeyboardInterrupt: at the end, if there was a Ctrl-C or SIGTERM.
    """
    with delayed_signals() as received:
        yield
    if received:
        raise KeyboardInterrupt


@contextmanager
def delayed_signals(ignored: bool = False) -> Iterator[list[int]]:
    """A context in which a first Ctrl-C or SIGTERM is only recorded.

    Only the main thread of a process can do so; in others the signals act as before.

    Args:
        ignored: whether all of these signals are ignored; if not, a second one interrupts.

    Yields:
        The list of the signals received so far. The work looks at it and stops where it can.

    Raises:
        KeyboardInterrupt: at a second signal, unless they are ignored.
    """
    received: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        if received:
            raise KeyboardInterrupt
        received.append(number)

    if threading.current_thread() is not threading.main_thread():
        yield received
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {n: signal.signal(n, signal.SIG_IGN if ignored else note) for n in numbers}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
