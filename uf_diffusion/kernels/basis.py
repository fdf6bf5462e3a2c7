"""The functions that span a truncated feature map, and bounds of what it leaves out of a kernel."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from uf_diffusion.core.arrays import Array
from uf_diffusion.core.errors import InputError
from uf_diffusion.core.mpi import Share
from uf_diffusion.kernels.feature_maps import Atoms

__all__ = ["MODES", "Basis", "Discrepancy", "Remainder", "too_many"]


def too_many(dropped: float, most: str) -> InputError:
    """The error for a truncation that would need too many modes.

    Args:
        dropped: how much of K(omega, omega) was to be left out.
        most: the number that is not enough, such as "16000 modes".
    """
    return InputError(
        f"network.truncation: leaving out only {dropped:g} of the kernel needs more than {most}; "
        "choose a larger truncation, or none."
    )


class Basis(Protocol):
    """Functions e_1, ..., e_B.

    In the methods, omega are points ``(n, ambient)``, c are coefficients ``(B,)`` of the functions
    and v are weights ``(n,)`` of the points, of any sign.
    """

    @property
    def size(self) -> int:
        """The number B of functions."""
        ...

    def kept(self, n: int) -> int:
        """The number of bytes that stay in memory after sums over n points."""
        ...

    def matrix(self, omega: Array) -> Array:
        """The values e_k(omega_i), ``(n, B)``."""
        ...

    def values(self, c: Array, omega: Array) -> Array:
        """The values of sum_k c_k e_k at omega, ``(n,)``."""
        ...

    def gradient(self, c: Array, omega: Array) -> Array:
        """The tangent gradients of sum_k c_k e_k at omega, ``(n, ambient)``."""
        ...

    def moments(self, v: Array, omega: Array) -> Array:
        """The sums over i of v_i e_k(omega_i), ``(B,)``."""
        ...

    def gram(self, v: Array, omega: Array) -> Array:
        """The sums over i of v_i e_k(omega_i) e_l(omega_i), ``(B, B)``."""
        ...


@dataclass(frozen=True)
class Discrepancy:
    """The signed measure sigma = teacher - sum_i v_i delta_{omega_i}.

    Attributes:
        teacher: the teacher's neurons.
        omega: this rank's features, ``(M, ambient)``.
        v: their coefficients, ``(M,)``.
        share: how the neurons are spread over the ranks.
    """

    teacher: Atoms
    omega: Array
    v: Array
    share: Share

    def moments(self, basis: Basis) -> Array:
        """The integrals of the basis functions against sigma, ``(B,)``."""
        of_teacher = basis.moments(self.teacher.weights, self.teacher.points)
        return of_teacher - self.share.sum(basis.moments(self.v, self.omega))

    def total(self, length: Callable[[Array], Array]) -> float:
        """The sum over all atoms of |weight| times length(points), a function to ``(n,)``."""
        of_teacher = self.teacher.weights @ length(self.teacher.points)
        of_network = np.array(np.abs(self.v) @ length(self.omega))
        return float(of_teacher + self.share.sum(of_network))

    @property
    def variation(self) -> float:
        """The sum over all atoms of |weight|."""
        return self.total(lambda points: np.ones(len(points)))


class Remainder(Protocol):
    """The part K - K_R of a kernel that a truncation to R coordinates leaves out."""

    def energy(self, sigma: Discrepancy) -> float:
        """An upper bound of sigma.(K - K_R) sigma."""
        ...

    def diagonal(self, omega: Array) -> Array:
        """An upper bound of K(omega, omega), ``(n,)``, for points ``(n, ambient)``."""
        ...


MODES = 16000  # largest number of modes; their Gram matrix takes 2 GB
