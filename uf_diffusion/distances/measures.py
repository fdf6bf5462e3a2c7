"""Discrete probability measures on a manifold: particles, densities at nodes, densities."""

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
        """Particles ``(n, ambient)`` with weights ``(n,)``, equal where not given."""
        return cls(manifold, points, arguments.weights(weights, len(points)))

    @classmethod
    def of_nodes(cls, manifold: Manifold, nodes: Array, density: Array, volume: Array) -> Measure:
        """A finite-element density: atoms at the nodes ``(n, ambient)``, weighted by nodal density
        ``(n,)`` times lumped volume ``(n,)``, of total mass 1 up to 1e-6.
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
        """A density at atoms that do not depend on chance, see `place`.

        Args:
            density: the measure.
            n: how many atoms, at most: a lattice takes the largest number that it can have.
            placement: "even" points weighted by the density, the midpoint rule: spectrally
                accurate for smooth densities on circle and tori, to about 1 / n on S^2;
                "quantile" in one dimension; "random", the same sample every time, on a sphere of
                higher dimension.
        """
        arguments.whole_number("The number of atoms", n, 1)
        count = n if placement == "random" else density.manifold.even_count(n)
        atoms = place(density, count, placement, np.random.default_rng(0))
        return cls(density.manifold, atoms.points, atoms.weights)


def require_one_manifold(mu: Measure, nu: Measure) -> None:
    """Do nothing for two measures on one manifold.

    Raises:
        InputError: for others.
    """
    if mu.manifold != nu.manifold:
        raise InputError(
            f"The two measures live on different manifolds, {mu.manifold} and {nu.manifold}."
        )
