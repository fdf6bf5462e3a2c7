"""Coordinates of the nodes of a regular grid on a manifold, checked."""

from __future__ import annotations

import math

import numpy as np

from uf_diffusion.core.arrays import Array
from uf_diffusion.core.errors import InputError
from uf_diffusion.problem.hats import Hats
from uf_diffusion.problem.manifolds import Axis, Manifold

__all__ = ["dimension_names", "hats_of", "settled_poles"]

UNEVEN = 1e-2  # by which part of a step a node may be away from its place, as in single precision
SAME = 1e-5  # relative difference of two values that stand for one


def dimension_names(manifold: Manifold) -> list[tuple[str, ...]]:
    """The names of the dimensions of values on a manifold, in the order of its chart.

    There may be several possibilities.
    """
    if manifold.period:
        return [tuple(f"x{k + 1}" for k in range(manifold.dim))]
    if manifold.dim == 1:
        return [("angle",)]
    return [("longitude", "latitude"), ("longitude", "height")]


def hats_of(
    manifold: Manifold, named: list[tuple[str, Array]], shape: tuple[int, ...]
) -> list[Hats]:
    """The hat functions of a grid's axes.

    Args:
        manifold: the circle, a flat torus, or S^2.
        named: the name and the coordinates of each axis, in the order of the manifold's chart.
        shape: the numbers of values along the axes.

    Raises:
        InputError: unless the coordinates increase in even steps over the whole manifold.
    """
    axes = []
    for (name, nodes), count, axis in zip(named, shape, manifold.axes, strict=True):
        if nodes.shape != (count,) or count < 2:
            raise InputError(
                f"The coordinate '{name}' must have one number for each of at least two values "
                f"along it, not the shape {nodes.shape} for {count}."
            )
        step = _step(name, nodes)
        if name == "latitude":
            half = math.pi / 2
            axes.append(_from_pole_to_pole(Axis(name, -half, half), nodes, step))
        elif name == "height":
            axes.append(_from_pole_to_pole(Axis(name, -1.0, 1.0), nodes, step))
        else:
            axes.append(_around(Axis(name, axis.low, axis.high), nodes, step))
    return axes


def _step(name: str, nodes: Array) -> float:
    """The step between nodes.

    Raises:
        InputError: unless all steps are positive and equal.
    """
    step = float(nodes[-1] - nodes[0]) / (len(nodes) - 1)
    if not (np.diff(nodes) > 0).all():
        raise InputError(f"The coordinate '{name}' must increase.")
    if not (np.abs(np.diff(nodes) - step) <= UNEVEN * step).all():
        raise InputError(f"The coordinate '{name}' must be evenly spaced.")
    return step


def _around(axis: Axis, nodes: Array, step: float) -> Hats:
    """The hats of an axis with a period."""
    count = len(nodes)
    if abs(count * step - axis.length) > UNEVEN * step:
        raise InputError(
            f"The coordinate '{axis.label}' must cover one period of length {axis.length:.6g} "
            f"without its end, but {count} steps of {step:.6g} cover {count * step:.6g}."
        )
    return Hats(nodes[0] + axis.length * np.arange(count) / count, axis.length)


def _from_pole_to_pole(axis: Axis, nodes: Array, step: float) -> Hats:
    """The hats of an axis that begins and ends at the poles, or less than a step before them."""
    before, after = float(nodes[0] - axis.low), float(axis.high - nodes[-1])
    if min(before, after) < -UNEVEN * step or max(before, after) > (1 + UNEVEN) * step:
        raise InputError(
            f"The coordinate '{axis.label}' must begin and end at most one step before the poles "
            f"{axis.low:.6g} and {axis.high:.6g}, not at {nodes[0]:.6g} and {nodes[-1]:.6g}."
        )
    inner = nodes[1:-1]
    south = [axis.low] if before <= UNEVEN * step else [axis.low, nodes[0]]
    north = [axis.high] if after <= UNEVEN * step else [nodes[-1], axis.high]
    return Hats(np.concatenate([south, inner, north]), 0.0, axis.label == "latitude")


def settled_poles(rows: Hats, nodes: Array, values: Array) -> Array:
    """The values ``(longitudes, rows)`` on S^2 with a row of equal values at each pole.

    Where the grid has no row at a pole, one is added, which has the mean of the nearest row.

    Args:
        rows: the axis from pole to pole.
        nodes: the latitudes or heights of the values, which may lack the poles.
        values: the values at the nodes.

    Raises:
        InputError: if the values at a pole differ.
    """
    for pole, missing, row in (
        ("south", rows.nodes[1] == nodes[0], 0), ("north", rows.nodes[-2] == nodes[-1], -1),
    ):  # fmt: skip
        ring = values[:, row]
        mean = np.full((len(ring), 1), ring.mean())
        if missing:
            values = np.hstack([mean, values] if row == 0 else [values, mean])
        elif ring.max() - ring.min() > SAME * np.abs(ring).max():
            raise InputError(
                f"The values at the {pole} pole must be equal, but are from {ring.min():.6g} to "
                f"{ring.max():.6g}."
            )
    return values
