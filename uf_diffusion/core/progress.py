"""Progress of a run over its time t, and functions that are called with each of its states."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from tqdm import tqdm

from uf_diffusion.core import mpi
from uf_diffusion.core.errors import InputError
from uf_diffusion.core.wording import shown

if TYPE_CHECKING:
    pass

__all__ = ["Timed", "Watch", "watchers", "with_progress"]

type Watch = Sequence[Callable[[Any], object]]  # functions to call with each state


def watchers(watch: Watch) -> list[Callable[[Any], object]]:
    """The functions to call.

    Raises:
        InputError: for anything but a sequence of functions.
    """
    if not isinstance(watch, Sequence) or not all(map(callable, watch)):
        raise InputError(f"watch takes functions in a list, not {shown(watch)}.")
    return list(watch)


class Timed(Protocol):
    """Anything with a clock."""

    @property
    def t(self) -> float: ...


def with_progress[S: Timed](states: Iterable[S], t_end: float, label: str) -> Iterator[S]:
    """The states, with a progress bar over t on rank 0; silent without a terminal."""
    silent = mpi.rank() != 0 or not sys.stderr.isatty()
    layout = "{desc} {percentage:3.0f}% |{bar}| t = {n:.3g}/{total:.3g} [{elapsed}<{remaining}]"
    with tqdm(total=t_end, desc=f"{label:9}", disable=silent, leave=None, bar_format=layout) as bar:
        for state in states:
            bar.update(min(state.t, t_end) - bar.n)
            yield state
