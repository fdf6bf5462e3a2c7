"""Functions and values that a user's configuration names as "module:name"."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from typing import Any

from uf_diffusion.errors import InputError

__all__ = ["load"]


def load(name: str, folder: Path, what: str) -> Any:
    """What ``name`` names; a module beside the configuration file comes before all others.

    Args:
        name: "module:name".
        folder: where the configuration file lies; then the working folder is searched.
        what: it is for, in messages.

    Raises:
        InputError: when it cannot be imported.
    """
    module, _, attribute = name.partition(":") if isinstance(name, str) else ("", "", "")
    if not module or not attribute:
        raise InputError(f"{what}: 'module:name' is needed, not {name!r}.")
    path = sys.path[:]
    sys.path[:0] = [str(folder.resolve()), str(Path.cwd())]
    try:
        return getattr(_module(module, folder), attribute)
    except Exception as error:
        raise InputError(
            f"Cannot import {what} '{name}': {type(error).__name__}: {error}."
        ) from error
    finally:
        sys.path[:] = path


def _module(name: str, folder: Path) -> Any:
    """A file of the folder is read anew: two folders may each have a module of that name."""
    file = folder.resolve() / f"{name}.py"
    if not file.is_file():
        return importlib.import_module(name)
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
