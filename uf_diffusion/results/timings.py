"""Measures how long the parts of a run take."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import xarray as xr

from uf_diffusion.results.names import dataset

__all__ = ["Timings"]


class Timings:
    """Measures the wall-clock seconds of named parts of a run, from when it is made."""

    def __init__(self) -> None:
        self._start = time.perf_counter()
        self._parts: dict[str, tuple[float, int]] = {}

    @property
    def total(self) -> float:
        """Seconds since this object was made."""
        return time.perf_counter() - self._start

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """A context whose duration is added to the part ``name``."""
        start = time.perf_counter()
        yield
        before, times = self._parts.get(name, (0.0, 0))
        self._parts[name] = before + time.perf_counter() - start, times + 1

    def include(self, other: Timings, within: str) -> None:
        """Add the parts of ``other``, with names such as "<within>: <name>"."""
        self._parts |= {f"{within}: {name}": entry for name, entry in other._parts.items()}

    def group(self) -> xr.Dataset:
        """The group /timings of a result: names, seconds and number of calls, ``(entries,)``."""
        seconds, calls = zip(*self._parts.values(), strict=True) if self._parts else ((), ())
        return dataset(
            entry=(("entry",), list(self._parts)),
            seconds=(("entry",), seconds),
            calls=(("entry",), calls),
        )
