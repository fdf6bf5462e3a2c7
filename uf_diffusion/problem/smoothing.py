"""Kernels that smooth points: von Mises and Fisher's on spheres, wrapped Gaussians on flat tori.

A kernel K(x, y) is a probability density of x for each point y. Its width is the standard deviation
of each coordinate, in the limit of small widths.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from uf_diffusion.core.arguments import finite_number
from uf_diffusion.core.arrays import Array
from uf_diffusion.core.errors import InputError
from uf_diffusion.problem.densities import LARGEST, VonMisesFisher
from uf_diffusion.problem.manifolds import FlatTorus, Manifold, Sphere

__all__ = ["FisherKernel", "GaussianKernel", "Kernel", "exponential_of", "kernel", "row_blocks",
           "summed", "widths"]  # fmt: skip

NARROWEST = 1e-6  # width, in radians or as a part of the period
WIDEST = 1e6  # width on spheres, where the kernel is constant up to 1e-12
NEGLIGIBLE = 40.0  # exp(-40) is below round-off
BLOCK = 2**17  # numbers in a block, so that it stays in the cache
COLUMNS = 512
SPARSEST = 8  # nodes of a lattice for each of those that are asked for, at most


class Kernel(Protocol):
    """What the smoothing of points needs to know about a kernel."""

    @property
    def peak(self) -> float:
        """K(y, y), per unit volume."""
        ...

    def exponents(self, x: Array, y: Array) -> Array:
        """log K(x, y) - log K(y, y) <= 0, ``(n, m)``, for ``(n, ambient)`` and ``(m, ambient)``."""
        ...

    def density(self, x: Array, y: Array, weights: Array) -> Array:
        """The values ``(n,)`` of sum_j weights_j K(x, y_j), for weights ``(m,)``."""
        ...

    def sample(self, y: Array, rng: np.random.Generator) -> Array:
        """Draw a point from K(., y) for each y; both ``(n, ambient)``."""
        ...


@dataclass(frozen=True)
class FisherKernel:
    """The density proportional to exp(x.y / width^2) on a sphere.

    Source: Fisher, Dispersion on a sphere, Proc. R. Soc. A 217 (1953); in every dimension
    Mardia and Jupp, Directional Statistics (2000), section 9.3.2.

    Attributes:
        manifold: the sphere.
        width: in radians.
    """

    manifold: Sphere
    width: float

    @property
    def concentration(self) -> float:
        """1 / width^2, the kappa of the density."""
        return self.width**-2

    @cached_property
    def peak(self) -> float:
        return VonMisesFisher(self.manifold).peak(self.concentration)

    def exponents(self, x: Array, y: Array) -> Array:
        kappa = self.concentration
        falls: Array = x @ (kappa * y).T
        falls -= kappa
        return np.minimum(falls, 0.0, out=falls)  # round-off may leave x.y above 1

    def density(self, x: Array, y: Array, weights: Array) -> Array:
        return summed(self, x, y, weights)

    def sample(self, y: Array, rng: np.random.Generator) -> Array:
        """Draw points about the first axis, and reflect this axis to each y."""
        from scipy.stats import vonmises_fisher  # takes longer to load than most of this package

        if not len(y) or self.concentration < 1e-8:
            return self.manifold.sample(len(y), rng)
        first = np.eye(1, self.manifold.ambient)
        law = vonmises_fisher(first[0], self.concentration)
        x = np.atleast_2d(law.rvs(len(y), random_state=rng))
        normal = first - y
        square = np.einsum("ij,ij->i", normal, normal)
        factor = 2 * np.einsum("ij,ij->i", normal, x) / np.where(square > 0, square, 1.0)
        return self.manifold.project(x - factor[:, None] * normal)


@dataclass(frozen=True)
class GaussianKernel:
    """The sum over all periods of a Gaussian, for each axis of a flat torus; and their product.

    Up to a ninth of a period the two nearest images are summed, since the others are below
    round-off; above it, the Fourier series, by the recurrence of Clenshaw. Source: Mardia and Jupp,
    Directional Statistics (2000), section 3.5.7.

    Attributes:
        manifold: the torus.
        width: the standard deviation of the Gaussian, at most a period.
    """

    manifold: FlatTorus
    width: float

    @property
    def _wide(self) -> bool:
        return 9 * self.width > self.manifold.period

    @cached_property
    def _series(self) -> Array:
        """The coefficients of cos(2 pi k x / period), times the period."""
        rate = 2 * (math.pi * self.width / self.manifold.period) ** 2
        count = math.ceil(math.sqrt(NEGLIGIBLE / rate))
        coefficient = 2 * np.exp(-rate * np.arange(count + 1) ** 2)
        coefficient[0] = 1.0
        return coefficient

    @cached_property
    def peak(self) -> float:
        narrow = 1 / (math.sqrt(2 * math.pi) * self.width)
        top = float(self._series.sum()) / self.manifold.period if self._wide else narrow
        return top**self.manifold.dim

    def exponents(self, x: Array, y: Array) -> Array:
        from uf_diffusion.problem import wrapped_loops  # numba takes long to load

        period, scale = self.manifold.period, 0.5 / self.width**2
        x, y = self.manifold.wrap(x), self.manifold.wrap(y)
        falls = np.zeros((len(x), len(y)))
        if self._wide:
            values = np.empty_like(falls)
            for a, b in zip(2 * math.pi / period * x.T, 2 * math.pi / period * y.T, strict=True):
                pairs = (np.cos(a), np.sin(a)), (np.cos(b), np.sin(b))
                wrapped_loops.cosine_series(*pairs, self._series, values)
                falls += np.log(values / self._series.sum())
        else:
            columns = np.ascontiguousarray(y.T)
            wrapped_loops.nearest_images(x, columns, period, scale, falls)
            wrapped_loops.add_second_images(x, columns, period, scale, NEGLIGIBLE, falls)
        return np.minimum(falls, 0.0, out=falls)

    def density(self, x: Array, y: Array, weights: Array) -> Array:
        """On a lattice a sum of products of one function for each axis, by products of matrices."""
        found = [np.unique(c, return_inverse=True) for c in self.manifold.wrap(x).T]
        shape = tuple(len(c) for c, _ in found)
        if len(shape) == 1 or math.prod(shape) > SPARSEST * len(x):
            return summed(self, x, y, weights)
        along = GaussianKernel(FlatTorus(1, self.manifold.period), self.width)
        total = np.zeros(shape)
        for part in row_blocks(len(y), max(*shape, math.prod(shape[:-1]))):
            front = weights[part]
            tables = [
                exponential_of(along.exponents(c[:, None], y[part, k, None]))
                for k, (c, _) in enumerate(found)
            ]
            for table in tables[:-1]:
                front = front[..., None, :] * table
            total += front @ tables[-1].T
        return self.peak * total[tuple(number for _, number in found)]

    def sample(self, y: Array, rng: np.random.Generator) -> Array:
        return self.manifold.wrap(y + self.width * rng.standard_normal(y.shape))


def widths(manifold: Manifold) -> tuple[float, float]:
    """The narrowest width whose kernel has a finite peak, and the widest one.

    Raises:
        InputError: for a manifold that is neither a sphere nor a flat torus.
    """
    if not isinstance(manifold, Sphere | FlatTorus):
        raise InputError("Density 'samples' lives on the circle, on spheres and on flat tori.")
    finite = math.exp(-LARGEST / manifold.dim) / math.sqrt(2 * math.pi)
    if isinstance(manifold, Sphere):
        return max(NARROWEST, finite), WIDEST
    return max(NARROWEST * manifold.period, finite), manifold.period


def kernel(manifold: Manifold, width: float) -> Kernel:
    """The kernel of a width on a sphere or a flat torus.

    Raises:
        InputError: for another manifold, or a width that is out of range.
    """
    finite_number("width", width, *widths(manifold))
    if isinstance(manifold, Sphere):
        return FisherKernel(manifold, float(width))
    assert isinstance(manifold, FlatTorus)
    return GaussianKernel(manifold, float(width))


def row_blocks(rows: int, columns: int) -> Iterator[slice]:
    """Slices of the rows of a table, each with a number of entries that stays in the cache."""
    step = max(1, BLOCK // columns)
    return (slice(k, k + step) for k in range(0, rows, step))


def exponential_of(exponents: Array) -> Array:
    """exp of exponents <= 0 of any shape, in place; exponents below -708 count as -708."""
    from uf_diffusion.core.compiled import exponential  # numba takes long to load

    exponential(exponents.reshape(-1))
    return exponents


def summed(kernel: Kernel, x: Array, y: Array, weights: Array) -> Array:
    """As `Kernel.density`, pair by pair."""
    total = np.zeros(len(x))
    for rows in row_blocks(len(x), COLUMNS):
        for columns in (slice(k, k + COLUMNS) for k in range(0, len(y), COLUMNS)):
            falls = kernel.exponents(x[rows], y[columns])
            total[rows] += exponential_of(falls) @ weights[columns]
    return kernel.peak * total
