"""W_1 and W_2 for the geodesic distance, with certified lower and upper bounds.

In one dimension the distance is exact. Elsewhere it is the value of a linear program with an
unknown for every pair of atoms. With the potentials u and v of the dual program, only pairs with a
small reduced cost d^p - u - v matter. So the program is solved on few pairs, starting with the
potentials of the same problem for merged atoms. The least reduced costs over *all* pairs then give
a lower bound; while it is below the cost of the plan, the pairs that attain them are added.
Sources: Gerber and Maggioni, J. Mach. Learn. Res. 18 (2017), for merging; Schmitzer, SIAM J. Sci.
Comput. 38 (2016), for small sets of pairs.
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

_SMALL = 600  # atoms are merged above this number; up to its square all pairs are used
_MERGED = 4  # merging divides the number of atoms at least by this
_NEAR = 8  # number of pairs of least reduced cost that are added for each atom
_ROUNDS = 20  # how many times pairs are added at most
_LARGE = 5e12  # programs with more `_work` than this are not solved; it takes about 10 seconds
_GAP = 1e-9  # relative gap between the bounds of W_p^p at which the search ends
_COARSE_GAP = 1e-3  # the same for merged atoms
_PIVOTS = 10**7  # iterations of the network simplex method at most


class Bracket(NamedTuple):
    """A lower and an upper bound of a distance."""

    lower: float
    upper: float


def wasserstein(mu: Measure, nu: Measure, p: int) -> Bracket:
    """Bounds of W_p, the p-th root of the least integral of d(x, y)^p over couplings of mu, nu.

    The two bounds are equal in one dimension, and mostly agree to a relative 1e-9 elsewhere.

    Args:
        mu, nu: measures on the same manifold.
        p: 1 or 2.

    Returns:
        The bounds, in the manifold's unit of length.

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
    """Points ``(n, ambient)``, sorted by `_compact`, and positive weights summing to 1."""

    points: Array
    weights: Array


def _atoms(measure: Measure) -> _Atoms:
    kept = measure.weights > 0
    points, weights = measure.points[kept], measure.weights[kept]
    order = _compact(points)
    return _Atoms(points[order], weights[order] / math.fsum(weights))


def _compact(points: Array) -> Index:
    """An order in which the atoms of each of the `_cells` lie close together in space.

    Every cell is cut at the median of the coordinate in which it is longest.
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
    """Bounds ``(count + 1,)`` that divide n atoms into cells of nearly equal numbers of atoms.

    For count >= n every cell has one atom. For powers of two the cells are nested.
    """
    return -(-n * np.arange(count + 1) // count) if count < n else np.arange(n + 1)


def _power_of_two(x: float) -> int:
    """The largest power of two that is not above x."""
    return int(2 ** math.floor(math.log2(x)))


def _merged(manifold: Manifold, atoms: _Atoms, count: int) -> _Atoms:
    """One atom for each of the `_cells`, at the mean of its atoms, or at its first atom."""
    starts = _cells(len(atoms.points), count)[:-1]
    weights = np.add.reduceat(atoms.weights, starts)
    moment = np.add.reduceat(atoms.weights[:, None] * atoms.points, starts)
    first = atoms.points[starts]
    with np.errstate(divide="ignore", invalid="ignore"):  # opposite points have no mean: NaN
        mean = manifold.retract(first, moment / weights[:, None] - first)
    return _Atoms(np.where(np.isfinite(mean), mean, first), weights)


# --- costs ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Cost:
    """The cost d(x, y)^p."""

    manifold: Manifold
    p: int

    def pairs(self, X: Array, Y: Array, i: Index, j: Index) -> Array:
        """The costs of the pairs (x_i, y_j), ``(len(i),)``."""
        out = np.empty(len(i))
        pair_costs(X, Y, i, j, self.manifold.period, self.p, out)
        return out

    def least(self, X: Array, Y: Array, v: Array, k: int) -> tuple[Array, Index]:
        """The k smallest d(x_i, y_j)^p - v_j for every i, increasing, and their j; ``(n, k)``."""
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
    """Masses moved from atoms i to atoms j, ``(k,)`` each; some mass may be left out."""

    i: Index
    j: Index
    mass: Array

    def spent(self, cost: _Cost, mu: _Atoms, nu: _Atoms) -> float:
        """An upper bound of the cost of a coupling that contains this plan.

        Mass that the plan leaves out, because of round-off or missing pairs, is charged with the
        largest possible distance.
        """
        left_out = sum(
            np.abs(atoms.weights - np.bincount(where, self.mass, len(atoms.weights))).sum()
            for where, atoms in ((self.i, mu), (self.j, nu))
        )
        far = sum(cost.manifold.distance(mu.points[:1], a.points).max() for a in (mu, nu))
        own = self.mass @ cost.pairs(mu.points, nu.points, self.i, self.j)
        return float(own + left_out * far**cost.p)


class _Solution(NamedTuple):
    """Bounds of W_p^p, the dual potential ``(n,)`` of mu, and a plan."""

    bounds: Bracket
    u: Array
    plan: _Plan


def _solved(cost: _Cost, mu: _Atoms, nu: _Atoms, gap: float) -> _Solution:
    """Solve the program on few pairs and add pairs until the relative gap is reached.

    Programs that are too large for this get the bounds that the merged atoms give.
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
        pairs = pairs[np.append(True, np.diff(pairs) > 0)]  # six times faster than np.unique
        enough = upper - lower <= gap * lower or len(pairs) == count
        if enough or _work(n, m) > _LARGE or turn == _ROUNDS:
            break
        count = len(pairs)
        plan, v = _program(cost, mu, nu, pairs, (u, v))
        upper = min(upper, plan.spent(cost, mu, nu))
    return _Solution(Bracket(lower, upper), u, plan)


def _beginning(cost: _Cost, mu: _Atoms, nu: _Atoms) -> tuple[_Plan, Array]:
    """An initial plan and a potential v of nu: from merged atoms, or all pairs of a few atoms."""
    n, m = len(mu.points), len(nu.points)
    if n * m <= _SMALL**2:
        return _Plan(*np.divmod(np.arange(n * m), m), np.zeros(n * m)), np.zeros(m)
    counts = _merged_counts(n, m)
    coarse = [_merged(cost.manifold, a, k) for a, k in zip((mu, nu), counts, strict=True)]
    solution = _solved(cost, coarse[0], coarse[1], _COARSE_GAP)
    v = cost.least(nu.points, coarse[0].points, solution.u, 1)[0][:, 0]
    return _split(solution.plan, mu, nu, counts), v


def _merged_counts(n: int, m: int) -> tuple[int, int]:
    """The numbers of atoms of mu and nu after merging."""
    if _work(n, m) <= _LARGE:
        r, s = (k if k <= _SMALL else _power_of_two(k / _MERGED) for k in (n, m))
        return r, s
    r, s = n, m
    while _work(r, s) > _LARGE:
        r, s = (_power_of_two(r - 1), s) if r >= s else (r, _power_of_two(s - 1))
    return r, s


def _work(n: int, m: int) -> float:
    """A number to which the time of a program is proportional, in units of 2e-12 s (measured)."""
    return float(n) * m * (n + m)


def _program(
    cost: _Cost, mu: _Atoms, nu: _Atoms, pairs: Index, start: tuple[Array, Array]
) -> tuple[_Plan, Array]:
    """The optimal plan on some pairs, numbered row by row, and the potential v of nu."""
    import ot  # only here, because the import takes long

    i, j = np.divmod(pairs, len(nu.points))
    values = cost.pairs(mu.points, nu.points, i, j)
    matrix = sparse.coo_array((values, (i, j)), shape=(len(mu.points), len(nu.points)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # if a plan is not optimal, the bounds show it
        plan, log = ot.emd(mu.weights, nu.weights, matrix, _PIVOTS, log=True, potentials_init=start)
    used = plan.data > 0
    return _Plan(plan.row[used], plan.col[used], plan.data[used]), np.asarray(log["v"])


def _split(plan: _Plan, mu: _Atoms, nu: _Atoms, counts: tuple[int, int]) -> _Plan:
    """Turn a plan of merged atoms into a plan of the atoms themselves.

    Each mass is distributed over all pairs of atoms of the two cells, in proportion to the weights.
    """
    (i, a), (j, b) = (
        _parts(which, atoms.weights, count)
        for which, atoms, count in zip((plan.i, plan.j), (mu, nu), counts, strict=True)
    )
    mass = plan.mass[:, None, None] * a[:, :, None] * b[:, None, :]
    i, j = np.broadcast_to(i[:, :, None], mass.shape), np.broadcast_to(j[:, None, :], mass.shape)
    kept = mass > 0
    return _Plan(i[kept], j[kept], mass[kept])


def _parts(merged: Index, weights: Array, count: int) -> tuple[Index, Array]:
    """The atoms in some of ``count`` cells, and their shares of the cell's weight.

    Both have shape ``(len(merged), largest cell)``; smaller cells are filled up with shares of 0.
    """
    cells = _cells(len(weights), count)
    atom = cells[merged][:, None] + np.arange(np.diff(cells).max())
    inside = atom < cells[merged + 1][:, None]
    share = np.where(inside, weights[np.where(inside, atom, 0)], 0.0)
    return atom, share / share.sum(axis=1, keepdims=True)
