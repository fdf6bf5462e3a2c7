"""What the command line says while it works."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from uf_diffusion.core.errors import Caution, Finding

__all__ = ["told_at_once"]


@contextmanager
def told_at_once() -> Iterator[None]:
    """Cautions go to stderr before the work, whether or not it ends; findings to the summary."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", Caution)
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
