"""Densities of discrete measures at the nodes of a mesh, by convolution with a kernel."""

from __future__ import annotations

import numpy as np

from uf_diffusion.core.arrays import Array
from uf_diffusion.distances.measures import Measure
from uf_diffusion.distances.pair_loops import gaussian_sums, over_rows
from uf_diffusion.distances.teacher_mesh import TeacherMesh
from uf_diffusion.problem.manifolds import Manifold

__all__ = ["kernel_sums", "smoothed"]

_NOTHING = 1e-280  # densities below count as 0, since `exponential` never gives less than 1e-308


def smoothed(mu: Measure, background: TeacherMesh, bandwidth: float) -> Array:
    """The density ``(nodes,)`` of a measure convolved with exp(-|x - y|^2 / (2 bandwidth^2)).

    |x - y| is the chord. The kernel around each atom is scaled to mass 1 on the mesh, so the
    density has mass 1; for a small bandwidth the kernel is close to the heat kernel at time
    bandwidth^2 / 2. Values below 1e-280 are replaced by 0.

    Args:
        mu: the measure.
        background: the mesh.
        bandwidth: in the manifold's unit of length.
    """
    manifold, nodes = mu.manifold, background.grid.nodes
    mass = kernel_sums(manifold, mu.points, nodes, background.volume, bandwidth)
    density = kernel_sums(manifold, nodes, mu.points, mu.weights / mass, bandwidth)
    return np.where(density > _NOTHING, density, 0.0)


def kernel_sums(manifold: Manifold, X: Array, Y: Array, weights: Array, bandwidth: float) -> Array:
    """sum_j weights_j exp(-|x_i - y_j|^2 / (2 bandwidth^2)) ``(n,)``, where |x - y| is the chord.

    Args:
        manifold: where the points lie.
        X, Y: points ``(n, ambient)``, ``(m, ambient)``; on a torus with coordinates in one period.
        weights: ``(m,)``.
        bandwidth: in the manifold's unit of length.
    """
    columns, out, factor = np.ascontiguousarray(Y.T), np.empty(len(X)), -0.5 / bandwidth**2

    def block(rows: slice) -> None:
        gaussian_sums(X[rows], columns, weights, manifold.period, factor, out[rows])

    over_rows(block, len(X), len(Y))
    return out
