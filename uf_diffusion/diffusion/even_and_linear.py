"""What bias-free ReLU features see of a measure: its even part and its first moments.

The kernel's eigenfunctions with non-zero eigenvalue span V_K = even functions + linear functions
b.omega on S^1 and S^2. As lambda -> 0 the outer weights u = f*'(w), w in V_K, of a network mu are
the maximiser of the concave

    Phi(w) = int w dnu - int f*(w) dmu,     w = e + b.omega,  e even,

and its maximum is the risk L0_K(mu): u mu and nu then agree on V_K. On a mesh whose nodes come in
antipodal pairs the Newton matrix is diagonal in e, bordered by the few numbers b. It is exact in
one step for quadratic f.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import KDTree

from uf_diffusion.core.arrays import Array, Index
from uf_diffusion.core.errors import InputError
from uf_diffusion.diffusion.petsc import StageFailure
from uf_diffusion.problem.divergences import Divergence

__all__ = ["EvenAndLinear", "Visible", "antipodes"]


@dataclass(frozen=True)
class Visible:
    """The maximiser of Phi, n is the number of nodes.

    Attributes:
        potential: w, ``(n,)``.
        outer_weight: u = f*'(w), ``(n,)``, of any sign if f allows it.
        conjugate: f*(w), ``(n,)``; minus the first variation of the risk.
        risk: Phi at its maximum.
        pair_curvature: the second derivative of -Phi in the value of e at the node's pair.
        moment: m u (omega - mean), ``(n, ambient)``: minus the mixed derivative in mu and b.
        curvature: the second derivative of -Phi in b, e eliminated, ``(ambient, ambient)``.
    """

    potential: Array
    outer_weight: Array
    conjugate: Array
    risk: float
    pair_curvature: Array
    moment: Array
    curvature: Array


class EvenAndLinear:
    """The space V_K at the nodes of a mesh of a sphere, with a teacher and a divergence.

    Args:
        points: the nodes, ``(n, ambient)`` unit vectors in antipodal pairs.
        volume: their volumes ``(n,)``, equal within a pair.
        teacher: nu there.
        divergence: gives f* and its derivatives.

    Raises:
        InputError: for a mesh that is not antipodally symmetric.
    """

    def __init__(
        self, points: Array, volume: Array, teacher: Array, divergence: Divergence
    ) -> None:
        self.opposite = antipodes(points)
        if np.abs(volume - volume[self.opposite]).max() > 1e-9 * volume.max():
            raise InputError("The cells of the mesh are not antipodally symmetric.")
        self._points, self._volume, self._teacher = points, volume, teacher
        self._divergence = divergence

    def pair(self, values: Array) -> Array:
        """The sum over each node's pair, at both of its nodes."""
        return values + values[self.opposite]

    def project(self, mu: Array, start: Array | None = None) -> Visible:
        """The maximiser for a density mu at the nodes, by Newton's method from any ``start``.

        Raises:
            StageFailure: when it does not converge.
        """
        f, x, m = self._divergence, self._points, self._volume
        w = np.full_like(mu, f.df(np.ones(1))[0]) if start is None else start
        value = self._objective(w, mu)
        with np.errstate(all="ignore"):  # what is not finite is refused
            for _ in range(60):
                curvature = m * mu * f.d2conjugate(w)
                total = self.pair(curvature)
                apart = x - self.pair(curvature[:, None] * x) / total[:, None]
                slope = m * (self._teacher - f.dconjugate(w) * mu)
                hessian = (curvature[:, None] * apart).T @ apart
                b = np.linalg.solve(hessian, apart.T @ slope)
                change = self.pair(slope) / total + apart @ b
                length = 1.0
                while not (after := self._objective(w + length * change, mu)) >= value - 1e-13:
                    length /= 2
                    if length < 1e-10:
                        raise StageFailure("the outer weights have no optimum")
                w, value = w + length * change, after
                largest = float(np.abs(change).max())
                if length == 1.0 and largest <= 1e-7 * (1 + float(np.abs(w).max())):
                    break
            else:
                raise StageFailure("the projection did not converge")
        u = f.dconjugate(w)
        return Visible(w, u, f.conjugate(w), value, total, (m * u)[:, None] * apart, hessian)

    def _objective(self, w: Array, mu: Array) -> float:
        terms = w * self._teacher - self._divergence.conjugate(w) * mu
        return float(self._volume @ terms)


def antipodes(points: Array) -> Index:
    """The number of the node opposite to each node.

    Raises:
        InputError: when a node has none.
    """
    found = KDTree(points).query(-points)
    distance, opposite = np.asarray(found[0]), np.asarray(found[1], dtype=np.int64)
    if distance.max() > 1e-8 or not (opposite[opposite] == np.arange(len(points))).all():
        raise InputError(
            "problem.limit = 'constrained' needs a mesh whose nodes come in antipodal pairs: "
            "an even number of cells on the circle, the built-in mesh on the sphere."
        )
    return opposite
