"""The feature map Psi with K(omega, omega') = Psi(omega).Psi(omega'), together with a teacher.

Let t be the integral of Psi against the teacher. A network with features omega_i of masses m_i
(summing to 1) and outer weights u_i enters only through its coefficients v_i = m_i u_i: training
needs only inner products with the residual  r(v) = t - sum_i v_i Psi(omega_i). `Neurons` represent
a feature map at given features. If Psi has finitely many coordinates they are `FiniteNeurons`, and
the linear systems of the projection may be solved in the coordinates instead of in the neurons.

Under MPI either the neurons or the coordinates of Psi are spread over the ranks, see `Share`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol, Self

import numpy as np

from uf_diffusion.core.arrays import Array
from uf_diffusion.core.mpi import Share, broadcast
from uf_diffusion.core.threads import blocks_of
from uf_diffusion.kernels.dense import spd_solver
from uf_diffusion.problem.divergences import Divergence
from uf_diffusion.problem.manifolds import Manifold

__all__ = [
    "Atoms",
    "FeatureMap",
    "FiniteNeurons",
    "KernelNeurons",
    "Neurons",
    "Projectable",
    "Remembered",
    "Solver",
    "in_coordinates",
    "nothing",
    "pair_blocks",
]


class Solver(Protocol):
    """The map from b to (K + diag(shift))^-1 b."""

    def __call__(self, b: Array, goal: float = 0.0) -> Array:
        """Apply the map to b ``(M,)``; iterations may stop when no residual is above ``goal``."""
        ...


@dataclass(frozen=True)
class Atoms:
    """A discrete probability measure: points ``(n, ambient)`` and weights ``(n,)`` summing to 1."""

    points: Array
    weights: Array


def nothing(manifold: Manifold) -> Atoms:
    """A measure of mass 0, which stands for a teacher where a feature map has none yet."""
    return Atoms(manifold.sample(1, np.random.default_rng(0)), np.zeros(1))


class Projectable(Protocol):
    """What the projection needs of M neurons; v are their coefficients, ``(M,)``."""

    @property
    def share(self) -> Share:
        """How the neurons are spread over the ranks."""
        ...

    def potential(self, v: Array) -> Array:
        """The values Psi(omega_i).r(v), ``(M,)``."""
        ...

    def solver(self, shift: Array) -> Solver:
        """The map from b to (K + diag(shift))^-1 b, where K is the kernel between the neurons.

        Args:
            shift: positive, ``(M,)``.

        Raises:
            RunFailure: if the matrix is singular in double precision, here or in the map's calls.
        """
        ...


class Neurons(Projectable, Protocol):
    """A feature map at this rank's M features."""

    def potential_gradient(self, v: Array) -> Array:
        """Tangent gradients of omega -> Psi(omega).r(v) at the neurons, ``(M, ambient)``."""
        ...

    def misfit(self, v: Array) -> float:
        """|r(v)|^2, the mean squared error of the network's output."""
        ...


@dataclass(frozen=True)
class KernelNeurons:
    """Neurons that do not move, with the matrix of their kernel; the teacher's mass is 0.

    Attributes:
        kernel: K, ``(M, M)``.
        share: the neurons, not spread.
    """

    kernel: Array
    share: Share

    def potential(self, v: Array) -> Array:
        return -(self.kernel @ v)

    def solver(self, shift: Array) -> Solver:
        solve = spd_solver(self.kernel, shift)
        return lambda b, goal=0.0: solve(b)


class FeatureMap(Protocol):
    """A feature map together with a teacher; a dataclass."""

    teacher: Atoms

    def taught_by(self, teacher: Atoms) -> Self:
        """The same feature map with another teacher."""
        return replace(self, teacher=teacher)  # type: ignore[type-var]

    @property
    def direct(self) -> bool:
        """Whether the solver of its neurons takes no longer than a few products with the kernel."""
        return False

    @property
    def truncated(self) -> bool:
        """Whether the map leaves out a part of the kernel, see `weight_error`."""
        return False

    def share(self, width: int) -> Share:
        """How ``width`` neurons are spread over the ranks; by default every rank has all."""
        return Share(width)

    def at(self, omega: Array, share: Share | None = None) -> Neurons:
        """The map at this rank's features.

        Args:
            omega: the features, ``(M, ambient)``.
            share: how the neurons are spread over the ranks; by default every rank has all.
        """
        ...

    def at_rest(self, omega: Array, share: Share | None = None) -> Projectable:
        """The map at features that do not move, prepared for many products with the kernel.

        Args:
            omega, share: as in `at`; the teacher has mass 0.
        """
        return self.at(omega, share)

    def memory(self, width: int) -> int:
        """The approximate number of bytes that a projection of this width needs on each rank."""
        ...

    def weight_error(
        self,
        omega: Array,
        mass: Array,
        potential: Array,
        divergence: Divergence,
        regularisation: float,
        share: Share | None = None,
    ) -> float:
        """An upper bound of the error of the optimal outer weights that a truncation causes, as a
        root mean square over the neurons; 0 if nothing is left out.

        Args:
            omega, share: as in `at`.
            mass: the masses of these neurons, ``(M,)``.
            potential: w, from which the optimal outer weights are u = f*'(w), ``(M,)``.
            divergence: f.
            regularisation: lambda.
        """
        return 0.0

    def keepsake(self) -> dict[str, Array]:
        """Arrays for a checkpoint, if the map reuses results of earlier steps; else empty."""
        return {}

    def recall(self, kept: Mapping[str, Array]) -> None:
        """Restore what `keepsake` returned, so that the following results have identical bits."""
        return None


class Remembered:
    """Caches the last value of a function that is often called twice with the same array.

    Arrays are compared by identity, not by value, so that all ranks take the same decision.
    """

    def __init__(self) -> None:
        self._argument: Array | None = None
        self._value = np.empty(0)

    def __call__(self, function: Callable[[Array], Array], v: Array) -> Array:
        """The value function(v), from the cache if v was also the argument of the last call."""
        if v is not self._argument:
            self._value, self._argument = function(v), v
        return self._value


class FiniteNeurons(ABC):
    """Neurons of a Psi with R coordinates; subclasses define how Psi acts.

    Attributes:
        share: how the neurons are spread over the ranks.
        coordinates: how the coordinates of Psi are spread over the ranks.
    """

    share: Share
    coordinates: Share

    @property
    @abstractmethod
    def labels(self) -> Array:
        """This rank's coordinates of t, ``(R,)``."""

    @property
    @abstractmethod
    def matrix(self) -> Array:
        """The coordinates of Psi(omega_i), ``(M, R)``."""

    @abstractmethod
    def moments(self, v: Array) -> Array:
        """The sum over the neurons of all ranks of v_i Psi(omega_i), ``(R,)``."""

    @abstractmethod
    def values(self, a: Array) -> Array:
        """The values Psi(omega_i).a, ``(M,)``, for coefficients a ``(R,)``."""

    @abstractmethod
    def gradient(self, a: Array) -> Array:
        """Tangent gradients of omega -> Psi(omega).a at the neurons, ``(M, ambient)``."""

    @abstractmethod
    def gram(self, c: Array) -> Array:
        """The sum over all neurons of c_i Psi(omega_i) Psi(omega_i)^T, ``(R, R)``, for c >= 0."""

    @cached_property
    def kernel(self) -> Array:
        """The matrix K(omega_i, omega_j), ``(M, M)``; only if every rank has all neurons."""
        return self.coordinates.sum(self.matrix @ self.matrix.T)

    @cached_property
    def _last(self) -> Remembered:
        return Remembered()

    def residual(self, v: Array) -> Array:
        """This rank's coordinates of the residual r(v), ``(R,)``."""
        return self._last(lambda v: self.labels - self.moments(v), v)

    def potential(self, v: Array) -> Array:
        return self.values(self.residual(v))

    def potential_gradient(self, v: Array) -> Array:
        return self.gradient(self.residual(v))

    def misfit(self, v: Array) -> float:
        r = self.residual(v)
        return float(self.coordinates.sum(np.array(r @ r)))

    def at_rest(self) -> Projectable:
        """These neurons if they do not move and the teacher has mass 0, see `FeatureMap`."""
        return self if self.in_coordinates else KernelNeurons(self.kernel, self.share)

    def solver(self, shift: Array) -> Solver:
        if self.in_coordinates:
            return self._solver_in_coordinates(shift)
        solve = spd_solver(self.kernel, shift)
        # all ranks must continue with the same bits
        split = self.coordinates.split
        return lambda b, goal=0.0: broadcast(solve(b)) if split else solve(b)

    @property
    def in_coordinates(self) -> bool:
        """Whether to solve in the coordinates: they are fewer, or the neurons are split."""
        return self.share.split or self.coordinates.n < self.share.n

    def _solver_in_coordinates(self, shift: Array) -> Solver:
        solve = in_coordinates(self.gram(1 / shift), self.moments, self.values, shift)
        return lambda b, goal=0.0: solve(b)


def in_coordinates(
    gram: Array, moments: Callable[[Array], Array], values: Callable[[Array], Array], shift: Array
) -> Callable[[Array], Array]:
    """The map from b to (S + Psi Psi^T)^-1 b = S^-1 (b - Psi y) with S = diag(shift), where
    (I + Psi^T S^-1 Psi) y = Psi^T S^-1 b.

    Args:
        gram: Psi^T S^-1 Psi, ``(R, R)``.
        moments, values: the maps Psi^T and Psi.
        shift: positive, ``(M,)``.
    """
    solve = spd_solver(gram, np.ones(len(gram)))
    return lambda b: (b - values(solve(moments(b / shift)))) / shift


def pair_blocks(omega: Array, other: Array) -> list[slice]:
    """Slices of omega with at most 2^17 pairs each, so that temporary arrays take a megabyte.

    Args:
        omega, other: arrays of m and n points; the pairs are all of one with all of the other.
    """
    return blocks_of(len(omega), max(1, 2**17 // len(other)))
