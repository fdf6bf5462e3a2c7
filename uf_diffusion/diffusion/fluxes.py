"""The product K w of a stiffness matrix, computed from the fluxes between neighbours."""

from __future__ import annotations

import numpy as np
from petsc4py import PETSc

from uf_diffusion.core.arrays import Array, Index
from uf_diffusion.core.compiled import compiled
from uf_diffusion.diffusion.halos import Halo, halo_of

__all__ = ["FluxForm"]


class FluxForm:
    """The product K w, computed as the sum of K_ij (w_j - w_i) over the neighbours j.

    Near equilibrium these differences have smaller round-off than a matrix-vector product, and the
    fluxes cancel in pairs, so that mass is conserved. Every flux is computed once, by the rank that
    owns the node with the higher number, except between ranks, where it is the one with the lower.

    Args:
        K: the stiffness matrix, symmetric with K 1 = 0.

    Attributes:
        monotone: whether K has no positive entry off the diagonal.
    """

    def __init__(self, K: PETSc.Mat) -> None:
        starts, columns, entries = K.getValuesCSR()
        self._halo = halo_of(K, columns)
        n, first = self._halo.owned, self._halo.first
        row = np.repeat(np.arange(n, dtype=columns.dtype), np.diff(starts))
        local = self._halo.local(columns)
        below, across = local < row, (local >= n) & (columns > row + first)
        below &= entries != 0
        starts = np.append(0, np.cumsum(np.bincount(row[below], minlength=n)))
        self._edges = (
            starts.astype(np.uint32), local[below].astype(np.uint32), entries[below],
            row[across].astype(np.uint32), local[across].astype(np.uint32), entries[across],
        )  # fmt: skip
        self._w, self._result = np.zeros((2, 0 if self._halo.alone else self._halo.size))
        off = entries[local != row]
        extremes = np.array([off.max(initial=0.0), np.abs(entries).max(initial=0.0)])
        positive, largest = np.max(K.comm.tompi4py().allgather(extremes), axis=0)
        self.monotone = bool(positive <= 1e-12 * largest)

    def __call__(self, w: Array) -> Array:
        """The values of K w at the owned nodes, from those of w, both ``(owned,)``."""
        n = len(w)
        if self._halo.alone:
            result = np.empty(n)
            _fluxes(*self._edges, w, result)
            return result
        self._w[:n] = w
        self._halo.spread(self._w)
        _fluxes(*self._edges, self._w, self._result)
        self._halo.collect(self._result)
        return self._result[:n].copy()


@compiled
def _fluxes(
    starts: Index, columns: Index, entries: Array,
    rows: Index, ghosts: Index, couplings: Array, w: Array, result: Array,
) -> None:  # fmt: skip
    for i in range(len(starts) - 1):
        value, total = w[i], 0.0
        for e in range(starts[i], starts[i + 1]):
            flux = entries[e] * (w[columns[e]] - value)
            total += flux
            result[columns[e]] -= flux
        result[i] = total
    result[len(starts) - 1 :] = 0.0
    for e in range(len(rows)):
        flux = couplings[e] * (w[ghosts[e]] - w[rows[e]])
        result[rows[e]] += flux
        result[ghosts[e]] -= flux
