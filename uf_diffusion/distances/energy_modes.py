"""Energy distances of densities as functions: no atoms stand for the densities.

On the circle, the sphere S^2 and flat tori minus the chord is a series in harmonics or waves e_k,
-|x - y| = sum_k kappa_k e_k(x) e_k(y) - c, with kappa_k >= 0 and the mean chord c. So the squared
energy distance of mu and nu is the sum of kappa_k (mu_k - nu_k)^2, where mu_k is the integral of
e_k against mu. An `Image` has these integrals up to a degree that a mesh resolves, and the squared
norm of the rest. The rest of atoms is exact, because their distance to the uniform density is a
finite sum. The rest of a density is left out; `EnergyModes.left_out` bounds it for the difference
of two densities. Atoms at the n nodes of a mesh, in contrast, are about 1 / n from the density that
they stand for on the circle, and n^(-3/4) in two dimensions.

On tori of two and more dimensions, where the energy distance of wrapped differences is no metric,
the chords are those of a product of circles.

Sources: the integral of |x - y| P_l over S^2 is -16 pi / ((2l - 1)(2l + 1)(2l + 3)); the Fourier
series of |sin(a / 2)| is 2 / pi - (4 / pi) sum_k cos(k a) / (4 k^2 - 1).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property, reduce
from typing import NamedTuple

import numpy as np
from scipy.fft import dctn

from uf_diffusion.core.arrays import Array
from uf_diffusion.distances.energy_distances import energy_distance, mean_distance, negative_type
from uf_diffusion.grids.base import Grid
from uf_diffusion.grids.quadrature import quadrature
from uf_diffusion.kernels.basis import Basis
from uf_diffusion.kernels.fourier import Fourier, ball
from uf_diffusion.kernels.spherical_harmonics import Harmonics
from uf_diffusion.problem.manifolds import Manifold

__all__ = ["EnergyModes", "Image"]

MOST = {1: 8192, 2: 256, 3: 32}  # largest degree, by dimension
INTERVALS = {2: 2048, 3: 128}  # of half an axis, for the waves of the chord on a torus


class Image(NamedTuple):
    """A measure as a point of the space in which the energy distance is a norm.

    Attributes:
        moments: the integrals of the e_k against the measure, ``(size,)``.
        rest: the squared norm beyond these e_k; 0 for a density.
        values: of a density, at the points of the quadrature, times the root of the weights.
    """

    moments: Array
    rest: float
    values: Array


class _Series(NamedTuple):
    """The series of the chord up to a degree.

    Attributes:
        basis: the e_k.
        kappa: their kappa_k, ``(size,)``.
        beyond: the largest kappa beyond them.
        mean: the mean chord c.
        norm: the integral of e_k^2 over the manifold.
    """

    basis: Basis
    kappa: Array
    beyond: float
    mean: float
    norm: float


@dataclass(frozen=True, eq=False)
class EnergyModes:
    """The energy distance on a manifold, in the coordinates of `Image`.

    Attributes:
        grid: a mesh of the manifold, the finest of those with densities to be compared.
    """

    grid: Grid

    @property
    def manifold(self) -> Manifold:
        """The circle, the sphere of dimension 2, or a torus of dimension 1 to 3."""
        manifold: Manifold = self.grid.manifold
        return manifold

    @property
    def name(self) -> str:
        """What the distance is called."""
        return "energy distance" + ("" if self._plain else " on a product of circles")

    @property
    def _plain(self) -> bool:
        return negative_type(self.manifold)

    @cached_property
    def _quadrature(self) -> tuple[Array, Array]:
        return quadrature(self.grid)

    @cached_property
    def _series(self) -> _Series:
        dim, length = self.manifold.dim, self.manifold.axes[0].length
        curved = dim > 1 and not self.manifold.period
        edge = self.grid.spacing / (1.0 if curved else math.sqrt(dim))  # not the diagonal
        degree = min(MOST[dim], max(1, int(length / (2 * edge) + 1e-9)))
        return _on_sphere(degree) if curved else _on_torus(self.manifold, degree)

    def densities(self, grid: Grid, density: Array) -> list[Image]:
        """The images of k densities on a mesh, each scaled to mass 1.

        Args:
            grid: the mesh.
            density: the values at its nodes, ``(k, nodes)``.
        """
        points, weights = self._quadrature
        numbers, basis = grid.basis(points)
        images = []
        for row in density:
            masses = (basis * row[numbers]).sum(axis=1) * weights
            masses /= masses.sum()
            moments = self._series.basis.moments(masses, points)
            images.append(Image(moments, 0.0, masses / np.sqrt(weights)))
        return images

    def atoms(self, points: Array, weights: Array) -> Image:
        """The image of atoms ``(n, ambient)`` with weights ``(n,)`` that sum to 1."""
        series, space = self._series, self.manifold if self._plain else None
        moments = series.basis.moments(weights, points)
        norm = series.mean - mean_distance(self._embedded(points), weights, space)
        return Image(moments, max(0.0, norm - float(series.kappa @ moments**2)), np.empty(0))

    def between(self, mu: Image, nu: Image) -> float:
        """The energy distance of a density to a density or to atoms."""
        squared = float(self._series.kappa @ (mu.moments - nu.moments) ** 2)
        return math.sqrt(squared + mu.rest + nu.rest)

    def left_out(self, mu: Image, nu: Image) -> float:
        """A bound of the part of the distance of two densities beyond the degree."""
        series = self._series
        inside = float(np.sum((mu.moments - nu.moments) ** 2)) / series.norm
        whole = float(np.sum((mu.values - nu.values) ** 2))
        return math.sqrt(series.beyond * series.norm * max(0.0, whole - inside))

    def between_atoms(self, X: Array, Y: Array, a: Array, b: Array) -> float:
        """The energy distance of atoms ``(n, ambient)`` and ``(m, ambient)``; exact."""
        space = self.manifold if self._plain else None
        return energy_distance(self._embedded(X), self._embedded(Y), a, b, space)

    def _embedded(self, points: Array) -> Array:
        """Points ``(n, ambient)``, on T^2 and T^3 those of the product of circles."""
        if self._plain:
            return points
        radius = self.manifold.axes[0].length / (2 * math.pi)
        angle = points / radius
        return radius * np.concatenate([np.cos(angle), np.sin(angle)], axis=-1)


def _on_sphere(degree: int) -> _Series:
    n = np.arange(degree + 2)
    kappa = 16 * math.pi / ((2 * n - 1) * (2 * n + 1) * (2.0 * n + 3))
    kappa[0] = 0.0
    basis = Harmonics(n[:-1])
    return _Series(basis, kappa[basis.degree_of], float(kappa[-1]), 4 / 3, 1.0)


def _on_torus(manifold: Manifold, degree: int) -> _Series:
    basis = Fourier(manifold, ball(manifold.dim, 0, degree))  # type: ignore[arg-type]
    table, mean = _waves(manifold, degree + 2)
    squares = reduce(np.add.outer, [np.arange(degree + 3) ** 2] * manifold.dim)
    beyond = float(table[squares > degree**2].max())
    return _Series(basis, basis.lookup(table), beyond, mean, manifold.volume)


def _waves(manifold: Manifold, degree: int) -> tuple[Array, float]:
    """The kappa of the waves (|k_1|, ..., |k_d|) up to a degree in each, and the mean chord."""
    length, dim = manifold.axes[0].length, manifold.dim
    k = np.arange(1, degree + 1, dtype=float)
    if dim == 1 and manifold.period:  # |x| up to half a period
        return np.append(0.0, np.where(k % 2, length / (math.pi * k) ** 2, 0.0)), length / 4
    if dim == 1:
        return np.append(0.0, 4 / math.pi / (4 * k**2 - 1)), 4 / math.pi
    n = INTERVALS[dim]
    across = (length / math.pi * np.sin(math.pi / (2 * n) * np.arange(n + 1))) ** 2
    table = dctn(np.sqrt(reduce(np.add.outer, [across] * dim)), type=1) / (2 * n) ** dim
    mean, table[(0,) * dim] = float(table[(0,) * dim]), 0.0
    return -table[(slice(0, degree + 1),) * dim], mean
