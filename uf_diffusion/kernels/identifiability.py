"""What the features see of a measure: the kernel's eigenvalues, and the densities' share of each.

The kernel K(omega, omega') = E_x phi(omega, x) phi(omega', x) acts on functions by
w -> int K(., omega') w(omega') domega' / |Omega|. Its eigenfunctions are harmonics on the circle
and on S^2, and waves exp(i q k.omega), q = 2 pi / period, on tori. The integrals of a measure
against those with eigenvalue 0 do not enter any network: the kernel is blind to its null space.

As lambda -> 0 the network's potential is the best one orthogonal to the null space. It is
w = f'(nu/mu), and the network follows the ultra-fast diffusion, exactly as long as this w has no
part in the null space; where it has one, the limit is a constrained equation with another w. With
mu uniform and f quadratic the part of w is that of nu. So weight of a density in the null space
is a warning, no proof: equal densities have w = f'(1), whatever their weight, and products of
harmonics that are seen may be unseen, so that w acquires a part later. For bias-free ReLU, blind
to odd degrees >= 3, w keeps no such part for all t if both densities are even.

An eigenvalue is comparable to lambda: at mu uniform the potential of a harmonic is damped by
kappa / (kappa + lambda), so those far below lambda are not seen in practice either.

Of which inputs? Those with a kernel in closed form have its inputs: Gaussian for ReLU, uniform for
Laplace features. N inputs that were drawn see no more than N functions, and none that infinitely
many do not see. Radial features have Gaussian inputs, of density rho. Then K = A rho A with A the
convolution by g, and the eigenfunctions are no waves. But K w = 0 is A w = 0 as rho > 0: the null
space is that of uniform inputs, whose eigenvalues |g_k|^2 / |Omega|^2, g_k the integral of
g(|x|) exp(-i q k.x), are the ones given here. Those of K lie, in order, between the minimum and the
maximum of |Omega| rho times these.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from uf_diffusion.core.arrays import Array, Index
from uf_diffusion.core.errors import InputError
from uf_diffusion.kernels.base import Feature
from uf_diffusion.kernels.spherical_harmonics import (
    Harmonics,
    gauss_legendre,
)
from uf_diffusion.problem.densities import Density
from uf_diffusion.problem.manifolds import Circle, FlatTorus, Sphere

__all__ = ["Identifiability", "identifiability", "unseen_sentence"]


DEGREES = {1: 512, 2: 48, 3: 16}  # cut-off along each axis of the circle and of tori
LATTICE = {1: 8192, 2: 256, 3: 64}  # points along each axis, for the densities' coefficients
SPHERE = 128  # cut-off on S^2
NEGLIGIBLE = 1e-6  # of a variance: 0.1 % of the amplitude, less than a positive lambda moves


@dataclass(frozen=True)
class Identifiability:
    """A kernel's eigenvalues, and what two densities have there; n is the number of rows.

    A row is a degree on the circle and on S^2; on a torus it is a set of waves k that differ by
    signs and the order of the axes. Rows increase in |k|, and the first is the constant.

    Attributes:
        wave: the degree, or the wave k_1 >= ... >= k_d >= 0, ``(n, axes)``.
        multiplicity: how many eigenfunctions are in the row, ``(n,)``.
        eigenvalue: against the uniform probability measure, in units of the kernel, ``(n,)``;
            exactly 0 where it is zero to round-off.
        teacher_share: share of the row in the teacher's squared L2 norm without the constant,
            dimensionless, ``(n,)``; what is missing to 1 lies beyond the last row.
        initial_share: likewise.
    """

    wave: Index
    multiplicity: Index
    eigenvalue: Array
    teacher_share: Array
    initial_share: Array

    @property
    def degree(self) -> Array:
        """|k|, ``(n,)``."""
        return np.asarray(np.linalg.norm(self.wave, axis=1))

    @property
    def even_and_linear(self) -> bool:
        """Whether what is seen are the even and the linear functions, so that the limit
        lambda -> 0 is the constrained equation.
        """
        null = self.wave[self.eigenvalue == 0]
        return np.array_equal(null, np.arange(3, self.wave.max() + 1, 2)[:, None])

    @property
    def null_space(self) -> str:
        """The rows with eigenvalue 0, in words; empty where there are none."""
        null = self.wave[self.eigenvalue == 0]
        if not len(null):
            return ""
        if self.even_and_linear:
            return "odd degrees >= 3"
        first = ", ".join(map(str, null[0]))
        return f"{len(null)} of {len(self.wave)} wave numbers, from ({first}) on"

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
        """What a result keeps, and `unseen_sentence` takes."""
        return {
            "null_space": self.null_space,
            "even_and_linear": int(self.even_and_linear),
            "unseen_teacher": self.unseen_teacher,
            "unseen_initial": self.unseen_initial,
        }


def unseen_sentence(attributes: Mapping[Any, Any]) -> str:
    """What is not seen and what follows; empty where it is negligible, or not known.

    Args:
        attributes: those of an `Identifiability`, or of a result's group that has them.
    """
    if "null_space" not in attributes:
        return ""
    null_space, teacher, initial = (
        attributes[name] for name in ("null_space", "unseen_teacher", "unseen_initial")
    )
    if max(teacher, initial) <= NEGLIGIBLE:
        return ""
    follows = (
        "the limit lambda -> 0 is the constrained equation, problem.limit = 'constrained'"
        if attributes.get("even_and_linear")
        else "lost in round-off, whatever lambda: the network follows no part of f'(nu/mu) there"
    )
    return (
        f"{null_space}: {100 * teacher:.3g} % of the teacher's and "
        f"{100 * initial:.3g} % of the initial density's variance; {follows}"
    )


def identifiability(feature: Feature, teacher: Density, initial: Density) -> Identifiability:
    """The eigenvalues of a feature's kernel, and the shares of two densities.

    Args:
        feature: phi, on the circle, on S^2 or on a torus of dimension 1, 2 or 3.
        teacher, initial: densities on its manifold.

    Raises:
        InputError: on other manifolds.
    """
    manifold: Any = feature.manifold
    if len(manifold.axes) != manifold.dim or manifold.dim not in DEGREES:
        raise InputError(
            "What features see is known on the circle, on the sphere of dimension 2 and on tori of "
            "dimension 1 to 3."
        )
    curved = manifold.dim > 1 and not manifold.period
    eigenvalue = feature.eigenvalues(SPHERE if curved else DEGREES[manifold.dim])
    if eigenvalue is None:
        raise InputError(f"The kernel's eigenvalues of {type(feature).__name__} are not known.")
    if curved:
        degree = np.arange(SPHERE + 1)
        shares = [_sphere_shares(manifold, density) for density in (teacher, initial)]
        return Identifiability(degree[:, None], 2 * degree + 1, eigenvalue, *shares)
    wave, row, multiplicity = _rows(manifold.dim)
    shares = [_lattice_shares(manifold, d, row) for d in (teacher, initial)]
    return Identifiability(wave, multiplicity, eigenvalue[tuple(wave.T)], *shares)


def _rows(dim: int) -> tuple[Index, Index, Index]:
    """The waves k_1 >= ... >= k_d >= 0 up to the cut-off, ``(n, dim)``; the row of each wave k,
    -N <= k_j <= N, flat; and how many there are in each row.
    """
    degree = DEGREES[dim]
    box = np.indices((2 * degree + 1,) * dim).reshape(dim, -1).T - degree
    keys = np.sort(np.abs(box), axis=1)[:, ::-1]
    wave, row, count = np.unique(keys, axis=0, return_inverse=True, return_counts=True)
    order = np.argsort((wave**2).sum(axis=1), kind="stable")
    return wave[order], np.argsort(order)[row.ravel()], count[order]


def _lattice_shares(manifold: Circle | FlatTorus, density: Density, row: Index) -> Array:
    """The shares by row of a density on the circle or a torus, by FFT on a lattice."""
    dim = manifold.dim
    n, degree = LATTICE[dim], DEGREES[dim]
    values = density(manifold.even(n**dim))
    varying = (values - values.mean()).reshape((n,) * dim)
    energy = np.abs(np.fft.fftn(varying) / n**dim) ** 2
    near = np.arange(-degree, degree + 1)
    inside = energy[np.ix_(*[near] * dim)].ravel()
    return _shares(np.bincount(row, inside), float(energy.sum()), values)


def _sphere_shares(sphere: Sphere, density: Density) -> Array:
    """The shares by degree of a density on S^2, by Gauss's quadrature in height."""
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


def _shares(energy: Array, total: float, values: Array) -> Array:
    """Energies over their total, but nothing for a constant, which has only round-off."""
    if total <= (1e-12 * np.abs(values).max()) ** 2:
        return np.zeros_like(energy)
    energy[0] = 0.0
    return energy / total
