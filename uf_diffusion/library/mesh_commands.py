"""The work of the commands ``uf-diffusion mesh ...``."""

from __future__ import annotations

from pathlib import Path

from uf_diffusion.core import mpi
from uf_diffusion.core.errors import InputError
from uf_diffusion.grids.built_in import grid_on
from uf_diffusion.grids.icosphere import Icosphere
from uf_diffusion.grids.mesh_files import read_mesh, require_usable, write_mesh
from uf_diffusion.grids.mesh_quality import inspect_mesh
from uf_diffusion.problem.manifolds import Sphere
from uf_diffusion.reports.text import mesh_table

__all__ = ["check", "convert", "make"]


def check(file: Path) -> None:
    """Print the properties of a mesh file, and refuse one on which the PDE cannot be solved.

    Raises:
        InputError: for such a mesh, or a file that cannot be read.
    """
    found = inspect_mesh(read_mesh(file))
    if mpi.rank() == 0:
        print(mesh_table(found), flush=True)
    require_usable(file, found)


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


def convert(source: Path, target: Path) -> None:
    """Write the triangles of one mesh file to another, whose suffix chooses the format.

    Raises:
        InputError: as `read_mesh` and `write_mesh`.
    """
    write_mesh(target, read_mesh(source))
