"""Densities that are given by a user's function, of points or of the height along an axis."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import ModuleType
from typing import Any, Self

import numpy as np

from uf_diffusion.core.arrays import Array
from uf_diffusion.core.errors import InputError
from uf_diffusion.core.wording import cause, shown
from uf_diffusion.problem.densities import Density
from uf_diffusion.problem.manifolds import NOWHERE, Manifold, Sphere
from uf_diffusion.problem.symmetry import AngleLaw, Meridian, unit_axis

__all__ = ["Function", "Height", "placed"]

DRAWS = 1000  # rounds of rejection sampling, at most
EVEN = 20_000  # points of a lattice, and
RANDOM = 2_000_000  # coordinates of random points, for the integral of a function


@dataclass(frozen=True)
class Function(Density):
    """A density given by a user's function ``(n, ambient) -> (n,)``, normalised by quadrature.

    Attributes:
        values: the function; its values must not be negative.
        name: the name used in messages; if not given, the name of the function.
        meridian: the axis about which the function is symmetric, if it is; then the integral and
            samples are those of the law of the angle, in any dimension.

    Raises:
        InputError: if the function fails, has values that cannot be used, or integral 0; also when
            the density is evaluated or sampled.
    """

    values: Callable[[Array], Any] = field(default=NOWHERE, repr=False)
    name: str = ""
    meridian: Meridian | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if not callable(self.values):
            raise InputError(f"'{self.name or shown(self.values)}' is not a function.")
        if not self.name:
            object.__setattr__(self, "name", getattr(self.values, "__name__", "function"))
        # in high dimensions random points see nothing of a peak: wait for the axis
        if self.manifold is not NOWHERE and (self.meridian or self.manifold.dim <= 2):
            _ = self._mass

    def about(self, meridian: Meridian) -> Self:
        return replace(self, meridian=meridian)

    def _plain(self, x: Array) -> Any:
        """The function at points ``(n, ambient)``, not checked."""
        return self.values(x)

    @cached_property
    def _law(self) -> AngleLaw | None:
        return None if self.meridian is None else AngleLaw.of(self.meridian, self._checked)

    @cached_property
    def _mass(self) -> float:
        """The integral of the function."""
        self._checked(self.manifold.sample(7, np.random.default_rng(0)))  # a trial
        law = self._law
        with np.errstate(over="ignore"):
            mass = self._scattered[0] if law is None else law.mass
        if not 0 < mass < math.inf:
            raise InputError(f"Density '{self.name}' cannot be normalised: its integral is {mass}.")
        return mass

    @cached_property
    def _scattered(self) -> tuple[float, float]:
        """The function's integral and largest value at points all over the manifold."""
        manifold = self.manifold
        side = math.ceil(EVEN ** (1 / manifold.dim))
        try:
            x = manifold.even(side**manifold.dim)
        except InputError:  # there is no lattice on this manifold
            x = manifold.sample(min(200_000, RANDOM // manifold.ambient), np.random.default_rng(0))
        values = self._checked(x)
        return float(values.mean() * manifold.volume), float(values.max())

    def _checked(self, x: Array) -> Array:
        try:
            values = np.asarray(self._plain(x))
        except Exception as error:
            raise InputError(f"Density '{self.name}' failed with {cause(error)}.") from error
        if values.dtype.kind not in "biuf":
            raise InputError(
                f"Density '{self.name}' must give real numbers, not of type {values.dtype}."
            )
        if values.shape != (len(x),):
            raise InputError(
                f"Density '{self.name}' must map {self._domain} to (n,), "
                f"but gave shape {values.shape} for n = {len(x)}."
            )
        if not np.isfinite(values).all():
            raise InputError(f"Density '{self.name}' has values that are not finite.")
        if (values < 0).any():
            raise InputError(f"Density '{self.name}' is negative: {values.min():.3g}.")
        return values.astype(float)

    @property
    def _domain(self) -> str:
        return f"(n, {self.manifold.ambient})"

    def formula(self, x: Any, xp: ModuleType) -> Any:
        if xp is not np:
            raise InputError(f"Density '{self.name}' is a numpy function without UFL form.")
        mass = self._mass  # first, as its trial has the clearer sentences
        return self._checked(np.asarray(x).T) / mass

    def sample(self, n: int, rng: np.random.Generator) -> Array:
        """Draw by the law of the angle, or by rejection from the uniform density, whose bound is
        checked in every round.

        Raises:
            InputError: if the density has a peak that is too sharp for this.
        """
        mass = self._mass
        if (law := self._law) is not None:
            return law.sample(n, rng)
        peak = 1.5 * self._scattered[1] / mass
        accepted, found = [np.empty((0, self.manifold.ambient))], 0
        for _ in range(DRAWS):
            if found >= n:
                return np.concatenate(accepted)[:n]
            x = self.manifold.sample(max(2 * n, 1000), rng)
            values = self(x)
            if values.max() > peak:
                break
            accepted.append(x[rng.random(len(x)) * peak < values])
            found += len(accepted[-1])
        raise InputError(f"Density '{self.name}' has a peak too sharp to sample.")


@dataclass(frozen=True)
class Height(Function):
    """A density on a sphere given by a function ``(n,) -> (n,)`` of the height s = e.omega.

    Attributes:
        axis: the axis e, a vector ``(ambient,)``, normalised here; if not given, that of the
            problem, or else (1, 0, ..., 0).

    Raises:
        InputError: on another manifold, for another axis, and as `Function`.
    """

    axis: Any = None

    def __post_init__(self) -> None:
        if self.manifold is NOWHERE:
            return super().__post_init__()
        if not isinstance(self.manifold, Sphere):
            raise InputError("Density 'height' lives on spheres.")
        if self.axis is not None:
            object.__setattr__(self, "axis", unit_axis(self.axis, self.manifold.ambient, "axis"))
        if self.meridian is None or self.axis is not None:
            e = self.axis or tuple(np.eye(self.manifold.ambient)[0].tolist())
            object.__setattr__(self, "meridian", Meridian(Sphere(self.manifold.dim), e))
        return super().__post_init__()

    def _plain(self, x: Array) -> Any:
        assert self.meridian is not None
        return self.values(np.clip(x @ np.array(self.meridian.direction), -1.0, 1.0))

    @property
    def _domain(self) -> str:
        return "heights (n,)"

    @property
    def directions(self) -> Array:
        assert self.meridian is not None
        return np.array([self.meridian.direction])


def placed(density: Any, manifold: Manifold, name: str) -> Density:
    """A density on a manifold, made from a `Density` or a function of points; it is not tried here.

    Args:
        density: what the caller gave.
        manifold: the manifold on which the density is to live.
        name: "teacher" or "initial", used in messages.

    Raises:
        InputError: for anything else, and as `Density.on` and `Function`.
    """
    if isinstance(density, Density):
        return density.on(manifold)
    if isinstance(density, type) or not callable(density):
        raise InputError(
            f"The {name} must be a density such as Uniform() or a function of points, "
            f"not {shown(density)}."
        )
    return Function(manifold, density)
