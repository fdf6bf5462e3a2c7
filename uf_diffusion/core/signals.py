"""Ctrl-C and SIGTERM that wait until work can stop without loss."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["delayed_signals"]


@contextmanager
def delayed_signals(ignored: bool = False) -> Iterator[list[int]]:
    """Ctrl-C and SIGTERM do not stop the work inside; a second one of them does.

    Args:
        ignored: whether even a second one is ignored.

    Yields:
        The numbers of the signals that have come so far: work looks here and stops where it can.
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
