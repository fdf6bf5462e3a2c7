"""Paths as users write them."""

from __future__ import annotations

from pathlib import Path

from uf_diffusion.core.errors import InputError
from uf_diffusion.core.wording import shown

__all__ = ["require_text", "user_path"]


def user_path(path: str | Path) -> Path:
    """The path that a user means, where ``~`` is the home folder.

    Raises:
        InputError: for something else than a path, an unknown user after ``~``, or as
            `require_text`.
    """
    if not isinstance(path, str | Path):
        raise InputError(f"A file or folder is a path, not {shown(path)}.")
    require_text(str(path))
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise InputError(f"There is no home folder for {shown(str(path))}.") from None


def require_text(name: str) -> None:
    """Refuse a name that files with results cannot store.

    Raises:
        InputError: for a name that is not UTF-8, or has a zero byte.
    """
    try:
        name.encode()
    except UnicodeEncodeError:
        raise InputError(f"The name {shown(name)} is not text in UTF-8: rename it.") from None
    if "\0" in name:
        raise InputError(f"The name {shown(name)} has a zero byte, so there is no such path.")
