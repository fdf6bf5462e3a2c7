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

from uf_diffusion.core.arrays import Array
from uf_diffusion.core.mpi import Share, broadcast
from uf_diffusion.core.threads import blocks_of
from uf_diffusion.kernels.dense import spd_solver

__all__ = ["Atoms", "FeatureMap", "FiniteNeurons", "Neurons", "Remembered", "Solver", "pair_blocks"]


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


def pair_blocks(omega: Array, other: Array) -> list[slice]:
    """Slices of omega with at most 2^17 pairs each: temporary arrays of a megabyte."""
    return blocks_of(len(omega), max(1, 2**17 // len(other)))
