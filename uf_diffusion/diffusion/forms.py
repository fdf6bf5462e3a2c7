"""The weak form of the diffusion.

Find the potential w such that for all test functions v

    d/dt int nu h v dx = int nu grad(w) . grad(v) dx,        h = mu / nu = 1 / f*'(w).

This is d mu/dt = -div(nu grad w), integrated by parts on a closed manifold. With mass lumping the
unknowns are the values of h at the nodes, for every degree:  c_i dh_i/dt = (K w)_i with
c_i = m_i nu_i. Since K 1 = 0, the mass sum c_i h_i = int mu is conserved. If K has no positive
entry off its diagonal (degree 1 without obtuse angles) the maximum principle holds.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import ufl
from dolfinx import fem

from uf_diffusion.diffusion.compilation import compiled_form
from uf_diffusion.diffusion.lumped import nodal_quadrature

__all__ = ["lumped_volume", "weighted_stiffness"]


def weighted_stiffness(V: fem.FunctionSpace, teacher: fem.Function) -> Any:
    """The bilinear form int nu grad(w) . grad(v) dx, whose matrix is K.

    At degree 1 nu is interpolated linearly. At higher degrees it is the exponential of the
    interpolated log nu, which is positive between the nodes as well.

    Args:
        V: the finite-element space.
        teacher: nu at the nodes, a function of V.
    """
    w, v = ufl.TrialFunction(V), ufl.TestFunction(V)
    degree = V.ufl_element().embedded_subdegree
    nu = teacher
    if degree > 1:
        logarithm = fem.Function(V)
        logarithm.x.array[:] = np.log(teacher.x.array)
        nu = ufl.exp(logarithm)
    dx = ufl.dx(V.mesh, metadata={"quadrature_degree": 3 * degree - 2 + 2 * (degree > 1)})
    return compiled_form(nu * ufl.inner(ufl.grad(w), ufl.grad(v)) * dx)


def lumped_volume(V: fem.FunctionSpace) -> Any:
    """The linear form int v dx with the nodal quadrature rule: the volumes m_i of the nodes."""
    rule = nodal_quadrature(V.mesh.topology.dim, V.ufl_element().embedded_subdegree)
    return compiled_form(ufl.TestFunction(V) * ufl.dx(V.mesh, metadata=rule))
