"""What moves the mass: potentials G = f*(w) that depend on the density, and their derivatives.

All equations for mu are the transport equation d mu/dt = -div(mu grad G), the gradient flow in W_2
of a risk L that is convex in mu, with G = -dL/dmu = f*(w) and the outer weights u = f*'(w). They
differ in w only. In `mean_field` it is lambda w = int K d(nu - u mu), for a network of infinite
width. In `opposite_pairs` it is the limit lambda -> 0 for features that see even or odd functions
and little more. In `Everything` it is the limit for features that see all functions, w = f'(nu/mu).
This is the ultra-fast diffusion, which `ultra_fast` solves in a better way; it is here as a check.

In all of them a change dq = m u dmu of the mass with weight u changes w by

    dw = -(P dq + T dq),        T ~ Psi C^-1 Psi',

with a matrix P that couples opposite nodes at most, and a matrix T of low rank, or almost so; see
`Response`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from uf_diffusion.core.arrays import Array, Index
from uf_diffusion.diffusion.nodes import Nodes
from uf_diffusion.problem.divergences import Divergence

__all__ = ["Everything", "Place", "Potential", "Response", "Seen"]


@dataclass(frozen=True)
class Place:
    """Where a potential lives: the local nodes, with n of them on this rank.

    Attributes:
        nodes: the local nodes.
        points: their points, ``(n, ambient)``.
        volume: their volumes, ``(n,)``.
        teacher: the density nu, ``(n,)``.
        linear: the values ``(n, k)`` of the linear functions that have the mesh's symmetry.
        opposite: the local number of each node's antipode, ``(n,)``; None if it is not needed.
        divergence: f, f* and their derivatives.
    """

    nodes: Nodes
    points: Array
    volume: Array
    teacher: Array
    linear: Array
    opposite: Index | None
    divergence: Divergence

    def total(self, *density: Array) -> Array:
        """The integrals of local densities ``(n,)`` each over the mesh."""
        own = slice(self.nodes.own)
        return self.nodes.sum(np.array([self.volume[own] @ each[own] for each in density]))


@dataclass(frozen=True)
class Seen:
    """The maximiser w for a density at the local nodes; all is dimensionless.

    Attributes:
        potential: w, ``(n,)``.
        outer_weight: u = f*'(w), ``(n,)``, of any sign if f allows it.
        conjugate: G = f*(w), ``(n,)``, which is minus the first variation of the risk.
        risk: L.
        mu: the density, ``(n,)``.
    """

    potential: Array
    outer_weight: Array
    conjugate: Array
    risk: float
    mu: Array


@dataclass(frozen=True)
class Response:
    """How w responds to a change of mass; see the module.

    Attributes:
        pair: P dq = pair * (dq + parity * dq at the opposite node, if there is one), ``(n,)``; None
            for 0.
        features: Psi at the local nodes, ``(n, k)``; k may be 0.
        curvature: C, ``(k, k)``.
        product: maps dq at the own nodes to T dq at the local ones; None if T has low rank.
        parity: 1 or -1.
    """

    pair: Array | None
    features: Array
    curvature: Array
    product: Callable[[Array], Array] | None = None
    parity: int = 1


class Potential(Protocol):
    """A potential on the nodes of a mesh, with a teacher and a divergence."""

    def at(self, mu: Array, start: Array | None = None) -> Seen:
        """The maximiser for a density.

        Args:
            mu: the density at the local nodes, ``(n,)``, positive.
            start: the first guess of w, ``(n,)``.

        Raises:
            RunFailure: when it is not found.
        """
        ...

    def response(self, seen: Seen) -> Response:
        """The derivative of w at a density that has been `seen`."""
        ...


@dataclass(frozen=True)
class Everything:
    """The potential w = f'(nu / mu) of features that see all functions."""

    place: Place

    def at(self, mu: Array, start: Array | None = None) -> Seen:
        f, nu = self.place.divergence, self.place.teacher
        u = nu / mu
        w = f.df(u)
        [risk] = self.place.total(mu * f.f(u))
        return Seen(w, u, f.conjugate(w), float(risk), mu)

    def response(self, seen: Seen) -> Response:
        mass = self.place.volume * seen.mu
        pair = 1 / (mass * self.place.divergence.d2conjugate(seen.potential))
        return Response(pair, np.empty((len(mass), 0)), np.empty((0, 0)))
