"""The feature spaces: spheres and flat tori.

A manifold is a small frozen value. Points are rows of an ``(n, ambient)`` array: unit vectors of
R^(dim+1) on a sphere, chart coordinates in [-period/2, period/2)^dim on a torus. All lengths are
dimensionless; the spheres have radius 1.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from types import ModuleType
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from scipy.spatial.distance import cdist

from uf_diffusion.core.arguments import whole_number
from uf_diffusion.core.arrays import Array
from uf_diffusion.core.errors import InputError
from uf_diffusion.core.wording import shown

__all__ = ["NOWHERE", "Axis", "Circle", "Embedded", "FlatTorus", "Manifold", "Sphere",
           "sphere_volume"]  # fmt: skip

NOWHERE: Any = None  # stands for the manifold of a density or of features that has none yet
MOST_AXES = 100  # largest dimension of a sphere or a torus, for which volumes do not underflow


class Axis(NamedTuple):
    """A coordinate of a chart: its label, and the ends ``low`` and ``high`` of its range."""

    label: str
    low: float
    high: float

    @property
    def length(self) -> float:
        """The length high - low of the range."""
        return self.high - self.low


@runtime_checkable
class Manifold(Protocol):
    """What the PDE, the network and the distances need to know about a closed manifold."""

    @property
    def dim(self) -> int: ...
    @property
    def ambient(self) -> int:
        """The number of coordinates of a point."""
        ...

    @property
    def volume(self) -> float: ...
    @property
    def spectral_gap(self) -> float:
        """The smallest non-zero eigenvalue of the negative Laplace-Beltrami operator."""
        ...

    def first_harmonic(self, x: Any, xp: ModuleType = np) -> Any:
        """An eigenfunction for `spectral_gap` with maximum 1, at coordinates ``x[0], ...``."""
        ...

    @property
    def axes(self) -> tuple[Axis, ...]:
        """The coordinates of a volume-preserving chart; empty where none is provided."""
        ...

    @property
    def period(self) -> float:
        """The length of an axis of a torus; 0 on spheres, where `chord` is the distance in R^n.

        Raises:
            InputError: on other manifolds, where no such distance is known.
        """
        ...

    @property
    def antipodal(self) -> bool:
        """Whether -x is a point of the manifold for every point x."""
        ...

    def chart(self, x: Array) -> Array:
        """The chart coordinates ``(n, len(axes))`` of points ``(n, ambient)``."""
        ...

    def unchart(self, c: Array) -> Array:
        """The points ``(n, ambient)`` with chart coordinates ``(n, len(axes))``."""
        ...

    def sample(self, n: int, rng: np.random.Generator) -> Array:
        """Draw ``n`` independent points ``(n, ambient)`` from the uniform density."""
        ...

    def even(self, n: int) -> Array:
        """``n`` evenly spread points ``(n, ambient)``, which are not random.

        Raises:
            InputError: if no such placement is known, or not for this number of points.
        """
        ...

    def even_count(self, n: int) -> int:
        """The largest number of points up to ``n`` that `even` can place."""
        ...

    def retract(self, x: Array, v: Array) -> Array:
        """The points reached from ``x`` along the ambient vectors ``v``; both ``(n, ambient)``."""
        ...

    def tangent(self, x: Array, v: Array) -> Array:
        """The projection of ``v`` onto the tangent spaces at ``x``; both ``(n, ambient)``."""
        ...

    def distance(self, x: Array, y: Array) -> Array:
        """The geodesic distances ``(n, m)`` from ``x`` ``(n, ambient)`` to ``y`` ``(m, ambient)``.

        Raises:
            InputError: if they are not known.
        """
        ...

    def chord(self, x: Array, y: Array) -> Array:
        """The distances ``(n, m)`` that the energy distance uses.

        They are distances in R^ambient on a sphere, and geodesic distances on a torus.
        """
        ...


class Embedded(ABC):
    """A base class for closed manifolds in R^ambient.

    A subclass defines ``dim``, ``ambient``, ``volume``, ``spectral_gap``, `first_harmonic` and the
    abstract methods. What it does not define beyond that follows from its projection, or raises an
    `InputError` when it is used.
    """

    antipodal = False

    @property
    def axes(self) -> tuple[Axis, ...]:
        return ()

    @property
    def period(self) -> float:
        raise InputError(f"Distances are measured on spheres and flat tori, not on {self}.")

    @abstractmethod
    def project(self, x: Array) -> Array:
        """The nearest points of the manifold to points of R^ambient; both ``(n, ambient)``."""

    @abstractmethod
    def tangent(self, x: Array, v: Array) -> Array:
        """As `Manifold.tangent`."""

    @abstractmethod
    def sample(self, n: int, rng: np.random.Generator) -> Array:
        """As `Manifold.sample`."""

    def retract(self, x: Array, v: Array) -> Array:
        return self.project(x + v)

    def towards(self, x: Array, y: Array) -> Array:
        """Tangent vectors at x that point to points y near them; all ``(n, ambient)``."""
        return self.tangent(x, y - x)

    def chord(self, x: Array, y: Array) -> Array:
        return np.asarray(cdist(x, y))

    def chart(self, x: Array) -> Array:
        raise InputError(f"No chart of {self} is known.")

    def unchart(self, c: Array) -> Array:
        raise InputError(f"No chart of {self} is known.")

    def even(self, n: int) -> Array:
        raise InputError(f"No even placement on {self} is known; use 'random'.")

    def even_count(self, n: int) -> int:
        return n

    def distance(self, x: Array, y: Array) -> Array:
        raise InputError(f"The geodesic distance on {self} is not known.")


def sphere_volume(dim: int) -> float:
    """The volume of the unit sphere S^dim; S^0 is two points, of volume 2."""
    half = (dim + 1) / 2
    return float(2 * math.pi**half / math.gamma(half))


@dataclass(frozen=True)
class Sphere(Embedded):
    """The unit sphere S^dim in R^(dim+1).

    Raises:
        InputError: unless ``dim`` is a whole number from 1 to 100.
    """

    dim: int = 2
    antipodal = True
    period = 0.0

    def __post_init__(self) -> None:
        whole_number("problem.dim", self.dim, 1, MOST_AXES)

    @property
    def ambient(self) -> int:
        return self.dim + 1

    @property
    def volume(self) -> float:
        return sphere_volume(self.dim)

    @property
    def spectral_gap(self) -> float:
        return float(self.dim)

    def first_harmonic(self, x: Any, xp: ModuleType = np) -> Any:
        return x[0]

    def sample(self, n: int, rng: np.random.Generator) -> Array:
        return self.project(rng.standard_normal((n, self.ambient)))

    @property
    def axes(self) -> tuple[Axis, ...]:
        """Longitude and height on S^2 (Lambert's cylindrical projection); empty for dim > 2."""
        if self.dim != 2:
            return ()
        return Axis("longitude (radians)", -math.pi, math.pi), Axis("height $z$", -1.0, 1.0)

    def chart(self, x: Array) -> Array:
        return np.column_stack([np.arctan2(x[:, 1], x[:, 0]), x[:, 2]])

    def unchart(self, c: Array) -> Array:
        r = np.sqrt(1 - c[:, 1] ** 2)
        return np.column_stack([r * np.cos(c[:, 0]), r * np.sin(c[:, 0]), c[:, 1]])

    def even(self, n: int) -> Array:
        """Equally spaced angles on S^1, and the Fibonacci lattice on S^2; ``(n, ambient)``.

        Raises:
            InputError: for dim > 2.
        """
        whole_number("The number of points", n, 1)
        i = np.arange(n) + 0.5
        if self.dim == 1:
            return Circle().unchart(2 * math.pi * i / n - math.pi)
        if self.dim == 2:
            z, angle = 1 - 2 * i / n, math.pi * (1 + math.sqrt(5)) * i
            r = np.sqrt(1 - z * z)
            return np.column_stack([r * np.cos(angle), r * np.sin(angle), z])
        raise InputError(
            f"Even placement is available on spheres of dimension 1 and 2, not {self.dim}."
        )

    def project(self, x: Array) -> Array:
        return np.asarray(x / np.linalg.norm(x, axis=1, keepdims=True))

    def tangent(self, x: Array, v: Array) -> Array:
        return np.asarray(v - np.einsum("ij,ij->i", x, v)[:, None] * x)

    def distance(self, x: Array, y: Array) -> Array:
        # unlike arccos, this is accurate both for near and for opposite points
        return np.asarray(2 * np.arctan2(cdist(x, y), cdist(x, -y)))


@dataclass(frozen=True)
class Circle(Sphere):
    """The unit circle S^1 in R^2; angles are in radians, in [-pi, pi)."""

    dim: int = 1

    def __post_init__(self) -> None:
        if self.dim != 1:
            raise InputError(f"problem.dim must be 1 on the circle, not {self.dim}.")

    @property
    def axes(self) -> tuple[Axis, ...]:
        return (Axis("angle (radians)", -math.pi, math.pi),)

    def chart(self, x: Array) -> Array:
        return np.arctan2(x[:, 1], x[:, 0])[:, None]

    def unchart(self, c: Array) -> Array:
        angle = np.ravel(c)
        return np.column_stack([np.cos(angle), np.sin(angle)])

    def uncharted(self, x: Array, v: Array) -> Array:
        """The tangent vectors ``(n, 2)`` at points ``(n, 2)`` with chart velocities ``(n, 1)``."""
        return v * np.column_stack([-x[:, 1], x[:, 0]])

    def half_sine_squared(self, x: Any, centre: Array, xp: ModuleType = np) -> list[Any]:
        """sin^2 of half the angle between the points ``x[0], x[1]`` and the angle ``centre``."""
        angle = float(np.squeeze(centre))
        return [0.5 - 0.5 * (math.cos(angle) * x[0] + math.sin(angle) * x[1])]


@dataclass(frozen=True)
class FlatTorus:
    """The flat torus with ``dim`` axes, each of length ``period``.

    Raises:
        InputError: for a dimension, a period or a volume that is out of range.
    """

    dim: int = 2
    period: float = 1.0
    antipodal = False  # only the constrained equation on spheres uses opposite points

    def __post_init__(self) -> None:
        whole_number("problem.dim", self.dim, 1, MOST_AXES)
        if not (isinstance(self.period, int | float) and 0 < self.period < math.inf):
            raise InputError(
                f"problem.period must be positive and finite, not {shown(self.period)}."
            )
        if not abs(self.dim * math.log10(self.period)) <= 100:
            raise InputError(
                f"problem.period = {self.period:g} gives a torus of dimension {self.dim} a volume "
                "that is not between 1e-100 and 1e100."
            )

    @property
    def ambient(self) -> int:
        return self.dim

    @property
    def volume(self) -> float:
        return self.period**self.dim

    @property
    def spectral_gap(self) -> float:
        return (2 * math.pi / self.period) ** 2

    def first_harmonic(self, x: Any, xp: ModuleType = np) -> Any:
        return xp.cos(2 * math.pi / self.period * x[0])

    def sample(self, n: int, rng: np.random.Generator) -> Array:
        return self.period * (rng.random((n, self.dim)) - 0.5)

    def even(self, n: int) -> Array:
        """The cell centres ``(n, dim)`` of a cubic lattice.

        Raises:
            InputError: unless ``n`` is a ``dim``-th power.
        """
        whole_number("The number of points", n, 1)
        k = round(n ** (1 / self.dim))
        if k**self.dim != n:
            raise InputError(
                f"Even placement on a torus of dimension {self.dim} needs a {self.dim}-th power "
                f"of points: {n} is not one, {k**self.dim} is."
            )
        axis = self.period * ((np.arange(k) + 0.5) / k - 0.5)
        return np.stack(np.meshgrid(*[axis] * self.dim, indexing="ij"), -1).reshape(n, self.dim)

    def even_count(self, n: int) -> int:
        k = math.floor(n ** (1 / self.dim) + 1e-9)
        return int(k**self.dim)

    def wrap(self, x: Array) -> Array:
        """The representatives in [-period/2, period/2) of coordinates of any shape."""
        return x - self.period * np.floor(x / self.period + 0.5)

    def retract(self, x: Array, v: Array) -> Array:
        return self.wrap(x + v)

    def towards(self, x: Array, y: Array) -> Array:
        """The shortest vectors from points x to y; all ``(n, ambient)``."""
        return self.wrap(y - x)

    def tangent(self, x: Array, v: Array) -> Array:
        return v

    def distance(self, x: Array, y: Array) -> Array:
        squared = np.zeros((len(x), len(y)))
        for a, b in zip(x.T, y.T, strict=True):
            squared += self.wrap(a[:, None] - b[None, :]) ** 2
        return np.sqrt(squared)

    def chord(self, x: Array, y: Array) -> Array:
        return self.distance(x, y)

    @property
    def axes(self) -> tuple[Axis, ...]:
        half = self.period / 2
        return tuple(Axis(f"$x_{k + 1}$", -half, half) for k in range(self.dim))

    def chart(self, x: Array) -> Array:
        return np.asarray(x)

    def unchart(self, c: Array) -> Array:
        return self.wrap(np.asarray(c))

    def uncharted(self, x: Array, v: Array) -> Array:
        """The tangent vectors at points for chart velocities, which are the same on a torus."""
        return v

    def half_sine_squared(self, x: Any, centre: Array, xp: ModuleType = np) -> list[Any]:
        """sin^2 of half the angle to the point ``centre``, for each axis; a period is a turn."""
        half_turn = math.pi / self.period
        return [xp.sin(half_turn * (x[k] - float(c))) ** 2 for k, c in enumerate(np.ravel(centre))]
