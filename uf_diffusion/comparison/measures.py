"""Discrete probability measures on a manifold: particles, densities at nodes, densities."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from uf_diffusion.comparison.pairs import period_of
from uf_diffusion.errors import InputError
from uf_diffusion.network.feature_maps import place
from uf_diffusion.problem.densities import Density
from uf_diffusion.problem.manifolds import Array, Manifold

__all__ = ["Measure", "checked_points", "checked_weights"]


@dataclass(frozen=True, eq=False)
class Measure:
    """Atoms on a manifold.

    Attributes:
        manifold: where they lie.
        points: ``(n, ambient)``; kept with tori's coordinates in one period.
        weights: ``(n,)``, summing to 1.

    Raises:
        InputError: for points that are not on the manifold, or weights that are not finite, not
            negative, or do not sum to 1.
    """

    manifold: Manifold
    points: Array
    weights: Array

    def __post_init__(self) -> None:
        points = checked_points(self.points)
        if points.shape[1] != self.manifold.ambient:
            raise InputError(
                f"A point has {self.manifold.ambient} coordinates here, not {points.shape[1]}."
            )
        with np.errstate(invalid="ignore", divide="ignore"):
            nearest = self.manifold.retract(points, np.zeros_like(points))
        if not period_of(self.manifold) and not np.abs(nearest - points).max() <= 1e-6:
            raise InputError("A point is off the manifold.")
        object.__setattr__(self, "points", nearest)
        object.__setattr__(self, "weights", checked_weights(self.weights, len(points)))

    @classmethod
    def of_particles(
        cls, manifold: Manifold, points: Array, weights: Array | None = None
    ) -> Measure:
        """Particles ``(n, ambient)`` with weights ``(n,)``, equal where not given."""
        return cls(manifold, points, checked_weights(weights, len(points)))

    @classmethod
    def of_nodes(cls, manifold: Manifold, nodes: Array, density: Array, volume: Array) -> Measure:
        """A finite-element density: atoms at the nodes ``(n, ambient)``, weighted by nodal density
        ``(n,)`` times lumped volume ``(n,)``, of total mass 1 up to 1e-6.
        """
        mass = np.asarray(density, dtype=float) * np.asarray(volume, dtype=float)
        total = float(mass.sum())
        if not abs(total - 1) <= 1e-6:
            raise InputError(f"The density's integral over the nodes is {total:.6g}, not 1.")
        return cls(manifold, nodes, mass / total)

    @classmethod
    def of_density(cls, density: Density, n: int, placement: str = "even") -> Measure:
        """A density at atoms that do not depend on chance, see `place`.

        Args:
            density: the measure.
            n: how many atoms, at most: a lattice takes the largest number that it can have.
            placement: "even" points weighted by the density, the midpoint rule: spectrally
                accurate for smooth densities on circle and tori, to about 1 / n on S^2;
                "quantile" in one dimension; "random", the same sample every time, on a sphere of
                higher dimension.
        """
        count = n if placement == "random" else density.manifold.even_count(n)
        atoms = place(density, count, placement, np.random.default_rng(0))
        return cls(density.manifold, atoms.points, atoms.weights)


def checked_points(X: Array) -> Array:
    """Finite points ``(n, ambient)``, n >= 1.

    Raises:
        InputError: for anything else.
    """
    X = np.asarray(X, dtype=float)
    if X.ndim != 2 or not len(X):
        raise InputError(f"Points must have shape (n, ambient) with n >= 1, not {X.shape}.")
    if not np.isfinite(X).all():
        raise InputError("Points must be finite.")
    return X


def checked_weights(a: Array | None, n: int) -> Array:
    """Weights ``(n,)`` of a probability measure; equal where not given.

    Raises:
        InputError: for anything else.
    """
    if a is None:
        return np.full(n, 1 / n)
    a = np.asarray(a, dtype=float)
    if a.shape != (n,):
        raise InputError(f"Weights must have shape ({n},), not {a.shape}.")
    if not (np.isfinite(a).all() and (a >= 0).all() and abs(a.sum() - 1) <= 1e-8):
        raise InputError("Weights must be finite, not negative, and sum to 1.")
    return a
