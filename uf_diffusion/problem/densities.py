"""Teacher and initial densities. Each has one formula, which numpy and UFL evaluate.

A density is a small frozen value, with respect to the volume of its manifold. Its method
``formula(x, xp)`` takes the coordinates ``x[0], x[1], ...`` and the namespace ``numpy`` or ``ufl``.
Calling the density maps points ``(n, ambient)`` to values ``(n,)``, per unit volume. A density made
without a manifold, such as ``Bumps(gamma=10)``, takes that of the `Problem` to which it is given.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from types import ModuleType
from typing import Any, Self

import numpy as np
from scipy.special import ive

from uf_diffusion.core.arguments import points, reals
from uf_diffusion.core.arrays import Array
from uf_diffusion.core.errors import InputError
from uf_diffusion.core.wording import cause, shown
from uf_diffusion.problem.manifolds import NOWHERE, Circle, Manifold, Sphere

__all__ = ["UNIFORM", "Bumps", "Density", "Diracs", "Function", "Uniform", "VonMisesFisher",
           "placed"]  # fmt: skip

_DRAWS = 1000  # rounds of rejection sampling, at most


@dataclass(frozen=True)
class Density:
    """A probability density on a manifold. Subclasses define ``formula`` and ``sample``.

    Attributes:
        manifold: the manifold; if not given, that of the problem to which the density is given.
    """

    manifold: Manifold = field(default=NOWHERE, repr=False)

    def on(self, manifold: Manifold) -> Self:
        """The density on a manifold: a copy if it has no manifold yet, otherwise itself.

        Raises:
            InputError: if it lives on another manifold, or cannot live on this one.
        """
        if self.manifold is NOWHERE:
            return replace(self, manifold=manifold)
        if self.manifold != manifold:
            raise InputError(f"The density {self} lives on {self.manifold}, not on {manifold}.")
        return self

    def formula(self, x: Any, xp: ModuleType) -> Any:
        """The density, per unit volume, at coordinates ``x[0], x[1], ...``.

        ``xp`` is the namespace ``numpy`` or ``ufl`` whose functions are used.
        """
        raise NotImplementedError

    def sample(self, n: int, rng: np.random.Generator) -> Array:
        """Draw ``n`` independent points ``(n, ambient)`` from this density."""
        raise NotImplementedError

    @property
    def has_values(self) -> bool:
        """Whether the measure has a density, which point masses do not have."""
        return True

    def __call__(self, x: Array) -> Array:
        x = points(x, self.manifold.ambient)
        values = np.asarray(self.formula(x.T, np))
        if values.shape != (len(x),):
            gave = f"gave shape {values.shape} for n = {len(x)}"
            raise InputError(f"Density {self} must map n points to values (n,), but {gave}.")
        return values


@dataclass(frozen=True)
class Uniform(Density):
    """The constant density 1 / volume."""

    def formula(self, x: Any, xp: ModuleType) -> Any:
        return 0 * x[0] + 1 / self.manifold.volume

    def sample(self, n: int, rng: np.random.Generator) -> Array:
        return self.manifold.sample(n, rng)


@dataclass(frozen=True)
class Bumps(Density):
    """The paper's teacher density with peaks, on the circle and on flat tori of any dimension.

    The density is proportional to the sum over peaks k of weights[k] times the product over the
    axes of 1 / (1 + gamma sin^2(a / 2)). Here a is the angle to centres[k] along the axis, where a
    period is a full turn. Each peak has mass weights[k] / sum(weights). Source: arXiv:2504.18208,
    section 6.1 (circle) and appendix B (torus of period 4), which also give the default peaks.

    Attributes:
        gamma: sharpness >= 0; the half width of a peak is about 2 / sqrt(gamma) radians.
        centres: for each peak an angle in radians (circle) or a point ``(dim,)`` (torus).
        weights: a positive number for each peak; they need not sum to 1.

    Raises:
        InputError: on another manifold, or for values out of range.
    """

    gamma: float = 100.0
    centres: Any = None
    weights: Any = None

    def __post_init__(self) -> None:
        if self.manifold is NOWHERE:
            return
        if not hasattr(self.manifold, "half_sine_squared"):
            raise InputError("Density 'bumps' lives on the circle and the torus; "
                             "on a sphere use 'von-mises-fisher'.")  # fmt: skip
        if not (_is_number(self.gamma) and 0 <= self.gamma < math.inf):
            raise InputError(f"gamma must be a finite number >= 0, not {shown(self.gamma)}.")
        centres, weights = self.centres, self.weights
        if centres is None:
            centres, weights = self._paper() if weights is None else (self._paper()[0], weights)
        axes = self.manifold.dim
        centres = reals("centres", centres)
        centres = centres.reshape(-1, 1) if axes == 1 and centres.ndim < 2 else centres
        if centres.ndim != 2 or centres.shape[1] != axes or not len(centres):
            raise InputError(f"centres must be a list of points with {axes} coordinate(s) each, "
                             f"not {shown(self.centres)}.")  # fmt: skip
        object.__setattr__(self, "centres", tuple(map(tuple, centres)))
        object.__setattr__(self, "weights", _weights(weights, len(centres)))

    def _paper(self) -> tuple[Any, Any]:
        if isinstance(self.manifold, Circle):
            return [0.0, 0.4 * math.pi], [1.0, 0.5]
        axes = np.ones(self.manifold.dim)
        quarter = self.manifold.axes[0].length / 4
        first = quarter * np.where(np.arange(self.manifold.dim) == 0, -1.0, 0.0)
        return [first, quarter * axes], [0.5, 0.5]

    def formula(self, x: Any, xp: ModuleType) -> Any:
        manifold: Any = self.manifold
        peak = math.sqrt(1 + self.gamma) / manifold.axes[0].length
        total = 0 * x[0]
        for centre, weight in zip(self.centres, self.weights, strict=True):
            product = weight
            for s in manifold.half_sine_squared(x, np.array(centre), xp):
                product = product * peak / (1 + self.gamma * s)
            total = total + product
        return total

    def sample(self, n: int, rng: np.random.Generator) -> Array:
        """Draw exactly: tan(a / 2) is a Cauchy variable of scale 1 / sqrt(1 + gamma)."""
        which = rng.choice(len(self.weights), size=n, p=self.weights)
        cauchy = np.tan(math.pi * (rng.random((n, self.manifold.dim)) - 0.5))
        turns = np.arctan(cauchy / math.sqrt(1 + self.gamma)) / math.pi
        length = self.manifold.axes[0].length
        return self.manifold.unchart(np.array(self.centres)[which] + length * turns)


@dataclass(frozen=True)
class VonMisesFisher(Density):
    """A mixture of von Mises-Fisher densities c(kappa) exp(kappa m.x) on a sphere.

    Attributes:
        kappa: concentration from 0 to 1e12, one number for all peaks or one for each.
        means: directions ``(k, dim + 1)`` of the peaks, normalised here; default (1, 0, ..., 0).
        weights: a positive number for each peak; they need not sum to 1.

    Raises:
        InputError: on another manifold, or for values out of range.
    """

    kappa: Any = 10.0
    means: Any = None
    weights: Any = None

    def __post_init__(self) -> None:
        if self.manifold is NOWHERE:
            return
        if not isinstance(self.manifold, Sphere):
            raise InputError("Density 'von-mises-fisher' lives on the circle and the sphere; "
                             "on a torus use 'bumps'.")  # fmt: skip
        n = self.manifold.ambient
        means = np.eye(1, n) if self.means is None else reals("means", self.means)
        if means.ndim != 2 or means.shape[1] != n or not (np.linalg.norm(means, axis=1) > 0).all():
            raise InputError(f"means must be a list of non-zero vectors with {n} coordinates, "
                             f"not {shown(self.means)}.")  # fmt: skip
        kappa = reals("kappa", self.kappa)
        if kappa.size not in (1, len(means)) or not ((kappa >= 0) & (kappa <= 1e12)).all():
            raise InputError(
                "kappa must be a number between 0 and 1e12, or one for each of the means, "
                f"not {shown(self.kappa)}."
            )
        kappa = np.broadcast_to(kappa.ravel(), (len(means),))
        object.__setattr__(self, "means", tuple(map(tuple, self.manifold.project(means))))
        object.__setattr__(self, "kappa", tuple(map(float, kappa)))
        object.__setattr__(self, "weights", _weights(self.weights, len(means)))

    def formula(self, x: Any, xp: ModuleType) -> Any:
        total = 0 * x[0]
        for mean, kappa, weight in zip(self.means, self.kappa, self.weights, strict=True):
            cosine = sum(m * x[k] for k, m in enumerate(mean))
            total = total + weight * self._peak(kappa) * xp.exp(kappa * (cosine - 1))
        return total

    def _peak(self, kappa: float) -> float:
        """The value c(kappa) exp(kappa) of the density at its mean direction."""
        half = self.manifold.ambient / 2
        if kappa < 1e-8:
            return 1 / self.manifold.volume
        return float(kappa ** (half - 1) / ((2 * math.pi) ** half * ive(half - 1, kappa)))

    def sample(self, n: int, rng: np.random.Generator) -> Array:
        from scipy.stats import vonmises_fisher  # takes longer to load than most of this package

        counts = rng.multinomial(n, self.weights)
        parts = [np.empty((0, self.manifold.ambient))]
        for mean, kappa, count in zip(self.means, self.kappa, counts, strict=True):
            if count and kappa < 1e-8:
                parts.append(self.manifold.sample(count, rng))
            elif count:
                law = vonmises_fisher(np.array(mean), kappa)
                parts.append(np.atleast_2d(law.rvs(count, random_state=rng)))
        return np.asarray(rng.permutation(np.concatenate(parts)))


@dataclass(frozen=True)
class Diracs(Density):
    """Point masses. They have no density, so a network can use them but the diffusion cannot.

    Source: arXiv:2504.18208, appendix B, the limit of infinite gamma.

    Attributes:
        centres: the points ``(k, ambient)``; on a torus in the coordinates of the chart.
        weights: a positive number for each point; they need not sum to 1.

    Raises:
        InputError: for values out of range.
    """

    centres: Any = None
    weights: Any = None

    def __post_init__(self) -> None:
        if self.manifold is NOWHERE:
            return
        n = self.manifold.ambient
        centres = reals("centres", [] if self.centres is None else self.centres)
        if centres.ndim != 2 or centres.shape[1] != n or not len(centres):
            raise InputError(f"centres must be a list of points with {n} coordinate(s) each, "
                             f"not {shown(self.centres)}.")  # fmt: skip
        with np.errstate(invalid="ignore", divide="ignore"):
            centres = self.manifold.retract(centres, np.zeros_like(centres))
        if not np.isfinite(centres).all():
            raise InputError("centres on a sphere must not be the origin.")
        object.__setattr__(self, "centres", tuple(map(tuple, centres)))
        object.__setattr__(self, "weights", _weights(self.weights, len(centres)))

    @property
    def has_values(self) -> bool:
        return False

    def formula(self, x: Any, xp: ModuleType) -> Any:
        raise InputError(
            "A measure of kind 'diracs' has no density: train the network alone, placed at random."
        )

    def sample(self, n: int, rng: np.random.Generator) -> Array:
        return np.array(self.centres)[rng.choice(len(self.weights), size=n, p=self.weights)]


@dataclass(frozen=True)
class Function(Density):
    """A density given by a user's function ``(n, ambient) -> (n,)``, normalised by quadrature.

    Attributes:
        values: the function; its values must not be negative.
        name: the name used in messages; if not given, the name of the function.

    Raises:
        InputError: if the function fails, has values that cannot be used, or integral 0.
    """

    values: Callable[[Array], Any] = field(default=NOWHERE, repr=False)
    name: str = ""
    _mass: float = field(default=1.0, init=False, repr=False, compare=False)
    _peak: float = field(default=0.0, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not callable(self.values):
            raise InputError(f"'{self.name or shown(self.values)}' is not a function.")
        if not self.name:
            object.__setattr__(self, "name", getattr(self.values, "__name__", "function"))
        if self.manifold is not NOWHERE:
            self._normalise()

    def _normalise(self) -> None:
        manifold = self.manifold
        side = math.ceil(20_000 ** (1 / manifold.dim))
        try:
            x = manifold.even(side**manifold.dim)
        except InputError:  # there is no lattice on this manifold
            x = manifold.sample(200_000, np.random.default_rng(0))
        self._checked(x[:7])  # a trial
        values = self._checked(x)
        with np.errstate(over="ignore"):
            mass = float(values.mean() * manifold.volume)
        if not 0 < mass < math.inf:
            raise InputError(f"Density '{self.name}' cannot be normalised: its integral is {mass}.")
        object.__setattr__(self, "_mass", mass)
        object.__setattr__(self, "_peak", 1.5 * float(values.max()) / mass)

    def _checked(self, x: Array) -> Array:
        try:
            values = np.asarray(self.values(x))
        except Exception as error:
            raise InputError(f"Density '{self.name}' failed with {cause(error)}.") from error
        if values.dtype.kind not in "biuf":
            raise InputError(
                f"Density '{self.name}' must give real numbers, not of type {values.dtype}."
            )
        if values.shape != (len(x),):
            raise InputError(
                f"Density '{self.name}' must map (n, {x.shape[1]}) to (n,), "
                f"but gave shape {values.shape} for n = {len(x)}."
            )
        if not np.isfinite(values).all():
            raise InputError(f"Density '{self.name}' has values that are not finite.")
        if (values < 0).any():
            raise InputError(f"Density '{self.name}' is negative: {values.min():.3g}.")
        return values.astype(float)

    def formula(self, x: Any, xp: ModuleType) -> Any:
        if xp is not np:
            raise InputError(f"Density '{self.name}' is a numpy function without UFL form.")
        return self._checked(np.asarray(x).T) / self._mass

    def sample(self, n: int, rng: np.random.Generator) -> Array:
        """Draw by rejection from the uniform density; the bound is checked in every round.

        Raises:
            InputError: if the density has a peak that is too sharp for this.
        """
        accepted, found = [np.empty((0, self.manifold.ambient))], 0
        for _ in range(_DRAWS):
            if found >= n:
                return np.concatenate(accepted)[:n]
            x = self.manifold.sample(max(2 * n, 1000), rng)
            values = self(x)
            if values.max() > self._peak:
                break
            accepted.append(x[rng.random(len(x)) * self._peak < values])
            found += len(accepted[-1])
        raise InputError(f"Density '{self.name}' has a peak too sharp to sample.")


def placed(density: Any, manifold: Manifold, name: str) -> Density:
    """A density on a manifold, made from a `Density` or a function of points.

    Args:
        density: what the caller gave.
        manifold: the manifold on which the density is to live.
        name: "teacher" or "initial", used in messages.

    Raises:
        InputError: for anything else, and as `Density.on`, its call and `Function`.
    """
    if isinstance(density, Density):
        if (there := density.on(manifold)).has_values:
            there(manifold.sample(7, np.random.default_rng(0)))  # a trial
        return there
    if isinstance(density, type) or not callable(density):
        raise InputError(
            f"The {name} must be a density such as Uniform() or a function of points, "
            f"not {shown(density)}."
        )
    return Function(manifold, density)


def _is_number(value: Any) -> bool:
    number = isinstance(value, int | float | np.integer | np.floating)
    return number and not isinstance(value, bool)


def _weights(values: Any, count: int) -> tuple[float, ...]:
    weights = np.ones(count) if values is None else reals("weights", values)
    if weights.shape != (count,) or not (weights > 0).all():
        raise InputError(f"weights must be {count} positive number(s), one for each peak, "
                         f"not {shown(values)}.")  # fmt: skip
    return tuple(map(float, weights / weights.sum()))


UNIFORM = Uniform()
