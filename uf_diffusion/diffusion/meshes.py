"""DOLFINx meshes of grids.

The meshes of flat tori (and of the circle's chart) are periodic without constraints. A DOLFINx mesh
consists of a topology and a geometry, which may have different numberings. The topology is built
from periodic vertex numbers, the geometry from the box cut open at its seam, with the same
partition over the ranks. So every cell has its true corners, and ordinary spaces and forms apply.
"""

from __future__ import annotations

from mpi4py import MPI

from collections.abc import Callable
from typing import Any

import basix.ufl
import numpy as np
import ufl
from dolfinx import cpp, fem
from dolfinx.graph import adjacencylist
from dolfinx.mesh import (
    GhostMode,
    Mesh,
    create_cell_partitioner,
    create_geometry,
    create_mesh,
)

from uf_diffusion.core.arrays import Array, Index
from uf_diffusion.diffusion.lumped import lumped
from uf_diffusion.grids.base import Grid
from uf_diffusion.grids.curved import Curved
from uf_diffusion.grids.lattice import Lattice

__all__ = ["space_on"]

_CELL = {1: "interval", 2: "triangle", 3: "tetrahedron"}


def space_on(
    grid: Grid, comm: MPI.Comm, ranks: Index | None = None
) -> tuple[fem.FunctionSpace, Index]:
    """The distributed finite-element space of a grid, and the grid's number of each owned node.

    On curved manifolds the cells have the degree of the element.

    Args:
        grid: the grid.
        comm: the ranks over which it is distributed.
        ranks: the rank that each cell goes to, ``(cells,)``; if None, a graph partitioner decides.
            Not for lattices.

    Returns:
        The space, and the numbers ``(owned,)``.
    """
    base, degree = (grid.base, grid.degree) if isinstance(grid, Curved) else (grid, 1)
    flat = isinstance(base, Lattice)
    mesh = (
        _glued_lattice(base, comm) if isinstance(base, Lattice) else _simplices(base, comm, ranks)
    )
    corners = _corners(mesh, base)
    if degree > 1 and not flat:
        mesh = _curved(mesh, degree)
    dim = mesh.topology.dim
    V = fem.functionspace(mesh, lumped(dim, degree) if degree > 1 else ("Lagrange", 1))
    local = _reference_nodes(V, dim)
    listed = grid.numbers_at(corners, local) if isinstance(grid, Curved) else corners
    index_map = V.dofmap.index_map
    numbers = np.empty(index_map.size_local + index_map.num_ghosts, dtype=np.int64)
    numbers[V.dofmap.list] = listed
    return V, numbers[: index_map.size_local]


def _reference_nodes(V: fem.FunctionSpace, dim: int) -> Array:
    """Barycentric coordinates of the element's nodes in the order of its degrees of freedom."""
    points = V.element.interpolation_points
    return np.column_stack([1 - points.sum(axis=1), points[:, :dim]])


def _corners(mesh: Mesh, grid: Grid) -> Index:
    """The grid's numbers of the corners of this rank's cells, for cells of degree 1."""
    geometry = mesh.geometry
    numbers = geometry.input_global_indices[geometry.dofmaps[0]]
    if isinstance(grid, Lattice):
        opened = np.unravel_index(numbers, np.add(grid.shape, 1))
        numbers = np.ravel_multi_index(tuple(np.mod(opened, grid.per_axis)), grid.shape)
    return np.asarray(numbers, dtype=np.int64)


def _curved(mesh: Mesh, degree: int) -> Mesh:
    """The same topology with cells of a higher degree, whose nodes are on the unit sphere."""
    ambient = mesh.geometry.dim
    V = fem.functionspace(mesh, ("Lagrange", degree))
    x = V.tabulate_dof_coordinates()[:, :ambient]
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    index_map = V.dofmap.index_map
    element = _element(mesh.topology.dim, ambient, degree)
    everything = np.arange(index_map.size_local + index_map.num_ghosts, dtype=np.int32)
    geometry = create_geometry(
        index_map, V.dofmap.list.copy(), fem.coordinate_element(element.basix_element), x,
        index_map.local_to_global(everything),
    )  # fmt: skip
    both = cpp.mesh.Mesh_float64(mesh.comm, mesh.topology._cpp_object, geometry._cpp_object)
    return Mesh(both, ufl.Mesh(element))


def _element(cell_dim: int, ambient: int, degree: int = 1) -> Any:
    return basix.ufl.element("Lagrange", _CELL[cell_dim], degree, shape=(ambient,))


def _simplices(grid: Grid, comm: MPI.Comm, ranks: Index | None) -> Mesh:
    """The mesh of a grid; rank 0 supplies all nodes and cells, `create_mesh` distributes them."""
    dim, root = grid.manifold.dim, comm.rank == 0
    ambient = 1 if dim == 1 else grid.manifold.ambient
    nodes = grid.coordinates if root else np.zeros((0, ambient))
    cells = grid.cells if root else np.zeros((0, dim + 1), dtype=np.int64)
    partitioner = create_cell_partitioner(GhostMode.none, 2)
    if ranks is not None and comm.size > 1:
        goes = ranks[: len(cells)].astype(np.int32)
        partitioner = lambda *args: adjacencylist(goes[:, None])._cpp_object  # noqa: E731
    return create_mesh(comm, cells, _element(dim, ambient), nodes, partitioner=partitioner)


def _share(total: int, comm: MPI.Comm) -> tuple[int, int]:
    """This rank's contiguous share of ``range(total)``."""
    return comm.rank * total // comm.size, (comm.rank + 1) * total // comm.size


def _glued_lattice(grid: Lattice, comm: MPI.Comm) -> Mesh:
    opened = np.add(grid.shape, 1)
    corners = grid.corners(*_share(grid.cell_count, comm))
    geometry_cells = np.ravel_multi_index(tuple(np.moveaxis(corners, -1, 0)), opened)
    topology_cells = np.ravel_multi_index(
        tuple(np.moveaxis(corners % grid.per_axis, -1, 0)), opened
    )
    share = np.arange(*_share(int(np.prod(opened)), comm))
    nodes = grid.chart(np.stack(np.unravel_index(share, opened), axis=-1))
    element = _element(grid.dim, grid.dim)
    partition, replay = _recorded(create_cell_partitioner(GhostMode.none, 2))
    # the glued mesh defines the topology and the partition, the cut-open one the geometry
    glued = create_mesh(comm, topology_cells, element, nodes, partitioner=partition)
    cut = create_mesh(
        comm, geometry_cells, element, nodes, partitioner=replay if comm.size > 1 else None
    )
    here, there = glued.topology.original_cell_index, cut.topology.original_cell_index
    order = np.argsort(there)
    row = order[np.searchsorted(there, here, sorter=order)]
    g = cut.geometry
    geometry = create_geometry(
        g.index_map(), g.dofmaps[0][row], g.cmaps[0], g.x[:, : g.dim].copy(), g.input_global_indices
    )
    both = cpp.mesh.Mesh_float64(comm, glued.topology._cpp_object, geometry._cpp_object)
    return Mesh(both, ufl.Mesh(element))


def _recorded(partitioner: Callable[..., Any]) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """A partitioner, and another one that returns the partition that the first one computed."""
    answer: list[Any] = []

    def record(*args: Any) -> Any:
        answer[:] = [partitioner(*args)]
        return answer[0]

    return record, lambda *args: answer[0]
