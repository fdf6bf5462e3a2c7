"""Functions and values that a user's configuration names as "module:name"."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from typing import Any

from uf_diffusion.core.errors import InputError
from uf_diffusion.core.wording import cause, shown

__all__ = ["load"]

_OURS = "__uf_diffusion_plugin__"  # marks modules that were read here


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
        raise InputError(f"{what}: 'module:name' is needed, not {shown(name)}.")
    path = sys.path[:]
    sys.path[:0] = [str(folder.resolve()), str(Path.cwd())]
    try:
        return getattr(_module(module, folder), attribute)
    except (Exception, SystemExit) as error:
        raise InputError(f"Cannot import {what} {shown(name)}: {cause(error)}.") from error
    finally:
        sys.path[:] = path


def _module(name: str, folder: Path) -> Any:
    """A file of the folder is read anew: two folders may each have a module of that name.

    The last one stays imported under its name, for pictures of results that know no folder.
    """
    file, known = folder.resolve() / f"{name}.py", sys.modules.get(name)
    if not file.is_file():
        return importlib.import_module(name)
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where dataclasses look for their module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        _restore(name, known)
        raise
    if known is not None and not hasattr(known, _OURS):
        _restore(name, known)
    setattr(module, _OURS, True)
    return module


def _restore(name: str, known: Any) -> None:
    if known is None:
        del sys.modules[name]
    else:
        sys.modules[name] = known
