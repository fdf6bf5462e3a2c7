"""Potentials in a space of even or odd functions, which is all that some features see of a measure.

The kernel's eigenfunctions with non-zero eigenvalues span a space V_K: all functions of one parity,
and finitely many of the other (`uf_diffusion.kernels.seen_spaces`), for ReLU features without bias
the even and the linear functions. As lambda -> 0, the outer weights of a network mu are u = f*'(w),
where w in V_K maximises the concave functional

    Phi(w) = int w dnu - int f*(w) dmu,     w = e + b.x,  e even or odd, x of the other parity.

The maximum is the risk L0_K(mu), and there u mu and nu have the same integrals against V_K. On a
mesh whose nodes form antipodal pairs, Newton's matrix is diagonal in e with a border for the few
numbers b. For quadratic f one step is exact.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial import KDTree

from uf_diffusion.core.arrays import Array, Index
from uf_diffusion.core.errors import InputError
from uf_diffusion.diffusion.petsc import StageFailure
from uf_diffusion.diffusion.potentials import Place, Response, Seen
from uf_diffusion.kernels.seen_spaces import SeenSpace
from uf_diffusion.problem.divergences import quadratic

__all__ = ["OppositePairs", "antipodes"]


class OppositePairs:
    """The space V_K at the nodes of a mesh of a sphere, as a `Potential`.

    Args:
        place: the local nodes with their antipodes; the volumes of two opposite nodes are equal.
        space: V_K, which is not the space of all functions.

    Raises:
        InputError: for a mesh that is not antipodally symmetric.
    """

    def __init__(self, place: Place, space: SeenSpace) -> None:
        assert place.opposite is not None
        self.place, self.space, self.opposite = place, space, place.opposite
        self._others, volume = space.others(place.linear), place.volume
        if np.abs(volume - volume[self.opposite]).max() > 1e-9 * volume.max():
            raise InputError("The cells of the mesh are not antipodally symmetric.")

    def pair(self, values: Array) -> Array:
        """Values ``(n,)`` or ``(n, k)`` at each node plus those at its opposite, or minus them if
        V_K has the odd functions: twice the part that has the parity of V_K.
        """
        return values + self.space.parity * values[self.opposite]

    def at(self, mu: Array, start: Array | None = None) -> Seen:
        """See `Potential`: Newton's method with a line search.

        Raises:
            StageFailure: when it does not converge.
        """
        f, nodes = self.place.divergence, self.place.nodes
        usual = f.df(np.ones(1))[0] if self.space.has_constants else 0.0
        w = np.full_like(mu, usual) if start is None else start
        if quadratic(f):  # one step of Newton's method is exact
            return self._seen(w + self._direction(w, mu), mu)
        value = self._objective(w, mu)
        with np.errstate(all="ignore"):  # the line search rejects values that are not finite
            for _ in range(60):
                change = self._direction(w, mu)
                length = 1.0
                while not (after := self._objective(w + length * change, mu)) >= value - 1e-13:
                    length /= 2
                    if length < 1e-10:
                        raise StageFailure("the outer weights have no optimum")
                w, value = w + length * change, after
                largest, size = np.abs(change).max(), 1 + np.abs(w).max()
                if length == 1.0 and nodes.largest(float(largest / size)) <= 1e-7:
                    return self._seen(w, mu)
        raise StageFailure("the projection did not converge")

    def _seen(self, w: Array, mu: Array) -> Seen:
        f = self.place.divergence
        return Seen(w, f.dconjugate(w), f.conjugate(w), self._objective(w, mu), mu)

    def response(self, seen: Seen) -> Response:
        total, apart, hessian = self._curvature(seen.potential, seen.mu)
        return Response(1 / total, apart, hessian, parity=self.space.parity)

    def _curvature(self, w: Array, mu: Array) -> tuple[Array, Array, Array]:
        """The second derivatives of -Phi: in the value of e at each node's pair, ``(n,)``, and in b
        after elimination of e, ``(k, k)``; between them, the k functions of the other parity minus
        the best approximations by the parity of V_K, ``(n, k)``.
        """
        place, x = self.place, self._others
        curvature = place.volume * mu * place.divergence.d2conjugate(w)
        total = curvature + curvature[self.opposite]
        apart = x - self.pair(curvature[:, None] * x) / total[:, None]
        own = slice(place.nodes.own)
        hessian = (curvature[own, None] * apart[own]).T @ apart[own]
        return total, apart, place.nodes.sum(hessian)

    def _direction(self, w: Array, mu: Array) -> Array:
        """Newton's direction for w."""
        place = self.place
        total, apart, hessian = self._curvature(w, mu)
        slope = place.volume * (place.teacher - place.divergence.dconjugate(w) * mu)
        own = slice(place.nodes.own)
        try:
            b = np.linalg.solve(hessian, place.nodes.sum(apart[own].T @ slope[own]))
        except np.linalg.LinAlgError:
            raise StageFailure("the outer weights have no unique optimum") from None
        return self.pair(slope) / total + apart @ b

    def _objective(self, w: Array, mu: Array) -> float:
        [value] = self.place.total(w * self.place.teacher - self.place.divergence.conjugate(w) * mu)
        return float(value)


def antipodes(points: Array) -> Index:
    """The number of the opposite node, ``(n,)``, for each node ``(n, ambient)`` of a sphere.

    Raises:
        InputError: if a node has no opposite.
    """
    found = KDTree(points).query(-points)
    distance, opposite = np.asarray(found[0]), np.asarray(found[1], dtype=np.int64)
    if distance.max() > 1e-8 or not (opposite[opposite] == np.arange(len(points))).all():
        raise InputError(
            "problem.limit = 'constrained' needs a mesh whose nodes come in antipodal pairs: "
            "an even number of cells on the circle, the built-in mesh on the sphere."
        )
    return opposite
