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
from typing import NamedTuple

import numpy as np
from scipy import sparse

from uf_diffusion.core.arrays import Array, Index
from uf_diffusion.distances.circle_wasserstein import wasserstein_circle
from uf_diffusion.distances.measures import Measure, require_one_manifold
from uf_diffusion.distances.pair_loops import least_costs, over_rows, pair_costs
from uf_diffusion.problem.manifolds import Manifold

__all__ = ["Bracket", "wasserstein"]

_SMALL = 600  # atoms that are not merged; with so many on both sides all pairs are taken
_MERGED = 4  # atoms that become one, at least
_NEAR = 8  # pairs of least reduced cost taken for each atom
_ROUNDS = 20  # of adding pairs
_LARGE = 5e12  # `_work` of a program that is not solved, about 10 seconds
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

    Raises:
        InputError: for measures on different manifolds.
    """
    require_one_manifold(mu, nu)
    manifold = mu.manifold
    if len(manifold.axes) == 1:
        turn = manifold.axes[0].length / (2 * math.pi)
        x, y = (manifold.chart(measure.points)[:, 0] / turn for measure in (mu, nu))
        exact = turn * wasserstein_circle(x, y, mu.weights, nu.weights, p)
        return Bracket(exact, exact)
    lower, upper = _solved(_Cost(manifold, p), _atoms(mu), _atoms(nu), _GAP).bounds
    return Bracket(max(0.0, lower) ** (1 / p), max(0.0, lower, upper) ** (1 / p))


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
    """An order in which the atoms of each of the `_cells` lie close together: every cell is cut at
    the median of the coordinate in which it is longest.
    """
    n = len(points)
    order = np.arange(n)
    for level in range(math.ceil(math.log2(n))):
        cells = _cells(n, 2**level)
        x = points[order]
        length = np.maximum.reduceat(x, cells[:-1]) - np.minimum.reduceat(x, cells[:-1])
        cell = np.repeat(np.arange(len(length)), np.diff(cells))
        order = order[np.lexsort((x[np.arange(n), length.argmax(axis=1)[cell]], cell))]
    return order


def _cells(n: int, count: int) -> Index:
    """Where runs of nearly equal length of n atoms start and end, ``(count + 1,)``: one atom each
    for count >= n; for powers of two below, those of one consist of those of the next.
    """
    return -(-n * np.arange(count + 1) // count) if count < n else np.arange(n + 1)


def _power_of_two(x: float) -> int:
    """The largest that is no more than x."""
    return int(2 ** math.floor(math.log2(x)))


def _merged(manifold: Manifold, atoms: _Atoms, count: int) -> _Atoms:
    """The atoms of each of the `_cells` as one, at their mean or at the first of them."""
    starts = _cells(len(atoms.points), count)[:-1]
    weights = np.add.reduceat(atoms.weights, starts)
    moment = np.add.reduceat(atoms.weights[:, None] * atoms.points, starts)
    first = atoms.points[starts]
    with np.errstate(divide="ignore", invalid="ignore"):  # opposite points have no mean
        mean = manifold.retract(first, moment / weights[:, None] - first)
    return _Atoms(np.where(np.isfinite(mean), mean, first), weights)


# --- costs ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Cost:
    """d(x, y)^p."""

    manifold: Manifold
    p: int

    def pairs(self, X: Array, Y: Array, i: Index, j: Index) -> Array:
        """Of the pairs (x_i, y_j), ``(len(i),)``."""
        out = np.empty(len(i))
        pair_costs(X, Y, i, j, self.manifold.period, self.p, out)
        return out

    def least(self, X: Array, Y: Array, v: Array, k: int) -> tuple[Array, Index]:
        """The k least d(x_i, y_j)^p - v_j for every i, increasing, and their j; ``(n, k)``."""
        cells = _cells(len(Y), _power_of_two(math.sqrt(len(Y))))
        centre, _ = _merged(self.manifold, _Atoms(Y, np.ones(len(Y))), len(cells) - 1)
        every, cell = np.arange(len(Y)), np.repeat(np.arange(len(centre)), np.diff(cells))
        lengths = _Cost(self.manifold, 1).pairs(Y, centre, every, cell)
        ball = np.column_stack([np.maximum.reduceat(a, cells[:-1]) for a in (lengths, v)])
        k, period = min(k, len(Y)), self.manifold.period
        value, index = np.empty((len(X), k)), np.empty((len(X), k), dtype=np.int64)

        def block(rows: slice) -> None:
            least_costs(
                X[rows], Y, v, cells, centre, ball, period, self.p, value[rows], index[rows]
            )

        over_rows(block, len(X), len(Y))
        return value, index


# --- the linear program ---------------------------------------------------------------------------


@dataclass(frozen=True)
class _Plan:
    """Mass moved from i to j, ``(k,)`` each; perhaps not all of it."""

    i: Index
    j: Index
    mass: Array

    def spent(self, cost: _Cost, mu: _Atoms, nu: _Atoms) -> float:
        """What a coupling costs that this plan is part of: mass that it leaves out, by round-off
        or for want of pairs, is charged the longest way.
        """
        left_out = sum(
            np.abs(atoms.weights - np.bincount(where, self.mass, len(atoms.weights))).sum()
            for where, atoms in ((self.i, mu), (self.j, nu))
        )
        far = sum(cost.manifold.distance(mu.points[:1], a.points).max() for a in (mu, nu))
        own = self.mass @ cost.pairs(mu.points, nu.points, self.i, self.j)
        return float(own + left_out * far**cost.p)


class _Solution(NamedTuple):
    """Bounds of W_p^p, the potential ``(n,)`` of mu, and a plan."""

    bounds: Bracket
    u: Array
    plan: _Plan


def _solved(cost: _Cost, mu: _Atoms, nu: _Atoms, gap: float) -> _Solution:
    """The program on the pairs that matter, until the bounds meet up to a relative gap; too large
    for that, the bounds that merged atoms give.
    """
    n, m = len(mu.points), len(nu.points)
    plan, v = _beginning(cost, mu, nu)
    lower, upper = -math.inf, plan.spent(cost, mu, nu)
    pairs, count = plan.i * m + plan.j, 0
    for turn in range(_ROUNDS + 1):
        value, near = cost.least(mu.points, nu.points, v, _NEAR)
        u = value[:, 0]
        value, back = cost.least(nu.points, mu.points, u, _NEAR)
        v = value[:, 0]
        lower = max(lower, float(mu.weights @ u + nu.weights @ v))
        new = (np.arange(n)[:, None] * m + near, back * m + np.arange(m)[:, None])
        pairs = np.sort(np.concatenate([pairs, *map(np.ravel, new)]))
        pairs = pairs[np.append(True, np.diff(pairs) > 0)]  # np.unique would hash: six times slower
        enough = upper - lower <= gap * lower or len(pairs) == count
        if enough or _work(n, m) > _LARGE or turn == _ROUNDS:
            break
        count = len(pairs)
        plan, v = _program(cost, mu, nu, pairs, (u, v))
        upper = min(upper, plan.spent(cost, mu, nu))
    return _Solution(Bracket(lower, upper), u, plan)


def _beginning(cost: _Cost, mu: _Atoms, nu: _Atoms) -> tuple[_Plan, Array]:
    """A plan, and a potential v of nu: those of merged atoms, or all pairs of a few atoms."""
    n, m = len(mu.points), len(nu.points)
    if n * m <= _SMALL**2:
        return _Plan(*np.divmod(np.arange(n * m), m), np.zeros(n * m)), np.zeros(m)
    counts = _merged_counts(n, m)
    coarse = [_merged(cost.manifold, a, k) for a, k in zip((mu, nu), counts, strict=True)]
    solution = _solved(cost, coarse[0], coarse[1], _COARSE_GAP)
    v = cost.least(nu.points, coarse[0].points, solution.u, 1)[0][:, 0]
    return _split(solution.plan, mu, nu, counts), v


def _merged_counts(n: int, m: int) -> tuple[int, int]:
    """How many atoms either side has once they are merged."""
    if _work(n, m) <= _LARGE:
        r, s = (k if k <= _SMALL else _power_of_two(k / _MERGED) for k in (n, m))
        return r, s
    r, s = n, m
    while _work(r, s) > _LARGE:
        r, s = (_power_of_two(r - 1), s) if r >= s else (r, _power_of_two(s - 1))
    return r, s


def _work(n: int, m: int) -> float:
    """What the time of a program grows with, as measured; one is 2e-12 seconds."""
    return float(n) * m * (n + m)


def _program(
    cost: _Cost, mu: _Atoms, nu: _Atoms, pairs: Index, start: tuple[Array, Array]
) -> tuple[_Plan, Array]:
    """The plan on some pairs, numbered row by row, and the potential v of nu."""
    import ot  # which loads much that is not needed here

    i, j = np.divmod(pairs, len(nu.points))
    values = cost.pairs(mu.points, nu.points, i, j)
    matrix = sparse.coo_array((values, (i, j)), shape=(len(mu.points), len(nu.points)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a plan that is not optimal shows in the bounds
        plan, log = ot.emd(mu.weights, nu.weights, matrix, _PIVOTS, log=True, potentials_init=start)
    used = plan.data > 0
    return _Plan(plan.row[used], plan.col[used], plan.data[used]), np.asarray(log["v"])


def _split(plan: _Plan, mu: _Atoms, nu: _Atoms, counts: tuple[int, int]) -> _Plan:
    """A plan of merged atoms as one of the atoms themselves: all with all that they became."""
    (i, a), (j, b) = (
        _parts(which, atoms.weights, count)
        for which, atoms, count in zip((plan.i, plan.j), (mu, nu), counts, strict=True)
    )
    mass = plan.mass[:, None, None] * a[:, :, None] * b[:, None, :]
    i, j = np.broadcast_to(i[:, :, None], mass.shape), np.broadcast_to(j[:, None, :], mass.shape)
    kept = mass > 0
    return _Plan(i[kept], j[kept], mass[kept])


def _parts(merged: Index, weights: Array, count: int) -> tuple[Index, Array]:
    """The atoms that some merged ones stand for, one of ``count`` each, and their shares of the
    weight, ``(len(merged), largest cell)``; shares of 0 fill the rows.
    """
    cells = _cells(len(weights), count)
    atom = cells[merged][:, None] + np.arange(np.diff(cells).max())
    inside = atom < cells[merged + 1][:, None]
    share = np.where(inside, weights[np.where(inside, atom, 0)], 0.0)
    return atom, share / share.sum(axis=1, keepdims=True)
