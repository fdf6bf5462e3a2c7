"""W_1 and W_2 for the geodesic distance, between two certified bounds.

In one dimension the distance is exact. Elsewhere it is a linear program with an unknown for every
pair of atoms. Only pairs of small reduced cost d^p - u - v matter, u and v the potentials of the
dual program, so it is solved on few pairs, with potentials from the same problem on merged atoms;
then the search for the least reduced cost over *all* pairs gives a lower bound, and the pairs to
add where that does not meet the cost of the plan. (Merging: Gerber and Maggioni, J. Mach. Learn.
Res. 18, 2017; small sets of pairs: Schmitzer, SIAM J. Sci. Comput. 38, 2016.)
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import ot
from scipy import sparse

from uf_diffusion.comparison.circle import wasserstein_circle
from uf_diffusion.comparison.measures import Measure, period_of
from uf_diffusion.network.compiled import compiled
from uf_diffusion.problem.manifolds import Array, Manifold
from uf_diffusion.threads import blocks_of, in_threads, using_threads

__all__ = ["Bracket", "wasserstein"]

Index = np.ndarray[Any, np.dtype[np.int64]]

_DENSE = 400_000  # pairs up to which the program is solved with all of them
_SMALL = 600  # atoms that are not merged further
_MERGED = 4  # atoms that become one
_NEAR = 8  # pairs of least reduced cost taken for each atom
_ROUNDS = 12  # of adding pairs
_GAP = 1e-9  # between the bounds of W_p^p, relative, at which the search ends
_COARSE_GAP = 1e-3  # the same for merged atoms
_PIVOTS = 10**7


class Bracket(NamedTuple):
    """A lower and an upper bound."""

    lower: float
    upper: float


def wasserstein(mu: Measure, nu: Measure, p: int) -> Bracket:
    """Bounds of W_p, the p-th root of the least integral of d(x, y)^p over couplings of mu, nu.

    They agree to round-off in one dimension, and elsewhere mostly to a relative 1e-9.

    Args:
        mu, nu: measures on the same manifold.
        p: 1 or 2.
    """
    manifold = mu.manifold
    if len(manifold.axes) == 1:
        turn = manifold.axes[0].length / (2 * math.pi)
        x, y = (manifold.chart(measure.points)[:, 0] / turn for measure in (mu, nu))
        exact = turn * wasserstein_circle(x, y, mu.weights, nu.weights, p)
        return Bracket(exact, exact)
    cost = _Cost(manifold, p)
    with using_threads(len(mu.points) * len(nu.points) > _DENSE):
        lower, upper = _solved(cost, _atoms(mu), _atoms(nu), _GAP).bounds
    return Bracket(max(0.0, lower) ** (1 / p), max(0.0, lower, upper) ** (1 / p))


class _Solution(NamedTuple):
    """Bounds of W_p^p, the potential ``(n,)`` of mu, and the pairs (i, j) of a plan."""

    bounds: Bracket
    u: Array
    i: Index
    j: Index


class _Atoms(NamedTuple):
    """Points ``(n, ambient)``, neighbours close in memory, and positive weights summing to 1."""

    points: Array
    weights: Array


def _atoms(measure: Measure) -> _Atoms:
    kept = measure.weights > 0
    points, weights = measure.points[kept], measure.weights[kept]
    order = _compact(points)
    return _Atoms(points[order], weights[order] / math.fsum(weights))


def _compact(points: Array) -> Index:
    """An order in which the atoms of every half, quarter, ... of the list lie close together: the
    cells of median cuts along one axis after the other.
    """
    n, dim = points.shape
    order, position = np.arange(n), np.arange(n)
    for level in range(math.ceil(math.log2(n))):
        cell = position * 2**level // n
        order = order[np.lexsort((points[order, level % dim], cell))]
    return order


# --- costs ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Cost:
    """d(x, y)^p."""

    manifold: Manifold
    p: int

    def pairs(self, X: Array, Y: Array, i: Index, j: Index) -> Array:
        """Of the pairs (x_i, y_j), ``(len(i),)``."""
        out = np.empty(len(i))
        _pair_costs(X, Y, i, j, period_of(self.manifold), self.p, out)
        return out

    def least(self, X: Array, Y: Array, v: Array, k: int) -> tuple[Array, Index]:
        """The k least d(x_i, y_j)^p - v_j for every i, increasing, and their j; ``(n, k)``."""
        size = max(8, math.isqrt(len(Y)))
        starts = np.arange(0, len(Y), size)
        centre, _ = _merged(self.manifold, _Atoms(Y, np.ones(len(Y))), size)
        every = np.arange(len(Y))
        lengths = _Cost(self.manifold, 1).pairs(Y, centre, every, every // size)
        ball = np.column_stack([np.maximum.reduceat(a, starts) for a in (lengths, v)])
        k = min(k, len(Y))
        value, index = np.empty((len(X), k)), np.empty((len(X), k), dtype=np.int64)

        def block(rows: slice) -> None:
            _least(X[rows], Y, v, centre, ball, size, period_of(self.manifold), self.p,
                   value[rows], index[rows])  # fmt: skip

        in_threads(block, blocks_of(len(X), 256))
        return value, index


@compiled
def _chord_squared(x: Array, y: Array, period: float) -> float:
    total = 0.0
    for k in range(len(x)):
        lag = x[k] - y[k]
        if period > 0:
            lag = abs(lag)
            lag = min(lag, period - lag)
        total += lag * lag
    return total


@compiled
def _length(x: Array, y: Array, squared: float, period: float) -> float:
    """The geodesic distance of two points with this squared chord."""
    if period > 0:
        return math.sqrt(squared)
    opposite = 0.0
    for k in range(len(x)):
        opposite += (x[k] + y[k]) ** 2
    return 2 * math.atan2(math.sqrt(squared), math.sqrt(opposite))


@compiled
def _pair_costs(
    X: Array, Y: Array, i: Index, j: Index, period: float, p: int, out: Array
) -> None:
    for r in range(len(i)):
        x, y = X[i[r]], Y[j[r]]
        out[r] = _length(x, y, _chord_squared(x, y, period), period) ** p


@compiled
def _least(
    X: Array, Y: Array, v: Array, centre: Array, ball: Array, size: int, period: float, p: int,
    value: Array, index: Index,
) -> None:  # fmt: skip
    """See `_Cost.least`: whole runs of ``size`` atoms in a ball (its radius, the largest v in it)
    are passed over where none can be among the k least.
    """
    last = 0
    for i in range(len(X)):
        value[i], index[i] = np.inf, 0
        x, best = X[i], value[i]
        for turn in range(len(centre) + 1):
            c = last if turn == 0 else turn - 1
            if turn > 0:
                if c == last:
                    continue
                gap = _length(x, centre[c], _chord_squared(x, centre[c], period), period)
                if max(0.0, gap - ball[c, 0]) ** p - ball[c, 1] > best[-1]:
                    continue
            for j in range(c * size, min(len(Y), (c + 1) * size)):
                squared = _chord_squared(x, Y[j], period)
                chord = squared if p == 2 else math.sqrt(squared)
                if chord - v[j] >= best[-1]:
                    continue
                new = _length(x, Y[j], squared, period) ** p - v[j]
                r = len(best) - 1
                if new >= best[r]:
                    continue
                while r > 0 and best[r - 1] > new:
                    best[r], index[i, r] = best[r - 1], index[i, r - 1]
                    r -= 1
                best[r], index[i, r] = new, j
        last = index[i, 0] // size


# --- the linear program ---------------------------------------------------------------------------


def _solved(cost: _Cost, mu: _Atoms, nu: _Atoms, gap: float) -> _Solution:
    """The program on the pairs that matter, until the bounds meet up to a relative gap."""
    n, m = len(mu.points), len(nu.points)
    if n * m <= _DENSE:
        pairs, v = np.arange(n * m), np.zeros(m)
    else:
        sizes = [_MERGED if len(a.points) > _SMALL else 1 for a in (mu, nu)]
        coarse = [_merged(cost.manifold, a, size) for a, size in zip((mu, nu), sizes, strict=True)]
        solution = _solved(cost, coarse[0], coarse[1], _COARSE_GAP)
        v = cost.least(nu.points, coarse[0].points, solution.u, 1)[0][:, 0]
        pairs = _split(solution, sizes, n, m)
    lower, upper, count = -math.inf, math.inf, 0
    for _ in range(_ROUNDS):
        value, near = cost.least(mu.points, nu.points, v, _NEAR)
        u = value[:, 0]
        value, back = cost.least(nu.points, mu.points, u, _NEAR)
        v = value[:, 0]
        lower = max(lower, float(mu.weights @ u + nu.weights @ v))
        new = (np.arange(n)[:, None] * m + near, back * m + np.arange(m)[:, None])
        pairs = np.unique(np.concatenate([pairs, *map(np.ravel, new)]))
        if upper - lower <= gap * lower or len(pairs) == count:
            break
        count = len(pairs)
        v, spent, used = _program(cost, mu, nu, pairs, (u, v))
        upper = min(upper, spent)
    return _Solution(Bracket(lower, upper), u, *np.divmod(used, m))


def _split(solution: _Solution, sizes: list[int], n: int, m: int) -> Index:
    """The pairs of the atoms that were merged in the pairs of a plan; they carry a plan, too."""
    i, j = (
        (which[:, None] * size + np.arange(size)).clip(max=last)
        for which, size, last in zip(
            (solution.i, solution.j), sizes, (n - 1, m - 1), strict=True
        )
    )
    return np.asarray(i[:, :, None] * m + j[:, None, :]).ravel()


def _program(
    cost: _Cost, mu: _Atoms, nu: _Atoms, pairs: Index, start: tuple[Array, Array]
) -> tuple[Array, float, Index]:
    """The potential v of nu on some pairs, numbered row by row, what a feasible plan costs, and
    the pairs that it uses.

    Mass that the plan leaves out, by round-off or for want of pairs, is charged the longest way.
    """
    X, Y = mu.points, nu.points
    i, j = np.divmod(pairs, len(Y))
    values = cost.pairs(X, Y, i, j)
    matrix = sparse.coo_array((values, (i, j)), shape=(len(X), len(Y)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a plan that is not optimal shows in the bounds
        plan, log = ot.emd(
            mu.weights, nu.weights, matrix, _PIVOTS, log=True, potentials_init=start
        )
    mass = np.asarray(plan.data)
    left_out = (
        np.abs(mu.weights - np.bincount(plan.row, mass, len(X))).sum()
        + np.abs(nu.weights - np.bincount(plan.col, mass, len(Y))).sum()
    )
    far = sum(float(cost.manifold.distance(X[:1], Z).max()) for Z in (X, Y))
    spent = mass @ cost.pairs(X, Y, plan.row, plan.col) + left_out * far**cost.p
    return np.asarray(log["v"]), float(spent), plan.row[mass > 0] * len(Y) + plan.col[mass > 0]


def _merged(manifold: Manifold, atoms: _Atoms, size: int = _MERGED) -> _Atoms:
    """Every ``size`` atoms one at their mean, with their weight."""
    starts = np.arange(0, len(atoms.points), size)
    weights = np.add.reduceat(atoms.weights, starts)
    moment = np.add.reduceat(atoms.weights[:, None] * atoms.points, starts)
    first = atoms.points[starts]
    return _Atoms(manifold.retract(first, moment / weights[:, None] - first), weights)
