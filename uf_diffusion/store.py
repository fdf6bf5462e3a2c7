"""The run folder: held by one run at a time, its files written at once or not at all."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import h5netcdf  # noqa: F401 (its HDF5 must be loaded before DOLFINx loads another one)
import numpy as np
import xarray as xr

from uf_diffusion import parallel
from uf_diffusion.config import Config
from uf_diffusion.errors import InputError, Unwritable
from uf_diffusion.version import __version__

try:
    import fcntl
except ImportError:  # not POSIX: folders are not locked
    fcntl = None  # type: ignore[assignment]

__all__ = ["appearing", "dataset", "read_result", "read_sealed", "require_room", "run_attributes",
           "run_folder", "write_result", "write_text"]  # fmt: skip

# the words that a reader of result.nc sees for each variable
LONG_NAMES = {
    "time": "time of the step, or of the snapshot",
    "step_size": "length of the step that led here",
    "mass": "integral of the density",
    "risk": "risk: integral of f(teacher/density) against the density, or reduced risk L",
    "min_ratio": "minimum of density / teacher",
    "max_ratio": "maximum of density / teacher",
    "newton_iterations": "Newton iterations of the step",
    "linear_iterations": "iterations of the linear solver in the step",
    "stage_error": "relative error of u that Newton's method left in the step's stages, as "
    "estimated; of the constrained equation the misplaced mass",
    "snapshot_time": "time of the snapshot",
    "node": "mesh nodes, coordinates of the embedding (of the chart on a torus)",
    "cell": "triangles, node numbers (meshes from files only)",
    "node_measure": "lumped volume of the node",
    "teacher": "teacher density at the node",
    "density": "density mu at the node",
    "outer_weight": "outer weight u: teacher / density without constraint, or u_i of the neuron",
    "eigenvalue": "eigenvalues: of the weighted Laplacian -(1/nu) div(nu grad), the non-zero ones; "
    "or of the kernel against the uniform probability measure",
    "eigenfunction": "eigenfunctions, integral of e^2 nu equal to 1",
    "degree": "degree of the harmonics, or length |k| of the waves",
    "wave": "degree, or wave k up to signs and order",
    "multiplicity": "number of eigenfunctions",
    "teacher_share": "share in the teacher's squared L2 norm without the constant",
    "initial_share": "share in the initial density's squared L2 norm without the constant",
    "neuron_mass": "masses of the neurons, summing to 1",
    "feature": "features omega of the neurons",
    "energy_distance_teacher": "energy distance of the network to the teacher's neurons",
    "energy_distance_diffusion": "energy distance of the network to the diffusion",
    "w2_diffusion": "2-Wasserstein distance of the network to the diffusion; none where too costly",
    "source": "the approximation that an entry of the error budget belongs to",
    "contribution": "energy distance that an approximation adds; tori of two and more dimensions "
    "are products of circles there",
    "contribution_w2": "2-Wasserstein distance that an approximation adds (one dimension only)",
    "total": "energy distance of the network to the diffusion, measured as the contributions",
    "total_w2": "2-Wasserstein distance of the network to the diffusion (one dimension only)",
    "outer_weight_error": "median of |u_i - u| over the neurons, u of the diffusion there",
    "entry": "parts of the work; 'diffusion: ...' is a part of the set-up or the diffusion",
    "seconds": "wall-clock time since the run began or was resumed",
    "calls": "how many times",
    # studies
    "quantity": "names of the measured quantities",
    "series": "names of the curves",
    "value": "values of the swept parameter",
    "abscissa": "horizontal axis: see attribute label",
    "order": "fitted order: of a power of the abscissa, or of an exponential (attribute law)",
    "order_low": "lower end of the order's 95 % confidence interval",
    "order_high": "upper end of the order's 95 % confidence interval",
    "factor": "what the fitted power or exponential is multiplied by",
    "expected_order": "order that the theory predicts, not a number where it predicts none",
    "energy_distance": "energy distance to the reference",
    "energy_distance_at_one": "energy distance to the reference at t = 1",
    "displacement": "root mean square displacement of the neurons from the reference",
    "density_error": "L2 norm of the density's error",
    "outer_weight_rms": "root mean square of u_i - u over the neurons, u of the diffusion there",
    "decay_rate": "f''(1) lambda_1, the rate of the last decay",
    "slowest_mode": "norm of density/teacher - 1 in the eigenspace of lambda_1",
}


def dataset(**variables: tuple[tuple[str, ...], Any]) -> xr.Dataset:
    """A dataset of (dimensions, values); long names and units are added here."""
    named = {
        name: (dims, np.asarray(values), {"long_name": LONG_NAMES[name], "units": "1"})
        for name, (dims, values) in variables.items()
    }
    return xr.Dataset(named)


def run_attributes(config: Config, wall_seconds: float) -> dict[str, Any]:
    """What produced a result: configuration, versions, ranks, seed, commit, time taken."""
    return {
        "config": config.to_toml(),
        "version": __version__,
        "dolfinx": version_of("dolfinx-solver-real", "fenics-dolfinx"),
        "petsc": _petsc_version(),
        "ranks": parallel.size(),
        "seed": config.network.seed,
        "git_commit": _git_commit(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "numpy": version_of("numpy"),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "wall_seconds": wall_seconds,
    }


def version_of(*distributions: str) -> str:
    """The version of the first of these distributions that is installed."""
    for name in distributions:
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return "not installed"


def _petsc_version() -> str:
    try:
        from petsc4py import PETSc
    except ImportError:
        return "not installed"
    return ".".join(map(str, PETSc.Sys.getVersion()))


def _git_commit() -> str:
    here = Path(__file__).parent
    if not (here.parent / ".git").exists():
        return "not a git checkout"
    done = subprocess.run(
        ["git", "-C", str(here), "rev-parse", "HEAD"], capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or "unknown"


_held: set[Path] = set()  # folders that this process keeps


@contextmanager
def run_folder(folder: Path, mark: str = "run.toml") -> Iterator[Path]:
    """Take a folder for a run, or make it, and keep other processes out of it.

    What earlier runs left there stays until this one's files replace them. The lock is the
    kernel's: it ends with the process, however that ends.

    Args:
        folder: of the run.
        mark: what a folder that is not empty must hold to be taken.

    Raises:
        InputError: on all ranks, when it cannot be written, holds other things, or is in use.
    """
    lock = parallel.on_root(lambda: _taken(folder, mark))
    try:
        yield folder
    finally:
        if lock is not None:
            _held.discard(folder.resolve())
            with suppress(OSError):  # not empty, as a rule
                folder.rmdir()
            os.close(lock)


def _taken(folder: Path, mark: str) -> int | None:
    """An open, locked descriptor of the folder; nothing where this process has one."""
    if folder.resolve() in _held:
        return None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder, os.O_RDONLY)
        try:
            if not _locked(lock, folder):  # who had it has removed it
                os.close(lock)
                return _taken(folder, mark)
            if any(folder.iterdir()) and not (folder / mark).exists():
                raise InputError(
                    f"'{folder}' holds other files and is not a run's folder; choose another --out."
                )
            tempfile.TemporaryFile(dir=folder).close()
        except BaseException:
            os.close(lock)
            raise
    except OSError as error:
        raise InputError(f"Cannot write to '{folder}': {error.strerror}.") from None
    _held.add(folder.resolve())
    return lock


def _locked(lock: int, folder: Path) -> bool:
    """Lock an open folder; whether it still has its name.

    Raises:
        InputError: when another process has locked it.
    """
    try:
        if fcntl is not None:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise InputError(
            f"Another process is at work in '{folder}': wait for it, or choose another --out."
        ) from None
    except OSError:  # a file system without locks
        pass
    return folder.exists() and os.path.samestat(os.fstat(lock), folder.stat())


@contextmanager
def appearing(path: Path) -> Iterator[Path]:
    """A hidden name to write a file under, which appears under its own once it is complete.

    Raises:
        Unwritable: when it cannot be written; what was there before stays.
    """
    partial = path.with_name(f".{path.name}")
    try:
        yield partial
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(partial, path)
    except OSError as error:
        raise _unwritable(path, error) from None
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file at once."""
    with appearing(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_result(path: Path, tree: xr.DataTree, sealed: bool = False) -> None:
    """Write a result as NetCDF-4, at once.

    Args:
        path: the file.
        tree: what is stored.
        sealed: whether its SHA-256 stands at the end of the file, for `read_sealed`: behind what
            readers of NetCDF look at.

    Raises:
        Unwritable: as `appearing`.
    """
    require_room(path, tree.nbytes + tree.nbytes // 8 + 2**16)
    with appearing(path) as partial:
        tree.to_netcdf(partial, engine="h5netcdf")
        if sealed:
            seal = _seal(partial.read_bytes())
            with partial.open("ab") as file:
                file.write(seal)


def require_room(path: Path, needed: int) -> None:
    """Ask for room before HDF5 or ADIOS2 fill it: they end badly on a full disk.

    Args:
        path: what is to be written.
        needed: bytes.

    Raises:
        Unwritable: when they are not there.
    """
    if not hasattr(os, "posix_fallocate"):
        return
    try:
        with tempfile.TemporaryFile(dir=path.parent) as file:
            os.posix_fallocate(file.fileno(), 0, needed)
    except OSError as error:
        raise _unwritable(path, error) from None


def _unwritable(path: Path, error: OSError) -> Unwritable:
    reason = os.strerror(error.errno) if error.errno else error
    return Unwritable(f"Cannot write '{path}': {reason}.")


def read_sealed(path: Path) -> xr.DataTree:
    """Read what `write_result` has sealed.

    Raises:
        InputError: when it cannot be read, or is not what was written.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"Cannot read '{path}': {error.strerror}.") from None
    size = hashlib.sha256().digest_size
    if _seal(content[:-size]) != content[-size:]:
        raise InputError(f"'{path}' is damaged: its checksum does not fit.")
    return read_result(path)


def _seal(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()


def read_result(path: str | Path) -> xr.DataTree:
    """Read a result into memory.

    Raises:
        InputError: when it cannot be read.
    """
    if not Path(path).exists():
        raise InputError(f"There is no file '{path}'.")
    try:
        with xr.open_datatree(path, engine="h5netcdf") as tree:
            return tree.load()
    except Exception as error:  # HDF5 raises all kinds for a damaged file
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise InputError(f"Cannot read the result '{path}': {reason}.") from None
