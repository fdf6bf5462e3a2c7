"""Colours, sizes and what several panels need."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from uf_diffusion.core.arrays import Array
from uf_diffusion.core.files import appearing
from uf_diffusion.distances.density_estimates import kernel_sums
from uf_diffusion.problem.manifolds import Manifold

__all__ = ["BLUE", "GREEN", "GREY", "ORANGE", "PALETTE", "STYLE", "Panel",
           "by_coordinate", "save", "smoothed", "thinned"]  # fmt: skip

type Panel = Callable[[Axes], None]

DRAWN = 10_000  # neurons in a picture, at most
# Okabe and Ito's colours, told apart by all readers
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "0.55"
PALETTE = (BLUE, ORANGE, GREEN, "#CC79A7", "#E69F00", "#56B4E9", GREY, "#F0E442")
STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.fontsize": 7.5,
    "legend.frameon": False,
    "lines.linewidth": 1.3,
}


def save(figure: Figure, path: Path) -> None:
    """Write a figure; the file appears under its name once it is complete."""
    with appearing(path) as partial:
        figure.savefig(partial, format=path.suffix[1:], dpi=150)


def by_coordinate(manifold: Manifold, node: Array, values: Array) -> tuple[Array, Array]:
    """The nodes' first chart coordinates in increasing order, and the values in that order."""
    x = manifold.chart(node)[:, 0]
    order = np.argsort(x)
    return x[order], values[order]


def thinned(rows: Array) -> Array:
    """Every k-th row where there are more than a picture can show."""
    return rows[:: -(-len(rows) // DRAWN)]


def smoothed(
    manifold: Manifold, feature: Array, mass: Array, points: Array, width: float | None = None
) -> Array:
    """A kernel density estimate of the neurons at points, with a Gaussian of the chord; of every
    k-th neuron where there are very many.

    The bandwidth, where none is given, is 2 / dim mean spacings of uniform neurons: narrow, so that
    peaks keep their height.
    """
    feature, mass = thinned(feature), thinned(mass)
    mass = mass / mass.sum()
    dim, n = manifold.dim, len(feature)
    width = width or 2 / dim * (manifold.volume / n) ** (1 / dim)
    total = kernel_sums(manifold, points, feature, mass, width)
    return np.asarray(total / (math.sqrt(2 * math.pi) * width) ** dim)
