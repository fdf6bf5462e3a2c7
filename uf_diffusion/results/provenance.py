"""Records how a result was made: versions, machine, date and commit."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from uf_diffusion.core import mpi
from uf_diffusion.core.version import __version__

__all__ = ["run_attributes", "version_of"]


def run_attributes(config: str, seed: int, wall_seconds: float) -> dict[str, Any]:
    """The attributes that say how a result was made, such as versions, ranks, seed and commit.

    Args:
        config: the text of the run.toml.
        seed: the seed of the random numbers.
        wall_seconds: the wall-clock time of the run in seconds.
    """
    return {
        "config": config,
        "version": __version__,
        "dolfinx": version_of("dolfinx-solver-real", "fenics-dolfinx"),
        "petsc": _petsc_version(),
        "ranks": mpi.size(),
        "seed": seed,
        "git_commit": _git_commit(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "numpy": version_of("numpy"),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "wall_seconds": wall_seconds,
    }


def version_of(*distributions: str) -> str:
    """The version of the first of these distributions that is installed, or "not installed"."""
    for name in distributions:
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return "not installed"


def _petsc_version() -> str:
    petsc = sys.modules.get("petsc4py.PETSc")  # loaded if a diffusion was solved
    return "not used" if petsc is None else ".".join(map(str, petsc.Sys.getVersion()))


def _git_commit() -> str:
    here = Path(__file__).parents[1]
    if not (here.parent / ".git").exists():
        return "not a git checkout"
    command = ["git", "-C", str(here), "rev-parse", "HEAD"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=10)
    except (OSError, subprocess.SubprocessError):  # there is no git, or it hangs
        return "unknown"
    return done.stdout.strip() or "unknown"
