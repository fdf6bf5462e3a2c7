"""Kernels of points on a line whose two halves have small rank: all costs are linear in n.

For points in increasing order  K_ij = U_i . P_ij V_j  where j is not after i, and K is symmetric.
U_i and V_i are vectors of length r; P_ij carries the first two coordinates from point j to i over
the distance d, scaled by the kernel's length:  (a, b) -> e^-d (a, b + d a),  and leaves the others.
(A kernel that decays needs this: e^(-d) as a product e^-x e^y would overflow.)

Then K v takes one sweep forward and one backward, and K + diag(shift) has a Cholesky factor
L D L^T, L = I + tril(U W^T), of the same form, found in one sweep (Foreman-Mackey, Agol,
Ambikasaran, Angus, Astron. J. 154, 2017). Nothing is approximated.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from uf_diffusion.core.arrays import Array
from uf_diffusion.core.compiled import compiled
from uf_diffusion.kernels.dense import singular

__all__ = ["Factor", "Generators", "Sources", "factorise", "products"]


@dataclass(frozen=True)
class Generators:
    """U and V, ``(n, r)`` each, of points in increasing order, or their derivatives."""

    later: Array
    earlier: Array


@compiled
def _forward(state: Array, lag: float) -> None:
    if lag > 0:
        decay = math.exp(-lag)
        state[1] = decay * (state[1] + lag * state[0])
        state[0] *= decay


@compiled
def _backward(state: Array, lag: float) -> None:
    if lag > 0:
        decay = math.exp(-lag)
        state[0] = decay * (state[0] + lag * state[1])
        state[1] *= decay


@compiled
def _products(U: Array, V: Array, lag: Array, A: Array, B: Array, x: Array) -> Array:
    n, r = U.shape
    y = np.empty(n)
    state = np.zeros(r)
    for i in range(n):
        _forward(state, lag[i])
        total = 0.0
        for k in range(r):
            state[k] += V[i, k] * x[i]
            total += A[i, k] * state[k]
        y[i] = total
    state[:] = 0.0
    for i in range(n - 1, -1, -1):
        total = 0.0
        for k in range(r):
            total += B[i, k] * state[k]
            state[k] += U[i, k] * x[i]
        y[i] += total
        _backward(state, lag[i])
    return y


def products(g: Generators, lag: Array, x: Array, rows: Generators | None = None) -> Array:
    """K x, ``(n,)``.

    Args:
        g: the kernel.
        lag: distances from the points before, ``(n,)``; zero where nothing decays.
        x: ``(n,)``.
        rows: generators of the rows if they differ, such as the derivatives in the first point.
    """
    rows = rows or g
    return _products(g.later, g.earlier, lag, rows.later, rows.earlier, x)


@compiled
def _factorise(U: Array, V: Array, lag: Array, shift: Array, W: Array, D: Array) -> bool:
    n, r = U.shape
    S = np.zeros((r, r))  # V^T (K + shift)^-1 V of the points so far
    SU = np.empty(r)
    for i in range(n):
        if lag[i] > 0:
            for k in range(r):
                _forward(S[:, k], lag[i])
            for k in range(r):
                _forward(S[k], lag[i])
        pivot = shift[i]
        for k in range(r):
            total = 0.0
            for m in range(r):
                total += S[k, m] * U[i, m]
            SU[k] = total
            pivot += (V[i, k] - total) * U[i, k]
        if not pivot > 0:
            return False
        D[i] = pivot
        for k in range(r):
            W[i, k] = (V[i, k] - SU[k]) / pivot
        for k in range(r):
            row = pivot * W[i, k]
            for m in range(r):
                S[k, m] += row * W[i, m]
    return True


@compiled
def _solve(U: Array, W: Array, D: Array, lag: Array, b: Array) -> Array:
    n, r = U.shape
    x = np.empty(n)
    state = np.zeros(r)
    for i in range(n):
        _forward(state, lag[i])
        total = b[i]
        for k in range(r):
            total -= U[i, k] * state[k]
        x[i] = total
        for k in range(r):
            state[k] += W[i, k] * total
    state[:] = 0.0
    for i in range(n - 1, -1, -1):
        total = x[i] / D[i]
        for k in range(r):
            total -= W[i, k] * state[k]
        x[i] = total
        for k in range(r):
            state[k] += U[i, k] * total
        _backward(state, lag[i])
    return x


@dataclass(frozen=True)
class Factor:
    """K + diag(shift) = (I + tril(U W^T)) D (I + tril(U W^T))^T."""

    later: Array
    weights: Array
    pivots: Array
    lag: Array

    def solve(self, b: Array) -> Array:
        """(K + diag(shift))^-1 b, ``(n,)``."""
        return _solve(self.later, self.weights, self.pivots, self.lag, b)


def factorise(g: Generators, lag: Array, shift: Array) -> Factor:
    """The Cholesky factor of K + diag(shift).

    Raises:
        RunFailure: where the shift is lost in round-off.
    """
    weights, pivots = np.empty_like(g.later), np.empty(len(lag))
    if not _factorise(g.later, g.earlier, lag, shift, weights, pivots):
        raise singular()
    return Factor(g.later, weights, pivots, lag)


@compiled
def _states(U: Array, V: Array, lag: Array, x: Array, before: Array, after: Array) -> None:
    n, r = U.shape
    for i in range(n):
        before[i + 1] = before[i]
        _forward(before[i + 1], lag[i])
        for k in range(r):
            before[i + 1, k] += V[i, k] * x[i]
    for i in range(n - 1, -1, -1):
        after[i] = after[i + 1]
        if i + 1 < n:
            _backward(after[i], lag[i + 1])
        for k in range(r):
            after[i, k] += U[i, k] * x[i]


@compiled
def _potential(
    A: Array, B: Array, position: Array, sources: Array, rate: float, before: Array, after: Array
) -> Array:
    n, r = A.shape
    y = np.empty(n)
    state, count, last = np.empty(r), 0, len(sources)
    for i in range(n):
        while count < last and sources[count] <= position[i]:
            count += 1
        total = 0.0
        state[:] = before[count]
        if count > 0:
            _forward(state, rate * (position[i] - sources[count - 1]))
        for k in range(r):
            total += A[i, k] * state[k]
        state[:] = after[count]
        if count < last:
            _backward(state, rate * (sources[count] - position[i]))
        for k in range(r):
            total += B[i, k] * state[k]
        y[i] = total
    return y


class Sources:
    """Fixed points of weights x, and the potential sum_j K(., z_j) x_j that they make anywhere.

    Args:
        position: the points in increasing order, ``(n,)``.
        g: their generators.
        rate: one over the length by which distances are scaled; 0 where nothing decays.
        x: ``(n,)``.
    """

    def __init__(self, position: Array, g: Generators, rate: float, x: Array) -> None:
        self._position, self._rate = position, rate
        shape = (len(position) + 1, g.later.shape[1])
        self._before, self._after = np.zeros(shape), np.zeros(shape)
        lag = rate * np.diff(position, prepend=position[0])
        _states(g.later, g.earlier, lag, x, self._before, self._after)

    def potential(self, position: Array, rows: Generators) -> Array:
        """The potential at increasing points ``(m,)`` with generators ``rows``, or what they give
        of it, such as its derivative.
        """
        return _potential(
            rows.later,
            rows.earlier,
            position,
            self._position,
            self._rate,
            self._before,
            self._after,
        )
