"""Delays Ctrl-C and SIGTERM until the work can stop without loss."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["delayed_signals"]


@contextmanager
def delayed_signals(ignored: bool = False) -> Iterator[list[int]]:
    """A context in which a first Ctrl-C or SIGTERM is only recorded.

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

    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {n: signal.signal(n, signal.SIG_IGN if ignored else note) for n in numbers}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
