"""Which feature map a configuration gets: the fastest exact one, or one truncated on purpose."""

from __future__ import annotations

import numpy as np

from uf_diffusion.core.errors import InputError
from uf_diffusion.core.mpi import Share
from uf_diffusion.kernels.base import Feature
from uf_diffusion.kernels.circle_maps import (
    ArcCosineOnCircle,
    CircleMap,
    Matern32OnCircle,
    SampledReLU,
)
from uf_diffusion.kernels.closed_forms import ArcCosine, Matern32
from uf_diffusion.kernels.feature_maps import Atoms, FeatureMap
from uf_diffusion.kernels.features import Radial, ReLU
from uf_diffusion.kernels.population import Population
from uf_diffusion.kernels.sampled import Sampled
from uf_diffusion.kernels.truncation import truncated

__all__ = ["feature_map"]

CANDIDATES = 4000  # points among which landmarks are chosen


def feature_map(
    feature: Feature,
    kernel: str,
    samples: int,
    teacher: Atoms,
    rng: np.random.Generator,
    width: int = 0,
    dropped: float = 0.0,
) -> FeatureMap:
    """The feature map of a configuration.

    Args:
        feature: phi.
        kernel: "sampled" draws inputs; "population" has infinitely many, in closed form;
            "low-rank" too, with finitely many coordinates.
        samples: how many inputs are drawn.
        teacher: the teacher's neurons.
        rng: draws the inputs.
        width: number of neurons; with fewer neurons than samples, ranks share the samples.
        dropped: bound of K(omega, omega) that "low-rank" may leave out.

    Raises:
        InputError: for a population kernel without closed form.
    """
    if kernel == "low-rank":
        candidates = feature.manifold.sample(CANDIDATES, rng)
        return truncated(feature, teacher, dropped, candidates)
    if kernel == "population":
        return _population(feature, teacher)
    data = feature.inputs(samples, rng)
    if isinstance(feature, ReLU) and feature.manifold.dim == 1:
        return CircleMap(SampledReLU(data), teacher)
    share = Share(samples, split=width <= samples)
    return Sampled(feature, data[share.rows], teacher, share)


def _population(feature: Feature, teacher: Atoms) -> FeatureMap:
    kernel = feature.kernel
    if kernel is None:
        others = "'low-rank' or 'sampled'" if isinstance(feature, Radial) else "'sampled'"
        raise InputError(
            "These features have no population kernel in closed form; "
            f"use network.kernel = {others}."
        )
    if isinstance(kernel, ArcCosine) and kernel.manifold.dim == 1:
        return CircleMap(ArcCosineOnCircle(), teacher)
    if isinstance(kernel, Matern32):
        return CircleMap(Matern32OnCircle(kernel), teacher)
    return Population(kernel, teacher)
