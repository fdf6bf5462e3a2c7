"""Distances between two measures on a manifold, all with the same signature.

``distance(name, mu, nu, background)`` returns an `Estimate`; `DISTANCES` contains the names. The
distances between densities need a `TeacherMesh`, a mesh with the teacher's density.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from uf_diffusion.core.arrays import Array
from uf_diffusion.core.errors import InputError
from uf_diffusion.core.wording import unknown
from uf_diffusion.distances.circle_wasserstein import wasserstein_circle
from uf_diffusion.distances.density_divergences import (
    chi2_integral,
    kl_integral,
    l1_integral,
)
from uf_diffusion.distances.density_estimates import smoothed
from uf_diffusion.distances.energy_distances import (
    energy_distance,
    energy_distance_series,
)
from uf_diffusion.distances.measures import Measure, require_one_manifold
from uf_diffusion.distances.optimal_transport import wasserstein
from uf_diffusion.distances.teacher_mesh import TeacherMesh

__all__ = ["DISTANCES", "Estimate", "chi2", "distance", "energy", "energy_distance",
           "energy_distance_series", "h_minus_1", "kl", "l1", "w1", "w2",
           "wasserstein_circle"]  # fmt: skip


class Estimate(NamedTuple):
    """A distance and a bound of its error, which is 0 if the value is exact up to round-off."""

    value: float
    error: float


def distance(
    name: str, mu: Measure, nu: Measure, background: TeacherMesh | None = None
) -> Estimate:
    """The distance with this name; the function in `DISTANCES` documents its definition.

    Args:
        name: "energy", "w1", "w2", "h-1", "chi2", "kl" or "l1".
        mu, nu: measures on the same manifold.
        background: the mesh, the teacher and the bandwidth, for "h-1", "chi2", "kl" and "l1".

    Raises:
        InputError: for an unknown name, measures on different manifolds, or a background that is
            missing or has another manifold.
    """
    if name not in DISTANCES:
        raise unknown("distance", name, DISTANCES)
    return DISTANCES[name](mu, nu, background)


def energy(mu: Measure, nu: Measure, background: TeacherMesh | None = None) -> Estimate:
    """The square root of 2 E|X - Y| - E|X - X'| - E|Y - Y'|, where |x - y| is the chord.

    The value is exact up to round-off; see `energy_distance`.
    """
    require_one_manifold(mu, nu)
    value = energy_distance(mu.points, nu.points, mu.weights, nu.weights, mu.manifold)
    return Estimate(value, 0.0)


def w1(mu: Measure, nu: Measure, background: TeacherMesh | None = None) -> Estimate:
    """W_1, the least mean geodesic distance over all couplings of mu and nu, a length.

    The value is exact in one dimension. Elsewhere it is the midpoint of two bounds, which mostly
    agree to 1e-9. Very many atoms (such as 100 000 and 10 000, but not 500 and 40 000) are merged
    first; then the bounds differ by the largest possible effect of merging.
    """
    return _between(*wasserstein(mu, nu, 1))


def w2(mu: Measure, nu: Measure, background: TeacherMesh | None = None) -> Estimate:
    """W_2, the root of the least mean squared geodesic distance; its accuracy is that of `w1`."""
    return _between(*wasserstein(mu, nu, 2))


def h_minus_1(mu: Measure, nu: Measure, background: TeacherMesh | None = None) -> Estimate:
    """The norm of mu - nu dual to the root of the integral of nu' |grad v|^2, nu' the teacher.

    It is sqrt(b . psi), where K psi = b with the teacher-weighted stiffness matrix K of the mesh
    and the loads b of mu - nu. The diffusion is the gradient flow of an energy in this distance,
    and the distance of two of its solutions decreases. The value is exact on the given mesh; for
    densities it converges as the mesh is refined. Point masses in two and more dimensions are not
    in H^-1, so there the value for particles grows without bound as the mesh is refined.
    """
    background = _needed("h-1", mu, nu, background)
    b = background.loads(mu) - background.loads(nu)
    return Estimate(math.sqrt(max(0.0, float(b @ background.inverse_laplacian(b)))), 0.0)


def chi2(mu: Measure, nu: Measure, background: TeacherMesh | None = None) -> Estimate:
    """The integral of (f - g)^2 / g, f and g the `smoothed` densities of mu and nu on the mesh."""
    return Estimate(chi2_integral(*_densities("chi2", mu, nu, background)), 0.0)


def kl(mu: Measure, nu: Measure, background: TeacherMesh | None = None) -> Estimate:
    """KL(mu | nu), the integral of f log(f / g), f and g the `smoothed` densities of mu and nu."""
    return Estimate(kl_integral(*_densities("kl", mu, nu, background)), 0.0)


def l1(mu: Measure, nu: Measure, background: TeacherMesh | None = None) -> Estimate:
    """The integral of |f - g|, from 0 to 2, f and g the `smoothed` densities of mu and nu."""
    return Estimate(l1_integral(*_densities("l1", mu, nu, background)), 0.0)


DISTANCES: dict[str, Callable[[Measure, Measure, TeacherMesh | None], Estimate]] = {
    "energy": energy,
    "w1": w1,
    "w2": w2,
    "h-1": h_minus_1,
    "chi2": chi2,
    "kl": kl,
    "l1": l1,
}


def _between(lower: float, upper: float) -> Estimate:
    return Estimate((lower + upper) / 2, (upper - lower) / 2)


def _needed(name: str, mu: Measure, nu: Measure, background: TeacherMesh | None) -> TeacherMesh:
    require_one_manifold(mu, nu)
    if background is None:
        raise InputError(f"The distance '{name}' needs a mesh with the teacher: a TeacherMesh.")
    if background.grid.manifold != mu.manifold:
        raise InputError("The background's mesh is one of another manifold.")
    return background


def _densities(
    name: str, mu: Measure, nu: Measure, background: TeacherMesh | None
) -> tuple[Array, Array, Array]:
    """Both smoothed densities at the nodes, and the nodes' volumes."""
    background = _needed(name, mu, nu, background)
    width = background.width(mu, nu)
    f, g = (smoothed(measure, background, width) for measure in (mu, nu))
    return f, g, background.volume
