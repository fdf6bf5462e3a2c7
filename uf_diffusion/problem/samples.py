"""The density of points that are given, smoothed by a kernel."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from uf_diffusion.core.arguments import reals
from uf_diffusion.core.arrays import Array
from uf_diffusion.core.errors import InputError
from uf_diffusion.core.wording import shown
from uf_diffusion.problem.cross_validation import best_width
from uf_diffusion.problem.from_data import (
    FromData,
    digest_of,
    nested,
    of_file,
    require_one_source,
)
from uf_diffusion.problem.manifolds import NOWHERE, Manifold
from uf_diffusion.problem.smoothing import kernel, widths
from uf_diffusion.results.tables import read_arrays

__all__ = ["Samples", "points_on"]

APART = 1e-3  # a point so far from a sphere is a mistake, and not round-off
ROUND_OFF = 1e-15  # a point so near stays as it is, so that a stored one does
WEIGHTS = "weights"


@dataclass(frozen=True)
class Samples(FromData):
    """The density of points, each of them smoothed by a kernel of one width.

    The kernel is von Mises and Fisher's on the circle and on spheres, with concentration
    1 / width^2, and a wrapped Gaussian on flat tori. The diffusion has this density; the neurons of
    a network that are placed at random are the points themselves, as `neurons` says.

    Attributes:
        points: vectors ``(n, ambient)``, or coordinates of the chart ``(n, dim)``: an angle in
            radians on the circle, longitude and height on S^2. An angle or a coordinate of a torus
            may be up to a period away from 0. Points that are up to 1e-3 away from a sphere are
            moved to it.
        weights: a positive number for each point; they need not sum to 1. By default all are equal.
            Those of a file are its array or column "weights" or "weight".
        file: a file with the points, see `read_arrays`: an array "points", or named columns.
        width: the width of the kernel, in radians on spheres; if None, cross-validation chooses it.
        floor: as in `FromData`; the neurons of a network do not have it.

    Raises:
        InputError: for data or a width that cannot be used, or on another manifold.
    """

    points: Any = field(default=None, repr=False)
    weights: Any = field(default=None, repr=False)
    width: float | None = None
    _cloud: Any = field(default=None, init=False, repr=False, compare=False)
    _kernel: Any = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.manifold is NOWHERE:
            return
        widths(self.manifold)  # first, as it says where the density lives
        require_one_source("samples", "points", self.points, self.file)
        with of_file(self.file) as path:
            points, weights = (self.points, self.weights) if path is None else self._read(path)
            points = points_on(self.manifold, points)
            mass = _masses(weights, len(points))
            chosen = best_width(points, mass, self.manifold) if self.width is None else self.width
        object.__setattr__(self, "_kernel", kernel(self.manifold, chosen))
        object.__setattr__(self, "_cloud", (points, mass))
        object.__setattr__(self, "width", float(chosen))
        object.__setattr__(self, "digest", digest_of(points, mass))
        if self.file is None:
            object.__setattr__(self, "points", nested(points))
            if weights is not None:
                object.__setattr__(self, "weights", nested(reals("weights", weights)))

    def _read(self, path: Path) -> tuple[Any, Any]:
        """The points and the weights of a file."""
        arrays = read_arrays(path, "points")
        if self.weights is not None:
            raise InputError(f"The weights of points in a file are its array '{WEIGHTS}'.")
        weights = arrays.pop(WEIGHTS, None)
        if "points" in arrays:
            return arrays["points"], weights
        columns = list(arrays.values())
        if not columns or any(np.shape(c) != np.shape(columns[0])[:1] for c in columns):
            raise InputError("There is no array 'points', nor named columns of equal length.")
        return np.column_stack(columns), weights

    @property
    def data(self) -> tuple[Array, ...]:
        """The points ``(n, ambient)`` and their masses ``(n,)``."""
        cloud: tuple[Array, Array] = self._cloud
        return cloud

    @property
    def directions(self) -> Array:
        return self.data[0]

    def _estimate(self, x: Array) -> Array:
        values: Array = self._kernel.density(x, *self.data)
        return values

    def _drawn(self, n: int, rng: np.random.Generator) -> Array:
        points, mass = self.data
        chosen = points[rng.choice(len(mass), size=n, p=mass)]
        drawn: Array = self._kernel.sample(chosen, rng)
        return drawn

    def neurons(self, n: int, rng: np.random.Generator) -> tuple[Array, Array]:
        """The points with their masses, if there are ``n`` of them; otherwise ``n`` independent
        points that are drawn from them, with equal masses.
        """
        points, mass = self.data
        if n == len(points):
            return points.copy(), mass.copy()
        return points[rng.choice(len(mass), size=n, p=mass)], np.full(n, 1 / n)


def points_on(manifold: Manifold, values: Any) -> Array:
    """The points ``(n, ambient)`` of a manifold that vectors or coordinates of its chart give.

    Args:
        manifold: a sphere or a flat torus.
        values: vectors ``(n, ambient)``, coordinates ``(n, dim)``, or ``(n,)`` in one dimension.

    Raises:
        InputError: for values of another shape, or a row that is not a point of the manifold.
    """
    x = reals("points", values)
    x = x[:, None] if x.ndim == 1 and manifold.dim == 1 else x
    allowed = sorted({len(manifold.axes), manifold.ambient} - {0})
    if x.ndim != 2 or not len(x) or x.shape[1] not in allowed:
        wanted = " or ".join(f"(n, {columns})" for columns in allowed)
        raise InputError(f"points on {manifold} must have shape {wanted}, not {x.shape}.")
    with np.errstate(invalid="ignore", divide="ignore"):
        if x.shape[1] == len(manifold.axes):
            far = ~(np.abs(x) <= _reach(manifold)).all(axis=1)
            on = manifold.unchart(np.where(far[:, None], 0.0, x))
        else:
            on = manifold.retract(x, np.zeros_like(x))
            away = np.linalg.norm(on - x, axis=1)
            on, far = np.where(away[:, None] < ROUND_OFF, x, on), ~(away <= APART)
    if far.any():
        row = int(np.argmax(far))
        raise InputError(f"Row {row} of points is not a point of {manifold}: "
                         f"{shown(x[row].tolist())}.")  # fmt: skip
    return np.ascontiguousarray(on)


def _reach(manifold: Manifold) -> Array:
    """The largest magnitude of each coordinate of the chart: a period, or the height 1 on S^2."""
    on_sphere = manifold.dim == 2 and not manifold.period
    lengths = [axis.length for axis in manifold.axes]
    return np.array([lengths[0], 1.0] if on_sphere else lengths)


def _masses(weights: Any, count: int) -> Array:
    """Weights scaled to sum 1, ``(n,)``; None gives equal ones."""
    mass = np.ones(count) if weights is None else reals("weights", weights)
    if mass.shape != (count,) or not (mass > 0).all() or not (mass / mass.sum() > 0).all():
        raise InputError(f"weights must be {count} positive numbers, one for each point, "
                         f"not {shown(weights)}.")  # fmt: skip
    return mass / mass.sum()
