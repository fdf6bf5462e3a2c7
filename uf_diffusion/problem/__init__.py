"""What is solved: a manifold, two densities, a divergence. No solver, no files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from uf_diffusion.core.errors import InputError
from uf_diffusion.core.wording import shown
from uf_diffusion.problem.densities import UNIFORM, Density, placed
from uf_diffusion.problem.divergences import UNBIASED, Divergence, checked
from uf_diffusion.problem.manifolds import Manifold

__all__ = ["Problem"]


@dataclass(frozen=True, init=False)
class Problem:
    """One teacher-student problem, to be solved as a PDE and as a network.

    Args:
        manifold: the feature space.
        teacher: the target density nu: a `Density`, or any function of points ``(n, ambient)`` that
            returns ``(n,)`` values that are not negative; it is normalised here.
        initial: the density mu of the student at t = 0, likewise.
        divergence: the regulariser f: a `Divergence`, or an object with elementwise functions f,
            df, conjugate, dconjugate, d2conjugate, which are checked against each other.

    Attributes:
        teacher, initial: as `Density` values on the manifold.

    Raises:
        InputError: for a density or a divergence that cannot be used.
    """

    manifold: Manifold
    teacher: Density
    initial: Density = UNIFORM
    divergence: Divergence = UNBIASED

    # what a caller may give is wider than what is kept
    def __init__(
        self, manifold: Manifold, teacher: Any, initial: Any = UNIFORM,
        divergence: Any = UNBIASED,
    ) -> None:  # fmt: skip
        if isinstance(manifold, type) or not isinstance(manifold, Manifold):
            raise InputError(f"A Problem begins with a manifold, not {shown(manifold)}.")
        object.__setattr__(self, "manifold", manifold)
        object.__setattr__(self, "teacher", placed(teacher, manifold, "teacher"))
        object.__setattr__(self, "initial", placed(initial, manifold, "initial"))
        object.__setattr__(self, "divergence", checked(divergence))
