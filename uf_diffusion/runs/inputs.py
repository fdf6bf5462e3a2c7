"""The inputs of a run's network: drawn or given, with labels and noise, and what is held out.

Noise and the choice of what is held out have random generators of their own, so that neither
changes other random numbers of the run.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from uf_diffusion.core.arrays import Array, Index
from uf_diffusion.core.errors import InputError
from uf_diffusion.kernels.base import Feature
from uf_diffusion.kernels.feature_maps import Atoms, pair_blocks
from uf_diffusion.kernels.inputs import Inputs, augmented, given_columns, inputs_of_law
from uf_diffusion.kernels.own_features import drawn_inputs
from uf_diffusion.network.data import TEACHER
from uf_diffusion.problem.unknown import NO_DENSITY
from uf_diffusion.runs.config import NetworkConfig
from uf_diffusion.runs.setup import Setup

__all__ = ["Parts", "inputs_of", "measures_errors", "require_data", "require_density"]

NOISE, HELD_OUT = 1, 2  # what is appended to the seed


class Parts(NamedTuple):
    """The inputs that a network is trained with, and those that are held out; None if none are."""

    training: Inputs
    held_out: Inputs | None


def inputs_of(setup: Setup, teacher: Atoms, rng: np.random.Generator) -> Parts:
    """The inputs of the kernel "sampled" with their labels.

    Args:
        setup: the objects of the run.
        teacher: the teacher's neurons, which make the labels that noise is added to.
        rng: draws the inputs, unless they are given.

    Raises:
        InputError: as `Setup.data` and `Setup.draws`, for inputs that do not suit the features, and
            if nothing is left to be held out or to be trained with.
    """
    c, data = setup.config.network, setup.data
    x = _points(setup, rng)
    weights, labels = (None, None) if data is None else (data.weights, data.labels)
    if c.noise and labels is None:
        labels = _outputs(setup.features, teacher, x)
    if c.noise and labels is not None:
        labels = labels + c.noise * np.random.default_rng([c.seed, NOISE]).standard_normal(len(x))
    kept, left = _split(_used(len(x), weights), c.held_out, c.seed)

    def part(rows: Index) -> Inputs:
        w = None if weights is None else weights[rows] / weights[rows].sum()
        return Inputs(x[rows], w, None if labels is None else labels[rows])

    return Parts(part(kept), part(left) if len(left) else None)


def measures_errors(c: NetworkConfig) -> bool:
    """Whether a run records the errors of the outputs over time."""
    return c.labels != TEACHER or c.noise > 0 or c.held_out > 0


def require_data(setup: Setup) -> None:
    """Read what is given, before any other work.

    Raises:
        InputError: as `inputs_of`.
    """
    if (data := setup.data) is not None:
        data.inputs_for(given_columns(setup.features))
        _split(_used(len(data.inputs), data.weights), setup.config.network.held_out, 0)


def require_density(setup: Setup) -> None:
    """Refuse a run that needs more of the teacher than labels, before any other work.

    Raises:
        InputError: if the teacher is known by no more than labels.
    """
    if setup.config.problem.teacher["kind"] == "unknown":
        raise InputError(NO_DENSITY)


def _points(setup: Setup, rng: np.random.Generator) -> Array:
    """All inputs as the features take them, ``(n, d)``."""
    c, phi = setup.config.network, setup.features
    if setup.data is not None:
        return augmented(phi, setup.data.inputs_for(given_columns(phi)))
    if setup.draws is not None:
        columns = drawn_inputs(phi, 1, np.random.default_rng(0)).shape[1]
        return setup.draws.inputs_for(columns)
    return inputs_of_law(c.inputs, phi, c.samples, rng)


def _outputs(feature: Feature, teacher: Atoms, x: Array) -> Array:
    """The teacher's outputs at inputs, ``(n,)``."""
    points, weights = teacher.points, teacher.weights
    blocks = pair_blocks(points, x)
    return np.asarray(sum(weights[rows] @ feature(points[rows], x)[0] for rows in blocks))


def _used(n: int, weights: Array | None) -> Index:
    """The rows of the n inputs whose weights do not vanish."""
    return np.arange(n) if weights is None else np.flatnonzero(weights / weights.sum())


def _split(rows: Index, fraction: float, seed: int) -> tuple[Index, Index]:
    """The rows to train with and those that are held out, both in increasing order."""
    count, n = round(fraction * len(rows)), len(rows)
    if fraction > 0 and not 0 < count < n:
        left = "none" if count == 0 else "all"
        raise InputError(f"network.held_out = {fraction:g} of {n} input(s) holds out {left}.")
    order = np.random.default_rng([seed, HELD_OUT]).permutation(n)
    return rows[np.sort(order[count:])], rows[np.sort(order[:count])]
