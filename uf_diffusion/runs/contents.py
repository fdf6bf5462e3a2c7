"""What a result contains: its groups, their variables with dimensions and types, and attributes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
import xarray as xr

from uf_diffusion.core.arguments import reals, undamaged
from uf_diffusion.core.errors import InputError
from uf_diffusion.core.wording import shown
from uf_diffusion.results.names import ERRORS
from uf_diffusion.runs.config import Config
from uf_diffusion.runs.reading import config_from_toml

__all__ = ["configuration_of", "require_contents"]

ON_MANIFOLD = 1e-5  # how far a point may be from the manifold; meshes from files are not exact
TEXT, NUMBER = "a text", "a number"
SERIES, SHOTS, NODES, NEURONS = ("step",), ("snapshot",), ("node",), ("neuron",)


@dataclass(frozen=True)
class Contents:
    """What a group contains.

    Attributes:
        variables: the dimensions of each variable that it always has.
        optional: the dimensions of further variables.
        attributes: the types of the attributes that it always has.
        further: the types of further attributes.
        texts: the variables that are texts; the others are numbers.
        times: the variables that are times, which increase from 0 on.
        points: the variables that are points of the manifold.
        masses: the variables that are finite and not negative, and do not vanish.
    """

    variables: dict[str, tuple[str, ...]]
    optional: dict[str, tuple[str, ...]] = field(default_factory=dict)
    attributes: dict[str, str] = field(default_factory=dict)
    further: dict[str, str] = field(default_factory=dict)
    texts: tuple[str, ...] = ()
    times: tuple[str, ...] = ()
    points: tuple[str, ...] = ()
    masses: tuple[str, ...] = ()


SEEN = {"null_space": TEXT, "even_and_linear": NUMBER, "unseen_teacher": NUMBER,
        "unseen_initial": NUMBER}  # fmt: skip
RUN = {"config": TEXT, "version": TEXT, "ranks": NUMBER, "wall_seconds": NUMBER}
GROUPS = {
    "diffusion": Contents(
        variables={
            **dict.fromkeys(("time", "step_size", "mass", "risk", "min_ratio", "max_ratio",
                             "newton_iterations", "linear_iterations", "stage_error"), SERIES),
            "snapshot_time": SHOTS, "node_position": ("node", "ambient"), "node_measure": NODES,
            "teacher": NODES, "density": ("snapshot", "node"), "outer_weight": ("snapshot", "node"),
        },
        optional={
            "cell": ("cell", "corner"), "dissipation": SERIES, "truncation_error": SHOTS,
            **dict.fromkeys(("mesh_error", "mesh_error_max", "mesh_error_node", "time_error",
                             "time_error_max"), SHOTS),
        },
        further={"slack": NUMBER, "decay_rate": NUMBER, "cells": NUMBER, "degree": NUMBER,
                 "scheme": TEXT, "rtol": NUMBER, "fields": TEXT, "whole_nodes": NUMBER},
        times=("time", "snapshot_time"),
        points=("node_position",),
        masses=("node_measure", "teacher"),
    ),
    "network": Contents(
        variables={
            "time": SERIES, "risk": SERIES, "snapshot_time": SHOTS,
            "feature": ("snapshot", "neuron", "ambient"), "outer_weight": ("snapshot", "neuron"),
            "neuron_mass": NEURONS,
        },
        optional=dict.fromkeys(ERRORS, SHOTS),
        attributes=dict.fromkeys(("projection_residual", "truncation_error", "projections",
                                  "risk_rises"), NUMBER),
        times=("time", "snapshot_time"),
        points=("feature",),
        masses=("neuron_mass",),
    ),
    "comparison": Contents(
        variables=dict.fromkeys(("time", "energy_distance_teacher", "energy_distance_diffusion",
                                 "outer_weight_error"), SHOTS),
        optional=dict.fromkeys(("w2_diffusion", "w1_lower", "w2_lower", "chi2_height", "kl_height",
                                "l1_height"), SHOTS),
        attributes={"negative_type": NUMBER},
        further={"whole_nodes": NUMBER, "from_whole": TEXT},
        times=("time",),
    ),
    "budget": Contents(
        variables={
            "source": ("source",), "time": SHOTS, "total": SHOTS, "total_w2": SHOTS,
            "contribution": ("source", "snapshot"), "contribution_w2": ("source", "snapshot"),
        },
        optional=dict.fromkeys(("floor", "signed"), ("source", "snapshot")),
        attributes={"distance": TEXT},
        texts=("source",),
        times=("time",),
    ),
    "kernel": Contents(
        variables={
            "wave": ("row", "axis"),
            **dict.fromkeys(("degree", "multiplicity", "eigenvalue", "teacher_share",
                             "initial_share"), ("row",)),
        },
        optional={"learnt": ("row",)},
        attributes=SEEN,
        masses=("degree", "multiplicity", "eigenvalue"),
    ),
    "spectrum": Contents(
        variables={"eigenvalue": ("mode",), "node_position": ("node", "ambient"),
                   "teacher": NODES, "eigenfunction": ("mode", "node")},
        points=("node_position",),
        masses=("eigenvalue",),
    ),
    "timings": Contents(
        variables=dict.fromkeys(("entry", "seconds", "calls"), ("entry",)), texts=("entry",)
    ),
}  # fmt: skip
SIDES = ("diffusion", "network", "kernel")  # every result has one of them


def configuration_of(tree: xr.DataTree, trust: bool) -> Config:
    """The configuration that a result stores.

    Args:
        tree: the result.
        trust: whether code that it names may be imported.

    Raises:
        InputError: if there is none, or it is not valid.
    """
    text = tree.attrs.get("config")
    if not isinstance(text, str):
        raise InputError("its configuration is missing.")
    return config_from_toml(text, trusted=trust)


def require_contents(tree: xr.DataTree, config: Config, complete: bool) -> None:
    """Check that a result contains what a run stores, in the right shapes and types.

    Densities, weights, risks and distances may have any values, on which the checks of the report
    pronounce; times, points and masses, with which everything else is measured, may not.

    Args:
        tree: the groups of the result.
        config: its configuration.
        complete: whether everything must be there; if not, only what is there is checked.

    Raises:
        InputError: for the first thing that is wrong; the message begins with its name.
    """
    for problem in _problems(tree, config, complete):
        raise InputError(problem)


def _problems(tree: xr.DataTree, config: Config, complete: bool) -> Iterator[str]:
    """A sentence for each thing that is wrong; later ones may rely on earlier ones."""
    with undamaged("a group"):
        groups = {name: tree[name].to_dataset() for name in GROUPS if name in tree.children}
    if complete:
        yield from _about(tree.attrs, RUN, "")
        yield from _date(tree.attrs)
        if not groups.keys() & set(SIDES):
            yield f"it has none of the groups {', '.join(SIDES)}."
        if config.diffusion.mesh and "diffusion" in groups and "cell" not in groups["diffusion"]:
            yield "/diffusion lacks 'cell'."
    if "warnings" in tree.attrs:
        yield from _about(tree.attrs, {"warnings": TEXT}, "")
    if "axis" in tree.attrs:
        yield from _axis(tree.attrs["axis"], config)
    for name, group in groups.items():
        yield from _shapes(name, group, complete)
        yield from _values(name, group, config)
    yield from _sizes(groups)


def _about(attributes: dict[Any, Any], wanted: dict[str, str], where: str) -> Iterator[str]:
    """Problems of attributes that must be there with these types."""
    for key, kind in wanted.items():
        value = attributes.get(key)
        text = isinstance(value, str)
        array = np.asarray(value)
        number = array.ndim == 0 and array.dtype.kind in "fiub"
        if not (text if kind == TEXT else number):
            yield f"the attribute '{where}{key}' must be {kind}, not {shown(value)}."


def _date(attributes: dict[Any, Any]) -> Iterator[str]:
    try:
        datetime.fromisoformat(attributes.get("date", "2000-01-01"))
    except (TypeError, ValueError):
        yield f"the attribute 'date' is not a date: {shown(attributes['date'])}."


def _axis(value: Any, config: Config) -> Iterator[str]:
    """A sentence on an axis that is not a unit vector of a sphere's space."""
    p = config.problem
    if p.manifold not in ("circle", "sphere"):
        yield f"the attribute 'axis' is for spheres, not for {shown(p.manifold)}."
        return
    axis = np.asarray(value)
    usable = axis.dtype.kind in "fiu" and axis.shape == (p.dim + 1,)
    with np.errstate(all="ignore"):
        if not (usable and abs(float(np.linalg.norm(axis)) - 1) < ON_MANIFOLD):
            yield (f"the attribute 'axis' must be a unit vector with {p.dim + 1} coordinates, "
                   f"not {shown(value)}.")  # fmt: skip


def _shapes(name: str, group: xr.Dataset, complete: bool) -> Iterator[str]:
    """Problems of the dimensions and types of a group's variables, and of its attributes."""
    contents = GROUPS[name]
    if complete:
        yield from (f"/{name} lacks '{key}'." for key in contents.variables if key not in group)
        yield from _about(group.attrs, contents.attributes, f"/{name}/")
    further = SEEN if "null_space" in group.attrs else {}  # which belong together
    later = {"seen_space": TEXT, "inputs": NUMBER}  # which older results do not have
    further = {**further, **{k: v for k, v in later.items() if k in group.attrs}}
    further = {**{k: v for k, v in contents.further.items() if k in group.attrs}, **further}
    yield from _about(group.attrs, further, f"/{name}/")
    for key, dims in {**contents.variables, **contents.optional}.items():
        if key not in group:
            continue
        variable = group[key]
        if variable.dims != dims:
            yield (f"/{name}/{key} must have the dimensions ({', '.join(dims)}), not "
                   f"({', '.join(map(str, variable.dims))}).")  # fmt: skip
        kinds = "OUT" if key in contents.texts else "fiu"
        if variable.size and variable.dtype.kind not in kinds:
            what = "texts" if key in contents.texts else "real numbers"
            yield f"/{name}/{key} must hold {what}, not {variable.dtype}."
        if not variable.size and name != "timings":
            yield f"/{name}/{key} is empty."


def _values(name: str, group: xr.Dataset, config: Config) -> Iterator[str]:
    """Problems of times, points, masses and cells."""
    contents, where = GROUPS[name], f"/{name}/"
    for key in (k for k in contents.times if k in group):
        time = reals(where + key, group[key].values)
        if time[0] < 0 or (np.diff(time) <= 0).any():
            yield f"{where}{key} must increase from 0 on."
    for key in (k for k in contents.points if k in group):
        yield from _off_manifold(where + key, group[key].values, config)
    for key in (k for k in contents.masses if k in group):
        mass = reals(where + key, group[key].values)
        if (mass < 0).any() or not mass.any():
            yield f"{where}{key} must not be negative, nor 0 throughout."
    if "cell" in group:
        cell = reals(where + "cell", group["cell"].values)
        if cell.shape[1] != 3 or (cell < 0).any() or (cell >= group.sizes.get("node", 0)).any():
            yield f"{where}cell must hold three numbers of nodes for each triangle."


def _off_manifold(name: str, points: Any, config: Config) -> Iterator[str]:
    """A sentence on points ``(..., ambient)`` that are not on a built-in manifold."""
    reals(name, points)
    if ":" in config.problem.manifold:  # the user's own
        return
    space = config.space()
    if points.shape[-1] != space.ambient:
        yield f"{name} must have {space.ambient} coordinates, not {points.shape[-1]}."
        return
    rows = points.reshape(-1, space.ambient)
    with np.errstate(all="ignore"):
        off = np.abs(space.retract(rows, np.zeros_like(rows)) - rows)
    if not (off <= ON_MANIFOLD).all():
        yield f"{name} has points that are not on the manifold."


def _sizes(groups: dict[str, xr.Dataset]) -> Iterator[str]:
    """A sentence if groups that belong together have different numbers of snapshots."""
    found = {name: group.sizes["snapshot"] for name, group in groups.items()
             if "snapshot" in group.sizes}  # fmt: skip
    if len(set(found.values())) > 1:
        told = ", ".join(f"{count} in /{name}" for name, count in found.items())
        yield f"the numbers of snapshots differ: {told}."
