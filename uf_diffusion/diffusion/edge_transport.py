"""Transport of mass along the edges of a mesh: upwind, of second order where mu is smooth.

For d mu/dt = -div(mu grad G) the flux from node i to node j, G_j > G_i, is

    F_ij = k_ij c_ij mu_i (G_j - G_i),        c_ij = exp(s_ij / 2),

with k the (positive) conductances of the Laplacian and s_ij a limited slope of log mu at the donor
i, so that c_ij mu_i is mu in the middle of the edge. Whatever c > 0 is: the fluxes conserve mass;
an implicit step keeps mu positive, as only a donor loses mass and in proportion to what it has; and
with G = -dL/dmu of a convex L an implicit Euler step decreases L.

The slope is that of van Albada, van Leer and Roberts (Astron. Astrophys. 108, 1982) between the
differences of log mu along the edge and behind the donor, not limited below the size h^(3/2) of
differences at smooth extrema (Venkatakrishnan, J. Comput. Phys. 118, 1995). Behind the donor the
difference comes from a least-squares gradient; on a line it is that to the next node.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import sparse

from uf_diffusion.core.arrays import Array, Index
from uf_diffusion.problem.manifolds import Manifold

__all__ = ["EdgeTransport", "Fluxes"]


class Fluxes(NamedTuple):
    """The fluxes of all edges, and their derivatives.

    Attributes:
        rate: minus the divergence of the fluxes, mass per time gained by each node, ``(n,)``.
        by_difference: dF / d(G_head - G_tail), ``(edges,)``.
        by_donor: dF / d(mu of the donor).
        donor: the node that loses mass.
    """

    rate: Array
    by_difference: Array
    by_donor: Array
    donor: Index


class EdgeTransport:
    """The edges of a mesh.

    Args:
        stiffness: the symmetric matrix of the Laplacian, rows summing to 0, no entry off the
            diagonal positive but for round-off.
        points: the nodes, ``(n, ambient)``.
        manifold: where they lie.
    """

    def __init__(self, stiffness: sparse.csr_matrix, points: Array, manifold: Manifold) -> None:
        upper = sparse.triu(stiffness, k=1).tocoo()
        kept = upper.data < -1e-12 * np.abs(upper.data).max()
        self.tail = upper.row[kept].astype(np.int64)
        self.head = upper.col[kept].astype(np.int64)
        self.conductance = -upper.data[kept]
        n, count = len(points), len(self.tail)
        edge = np.arange(count)
        ends = np.concatenate([self.tail, self.head])
        signs = np.repeat([-1.0, 1.0], count)
        self.difference = sparse.csr_matrix((signs, (np.tile(edge, 2), ends)), shape=(count, n))
        self._gather = self.difference.T.tocsr()
        self._behind, self._floor = self._upstream(points, manifold)

    def _upstream(self, points: Array, manifold: Manifold) -> tuple[sparse.csr_matrix, Array]:
        """The matrix ``(2 edges, n)`` of the differences behind the donors, first with the tails
        as donors, and the cubes of the edges' lengths.
        """
        donor = np.concatenate([self.tail, self.head])
        other = np.concatenate([self.head, self.tail])
        weight = np.tile(self.conductance, 2)
        across = manifold.tangent(points[donor], points[other] - points[donor])
        moments = np.zeros((len(points), *across.shape[1:] * 2))
        np.add.at(moments, donor, weight[:, None, None] * across[:, :, None] * across[:, None, :])
        inverse = np.linalg.pinv(moments, rcond=1e-8, hermitian=True)
        rows = np.arange(len(donor))
        along = sparse.csr_matrix(
            (np.tile([-1.0, 1.0], len(donor)), (np.repeat(rows, 2), _paired(donor, other))),
            shape=(len(donor), len(points)),
        )
        # gradient at node d: inverse_d times the sum of weight * across * difference over its edges
        slopes = np.einsum("eab,eb->ea", inverse[donor], across)
        behind = -along
        for a in range(across.shape[1]):
            collect = sparse.csr_matrix(
                (weight * across[:, a], (donor, rows)), shape=(len(points), len(donor))
            )
            gradient = collect @ along
            behind = behind + sparse.diags(2 * slopes[:, a]) @ gradient[donor]
        length = np.linalg.norm(across, axis=1)
        return sparse.csr_matrix(behind), length**3

    def reconstruction(self, log_mu: Array) -> Array:
        """The factors c of all edges, ``(2, edges)``: with the tail and with the head as donor."""
        ahead = self.difference @ log_mu
        a, b = self._behind @ log_mu, np.concatenate([ahead, -ahead])
        slope = (np.maximum(a * b, 0) + self._floor) * (a + b) / (a * a + b * b + 2 * self._floor)
        return np.asarray(np.exp(slope / 2).reshape(2, -1))

    def fluxes(self, mu: Array, G: Array, factor: Array) -> Fluxes:
        """The fluxes of a density and a potential G at the nodes, with the factors c."""
        ahead = self.difference @ G
        onward = ahead > 0
        donor = np.where(onward, self.tail, self.head)
        by_difference = self.conductance * np.where(onward, factor[0], factor[1])
        by_donor = by_difference * ahead
        by_difference = by_difference * mu[donor]
        return Fluxes(self._gather @ (by_difference * ahead), by_difference, by_donor, donor)

    def divergence(self, flux: Array) -> Array:
        """What each node gains by fluxes from tail to head, ``(edges,)`` or ``(edges, k)``."""
        return np.asarray(self._gather @ flux)


def _paired(first: Index, second: Index) -> Index:
    return np.column_stack([first, second]).ravel()
