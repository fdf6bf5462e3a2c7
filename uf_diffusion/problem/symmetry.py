"""Densities on spheres that are symmetric about an axis: the angle to it, and the angle's law.

Let e be a unit vector of R^(d+1). A density on S^d is symmetric about e if it depends only on the
height s = e.omega = cos(theta), where theta is the angle between e and omega. The points with one
angle are a ring, a sphere of dimension d - 1 and radius sin(theta). A meridian is half of a great
circle from e to -e; it meets each ring once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import betainc

from uf_diffusion.core.arguments import reals
from uf_diffusion.core.arrays import Array
from uf_diffusion.core.errors import InputError
from uf_diffusion.core.wording import shown
from uf_diffusion.problem.manifolds import Axis, Embedded, Sphere, sphere_volume

if TYPE_CHECKING:
    from uf_diffusion.problem.densities import Density

__all__ = ["AngleLaw", "Meridian", "axis_of", "require_symmetric", "unit_axis"]

CELLS = 4096  # of the quadrature for the law of the angle
ROUNDS = 5  # in which these cells gather where the mass is
NARROW = 1e-7  # angle to a pole down to which the first cells are refined
POINTS, WEIGHTS = np.polynomial.legendre.leggauss(5)
TURNS = 64  # points at which the symmetry of a density is tried
SYMMETRIC = 1e-10  # largest relative difference of its values at two points of a ring
PARALLEL = 1e-12


@dataclass(frozen=True)
class Meridian(Embedded):
    """The space of the rings of a sphere: one-dimensional, with the angle as its coordinate.

    It has a point for each ring; any point of the ring stands for it. The volume is that of the
    sphere, so that densities on the sphere and on the meridian have the same values.

    Attributes:
        sphere: the sphere S^d.
        direction: the axis e, a unit vector ``(d + 1,)``.
    """

    sphere: Sphere
    direction: tuple[float, ...]
    dim = 1
    period = 0.0

    @property
    def ambient(self) -> int:
        return self.sphere.ambient

    @property
    def volume(self) -> float:
        return self.sphere.volume

    @property
    def spectral_gap(self) -> float:
        return self.sphere.spectral_gap

    @property
    def axes(self) -> tuple[Axis, ...]:
        return (Axis("angle to the axis (radians)", 0.0, math.pi),)

    def first_harmonic(self, x: Any, xp: ModuleType = np) -> Any:
        return sum(e * x[k] for k, e in enumerate(self.direction))

    def project(self, x: Array) -> Array:
        return self.sphere.project(x)

    def tangent(self, x: Array, v: Array) -> Array:
        return self.sphere.tangent(x, v)

    def sample(self, n: int, rng: np.random.Generator) -> Array:
        return self.sphere.sample(n, rng)

    def angle(self, x: Array) -> Array:
        """The angles ``(n,)`` between the axis and points ``(n, ambient)``, in radians."""
        e = np.array(self.direction)
        s = x @ e
        return np.asarray(np.arctan2(np.linalg.norm(x - s[:, None] * e, axis=1), s))

    def chart(self, x: Array) -> Array:
        return self.angle(x)[:, None]

    def unchart(self, c: Array) -> Array:
        """The points ``(n, ambient)`` with angles ``(n, 1)``, all on one half of a great circle."""
        e = np.array(self.direction)
        return self.turned(np.ravel(c), np.eye(self.ambient)[[int(np.argmin(np.abs(e)))]])

    def turned(self, angle: Array, direction: Array) -> Array:
        """The points ``(n, ambient)`` with angles ``(n,)`` to the axis, and with the parts of
        vectors ``(n, ambient)`` that are orthogonal to the axis as their directions.
        """
        e = np.array(self.direction)
        across = np.asarray(direction)
        for _ in range(2):  # once leaves what round-off makes of directions close to the axis
            across = across - np.outer(across @ e, e)
            across /= np.linalg.norm(across, axis=1, keepdims=True)
        return np.asarray(np.cos(angle)[:, None] * e + np.sin(angle)[:, None] * across)

    def rings(self, angle: Array) -> Array:
        """The volumes ``(n,)`` of the rings with angles ``(n,)``: |S^(d-1)| sin(theta)^(d-1)."""
        d = self.sphere.dim
        return sphere_volume(d - 1) * np.sin(angle) ** (d - 1)

    def between(self, ends: Array) -> Array:
        """The volumes ``(n,)`` between successive ones of ``n + 1`` increasing angles."""
        half = self.sphere.dim / 2
        low = betainc(half, half, np.sin(ends / 2) ** 2)
        high = betainc(half, half, np.cos(ends / 2) ** 2)
        north = ends[1:] <= math.pi / 2
        return self.volume * np.where(north, np.diff(low), -np.diff(high))


@dataclass(frozen=True, eq=False)
class AngleLaw:
    """The law of the angle to the axis under a density that is symmetric about it.

    Attributes:
        meridian: the sphere and its axis.
        ends: increasing angles from 0 to pi, ``(n + 1,)``, close where the mass is.
        share: the part of the mass before each of them, from 0 to 1, ``(n + 1,)``.
        mass: the integral of the density.
    """

    meridian: Meridian
    ends: Array
    share: Array
    mass: float

    @classmethod
    def of(cls, meridian: Meridian, density: Callable[[Array], Array]) -> AngleLaw:
        """The law for a function that maps points ``(n, ambient)`` to values ``(n,)``."""
        fine = np.geomspace(NARROW, 0.1, CELLS // 8)
        ends = np.unique(np.concatenate([np.linspace(0, math.pi, CELLS + 1), fine, math.pi - fine]))
        masses = _masses(meridian, density, ends)
        for _ in range(ROUNDS):
            if not 0 < (total := float(masses.sum())) < math.inf:
                break
            # half of the cells are where the mass is, the others stay evenly spread; the cube root
            # of the density makes the error of linear interpolation least, and resolves its tails
            width = np.diff(ends)
            many = np.cbrt(masses / total / width) * width
            levels = np.concatenate([[0.0], np.cumsum(many)]) / many.sum()
            ends = np.interp(np.linspace(0, 2, CELLS + 1), levels + ends / math.pi, ends)
            masses = _masses(meridian, density, ends)
        share = np.concatenate([[0.0], np.cumsum(masses)])
        with np.errstate(invalid="ignore", divide="ignore"):
            return cls(meridian, ends, share / share[-1], float(share[-1]))

    def below(self, angle: Array) -> Array:
        """The parts of the mass ``(n,)`` with an angle below given ones, ``(n,)``."""
        return np.interp(angle, self.ends, self.share)

    def quantile(self, level: Array | float) -> Array:
        """The angles ``(n,)`` below which there are given parts of the mass ``(n,)``."""
        return np.asarray(np.interp(level, self.share, self.ends))

    def sample(self, n: int, rng: np.random.Generator) -> Array:
        """Draw ``n`` independent points ``(n, ambient)`` of the sphere from the density."""
        direction = rng.standard_normal((n, self.meridian.ambient))
        return self.meridian.turned(self.quantile(rng.random(n)), direction)


def _masses(meridian: Meridian, density: Callable[[Array], Array], ends: Array) -> Array:
    """The masses ``(n,)`` between ``n + 1`` angles, by Gauss's rule of five points."""
    half = np.diff(ends)[:, None] / 2
    angle = (ends[:-1, None] + half * (1 + POINTS)).ravel()
    values = density(meridian.unchart(angle[:, None])) * meridian.rings(angle)
    return np.asarray((values.reshape(-1, len(POINTS)) * half) @ WEIGHTS)


def unit_axis(axis: Any, ambient: int, name: str = "problem.axis") -> tuple[float, ...]:
    """A vector ``(ambient,)`` of length 1 with the direction of a given one, ``name`` in messages.

    Raises:
        InputError: for a vector that is zero, or has another number of coordinates.
    """
    e = reals(name, axis)
    if e.shape != (ambient,) or not (length := float(np.linalg.norm(e))) > 0:
        raise InputError(
            f"{name} must be a non-zero vector with {ambient} coordinates, not {shown(axis)}."
        )
    # a unit vector stays the same, so that a stored one does
    return tuple((e if abs(length - 1) < 1e-15 else e / length).tolist())


def axis_of(parts: Sequence[Array | None], ambient: int) -> tuple[float, ...] | None:
    """An axis about which all densities are symmetric; None if none is known.

    Args:
        parts: the `directions` of each density: unit vectors ``(n, ambient)``, or None.
        ambient: the number of coordinates of a point.
    """
    known = [part for part in parts if part is not None]
    if len(known) < len(parts):
        return None
    found = np.concatenate([*known, np.eye(1, ambient)])[0]
    return tuple(found.tolist()) if all(_parallel(part, found) for part in known) else None


def _parallel(vectors: Array, axis: Array) -> bool:
    return bool((np.abs(np.abs(vectors @ axis) - 1) < PARALLEL).all())


def require_symmetric(meridian: Meridian, density: Density, name: str) -> None:
    """Check that a density is symmetric about an axis.

    If its `directions` do not say it, its values at random points are compared with those at their
    images under random rotations about the axis.

    Args:
        meridian: the sphere and its axis.
        density: the density.
        name: "teacher" or "initial", used in the message.

    Raises:
        InputError: if it is not symmetric: if two values differ by more than 1e-10 of the larger.
    """
    if (directions := density.directions) is not None:
        symmetric = _parallel(directions, np.array(meridian.direction))
    else:
        rng = np.random.default_rng(0)
        everywhere = np.linspace(0, math.pi, TURNS)  # also where few random points are
        angle = np.concatenate([meridian.angle(meridian.sample(TURNS, rng)), everywhere])
        here, there = (
            density(meridian.turned(angle, rng.standard_normal((len(angle), meridian.ambient))))
            for _ in range(2)
        )
        apart = np.abs(here - there) - SYMMETRIC * np.maximum(np.abs(here), np.abs(there))
        symmetric = bool((apart <= 0).all())
    if not symmetric:
        raise InputError(
            f"The {name} density is not symmetric about problem.axis: it has different values at "
            "points with the same angle to the axis."
        )
