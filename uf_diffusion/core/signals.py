"""Ctrl-C and SIGTERM that wait until work can stop without loss."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["patient"]


@contextmanager
def patient(deaf: bool = False) -> Iterator[list[int]]:
    """The two signals are noted in what this gives; the second one interrupts.

    Args:
        deaf: neither is heard at all.
    """
    heard: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        if heard:
            raise KeyboardInterrupt
        heard.append(number)

    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {n: signal.signal(n, signal.SIG_IGN if deaf else note) for n in numbers}
    try:
        yield heard
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
