"""Read and write mesh files: triangulations of the unit sphere in the formats of meshio.

Rank 0 reads and writes; an error in a file is raised on all ranks.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from uf_diffusion.core import mpi
from uf_diffusion.core.arrays import Index
from uf_diffusion.core.errors import InputError
from uf_diffusion.core.files import appearing
from uf_diffusion.grids.mesh_quality import MeshReport, inspect_mesh, outward
from uf_diffusion.grids.triangulations import Triangulation
from uf_diffusion.problem.manifolds import Sphere

__all__ = ["SUFFIXES", "read_mesh", "read_usable_mesh", "require_usable", "write_mesh"]

# meshio's name of the format, and options: one file for each mesh, as text where this is usual
_WRITERS: dict[str, tuple[str, dict[str, Any]]] = {
    ".msh": ("gmsh22", {"binary": False}),
    ".xdmf": ("xdmf", {"data_format": "XML", "compression": None}),
    ".vtk": ("vtk", {}),
    ".vtu": ("vtu", {}),
    ".stl": ("stl", {"binary": False}),
    ".obj": ("obj", {}),
    ".ply": ("ply", {"binary": False}),
    ".off": ("off", {}),
}
SUFFIXES = tuple(_WRITERS)  # the formats that can be written; meshio can read more
_BESIDES = {"vertex", "line", "line3"}  # cells that gmsh adds for points and curves of a geometry


def read_mesh(path: Path) -> Triangulation:
    """Read the triangles of a mesh file; nodes that are in no triangle are omitted.

    Triangles of six nodes are reduced to their corners. If all triangles are oriented inward they
    are reversed. The nodes are not moved; `inspect_mesh` finds defects of the mesh.

    Raises:
        InputError: on all ranks, for a file that cannot be read or has no triangles or other cells.
    """
    return mpi.from_root(lambda: _read(path))


def read_usable_mesh(path: Path) -> Triangulation:
    """As `read_mesh`, for meshes on which the PDE is to be solved.

    Raises:
        InputError: on all ranks, as `read_mesh`, and for a mesh with problems; it names the first.
    """

    def read() -> Triangulation:
        surface = _read(path)
        require_usable(path, inspect_mesh(surface))
        return surface

    return mpi.from_root(read)


def require_usable(path: Path, report: MeshReport) -> None:
    """Check that a mesh has no problems.

    Args:
        path: the mesh file, for the message.
        report: of `inspect_mesh`.

    Raises:
        InputError: if it has some; the message has the first one and the number of others.
    """
    if report.problems:
        first, more = report.problems[0].rstrip("."), len(report.problems) - 1
        others = f", and {more} more problem(s)" if more else ""
        raise InputError(f"The mesh '{path}' cannot be used: {first}{others}.")


def write_mesh(path: Path, surface: Triangulation) -> None:
    """Write a mesh in the format of the path's suffix; only a complete file replaces the path.

    Raises:
        InputError: on all ranks, for an unknown suffix, or if meshio is not installed.
        Unwritable: on all ranks, if the file cannot be written.
    """
    mpi.on_root(lambda: _write(path, surface))


def _write(path: Path, surface: Triangulation) -> None:
    suffix = path.suffix.lower()
    if suffix not in _WRITERS:
        raise InputError(
            f"Mesh files are written as {', '.join(SUFFIXES)}, and '{path}' is none of them."
        )
    file_format, options = _WRITERS[suffix]
    meshio = _meshio()
    mesh = meshio.Mesh(surface.nodes, [("triangle", surface.cells)])
    with appearing(path) as partial, _silence():
        meshio.write(partial, mesh, file_format, **options)


def _read(path: Path) -> Triangulation:
    try:
        path.open("rb").close()
    except OSError as error:
        raise InputError(f"Cannot read '{path}': {error.strerror}.") from None
    meshio = _meshio()
    try:
        with _silence():
            mesh = meshio.read(path)
    # for a broken file meshio's readers raise exceptions of any type or call sys.exit
    except (Exception, SystemExit):
        raise InputError(
            f"Cannot read '{path}': it is not a complete mesh file of a known format "
            f"({', '.join(SUFFIXES)})."
        ) from None
    try:
        return _triangulation(mesh)
    except InputError as error:
        raise InputError(f"The mesh '{path}' cannot be used: {error}") from None


def _triangulation(mesh: Any) -> Triangulation:
    """The triangulation of a meshio mesh, oriented outward."""
    corners = _triangles(mesh)
    points = np.asarray(mesh.points, dtype=float)
    if corners.min() < 0 or corners.max() >= len(points):
        raise InputError("A triangle has a corner that is none of the nodes.")
    used, cells = np.unique(corners, return_inverse=True)
    return outward(Triangulation(Sphere(2), points[used], cells.reshape(-1, 3)))


def _triangles(mesh: Any) -> Index:
    """The corners of all triangles, ``(m, 3)``."""
    blocks = [b for b in mesh.cells if len(b.data) and b.type not in _BESIDES]
    others = sorted({b.type for b in blocks} - {"triangle", "triangle6"})
    if others:
        raise InputError(f"It has cells that are not triangles ({', '.join(others)}).")
    if not blocks:
        raise InputError("It has no triangles.")
    return np.concatenate([np.asarray(b.data)[:, :3].astype(np.int64) for b in blocks])


def _meshio() -> Any:
    try:
        import meshio
    except ImportError as error:
        raise InputError(
            f"Mesh files need meshio: install it with `pip install 'uf-diffusion[fem]'` ({error})."
        ) from None
    return meshio


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Suppress meshio's output and warnings; relevant errors become an InputError."""
    with (
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
        warnings.catch_warnings(action="ignore"),
        np.errstate(all="ignore"),
    ):
        yield
