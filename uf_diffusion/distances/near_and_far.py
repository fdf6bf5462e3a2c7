"""The chord on the sphere as a smooth function and one that vanishes beyond a short distance.

Because r = int (1 - exp(-s r^2)) s^(-3/2) ds / (2 sqrt(pi)) over all s > 0, the part of r with
s < alpha^2 is, up to a constant,

    F(r) = r erf(alpha r) + exp(-alpha^2 r^2) / (alpha sqrt(pi)).

This is an entire function of r^2 = 2 - 2 cos(angle), whose harmonics beyond the degree
L = 2 X alpha are below exp(-X^2), and so is r - F(r) beyond the distance X / alpha. The idea is
Ewald's (Ann. Phys. 369, 1921). Sums over all pairs of points become sums over harmonics, which are
squares of sums over points, and sums over pairs of near points.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.special import ive

from uf_diffusion.core.arrays import Array, Index
from uf_diffusion.core.compiled import compiled
from uf_diffusion.distances.pair_loops import over_rows
from uf_diffusion.kernels.spherical_harmonics import gauss_legendre

__all__ = ["NearAndFar", "Neighbours"]

X = 5.2  # what is left out is below exp(-X^2) = 2e-12 of the least part that is kept
QUADRATURE = 320  # points for the eigenvalues; 256 are enough for 1e-13 at the largest degree
DEGREES = 64, 3072  # least and largest degree; the latter needs 0.7 GB


@dataclass(frozen=True)
class NearAndFar:
    """Both parts of the chord |x - y| on S^2.

    Attributes:
        degree: the degree L up to which F has harmonics.
    """

    degree: int

    @classmethod
    def of(cls, count: int, times: int) -> NearAndFar:
        """Parts for which harmonics and near pairs take about as long.

        Near pairs take longer for more points, and harmonics for more times.

        Args:
            count: the number of points.
            times: the number of times, at each of which the points have other masses.
        """
        least, most = DEGREES
        return cls(min(most, max(least, math.ceil(28 * math.cbrt(count / times)))))

    @property
    def alpha(self) -> float:
        """The inverse of the length that divides near from far."""
        return self.degree / (2 * X)

    @property
    def reach(self) -> float:
        """The distance beyond which r - F(r) is 0."""
        return X / self.alpha

    @property
    def cubes(self) -> int:
        """The number of cubes, at least as long as the reach, along an edge of [-1, 1]^3."""
        return int(2 / self.reach)

    @cached_property
    def eigenvalues(self) -> Array:
        """The eigenvalues ``(degree + 1,)`` of F with relative errors of round-off.

        So the sum of F over all pairs is that of the eigenvalues times squared moments with
        orthonormal harmonics. The eigenvalue of exp(-s r^2) is 4 pi exp(-2 s) i_l(2 s), with the
        modified spherical Bessel function i_l. Its integral over s is one over t, s = t^2.
        """
        t, weight = gauss_legendre(QUADRATURE, self.alpha)
        order = np.arange(1, self.degree + 1)[:, None] + 0.5
        with np.errstate(all="ignore"):  # underflow inside the library's function
            beyond = -2 * math.pi * ive(order, 2 * t**2) @ (weight / t**3)
        mean = 16 * math.pi / 3 + math.sqrt(math.pi) / (3 * self.alpha**3)
        return np.append(mean, beyond)


@dataclass(frozen=True, eq=False)
class Neighbours:
    """Points of S^2 with masses, sorted by cubes as long as the reach, to find those near others.

    Attributes:
        parts: the parts of the chord.
        points: the points ``(m, 3)``, sorted.
        masses: their masses ``(m, k)``.
        starts: where the points of each cube begin, ``(cubes^3 + 1,)``.
    """

    parts: NearAndFar
    points: Array
    masses: Array
    starts: Index

    @classmethod
    def of(cls, parts: NearAndFar, points: Array, masses: Array) -> Neighbours:
        """The points ``(m, 3)`` with k kinds of masses ``(k, m)``."""
        side = parts.cubes
        place = np.clip(((points + 1) * (side / 2)).astype(np.int64), 0, side - 1)
        cube = (place[:, 0] * side + place[:, 1]) * side + place[:, 2]
        order = np.argsort(cube, kind="stable")
        starts = np.concatenate([[0], np.cumsum(np.bincount(cube, minlength=side**3))])
        return cls(parts, points[order], np.ascontiguousarray(masses.T[order]), starts)

    def sums(self, other: Neighbours) -> Array:
        """The sums ``(k,)`` of r - F(r) times both masses over all pairs of points of the two."""
        found = np.empty((len(other.points), self.masses.shape[1]))
        side, alpha, reach = self.parts.cubes, self.parts.alpha, self.parts.reach

        def block(rows: slice) -> None:
            _near_sums(other.points[rows], self.points, self.masses, self.starts, side, alpha,
                       reach**2, found[rows])  # fmt: skip

        over_rows(block, len(found), 100)
        return np.asarray((found * other.masses).sum(axis=0))


@compiled
def _cube(x: float, side: int) -> int:
    return min(max(int((x + 1) * (side / 2)), 0), side - 1)


@compiled
def _near_sums(
    X: Array, Y: Array, B: Array, starts: Index, side: int, alpha: float, most: float, out: Array
) -> None:
    """out[i, q] = sum_j (r - F(r)) B[j, q] over the y_j with r^2 = |x_i - y_j|^2 below ``most``.

    X is ``(n, 3)``, Y is ``(m, 3)``, B is ``(m, k)``, out is ``(n, k)``; see `Neighbours`.
    """
    peak = 1 / (alpha * math.sqrt(math.pi))
    for i in range(len(X)):
        x0, x1, x2 = X[i, 0], X[i, 1], X[i, 2]
        out[i] = 0.0
        a, b, c = _cube(x0, side), _cube(x1, side), _cube(x2, side)
        for p in range(max(a - 1, 0), min(a + 2, side)):
            for q in range(max(b - 1, 0), min(b + 2, side)):
                row = (p * side + q) * side
                for j in range(starts[row + max(c - 1, 0)], starts[row + min(c + 2, side)]):
                    s = (x0 - Y[j, 0]) ** 2 + (x1 - Y[j, 1]) ** 2 + (x2 - Y[j, 2]) ** 2
                    if s < most:
                        r = math.sqrt(s)
                        value = r * math.erfc(alpha * r) - peak * math.exp(-alpha * alpha * s)
                        for k in range(B.shape[1]):
                            out[i, k] += value * B[j, k]
