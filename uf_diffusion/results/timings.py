"""How long the parts of a run take."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import xarray as xr

from uf_diffusion.results.names import dataset

__all__ = ["Timings"]


class Timings:
    """Wall-clock seconds of named parts, from now on."""

    def __init__(self) -> None:
        self._start = time.perf_counter()
        self._parts: dict[str, tuple[float, int]] = {}

    @property
    def total(self) -> float:
        """Seconds since the beginning."""
        return time.perf_counter() - self._start

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """What happens inside is this part."""
        start = time.perf_counter()
        yield
        before, times = self._parts.get(name, (0.0, 0))
        self._parts[name] = before + time.perf_counter() - start, times + 1

    def include(self, other: Timings, within: str) -> None:
        """Take over the parts of something that is a part itself, or belongs to one."""
        self._parts |= {f"{within}: {name}": entry for name, entry in other._parts.items()}

    def group(self) -> xr.Dataset:
        """The group /timings of a result."""
        seconds, calls = zip(*self._parts.values(), strict=True) if self._parts else ((), ())
        return dataset(
            entry=(("entry",), list(self._parts)),
            seconds=(("entry",), seconds),
            calls=(("entry",), calls),
        )
