"""The even and linear functions, which are all that ReLU features without bias see of a measure.

On S^1 and S^2 the kernel's eigenfunctions with non-zero eigenvalues span the space V_K of the sums
of an even function and a linear function b.omega. As lambda -> 0, the outer weights of a network mu
are u = f*'(w), where w in V_K maximises the concave functional

    Phi(w) = int w dnu - int f*(w) dmu,     w = e + b.omega,  e even.

The maximum is the risk L0_K(mu), and there u mu and nu have the same integrals against V_K. On a
mesh whose nodes form antipodal pairs, Newton's matrix is diagonal in e with a border for the few
numbers b. For quadratic f one step is exact.
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
    """The maximiser of Phi, with n the number of nodes; all is dimensionless.

    Attributes:
        potential: w, ``(n,)``.
        outer_weight: u = f*'(w), ``(n,)``, of any sign if f allows it.
        conjugate: f*(w), ``(n,)``, which is minus the first variation of the risk.
        risk: the maximum of Phi.
        pair_curvature: second derivative of -Phi in the value of e at the node's pair, ``(n,)``.
        moment: m u (omega - mean), ``(n, ambient)``, with the volumes m and the weighted mean of
            the pair: minus the mixed derivative of Phi in mu and b after elimination of e.
        curvature: second derivative of -Phi in b after elimination of e, ``(ambient, ambient)``.
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
        points: the nodes, unit vectors ``(n, ambient)`` in antipodal pairs; for rings about an
            axis their heights ``(n, 1)``, as no other linear function is symmetric.
        volume: the volumes of the nodes, ``(n,)``, equal within a pair.
        teacher: the density nu at the nodes, ``(n,)``.
        divergence: f, f* and their derivatives.
        opposite: the opposite node of each node, ``(n,)``; None to search for it.

    Raises:
        InputError: for a mesh that is not antipodally symmetric.
    """

    def __init__(
        self, points: Array, volume: Array, teacher: Array, divergence: Divergence,
        opposite: Index | None = None,
    ) -> None:  # fmt: skip
        self.opposite = antipodes(points) if opposite is None else opposite
        if np.abs(volume - volume[self.opposite]).max() > 1e-9 * volume.max():
            raise InputError("The cells of the mesh are not antipodally symmetric.")
        self._points, self._volume, self._teacher = points, volume, teacher
        self._divergence = divergence

    def pair(self, values: Array) -> Array:
        """The sum of values ``(n,)`` or ``(n, k)`` at each node and its opposite, at both nodes."""
        return values + values[self.opposite]

    def project(self, mu: Array, start: Array | None = None) -> Visible:
        """The maximiser of Phi for a density, by Newton's method with a line search.

        Args:
            mu: the density at the nodes, ``(n,)``, positive.
            start: the first guess of w, ``(n,)``.

        Raises:
            StageFailure: when it does not converge.
        """
        f, x, m = self._divergence, self._points, self._volume
        w = np.full_like(mu, f.df(np.ones(1))[0]) if start is None else start
        value = self._objective(w, mu)
        with np.errstate(all="ignore"):  # the line search rejects values that are not finite
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
