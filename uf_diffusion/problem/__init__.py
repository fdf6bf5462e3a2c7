"""The problem to be solved: a manifold, two densities and a divergence, without any solver."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from uf_diffusion.core.errors import InputError
from uf_diffusion.core.wording import shown
from uf_diffusion.problem.densities import UNIFORM, Density, placed
from uf_diffusion.problem.divergences import UNBIASED, Divergence, checked
from uf_diffusion.problem.manifolds import Manifold
from uf_diffusion.problem.own_manifolds import tried

__all__ = ["Problem"]


@dataclass(frozen=True, init=False)
class Problem:
    """A teacher-student problem, which can be solved as a PDE and as a network.

    Args:
        manifold: the feature space.
        teacher: the target density nu: a `Density`, or any function that maps points
            ``(n, ambient)`` to non-negative values ``(n,)``; the function is normalised here.
        initial: the density mu of the student at t = 0, given in the same way.
        divergence: the regulariser f: a `Divergence`, or an object with elementwise functions f,
            df, conjugate, dconjugate and d2conjugate, which are checked against each other.

    Attributes:
        teacher, initial: the densities as `Density` values on the manifold, per unit volume.

    Raises:
        InputError: for a manifold, a density or a divergence that cannot be used.
    """

    manifold: Manifold
    teacher: Density
    initial: Density = UNIFORM
    divergence: Divergence = UNBIASED

    # written out, because the arguments may have more types than the attributes
    def __init__(
        self, manifold: Manifold, teacher: Any, initial: Any = UNIFORM,
        divergence: Any = UNBIASED,
    ) -> None:  # fmt: skip
        if isinstance(manifold, type) or not isinstance(manifold, Manifold):
            raise InputError(f"A Problem begins with a manifold, not {shown(manifold)}.")
        object.__setattr__(self, "manifold", tried(manifold, type(manifold).__qualname__))
        object.__setattr__(self, "teacher", placed(teacher, manifold, "teacher"))
        object.__setattr__(self, "initial", placed(initial, manifold, "initial"))
        object.__setattr__(self, "divergence", checked(divergence))
