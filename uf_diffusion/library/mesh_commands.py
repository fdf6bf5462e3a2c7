"""The work of the commands ``uf-diffusion mesh ...``."""

from __future__ import annotations

import math
from pathlib import Path

from uf_diffusion.core import mpi
from uf_diffusion.core.errors import InputError
from uf_diffusion.grids.built_in import grid_on
from uf_diffusion.grids.icosphere import Icosphere
from uf_diffusion.grids.mesh_files import read_mesh, require_usable, write_mesh
from uf_diffusion.grids.mesh_quality import inspect_mesh
from uf_diffusion.grids.mesh_repair import merged, projected
from uf_diffusion.problem.manifolds import Sphere
from uf_diffusion.reports.text import mesh_table

__all__ = ["check", "convert", "make"]


def check(file: Path) -> None:
    """Print the properties of a mesh file, and refuse one on which the PDE cannot be solved.

    Raises:
        InputError: for such a mesh, or a file that cannot be read.
    """
    surface = read_mesh(file)
    found = inspect_mesh(surface)
    if mpi.rank() == 0:
        print(mesh_table(found), flush=True)
    require_usable(file, surface, found)


def make(file: Path, cells: int) -> None:
    """Write the built-in mesh of the sphere with at least ``cells`` triangles.

    Raises:
        InputError: if ``cells`` is not positive, or as `write_mesh`.
    """
    if cells < 1:
        raise InputError(f"--cells must be positive, not {cells}.")
    grid = grid_on(Sphere(2), cells)
    assert isinstance(grid, Icosphere)
    write_mesh(file, grid.surface)


def convert(
    source: Path, target: Path, project: bool, merge: float | None, triangulate: bool
) -> None:
    """Write the triangles of one mesh file to another, whose suffix chooses the format.

    Args:
        source, target: the files.
        project: whether to move the nodes onto the unit sphere.
        merge: the distance below which nodes become one, a length, or on the unit sphere with
            ``project``; None leaves them.
        triangulate: whether to split polygons into triangles.

    Raises:
        InputError: as `read_mesh` and `write_mesh`, or if ``merge`` is negative.
    """
    if merge is not None and not 0 <= merge < math.inf:
        raise InputError(f"--merge must be a length that is not negative, not {merge:g}.")
    surface = read_mesh(source, triangulate)
    before = surface
    if project:
        surface = projected(surface)
    moved = surface.nodes - before.nodes
    if merge is not None:
        surface = merged(surface, merge)
    write_mesh(target, surface)
    if mpi.rank() == 0 and (project or merge is not None or triangulate):
        print(f"nodes     {surface.node_count}, {before.node_count - surface.node_count} merged, "
              f"moved by up to {abs(moved).max():.2g}")  # fmt: skip
        for problem in inspect_mesh(surface).problems:
            print(f"problem   {problem}")
        print(f"mesh      {target}")
