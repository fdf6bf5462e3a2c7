"""Which feature map a configuration gets: the fastest exact one, or one truncated on purpose."""

from __future__ import annotations

import numpy as np

from uf_diffusion.core.errors import InputError
from uf_diffusion.core.mpi import Share
from uf_diffusion.kernels.base import Feature
from uf_diffusion.kernels.circle_maps import CircleMap, circle_form, sampled_circle_form
from uf_diffusion.kernels.feature_maps import Atoms, FeatureMap
from uf_diffusion.kernels.population import Population
from uf_diffusion.kernels.sampled import Sampled
from uf_diffusion.kernels.truncation import own_truncation, truncated

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
    if (form := sampled_circle_form(feature, data)) is not None:
        return CircleMap(form, teacher)
    share = Share(samples, split=width <= samples)
    return Sampled(feature, data[share.rows], teacher, share)


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
