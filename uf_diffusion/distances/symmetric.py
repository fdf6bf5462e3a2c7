"""Distances between point clouds on S^d and measures that are symmetric about an axis.

A measure that is symmetric about an axis e is given by masses on rings: the ring at angle theta is
the set of all points of S^d that have the angle theta with e, with its uniform measure. On the
circle S^1 it is two points. So all that is needed of a point is its angle, and pairs of a point and
a ring, or of two rings, have their mean distance in closed form, in every dimension.

The mean distance A of a point at angle a and a ring at angle b. With x, y at these angles and
xi the cosine of the angle between their components orthogonal to e,

    |x - y|^2 = 2 D^2 (1 + xi) + 2 S^2 (1 - xi),   D = |sin((a - b) / 2)| <= S = sin((a + b) / 2),

and xi has the density proportional to (1 - xi^2)^((d - 3) / 2) on [-1, 1], or is 1 or -1 for d = 1.
The binomial series of the root of p - q xi, p = 2 (S^2 + D^2), q = 2 (S^2 - D^2), gives

    A = sqrt(p) 2F1(-1/4, 1/4; d/2; (q / p)^2) = 2 S G(D / S),

because the mean of xi^(2k) is (1/2)_k / (d/2)_k. The function G of r = D / S in [0, 1] increases
from G(0) to G(1) = 1; for d = 1 it is (1 + r) / 2. It is smooth except for the term r^d at 0, or
r^d log r for even d. As a function of sqrt(r) it is a piecewise polynomial here, with an error
below 1e-12.

Sources: the energy distance, Székely and Rizzo, J. Stat. Plan. Inference 143 (2013); Gauss's
hypergeometric function, https://dlmf.nist.gov/15.2.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from scipy.special import hyp2f1

from uf_diffusion.core import arguments
from uf_diffusion.core.arrays import Array
from uf_diffusion.core.compiled import reordered
from uf_diffusion.core.errors import InputError
from uf_diffusion.distances.circle_wasserstein import whole_masses
from uf_diffusion.distances.energy_distances import mean_distance
from uf_diffusion.distances.pair_loops import over_rows
from uf_diffusion.problem.manifolds import Circle

__all__ = [
    "angle_wasserstein",
    "angles_to_axis",
    "mean_ring_distances",
    "ring_energy_distances",
    "symmetric_energy_distances",
]

_CELLS = 512  # of the piecewise polynomial G
_DEGREE = 5  # of G in a cell; the loop in `_ring_sums` has this degree written out
_LARGE = 30  # dimension from which on G is summed as a power series
_OFF = 1e-6  # largest distance of a point or an axis to the unit sphere


# --- energy distance ------------------------------------------------------------------------------


def ring_energy_distances(
    points: Array, weights: Array | None, axis: Array, angles: Array, masses: Array
) -> Array:
    """The energy distance of k clouds on S^d to k measures on rings about an axis, ``(k,)``.

    It is the square root of 2 E|X - Y| - E|X - X'| - E|Y - Y'| for Euclidean distances, exact up to
    round-off: the rings are not replaced by points. Round-off limits it to about 1e-8, where a
    cloud of n different points is not nearer than about n^(-1/2).

    Args:
        points: the clouds, unit vectors ``(k, n, d + 1)`` with d >= 1.
        weights: of the points, ``(n,)``, summing to 1, the same for all k; None for equal weights.
        axis: the unit vector e, ``(d + 1,)``.
        angles: of the rings to the axis in radians, from 0 to pi, ``(m,)``, in any order.
        masses: of the rings, ``(k, m)``, each row summing to 1.

    Returns:
        The distances, in units of the square root of a length.

    Raises:
        InputError: for arguments of the wrong shape or not finite, points or an axis off the
            sphere, angles out of range, or weights or masses that are negative or do not sum to 1.
    """
    points = arguments.reals("Clouds", points)
    if points.ndim != 3 or not points.size or points.shape[2] < 2:
        raise InputError(
            f"Clouds must have shape (k, n, ambient) with ambient >= 2, not {points.shape}."
        )
    k, n, ambient = points.shape
    a = arguments.weights(weights, n)
    angles = _angles(angles)
    masses = _masses(masses, k, len(angles))
    heights = [angles_to_axis(cloud, axis) for cloud in points]
    dim = ambient - 1
    manifold = Circle() if dim == 1 else None
    own = _energies(angles, masses, dim)
    squared = [
        2 * float(a @ _sums(height, angles, row[None], dim)[:, 0])
        - mean_distance(cloud, a, manifold) - of_rings
        for cloud, height, row, of_rings in zip(points, heights, masses, own, strict=True)
    ]  # fmt: skip
    return np.sqrt(np.maximum(0.0, squared))


def symmetric_energy_distances(
    angles_x: Array, masses_x: Array, angles_y: Array, masses_y: Array, dim: int
) -> Array:
    """The energy distance of k pairs of measures on rings about one axis of S^d, ``(k,)``.

    It is `ring_energy_distances` with rings in the place of the clouds. It is computed from the
    difference of the measures, so it is 0 for equal measures at equal angles.

    Args:
        angles_x, angles_y: of the rings in radians, from 0 to pi, ``(n,)`` and ``(m,)``.
        masses_x, masses_y: of the rings, ``(k, n)`` and ``(k, m)``, each row summing to 1.
        dim: the dimension d >= 1 of the sphere.

    Returns:
        The distances, in units of the square root of a length.

    Raises:
        InputError: for arguments of the wrong shape or not finite, angles out of range, or masses
            that are negative or do not sum to 1.
    """
    arguments.whole_number("The dimension", dim, 1)
    x, y = _angles(angles_x), _angles(angles_y)
    first = _masses(masses_x, None, len(x))
    second = _masses(masses_y, len(first), len(y))
    if np.array_equal(x, y):
        angles, signed = x, first - second
    else:
        angles, signed = np.concatenate([x, y]), np.concatenate([first, -second], axis=1)
    return np.sqrt(np.maximum(0.0, -_energies(angles, signed, dim)))


def mean_ring_distances(angles_x: Array, angles_y: Array, dim: int) -> Array:
    """The mean distance of a point of S^d and a ring, or of two rings about one axis, ``(n, m)``.

    Args:
        angles_x, angles_y: their angles to the axis in radians, from 0 to pi, ``(n,)``, ``(m,)``.
        dim: the dimension d >= 1 of the sphere.

    Returns:
        The mean Euclidean distances with a relative error below 1e-12, if the angles are exact.

    Raises:
        InputError: for angles of the wrong shape, not finite or out of range, or another dimension.
    """
    arguments.whole_number("The dimension", dim, 1)
    x, y = _angles(angles_x), _angles(angles_y)
    return _sums(x, y, np.eye(len(y)), dim)


def angles_to_axis(points: Array, axis: Array) -> Array:
    """The angles ``(n,)`` in radians, from 0 to pi, of unit vectors ``(n, d + 1)`` to an axis.

    Those near 0 and near pi are relative to their distance from there as accurate as the points.

    Args:
        points: the unit vectors.
        axis: the unit vector e, ``(d + 1,)``.

    Raises:
        InputError: for arguments of the wrong shape or not finite, or off the sphere.
    """
    x = arguments.points(points)
    e = arguments.points(np.reshape(arguments.reals("The axis", axis), (1, -1)), x.shape[1])
    radii, length = np.linalg.norm(x, axis=1), float(np.linalg.norm(e))
    if not (np.abs(radii - 1) <= _OFF).all():
        raise InputError("A point is off the sphere.")
    if not abs(length - 1) <= _OFF:
        raise InputError(f"The axis must be a unit vector, not one of length {length:.6g}.")
    x, e = x / radii[:, None], e / length
    near, far = np.linalg.norm(x - e, axis=1), np.linalg.norm(x + e, axis=1)
    return np.asarray(2 * np.arctan2(near, far))


# --- Wasserstein distance -------------------------------------------------------------------------


def angle_wasserstein(
    angles_x: Array, weights_x: Array | None, angles_y: Array, weights_y: Array | None, p: float = 2
) -> float:
    """W_p on the line between two laws of the angle to an axis, exact up to round-off.

    For measures on S^d with the geodesic distance it is a lower bound of their W_p, because the
    angles of two points differ by at most their distance. For two measures that are both symmetric
    about the axis it is their W_p, because points on one meridian attain the bound. For a cloud and
    a symmetric measure it is W_p after averaging the cloud over all rotations about the axis.

    On the line, quantiles are moved to quantiles. The quantile functions are merged in
    O(n log n + m log m), with masses that are integers, see `wasserstein_circle`.

    Args:
        angles_x, angles_y: angles in radians, from 0 to pi, ``(n,)`` and ``(m,)``.
        weights_x, weights_y: their weights ``(n,)``, ``(m,)``, each summing to 1; None for equal.
        p: the exponent, from 1 to 100.

    Returns:
        W_p in radians.

    Raises:
        InputError: for angles or weights that have the wrong shape or are not finite, angles out of
            range, weights that are negative or do not sum to 1, or an exponent out of range.
    """
    arguments.finite_number("p", p, 1, 100)
    x, y = _angles(angles_x), _angles(angles_y)
    common = max(1, len(x) * len(y))
    unit = common * max(1, 2**60 // common)
    a = whole_masses(arguments.weights(weights_x, len(x)), unit)
    b = whole_masses(arguments.weights(weights_y, len(y)), unit)
    b[b.argmax()] += a.sum() - b.sum()
    first, second = np.argsort(x, kind="stable"), np.argsort(y, kind="stable")
    cum_x, cum_y = np.cumsum(a[first]), np.cumsum(b[second])
    ends = np.sort(np.concatenate([cum_x, cum_y]))
    lengths = np.diff(ends, prepend=0)
    starts, lengths = (ends - lengths)[lengths > 0], lengths[lengths > 0]
    moved = np.abs(
        x[first][np.searchsorted(cum_x, starts, side="right")]
        - y[second][np.searchsorted(cum_y, starts, side="right")]
    )
    return float((lengths @ moved**p / cum_x[-1]) ** (1 / p))


# --- sums over pairs ------------------------------------------------------------------------------


def _energies(angles: Array, A: Array, dim: int) -> Array:
    """The sums ``(k,)`` of A[q, i] A[q, j] times the mean distance of the rings i and j."""
    rows, which = np.unique(A, axis=0, return_inverse=True)  # equal rows are treated once
    sums = _sums(angles, angles, rows, dim)
    return np.asarray(np.einsum("qi,iq->q", rows, sums)[which])


def _sums(x: Array, y: Array, B: Array, dim: int) -> Array:
    """sum_j A(x_i, y_j) B[q, j] ``(n, k)`` for angles x ``(n,)``, y ``(m,)``, weights B."""
    X, Y = (np.stack([np.sin(angle / 2), np.cos(angle / 2)]) for angle in (x, y))
    X, B, out = np.ascontiguousarray(X.T), np.ascontiguousarray(B), np.empty((len(x), len(B)))
    table = _table(dim)

    def block(rows: slice) -> None:
        _ring_sums(X[rows], Y, B, table, out[rows])

    over_rows(block, len(x), len(y))
    return out


@reordered
def _ring_sums(X: Array, Y: Array, B: Array, table: Array, out: Array) -> None:
    """out[i, q] = sum_j A(x_i, y_j) B[q, j].

    Args:
        X: sines and cosines of half the angles of the points, ``(n, 2)``.
        Y: the same of the rings, ``(2, m)``.
        B: weights ``(k, m)``.
        table: the coefficients of `_table`, ``(cells, degree + 1)``.
        out: receives the sums, ``(n, k)``.
    """
    cells = len(table)
    row = np.empty(Y.shape[1])
    for i in range(len(X)):
        sine, cosine = X[i, 0], X[i, 1]
        for j in range(len(row)):
            # D cancels, but its error is that of S, and S G is as smooth in D as in S
            one, two = sine * Y[1, j], cosine * Y[0, j]
            S = max(one + two, 1e-300)
            q = cells * math.sqrt(abs(one - two) / S)
            cell = min(int(q), cells - 1)
            c, z = table[cell], 2 * (q - cell) - 1
            G = c[0] + z * (c[1] + z * (c[2] + z * (c[3] + z * (c[4] + z * c[5]))))
            row[j] = 2 * S * G
        for q in range(len(B)):
            weight, total = B[q], 0.0
            for j in range(len(row)):
                total += row[j] * weight[j]
            out[i, q] = total


@cache
def _table(dim: int) -> Array:
    """The coefficients ``(cells, degree + 1)`` of G as a piecewise polynomial in sqrt(r).

    A cell has polynomials in z from -1 to 1, which interpolate at the Chebyshev points.
    """
    z = np.cos(np.pi * (np.arange(_DEGREE + 1) + 0.5) / (_DEGREE + 1))
    r = ((np.arange(_CELLS)[:, None] + (z + 1) / 2) / _CELLS) ** 2
    values = (1 + r) / 2 if dim == 1 else np.sqrt((1 + r * r) / 2) * _series(r, dim)
    return np.ascontiguousarray(np.linalg.solve(np.vander(z, increasing=True), values.T).T)


def _series(r: Array, dim: int) -> Array:
    """2F1(-1/4, 1/4; d/2; ((1 - r^2) / (1 + r^2))^2) for d >= 2, of the shape of r.

    Its terms fall like k^(-1 - d/2) at r = 0, and like 2^-k soon for large d. There the library's
    function overflows: it is infinite at d = 200.
    """
    z = ((1 - r * r) / (1 + r * r)) ** 2
    if dim < _LARGE:
        with np.errstate(all="ignore"):  # underflow inside the library's function
            return np.asarray(hyp2f1(-0.25, 0.25, dim / 2, z))
    k = np.arange(150)
    terms = np.cumprod((k - 0.25) * (k + 0.25) / ((dim / 2 + k) * (k + 1)))
    return np.asarray(np.polynomial.polynomial.polyval(z, np.concatenate([[1.0], terms])))


# --- checks ---------------------------------------------------------------------------------------


def _angles(values: Array) -> Array:
    angles = arguments.reals("Angles", values)
    if angles.ndim != 1 or not angles.size:
        raise InputError(f"Angles must have shape (n,) with n >= 1, not {angles.shape}.")
    if angles.min() < 0 or angles.max() > np.pi:
        worst = angles[np.abs(angles - np.pi / 2).argmax()]
        raise InputError(f"Angles to an axis must lie from 0 to pi, not be {worst:.6g}.")
    return angles


def _masses(values: Array, k: int | None, m: int) -> Array:
    masses = arguments.reals("Masses", values)
    usable = masses.ndim == 2 and masses.size and k in (None, len(masses))
    if not usable or masses.shape[1] != m:
        wanted = f"({'k' if k is None else k}, {m})"
        raise InputError(f"Masses must have shape {wanted}, not {masses.shape}.")
    if masses.min() < 0:
        raise InputError(f"Masses must not be negative, but one is {masses.min():g}.")
    totals = masses.sum(axis=1)
    if not (np.abs(totals - 1) <= 1e-8).all():
        worst = totals[np.abs(totals - 1).argmax()]
        raise InputError(f"Masses must sum to 1 in each row, not to {worst:.6g}.")
    return masses
