"""Mass-lumped finite elements on simplices: nodes, weights and basis functions, in numpy alone.

The nodes of each element are the points of a quadrature rule with positive weights, exact enough to
keep the element's order of convergence. With this rule the mass matrix is diagonal. So the state of
the diffusion is one positive number at each node, and a share of the volume belongs to each node.

On an interval the nodes are the Gauss-Lobatto points. On triangles and tetrahedra, degrees 2 and 3
need bubble functions in addition to the polynomials: P2 with 1 more on triangles (7 nodes), P2 with
5 more on tetrahedra (15 nodes), P3 with 2 more on triangles (12 nodes). Sources: Cohen, Joly,
Roberts, Tordjman, SIAM J. Numer. Anal. 38 (2001); Geevers, Mulder, van der Vegt, SIAM J. Sci.
Comput. 40 (2018).
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cache

import numpy as np

from uf_diffusion.core.arrays import Array
from uf_diffusion.core.errors import InputError

__all__ = ["HIGHEST", "LumpedElement", "lumped_element"]

HIGHEST = {1: 8, 2: 3, 3: 2}  # degree in each dimension


@dataclass(frozen=True, eq=False)
class LumpedElement:
    """Nodes, weights and basis functions of an element, in barycentric coordinates.

    Attributes:
        dim: dimension of the simplex.
        degree: the element contains all polynomials up to this degree.
        nodes: barycentric coordinates ``(n, dim + 1)``; each row sums to 1.
        weights: ``(n,)`` shares of the cell's volume, positive, summing to 1.
        exponents: ``(n, dim + 1)`` exponents of the monomials in the barycentric coordinates that
            span the space.
    """

    dim: int
    degree: int
    nodes: Array
    weights: Array
    exponents: Array

    def basis(self, points: Array) -> Array:
        """The values ``(m, n)`` of the nodal basis functions at barycentric ``(m, dim + 1)``."""
        return np.asarray(np.linalg.solve(self._span(self.nodes).T, self._span(points).T).T)

    def _span(self, points: Array) -> Array:
        return np.asarray(np.prod(points[:, None, :] ** self.exponents, axis=2))


@cache
def lumped_element(dim: int, degree: int) -> LumpedElement:
    """The element of a given degree on the simplex of a given dimension.

    Args:
        dim: dimension, 1, 2 or 3.
        degree: 1 to 8 in one dimension, 1 to 3 in two, 1 or 2 in three.

    Raises:
        InputError: for another degree.
    """
    most = HIGHEST.get(dim, 0)
    if not 1 <= degree <= most:
        raise InputError(
            f"diffusion.degree must be one of {', '.join(map(str, range(1, most + 1)))} "
            f"in dimension {dim}, not {degree}."
        )
    points = _lobatto(degree) if dim == 1 else _ORBITS[dim, degree]
    orbits = [(_orbit(point), weight) for point, weight in points]
    nodes = np.concatenate([nodes for nodes, _ in orbits])
    weights = np.concatenate([np.full(len(nodes), weight) for nodes, weight in orbits])
    powers = [p for p in itertools.product(range(degree + 1), repeat=dim + 1) if sum(p) == degree]
    powers += _BUBBLES.get((dim, degree), [])
    return LumpedElement(dim, degree, nodes, weights, np.array(powers, dtype=float))


def _lobatto(degree: int) -> list[tuple[tuple[float, ...], float]]:
    """The Gauss-Lobatto points of one half of an interval, and their weights."""
    legendre = np.polynomial.Legendre.basis(degree)
    slope = legendre.deriv()
    inside = np.real(slope.roots())
    inside -= slope(inside) / slope.deriv()(inside) if degree > 1 else 0.0  # up to round-off
    nodes = np.concatenate([[1.0], np.sort(inside[inside > 1e-9])[::-1]])
    if degree % 2 == 0:
        nodes = np.append(nodes, 0.0)
    weights = 1 / (degree * (degree + 1) * legendre(nodes) ** 2)
    return [(((1 + x) / 2, (1 - x) / 2), float(w)) for x, w in zip(nodes, weights, strict=True)]


def _orbit(point: tuple[float, ...]) -> Array:
    """All distinct permutations of a barycentric point."""
    return np.array(sorted(set(itertools.permutations(point)), reverse=True))


# 12 nodes on the triangle: the two parameters and the three weights of the fully symmetric rule of
# degree 5 (they solve five equations)
_EDGE, _INNER = 0.29346955590904256, 0.20734517566359015
_W12 = (0.014872913024820805, 0.04884168123405043, 0.22077705784041168)

# one node of each orbit under permutations of the corners, and the weight of the orbit's nodes
_ORBITS: dict[tuple[int, int], list[tuple[tuple[float, ...], float]]] = {
    (2, 1): [((1, 0, 0), 1 / 3)],
    (2, 2): [((1, 0, 0), 1 / 20), ((0.5, 0.5, 0), 2 / 15), ((1 / 3, 1 / 3, 1 / 3), 9 / 20)],
    (2, 3): [
        ((1, 0, 0), _W12[0]),
        ((1 - _EDGE, _EDGE, 0), _W12[1]),
        ((1 - 2 * _INNER, _INNER, _INNER), _W12[2]),
    ],
    (3, 1): [((1, 0, 0, 0), 1 / 4)],
    (3, 2): [
        ((1, 0, 0, 0), 17 / 840),
        ((0.5, 0.5, 0, 0), 4 / 105),
        ((1 / 3, 1 / 3, 1 / 3, 0), 27 / 280),
        ((0.25, 0.25, 0.25, 0.25), 32 / 105),
    ],
}

# the bubble functions, as exponents of the barycentric coordinates
_BUBBLES: dict[tuple[int, int], list[tuple[int, ...]]] = {
    (2, 2): [(1, 1, 1)],
    (2, 3): [(2, 1, 1), (1, 2, 1)],
    (3, 2): [(0, 1, 1, 1), (1, 0, 1, 1), (1, 1, 0, 1), (1, 1, 1, 0), (1, 1, 1, 1)],
}
