"""The problem to be solved: a manifold, two densities and a divergence, without any solver."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from uf_diffusion.core.errors import InputError
from uf_diffusion.core.wording import shown
from uf_diffusion.problem.densities import UNIFORM, Density, Uniform
from uf_diffusion.problem.divergences import UNBIASED, Divergence, checked
from uf_diffusion.problem.manifolds import Manifold, Sphere
from uf_diffusion.problem.own_densities import placed
from uf_diffusion.problem.own_manifolds import tried
from uf_diffusion.problem.symmetry import (
    AngleLaw,
    Meridian,
    axis_of,
    require_symmetric,
    unit_axis,
)
from uf_diffusion.problem.unknown import UNKNOWN

__all__ = ["Problem"]


@dataclass(frozen=True, init=False)
class Problem:
    """A teacher-student problem, which can be solved as a PDE and as a network.

    Args:
        manifold: the feature space.
        teacher: the target density nu: a `Density`, or any function that maps points
            ``(n, ambient)`` to non-negative values ``(n,)``; the function is normalised here. By
            default the teacher is known only by the labels that are given to a training.
        initial: the density mu of the student at t = 0, given in the same way.
        divergence: the regulariser f: a `Divergence`, or an object with elementwise functions f,
            df, conjugate, dconjugate and d2conjugate, which are checked against each other.
        axis: a vector ``(ambient,)`` about which both densities are symmetric, on a sphere. Then
            the PDE is solved for functions of the angle to it, in one dimension. On spheres of
            dimension 3 and more it is found if it is not given, unless a density is a function of
            points.

    Attributes:
        teacher, initial: the densities as `Density` values on the manifold, per unit volume.
        axis: the axis as a unit vector; None if the problem is not known to have one, or if it is
            solved on the whole circle or sphere S^2.

    Raises:
        InputError: for a manifold, a density or a divergence that cannot be used, or densities that
            are not symmetric about the axis.
    """

    manifold: Manifold
    teacher: Density
    initial: Density = UNIFORM
    divergence: Divergence = UNBIASED
    axis: tuple[float, ...] | None = None

    # written out, because the arguments may have more types than the attributes
    def __init__(
        self, manifold: Manifold, teacher: Any = UNKNOWN, initial: Any = UNIFORM,
        divergence: Any = UNBIASED, axis: Any = None,
    ) -> None:  # fmt: skip
        if isinstance(manifold, type) or not isinstance(manifold, Manifold):
            raise InputError(f"A Problem begins with a manifold, not {shown(manifold)}.")
        object.__setattr__(self, "manifold", tried(manifold, type(manifold).__qualname__))
        object.__setattr__(self, "teacher", placed(teacher, manifold, "teacher"))
        object.__setattr__(self, "initial", placed(initial, manifold, "initial"))
        object.__setattr__(self, "divergence", checked(divergence))
        object.__setattr__(self, "axis", self._found(axis))
        for name in ("teacher", "initial"):
            self._try(name, axis is not None)

    def _found(self, axis: Any) -> tuple[float, ...] | None:
        """The axis that is given, or that the densities have in three and more dimensions."""
        sphere = isinstance(self.manifold, Sphere)
        if axis is not None and not sphere:
            raise InputError(f"problem.axis is for spheres, not for {self.manifold}.")
        if axis is not None:
            return unit_axis(axis, self.manifold.ambient)
        if not sphere or self.manifold.dim <= 2:
            return None
        parts = (self.teacher.directions, self.initial.directions)
        return axis_of(parts, self.manifold.ambient)

    def _try(self, name: str, given: bool) -> None:
        """Evaluate a density at some points, where it must be symmetric about the axis."""
        density: Density = getattr(self, name)
        if (meridian := self.meridian) is not None:
            density = density.about(meridian)
            object.__setattr__(self, name, density)
        if density.has_values:
            density(self.manifold.sample(7, np.random.default_rng(0)))
            if given and meridian is not None:
                require_symmetric(meridian, density, name)

    @property
    def meridian(self) -> Meridian | None:
        """The sphere as a space of rings about the axis; None if the problem has no axis."""
        return None if self.axis is None else Meridian(Sphere(self.manifold.dim), self.axis)

    @cached_property
    def laws(self) -> tuple[AngleLaw, ...]:
        """The laws of the angle under the uniform density, the teacher and the initial density;
        empty if the problem has no axis, or a measure has no density.
        """
        densities = (Uniform(self.manifold), self.teacher, self.initial)
        if (meridian := self.meridian) is None or not all(d.has_values for d in densities):
            return ()
        return tuple(AngleLaw.of(meridian, density) for density in densities)
