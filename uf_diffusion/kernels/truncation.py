"""Truncated feature maps: R coordinates that represent the kernel up to a chosen error.

The feature map satisfies Psi.Psi' = K_R, where K - K_R is positive semidefinite, and
K(omega, omega) - |Psi(omega)|^2 <= `dropped`. A `Basis` computes all sums over the neurons by fast
algorithms, so that the projection of a million neurons is a problem in R unknowns.

The error of the outer weights has a bound, for every convex f. Let g be the integral of the omitted
coordinates against sigma = teacher - network, a and a_R the dual optima with all and with the kept
coordinates, w and w_R their potentials, u = f*'(w) and u_R = f*'(w_R). The difference of the two
optimality conditions, multiplied by a - a_R, is

    lambda |a - a_R|^2 + int (u - u_R)(w - w_R) dmu = g.(a - a_R).

Since f*' increases, the integral is at most E = |g|^2 / (4 lambda), and |a - a_R| <= |g| / lambda.
So |w - w_R| <= sqrt(K(omega, omega)) |g| / lambda at every neuron. On this interval let C be the
largest f*'' and D the largest |u - u_R|; then |u - u_R|^2 is at most C (u - u_R)(w - w_R) and at
most D^2. Let psi be the concave function `most_apart` of f. With Jensen's inequality, for every c,

    int |u - u_R|^2 dmu <= c E + min(int D^2 dmu', q psi(E / q)),    |g|^2 = sigma.(K - K_R) sigma,

where mu' are the neurons with C > c and q is their mass. For quadratic f the bound is E, with
c = 1. For p > 2 the second term is for the neurons near u = 0, where f*'' is infinite.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property, singledispatch
from typing import Any

import numpy as np

from uf_diffusion.core.arrays import Array
from uf_diffusion.core.errors import InputError
from uf_diffusion.core.mpi import Share, size
from uf_diffusion.kernels.base import Feature, PairFunction
from uf_diffusion.kernels.basis import MODES, Basis, Discrepancy, Remainder, too_many
from uf_diffusion.kernels.feature_maps import Atoms, FeatureMap, FiniteNeurons, Projectable
from uf_diffusion.kernels.features import Radial
from uf_diffusion.kernels.fourier import Fourier
from uf_diffusion.kernels.pivoted_cholesky import landmarks
from uf_diffusion.kernels.radial_truncation import radial
from uf_diffusion.kernels.spherical_harmonics import (
    Harmonics,
    circle_eigenvalues,
    funk_hecke,
    rounded,
    zonal,
)
from uf_diffusion.problem.divergences import Divergence
from uf_diffusion.problem.manifolds import Circle

__all__ = ["ModeNeurons", "Modes", "Tail", "own_truncation", "truncated"]

CURVATURES = 2.0 ** (np.arange(-40, 161) / 4)  # the numbers c of which the best is taken


@dataclass(frozen=True)
class Tail:
    """The part of a Mercer expansion that is left out: further modes, and a rest.

    Attributes:
        basis: orthogonal modes that follow the kept ones.
        eigenvalues: the eigenvalues of ``basis``, ``(B,)``.
        rest: K(omega, omega) minus the parts of the kept modes and of ``basis``. It also bounds the
            rest at two different points, as |K(omega, omega')|^2 <= K(omega, omega)
            K(omega', omega').
        constant: K(omega, omega), which is the same everywhere.
    """

    basis: Basis
    eigenvalues: Array
    rest: float
    constant: float

    def diagonal(self, omega: Array) -> Array:
        return np.full(len(omega), self.constant)

    def energy(self, sigma: Discrepancy) -> float:
        band = self.eigenvalues @ sigma.moments(self.basis) ** 2
        return float(band + self.rest * sigma.variation**2)


@dataclass(frozen=True)
class Modes(FeatureMap):
    """A truncated feature map, together with a teacher.

    Attributes:
        basis: the functions e_1, ..., e_B.
        factor: the matrix ``(B, R)`` with Psi = e @ factor, or ``(B,)`` if it is diagonal.
        remainder: the part of the kernel that is left out; None if nothing is.
        teacher: the teacher's neurons.
    """

    basis: Basis
    factor: Array
    remainder: Remainder | None
    teacher: Atoms

    @property
    def size(self) -> int:
        """The number R of coordinates."""
        return int(self.factor.shape[-1])

    @property
    def truncated(self) -> bool:
        return self.remainder is not None

    @cached_property
    def labels(self) -> Array:
        """The coordinates of t, ``(R,)``."""
        return self.contracted(self.basis.moments(self.teacher.weights, self.teacher.points))

    def expanded(self, a: Array) -> Array:
        """The coefficients ``(B,)`` of the function Psi.a in the basis, for a ``(R,)``."""
        return self.factor * a if self.factor.ndim == 1 else self.factor @ a

    def contracted(self, moments: Array) -> Array:
        """Maps moments of the basis ``(..., B)`` to moments of Psi ``(..., R)``."""
        return moments * self.factor if self.factor.ndim == 1 else moments @ self.factor

    def share(self, width: int) -> Share:
        return Share(width, split=width >= size())

    def at(self, omega: Array, share: Share | None = None) -> ModeNeurons:
        return ModeNeurons(self, omega, share or Share(len(omega)), Share(self.size))

    def at_rest(self, omega: Array, share: Share | None = None) -> Projectable:
        return self.at(omega, share).at_rest()

    def memory(self, width: int) -> int:
        own = -(-width // size())  # each takes a point and complex values, sorted and unsorted
        numbers = 3 * self.basis.size**2 + 3 * self.size**2 + self.factor.size + 16 * own
        return 8 * numbers + self.basis.kept(own)

    def dropped_energy(self, omega: Array, v: Array, share: Share | None = None) -> float:
        """An upper bound of |g|^2 for the coefficients v ``(M,)``; see the module."""
        if self.remainder is None:
            return 0.0
        sigma = Discrepancy(self.teacher, omega, v, share or Share(len(omega)))
        return self.remainder.energy(sigma)

    def weight_error(
        self,
        omega: Array,
        mass: Array,
        potential: Array,
        divergence: Divergence,
        regularisation: float,
        share: Share | None = None,
    ) -> float:
        if self.remainder is None:
            return 0.0
        share, u = share or Share(len(omega)), divergence.dconjugate(potential)
        energy = self.dropped_energy(omega, mass * u, share)
        reach = np.sqrt(self.remainder.diagonal(omega) * energy) / regularisation
        low, high = potential - reach, potential + reach
        with np.errstate(all="ignore"):  # what overflows is infinite
            C = divergence.steepest(low, high)
            D = np.maximum(divergence.dconjugate(high) - u, u - divergence.dconjugate(low))
            squares = mass * np.where(np.isnan(D), np.inf, D) ** 2
        E, order = energy / (4 * regularisation), np.argsort(C)
        first = np.searchsorted(C[order], CURVATURES, side="right")
        beyond = [np.append(np.cumsum(x[order][::-1])[::-1], 0.0)[first] for x in (squares, mass)]
        square, q = share.sum(np.array(beyond))
        apart = divergence.most_apart(E / np.maximum(q, 1e-300))
        apart = np.where(q > 0, np.maximum(q, 1e-300) * apart, 0.0)
        return math.sqrt(float((CURVATURES * E + np.minimum(square, apart)).min()))


@dataclass(frozen=True)
class ModeNeurons(FiniteNeurons):
    """Neurons of a truncated feature map; every rank has all coordinates.

    Attributes:
        map: the feature map.
        omega: this rank's features, ``(M, ambient)``.
        share: how the neurons are spread over the ranks.
        coordinates: the R coordinates, not spread.
    """

    map: Modes
    omega: Array
    share: Share
    coordinates: Share

    @property
    def labels(self) -> Array:
        return self.map.labels

    @property
    def matrix(self) -> Array:
        return self.map.contracted(self.map.basis.matrix(self.omega))

    def moments(self, v: Array) -> Array:
        return self.share.sum(self.map.contracted(self.map.basis.moments(v, self.omega)))

    def values(self, a: Array) -> Array:
        return self.map.basis.values(self.map.expanded(a), self.omega)

    def gradient(self, a: Array) -> Array:
        return self.map.basis.gradient(self.map.expanded(a), self.omega)

    def gram(self, c: Array) -> Array:
        half = self.map.contracted(self.map.basis.gram(c, self.omega))
        return self.share.sum(self.map.contracted(np.ascontiguousarray(half.T)))


def truncated(
    feature: Feature, teacher: Atoms, dropped: float, candidates: Array | None = None
) -> Modes:
    """A feature map with few coordinates and K(omega, omega) - |Psi(omega)|^2 <= dropped.

    The functions are trigonometric on the circle and, for radial features, on tori, and harmonics
    on S^2. For every other kernel in closed form they are kernel sections at landmarks, and the
    bound holds at the candidates only.

    Args:
        feature: phi.
        teacher: the teacher's neurons.
        dropped: the bound, > 0.
        candidates: a few thousand points spread over the manifold, ``(n, ambient)``, from which
            landmarks are chosen; needed for these only.

    Raises:
        InputError: if ``dropped`` is not positive, too many modes are needed, there is no kernel in
            closed form, or candidates are needed and missing.
    """
    if not dropped > 0:
        raise InputError(f"network.truncation must be positive, not {dropped}.")
    if (own := own_truncation(feature, dropped)) is not None:
        return Modes(*own, teacher)
    kernel = feature.kernel
    if kernel is None:
        raise InputError(
            "network.kernel = 'low-rank' needs a kernel in closed form, which these features "
            "do not have; use network.kernel = 'sampled'."
        )
    if getattr(kernel, "zonal", False) and feature.manifold.dim <= 2:
        return _mercer(kernel, feature.manifold.dim, teacher, dropped)
    if candidates is None:
        raise InputError("network.truncation needs candidates for the landmarks of this kernel.")
    return Modes(*landmarks(kernel, candidates, dropped), teacher)


@singledispatch
def own_truncation(feature: Any, dropped: float) -> tuple[Basis, Array, Remainder] | None:
    """The basis, factor and remainder of features with their own truncation; None for others."""
    return None


own_truncation.register(Radial, radial)


def _mercer(kernel: PairFunction, dim: int, teacher: Atoms, dropped: float) -> Modes:
    """The modes of a zonal kernel on S^1 or S^2 up to a degree n, with non-zero eigenvalues."""
    constant = float(zonal(kernel, dim + 1, np.zeros(1))[0])  # K(omega, omega)
    n, eigenvalues = _cutoff(kernel, dim, constant, dropped)
    further = np.arange(n + 1, len(eigenvalues))
    kept, band = _zonal_modes(dim, np.flatnonzero(eigenvalues[: n + 1])), _zonal_modes(dim, further)
    rest = constant - float(eigenvalues @ _squares(dim, len(eigenvalues)))
    tail = Tail(band, eigenvalues[band.degree_of], max(rest, 0.0), constant)
    return Modes(kept, np.sqrt(eigenvalues[kept.degree_of]), tail, teacher)


def _cutoff(kernel: PairFunction, dim: int, constant: float, dropped: float) -> tuple[int, Array]:
    """The least degree n that suffices, and the eigenvalues up to a degree larger than n."""
    degree = 64
    while 2 * degree < MODES:
        degree *= 2
        eigenvalues = _eigenvalues(kernel, dim, degree)
        left = constant - np.cumsum(eigenvalues * _squares(dim, degree + 1))
        first = int(np.flatnonzero(eigenvalues)[0])  # at least one degree is kept
        enough = first + np.flatnonzero(left[first:] <= dropped)
        n = int(enough[0]) if len(enough) else degree
        if _zonal_modes(dim, np.flatnonzero(eigenvalues[: n + 1])).size > MODES:
            break
        if len(enough):
            # many modes beyond n are affordable, since they need moments but no Gram matrix
            return n, _eigenvalues(kernel, dim, max(min(8 * n, 8192), n + 8))
    raise too_many(dropped, f"{MODES} modes")


def _eigenvalues(kernel: PairFunction, dim: int, degree: int) -> Array:
    """The eigenvalues of a kernel on S^1 or S^2 for the modes' normalisation, by quadrature."""
    return rounded((circle_eigenvalues if dim == 1 else funk_hecke)(kernel, degree))


def _squares(dim: int, n: int) -> Array:
    """For each degree below n, the sum of the squares of its modes, ``(n,)``."""
    if dim == 2:
        return (2 * np.arange(n) + 1) / (4 * math.pi)
    return np.where(np.arange(n) > 0, 2.0, 1.0)


def _zonal_modes(dim: int, degrees: np.ndarray[Any, np.dtype[np.int64]]) -> Fourier | Harmonics:
    return Harmonics(degrees) if dim == 2 else Fourier(Circle(), degrees[:, None])
