"""The energy distance between networks and densities that are symmetric about an axis."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from uf_diffusion.core.arrays import Array
from uf_diffusion.distances.energy_distances import energy_distance
from uf_diffusion.distances.energy_modes import EnergyModes
from uf_diffusion.distances.symmetric import ring_energy_distances, symmetric_energy_distances
from uf_diffusion.grids.base import Grid
from uf_diffusion.grids.quadrature import quadrature
from uf_diffusion.problem.manifolds import Circle
from uf_diffusion.problem.symmetry import Meridian

__all__ = ["RingEnergies", "energies_on"]


class _Masses(NamedTuple):
    """Masses ``(n,)`` that sum to 1, on rings at angles ``(n,)`` or at points ``(n, ambient)``."""

    place: Array
    mass: Array


@dataclass(frozen=True, eq=False)
class RingEnergies:
    """The energy distance of symmetric densities and of networks, exact in every dimension.

    It has the methods of `EnergyModes`. A density has its masses at the points of a quadrature of
    its mesh, which all densities share.

    Attributes:
        meridian: the sphere and its axis.
        grid: the finest mesh of those with densities to be compared.
    """

    meridian: Meridian
    grid: Grid
    name = "energy distance"

    def densities(self, grid: Grid, density: Array) -> list[_Masses]:
        """As `EnergyModes.densities`."""
        points, weights = quadrature(self.grid)
        numbers, basis = grid.basis(points)
        angle, found = self.meridian.angle(points), []
        for row in density:
            mass = (basis * row[numbers]).sum(axis=1) * weights
            found.append(_Masses(angle, mass / mass.sum()))
        return found

    def atoms(self, points: Array, weights: Array) -> _Masses:
        """As `EnergyModes.atoms`."""
        return _Masses(points, weights)

    def between(self, mu: _Masses, nu: _Masses) -> float:
        """The distance of a density, or of atoms, to a density."""
        if mu.place.ndim == 2:
            axis = np.array(self.meridian.direction)
            found = ring_energy_distances(mu.place[None], mu.mass, axis, nu.place, nu.mass[None])
        else:
            found = symmetric_energy_distances(
                mu.place, mu.mass[None], nu.place, nu.mass[None], self.meridian.sphere.dim
            )
        return float(found[0])

    def left_out(self, mu: _Masses, nu: _Masses) -> float:
        """Nothing but round-off is left out."""
        return math.sqrt(np.finfo(float).eps)

    def between_atoms(self, X: Array, Y: Array, a: Array, b: Array) -> float:
        """As `EnergyModes.between_atoms`."""
        space = Circle() if self.meridian.sphere.dim == 1 else None
        return energy_distance(X, Y, a, b, space)


def energies_on(grid: Grid, meridian: Meridian | None) -> EnergyModes | RingEnergies:
    """The energy distance on the manifold of a mesh.

    Args:
        grid: the finest mesh of those with densities to be compared.
        meridian: the sphere with its axis, if the densities are symmetric about one.
    """
    return EnergyModes(grid) if meridian is None else RingEnergies(meridian, grid)
