"""The arguments of a call, checked, as the `Setup` of a run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from uf_diffusion.core.errors import InputError
from uf_diffusion.core.wording import shown, unknown
from uf_diffusion.grids.base import Grid
from uf_diffusion.grids.built_in import with_degree
from uf_diffusion.grids.triangulations import Triangulation
from uf_diffusion.kernels.features import Radial, ReLU
from uf_diffusion.kernels.inputs import LAWS
from uf_diffusion.kernels.own_features import placed_features
from uf_diffusion.network.data import NAMES, TEACHER, Data
from uf_diffusion.network.draws import GIVEN, Draws
from uf_diffusion.problem import Problem
from uf_diffusion.problem.unknown import UNKNOWN
from uf_diffusion.runs.config import Config
from uf_diffusion.runs.describing import features_keys, problem_keys
from uf_diffusion.runs.limit import settled_limit
from uf_diffusion.runs.setup import Setup

__all__ = ["diffusion_setup", "network_setup"]

OF_FEATURES = {"features", "scale", "profile", "activation", "slope", "bias"}


def diffusion_setup(
    problem: Problem, until: float, snapshots: Any, limit: str, features: Any,
    network: Mapping[str, Any] | None, cells: int, mesh: Any, degree: int, scheme: str, rtol: float,
    step: float, tolerance: float,
) -> Setup:  # fmt: skip
    """The setup of a diffusion; the arguments are those of `calls.solve`."""
    if limit != "unconstrained":
        trained = network_setup(problem, features, until, snapshots, dict(network or {}))
        config, phi, data = trained.config, trained.given_features, trained.given_data
    elif features is not None or network:
        raise InputError(
            "features and network are arguments for limit = 'mean-field', 'constrained' and 'auto'."
        )
    else:
        config, phi, data = Config(), None, None
    file = str(mesh) if isinstance(mesh, str | Path) else ""
    grid = None if file else _grid(mesh, degree)
    sections = {
        "problem": {**_described(problem), "t_end": _until(until), "limit": limit},
        "diffusion": {"snapshots": _times(snapshots), "cells": cells, "scheme": scheme,
                      "degree": degree if grid is None else grid.degree, "rtol": rtol,
                      "step": step, "mesh": file, "tolerance": tolerance},
    }  # fmt: skip
    if phi is not None:  # a change of the manifold resets the features
        sections["network"] = features_keys(phi)
    space = problem.meridian or problem.manifold
    if grid is not None and tolerance:
        raise InputError("diffusion.tolerance chooses the mesh: leave mesh out, or the tolerance.")
    if grid is not None and grid.manifold != space:
        raise InputError(f"The mesh is one of {grid.manifold}, the problem is solved on {space}.")
    return settled_limit(Setup(config.changed(**sections), problem, phi, grid, None, data))


def network_setup(
    problem: Problem, features: Any, until: float, snapshots: Any, settings: dict[str, Any],
    diffusion: dict[str, Any] | None = None, draws: Any = None,
) -> Setup:  # fmt: skip
    """The setup of a run with a network; the arguments are those of `calls.train`, and the keys of
    the section [diffusion].
    """
    described = _described(problem)
    settings, data = _with_data(settings)
    if settings.get("labels", TEACHER) != TEACHER:  # which replace it
        problem = Problem(problem.manifold, UNKNOWN, problem.initial, problem.divergence,
                          problem.axis)  # fmt: skip
    if features is None:
        features = ReLU() if problem.manifold.antipodal else Radial()
    phi = placed_features(features, problem.manifold)
    known = set(Config().network.__dataclass_fields__) - OF_FEATURES - {"draws"}
    for name in settings:
        if name not in known:
            raise unknown("argument", name, known)
    sections = {
        "problem": {**described, "t_end": _until(until)},
        "diffusion": {"snapshots": _times(snapshots), **(diffusion or {})},
        "network": {**features_keys(phi), **settings},
    }
    arrays = _arrays(draws)
    named = arrays.sizes | {"draws": GIVEN} if arrays else {"draws": str(draws or "")}
    sections["network"] |= named
    return Setup(Config().changed(**sections), problem, phi, None, arrays, data)


def _with_data(settings: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """Settings without the arrays of inputs, labels and weights; and these arrays, None if there
    are none.
    """
    texts, arrays = dict(settings), {}
    for name in NAMES:
        value = texts.get(name)
        if isinstance(value, str | Path):
            texts[name] = str(value)
        elif value is not None:
            texts[name], arrays[name] = GIVEN, value
        else:
            texts.pop(name, None)
    if texts.pop("weights", None) is not None:
        if texts.get("inputs", "") in ("", *LAWS):
            raise InputError("weights belong to inputs that are given: give inputs as well.")
        if "weights" not in arrays:
            raise InputError("weights must be an array; those in a file are read with its inputs.")
    if "inputs" in arrays:
        texts["samples"] = len(Data(**arrays).inputs)
    return texts, arrays or None


def _arrays(draws: Any) -> Draws | None:
    """Random draws that a caller gave as arrays; None for a name or nothing."""
    if isinstance(draws, Mapping):
        return Draws.of(draws)
    if draws is not None and not isinstance(draws, Draws | str | Path):
        raise InputError(f"draws must be Draws, a mapping to arrays or a file, not {shown(draws)}.")
    return draws if isinstance(draws, Draws) else None


def _described(problem: Problem) -> dict[str, Any]:
    if not isinstance(problem, Problem):
        raise InputError(f"A Problem is needed here, not {shown(problem)}.")
    return problem_keys(problem)


def _until(until: Any) -> float:
    """A final time that a caller gave, checked."""
    if not isinstance(until, int | float | np.number) or not 0 < until < np.inf:
        raise InputError(f"until must be a positive number, not {shown(until)}.")
    return float(until)


def _times(snapshots: Any) -> Any:
    return snapshots.tolist() if isinstance(snapshots, np.ndarray) else snapshots


def _grid(mesh: Any, degree: int) -> Grid | None:
    """A mesh that a caller gave, checked and with elements of a degree; None for no mesh."""
    if mesh is None or mesh == "":
        return None
    if isinstance(mesh, Triangulation):
        return with_degree(mesh, degree)
    if not hasattr(mesh, "interpolate") or not hasattr(mesh, "coarser"):
        raise InputError(f"A mesh is a grid, a Triangulation or a file, not {shown(mesh)}.")
    grid: Grid = mesh
    return with_degree(grid, degree) if grid.degree == 1 else grid
