"""The teacher of a network that learns labels, which is known by nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from uf_diffusion.core.arrays import Array
from uf_diffusion.core.errors import InputError
from uf_diffusion.problem.densities import Density

__all__ = ["NO_DENSITY", "UNKNOWN", "Unknown"]

NO_DENSITY = (
    "The teacher is known by no more than labels and has no density: only the network can be "
    "trained."
)


@dataclass(frozen=True)
class Unknown(Density):
    """A teacher that is known only by the labels of a network's inputs."""

    @property
    def has_values(self) -> bool:
        return False

    def formula(self, x: Any, xp: ModuleType) -> Any:
        raise InputError(NO_DENSITY)

    def sample(self, n: int, rng: np.random.Generator) -> Array:
        raise InputError(
            "A density of kind 'unknown' cannot be sampled: it is for the teacher of a network "
            "whose network.labels are given."
        )


UNKNOWN = Unknown()
