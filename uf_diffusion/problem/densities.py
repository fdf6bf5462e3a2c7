"""Teacher and initial densities. Each has one formula, which numpy and UFL evaluate.

A density is a small frozen value, with respect to the volume of its manifold. Its method
``formula(x, xp)`` takes the coordinates ``x[0], x[1], ...`` and the namespace ``numpy`` or ``ufl``.
Calling the density maps points ``(n, ambient)`` to values ``(n,)``, per unit volume. A density made
without a manifold, such as ``Bumps(gamma=10)``, takes that of the `Problem` to which it is given.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from types import ModuleType
from typing import Any, Self

import numpy as np
from scipy.special import hyp0f1, ive

from uf_diffusion.core.arguments import points, reals
from uf_diffusion.core.arrays import Array
from uf_diffusion.core.errors import InputError
from uf_diffusion.core.wording import shown
from uf_diffusion.problem.manifolds import NOWHERE, Circle, Manifold, Sphere
from uf_diffusion.problem.symmetry import Meridian

__all__ = ["UNIFORM", "Bumps", "Density", "Diracs", "Uniform", "VonMisesFisher"]

LARGE = 1e8  # kappa from which on the Bessel function is a short series
LARGEST = 700.0  # logarithm of the largest peak of a density


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

    def neurons(self, n: int, rng: np.random.Generator) -> tuple[Array, Array]:
        """Points ``(n, ambient)`` and masses ``(n,)`` of ``n`` neurons that stand for the measure.

        They are independent points with equal masses unless a subclass says otherwise.
        """
        return self.sample(n, rng), np.full(n, 1 / n)

    @property
    def data(self) -> tuple[Array, ...]:
        """The arrays that the density is made from, where it is made from data."""
        return ()

    @property
    def has_values(self) -> bool:
        """Whether the measure has a density, which point masses do not have."""
        return True

    @property
    def directions(self) -> Array | None:
        """Unit vectors ``(n, ambient)``: the density is symmetric about an axis if all of them lie
        on it. None if that is not known.
        """
        return None

    def about(self, meridian: Meridian) -> Self:
        """The same density, which may rely on its symmetry about an axis."""
        return self

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

    @property
    def directions(self) -> Array:
        return np.empty((0, self.manifold.ambient))


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
        if self.manifold.dim * math.log(max(1.0, kappa.max()) / (2 * math.pi)) > 2 * LARGEST:
            raise InputError(
                f"kappa = {shown(self.kappa)} gives no finite peak on {self.manifold}."
            )
        kappa = np.broadcast_to(kappa.ravel(), (len(means),))
        object.__setattr__(self, "means", tuple(map(tuple, self.manifold.project(means))))
        object.__setattr__(self, "kappa", tuple(map(float, kappa)))
        object.__setattr__(self, "weights", _weights(self.weights, len(means)))

    def formula(self, x: Any, xp: ModuleType) -> Any:
        total = 0 * x[0]
        for mean, kappa, weight in zip(self.means, self.kappa, self.weights, strict=True):
            cosine = sum(m * x[k] for k, m in enumerate(mean))
            total = total + weight * self.peak(kappa) * xp.exp(kappa * (cosine - 1))
        return total

    @property
    def directions(self) -> Array:
        return np.array(self.means)

    def peak(self, kappa: float) -> float:
        """The value c(kappa) exp(kappa) of the density at its mean direction."""
        half = self.manifold.ambient / 2
        if kappa < 1:  # a power of kappa would underflow in high dimensions
            return math.exp(kappa) / (self.manifold.volume * float(hyp0f1(half, kappa**2 / 4)))
        order, m = half - 1, 4 * (half - 1) ** 2
        if kappa < LARGE:
            bessel = float(ive(order, kappa))
        else:  # where the library's function is not a number; https://dlmf.nist.gov/10.40.1
            series = 1 - (m - 1) / (8 * kappa) * (1 - (m - 9) / (16 * kappa))
            bessel = series / math.sqrt(2 * math.pi * kappa)
        return float((kappa / (2 * math.pi)) ** order / (2 * math.pi * bessel))

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
