"""The mass-lumped elements of `uf_diffusion.grids.elements` as elements for DOLFINx."""

from __future__ import annotations

from functools import cache
from typing import Any

import basix
import basix.ufl
import numpy as np

from uf_diffusion.grids.elements import LumpedElement, lumped_element

__all__ = ["lumped", "nodal_quadrature"]

_CELL = {1: basix.CellType.interval, 2: basix.CellType.triangle, 3: basix.CellType.tetrahedron}
_VOLUME = {1: 1.0, 2: 1 / 2, 3: 1 / 6}  # volumes of the reference simplices


def nodal_quadrature(dim: int, degree: int) -> dict[str, Any]:
    """UFL metadata of the quadrature rule at the element's nodes, which lumps the mass.

    Raises:
        InputError: for a degree without element, as `lumped_element`.
    """
    element = lumped_element(dim, degree)
    return {
        "quadrature_rule": "custom",
        "quadrature_points": np.ascontiguousarray(element.nodes[:, 1:]),
        "quadrature_weights": element.weights * _VOLUME[dim],
    }


@cache
def lumped(dim: int, degree: int) -> Any:
    """The UFL element whose degrees of freedom are the values at the nodes."""
    element, cell = lumped_element(dim, degree), _CELL[dim]
    highest = int(element.exponents.sum(axis=1).max())
    points, weights = basix.make_quadrature(cell, 2 * highest)
    order, x = _by_entity(element, cell)
    polynomials = basix.tabulate_polynomials(basix.PolynomialType.legendre, cell, highest, points)
    barycentric = np.column_stack([1 - points.sum(axis=1), points])
    coefficients = (element.basis(barycentric)[:, order].T * weights) @ polynomials.T
    values = [[np.eye(len(p)).reshape(len(p), 1, len(p), 1) for p in entity] for entity in x]
    return basix.ufl.custom_element(
        cell, (), coefficients, x + [[]] * (3 - dim), values + [[]] * (3 - dim), 0,
        basix.MapType.identity, basix.SobolevSpace.H1, False, degree, highest,
    )  # fmt: skip


def _by_entity(
    element: LumpedElement, cell: basix.CellType
) -> tuple[list[int], list[list[np.ndarray[Any, Any]]]]:
    """The order of the nodes by the vertex, edge, face and cell that they lie in, and their
    Cartesian coordinates in that order.
    """
    order: list[int] = []
    x = []
    supports = [frozenset(np.flatnonzero(node)) for node in element.nodes]
    for entities in basix.topology(cell):
        row = []
        for corners in entities:
            inside = [i for i, support in enumerate(supports) if support == frozenset(corners)]
            order += inside
            row.append(np.ascontiguousarray(element.nodes[inside, 1:]))
        x.append(row)
    return order, x
