"""Which part of a density the features see: the kernel's eigenvalues and the densities' shares.

The kernel K(omega, omega') = E_x phi(omega, x) phi(omega', x) acts on functions by
w -> int K(., omega') w(omega') domega' / |Omega|. Its eigenfunctions are harmonics on spheres, and
waves exp(i q k.omega), q = 2 pi / period, on tori. The integrals of a measure against
eigenfunctions with eigenvalue 0, the null space, do not affect any network. Densities that are
symmetric about an axis have parts in the zonal harmonics only, one of each degree, which are
integrated along a meridian on spheres of every dimension.

As lambda -> 0 the network's potential is the best one orthogonal to the null space. As long as
w = f'(nu/mu) has no component in the null space, the potential is this w and the network follows
the ultra-fast diffusion; otherwise the limit is a constrained equation with another w. If mu is
uniform and f quadratic, the component of w in the null space is that of nu. So a component of a
density in the null space is only an indication: equal densities have w = f'(1), whatever their
components; on the other hand products of harmonics outside the null space may be inside, so that w
acquires a component later. For ReLU without bias the null space are the odd degrees >= 3; if both
densities are even, w has no component there for all t.

Eigenvalues kappa compare with lambda: if mu is uniform, the potential of a harmonic is damped by
kappa / (kappa + lambda), so in practice harmonics with kappa far below lambda are not seen either.

The eigenvalues are those of the population kernel, that of infinitely many inputs with the law of
the features: Gaussian for ReLU, activations and radial features, uniform for Laplace, and those of
`RandomFourier`. With N sampled inputs the kernel has at most N non-zero eigenvalues, and its null
space contains this one. Where they are not known, or where the inputs have another law, the kernel
of the inputs themselves is expanded (`measured_kernels`).

If the inputs of radial features have the density rho, then K = A rho A, where A is the convolution
with g, and the eigenfunctions are mixtures of waves: those of A C C^T A with a Cholesky factor C of
the integrals of two waves against rho. Waves without any part in g are in the null space.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import cholesky, svd

from uf_diffusion.core.arrays import Array, Index
from uf_diffusion.core.errors import InputError
from uf_diffusion.kernels.base import Convolution, Feature
from uf_diffusion.kernels.fourier import Fourier, ball
from uf_diffusion.kernels.measured_kernels import MeasuredKernel
from uf_diffusion.kernels.measured_spaces import measured_space
from uf_diffusion.kernels.own_features import drawn_inputs
from uf_diffusion.kernels.seen_spaces import (
    EVEN_AND_LINEAR,
    EVERYTHING,
    SPACES,
    SeenSpace,
)
from uf_diffusion.kernels.spherical_harmonics import Harmonics, gauss_legendre, rounded
from uf_diffusion.kernels.zonal import meridian_rule, multiplicities, zonal_harmonics
from uf_diffusion.problem.densities import Density
from uf_diffusion.problem.manifolds import Circle, FlatTorus, Sphere
from uf_diffusion.problem.symmetry import Meridian, require_symmetric, unit_axis

__all__ = ["Identifiability", "identifiability", "unseen_sentence"]


DEGREES = {1: 512, 2: 48, 3: 16}  # largest |k_j| on the circle and on tori, by dimension
LATTICE = {1: 8192, 2: 256, 3: 64}  # points along each axis, for the densities' coefficients
SPHERE = 128  # largest degree on spheres of dimension 2 and more
MERIDIAN = 1024  # angles along a meridian, for the densities' coefficients
MODES = 700  # largest number of waves in the eigenfunctions on a torus
RIDGE = 1e-13  # relative, of the waves' integrals against the inputs' density
# share of the variance (0.1 % of the amplitude) below which the effect of the null space is smaller
# than that of a positive lambda
NEGLIGIBLE = 1e-6
INPUTS = 4096  # with which a kernel is expanded whose eigenvalues are not known
_CONSTRAINED = {space.name for space in SPACES if not space.everything}


@dataclass(frozen=True)
class Identifiability:
    """A table of a kernel's eigenvalues and of two densities' shares of their eigenspaces.

    Each of the n rows is a degree on spheres, sorted by degree. On a torus it is an
    eigenfunction, sorted by eigenvalue, and after these a set of waves k of the null space that
    differ only in the signs and the order of their components. All numbers are dimensionless.

    Attributes:
        wave: the degree, or the wave with k_1 >= ... >= k_d >= 0 that has the largest part in the
            eigenfunction, ``(n, axes)``.
        multiplicity: number of eigenfunctions in the row, ``(n,)``; floating-point numbers where
            the range of integers does not suffice.
        eigenvalue: with respect to the uniform probability measure, ``(n,)``; exactly 0 if it
            cannot be distinguished from round-off.
        teacher_share: share of the row in the teacher's variance, its squared L2 norm without the
            constant, ``(n,)``; the shares sum to less than 1 if modes beyond the last row matter.
        initial_share: the same for the initial density, ``(n,)``.
        space: the functions that are seen as lambda -> 0; None if they are no known `SeenSpace`.
        inputs: the number of inputs of the kernel; 0 for infinitely many.
    """

    wave: Index
    multiplicity: Index | Array
    eigenvalue: Array
    teacher_share: Array
    initial_share: Array
    space: SeenSpace | None = None
    inputs: int = 0

    @property
    def degree(self) -> Array:
        """The length |k| of the row's waves, ``(n,)``."""
        return np.asarray(np.linalg.norm(self.wave, axis=1))

    @property
    def even_and_linear(self) -> bool:
        """Whether exactly the even and the linear functions are outside the null space, so that
        the limit lambda -> 0 is the constrained equation.
        """
        return self.space == EVEN_AND_LINEAR

    @property
    def null_space(self) -> str:
        """A description of the rows with eigenvalue 0; empty if there are none."""
        null = self.wave[self.eigenvalue == 0]
        if not len(null):
            return ""
        if self.space is not None and not self.space.everything:
            return self.space.unseen
        if self.inputs:
            return f"{len(null)} eigenfunctions"
        first = ", ".join(map(str, null[0]))
        return f"{len(null)} wave numbers, from ({first}) on"

    @property
    def unseen_teacher(self) -> float:
        """The share of the null space in the teacher's variance, up to the last row."""
        return float(self.teacher_share[self.eigenvalue == 0].sum())

    @property
    def unseen_initial(self) -> float:
        """The share of the null space in the initial density's variance, up to the last row."""
        return float(self.initial_share[self.eigenvalue == 0].sum())

    @property
    def attributes(self) -> dict[str, Any]:
        """The attributes that a result stores, from which `unseen_sentence` makes its text."""
        return {
            "null_space": self.null_space,
            "even_and_linear": int(self.even_and_linear),
            "seen_space": "" if self.space is None else self.space.name,
            "inputs": self.inputs,
            "unseen_teacher": self.unseen_teacher,
            "unseen_initial": self.unseen_initial,
        }


def unseen_sentence(attributes: Mapping[Any, Any]) -> str:
    """A sentence on the densities' null-space components; empty if negligible or not known.

    Args:
        attributes: `Identifiability.attributes`, or the attributes of a result's group with these.
    """
    if "null_space" not in attributes:
        return ""
    null_space, teacher, initial = (
        attributes[name] for name in ("null_space", "unseen_teacher", "unseen_initial")
    )
    if teacher <= NEGLIGIBLE and initial <= NEGLIGIBLE:
        return ""
    follows = (
        "the limit lambda -> 0 is the constrained equation, problem.limit = 'constrained'"
        if attributes.get("even_and_linear") or attributes.get("seen_space", "") in _CONSTRAINED
        else "lost in round-off, whatever lambda: the network follows no part of f'(nu/mu) there"
    )
    return (
        f"{null_space}: {100 * teacher:.3g} % of the teacher's and "
        f"{100 * initial:.3g} % of the initial density's variance; {follows}"
    )


def identifiability(
    feature: Feature,
    teacher: Density,
    initial: Density,
    axis: ArrayLike | None = None,
    data: Array | None = None,
) -> Identifiability:
    """The eigenvalues of a feature's kernel, and the shares of two densities.

    Args:
        feature: phi, on a sphere or on a torus of dimension 1, 2 or 3; without an axis on spheres
            of dimension 1 or 2 only.
        teacher, initial: densities on the feature's manifold.
        axis: a vector ``(ambient,)`` of any positive length, about which both densities are
            symmetric; None if there is none, or it is not known. It is not used on the circle and
            on tori.
        data: the network's inputs ``(N, d)``, if they do not have the law of the features.

    Raises:
        InputError: for other manifolds, if the kernel's eigenvalues are not known, or if a density
            is not symmetric about the axis.
    """
    manifold: Any = feature.manifold
    meridian = _meridian(manifold, axis)
    if meridian is None and (len(manifold.axes) != manifold.dim or manifold.dim not in DEGREES):
        raise InputError(
            "What features see is known on the circle, on the sphere of dimension 2 and on tori of "
            "dimension 1 to 3; on other spheres it is known for densities that are symmetric "
            "about one axis."
        )
    curved = meridian is not None or (manifold.dim > 1 and not manifold.period)
    cutoff = SPHERE if curved else DEGREES[manifold.dim]
    eigenvalue = feature.eigenvalues(cutoff) if data is None else None
    if eigenvalue is None and manifold.antipodal and manifold.dim <= 2:
        return _measured(feature, teacher, initial, data)
    if eigenvalue is None:
        return _of_convolution(feature, cutoff, teacher, initial, data)
    wanted = (cutoff + 1,) if curved else (cutoff + 1,) * manifold.dim
    if np.shape(eigenvalue) != wanted:
        raise InputError(
            f"{type(feature).__name__}.eigenvalues({cutoff}) must have shape {wanted}, "
            f"not {np.shape(eigenvalue)}."
        )
    if curved:
        return _by_degree(feature, eigenvalue, meridian, teacher, initial)
    wave, row, multiplicity = _rows(manifold.dim)
    of_teacher, of_initial = (_lattice_shares(manifold, d, row) for d in (teacher, initial))
    by_row = eigenvalue[tuple(wave.T)]
    space = _space(feature, by_row)
    return Identifiability(wave, multiplicity, by_row, of_teacher, of_initial, space)


def _by_degree(
    feature: Feature, eigenvalue: Array, meridian: Meridian | None, teacher: Density,
    initial: Density,
) -> Identifiability:  # fmt: skip
    """The table of a sphere, for all harmonics or for those that are symmetric about an axis."""
    manifold: Any = feature.manifold
    of_teacher, of_initial = (
        _sphere_shares(manifold, density) if meridian is None
        else _zonal_shares(meridian, density, name)
        for name, density in (("teacher", teacher), ("initial", initial))
    )  # fmt: skip
    several = multiplicities(manifold.dim, SPHERE)
    count = several.astype(np.int64) if several.max() < 2**53 else several
    degree, space = np.arange(SPHERE + 1)[:, None], _space(feature, eigenvalue)
    return Identifiability(degree, count, eigenvalue, of_teacher, of_initial, space)


def _space(feature: Feature, eigenvalue: Array) -> SeenSpace | None:
    """What is seen, by the features' own knowledge, or measured, or on tori by the eigenvalues."""
    if feature.sees is not None:
        return feature.sees
    if feature.manifold.antipodal:
        return measured_space(feature)
    return EVERYTHING if (eigenvalue > 0).all() else None


def _measured(
    feature: Feature, teacher: Density, initial: Density, data: Array | None
) -> Identifiability:
    """The table of a kernel whose eigenvalues are not known, by expanding it."""
    own = drawn_inputs(feature, INPUTS, np.random.default_rng(0)) if data is None else data
    kernel = MeasuredKernel(feature, own)
    return Identifiability(
        kernel.degrees[:, None], np.ones(len(kernel.degrees), dtype=np.int64), kernel.eigenvalues,
        kernel.shares(teacher), kernel.shares(initial),
        measured_space(feature) if data is None else None,
        len(own),
    )  # fmt: skip


def _rows(dim: int) -> tuple[Index, Index, Index]:
    """The waves, the row of each k with -N <= k_j <= N, and the number of k in each row.

    The waves ``(n, dim)`` are those with N >= k_1 >= ... >= k_d >= 0, one for each row.
    """
    degree = DEGREES[dim]
    box = np.indices((2 * degree + 1,) * dim).reshape(dim, -1).T - degree
    keys = np.sort(np.abs(box), axis=1)[:, ::-1]
    wave, row, count = np.unique(keys, axis=0, return_inverse=True, return_counts=True)
    order = np.argsort((wave**2).sum(axis=1), kind="stable")
    return wave[order], np.argsort(order)[row.ravel()], count[order]


def _of_convolution(
    feature: Feature, cutoff: int, teacher: Density, initial: Density, data: Array | None
) -> Identifiability:
    """The table of features that are a convolution on a torus."""
    if data is not None:
        raise InputError("What is seen with inputs of your own is known on the circle and S^2.")
    torus: Any = feature.manifold
    convolution = feature.convolution(cutoff)
    if convolution is None:
        raise InputError(f"The kernel's eigenvalues of {type(feature).__name__} are not known.")
    return _mixed(torus, convolution, teacher, initial)


def _mixed(
    torus: FlatTorus, convolution: Convolution, teacher: Density, initial: Density
) -> Identifiability:
    """The table of a convolution whose inputs need not be uniform."""
    basis = _largest(torus, convolution.waves)
    waves = basis.lookup(convolution.waves)
    gram = basis.gram_of(convolution.inputs(2 * basis.degree))
    root = cholesky(gram + RIDGE * np.trace(gram) * np.eye(basis.size), lower=True)
    functions, singular, _ = svd(waves[:, None] * root)
    wave, row, count = _rows(torus.dim)
    null = convolution.waves[tuple(wave.T)] == 0
    label = np.sort(np.abs(basis.waves[basis.wave_of]), axis=1)[:, ::-1]
    shares = []
    for density in (teacher, initial):
        x = torus.even(LATTICE[torus.dim] ** torus.dim)
        values = density(x)
        varying = values - values.mean()
        energy = (basis.moments(varying / len(x), x) @ functions) ** 2
        total = float(varying @ varying) / len(x)
        lost = _lattice_shares(torus, density, row)[null]
        seen = energy / total if total > _nothing(values) else np.zeros_like(energy)
        shares.append(np.concatenate([seen, lost]))
    return Identifiability(
        np.concatenate([label[np.argmax(functions**2, axis=0)], wave[null]]),
        np.concatenate([np.ones(basis.size, dtype=np.int64), count[null]]),
        np.concatenate([rounded(singular) ** 2, np.zeros(int(null.sum()))]),
        shares[0],
        shares[1],
        None if null.any() else EVERYTHING,
    )


def _largest(torus: FlatTorus, table: Array) -> Fourier:
    """The waves of the largest coefficients, at most `MODES` cosines and sines."""
    waves = ball(torus.dim, 0, len(table) - 1)
    size = np.abs(table[tuple(np.abs(waves).T)])
    order = np.argsort(-size, kind="stable")
    least = size[order[MODES // 2]] if len(order) > MODES // 2 else 0.0
    return Fourier(torus, waves[size > least * (1 + 1e-9)])  # all waves of a size or none


def _lattice_shares(manifold: Circle | FlatTorus, density: Density, row: Index) -> Array:
    """The share of each row in a density on the circle or a torus, by FFT on a lattice."""
    dim = manifold.dim
    n, degree = LATTICE[dim], DEGREES[dim]
    values = density(manifold.even(n**dim))
    varying = (values - values.mean()).reshape((n,) * dim)
    energy = np.abs(np.fft.fftn(varying) / n**dim) ** 2
    near = np.arange(-degree, degree + 1)
    inside = energy[np.ix_(*[near] * dim)].ravel()
    return _shares(np.bincount(row, inside), float(energy.sum()), values)


def _sphere_shares(sphere: Sphere, density: Density) -> Array:
    """The share of each degree in a density on S^2, by Gauss quadrature in the height."""
    height, weight = gauss_legendre(2 * SPHERE, 2.0)
    n = 4 * SPHERE
    longitude = 2 * math.pi * np.arange(n) / n
    chart = np.column_stack([np.tile(longitude, len(height)), np.repeat(height - 1, n)])
    weights, points = np.repeat(weight / (2 * n), n), sphere.unchart(chart)
    values = density(points)
    varying = values - weights @ values
    harmonics = Harmonics(np.arange(SPHERE + 1))
    energy = sphere.volume * harmonics.moments(weights * varying, points) ** 2
    return _shares(np.bincount(harmonics.degree_of, energy), float(weights @ varying**2), values)


def _meridian(manifold: Any, axis: ArrayLike | None) -> Meridian | None:
    """The space of the rings about an axis on spheres of dimension 2 and more; None elsewhere."""
    if axis is None or not manifold.antipodal or manifold.dim == 1:
        return None
    return Meridian(Sphere(manifold.dim), unit_axis(axis, manifold.ambient))


def _zonal_shares(meridian: Meridian, density: Density, name: str) -> Array:
    """The share of each degree in a density that depends on the angle alone, by quadrature."""
    require_symmetric(meridian, density, name)
    dim = meridian.sphere.dim
    angle, weight = meridian_rule(dim, MERIDIAN)
    values = density(meridian.unchart(angle[:, None]))
    varying = values - weight @ values
    harmonics = zonal_harmonics(dim, SPHERE, np.cos(angle))
    energy = (harmonics @ (weight * varying)) ** 2
    return _shares(energy, float(weight @ varying**2), values)


def _shares(energy: Array, total: float, values: Array) -> Array:
    """Energies divided by their total; zeros for a constant, whose energies are round-off."""
    if total <= _nothing(values):
        return np.zeros_like(energy)
    energy[0] = 0.0
    return energy / total


def _nothing(values: Array) -> float:
    """The variance up to which values count as constant."""
    return float((1e-12 * np.abs(values).max()) ** 2)
