"""DOLFINx meshes of grids.

A DOLFINx mesh consists of a topology and a geometry, which may have different numberings. Each rank
builds the cells of its part of the grid, DOLFINx makes the topology of them, and the geometry is
made on each rank from the corners of its cells. The meshes of flat tori (and of the circle's chart)
are periodic without constraints, since there the geometry is that of the box cut open at its seam.
So every cell has its true corners, and ordinary spaces and forms apply.
"""

from __future__ import annotations

from mpi4py import MPI

from typing import Any

import basix.ufl
import numpy as np
import ufl
from dolfinx import cpp, fem
from dolfinx.common import IndexMap
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
from uf_diffusion.grids.base import Grid, Part
from uf_diffusion.grids.curved import Curved
from uf_diffusion.grids.lattice import Lattice, LatticePart

__all__ = ["points_on", "space_on"]

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
    flat, part = isinstance(base, Lattice), base.part(comm.rank, comm.size)
    if (part.compact and ranks is None and base.manifold.dim > 1) or flat:
        mesh, corners = _from_parts(part, comm)
    else:
        mesh = _simplices(base, comm, ranks)
        corners = mesh.geometry.input_global_indices[mesh.geometry.dofmaps[0]].astype(np.int64)
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


def points_on(V: fem.FunctionSpace, grid: Grid, node: Index) -> Array:
    """The nodes ``(owned, ambient)`` of a grid with the numbers ``node`` that `space_on` returned,
    without the others where that is possible.
    """
    geometry = V.mesh.geometry
    if isinstance(grid, Lattice) and grid.dim > 1:
        return grid.nodes_at(node)
    if grid.degree > 1 or grid.manifold.dim == 1:
        return np.asarray(grid.nodes[node])
    x = np.empty((len(node) + V.dofmap.index_map.num_ghosts, geometry.dim))
    x[V.dofmap.list] = geometry.x[geometry.dofmaps[0]]
    return x[: len(node)]


def _reference_nodes(V: fem.FunctionSpace, dim: int) -> Array:
    """Barycentric coordinates of the element's nodes in the order of its degrees of freedom."""
    points = V.element.interpolation_points
    return np.column_stack([1 - points.sum(axis=1), points[:, :dim]])


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


def _from_parts(part: Part, comm: MPI.Comm) -> tuple[Mesh, Index]:
    """The mesh of the ranks' parts, whose cells stay where they are, and the grid's numbers of the
    corners of this rank's cells.
    """
    grid, cells = part.grid, part.cells
    flat = isinstance(part, LatticePart)
    ambient = grid.manifold.dim if flat else grid.manifold.ambient
    element = _element(grid.manifold.dim, ambient)
    here = adjacencylist(np.full((len(cells), 1), comm.rank, dtype=np.int32))._cpp_object
    start, stop = _share(grid.node_count, comm)
    topology = create_mesh(
        comm, cells, element, np.zeros((stop - start, ambient)),  # only their number matters
        partitioner=(lambda *args: here) if comm.size > 1 else None,
    ).topology  # fmt: skip
    before = sum(comm.allgather(len(cells))[: comm.rank])
    row = topology.original_cell_index - before
    if isinstance(part, LatticePart):
        opened = np.add(part.grid.shape, 1)
        places = np.ravel_multi_index(tuple(np.moveaxis(part.corners[row], -1, 0)), opened)
        number, dofmap = np.unique(places, return_inverse=True)
        x = part.grid.chart(np.stack(np.unravel_index(number, opened), axis=-1))
    else:
        number, dofmap = np.unique(cells[row], return_inverse=True)
        x = part.nodes_at(number)
    geometry = create_geometry(  # a node that two ranks need has two numbers
        IndexMap(comm, len(number)), dofmap.reshape(len(row), -1).astype(np.int32),
        fem.coordinate_element(element.basix_element), x, number,
    )  # fmt: skip
    both = cpp.mesh.Mesh_float64(comm, topology._cpp_object, geometry._cpp_object)
    return Mesh(both, ufl.Mesh(element)), cells[row]
