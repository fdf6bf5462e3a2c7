"""Feature maps on the circle whose kernels are semiseparable: exact, at a cost linear in M.

A ReLU feature changes between zero and linear where omega is orthogonal to an input, and so does
every feature a z + b |z| of z = omega.x. So along the circle its kernel, sampled or not, consists
of sines and cosines whose coefficients depend on the point. It is semiseparable of rank 8 (sampled)
or 6 once the circle is folded such that omega and -omega have the same position. The periodic
Matern-3/2 kernel has rank 4 without folding. The module `semiseparable` has the algorithms for such
kernels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property, singledispatch
from typing import Any, Protocol

import numpy as np

from uf_diffusion.core.arrays import Array, Index
from uf_diffusion.core.compiled import compiled
from uf_diffusion.core.mpi import Share
from uf_diffusion.kernels.activations import Activation
from uf_diffusion.kernels.closed_forms import ArcCosine, Matern32
from uf_diffusion.kernels.feature_maps import Atoms, FeatureMap, Remembered, Solver
from uf_diffusion.kernels.features import ReLU
from uf_diffusion.kernels.semiseparable import Generators, Sources, factorise, products
from uf_diffusion.problem.manifolds import Circle

__all__ = ["ArcCosineOnCircle", "CircleKernel", "CircleMap", "Matern32OnCircle", "SampledHinges",
           "Target", "circle_form", "sampled_circle_form", "sign_changes"]  # fmt: skip


class CircleKernel(Protocol):
    """A kernel on the circle, written as a semiseparable kernel of positions on a line."""

    @property
    def rate(self) -> float:
        """The factor that scales distances along the line; 0 for kernels that do not decay."""
        ...

    @property
    def rank(self) -> int:
        """The length r of the generators' vectors."""
        ...

    def place(self, omega: Array) -> tuple[Array, Array]:
        """Positions on the line, and signs that tell omega from -omega; ``(n,)`` each."""
        ...

    def generators(self, position: Array, sign: Array) -> Generators:
        """The generators at increasing positions ``(n,)`` with these signs."""
        ...

    def slopes(self, position: Array, sign: Array) -> Generators:
        """The derivatives of the generators along the circle."""
        ...


def _fold(omega: Array) -> tuple[Array, Array]:
    """The angle b modulo pi, and the sign for which omega = sign (cos b, sin b)."""
    angle = Circle().chart(omega)[:, 0]
    return np.where(angle < 0, angle + math.pi, angle), np.where(angle < 0, -1.0, 1.0)


@dataclass(frozen=True)
class ArcCosineOnCircle:
    """The kernel of ReLU features with infinitely many Gaussian inputs.

    Let d be the difference of the folded angles of i and j, where i comes after j, and s the signs:
    2 pi K = sin d - d cos d + (1 + s_i s_j) (pi / 2) cos d.
    """

    rate: float = 0.0
    rank: int = 6

    def place(self, omega: Array) -> tuple[Array, Array]:
        return _fold(omega)

    def generators(self, position: Array, sign: Array) -> Generators:
        return Generators(*_arc_cosine(position, sign, False))

    def slopes(self, position: Array, sign: Array) -> Generators:
        return Generators(*_arc_cosine(position, sign, True))


@compiled
def _arc_cosine(position: Array, sign: Array, slopes: bool) -> tuple[Array, Array]:
    """U = [w, -b w, s w] / (2 pi) and V = [w' + (pi/2 + b) w, w, (pi/2) s w], or derivatives."""
    n, quarter, h = len(position), math.pi / 2, 1 / (2 * math.pi)
    U, V = np.empty((n, 6)), np.empty((n, 6))
    for i in range(n):
        b, s = position[i], sign[i]
        w = (math.cos(b), math.sin(b))
        t = (-w[1], w[0])  # dw / db, and dt / db = -w
        for k in range(2):
            if slopes:
                U[i, k], U[i, k + 2], U[i, k + 4] = h * t[k], -h * (w[k] + b * t[k]), h * s * t[k]
                V[i, k], V[i, k + 2], V[i, k + 4] = (quarter + b) * t[k], t[k], quarter * s * t[k]
            else:
                U[i, k], U[i, k + 2], U[i, k + 4] = h * w[k], -h * b * w[k], h * s * w[k]
                V[i, k], V[i, k + 2] = t[k] + (quarter + b) * w[k], w[k]
                V[i, k + 4] = quarter * s * w[k]
    return U, V


def sign_changes(x: Array) -> tuple[Index, Array, Array]:
    """Where the sign of w(b).x changes for w(b) = (cos b, sin b) and 0 <= b < pi, in this order.

    Args:
        x: points of the plane, ``(N, 2)``.

    Returns:
        The numbers of the points in increasing order of b, and in this order the angles b and the
        signs of the derivative of w(b).x there, ``(N,)`` each.
    """
    change = np.mod(Circle().chart(x)[:, 0] + math.pi / 2, math.pi)
    order = np.argsort(change)
    change, x = change[order], x[order]
    return order, change, np.sign(x[:, 1] * np.cos(change) - x[:, 0] * np.sin(change))


@dataclass(frozen=True)
class SampledHinges:
    """The kernel of features linear * z + bent * |z|, z = omega.x, with given inputs, ``(N, 2)``.

    For ReLU both factors are 1/2. Along the folded circle w(b) = (cos b, sin b) the sign of w.x
    changes once, where w is orthogonal to x. Let T be the mean of x x^T, H(b) the mean of
    sign(w.x) x x^T, and B(b) the part of T from the x whose sign changes before b. If i comes after
    j, the means of z_i z_j, z_i |z_j| and |z_i| |z_j| are s_i s_j w_i.T w_j, s_i w_i.H_j w_j and
    w_i.(T + 2 B_j - 2 B_i) w_j; and that of |z_i| z_j is s_j w_i.H_i w_j.
    """

    data: Array
    linear: float = 0.5
    bent: float = 0.5
    rate: float = 0.0
    rank: int = 8

    def place(self, omega: Array) -> tuple[Array, Array]:
        return _fold(omega)

    @cached_property
    def _sums(self) -> tuple[Array, Array, Array]:
        """The angles of the sign changes; B and H after 0, ..., N of them, ``(N + 1, 2, 2)``."""
        order, change, after = sign_changes(self.data)
        x = self.data[order]
        outer = np.einsum("ni,nj->nij", x, x) / len(x)
        changed, signed = np.zeros((2, len(x) + 1, 2, 2))
        np.cumsum(outer, axis=0, out=changed[1:])
        np.cumsum(2 * after[:, None, None] * outer, axis=0, out=signed[1:])
        return change, changed, signed - signed[-1] / 2

    def generators(self, position: Array, sign: Array) -> Generators:
        return Generators(*self._vectors(position, sign, False))

    def slopes(self, position: Array, sign: Array) -> Generators:
        return Generators(*self._vectors(position, sign, True))

    def _vectors(self, position: Array, sign: Array, slopes: bool) -> tuple[Array, Array]:
        return _sampled(position, sign, *self._sums, self.linear, self.bent, slopes)


@compiled
def _sampled(
    position: Array, sign: Array, change: Array, changed: Array, signed: Array,
    linear: float, bent: float, slopes: bool,
) -> tuple[Array, Array]:  # fmt: skip
    """U = [b w, a s w, b H w + a s T w, b (T w - 2 B w)] and V = [2 b B w, b H w, a s w, b w].

    Here a is linear and b is bent. For the slopes w is replaced by its derivative.
    """
    n, count, last = len(position), 0, len(change)
    U, V = np.empty((n, 8)), np.empty((n, 8))
    for i in range(n):
        while count < last and change[count] < position[i]:
            count += 1
        c, s = math.cos(position[i]), math.sin(position[i])
        w = (-s, c) if slopes else (c, s)
        for k in range(2):
            T = changed[last, k, 0] * w[0] + changed[last, k, 1] * w[1]
            B = 2 * (changed[count, k, 0] * w[0] + changed[count, k, 1] * w[1])
            H = signed[count, k, 0] * w[0] + signed[count, k, 1] * w[1]
            own, flat = linear * sign[i] * w[k], bent * w[k]
            U[i, k], U[i, k + 2], U[i, k + 4] = flat, own, bent * H + linear * sign[i] * T
            U[i, k + 6], V[i, k], V[i, k + 2] = bent * (T - B), bent * B, bent * H
            V[i, k + 4], V[i, k + 6] = own, flat
    return U, V


@dataclass(frozen=True)
class Matern32OnCircle:
    """The periodic Matern-3/2 kernel, with the images of a point in both directions."""

    kernel: Matern32
    rank: int = 4

    @property
    def rate(self) -> float:
        return 1 / self.kernel.scale

    def place(self, omega: Array) -> tuple[Array, Array]:
        return Circle().chart(omega)[:, 0], np.ones(len(omega))

    def generators(self, position: Array, sign: Array) -> Generators:
        turn, one, moment = self.kernel.sums
        x, unit = self.rate * position, np.ones_like(position)
        up, down = np.exp(x - turn / 2), np.exp(-x - turn / 2)
        return Generators(
            np.column_stack([(one + moment) * unit, one * unit,
                             up * (one * (1 + turn - x) + moment), up * one]),
            np.column_stack([unit, 0 * unit, down, down * x]),
        )  # fmt: skip

    def slopes(self, position: Array, sign: Array) -> Generators:
        turn, one, moment = self.kernel.sums
        x, unit = self.rate * position, np.ones_like(position)
        up, down = np.exp(x - turn / 2), np.exp(-x - turn / 2)
        return Generators(
            self.rate * np.column_stack([-moment * unit, -one * unit,
                                         up * (one * (turn - x) + moment), up * one]),
            self.rate * np.column_stack([unit, -unit, -down, down * (1 - x)]),
        )  # fmt: skip


@singledispatch
def circle_form(kernel: Any) -> CircleKernel | None:
    """The semiseparable form of a population kernel on the circle; None if it has none."""
    return None


@circle_form.register
def _(kernel: ArcCosine) -> CircleKernel | None:
    return ArcCosineOnCircle() if kernel.manifold.dim == 1 else None


@circle_form.register
def _(kernel: Matern32) -> CircleKernel | None:
    return Matern32OnCircle(kernel)


@singledispatch
def sampled_circle_form(feature: Any, data: Array) -> SampledHinges | None:
    """The semiseparable form of a feature's kernel with inputs ``(N, d)``; None if it has none."""
    return None


@sampled_circle_form.register
def _(feature: ReLU, data: Array) -> SampledHinges | None:
    return SampledHinges(data) if feature.manifold.dim == 1 else None


@sampled_circle_form.register
def _(feature: Activation, data: Array) -> SampledHinges | None:
    if feature.manifold.dim > 1 or feature.sigma.hinge is None:
        return None
    linear, bent = (part / feature.scale for part in feature.sigma.hinge)
    return SampledHinges(data, linear, bent)


class Target(Protocol):
    """What a network on the circle learns, as a potential of the neurons' positions."""

    def potential(self, position: Array, rows: Generators) -> Array:
        """The values Psi.t, or their slopes, as `Sources.potential`."""
        ...


@dataclass(frozen=True)
class CircleMap(FeatureMap):
    """The feature map of a semiseparable kernel, together with a teacher.

    Attributes:
        kernel: the kernel.
        teacher: the teacher's neurons.
    """

    kernel: CircleKernel
    teacher: Atoms

    @property
    def direct(self) -> bool:
        return True

    @cached_property
    def sources(self) -> Target:
        """The teacher's neurons as sources of the potential Psi.t."""
        neurons = self.at(self.teacher.points)
        return Sources(neurons.position, neurons.generators, self.kernel.rate,
                       self.teacher.weights[neurons.order])  # fmt: skip

    @cached_property
    def energy(self) -> float:
        """The squared norm |t|^2 of the teacher."""
        neurons, weights = self.at(self.teacher.points), self.teacher.weights
        return float(weights @ (neurons.products(weights)))

    def at(self, omega: Array, share: Share | None = None) -> CircleNeurons:
        return CircleNeurons(self, omega)

    def memory(self, width: int) -> int:
        return 8 * width * (6 * self.kernel.rank + 24)


@dataclass(frozen=True)
class CircleNeurons:
    """Neurons of a semiseparable kernel; computations are in the order of the positions."""

    map: CircleMap
    omega: Array

    @property
    def share(self) -> Share:
        return Share(len(self.omega))

    @cached_property
    def _placed(self) -> tuple[Index, Array, Array]:
        position, sign = self.map.kernel.place(self.omega)
        order = np.argsort(position, kind="stable")  # fast if the positions are nearly sorted
        return order, position[order], sign[order]

    @property
    def order(self) -> Index:
        """The neurons' numbers in the order of their positions, ``(M,)``."""
        return self._placed[0]

    @property
    def position(self) -> Array:
        """The positions in increasing order, ``(M,)``."""
        return self._placed[1]

    @cached_property
    def generators(self) -> Generators:
        """The generators U and V in the order of the positions."""
        return self.map.kernel.generators(*self._placed[1:])

    @cached_property
    def lag(self) -> Array:
        """The scaled distance of each neuron from the one before it, ``(M,)``; 0 for the first."""
        position = self.position
        return self.map.kernel.rate * np.diff(position, prepend=position[0])

    def _unsorted(self, along: Array) -> Array:
        values = np.empty_like(along)
        values[self.order] = along
        return values

    def products(self, v: Array) -> Array:
        """The product K v, ``(M,)``, in the original order of the neurons."""
        return self._unsorted(products(self.generators, self.lag, v[self.order]))

    @cached_property
    def _target(self) -> Array:
        return self.map.sources.potential(self.position, self.generators)

    @cached_property
    def _last(self) -> Remembered:
        return Remembered()

    def potential(self, v: Array) -> Array:
        return self._last(self._potential, v)

    def _potential(self, v: Array) -> Array:
        along = self._target - products(self.generators, self.lag, v[self.order])
        return self._unsorted(along)

    def potential_gradient(self, v: Array) -> Array:
        rows = self.map.kernel.slopes(*self._placed[1:])
        slope = self.map.sources.potential(self.position, rows)
        slope -= products(self.generators, self.lag, v[self.order], rows)
        return Circle().uncharted(self.omega, self._unsorted(slope)[:, None])

    def misfit(self, v: Array) -> float:
        return float(self.map.energy - v @ (self._unsorted(self._target) + self.potential(v)))

    def solver(self, shift: Array) -> Solver:
        factor = factorise(self.generators, self.lag, shift[self.order])
        return lambda b, goal=0.0: self._unsorted(factor.solve(b[self.order]))
