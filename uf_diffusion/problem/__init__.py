"""What is solved: a manifold, two densities, a divergence, a final time. No solver, no I/O."""

from __future__ import annotations

from dataclasses import dataclass

from uf_diffusion.problem.densities import Density
from uf_diffusion.problem.divergences import Divergence
from uf_diffusion.problem.manifolds import Manifold

__all__ = ["Problem"]


@dataclass(frozen=True)
class Problem:
    """One teacher-student problem, to be solved as a PDE and as a network.

    Attributes:
        manifold: the feature space.
        teacher: the target density nu.
        initial: the density mu of the student at t = 0.
        divergence: the regulariser f.
        t_end: final time, dimensionless (the paper's iterations times the step).
    """

    manifold: Manifold
    teacher: Density
    initial: Density
    divergence: Divergence
    t_end: float
