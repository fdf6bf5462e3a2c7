"""DOLFINx meshes of grids.

A flat torus (and the circle, on its chart) is genuinely periodic: a DOLFINx mesh is a topology and
a geometry that need not share a numbering. The topology is built from periodic vertex numbers, the
geometry from the box cut open at the seam and distributed in the same way, so every cell knows its
true corners and ordinary spaces and forms apply, without constraints.
"""

from __future__ import annotations

from mpi4py import MPI

from collections.abc import Callable
from typing import Any

import basix.ufl
import numpy as np
import ufl
from dolfinx import cpp, fem
from dolfinx.mesh import (
    GhostMode,
    Mesh,
    create_cell_partitioner,
    create_geometry,
    create_mesh,
)

from uf_diffusion.problem.grids import Icosphere, Index, Lattice
from uf_diffusion.problem.triangulations import Triangulation

__all__ = ["mesh_of", "node_numbers"]

_CELL = {1: "interval", 2: "triangle", 3: "tetrahedron"}


def mesh_of(grid: Lattice | Icosphere | Triangulation, comm: MPI.Comm) -> Mesh:
    """The distributed mesh of a grid."""
    return _glued_lattice(grid, comm) if isinstance(grid, Lattice) else _surface(grid, comm)


def node_numbers(V: fem.FunctionSpace, grid: Lattice | Icosphere | Triangulation) -> Index:
    """The grid's node number of each owned degree of freedom of a P1 space."""
    geometry = V.mesh.geometry
    owned = V.dofmap.index_map.size_local
    numbers = np.empty(owned + V.dofmap.index_map.num_ghosts, dtype=np.int64)
    numbers[V.dofmap.list] = geometry.input_global_indices[geometry.dofmaps[0]]
    if isinstance(grid, Lattice):
        opened = np.unravel_index(numbers, np.add(grid.shape, 1))
        numbers = np.ravel_multi_index(tuple(np.mod(opened, grid.per_axis)), grid.shape)
    return numbers[:owned]


def _element(cell_dim: int, ambient: int) -> Any:
    return basix.ufl.element("Lagrange", _CELL[cell_dim], 1, shape=(ambient,))


def _surface(grid: Icosphere | Triangulation, comm: MPI.Comm) -> Mesh:
    """Rank 0 supplies all nodes and triangles; `create_mesh` distributes them."""
    root = comm.rank == 0
    nodes = grid.nodes if root else np.zeros((0, 3))
    cells = grid.cells if root else np.zeros((0, 3), dtype=np.int64)
    partitioner = create_cell_partitioner(GhostMode.none, 2)
    return create_mesh(comm, cells, _element(2, 3), nodes, partitioner=partitioner)


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
    # the glued mesh fixes topology and partition; the cut-open one supplies the geometry
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
    """A partitioner, and one that repeats its last answer."""
    answer: list[Any] = []

    def record(*args: Any) -> Any:
        answer[:] = [partitioner(*args)]
        return answer[0]

    return record, lambda *args: answer[0]
