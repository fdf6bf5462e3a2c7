"""Functions that span a truncated feature map, and what such a map leaves out of a kernel."""

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
    """The sentence for a truncation that would keep nearly everything."""
    return InputError(
        f"network.truncation: leaving out only {dropped:g} of the kernel needs more than {most}; "
        "choose a larger truncation, or none."
    )


class Basis(Protocol):
    """Functions e_1, ..., e_B; n is the number of points omega ``(n, ambient)``."""

    @property
    def size(self) -> int:
        """B."""
        ...

    def matrix(self, omega: Array) -> Array:
        """e_k(omega_i), ``(n, B)``."""
        ...

    def values(self, c: Array, omega: Array) -> Array:
        """The sum of c_k e_k, ``(n,)``."""
        ...

    def gradient(self, c: Array, omega: Array) -> Array:
        """Its tangent gradients, ``(n, ambient)``."""
        ...

    def moments(self, v: Array, omega: Array) -> Array:
        """The sums of v_i e_k(omega_i), ``(B,)``."""
        ...

    def gram(self, v: Array, omega: Array) -> Array:
        """The sums of v_i e_k(omega_i) e_l(omega_i), v of any sign, ``(B, B)``."""
        ...


@dataclass(frozen=True)
class Discrepancy:
    """The signed measure sigma = teacher - sum_i v_i delta_{omega_i}, this rank's v and omega."""

    teacher: Atoms
    omega: Array
    v: Array
    share: Share

    def moments(self, basis: Basis) -> Array:
        """Its integrals of the basis, ``(B,)``."""
        of_teacher = basis.moments(self.teacher.weights, self.teacher.points)
        return of_teacher - self.share.sum(basis.moments(self.v, self.omega))

    def total(self, length: Callable[[Array], Array]) -> float:
        """The sum of |weight| times length(points)."""
        of_teacher = self.teacher.weights @ length(self.teacher.points)
        of_network = np.array(np.abs(self.v) @ length(self.omega))
        return float(of_teacher + self.share.sum(of_network))

    @property
    def variation(self) -> float:
        """The sum of |weight|."""
        return self.total(lambda points: np.ones(len(points)))


class Remainder(Protocol):
    """What was left out of a kernel."""

    def energy(self, sigma: Discrepancy) -> float:
        """An upper bound of sigma.(K - K_R) sigma."""
        ...


MODES = 16000  # their Gram matrix takes 2 GB
