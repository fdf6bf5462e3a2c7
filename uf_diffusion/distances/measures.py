"""Discrete probability measures on a manifold, made of particles or of densities."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from uf_diffusion.core import arguments
from uf_diffusion.core.arrays import Array
from uf_diffusion.core.errors import InputError
from uf_diffusion.network.placement import place
from uf_diffusion.problem.densities import Density
from uf_diffusion.problem.manifolds import Manifold

__all__ = ["Measure", "require_one_manifold"]


@dataclass(frozen=True, eq=False)
class Measure:
    """A discrete probability measure on a manifold.

    Attributes:
        manifold: the manifold.
        points: the atoms ``(n, ambient)``; on a torus the coordinates are wrapped into one period.
        weights: their weights ``(n,)``, not negative, summing to 1.

    Raises:
        InputError: for points that are not on the manifold, or weights that are not finite, are
            negative, or do not sum to 1.
    """

    manifold: Manifold
    points: Array
    weights: Array

    def __post_init__(self) -> None:
        points = arguments.points(self.points, self.manifold.ambient)
        with np.errstate(invalid="ignore", divide="ignore"):
            nearest = self.manifold.retract(points, np.zeros_like(points))
        if not self.manifold.period and not np.abs(nearest - points).max() <= 1e-6:
            raise InputError("A point is off the manifold.")
        object.__setattr__(self, "points", nearest)
        object.__setattr__(self, "weights", arguments.weights(self.weights, len(points)))

    @classmethod
    def of_particles(
        cls, manifold: Manifold, points: Array, weights: Array | None = None
    ) -> Measure:
        """The measure of particles ``(n, ambient)`` with weights ``(n,)``, equal by default.

        Raises:
            InputError: as `Measure`.
        """
        return cls(manifold, points, arguments.weights(weights, len(points)))

    @classmethod
    def of_nodes(cls, manifold: Manifold, nodes: Array, density: Array, volume: Array) -> Measure:
        """The measure of a finite-element density, with its atoms at the nodes.

        Args:
            manifold: the manifold.
            nodes: ``(n, ambient)``.
            density: values at the nodes, ``(n,)``.
            volume: lumped volumes of the nodes, ``(n,)``; density @ volume must be 1 up to 1e-6.

        Raises:
            InputError: for other shapes or another mass, and as `Measure`.
        """
        density, volume = (
            arguments.reals("The density", density),
            arguments.reals("The volume", volume),
        )
        if not density.shape == volume.shape == (len(nodes),):
            raise InputError(
                f"Density and volume must have shape ({len(nodes)},), not {density.shape} and "
                f"{volume.shape}."
            )
        mass = density * volume
        total = float(mass.sum())
        if not abs(total - 1) <= 1e-6:
            raise InputError(f"The density's integral over the nodes is {total:.6g}, not 1.")
        return cls(manifold, nodes, mass / total)

    @classmethod
    def of_density(cls, density: Density, n: int, placement: str = "even") -> Measure:
        """Approximate a density by atoms, which are the same in every call; see `place`.

        Args:
            density: the density.
            n: number of atoms; "even" points on a lattice may be fewer.
            placement: "even" for evenly spread points weighted by the density, the midpoint rule,
                which is spectrally accurate for smooth densities on the circle and on tori and has
                an error of about 1 / n on S^2; "quantile" in one dimension; "random" for a random
                sample with a fixed seed, for instance on spheres of higher dimension.

        Raises:
            InputError: for n < 1, and as `place`.
        """
        arguments.whole_number("The number of atoms", n, 1)
        count = n if placement == "random" else density.manifold.even_count(n)
        atoms = place(density, count, placement, np.random.default_rng(0))
        return cls(density.manifold, atoms.points, atoms.weights)


def require_one_manifold(mu: Measure, nu: Measure) -> None:
    """Check that two measures are on the same manifold.

    Raises:
        InputError: if they are not.
    """
    if mu.manifold != nu.manifold:
        raise InputError(
            f"The two measures live on different manifolds, {mu.manifold} and {nu.manifold}."
        )
