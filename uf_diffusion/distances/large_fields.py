"""Energy distances of networks to fields that no rank has as a whole.

Each rank reads pieces of the field and contributes its sums. It needs the memory of two pieces, on
S^2 also that of the harmonics, and on lattices that of its share of the nodes at one time. The
distances are those of `energy_distance_series` up to round-off, without a sum over all pairs of
nodes: on a lattice this is a convolution, and on S^2 a sum over harmonics and one over near pairs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy import fft

from uf_diffusion.core import mpi
from uf_diffusion.core.arrays import Array, Complex
from uf_diffusion.core.mpi import Share
from uf_diffusion.core.threads import blocks_of
from uf_diffusion.distances.energy_distances import cross_distance, mean_distance
from uf_diffusion.distances.near_and_far import NearAndFar, Neighbours
from uf_diffusion.grids.lattice import Lattice
from uf_diffusion.kernels.spherical_harmonics import harmonic_sums, power_spectrum
from uf_diffusion.problem.manifolds import Manifold

__all__ = ["Field", "field_energy_distances"]

PIECE = 2**20  # nodes of a piece


@dataclass(frozen=True)
class Field:
    """Masses at the nodes of a mesh at k times, of which every range of nodes can be read.

    Attributes:
        manifold: the manifold.
        count: the number of nodes.
        points: the nodes in a range, ``(m, ambient)``.
        masses: their masses at one of the times, ``(m,)``; all masses together may differ from 1.
    """

    manifold: Manifold
    count: int
    points: Callable[[slice], Array]
    masses: Callable[[slice, int], Array]

    @property
    def share(self) -> Share:
        """How the nodes are distributed, though each rank reads its own pieces."""
        return Share(self.count, split=True)

    @property
    def own(self) -> list[slice]:
        """The pieces that this rank reads."""
        return blocks_of(self.count, PIECE)[mpi.rank() :: mpi.size()]


def field_energy_distances(field: Field, X: Array, a: Array) -> Array | None:
    """As `energy_distance_series`, to a field; call it on all ranks.

    Args:
        field: the field.
        X: the networks' points at its k times, ``(k, n, ambient)``.
        a: weights of these points, ``(n,)``, the same for all k.

    Returns:
        The distances ``(k,)`` on all ranks. None if the nodes are neither those of a lattice nor on
        S^2, as those of elements of higher degree on tori.
    """
    times = range(len(X))
    lattice = _lattice(field)
    if lattice is None and (field.manifold.period or field.manifold.dim != 2):
        return None
    total = field.share.sum(
        np.array([sum(field.masses(w, q).sum() for w in field.own) for q in times])
    )
    if lattice is None:
        parts = NearAndFar.of(field.count, len(X))
        squared = _far(field, X, a, parts, total) - _near(field, X, a, parts, total)
    else:
        cross = np.zeros(len(X))
        for where in field.own:
            Y = field.points(where)
            cross += [cross_distance(X[q], Y, a, field.masses(where, q), field.manifold)
                      for q in times]  # fmt: skip
        own = [mean_distance(x, a, field.manifold) for x in X]
        squared = 2 * field.share.sum(cross) / total - own - _on_lattice(field, lattice, total)
    return np.sqrt(np.maximum(0.0, squared))


# --- lattices -------------------------------------------------------------------------------------


def _lattice(field: Field) -> Lattice | None:
    """The lattice of which the field has the nodes, in the same order."""
    manifold, n = field.manifold, round(field.count ** (1 / field.manifold.dim))
    if n**manifold.dim != field.count or not (manifold.period or manifold.dim == 1):
        return None
    lattice, off = Lattice(manifold, n), 0.0  # type: ignore[arg-type]
    for where in field.own:
        nodes = lattice.nodes_at(np.arange(where.start, where.stop))
        off = max(off, float(np.abs(field.points(where) - nodes).max()))
    return lattice if mpi.highest(off) <= 1e-9 * lattice.axis else None


def _on_lattice(field: Field, lattice: Lattice, total: Array) -> Array:
    """The mean distances ``(k,)`` of two nodes: the waves of the distance times squared waves."""
    width = field.count // lattice.per_axis
    rows = Share(lattice.per_axis, split=True).rows
    own = slice(rows.start * width, rows.stop * width)
    pieces = [slice(own.start + w.start, own.start + w.stop)
              for w in blocks_of(own.stop - own.start, PIECE)]  # fmt: skip
    first = lattice.nodes_at(np.zeros(1, dtype=int))
    chord = [field.manifold.chord(first, field.points(where))[0] for where in pieces]
    waves = _waves(lattice, np.concatenate(chord)).real
    sums = [np.vdot(waves, np.abs(_waves(lattice, field.masses(own, q))) ** 2)
            for q in range(len(total))]  # fmt: skip
    return field.share.sum(np.array(sums)) / field.count / total**2


def _waves(lattice: Lattice, values: Array) -> Complex:
    """This rank's columns of the discrete Fourier transform of the values at its rows of nodes.

    In one dimension rank 0 has the only column.
    """
    rows = values.reshape(-1, *(lattice.shape[1:] or (1,)))
    across = fft.fftn(rows, axes=tuple(range(1, rows.ndim)))
    columns: Complex = np.concatenate(mpi.exchanged(np.array_split(across, mpi.size(), axis=1)))
    return np.asarray(fft.fft(columns, axis=0, overwrite_x=True)) if columns.size else columns


# --- the sphere -----------------------------------------------------------------------------------


def _far(field: Field, X: Array, a: Array, parts: NearAndFar, total: Array) -> Array:
    """Minus the double integrals ``(k,)`` of F against network minus field."""
    found = np.empty(len(X))
    for q, x in enumerate(X):
        own = np.zeros((parts.degree + 1) * (parts.degree + 2) // 2, dtype=complex)
        for where in field.own:
            own += harmonic_sums(field.masses(where, q), field.points(where), parts.degree)
        signed = harmonic_sums(a, x, parts.degree) - field.share.sum(own) / total[q]
        found[q] = -(parts.eigenvalues @ power_spectrum(signed))
    return found


def _near(field: Field, X: Array, a: Array, parts: NearAndFar, total: Array) -> Array:
    """The double integrals ``(k,)`` of the chord less F against network minus field."""

    def read(where: slice) -> Neighbours:
        masses = [field.masses(where, q) / total[q] for q in range(len(X))]
        return Neighbours.of(parts, field.points(where), np.array(masses))

    pieces, found = blocks_of(field.count, PIECE), np.zeros(len(X))
    networks = [Neighbours.of(parts, x, a[None]) for x in X]
    for j in range(mpi.rank(), len(pieces), mpi.size()):
        here = read(pieces[j])
        found += here.sums(here)
        for q, network in enumerate(networks):
            one = replace(here, masses=here.masses[:, q : q + 1])
            found[q] -= 2 * network.sums(one)[0]
        for step in range(1, len(pieces) // 2 + 1):  # so that all ranks have as many pairs
            weight = 1 if 2 * step == len(pieces) else 2
            found += weight * here.sums(read(pieces[(j + step) % len(pieces)]))
    own = np.concatenate([network.sums(network) for network in networks])
    return np.asarray(field.share.sum(found) + own)
