"""The mean-field equation: what a network of infinite width follows at a fixed lambda > 0.

    d mu/dt = -div(mu grad f*(w)),   lambda w = int K(., omega') d(nu - u mu)(omega'),  u = f*'(w).

It is the gradient flow in W_2 of the reduced risk L(mu), and a network is a solution that consists
of Diracs. On a mesh the nodes are the neurons, with masses m mu, and the projection is that of a
network (`uf_diffusion.kernels.projection`). The equation is solved as a `transport`.

The kernel smooths: w responds to a change dq of the mass by -(lambda + K D)^-1 K dq with the
diagonal matrix D = m mu f*''(w). Modes with eigenvalues of K far below lambda do not respond, so
that a low-rank part of the kernel suffices for the derivative, whatever lambda is. For small lambda
the other modes are stiff as those of a diffusion, and Newton's method contains all of them.
"""

from __future__ import annotations

from mpi4py import MPI

from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from uf_diffusion.core.arrays import Array
from uf_diffusion.core.errors import InputError
from uf_diffusion.diffusion.potentials import Place, Response, Seen
from uf_diffusion.diffusion.schemes import SCHEMES, Scheme
from uf_diffusion.diffusion.transport import Transport
from uf_diffusion.grids.base import Grid
from uf_diffusion.kernels.feature_maps import Atoms, FeatureMap
from uf_diffusion.kernels.fixed_neurons import FixedNeurons, low_rank
from uf_diffusion.kernels.projection import optimum
from uf_diffusion.problem import Problem

__all__ = ["KernelPotential", "MeanFieldDiffusion"]

# largest eigenvalue of the kernel's rest, as a multiple of lambda; where the rest is not used for
# more than to precondition GMRES, it may be larger
NEGLECTED = 1e-3
NEGLECTED_OF_DIRECT = 0.1
CURVATURE = 1e8  # largest f*'' in the derivative; it is infinite at u = 0 for powers above 2


class KernelPotential:
    """The potential of a kernel and a regularisation, as a `Potential`.

    Args:
        place: the local nodes.
        features: the feature map, with a teacher of mass 0.
        regularisation: lambda > 0.
    """

    def __init__(self, place: Place, features: FeatureMap, regularisation: float) -> None:
        self.place, self.regularisation = place, regularisation
        self._own = slice(place.nodes.own)
        points, teacher = place.points[self._own], (place.volume * place.teacher)[self._own]
        self._map = features
        neurons = features.at_rest(points, place.nodes.share)
        tolerance = (NEGLECTED_OF_DIRECT if features.direct else NEGLECTED) * regularisation
        phi = low_rank(neurons, teacher, tolerance)
        self._neurons = FixedNeurons(neurons, teacher, phi, features.direct)

    @cached_property
    def _features(self) -> Array:
        return self.place.nodes.filled(self._neurons.features.T).T

    def at(self, mu: Array, start: Array | None = None) -> Seen:
        f, nodes, own = self.place.divergence, self.place.nodes, self._own
        mass = (self.place.volume * mu)[own]
        guess = None if start is None else f.dconjugate(start[own])
        u, (v, potential) = optimum(self._neurons, mass, f, self.regularisation, guess)
        w = nodes.filled(potential)
        # |r|^2 / lambda = int w d(nu - u mu)
        risk = nodes.total((self._neurons.teacher - v) @ potential / 2 + mass @ f.f(u))
        return Seen(w, f.dconjugate(w), f.conjugate(w), risk, mu)

    def truncation_error(self, mu: Array) -> float:
        """A bound of the root mean square over mu of the error of u that a truncation causes."""
        own, place = self._own, self.place
        mass, potential = (place.volume * mu)[own], self.at(mu).potential[own]
        return self._with_teacher.weight_error(
            place.points[own], mass, potential, place.divergence, self.regularisation,
            place.nodes.share,
        )  # fmt: skip

    @cached_property
    def _with_teacher(self) -> FeatureMap:
        nodes, points = self.place.nodes, self.place.points[self._own]
        masses = self._neurons.teacher
        return self._map.taught_by(Atoms(nodes.together(points), nodes.together(masses)))

    def response(self, seen: Seen) -> Response:
        f, own = self.place.divergence, self._own
        mass = (self.place.volume * seen.mu)[own]
        with np.errstate(divide="ignore"):
            diagonal = mass * np.minimum(f.d2conjugate(seen.potential[own]), CURVATURE)
        curvature = self._neurons.gram(diagonal)
        curvature[np.diag_indices_from(curvature)] += self.regularisation
        linear: Callable[[Array], Array]
        if self._neurons.direct:
            linear = _Direct(self._neurons, diagonal, self.regularisation)
        else:
            linear = _Expanded(self._neurons, diagonal, self.regularisation, curvature)
        filled = self.place.nodes.filled
        return Response(None, self._features, curvature, lambda x: filled(linear(x)))


class _Direct:
    """The map from x to y = (lambda + K D)^-1 K x, by the neurons' own solver.

    The solution z of (K + lambda / D) z = K x is D y, and lambda y = K (x - z).
    """

    def __init__(self, neurons: FixedNeurons, diagonal: Array, regularisation: float) -> None:
        self._neurons, self._regularisation = neurons, regularisation
        self._solve = neurons.solver(regularisation / np.maximum(diagonal, 1e-300))

    def __call__(self, x: Array) -> Array:
        z = self._solve(self._neurons.product(x))
        return self._neurons.product(x - z) / self._regularisation


class _Expanded:
    """The map from x to (lambda + K D)^-1 K x, to first order in E = K - Phi Phi'.

    With y_0 = Phi C^-1 Phi' x it is y_0 + A^-1 E (x - D y_0), where C = lambda + Phi' D Phi,
    A = lambda + Phi Phi' D and A^-1 = (1 - Phi C^-1 Phi' D) / lambda.
    """

    def __init__(
        self, neurons: FixedNeurons, diagonal: Array, regularisation: float, curvature: Array
    ) -> None:
        self._neurons, self._diagonal, self._regularisation = neurons, diagonal, regularisation
        self._factor = cho_factor(curvature, lower=True)

    def __call__(self, x: Array) -> Array:
        y = self._low(x)
        r = self._neurons.rest(x - self._diagonal * y)
        return y + (r - self._low(self._diagonal * r)) / self._regularisation

    def _low(self, x: Array) -> Array:
        """Phi C^-1 Phi' x."""
        inner = self._neurons.share.sum(self._neurons.features.T @ x)
        return self._neurons.features @ cho_solve(self._factor, inner, check_finite=False)


class MeanFieldDiffusion(Transport):
    """Solves the mean-field equation with elements of degree 1; see `Transport`.

    Args:
        problem, grid, scheme, rtol, comm: see `Transport`.
        features: the feature map, with a teacher of mass 0.
        regularisation: lambda > 0.
        spreads: whether to spread the nodes of a large mesh over the ranks, which needs a feature
            map that adds up what the ranks have; else every rank has all nodes.

    Raises:
        InputError: as `Transport`, and for lambda <= 0.
    """

    limit = "mean-field"
    potential: KernelPotential

    def __init__(
        self,
        problem: Problem,
        grid: Grid,
        features: FeatureMap,
        regularisation: float,
        scheme: Scheme = SCHEMES["sdirk2"],
        rtol: float = 1e-4,
        comm: MPI.Comm = MPI.COMM_WORLD,
        spreads: bool = False,
    ) -> None:
        if not regularisation > 0:
            raise InputError(f"network.lambda must be positive, not {regularisation}.")
        self.features, self.regularisation, self.spreads = features, regularisation, spreads
        super().__init__(problem, grid, scheme, rtol, comm)

    def on(self, grid: Grid, rtol: float, scheme: Scheme | None = None) -> MeanFieldDiffusion:
        return MeanFieldDiffusion(
            self.problem, grid, self.features, self.regularisation, scheme or self.scheme, rtol,
            self.comm, self.spreads,
        )  # fmt: skip

    def bounds(self, ratios: Sequence[Array]) -> dict[str, Array]:
        if not self.features.truncated:
            return {}
        mu = [self.nodes.from_owned(h * self.teacher) for h in ratios]
        return {"truncation_error": np.array([self.potential.truncation_error(x) for x in mu])}

    def _potential(self) -> KernelPotential:
        return KernelPotential(self.place, self.features, self.regularisation)
