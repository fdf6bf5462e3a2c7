"""Transport of mass along the edges of a mesh: an upwind scheme of order 2 where mu is smooth.

For d mu/dt = -div(mu grad G) the flux from node i (the donor) to node j with G_j > G_i is

    F_ij = k_ij c_ij mu_i (G_j - G_i),        c_ij = exp(s_ij / 2).

Here k_ij > 0 are the conductances of the Laplacian, and s_ij is a limited slope of log mu at the
donor, so that c_ij mu_i approximates mu in the middle of the edge. For every c > 0 the fluxes
conserve mass; an implicit step keeps mu positive, since only a donor loses mass, in proportion to
its mass; and if G = -dL/dmu for a convex L, a step of implicit Euler decreases L.

The limiter is that of van Albada, van Leer and Roberts (Astron. Astrophys. 108, 1982), applied to
the differences of log mu along the edge and behind the donor. Differences below the size h^(3/2),
as at smooth extrema, are not limited (Venkatakrishnan, J. Comput. Phys. 118, 1995). The difference
behind the donor is that of a least-squares gradient; on a line it is the difference to the node
before the donor.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
from scipy import sparse

from uf_diffusion.core.arrays import Array, Index

__all__ = ["EdgeTransport", "Fluxes"]

STEEPEST = 2.0  # largest slope of log mu along an edge that is taken for one of a smooth density


class Towards(Protocol):
    """A manifold that knows in which direction a nearby point lies."""

    def towards(self, x: Array, y: Array) -> Array:
        """Tangent vectors at x that point to points y near them; all ``(n, ambient)``."""
        ...


class Fluxes(NamedTuple):
    """The effect of the fluxes F of all edges, and their derivatives.

    Attributes:
        rate: minus the divergence of the fluxes: mass per time gained by each node, ``(n,)``.
        by_difference: dF / d(G_head - G_tail), ``(edges,)``.
        by_donor: dF / d(mu of the donor), ``(edges,)``.
        donor: the node that loses mass, ``(edges,)``.
    """

    rate: Array
    by_difference: Array
    by_donor: Array
    donor: Index


class EdgeTransport:
    """The edges of a mesh, and the fluxes along them.

    Args:
        stiffness: the matrix of the Laplacian, ``(n, n)``: symmetric, with rows that sum to 0 and,
            up to round-off, no positive entries off the diagonal.
        points: the nodes, ``(n, ambient)``.
        manifold: the manifold of the nodes.

    Attributes:
        tail, head: the ends of the edges, ``(edges,)``.
        conductance: their conductances, ``(edges,)``.
        length: their lengths, ``(edges,)``.
        difference: the matrix ``(edges, n)`` of differences, head minus tail.
    """

    def __init__(self, stiffness: sparse.csr_matrix, points: Array, manifold: Towards) -> None:
        upper, own = sparse.triu(stiffness, k=1).tocoo(), stiffness.diagonal()
        # compared with the ends' own entries, which are tiny at the poles of high dimensions
        kept = upper.data < -1e-12 * np.minimum(own[upper.row], own[upper.col])
        self.tail = upper.row[kept].astype(np.int64)
        self.head = upper.col[kept].astype(np.int64)
        self.conductance = -upper.data[kept]
        n, count = len(points), len(self.tail)
        edge = np.arange(count)
        ends = np.concatenate([self.tail, self.head])
        signs = np.repeat([-1.0, 1.0], count)
        self.difference = sparse.csr_matrix((signs, (np.tile(edge, 2), ends)), shape=(count, n))
        self._gather = self.difference.T.tocsr()
        self._behind, length = self._upstream(points, manifold)
        self.length, self._floor = length[:count], length**3

    def _upstream(self, points: Array, manifold: Towards) -> tuple[sparse.csr_matrix, Array]:
        """The matrix ``(2 edges, n)`` of the differences behind the donors, and the edges' lengths;
        first with the tails as donors, then with the heads.
        """
        donor = np.concatenate([self.tail, self.head])
        other = np.concatenate([self.head, self.tail])
        weight = np.tile(self.conductance, 2)
        across = manifold.towards(points[donor], points[other])
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
        return sparse.csr_matrix(behind), length

    def reconstruction(self, log_mu: Array) -> Array:
        """The factors c for log mu ``(n,)``: ``(2, edges)``, for the tail and the head as donor."""
        ahead = self.difference @ log_mu
        a, b = self._behind @ log_mu, np.concatenate([ahead, -ahead])
        slope = (np.maximum(a * b, 0) + self._floor) * (a + b) / (a * a + b * b + 2 * self._floor)
        return np.asarray(np.exp(np.clip(slope, -STEEPEST, STEEPEST) / 2).reshape(2, -1))

    def fluxes(self, mu: Array, G: Array, factor: Array) -> Fluxes:
        """The fluxes of a density and a potential.

        Args:
            mu: the density at the nodes, ``(n,)``.
            G: the potential at the nodes, ``(n,)``.
            factor: the factors c of `reconstruction`, ``(2, edges)``.
        """
        ahead = self.difference @ G
        onward = ahead > 0
        donor = np.where(onward, self.tail, self.head)
        by_difference = self.conductance * np.where(onward, factor[0], factor[1])
        by_donor = by_difference * ahead
        by_difference = by_difference * mu[donor]
        return Fluxes(self._gather @ (by_difference * ahead), by_difference, by_donor, donor)

    def divergence(self, flux: Array) -> Array:
        """The gain of each node, ``(n,)`` or ``(n, k)``, by fluxes from tails to heads, of shape
        ``(edges,)`` or ``(edges, k)``.
        """
        return np.asarray(self._gather @ flux)


def _paired(first: Index, second: Index) -> Index:
    return np.column_stack([first, second]).ravel()
