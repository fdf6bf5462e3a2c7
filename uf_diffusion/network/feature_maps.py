"""The feature map Psi with K(omega, omega') = Psi(omega).Psi(omega'), bound to a teacher.

Write t for the integral of Psi against the teacher. A network with features omega_i of masses m_i
(summing to 1) and outer weights u_i enters through its coefficients v_i = m_i u_i alone: all that
training needs is an inner product with the residual  r(v) = t - sum_i v_i Psi(omega_i).
`Neurons` are a feature map at given features. Where Psi has finitely many coordinates they are
`FiniteNeurons`, and the projection may be solved in the coordinates instead of in the neurons.

Under MPI either the neurons or the coordinates of Psi are spread over the ranks, see `Share`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from uf_diffusion.errors import InputError, unknown
from uf_diffusion.network.dense import spd_solver
from uf_diffusion.network.features import PairFunction
from uf_diffusion.parallel import Share, broadcast
from uf_diffusion.problem.densities import PLACEMENTS, Density
from uf_diffusion.problem.manifolds import Array
from uf_diffusion.threads import blocks_of

__all__ = ["Atoms", "FeatureMap", "FiniteNeurons", "Neurons", "Population", "Remembered",
           "Solver",
           "pair_blocks", "place"]  # fmt: skip


class Solver(Protocol):
    """The map from b to (K + diag(shift))^-1 b."""

    def __call__(self, b: Array, goal: float = 0.0) -> Array:
        """Solvers that iterate stop where no entry of the residual is above ``goal``."""
        ...


@dataclass(frozen=True)
class Atoms:
    """A discrete probability measure: points ``(n, ambient)`` and weights ``(n,)`` summing to 1."""

    points: Array
    weights: Array


class Neurons(Protocol):
    """A feature map at this rank's features; M is their number, v ``(M,)`` coefficients."""

    @property
    def share(self) -> Share:
        """How the neurons are spread over the ranks."""
        ...

    def potential(self, v: Array) -> Array:
        """Psi(omega_i).r(v), ``(M,)``."""
        ...

    def potential_gradient(self, v: Array) -> Array:
        """Tangent gradients of omega -> Psi(omega).r(v) at the neurons, ``(M, ambient)``."""
        ...

    def misfit(self, v: Array) -> float:
        """|r(v)|^2, the mean squared error of the network's output."""
        ...

    def solver(self, shift: Array) -> Solver:
        """The map from b to (K + diag(shift))^-1 b, K the kernel between the neurons.

        Raises:
            RunFailure: where the matrix is singular in double precision.
        """
        ...


class FeatureMap(Protocol):
    """A feature map bound to a teacher."""

    def share(self, width: int) -> Share:
        """How so many neurons are spread over the ranks; every rank has all where not said."""
        return Share(width)

    def at(self, omega: Array, share: Share | None = None) -> Neurons:
        """The map at this rank's features ``(M, ambient)``; ``share`` if not all of them."""
        ...

    def memory(self, width: int) -> int:
        """Bytes that a projection at this width needs on each rank, roughly."""
        ...

    def dropped_energy(self, omega: Array, v: Array, share: Share | None = None) -> float:
        """An upper bound of |r|^2 in the coordinates of Psi that were left out; 0 if none were."""
        return 0.0

    def keepsake(self) -> dict[str, Array]:
        """What is remembered from step to step, for a checkpoint."""
        return {}

    def recall(self, kept: Mapping[str, Array]) -> None:
        """Go on from a keepsake, bit for bit."""
        return None


class Remembered:
    """The last value of a function that is mostly asked twice for the same array.

    The same array, not equal numbers: that is answered alike on all ranks.
    """

    def __init__(self) -> None:
        self._argument: Array | None = None
        self._value = np.empty(0)

    def __call__(self, function: Callable[[Array], Array], v: Array) -> Array:
        """function(v)."""
        if v is not self._argument:
            self._value, self._argument = function(v), v
        return self._value


class FiniteNeurons(ABC):
    """Neurons of a Psi with R coordinates; subclasses say how Psi acts.

    Attributes:
        share: how the neurons are spread over the ranks.
        coordinates: how the coordinates of Psi are spread over the ranks.
    """

    share: Share
    coordinates: Share

    @property
    @abstractmethod
    def labels(self) -> Array:
        """t, this rank's coordinates ``(R,)``."""

    @property
    @abstractmethod
    def matrix(self) -> Array:
        """Psi(omega_i), ``(M, R)``."""

    @abstractmethod
    def moments(self, v: Array) -> Array:
        """The sum over all neurons of v_i Psi(omega_i), ``(R,)``."""

    @abstractmethod
    def values(self, a: Array) -> Array:
        """Psi(omega_i).a, ``(M,)``."""

    @abstractmethod
    def gradient(self, a: Array) -> Array:
        """Tangent gradients of omega -> Psi(omega).a at the neurons, ``(M, ambient)``."""

    @abstractmethod
    def gram(self, c: Array) -> Array:
        """The sum over all neurons of c_i Psi(omega_i) Psi(omega_i)^T, ``(R, R)``, c >= 0."""

    @cached_property
    def kernel(self) -> Array:
        """K(omega_i, omega_j) between the neurons, ``(M, M)``; only without split neurons."""
        return self.coordinates.sum(self.matrix @ self.matrix.T)

    @cached_property
    def _last(self) -> Remembered:
        return Remembered()

    def residual(self, v: Array) -> Array:
        """r(v), this rank's coordinates ``(R,)``."""
        return self._last(lambda v: self.labels - self.moments(v), v)

    def potential(self, v: Array) -> Array:
        return self.values(self.residual(v))

    def potential_gradient(self, v: Array) -> Array:
        return self.gradient(self.residual(v))

    def misfit(self, v: Array) -> float:
        r = self.residual(v)
        return float(self.coordinates.sum(np.array(r @ r)))

    def solver(self, shift: Array) -> Solver:
        if self.in_coordinates:
            return self._solver_in_coordinates(shift)
        solve = spd_solver(self.kernel, shift)
        # every rank goes on with the same bits
        split = self.coordinates.split
        return lambda b, goal=0.0: broadcast(solve(b)) if split else solve(b)

    @property
    def in_coordinates(self) -> bool:
        """Whether the coordinates are the cheaper side, or the only one: neurons are split."""
        return self.share.split or self.coordinates.n < self.share.n

    def _solver_in_coordinates(self, shift: Array) -> Solver:
        """(S + Psi Psi^T)^-1 b = S^-1 (b - Psi y), (I + Psi^T S^-1 Psi) y = Psi^T S^-1 b."""
        gram = self.gram(1 / shift)
        solve = spd_solver(gram, np.ones(len(gram)))

        def solver(b: Array, goal: float = 0.0) -> Array:
            return (b - self.values(solve(self.moments(b / shift)))) / shift

        return solver


@dataclass(frozen=True)
class Population(FeatureMap):
    """The kernel of infinitely many inputs, in closed form; Psi is never formed."""

    kernel: PairFunction
    teacher: Atoms

    @cached_property
    def energy(self) -> float:
        """|t|^2, in blocks of memory."""
        points, weights = self.teacher.points, self.teacher.weights
        return float(weights @ _potential(self.kernel, points, points, weights)[0])

    def at(self, omega: Array, share: Share | None = None) -> PopulationNeurons:
        return PopulationNeurons(self, omega, share or Share(len(omega)))

    def memory(self, width: int) -> int:
        return 16 * width**2


@dataclass(frozen=True)
class PopulationNeurons:
    """A kernel between the neurons, and from the neurons to the teacher."""

    map: Population
    omega: Array
    share: Share

    @cached_property
    def kernel(self) -> Array:
        """K(omega_i, omega_j), ``(M, M)``."""
        return _values(self.map.kernel, self.omega, self.omega)

    @cached_property
    def _teacher(self) -> tuple[Array, Array]:
        """Psi.t at the neurons, and its gradient."""
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


def pair_blocks(omega: Array, other: Array) -> list[slice]:
    """Slices of omega with at most 2^17 pairs each: temporary arrays of a megabyte."""
    return blocks_of(len(omega), max(1, 2**17 // len(other)))


def _values(pair: PairFunction, omega: Array, other: Array) -> Array:
    """The values ``(m, n)`` of a pair function."""
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


def place(density: Density, n: int, placement: str, rng: np.random.Generator) -> Atoms:
    """Atoms of a density.

    Args:
        density: the measure.
        n: how many.
        placement: "random", a sample of equal weights; "even", a lattice weighted by the density;
            "quantile", in one dimension, equal weights where the distribution function is
            (i + 1/2) / n.
        rng: draws the sample.

    Raises:
        InputError: for an unknown placement, or where the manifold has none such of n points.
    """
    if placement not in PLACEMENTS:
        raise unknown("placement", placement, PLACEMENTS)
    if placement == "random":
        points = density.sample(n, rng)
        if len(density.manifold.axes) == 1:  # neighbours in memory too
            points = points[np.argsort(density.manifold.chart(points)[:, 0])]
        return Atoms(points, np.full(n, 1 / n))
    if placement == "quantile":
        return Atoms(_quantiles(density, n), np.full(n, 1 / n))
    points = density.manifold.even(n)
    weights = density(points)
    if not weights.sum() > 0:
        raise InputError(f"The density vanishes at all {n} points of the even placement.")
    return Atoms(points, weights / weights.sum())


def _quantiles(density: Density, n: int) -> Array:
    """The points ``(n, ambient)`` of a fine distribution function, linear in between."""
    manifold = density.manifold
    if len(manifold.axes) != 1:
        raise InputError(
            "network.placement = 'quantile' needs one dimension; use 'even' or 'random'."
        )
    axis = manifold.axes[0]
    edges = np.linspace(axis.low, axis.high, max(2**16, 8 * n) + 1)
    middle = manifold.unchart(((edges[:-1] + edges[1:]) / 2)[:, None])
    function = np.concatenate([[0.0], np.cumsum(density(middle))])
    share = (np.arange(n) + 0.5) / n
    return manifold.unchart(np.interp(share, function / function[-1], edges)[:, None])
