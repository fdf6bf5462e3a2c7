"""Shows the progress of a run, and checks the functions that are called with each state."""

from __future__ import annotations

import importlib.util
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, Literal, Protocol

from tqdm import tqdm

from uf_diffusion.core import mpi
from uf_diffusion.core.errors import InputError
from uf_diffusion.core.wording import shown

__all__ = ["Display", "Timed", "Watch", "progress", "progress_as", "watchers", "with_progress"]

type Watch = Sequence[Callable[[Any], object]]  # functions to call with each state
type Display = Literal["bar", "lines", "nothing"]

FIRST_LINE = 10.0  # seconds of a run before its first line
NEXT_LINE = 30.0  # least number of seconds between two lines

_display: Display = "bar"  # how this process shows progress, see `progress_as`


def watchers(watch: Watch) -> list[Callable[[Any], object]]:
    """The argument ``watch`` as a list of functions.

    Raises:
        InputError: unless it is a sequence of functions.
    """
    if not isinstance(watch, Sequence) or not all(map(callable, watch)):
        raise InputError(f"watch takes functions in a list, not {shown(watch)}.")
    return list(watch)


class Timed(Protocol):
    """A state with a time ``t``, dimensionless."""

    @property
    def t(self) -> float: ...


@contextmanager
def progress_as(display: Display) -> Iterator[None]:
    """A context in which progress is shown in a certain way.

    Args:
        display: "bar" shows a bar on a terminal or in a notebook and nothing elsewhere, which is
            the default of the library; "lines" prints lines on stderr where there can be no bar;
            "nothing" shows no progress.
    """
    global _display
    before, _display = _display, display
    try:
        yield
    finally:
        _display = before


def with_progress[S: Timed](states: Iterable[S], t_end: float, label: str) -> Iterator[S]:
    """Yield the states of a run, while rank 0 shows how far t has advanced.

    Args:
        states: the states in order of time, beginning with the one from which the run starts.
        t_end: the final time, dimensionless.
        label: one word that says what is running.
    """
    layout = "{desc} {percentage:3.0f}% |{bar}| t = {n:.3g}/{total:.3g} [{elapsed}<{remaining}]"
    states = iter(states)
    for first in states:  # runs at most once
        with _meter(t_end, label, min(first.t, t_end), unit="t = ", bar_format=layout) as reached:
            yield first
            for state in states:
                reached(min(state.t, t_end))
                yield state


@contextmanager
def progress(total: int, label: str, start: int = 0) -> Iterator[Callable[[float], None]]:
    """Show on rank 0 how many pieces of work are done.

    Where progress is shown as lines, the pieces themselves show no progress of their own.

    Args:
        total: number of pieces.
        label: one word that says what they are.
        start: number of pieces that were done before.

    Yields:
        A function to call with the number of pieces that are done.
    """
    inside = progress_as("nothing") if _display == "lines" else nullcontext()
    with _meter(total, label, start) as reached, inside:
        yield reached


@contextmanager
def _meter(
    total: float, label: str, start: float, unit: str = "", **layout: Any
) -> Iterator[Callable[[float], None]]:
    """Show progress; yields a function to call with the amount of work that is done."""
    shows = mpi.rank() == 0 and _display != "nothing"
    bar = _bar() if shows else None
    if bar is not None:
        with bar(total=total, initial=start, desc=f"{label:9}", leave=None, **layout) as drawn:
            yield lambda done: drawn.update(done - drawn.n)
    elif shows and _display == "lines":
        yield _Lines(f"{label:9} {unit}", total, start).reached
    else:
        yield lambda done: None


def _bar() -> Any:
    """The class of progress bars for this process; None without a terminal or a notebook."""
    if _in_notebook():
        if importlib.util.find_spec("ipywidgets") is None:
            return tqdm  # a bar made of text
        from tqdm.notebook import tqdm as drawn

        return drawn
    return tqdm if sys.stderr.isatty() else None


def _in_notebook() -> bool:
    """Whether this process is the kernel of a notebook, and not only has ipykernel loaded."""
    if "ipykernel" not in sys.modules:
        return False
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return hasattr(shell, "kernel")


class _Lines:
    """Prints progress as lines on stderr, at intervals of `NEXT_LINE`.

    Args:
        label: the text before the numbers.
        total: the total amount of work.
        start: the amount that was done before.
    """

    def __init__(self, label: str, total: float, start: float) -> None:
        self._label, self._total, self._start = label, total, start
        self._begin = time.monotonic()
        self._due = self._begin + FIRST_LINE

    def reached(self, done: float) -> None:
        """Print the amount of work that is done, if it is time for another line."""
        now = time.monotonic()
        if now < self._due:
            return
        self._due = now + NEXT_LINE
        gone, here = now - self._begin, done - self._start
        left = _duration(gone / here * (self._total - done)) if here > 0 else "?"
        print(
            f"{self._label}{done:.4g} of {self._total:.4g}, {100 * done / self._total:.0f} %, "
            f"{_duration(gone)} gone, about {left} left",
            file=sys.stderr, flush=True,
        )  # fmt: skip


def _duration(seconds: float) -> str:
    """A duration as text, such as "27 s", "3 min 20 s" or "2 h 5 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
