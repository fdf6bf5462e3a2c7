"""Read and write mesh files: triangulations of the unit sphere.

STL, OBJ, PLY and OFF are read by trimesh, legacy VTK files of polygons by pyvista, and everything
else by meshio, which also writes. Rank 0 reads and writes; errors are raised on all ranks.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from uf_diffusion.core import mpi
from uf_diffusion.core.arrays import Array, Index
from uf_diffusion.core.errors import InputError
from uf_diffusion.core.files import appearing, require_file
from uf_diffusion.core.wording import cause
from uf_diffusion.grids.mesh_quality import MeshReport, inspect_mesh, outward
from uf_diffusion.grids.mesh_repair import advice, split
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
_TRIMESH = {".stl", ".obj", ".ply", ".off"}  # which trimesh reads with all their variants
_BESIDES = {"vertex", "line", "line3"}  # cells that gmsh adds for points and curves of a geometry
_FLAT = {"triangle": 3, "triangle6": 3, "quad": 4, "quad8": 4, "quad9": 4}  # corners; polygons: all

type Polygons = tuple[Array, Sequence[Index]]  # points, and blocks ``(m, corners)`` of polygons


def read_mesh(path: Path, triangulate: bool = False) -> Triangulation:
    """Read the triangles of a mesh file; nodes that are in no triangle are omitted.

    Triangles of six nodes are reduced to their corners. If all triangles are oriented inward they
    are reversed. The nodes are not moved; `inspect_mesh` finds defects of the mesh. In STL, OBJ,
    PLY and OFF files, nodes at exactly the same place are one node, and polygons are split.

    Args:
        path: the file.
        triangulate: whether to split polygons of other formats, too, instead of refusing them.

    Raises:
        InputError: on all ranks, for a file that cannot be read or has no triangles or other cells.
    """
    return mpi.from_root(lambda: _read(path, triangulate))


def read_usable_mesh(path: Path) -> Triangulation:
    """As `read_mesh`, for meshes on which the PDE is to be solved.

    Raises:
        InputError: on all ranks, as `read_mesh`, and for a mesh with problems; it names the first.
    """

    def read() -> Triangulation:
        surface = _read(path)
        require_usable(path, surface, inspect_mesh(surface))
        return surface

    return mpi.from_root(read)


def require_usable(path: Path, surface: Triangulation, report: MeshReport) -> None:
    """Check that a mesh has no problems.

    Args:
        path: the mesh file, for the message.
        surface: the mesh.
        report: what `inspect_mesh` says of it.

    Raises:
        InputError: if it has some; the message has the first one, the number of others, and the
            command that repairs the mesh, if there is one.
    """
    if report.problems:
        first, more = report.problems[0].rstrip("."), len(report.problems) - 1
        others = f", and {more} more problem(s)" if more else ""
        options = advice(surface, report)
        repair = options and f"; repair it with: {_convert(path, options)}"
        raise InputError(f"The mesh '{path}' cannot be used: {first}{others}{repair or '.'}")


def _convert(path: Path, options: str) -> str:
    """The command that converts a mesh file with these options."""
    return f"uf-diffusion mesh convert {path} repaired{path.suffix or '.msh'} {options}"


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
    meshio = _package("meshio")
    mesh = meshio.Mesh(surface.nodes, [("triangle", surface.cells)])
    with appearing(path) as partial, _silence():
        meshio.write(partial, mesh, file_format, **options)


def _read(path: Path, triangulate: bool = False) -> Triangulation:
    require_file(path)
    by_trimesh = path.suffix.lower() in _TRIMESH
    package = _package("trimesh" if by_trimesh else "meshio")
    printed = io.StringIO()
    try:
        with _silence(printed):
            found = _by_trimesh(package, path) if by_trimesh else _by_meshio(package, path)
    except InputError as error:
        raise InputError(f"The mesh '{path}' cannot be used: {error}") from None
    # for a broken file the readers raise exceptions of any type or call sys.exit
    except (Exception, SystemExit) as error:
        if "(not POLYDATA)" in printed.getvalue():
            found = _by_pyvista(path)
        else:
            reason = " ".join((printed.getvalue() or cause(error)).split()).rstrip(".")
            raise InputError(
                f"Cannot read '{path}': it is not a complete mesh file of a known format "
                f"({', '.join(SUFFIXES)}): {reason}."
            ) from None
    try:
        return _triangulation(path, found, triangulate)
    except InputError as error:
        raise InputError(f"The mesh '{path}' cannot be used: {error}") from None


def _by_meshio(meshio: Any, path: Path) -> Polygons:
    if path.suffix.lower() in (".xdmf", ".xmf"):
        for item in ElementTree.parse(path).iter("DataItem"):
            if item.get("Format", "XML").upper() != "XML":
                require_file(path.parent / (item.text or "").partition(":")[0].strip())
    mesh = meshio.read(path)
    blocks = [b for b in mesh.cells if len(b.data) and b.type not in _BESIDES]
    others = {b.type for b in blocks if b.type not in _FLAT and not b.type.startswith("polygon")}
    if others:
        raise InputError(f"It has cells that are not triangles ({', '.join(sorted(others))}).")
    return mesh.points, [np.asarray(b.data)[:, : _FLAT.get(b.type)] for b in blocks]


def _by_trimesh(trimesh: Any, path: Path) -> Polygons:
    """As `_by_meshio`; nodes at exactly the same place, as in all STL files, become one."""
    mesh = trimesh.load_mesh(path, process=False, maintain_order=True, skip_materials=True)
    _, first, number = np.unique(mesh.vertices, axis=0, return_index=True, return_inverse=True)
    order = np.argsort(first)  # keeps the order of the file
    return mesh.vertices[first[order]], [np.argsort(order)[number.ravel()][mesh.faces]]


def _by_pyvista(path: Path) -> Polygons:
    """As `_by_meshio`, for a legacy VTK file with the data set POLYDATA."""
    pyvista = _package("pyvista", "Legacy VTK files with POLYDATA need pyvista: install it with "
                       "`pip install pyvista`, or save the mesh as .vtu or .ply")  # fmt: skip
    try:
        with pyvista.VtkErrorCatcher(raise_errors=True), _silence():
            mesh = pyvista.read(path)
            faces = mesh.irregular_faces
    except Exception as error:
        raise InputError(f"Cannot read '{path}': {cause(error)}.") from None
    sizes = sorted({len(face) for face in faces})
    return mesh.points, [np.array([f for f in faces if len(f) == size]) for size in sizes]


def _triangulation(path: Path, found: Polygons, triangulate: bool) -> Triangulation:
    """The triangulation of points and polygons, oriented outward."""
    points, blocks = found
    if not any(len(block) for block in blocks):
        raise InputError("It has no triangles.")
    most = max(block.shape[1] for block in blocks if len(block))
    if most > 3 and not triangulate:
        name = "quad" if most == 4 else f"polygons of {most} corners"
        command = _convert(path, "--triangulate")
        raise InputError(
            f"It has cells that are not triangles ({name}); split them with: {command}"
        )
    corners = np.concatenate([split(block) for block in blocks if len(block)]).astype(np.int64)
    points = np.asarray(points, dtype=float)
    if corners.min() < 0 or corners.max() >= len(points):
        raise InputError("A triangle has a corner that is none of the nodes.")
    used, cells = np.unique(corners, return_inverse=True)
    return outward(Triangulation(Sphere(2), points[used], cells.reshape(-1, 3)))


def _package(name: str, needed: str = "") -> Any:
    """A package that reads meshes; the sentence ``needed`` says how to do with or without it."""
    needed = needed or f"Mesh files need {name}: install it with `pip install 'uf-diffusion[fem]'`"
    try:
        return import_module(name)
    except ImportError as error:
        raise InputError(f"{needed} ({error}).") from None


@contextlib.contextmanager
def _silence(printed: io.StringIO | None = None) -> Iterator[None]:
    """Suppress warnings, and collect what is printed; relevant errors become an InputError."""
    printed = printed or io.StringIO()
    with (
        contextlib.redirect_stdout(printed),
        contextlib.redirect_stderr(printed),
        warnings.catch_warnings(action="ignore"),
        np.errstate(all="ignore"),
    ):
        yield
