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
from uf_diffusion.kernels.circle_labels import LabelledCircleMap
from uf_diffusion.kernels.circle_maps import CircleMap, circle_form, sampled_circle_form
from uf_diffusion.kernels.feature_maps import Atoms, FeatureMap
from uf_diffusion.kernels.features import ReLU
from uf_diffusion.kernels.hinges import COORDINATES, Hinges
from uf_diffusion.kernels.inputs import Inputs
from uf_diffusion.kernels.own_features import drawn_inputs
from uf_diffusion.kernels.population import Population
from uf_diffusion.kernels.sampled import Sampled
from uf_diffusion.kernels.truncation import own_truncation, truncated
from uf_diffusion.kernels.weighted import Weighted, at_equal_weights

__all__ = ["feature_map", "sampled_map"]

CANDIDATES = 4000  # number of points among which landmarks are chosen


def feature_map(
    feature: Feature,
    kernel: str,
    samples: int,
    teacher: Atoms,
    rng: np.random.Generator,
    width: int = 0,
    dropped: float = 0.0,
    data: Inputs | None = None,
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
        width: number of neurons; if it is at most that of the inputs, these are spread over the
            ranks, else the neurons.
        dropped: how much of K(omega, omega) "low-rank" may leave out, > 0.
        data: inputs of the kernel "sampled" that are given; None to draw them.

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
        data = Inputs(drawn_inputs(feature, samples, rng))
    return sampled_map(feature, data, teacher, width <= len(data.x))


def sampled_map(feature: Feature, inputs: Inputs, teacher: Atoms, split: bool) -> FeatureMap:
    """The fastest feature map of given inputs.

    Args:
        feature: phi.
        inputs: the inputs, with weights and labels.
        teacher: the teacher's neurons; its outputs are learnt where the inputs have no labels.
        split: whether the inputs are spread over the ranks, else the neurons are; on the circle
            neither may be.
    """
    target, (phi, x) = inputs.target, at_equal_weights(feature, inputs)
    if (form := sampled_circle_form(phi, x)) is not None:
        if target is None:
            return CircleMap(form, teacher)
        return LabelledCircleMap(form, teacher, target)
    if (expansion := _expansion(phi, x, teacher, target)) is not None:
        return expansion
    share = Share(len(x), split)
    own = None if target is None else target[share.rows]
    hinges = type(phi) is ReLU and phi.manifold.ambient <= COORDINATES
    return (Hinges if hinges else Sampled)(phi, x[share.rows], teacher, share, own)


@singledispatch
def _expansion(
    feature: Any, data: Array, teacher: Atoms, target: Array | None
) -> FeatureMap | None:
    """The map of sampled features as finitely many waves; None if they are not."""
    return None


@_expansion.register
def _(feature: Activation, data: Array, teacher: Atoms, target: Array | None) -> FeatureMap | None:
    return circle_expansion(feature, data, teacher, target) if feature.manifold.dim == 1 else None


@_expansion.register
def _(feature: Weighted, data: Array, teacher: Atoms, target: Array | None) -> FeatureMap | None:
    expands = type(feature.feature) is Activation and feature.manifold.dim == 1
    return circle_expansion(feature, data, teacher, target) if expands else None


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
