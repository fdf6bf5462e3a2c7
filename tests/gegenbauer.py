"""Reference solutions of both equations on S^d for densities symmetric about an axis.

They share no code with the package's solvers, and check them. With the angle theta to the axis and
s = cos theta, the uniform probability on S^d has the weight W = sin^(d - 1) theta, normalised to
mass 1, on [0, pi]. All densities here are relative to it. The ultra-fast diffusion for y = log h,
h = mu / nu, u = 1 / h, w = f'(u) is, pointwise, with f''(u) a multiple of u^(p - 2),

    dy/dt = u^2 f''(u) (y'' - (p - 1) y'^2 + y' ((d - 1) cot theta + (log nu)')),

where y is a continuous, piecewise polynomial of theta. The equation holds at the Lobatto points
inside each piece; at its ends the two sides are averaged, and the jump of the derivative, divided
by the quadrature weight, is added as in Galerkin's method with Lobatto's quadrature. Beyond a pole
a function is even. The pieces are for fronts: where h is large, u begins to increase over a width
that falls in time and with the size of u, to 1e-3 for the last of `CASES`. One polynomial of degree
48 on all of [0, pi] leaves an error of 1e-3 for d = 9. Nothing conserves mass by construction, so
its change is a measure of the error.

The constrained equation is solved for y = log mu, a polynomial of s, by Galerkin's method in
orthonormal Gegenbauer polynomials phi_j, with Gauss quadrature for their weight: for all j

    int mu dy/dt phi_j = int (1 - s^2) mu dG/ds dphi_j/ds,    G = f*(w),

with G projected to polynomials and w = even + b s the maximiser of int w dnu - int f*(w) dmu. In
time both use scipy's Radau method.

    python -m tests.gegenbauer

prints reference values; it takes two minutes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.polynomial.legendre import Legendre, legvander
from scipy.integrate import solve_ivp
from scipy.linalg import eigh_tridiagonal
from scipy.sparse import coo_matrix, diags

from uf_diffusion.problem.divergences import UNBIASED

RTOL = 1e-9
TIMES = (0.05, 0.1, 0.5)
# dimension, kappa, degree, and half the number of pieces
CASES = ((3, 3.0, 12, 16), (9, 6.0, 12, 48), (29, 15.0, 12, 128))


class Space:
    """Piecewise polynomials of the angle, given at Lobatto's points of each piece.

    Attributes:
        theta, s: the points, ``(n,)``, from 0 to pi, and their cosines.
        weight: of the uniform probability at these points, ``(n,)``.
        local: the numbers of the points of each piece, ``(pieces, degree + 1)``.
        first, second: they differentiate on a piece, ``(pieces, degree + 1, degree + 1)``.
        cot: (d - 1) cot theta, and 0 at the poles, ``(n,)``.
        bend: 1, and d at the poles, where the whole is d y'', ``(n,)``; the jump of the
            derivative there is a part of y'' too, without which the matrix is unstable for d > 3.
    """

    def __init__(self, dim, degree, ends):
        self.dim, self.degree, self.ends = dim, degree, (ends + np.pi - ends[::-1]) / 2
        top = Legendre.basis(degree)
        inner = top.deriv().roots().real
        z = np.concatenate([[-1.0], (inner - inner[::-1]) / 2, [1.0]])
        self._half = np.diff(self.ends) / 2
        self._modes = np.linalg.inv(legvander(z, degree))
        slopes = np.stack([Legendre(c).deriv()(z) for c in self._modes.T], axis=1)
        self.first = slopes / self._half[:, None, None]
        self.second = self.first @ self.first
        self.local = np.arange(len(ends) - 1)[:, None] * degree + np.arange(degree + 1)
        self._lengths = self._half[:, None] * 2 / (degree * (degree + 1) * top(z) ** 2)
        self._total = self.gather(self._lengths)
        theta = np.empty(self.local.max() + 1)
        theta[self.local] = (self.ends[1:] + self.ends[:-1])[:, None] / 2 + self._half[:, None] * z
        self.theta = (theta + np.pi - theta[::-1]) / 2
        self.theta[[0, -1]] = 0, np.pi
        volume = np.zeros_like(theta) if dim > 1 else np.ones_like(theta)
        volume[1:-1] = np.sin(self.theta[1:-1]) ** (dim - 1)
        self.weight = self._total * volume / (self._total @ volume)
        self.s = np.cos(self.theta)
        self.cot, self.bend = np.zeros_like(theta), np.ones_like(theta)
        self.cot[1:-1] = (dim - 1) / np.tan(self.theta[1:-1])
        self.bend[[0, -1]] = dim

    def gather(self, values):
        """The sums over the pieces of values at their points, ``(n,)``."""
        return np.bincount(self.local.ravel(), values.ravel())

    def slope(self, y):
        """The derivative on each piece, ``(pieces, degree + 1)``."""
        return np.einsum("eij,ej->ei", self.first, y[self.local])

    def bent(self, y):
        """y'' + y' (d - 1) cot theta on each piece, ``(pieces, degree + 1)``."""
        second = np.einsum("eij,ej->ei", self.second, y[self.local])
        return self.bend[self.local] * second + self.cot[self.local] * self.slope(y)

    def joined(self, values, flux):
        """Values on the pieces averaged at the ends, and the jumps of a flux there, ``(n,)``."""
        sums = values * self._lengths
        first, last = self.bend[self.local[:, 0]], self.bend[self.local[:, -1]]
        sums[:, 0] += first * flux[:, 0]
        sums[:, -1] -= last * flux[:, -1]
        return self.gather(sums) / self._total

    def joined_matrix(self, blocks):
        """The same for blocks ``(pieces, degree + 1, degree + 1)`` and the flux y'."""
        sums = blocks * self._lengths[:, :, None]
        first, last = self.bend[self.local[:, 0]], self.bend[self.local[:, -1]]
        sums[:, 0] += first[:, None] * self.first[:, 0]
        sums[:, -1] -= last[:, None] * self.first[:, -1]
        rows = np.broadcast_to(self.local[:, :, None], blocks.shape)
        entries = sums / self._total[rows]
        cells = rows.ravel(), np.swapaxes(rows, 1, 2).ravel()
        return coo_matrix((entries.ravel(), cells), shape=(len(self.theta),) * 2).tocsc()

    def matrix(self, theta):
        """From values at the points to those at angles ``(m,)``, ``(m, n)``."""
        piece = np.clip(np.searchsorted(self.ends, theta) - 1, 0, len(self.ends) - 2)
        z = (theta - self.ends[piece]) / self._half[piece] - 1
        matrix = np.zeros((len(theta), len(self.theta)))
        rows = np.arange(len(theta))[:, None]
        matrix[rows, self.local[piece]] = legvander(z, self.degree) @ self._modes
        return matrix


def log_density(space, log):
    """The logarithm of a function, such as ``lambda s: 6 * s``, less that of its integral."""
    values = log(space.s)
    total = np.log(space.weight @ np.exp(values - values.max())) + values.max()
    return lambda s: log(np.asarray(s)) - total


def ends_of_pieces(dim, pieces):
    """From 0 to pi; half of them are even, the others quantiles of the uniform probability."""
    theta = np.linspace(0, np.pi, 100_001)
    mass = np.cumsum(np.sin(theta) ** (dim - 1))
    share = (mass / mass[-1] + theta / np.pi) / 2
    ends = np.interp(np.linspace(0, 1, pieces + 1), share, theta)
    ends[[0, -1]] = 0, np.pi
    return ends


@dataclass(frozen=True)
class Solution:
    """A solution at k times.

    Attributes:
        t: the times, ``(k,)``.
        risk, mean_height, mass: L0 and the integrals of s and 1 against mu, ``(k,)``.
        log_mu, log_teacher: map heights ``(m,)`` to the logarithms of mu ``(k, m)`` and nu ``(m,)``
            relative to the uniform probability.
    """

    t: np.ndarray
    risk: np.ndarray
    mean_height: np.ndarray
    mass: np.ndarray
    log_mu: Callable[[np.ndarray], np.ndarray]
    log_teacher: Callable[[np.ndarray], np.ndarray]

    def density(self, s):
        """mu relative to the uniform probability at heights ``(m,)``, ``(k, m)``."""
        return np.exp(self.log_mu(s))

    def ratio(self, s):
        """h = mu / nu at heights ``(m,)``, ``(k, m)``."""
        return np.exp(self.log_mu(s) - self.log_teacher(s))


def _integrated(rate, jacobian, start, times, rtol):
    """The unknowns at the times, ``(k, n)``."""
    with np.errstate(all="ignore"):  # a step that is not finite is tried again, shorter
        done = solve_ivp(rate, (0.0, max(times)), start, "Radau", t_eval=times, rtol=rtol,
                         atol=rtol, jac=jacobian)  # fmt: skip
    if not done.success:
        raise RuntimeError(done.message)
    return done.y.T


def diffuse(dim, teacher, start, divergence, times, degree=12, pieces=16, rtol=RTOL):
    """The ultra-fast diffusion; ``teacher`` and ``start`` map s to the log of a density.

    The densities need not have mass 1. The divergence has the functions f, df and d2conjugate, and
    its power p.
    """
    space = Space(dim, degree, ends_of_pieces(dim, pieces))
    s, local, p = space.s, space.local, divergence.power
    log_teacher, log_start = (log_density(space, log)(s) for log in (teacher, start))
    pull = space.slope(log_teacher)

    def parts(y):
        u, slope = np.exp(-y), space.slope(y)
        speed = u * u / divergence.d2conjugate(divergence.df(u))  # u^2 f''(u)
        return speed, slope, space.joined(space.bent(y) + (pull - (p - 1) * slope) * slope, slope)

    def rate(t, y):
        speed, _, bracket = parts(y)
        return speed * bracket

    def jacobian(t, y):
        speed, slope, bracket = parts(y)
        drift = space.cot[local] + pull - 2 * (p - 1) * slope
        blocks = space.bend[local][:, :, None] * space.second + drift[:, :, None] * space.first
        return (diags(speed) @ space.joined_matrix(blocks) - diags(p * speed * bracket)).tocsc()

    y = _integrated(rate, jacobian, log_start - log_teacher, times, rtol)
    mu = space.weight * np.exp(y + log_teacher)
    risk = (mu * divergence.f(np.exp(-y))).sum(axis=1)

    def log_mu(heights):
        return (y + log_teacher) @ space.matrix(np.arccos(heights)).T

    return Solution(np.array(times), risk, mu @ s, mu.sum(axis=1), log_mu,
                    log_density(space, teacher))  # fmt: skip


def seen(weight, s, nu, mu, divergence):
    """The maximiser w = e + b s of int w dnu - int f*(w) dmu, ``(n,)``, with e even.

    Newton's method, with e of each pair of antipodes eliminated; one step for a quadratic f. The
    points are symmetric, so that the antipode is found by reversing.
    """
    w = np.full_like(s, divergence.df(np.ones(1))[0])
    for _ in range(60):
        bend = weight * mu * divergence.d2conjugate(w)
        force = weight * (nu - divergence.dconjugate(w) * mu)
        pair = bend + bend[::-1]
        apart = s - (bend * s + (bend * s)[::-1]) / pair
        step = (apart @ force) / (bend @ apart**2)
        change = (force + force[::-1]) / pair + step * apart
        w = w + change
        if np.abs(change).max() <= 1e-12 * (1 + np.abs(w).max()):
            return w
    return np.full_like(s, np.nan)


class Gegenbauer:
    """Orthonormal Gegenbauer polynomials of s on S^d, at the points of a Gauss rule.

    Attributes:
        s, weight: the rule's points and weights, ``(points,)``; the weights sum to 1.
        values, slopes: the polynomials and their derivatives there, ``(points, degree + 1)``.
    """

    def __init__(self, dim, degree):
        self.degree, points = degree, 2 * degree + 32
        k = np.arange(1, points)
        # s phi_(k-1) = beta_k phi_k + beta_(k-1) phi_(k-2)
        self._beta = np.full(points - 1, np.sqrt(1 / (dim + 1)))
        k = k[1:]
        self._beta[1:] = np.sqrt(k * (k + dim - 2) / ((2 * k + dim - 1) * (2 * k + dim - 3)))
        s = eigh_tridiagonal(np.zeros(points), self._beta, eigvals_only=True)
        self.s = (s - s[::-1]) / 2  # symmetric, so that the antipode of a point is one
        weight = 1 / (self.at(self.s, points - 1)[0] ** 2).sum(axis=1)
        self.weight = (weight + weight[::-1]) / 2 / weight.sum()
        self.values, self.slopes = self.at(self.s, degree)

    def at(self, s, degree):
        """The polynomials and their derivatives at heights ``(n,)``, ``(n, degree + 1)`` each."""
        values, slopes = np.zeros((2, degree + 2, len(s)))  # the last row is the one before 0
        values[0] = 1
        for k in range(degree):
            back = self._beta[k - 1] if k else 0.0
            values[k + 1] = (s * values[k] - back * values[k - 1]) / self._beta[k]
            slopes[k + 1] = (values[k] + s * slopes[k] - back * slopes[k - 1]) / self._beta[k]
        return values[:-1].T, slopes[:-1].T


def diffuse_constrained(dim, teacher, start, divergence, times, degree=20, rtol=RTOL):
    """The constrained equation, while the density is smooth; arguments as in `diffuse`."""
    space = Gegenbauer(dim, degree)
    s, weight, values, slopes = space.s, space.weight, space.values, space.slopes
    across = weight * (1 - s * s)
    log_teacher, log_start = (log_density(space, log) for log in (teacher, start))
    nu = np.exp(log_teacher(s))

    def rate(t, z):
        mu = np.exp(values @ z)
        G = divergence.conjugate(seen(weight, s, nu, mu, divergence))
        slope = slopes @ (values.T @ (weight * G))
        matrix = values.T @ ((weight * mu)[:, None] * values)
        return np.linalg.solve(matrix, slopes.T @ (across * mu * slope))

    z = _integrated(rate, None, values.T @ (weight * log_start(s)), times, rtol)
    y = z @ values.T
    mu = np.exp(y)
    w = np.array([seen(weight, s, nu, row, divergence) for row in mu])
    risk = (w * nu - divergence.conjugate(w) * mu) @ weight

    def log_mu(heights):
        return z @ space.at(heights, degree)[0].T

    return Solution(np.array(times), risk, mu @ (weight * s), mu @ weight, log_mu, log_teacher)


def uniform(s):
    """The logarithm of a uniform density."""
    return np.zeros_like(s)


def changes(dim, kappa, degree, pieces):
    """Risk and mean height at `TIMES`, teacher exp(kappa s), from uniform, ``(2, times)``, their
    changes by twice the number of pieces, and that of the mass.
    """
    low, high = (
        diffuse(dim, lambda s: kappa * s, uniform, UNBIASED, TIMES, degree, n)
        for n in (pieces, 2 * pieces)
    )
    best = np.array([high.risk, high.mean_height])
    return best, best - [low.risk, low.mean_height], high.mass - 1


def table():
    """Lines with the numbers of `changes` for `CASES`."""
    yield "  d  kappa  degree  pieces     t           risk   change    mean height   change     mass"
    for dim, kappa, degree, pieces in CASES:
        best, change, mass = changes(dim, kappa, degree, pieces)
        for i, t in enumerate(TIMES):
            numbers = "   ".join(f"{best[j, i]:12.10f} {change[j, i]:8.1e}" for j in (0, 1))
            yield (
                f"{dim:3d} {kappa:6g} {degree:7d} {2 * pieces:7d} {t:5g}   {numbers} {mass[i]:8.1e}"
            )


if __name__ == "__main__":
    for line in table():
        print(line, flush=True)
