"""The random draws of the paper's experiments (arXiv:2504.18208), from numpy alone.

Inputs and students come from PyTorch's generator on the CPU, which is the Mersenne twister that
numpy has as `RandomState`; teachers come from `RandomState` itself. Seeds 0 to 5 are those of the
paper. What the experiments draw and do not use is drawn here, too, because it advances the
generator. Numbers are computed in single precision, as there; for the teachers this matters, whose
angles lose digits near pi, up to 1e-3 radians.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from uf_diffusion.core.arrays import Array
from uf_diffusion.core.errors import InputError
from uf_diffusion.kernels.base import Feature
from uf_diffusion.kernels.features import Radial, ReLU
from uf_diffusion.network.draws import Draws
from uf_diffusion.problem import Problem
from uf_diffusion.problem.densities import Bumps, Diracs, Uniform
from uf_diffusion.problem.manifolds import Circle, FlatTorus

__all__ = ["Twister", "paper_draws"]

INPUTS = TEACHER = 4096  # numbers of inputs and of the teacher's neurons
LAST_SEED = 2**32 - 1
BLOCK = 16  # normal numbers that are made together

single = np.float32


class Twister:
    """The numbers that PyTorch draws on the CPU with a seed.

    Args:
        seed: the seed, from 0 to 2^32 - 1.
    """

    def __init__(self, seed: int) -> None:
        self._source = np.random.RandomState(seed)
        self._spare: float | None = None

    def _words(self, n: int) -> NDArray[np.uint32]:
        return self._source.randint(0, 2**32, size=n, dtype=np.uint32)

    def uniform(self, n: int) -> NDArray[np.float32]:
        """Numbers ``(n,)`` that are uniform on [0, 1)."""
        return (self._words(n) & np.uint32(2**24 - 1)).astype(single) * single(2.0**-24)

    def normal(self, n: int) -> Array:
        """Normal numbers ``(n,)``, by the method of Box and Muller.

        Fewer than 16 are made one by one in double precision; else in blocks of 16, of which the
        last one ends at n and is drawn anew where it overlaps.
        """
        if n < BLOCK:
            return np.array([self._one() for _ in range(n)])
        rest = n % BLOCK
        numbers = _normal(self.uniform(n)[: n - rest])
        if not rest:
            return numbers
        return np.concatenate([numbers[: n - BLOCK], _normal(self.uniform(BLOCK))])

    def _one(self) -> float:
        if self._spare is not None:
            value, self._spare = self._spare, None
            return value
        first, second = self._double(), self._double()
        radius = np.sqrt(-2 * np.log1p(-second))
        self._spare = float(radius * np.sin(2 * np.pi * first))
        return float(radius * np.cos(2 * np.pi * first))

    def _double(self) -> float:
        high, low = (int(word) for word in self._words(2))
        return ((high << 32 | low) & (2**53 - 1)) * 2.0**-53


def _normal(uniform: NDArray[np.float32]) -> Array:
    """Normal numbers ``(n,)`` from uniform ones ``(n,)``; n is a multiple of 16."""
    first, second = uniform.reshape(-1, 2, BLOCK // 2).transpose(1, 0, 2)
    radius, angle = np.sqrt(single(-2) * np.log(single(1) - first)), single(2 * np.pi) * second
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1).ravel().astype(float)


def paper_draws(
    problem: Problem, features: Feature, seed: int, width: int, samples: int = INPUTS,
    teacher_width: int = TEACHER,
) -> Draws:  # fmt: skip
    """The draws of the paper's experiment on the circle or on the torus.

    Args:
        problem: a problem of section 6.1 or of appendix B; gamma may be any.
        features: the paper's features on the manifold of the problem.
        seed: seed of both generators; 0 to 5 in the paper.
        width: number of neurons of the student.
        samples: number of inputs.
        teacher_width: number of neurons of the teacher; two Diracs are two in any case.

    Raises:
        InputError: for another problem, other features, or a seed that the generators do not take.
    """
    on_circle = problem.manifold == Circle() and type(features) is ReLU
    on_torus = problem.manifold == FlatTorus(2, 4.0) and type(features) is Radial
    if not (on_circle or on_torus):
        raise InputError(
            "network.draws = 'paper' is for ReLU features on the circle, and for radial features "
            "on the torus of dimension 2 and period 4."
        )
    if seed > LAST_SEED:
        raise InputError(
            f"network.seed must be at most {LAST_SEED} for network.draws = 'paper', not {seed}."
        )
    gamma = _gamma(problem)
    diracs = gamma == np.inf
    count = 2 if diracs else teacher_width
    numbers, angles = Twister(seed), np.random.RandomState(seed)
    numbers.normal(2 * count), numbers.uniform(count)  # two layers, which are not used
    inputs = numbers.normal(2 * samples).reshape(samples, 2)
    numbers.normal(2 * width), numbers.uniform(width)
    if on_circle:
        student = numbers.normal(2 * width).reshape(width, 2)
        teacher = _circle_teacher(angles, count, gamma)
        return Draws(inputs, teacher, Circle().project(student))
    student = 4 * (numbers.uniform(2 * width).astype(float).reshape(width, 2) - 0.5)
    if diracs:
        return Draws(inputs, np.array(Bumps(problem.manifold).centres), student)
    return Draws(inputs, _torus_teacher(angles, count, gamma), student)


def _gamma(problem: Problem) -> float:
    """The sharpness of the paper's teacher, infinite for two Diracs.

    Raises:
        InputError: for a problem whose densities are not those of the paper.
    """
    teacher, manifold = problem.teacher, problem.manifold
    gamma = float(getattr(teacher, "gamma", np.inf))
    smooth = type(teacher) is Bumps and teacher == Bumps(manifold, gamma)
    diracs = manifold.dim == 2 and teacher == Diracs(manifold, Bumps(manifold).centres, [0.5, 0.5])
    if not (smooth or diracs) or type(problem.initial) is not Uniform:
        raise InputError(
            "network.draws = 'paper' needs the paper's densities: the teacher 'bumps' with its "
            "usual centres and weights (or, on the torus, 'diracs' at these centres), and the "
            "initial density 'uniform'."
        )
    return gamma


def _circle_teacher(angles: np.random.RandomState, n: int, gamma: float) -> Array:
    """Points ``(n, 2)`` on the circle; each third one is in the second bump."""
    angle = single(np.pi) * _peak(angles, n, 1, gamma)[:, 0]
    angle[1::3] += single(0.4 * np.pi)
    return Circle().unchart(angle.astype(float)[:, None])


def _torus_teacher(angles: np.random.RandomState, n: int, gamma: float) -> Array:
    """Points ``(n, 2)`` on the torus; each second one is in the second bump."""
    points = 2 * _peak(angles, n, 2, gamma)
    points[::2] += np.array([-1, 0], single)
    points[1::2] += single(1)
    return FlatTorus(2, 4.0).wrap(points.astype(float))


def _peak(angles: np.random.RandomState, n: int, axes: int, gamma: float) -> NDArray[np.float32]:
    """Coordinates in [-1, 1) with the density of one bump about 0, ``(n, axes)``."""
    columns = []
    for _ in range(axes):
        angle = 2 * np.pi * angles.rand(n) - np.pi
        x, y = np.cos(angle).astype(single), np.sin(angle).astype(single)
        x *= single((1 + gamma) ** 0.5)
        norm = np.sqrt(x * x + y * y)
        with np.errstate(divide="ignore"):
            half = single(2) * np.arctan(y / norm / (single(1) + x / norm))
        turned = np.mod(single(2) * half + single(np.pi), single(2 * np.pi))
        columns.append((turned - single(np.pi)) / single(np.pi))
    return np.stack(columns, axis=1)
