"""What the command line prints while it works: warnings and progress."""

from __future__ import annotations

import os
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from uf_diffusion.core.errors import Caution, Finding, InputError
from uf_diffusion.core.paths import user_path

__all__ = ["Verbosity", "path_argument", "process_seconds", "warnings_at_once"]


@dataclass(frozen=True)
class Verbosity:
    """How much a command prints.

    Attributes:
        quiet: Print nothing but errors and warnings, on stderr.
        verbose: Print also timings, versions, and the traceback of an error.
    """

    quiet: bool = False
    verbose: bool = False

    @contextmanager
    def applied(self) -> Iterator[None]:
        """A context in which warnings and progress are shown accordingly.

        Raises:
            InputError: if the command is to be both quiet and verbose.
        """
        from uf_diffusion.core.progress import progress_as

        if self.quiet and self.verbose:
            raise InputError("Of --quiet and --verbose one can be given, not both.")
        with progress_as("nothing" if self.quiet else "lines"), warnings_at_once(self.quiet):
            yield


@contextmanager
def warnings_at_once(findings: bool = False) -> Iterator[None]:
    """A context in which each `Caution` is printed on stderr as soon as it is issued.

    Args:
        findings: whether each `Finding` is printed too; otherwise only the summary shows it.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("always", Caution)
        if not findings:
            warnings.simplefilter("ignore", Finding)
        usual = warnings.showwarning

        def show(
            message: Warning | str, category: type[Warning], filename: str, lineno: int,
            file: TextIO | None = None, line: str | None = None,
        ) -> None:  # fmt: skip
            if issubclass(category, Caution):
                print(f"warning   {message}", file=sys.stderr, flush=True)
            else:
                usual(message, category, filename, lineno, file, line)

        warnings.showwarning = show
        yield


def path_argument(kind: Any, tokens: Sequence[Any]) -> Path:
    """The path that an argument of the command line means: a converter of cyclopts.

    Raises:
        InputError: as `user_path`.
    """
    return user_path(tokens[0].value)


def process_seconds() -> float:
    """Seconds since this process began, which includes imports."""
    try:  # Linux: both are seconds since the machine was started, whatever becomes of its date
        began = float(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
        return time.clock_gettime(time.CLOCK_BOOTTIME) - began / os.sysconf("SC_CLK_TCK")
    except (OSError, AttributeError, ValueError, IndexError):
        import psutil

        return time.time() - float(psutil.Process().create_time())
