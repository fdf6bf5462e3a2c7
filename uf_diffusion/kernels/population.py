"""The feature map of infinitely many inputs, for kernels in closed form."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from uf_diffusion.core.arrays import Array
from uf_diffusion.core.mpi import Share
from uf_diffusion.kernels.base import PairFunction
from uf_diffusion.kernels.dense import spd_solver
from uf_diffusion.kernels.feature_maps import Atoms, FeatureMap, Solver, pair_blocks

__all__ = ["Population"]


@dataclass(frozen=True)
class Population(FeatureMap):
    """The feature map of infinitely many inputs; only the kernel is evaluated, never Psi itself.

    Attributes:
        kernel: the kernel in closed form.
        teacher: the teacher's neurons.
    """

    kernel: PairFunction
    teacher: Atoms

    @cached_property
    def energy(self) -> float:
        """The squared norm |t|^2 of the teacher, computed in blocks."""
        points, weights = self.teacher.points, self.teacher.weights
        return float(weights @ _potential(self.kernel, points, points, weights)[0])

    def at(self, omega: Array, share: Share | None = None) -> PopulationNeurons:
        return PopulationNeurons(self, omega, share or Share(len(omega)))

    def memory(self, width: int) -> int:
        return 16 * width**2


@dataclass(frozen=True)
class PopulationNeurons:
    """Neurons whose potentials are sums of the kernel over the neurons and over the teacher."""

    map: Population
    omega: Array
    share: Share

    @cached_property
    def kernel(self) -> Array:
        """The matrix K(omega_i, omega_j), ``(M, M)``."""
        return _values(self.map.kernel, self.omega, self.omega)

    @cached_property
    def _teacher(self) -> tuple[Array, Array]:
        """The values Psi(omega_i).t, ``(M,)``, and their tangent gradients, ``(M, ambient)``."""
        teacher = self.map.teacher
        return _potential(self.map.kernel, self.omega, teacher.points, teacher.weights)

    def potential(self, v: Array) -> Array:
        return self._teacher[0] - self.kernel @ v

    def potential_gradient(self, v: Array) -> Array:
        return self._teacher[1] - _potential(self.map.kernel, self.omega, self.omega, v)[1]

    def misfit(self, v: Array) -> float:
        return float(self.map.energy - v @ (self._teacher[0] + self.potential(v)))

    def solver(self, shift: Array) -> Solver:
        solve = spd_solver(self.kernel, shift)
        return lambda b, goal=0.0: solve(b)


def _values(pair: PairFunction, omega: Array, other: Array) -> Array:
    """The values ``(m, n)`` of a pair function, computed in blocks."""
    values = np.empty((len(omega), len(other)))
    for block in pair_blocks(omega, other):
        values[block] = pair(omega[block], other)[0]
    return values


def _potential(
    pair: PairFunction, omega: Array, other: Array, weight: Array
) -> tuple[Array, Array]:
    """Values @ weight ``(m,)`` and its tangent gradients ``(m, ambient)``, without the matrix."""
    potential, gradient = np.empty(len(omega)), np.empty_like(omega)
    for block in pair_blocks(omega, other):
        values, pullback = pair(omega[block], other)
        potential[block], gradient[block] = values @ weight, pullback(weight)
    return potential, gradient
