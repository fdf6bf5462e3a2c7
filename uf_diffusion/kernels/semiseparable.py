"""Semiseparable kernels of n points on a line, of rank r: all costs are linear in n.

For points in increasing order  K_ij = U_i . P_ij V_j  if j is not after i, and K is symmetric. The
generators U_i and V_i are vectors of length r. P_ij transports the first two coordinates from point
j to i,  (a, b) -> e^-d (a, b + d a),  where d is their distance divided by the kernel's length; it
does not change the others. Kernels that decay need this, since e^-d = e^-x e^y would overflow.

With this form the product K v takes one forward and one backward sweep over the points, and
K + diag(shift) has a factorisation L D L^T with L = I + tril(U W^T), computed in one sweep
(Foreman-Mackey, Agol, Ambikasaran, Angus, Astron. J. 154, 2017). Nothing is approximated.
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
    """The generators of points in increasing order, or derivatives of the generators.

    Attributes:
        later: U, ``(n, r)``.
        earlier: V, ``(n, r)``.
    """

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
    """The product K x, ``(n,)``.

    Args:
        g: the generators of the kernel.
        lag: the scaled distance of each point from the one before it, ``(n,)``; 0 if the kernel
            does not decay.
        x: ``(n,)``.
        rows: the generators of the rows, if they differ, such as derivatives in the first point.
    """
    rows = rows or g
    return _products(g.later, g.earlier, lag, rows.later, rows.earlier, x)


@compiled
def _factorise(U: Array, V: Array, lag: Array, shift: Array, W: Array, D: Array) -> bool:
    n, r = U.shape
    S = np.zeros((r, r))  # V^T (K + shift)^-1 V for the points so far
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
    """The factorisation K + diag(shift) = (I + tril(U W^T)) D (I + tril(U W^T))^T.

    Attributes:
        later: U, ``(n, r)``.
        weights: W, ``(n, r)``.
        pivots: the diagonal of D, ``(n,)``.
        lag: as in `products`.
    """

    later: Array
    weights: Array
    pivots: Array
    lag: Array

    def solve(self, b: Array) -> Array:
        """The solution (K + diag(shift))^-1 b, ``(n,)``."""
        return _solve(self.later, self.weights, self.pivots, self.lag, b)


def factorise(g: Generators, lag: Array, shift: Array) -> Factor:
    """The factorisation of K + diag(shift).

    Args:
        g, lag: as in `products`.
        shift: positive, ``(n,)``.

    Raises:
        RunFailure: if the shift is lost in the round-off of K.
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
    """Fixed points z_j with weights x_j, whose potential sum_j K(., z_j) x_j can be evaluated.

    Args:
        position: the points in increasing order, ``(n,)``.
        g: the generators of the points.
        rate: the factor that scales distances; 0 if the kernel does not decay.
        x: the weights, ``(n,)``.
    """

    def __init__(self, position: Array, g: Generators, rate: float, x: Array) -> None:
        self._position, self._rate = position, rate
        shape = (len(position) + 1, g.later.shape[1])
        self._before, self._after = np.zeros(shape), np.zeros(shape)
        lag = rate * np.diff(position, prepend=position[0])
        _states(g.later, g.earlier, lag, x, self._before, self._after)

    def potential(self, position: Array, rows: Generators) -> Array:
        """The potential, or its derivative, at increasing positions, ``(m,)``.

        Args:
            position: ``(m,)``.
            rows: the generators there for the potential, their derivatives for its derivative.
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
