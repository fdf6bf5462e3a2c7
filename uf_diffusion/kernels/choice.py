"""The choice of a feature map: the fastest exact one, or a truncated one if the user wants it."""

from __future__ import annotations

from functools import singledispatch
from typing import Any

import numpy as np

from uf_diffusion.core.arrays import Array
from uf_diffusion.core.errors import InputError
from uf_diffusion.core.mpi import Share
from uf_diffusion.kernels.activations import Activation
from uf_diffusion.kernels.base import Feature
from uf_diffusion.kernels.circle_expansions import circle_expansion
from uf_diffusion.kernels.circle_maps import CircleMap, circle_form, sampled_circle_form
from uf_diffusion.kernels.feature_maps import Atoms, FeatureMap
from uf_diffusion.kernels.features import ReLU
from uf_diffusion.kernels.hinges import COORDINATES, Hinges
from uf_diffusion.kernels.own_features import drawn_inputs
from uf_diffusion.kernels.population import Population
from uf_diffusion.kernels.sampled import Sampled
from uf_diffusion.kernels.truncation import own_truncation, truncated

__all__ = ["feature_map"]

CANDIDATES = 4000  # number of points among which landmarks are chosen


def feature_map(
    feature: Feature,
    kernel: str,
    samples: int,
    teacher: Atoms,
    rng: np.random.Generator,
    width: int = 0,
    dropped: float = 0.0,
    data: Array | None = None,
) -> FeatureMap:
    """The feature map for a kind of kernel.

    Args:
        feature: phi.
        kernel: "sampled" for inputs that are drawn; "population" for infinitely many inputs, by the
            closed form of the kernel; "low-rank" for infinitely many inputs, truncated to finitely
            many coordinates.
        samples: number of inputs to draw.
        teacher: the teacher's neurons.
        rng: draws the inputs, or the candidates for landmarks.
        width: number of neurons; if it is at most ``samples``, the samples are spread over the
            ranks, else the neurons.
        dropped: how much of K(omega, omega) "low-rank" may leave out, > 0.
        data: inputs ``(samples, d)`` that are given; None to draw them.

    Raises:
        InputError: if the kernel has no closed form and one is needed, or if the truncation
            needs too many modes.
    """
    if kernel == "low-rank":
        candidates = feature.manifold.sample(CANDIDATES, rng)
        return truncated(feature, teacher, dropped, candidates)
    if kernel == "population":
        return _population(feature, teacher)
    if data is None:
        data = drawn_inputs(feature, samples, rng)
    if (form := sampled_circle_form(feature, data)) is not None:
        return CircleMap(form, teacher)
    if (expansion := _expansion(feature, data, teacher)) is not None:
        return expansion
    share = Share(samples, split=width <= samples)
    hinges = type(feature) is ReLU and feature.manifold.ambient <= COORDINATES
    return (Hinges if hinges else Sampled)(feature, data[share.rows], teacher, share)


@singledispatch
def _expansion(feature: Any, data: Array, teacher: Atoms) -> FeatureMap | None:
    """The map of sampled features as finitely many waves; None if they are not."""
    return None


@_expansion.register
def _(feature: Activation, data: Array, teacher: Atoms) -> FeatureMap | None:
    return circle_expansion(feature, data, teacher) if feature.manifold.dim == 1 else None


def _population(feature: Feature, teacher: Atoms) -> FeatureMap:
    kernel = feature.kernel
    if kernel is None:
        truncates = own_truncation.dispatch(type(feature)) is not own_truncation.dispatch(object)
        others = "'low-rank' or 'sampled'" if truncates else "'sampled'"
        raise InputError(
            "These features have no population kernel in closed form; "
            f"use network.kernel = {others}."
        )
    form = circle_form(kernel)
    return Population(kernel, teacher) if form is None else CircleMap(form, teacher)
