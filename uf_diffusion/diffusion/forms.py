"""The weak form of the diffusion, nothing else.

Find the potential w with, for all test functions v,

    d/dt int nu h v dx = int nu grad(w) . grad(v) dx,        h = mu / nu = 1 / f*'(w).

(From d mu/dt = -div(nu grad w), by parts on a closed manifold.) With piecewise linear w and the
mass lumped at the nodes, h lives at the nodes:  c_i dh_i/dt = (K w)_i,  c_i = m_i nu_i.
K 1 = 0 conserves sum c_i h_i = int mu; where no angle is obtuse K has no positive entry off its
diagonal, which gives the maximum principle.
"""

from __future__ import annotations

from typing import Any

import ufl
from dolfinx import fem

__all__ = ["lumped_volume", "weighted_stiffness"]


def weighted_stiffness(V: fem.FunctionSpace, teacher: fem.Function) -> Any:
    """K: the bilinear form int nu grad(w) . grad(v) dx, nu piecewise linear."""
    w, v = ufl.TrialFunction(V), ufl.TestFunction(V)
    return fem.form(teacher * ufl.inner(ufl.grad(w), ufl.grad(v)) * ufl.dx)


def lumped_volume(V: fem.FunctionSpace) -> Any:
    """m: the linear form int v dx, the volume that belongs to each node."""
    return fem.form(ufl.TestFunction(V) * ufl.dx(V.mesh))
