"""Compiles weak forms, and stores their machine code where a killed process cannot damage it.

DOLFINx compiles a form in the folder in which it looks for it later. A process that is killed
meanwhile leaves files there for which all later processes wait in vain. So here each form has a
folder of its own, in which it is put when it is complete.
"""

from __future__ import annotations

from mpi4py import MPI

import hashlib
import os
import shutil
import sys
import sysconfig
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

import ufl
from dolfinx import default_scalar_type, fem, jit
from dolfinx.mesh import create_unit_interval
from ffcx.naming import compute_signature
from ffcx.options import get_options

from uf_diffusion.core import mpi
from uf_diffusion.core.errors import Caution, InputError, Unwritable
from uf_diffusion.core.files import require_room
from uf_diffusion.core.wording import cause

__all__ = ["compiled_form", "require_compiler"]

SEAL = "seal"  # the file with the checksum of the others
PRIVATE = "unfinished-"  # what the name of a folder begins with while a form is compiled in it
ABANDONED = 3600.0  # seconds after which such a folder is one of a killed process
ROOM = 2**21  # bytes that compiling takes


def compiled_form(form: Any) -> fem.Form:
    """A form of UFL as machine code, which is compiled unless it is stored. Call it on all ranks.

    Raises:
        InputError: on all ranks, if it cannot be compiled, with the reason.
    """
    stored = mpi.from_root(lambda: _place_of(form))
    if mpi.from_root(lambda: _whole(stored)):
        with suppress(ImportError, OSError, RuntimeError):  # code of another machine
            return fem.form(form, jit_options={"cache_dir": stored})
    private = mpi.from_root(lambda: _private(stored.parent))
    try:
        compiled = _compiled(form, private)
        mpi.on_root(lambda: _store(private, stored))
    finally:
        if mpi.rank() == 0:
            shutil.rmtree(private, ignore_errors=True)
    return compiled


def require_compiler() -> None:
    """Compile a small form, unless it is stored. Call it on all ranks.

    Raises:
        InputError: on all ranks, if forms cannot be compiled.
    """
    mesh = create_unit_interval(MPI.COMM_SELF, 1)
    compiled_form(ufl.TestFunction(fem.functionspace(mesh, ("Lagrange", 1))) * ufl.dx(mesh))


def _place_of(form: Any) -> Path:
    """The folder of a form, whose name is a hash of everything on which the machine code depends.

    Raises:
        InputError: if the options of DOLFINx cannot be read.
    """
    try:
        options = {**get_options(), **jit.get_options(), "scalar": default_scalar_type}
    except (OSError, ValueError) as error:
        raise InputError(
            f"The options of DOLFINx cannot be read ({cause(error)}): mend the file, or set HOME "
            "to a folder of yours."
        ) from None
    base = Path(options.pop("cache_dir")).absolute() / "uf-diffusion"
    build = sysconfig.get_config_vars("SOABI", "CFLAGS")
    return base / str(compute_signature([form], f"{sorted(options.items())} {build}"))


def _whole(folder: Path) -> bool:
    """Whether a folder has a complete form, whose files are as they were written."""
    with suppress(OSError):
        return (folder / SEAL).read_text() == _checksum(folder)
    return False


def _checksum(folder: Path) -> str:
    files = sorted(path for path in folder.iterdir() if path.name != SEAL)
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()


def _private(base: Path) -> Path:
    """A new folder in which no other process compiles: in ``base``, or where temporary files go."""
    try:
        base.mkdir(parents=True, exist_ok=True)
        for folder in base.glob(f"{PRIVATE}*"):
            if time.time() - folder.stat().st_mtime > ABANDONED:
                shutil.rmtree(folder, ignore_errors=True)
        require_room(base / SEAL, ROOM)
        return Path(tempfile.mkdtemp(prefix=PRIVATE, dir=base))
    except (OSError, Unwritable) as error:
        _tell(base, cause(error))
        return Path(tempfile.mkdtemp(prefix=PRIVATE))


@cache
def _tell(base: Path, reason: str) -> None:
    warnings.warn(
        f"Compiled forms cannot be stored in '{base}', so each run compiles them anew; set "
        f"XDG_CACHE_HOME to a folder that can be written ({reason}).",
        Caution, stacklevel=2,
    )  # fmt: skip


def _compiled(form: Any, folder: Path) -> fem.Form:
    with _heard_on_stderr() as said:
        try:
            return fem.form(form, jit_options={"cache_dir": folder})
        except Exception as error:  # FFCx and cffi raise exceptions of many types
            said.seek(0)
            lines = said.read().decode(errors="replace").splitlines()
            failure = " ".join(str(error).split())[:100]
            reason = next((line for line in lines if "error" in line), failure)
    raise InputError(
        f"The weak form cannot be compiled ({reason}): install a C compiler such as gcc, or name "
        "yours in the environment variable CC."
    )


@contextmanager
def _heard_on_stderr() -> Iterator[BinaryIO]:
    """A file that receives what this process and the compiler write to stderr meanwhile."""
    with tempfile.TemporaryFile() as said:
        sys.stderr.flush()
        before = os.dup(2)
        os.dup2(said.fileno(), 2)
        try:
            yield said
        finally:
            os.dup2(before, 2)
            os.close(before)


def _store(private: Path, stored: Path) -> None:
    """Give a complete folder its name, unless another process was faster or it is elsewhere."""
    if private.parent == stored.parent and not _whole(stored):
        with suppress(OSError):
            shutil.rmtree(stored, ignore_errors=True)
            (private / SEAL).write_text(_checksum(private))
            private.rename(stored)
