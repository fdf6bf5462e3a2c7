"""The product K w of a stiffness matrix, computed from the fluxes between neighbours."""

from __future__ import annotations

from mpi4py import MPI

import numpy as np
from petsc4py import PETSc

from uf_diffusion.core.arrays import Array
from uf_diffusion.core.compiled import compiled
from uf_diffusion.diffusion.halos import Compact, Entries, Triangle, halo_of, reduced, triangle

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
        halo, triangle: the exchange between ranks, and this rank's entries of K.
    """

    def __init__(self, K: PETSc.Mat) -> None:
        starts, columns, entries = K.getValuesCSR()
        self.halo = halo_of(K, columns)
        self.triangle = triangle(starts, columns, entries, self.halo)
        below, inner, lower, rows, ghosts, couplings = self.triangle
        once = self.halo.ghosts[ghosts - self.halo.owned] > rows + self.halo.first
        self._edges = Triangle(below, inner, lower, rows[once], ghosts[once], couplings[once])
        self._w, self._result = np.zeros((2, 0 if self.halo.alone else self.halo.size))
        off = max(part.max(initial=0.0) for part in (self._edges.entries, self._edges.couplings))
        extremes = np.array([off, np.abs(entries).max(initial=0.0)])
        positive, largest = reduced(extremes, K.comm.tompi4py(), MPI.MAX)
        self.monotone = bool(positive <= 1e-12 * largest)

    def __call__(self, w: Array) -> Array:
        """The values of K w at the owned nodes, from those of w, both ``(owned,)``."""
        n = len(w)
        if self.halo.alone:
            result = np.empty(n)
            _fluxes(*self._edges, w, result)
            return result
        self._w[:n] = w
        self.halo.spread(self._w)
        _fluxes(*self._edges, self._w, self._result)
        self.halo.collect(self._result)
        return self._result[:n].copy()


@compiled
def _fluxes(
    starts: Compact, columns: Compact, entries: Entries,
    rows: Compact, ghosts: Compact, couplings: Entries, w: Array, result: Array,
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
