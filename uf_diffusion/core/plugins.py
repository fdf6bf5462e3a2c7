"""Loads functions and values that a configuration names as "module:name"."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import sys
from pathlib import Path
from typing import Any

from uf_diffusion.core.errors import InputError
from uf_diffusion.core.wording import cause, shown

__all__ = ["load", "source"]

_OURS = "__uf_diffusion_plugin__"  # attribute of the modules that this module has loaded


def load(name: str, folder: str | None, what: str) -> Any:
    """The object with the name "module:name".

    Args:
        name: the name.
        folder: the folder of the configuration file. The module is searched for there first, then
            in the working folder, then on Python's import path. None stands for a name that nobody
            vouches for, as in a result or checkpoint: nothing is imported.
        what: what the object is for, such as "density"; used in error messages.

    Raises:
        InputError: if the name has another form, or cannot be imported, or may not be.
    """
    module, _, attribute = name.partition(":") if isinstance(name, str) else ("", "", "")
    if not module or not attribute:
        raise InputError(f"{what}: 'module:name' is needed, not {shown(name)}.")
    if folder is None:
        raise InputError(
            f"The {what} {shown(name)} is code that a file names. It is run only if you say that "
            "you trust the file: with --trust, or in Python with trust=True."
        )
    path, home = sys.path[:], Path(folder).resolve()
    sys.path[:0] = [str(home), str(Path.cwd())]
    try:
        return getattr(_module(module, home), attribute)
    except (Exception, SystemExit) as error:
        raise InputError(f"Cannot import {what} {shown(name)}: {cause(error)}.") from error
    finally:
        sys.path[:] = path


def source(name: str, folder: Path) -> str:
    """The code of the module of a "module:name" without its comments; "" if there is none to read.

    Args:
        name: the name.
        folder: as in `load`.
    """
    module = name.partition(":")[0]
    file = folder.resolve() / f"{module}.py"
    try:
        if not file.is_file():
            file = Path(str(sys.modules[module].__file__))
        return ast.unparse(ast.parse(file.read_text(encoding="utf-8")))
    except (KeyError, AttributeError, OSError, ValueError, SyntaxError):
        return ""


def _module(name: str, folder: Path) -> Any:
    """Import a module; a file of the folder is always read again.

    Two folders may each have a module of this name. The one that was read last stays in
    sys.modules, so that results which do not know their folder can still be drawn.
    """
    file, known = folder / f"{name}.py", sys.modules.get(name)
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
