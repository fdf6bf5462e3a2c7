"""The energy distance: on lines and circles in O(n log n), elsewhere by the sum over all pairs.

The squared distance is computed as minus the double integral of |x - y| against the signed measure
s = mu - nu. This is small where mu and nu are close, so there is no cancellation as between the
three mean distances.

Source: Székely and Rizzo, J. Stat. Plan. Inference 143 (2013); arXiv:2504.18208, section 6.
"""

from __future__ import annotations

import math

import numpy as np

from uf_diffusion.core import arguments
from uf_diffusion.core.arrays import Array
from uf_diffusion.core.errors import InputError
from uf_diffusion.distances.pair_loops import distance_sums, distance_sums_3, over_rows
from uf_diffusion.problem.manifolds import Manifold

__all__ = ["cross_distance", "energy_distance", "energy_distance_series", "mean_distance",
           "negative_type"]  # fmt: skip


def negative_type(manifold: Manifold) -> bool:
    """Whether the energy distance obeys the triangle inequality and has a non-negative square.

    It does not on tori of two and more dimensions, see `energy_distance`.
    """
    return manifold.dim == 1 or not manifold.period


def energy_distance(
    X: Array,
    Y: Array,
    a: Array | None = None,
    b: Array | None = None,
    manifold: Manifold | None = None,
) -> float:
    """The square root of 2 E|X - Y| - E|X - X'| - E|Y - Y'|, the paper's MMD.

    It is a metric for Euclidean distances, so also on spheres. It is not one for the wrapped
    difference on a torus: in one dimension the Fourier coefficients of |x - y| vanish for even
    waves; in more, some are positive, the square may be negative, and the result is then 0.

    Args:
        X, Y: points ``(n, ambient)``, ``(m, ambient)``.
        a, b: their weights ``(n,)``, ``(m,)``, each summing to 1; equal by default.
        manifold: defines |x - y| as its ``chord``, the wrapped difference on a torus; by default
            the distance is Euclidean.

    Returns:
        The distance, in units of the square root of a length.

    Raises:
        InputError: for points or weights that have the wrong shape or are not finite, or weights
            that are negative or do not sum to 1.
    """
    ambient = 0 if manifold is None else manifold.ambient
    X, Y = arguments.points(X, ambient), arguments.points(Y, ambient)
    if X.shape[1] != Y.shape[1]:
        raise InputError(f"X and Y have {X.shape[1]} and {Y.shape[1]} coordinates a point.")
    a, b = arguments.weights(a, len(X)), arguments.weights(b, len(Y))
    # equal arrays are one set of points, so that equal measures are at distance 0
    same = X.shape == Y.shape and np.array_equal(X, Y)
    Z, s = (X, a - b) if same else (np.concatenate([X, Y]), np.concatenate([a, -b]))
    return _root(-mean_distance(Z, s, manifold))


def energy_distance_series(
    X: Array, Y: Array, B: Array, manifold: Manifold | None = None, a: Array | None = None
) -> Array:
    """`energy_distance` of k networks to k measures on fixed atoms, ``(k,)``.

    Args:
        X: the networks' points ``(k, n, ambient)``.
        Y: atoms ``(m, ambient)``; their distances to each other are computed once for all k.
        B: weights of the atoms, ``(k, m)``, each row summing to 1.
        manifold: as in `energy_distance`.
        a: weights of the networks' points, ``(n,)``, the same for all k; equal by default.

    Raises:
        InputError: as `energy_distance`.
    """
    X, Y, B = arguments.reals("X", X), arguments.points(Y), arguments.reals("B", B)
    if X.ndim != 3 or not X.size or B.shape != (len(X), len(Y)):
        raise InputError(
            f"X and B must have shapes (k, n, ambient) and (k, m) for m = {len(Y)} atoms, "
            f"not {X.shape} and {B.shape}."
        )
    arguments.points(X[0], Y.shape[1] if manifold is None else manifold.ambient)
    arguments.points(Y, X.shape[2])
    for b in B:
        arguments.weights(b, len(Y))
    if _is_line(manifold, Y):
        return np.array([energy_distance(x, Y, a, b, manifold) for x, b in zip(X, B, strict=True)])
    a = arguments.weights(a, X.shape[1])
    rows, which = np.unique(B, axis=0, return_inverse=True)  # equal rows are treated once
    of_atoms = _own_pairs(Y, rows, manifold)[which]
    return np.array(
        [
            _root(
                2 * cross_distance(x, Y, a, b, manifold) - _own_pairs(x, a[None], manifold)[0] - own
            )
            for x, b, own in zip(X, B, of_atoms, strict=True)
        ]
    )


def mean_distance(X: Array, a: Array, manifold: Manifold | None = None) -> float:
    """The sum of a_i a_j |x_i - x_j|, which is E|X - X'| if the weights sum to 1.

    Args:
        X: points ``(n, ambient)``.
        a: their weights ``(n,)``, of any sign; on a line without a manifold they sum to 0.
        manifold: as in `energy_distance`.
    """
    if _is_line(manifold, X):
        return -_squared_on_line(X, a, manifold)
    return float(_own_pairs(X, a[None], manifold)[0])


def _root(squared: float) -> float:
    return math.sqrt(max(0.0, float(squared)))


# --- one dimension --------------------------------------------------------------------------------


def _is_line(manifold: Manifold | None, X: Array) -> bool:
    return X.shape[1] == 1 if manifold is None else len(manifold.axes) == 1


def _squared_on_line(Z: Array, s: Array, manifold: Manifold | None) -> float:
    """Minus the double integral of |x - y| against a signed measure; see `mean_distance`."""
    if manifold is None:
        return _by_steps(Z[:, 0], s, 0.0, float(Z.min()), float(Z.max()))
    axis = manifold.axes[0]
    x = np.mod(manifold.chart(Z)[:, 0] - axis.low, axis.length)
    if manifold.period:
        return _wrapped(x, s, axis.length)
    return _chords(x, s)


def _by_steps(x: Array, jump: Array, first: float, low: float, high: float) -> float:
    """Twice the integral from ``low`` to ``high`` of F^2 for a step function F.

    F(low) = ``first``, and F increases by ``jump`` at x. If F is the difference of two distribution
    functions, this is the squared energy distance on a line.
    """
    order = np.argsort(x, kind="stable")
    ends = np.concatenate([[low], x[order], [high]])
    F = first + np.concatenate([[0.0], np.cumsum(jump[order])])
    return float(2 * (F**2 @ np.diff(ends)))


def _wrapped(x: Array, s: Array, length: float) -> float:
    """Minus the double integral of wrapped differences on the flat circle.

    The t for which the half circle H = [t, t + length / 2) separates two points at distance d have
    measure 2 d. So the double integral is that of s(H) (s - s(H)) over all t, where s is the whole
    mass: s^2 / 4 less the square of s(H) - s / 2. For t + length / 2 the latter changes its sign
    only, so t in the first half is enough. As t increases there, s(H) loses the points of the first
    half and gains those of the second.
    """
    half, mass = length / 2, float(s.sum())
    gained = x >= half
    moved, jumps = np.where(gained, x - half, x), np.where(gained, s, -s)
    squares = _by_steps(moved, jumps, float(s[~gained].sum()) - mass / 2, 0.0, half)
    return squares - length * mass**2 / 4


def _chords(angle: Array, s: Array) -> float:
    """Minus the double integral of the chord on the unit circle, by cumulative sums.

    |x - y| = 2 sin((a - b) / 2) for angles 2 pi > a >= b >= 0.
    """
    order = np.argsort(angle, kind="stable")
    sine, cosine, s = np.sin(angle[order] / 2), np.cos(angle[order] / 2), s[order]
    before = sine * (np.cumsum(s * cosine) - s * cosine) - cosine * (np.cumsum(s * sine) - s * sine)
    return float(-4 * (s @ before))


# --- all pairs ------------------------------------------------------------------------------------


def _own_pairs(X: Array, A: Array, manifold: Manifold | None) -> Array:
    """The sums ``(k,)`` of A[q, i] A[q, j] |x_i - x_j| over i and j, for weights A ``(k, n)``."""
    sums = _sums(X, X, A, manifold, once=True)
    return np.asarray(2 * np.einsum("qi,iq->q", A, sums))


def cross_distance(X: Array, Y: Array, a: Array, b: Array, manifold: Manifold | None) -> float:
    """The sum of a_i b_j |x_i - y_j|, which is E|X - Y| if both sum to 1; see `mean_distance`."""
    return float(a @ _sums(X, Y, b[None], manifold, once=False)[:, 0])


def _sums(X: Array, Y: Array, B: Array, manifold: Manifold | None, once: bool) -> Array:
    """sum_j |x_i - y_j| B[q, j] ``(n, k)``; if ``once``, for X = Y, over j > i only."""
    n, m = len(X), len(Y)
    period = manifold.period if manifold is not None else 0.0
    if manifold is not None and period:  # the loops need coordinates in one period
        X, Y = (manifold.retract(x, np.zeros_like(x)) for x in (X, Y))
    few = len(B) == 1 and X.shape[1] <= 3
    if few:
        X, Y = (np.pad(x, ((0, 0), (0, 3 - x.shape[1]))) for x in (X, Y))
    columns, B, out = np.ascontiguousarray(Y.T), np.ascontiguousarray(B), np.empty((n, len(B)))

    def block(rows: slice) -> None:
        start = rows.start if once else -n - 1
        if few:
            distance_sums_3(X[rows], columns, B[0], period, start, out[rows, 0])
        else:
            distance_sums(X[rows], columns, B, period, start, out[rows])

    over_rows(block, n, m)
    return out
