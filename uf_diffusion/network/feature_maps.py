"""The feature map Psi with K(omega, omega') = Psi(omega).Psi(omega'), bound to a teacher.

With t the integral of Psi against the teacher and weights u on the neurons omega_i, everything that
training needs is an inner product with the residual  r(u) = t - (1/M) sum_i u_i Psi(omega_i):
the potential is w = Psi.r / lambda. A feature map is asked for these at given neurons; how it
represents r (values on the data, or a kernel between atoms) is its own affair.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, runtime_checkable

import numpy as np

from uf_diffusion.errors import InputError
from uf_diffusion.network.features import Feature, PairFunction, ReLU
from uf_diffusion.problem.densities import Density
from uf_diffusion.problem.manifolds import Array

__all__ = ["Atoms", "FeatureMap", "FiniteNeurons", "Neurons", "Population", "Sampled",
           "SampledCircleReLU", "feature_map", "place"]  # fmt: skip


@dataclass(frozen=True)
class Atoms:
    """A discrete probability measure: points ``(n, ambient)`` and weights ``(n,)`` summing to 1."""

    points: Array
    weights: Array


class Neurons(Protocol):
    """A feature map at the features of a network."""

    @property
    def gram(self) -> Array:
        """K(omega_i, omega_j), ``(M, M)``."""
        ...

    @property
    def target(self) -> Array:
        """Psi(omega_i).t, ``(M,)``."""
        ...

    def residual_gradient(self, u: Array) -> Array:
        """Tangent gradients of omega -> Psi(omega).r(u) at the neurons, ``(M, ambient)``."""
        ...

    def misfit(self, u: Array) -> float:
        """|r(u)|^2, the mean squared error of the network's output."""
        ...


@runtime_checkable
class FiniteNeurons(Neurons, Protocol):
    """Neurons of a Psi with finitely many coordinates."""

    @property
    def matrix(self) -> Array:
        """Psi(omega_i), ``(M, R)``."""
        ...

    @property
    def labels(self) -> Array:
        """t, ``(R,)``."""
        ...


class FeatureMap(Protocol):
    """A feature map bound to a teacher."""

    def at(self, omega: Array) -> Neurons:
        """The map at features ``(M, ambient)``."""
        ...


@dataclass(frozen=True)
class Sampled:
    """Psi_j(omega) = phi(omega, x_j) / sqrt(N) for data x_1, ..., x_N."""

    feature: Feature
    data: Array
    teacher: Atoms

    @cached_property
    def labels(self) -> Array:
        """t: the teacher's outputs over sqrt(N), ``(N,)``."""
        points, weights = self.teacher.points, self.teacher.weights
        blocks = _blocks(points, self.data)
        outputs = sum(weights[i] @ self.feature(points[i], self.data)[0] for i in blocks)
        return np.asarray(outputs) / math.sqrt(len(self.data))

    def at(self, omega: Array) -> SampledNeurons:
        return SampledNeurons(self, omega)


@dataclass(frozen=True)
class SampledNeurons:
    """Dense features on the data."""

    map: Sampled
    omega: Array

    @property
    def labels(self) -> Array:
        return self.map.labels

    @cached_property
    def matrix(self) -> Array:
        psi = _values(self.map.feature, self.omega, self.map.data)
        psi /= math.sqrt(len(self.map.data))
        return psi

    @cached_property
    def gram(self) -> Array:
        return self.matrix @ self.matrix.T

    @cached_property
    def target(self) -> Array:
        return self.matrix @ self.labels

    def residual(self, u: Array) -> Array:
        """r(u), ``(N,)``."""
        return self.labels - u @ self.matrix / len(u)

    def residual_gradient(self, u: Array) -> Array:
        weight = self.residual(u) / math.sqrt(len(self.map.data))
        return _potential(self.map.feature, self.omega, self.map.data, weight)[1]

    def misfit(self, u: Array) -> float:
        r = self.residual(u)
        return float(r @ r)


@dataclass(frozen=True)
class SampledCircleReLU:
    """ReLU on the circle with sampled data: the same numbers from sums over sorted angles.

    A neuron at angle a sees the data in the half circle around it, and two neurons share the data
    in an arc, so K(a, b) = omega_a . S omega_b where S, the sum of x x^T over the arc, is a
    difference of running sums. All costs are O(M^2 + (M + N) log(M N)) instead of O(M^2 N).
    """

    feature: ReLU
    data: Array
    teacher: Atoms

    @cached_property
    def sorted_data(self) -> tuple[Array, Array]:
        """The data's angles in increasing order, and the data / sqrt(N) in that order."""
        angle = np.arctan2(self.data[:, 1], self.data[:, 0])
        order = np.argsort(angle)
        return angle[order], self.data[order] / math.sqrt(len(self.data))

    @cached_property
    def labels(self) -> Array:
        """T in the order of the data's angles, ``(N,)``."""
        return self.outputs(self.teacher.points, self.teacher.weights)

    def outputs(self, omega: Array, weights: Array) -> Array:
        """sum_i weights_i Psi(omega_i), ``(N,)``, in the order of the data's angles."""
        angle = np.arctan2(omega[:, 1], omega[:, 0])
        order = np.argsort(angle)
        data_angle, data = self.sorted_data
        sums = _RunningSums(angle[order], (weights[:, None] * omega)[order])
        return np.asarray(np.einsum("ij,ij->i", data, sums.half_circle(data_angle)))

    def at(self, omega: Array) -> CircleNeurons:
        return CircleNeurons(self, omega)


@dataclass(frozen=True)
class CircleNeurons:
    """The fast sums of `SampledCircleReLU`."""

    map: SampledCircleReLU
    omega: Array

    @property
    def labels(self) -> Array:
        """t in the order of the data's angles, ``(N,)``."""
        return self.map.labels

    @property
    def matrix(self) -> Array:
        """Psi in the order of the data's angles, ``(M, N)``; only the dual side asks for it."""
        return np.maximum(self.omega @ self.map.sorted_data[1].T, 0)

    @cached_property
    def _angle(self) -> Array:
        return np.arctan2(self.omega[:, 1], self.omega[:, 0])

    def _gradient(self, weight: Array) -> Array:
        """sum_j weight_j x_j / sqrt(N) over the data that each neuron sees, ``(M, 2)``."""
        data_angle, data = self.map.sorted_data
        return _RunningSums(data_angle, weight[:, None] * data).half_circle(self._angle)

    @cached_property
    def gram(self) -> Array:
        data_angle, data = self.map.sorted_data
        outer = np.column_stack([data[:, :1] * data, data[:, 1:] * data])
        sums = _RunningSums(data_angle, outer)
        omega, angle = self.omega, self._angle
        # S omega for the running sums up to either end of each neuron's half circle
        first = (sums.up_to(angle - math.pi / 2).reshape(-1, 2, 2) @ omega[:, :, None])[..., 0]
        last = (sums.up_to(angle + math.pi / 2).reshape(-1, 2, 2) @ omega[:, :, None])[..., 0]
        # arc_ij sums from where j's half circle begins to where i's ends. If j is ahead of i by at
        # most half a turn this is their shared arc; more than half a turn behind, it has run one
        # turn too far. All else adds data in front of one neuron and behind the other, or counts
        # data behind both as negative, and is smaller than the same with i and j exchanged.
        arc = np.hstack([last, -omega]) @ np.hstack([omega, first]).T
        behind = np.subtract.outer(angle, angle) > math.pi
        arc -= behind * (omega @ sums.total.reshape(2, 2) @ omega.T)
        gram = np.maximum(arc, arc.T)
        return np.asarray(gram)

    @cached_property
    def target(self) -> Array:
        return np.asarray(np.einsum("ij,ij->i", self.omega, self._gradient(self.labels)))

    def residual(self, u: Array) -> Array:
        """r(u) in the order of the data's angles, ``(N,)``."""
        return self.labels - self.map.outputs(self.omega, u / len(u))

    def residual_gradient(self, u: Array) -> Array:
        return self.map.feature.manifold.tangent(self.omega, self._gradient(self.residual(u)))

    def misfit(self, u: Array) -> float:
        r = self.residual(u)
        return float(r @ r)


class _RunningSums:
    """Sums of vectors over arcs of the circle, the vectors sorted by angle in [-pi, pi]."""

    def __init__(self, angle: Array, vectors: Array) -> None:
        self._angle = angle
        self._sums = np.vstack([np.zeros((1, vectors.shape[1])), np.cumsum(vectors, axis=0)])
        self.total: Array = self._sums[-1]

    def up_to(self, angle: Array) -> Array:
        """The sum over (-pi, angle], continued beyond one turn by whole turns."""
        turns = np.floor((angle + math.pi) / (2 * math.pi))
        count = np.searchsorted(self._angle, angle - 2 * math.pi * turns, side="right")
        return np.asarray(self._sums[count] + turns[:, None] * self.total)

    def half_circle(self, angle: Array) -> Array:
        """The sum over all angles within a quarter turn."""
        return self.up_to(angle + math.pi / 2) - self.up_to(angle - math.pi / 2)


@dataclass(frozen=True)
class Population:
    """The kernel of infinitely many inputs, in closed form; Psi is never formed."""

    kernel: PairFunction
    teacher: Atoms

    @cached_property
    def energy(self) -> float:
        """|t|^2, in blocks of memory."""
        points, weights = self.teacher.points, self.teacher.weights
        return float(weights @ _potential(self.kernel, points, points, weights)[0])

    def at(self, omega: Array) -> PopulationNeurons:
        return PopulationNeurons(self, omega)


@dataclass(frozen=True)
class PopulationNeurons:
    """A kernel between the neurons, and from the neurons to the teacher."""

    map: Population
    omega: Array

    @cached_property
    def gram(self) -> Array:
        return _values(self.map.kernel, self.omega, self.omega)

    @cached_property
    def _teacher(self) -> tuple[Array, Array]:
        """Psi.t at the neurons, and its gradient."""
        teacher = self.map.teacher
        return _potential(self.map.kernel, self.omega, teacher.points, teacher.weights)

    @property
    def target(self) -> Array:
        return self._teacher[0]

    def residual_gradient(self, u: Array) -> Array:
        return self._teacher[1] - _potential(self.map.kernel, self.omega, self.omega, u / len(u))[1]

    def misfit(self, u: Array) -> float:
        v = u / len(u)
        return float(self.map.energy - 2 * (v @ self.target) + v @ (self.gram @ v))


def _blocks(omega: Array, other: Array) -> list[slice]:
    """Slices of omega with at most 2^17 pairs each: temporary arrays of a megabyte."""
    rows = max(1, 2**17 // len(other))
    return [slice(i, i + rows) for i in range(0, len(omega), rows)]


def _values(pair: PairFunction, omega: Array, other: Array) -> Array:
    """The values ``(m, n)`` of a pair function."""
    values = np.empty((len(omega), len(other)))
    for block in _blocks(omega, other):
        values[block] = pair(omega[block], other)[0]
    return values


def _potential(
    pair: PairFunction, omega: Array, other: Array, weight: Array
) -> tuple[Array, Array]:
    """Values @ weight ``(m,)`` and its tangent gradients ``(m, ambient)``, without the matrix."""
    potential, gradient = np.empty(len(omega)), np.empty_like(omega)
    for block in _blocks(omega, other):
        values, pullback = pair(omega[block], other)
        potential[block], gradient[block] = values @ weight, pullback(weight)
    return potential, gradient


def place(density: Density, n: int, even: bool, rng: np.random.Generator) -> Atoms:
    """Atoms of a density: a random sample of equal weights, or even points weighted by it.

    Raises:
        InputError: where the manifold has no even placement of n points.
    """
    if not even:
        return Atoms(density.sample(n, rng), np.full(n, 1 / n))
    points = density.manifold.even(n)
    weights = density(points)
    return Atoms(points, weights / weights.sum())


def feature_map(
    feature: Feature, kernel: str, samples: int, teacher: Atoms, rng: np.random.Generator
) -> FeatureMap:
    """The feature map of a configuration: "sampled" draws inputs, "population" needs none.

    Raises:
        InputError: for a population kernel without closed form.
    """
    if kernel == "population":
        if feature.kernel is None:
            raise InputError(
                "These features have no population kernel in closed form; "
                "use network.kernel = 'sampled'."
            )
        return Population(feature.kernel, teacher)
    data = feature.inputs(samples, rng)
    if isinstance(feature, ReLU) and feature.manifold.dim == 1:
        return SampledCircleReLU(feature, data, teacher)
    return Sampled(feature, data, teacher)
