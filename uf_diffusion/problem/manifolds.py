"""The feature spaces: spheres in their embedding, flat tori in their chart.

A manifold is a small frozen value. Points are rows of an ``(n, ambient)`` array: unit vectors of
R^(dim+1) on a sphere, chart coordinates in [-period/2, period/2)^dim on a torus. All lengths are
dimensionless; the spheres have radius 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Protocol, runtime_checkable

import numpy as np
from scipy.spatial.distance import cdist

from uf_diffusion.errors import InputError

__all__ = ["Array", "Circle", "FlatTorus", "Manifold", "Sphere"]

Array = np.ndarray[Any, np.dtype[np.float64]]


@runtime_checkable
class Manifold(Protocol):
    """What the PDE, the network and the distances need to know of a closed manifold."""

    @property
    def dim(self) -> int: ...
    @property
    def ambient(self) -> int:
        """Number of coordinates of a point."""
        ...

    @property
    def volume(self) -> float: ...
    @property
    def spectral_gap(self) -> float:
        """Smallest non-zero eigenvalue of the Laplace-Beltrami operator."""
        ...

    def sample(self, n: int, rng: np.random.Generator) -> Array:
        """``(n, ambient)`` independent uniform points."""
        ...

    def even(self, n: int) -> Array:
        """``(n, ambient)`` evenly spread points, free of sampling noise."""
        ...

    def retract(self, x: Array, v: Array) -> Array:
        """The points reached from ``x`` along the ambient vectors ``v``; both ``(n, ambient)``."""
        ...

    def tangent(self, x: Array, v: Array) -> Array:
        """Orthogonal projection of ``v`` onto the tangent spaces at ``x``."""
        ...

    def distance(self, x: Array, y: Array) -> Array:
        """Geodesic distances, ``(n, ambient), (m, ambient) -> (n, m)``."""
        ...

    def chord(self, x: Array, y: Array) -> Array:
        """Distances of the energy distance's kernel, ``(n, m)``: in the embedding of a sphere,
        of the wrapped differences on a torus."""
        ...


@dataclass(frozen=True)
class Sphere:
    """The unit sphere S^dim in R^(dim+1)."""

    dim: int = 2

    def __post_init__(self) -> None:
        if self.dim < 1:
            raise InputError(f"problem.dim must be at least 1 on a sphere, not {self.dim}.")

    @property
    def ambient(self) -> int:
        return self.dim + 1

    @property
    def volume(self) -> float:
        half = (self.dim + 1) / 2
        return 2 * math.pi**half / math.gamma(half)

    @property
    def spectral_gap(self) -> float:
        return float(self.dim)

    def sample(self, n: int, rng: np.random.Generator) -> Array:
        return self.project(rng.standard_normal((n, self.ambient)))

    def even(self, n: int) -> Array:
        """Equally spaced angles on S^1, the Fibonacci lattice on S^2.

        Raises:
            InputError: for dim > 2, where no such lattice is provided.
        """
        i = np.arange(n) + 0.5
        if self.dim == 1:
            angle = -math.pi + 2 * math.pi * i / n
            return np.column_stack([np.cos(angle), np.sin(angle)])
        if self.dim == 2:
            z, angle = 1 - 2 * i / n, math.pi * (1 + math.sqrt(5)) * i
            r = np.sqrt(1 - z * z)
            return np.column_stack([r * np.cos(angle), r * np.sin(angle), z])
        raise InputError(
            f"Even placement is available on spheres of dimension 1 and 2, not {self.dim}."
        )

    def project(self, x: Array) -> Array:
        """The nearest points of the sphere."""
        return x / np.linalg.norm(x, axis=1, keepdims=True)

    def retract(self, x: Array, v: Array) -> Array:
        return self.project(x + v)

    def tangent(self, x: Array, v: Array) -> Array:
        return v - np.einsum("ij,ij->i", x, v)[:, None] * x

    def distance(self, x: Array, y: Array) -> Array:
        # accurate for near and for opposite points alike, unlike arccos
        return np.asarray(2 * np.arctan2(cdist(x, y), cdist(x, -y)))

    def chord(self, x: Array, y: Array) -> Array:
        return np.asarray(cdist(x, y))


@dataclass(frozen=True)
class Circle(Sphere):
    """The unit circle S^1 in R^2; angles are in radians, in [-pi, pi)."""

    dim: int = 1

    def __post_init__(self) -> None:
        if self.dim != 1:
            raise InputError(f"problem.dim must be 1 on the circle, not {self.dim}.")

    def points(self, angle: Array) -> Array:
        """The points ``(n, 2)`` at given angles ``(n,)`` or ``(n, 1)``."""
        angle = np.ravel(angle)
        return np.column_stack([np.cos(angle), np.sin(angle)])

    def angles(self, x: Array) -> Array:
        """The angles ``(n, 1)`` of points ``(n, 2)``."""
        return np.arctan2(x[:, 1], x[:, 0])[:, None]

    def half_sine_squared(self, x: Any, centre: Array, xp: ModuleType = np) -> list[Any]:
        """sin^2 of half the angle to ``centre`` (an angle), for coordinates ``x[0], x[1]``."""
        angle = float(np.squeeze(centre))
        return [0.5 - 0.5 * (math.cos(angle) * x[0] + math.sin(angle) * x[1])]


@dataclass(frozen=True)
class FlatTorus:
    """The flat torus of ``dim`` axes, each of length ``period``."""

    dim: int = 2
    period: float = 1.0

    def __post_init__(self) -> None:
        if self.dim < 1:
            raise InputError(f"problem.dim must be at least 1 on a torus, not {self.dim}.")
        if not (math.isfinite(self.period) and self.period > 0):
            raise InputError(f"problem.period must be positive, not {self.period}.")

    @property
    def ambient(self) -> int:
        return self.dim

    @property
    def volume(self) -> float:
        return self.period**self.dim

    @property
    def spectral_gap(self) -> float:
        return (2 * math.pi / self.period) ** 2

    def sample(self, n: int, rng: np.random.Generator) -> Array:
        return self.period * (rng.random((n, self.dim)) - 0.5)

    def even(self, n: int) -> Array:
        """The cell centres of a cubic lattice.

        Raises:
            InputError: unless ``n`` is a ``dim``-th power.
        """
        k = round(n ** (1 / self.dim))
        if k**self.dim != n:
            raise InputError(
                f"Even placement on a torus of dimension {self.dim} needs a {self.dim}-th power "
                f"of points: {n} is not one, {k**self.dim} is."
            )
        axis = self.period * ((np.arange(k) + 0.5) / k - 0.5)
        return np.stack(np.meshgrid(*[axis] * self.dim, indexing="ij"), -1).reshape(n, self.dim)

    def wrap(self, x: Array) -> Array:
        """The representative in [-period/2, period/2)."""
        return x - self.period * np.floor(x / self.period + 0.5)

    def retract(self, x: Array, v: Array) -> Array:
        return self.wrap(x + v)

    def tangent(self, x: Array, v: Array) -> Array:
        return v

    def distance(self, x: Array, y: Array) -> Array:
        squared = np.zeros((len(x), len(y)))
        for a, b in zip(x.T, y.T, strict=True):
            squared += self.wrap(a[:, None] - b[None, :]) ** 2
        return np.sqrt(squared)

    def chord(self, x: Array, y: Array) -> Array:
        return self.distance(x, y)

    def points(self, angle: Array) -> Array:
        """The points ``(n, dim)`` at given angles ``(n, dim)``, one turn a period."""
        return self.wrap(np.asarray(angle) * self.period / (2 * math.pi))

    def angles(self, x: Array) -> Array:
        """The angles ``(n, dim)`` of points ``(n, dim)``."""
        return np.asarray(x) * (2 * math.pi / self.period)

    def half_sine_squared(self, x: Any, centre: Array, xp: ModuleType = np) -> list[Any]:
        """sin^2 of half the angle to ``centre`` (a point), axis by axis."""
        half_turn = math.pi / self.period
        return [
            xp.sin(half_turn * (x[k] - float(c))) ** 2 for k, c in enumerate(np.ravel(centre))
        ]
