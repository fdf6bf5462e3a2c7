"""The weak form of the diffusion, and what is assembled from it.

Find the potential w such that for all test functions v

    d/dt int nu h v dx = int nu grad(w) . grad(v) dx,        h = mu / nu = 1 / f*'(w).

This is d mu/dt = -div(nu grad w), integrated by parts on a closed manifold. With mass lumping the
unknowns are the values of h at the nodes, for every degree:  c_i dh_i/dt = (K w)_i with
c_i = m_i nu_i. Since K 1 = 0, the mass sum c_i h_i = int mu is conserved. If K has no positive
entry off its diagonal (degree 1 without obtuse angles) the maximum principle holds.

For densities symmetric about an axis the mesh is one of angles, and int dx has the volume of the
rings as a factor. With the volumes of `uf_diffusion.grids.rings` this is a finite-volume scheme,
which is consistent at the poles too, where exactly integrated linear elements are not.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import ufl
from dolfinx import fem
from dolfinx.fem.petsc import assemble_matrix, assemble_vector
from petsc4py import PETSc

from uf_diffusion.core.arrays import Array, Index
from uf_diffusion.diffusion.compilation import compiled_form
from uf_diffusion.diffusion.lumped import nodal_quadrature
from uf_diffusion.grids.base import Grid

__all__ = ["node_volumes", "stiffness_matrix"]


def stiffness_matrix(V: fem.FunctionSpace, grid: Grid, teacher: Array) -> PETSc.Mat:
    """The assembled matrix K of `_weighted_stiffness`.

    Args:
        V: the finite-element space of the grid.
        grid: the grid, which knows for which volume its cells stand.
        teacher: nu at the nodes that this rank owns, ``(owned,)``, positive.
    """
    nu, sections = fem.Function(V), None
    nu.x.array[: len(teacher)] = teacher
    nu.x.scatter_forward()
    if grid.sections is not None:
        sections = fem.Function(fem.functionspace(V.mesh, ("DG", 0)))
        cell = V.mesh.topology.original_cell_index
        sections.x.array[sections.function_space.dofmap.list[:, 0]] = grid.sections[cell]
    K = assemble_matrix(_weighted_stiffness(V, nu, sections))
    K.assemble()
    return K


def node_volumes(V: fem.FunctionSpace, grid: Grid, node: Index) -> Array:
    """The volumes m_i of the nodes with the grid's numbers ``node``, both ``(owned,)``."""
    if grid.volumes is not None:
        return grid.volumes[node]
    vector = assemble_vector(_lumped_volume(V))
    vector.ghostUpdate(PETSc.InsertMode.ADD, PETSc.ScatterMode.REVERSE)
    return np.array(vector.array_r)


def _weighted_stiffness(
    V: fem.FunctionSpace, teacher: fem.Function, sections: fem.Function | None = None
) -> Any:
    """The bilinear form int nu grad(w) . grad(v) dx, whose matrix is K.

    At degree 1 nu is interpolated linearly. At higher degrees, and where cells stand for rings, it
    is the exponential of the interpolated log nu, which is positive between the nodes as well.

    Args:
        V: the finite-element space.
        teacher: nu at the nodes, a function of V.
        sections: a factor of the integrand, constant in each cell; then the form is integrated by
            the midpoint rule.
    """
    w, v = ufl.TrialFunction(V), ufl.TestFunction(V)
    degree = V.ufl_element().embedded_subdegree
    nu, order = teacher, 3 * degree - 2 + 2 * (degree > 1)
    if degree > 1 or sections is not None:
        logarithm = fem.Function(V)
        logarithm.x.array[:] = np.log(teacher.x.array)
        nu = ufl.exp(logarithm)
    if sections is not None:
        nu, order = sections * nu, 1
    dx = ufl.dx(V.mesh, metadata={"quadrature_degree": order})
    return compiled_form(nu * ufl.inner(ufl.grad(w), ufl.grad(v)) * dx)


def _lumped_volume(V: fem.FunctionSpace) -> Any:
    """The linear form int v dx with the nodal quadrature rule: the volumes m_i of the nodes."""
    rule = nodal_quadrature(V.mesh.topology.dim, V.ufl_element().embedded_subdegree)
    return compiled_form(ufl.TestFunction(V) * ufl.dx(V.mesh, metadata=rule))
