"""Fingerprints of what a run reads, by value, and of the code that computes it.

A fingerprint says whether a run that is to be continued, or whose result is to be taken from a
cache, would still read the same: a density that another file of the same name computes is another
one, and one that only has another name is not.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from uf_diffusion.core import mpi
from uf_diffusion.core.plugins import source
from uf_diffusion.core.version import __version__
from uf_diffusion.grids.base import Grid
from uf_diffusion.kernels.base import Feature
from uf_diffusion.network.data import is_file
from uf_diffusion.network.draws import GIVEN, PAPER, Draws
from uf_diffusion.problem.densities import Density
from uf_diffusion.problem.divergences import Divergence
from uf_diffusion.problem.manifolds import Manifold
from uf_diffusion.results import sizes
from uf_diffusion.runs.config import Config
from uf_diffusion.runs.setup import Setup

__all__ = ["changed", "code", "fingerprint", "own_parts"]

PACKAGE = Path(__file__).parents[1]
ROOMS = ("core", "results", "problem", "grids", "kernels", "diffusion", "network", "distances",
         "runs")  # fmt: skip
POINTS = 1024  # number of points at which densities are compared where there is no mesh

# how the sentence about a part that has changed begins
SAID = {
    "mesh": "The mesh is not the one",
    "teacher": "The teacher's density is not the one",
    "initial": "The initial density is not the one",
    "regulariser": "The regulariser is not the one",
    "features": "The features are not those",
    "manifold": "The manifold is not the one",
    "draws": "The random draws are not those",
    "inputs": "The inputs are not those",
    "labels": "The labels are not those",
}


@cache
def code() -> str:
    """The version of this package, with a digest of the files that compute results."""
    digest = hashlib.sha256()
    for room in ROOMS:
        for path in sorted((PACKAGE / room).rglob("*.py")):
            digest.update(path.relative_to(PACKAGE).as_posix().encode() + path.read_bytes())
    return f"{__version__}+{digest.hexdigest()[:16]}"


def changed(before: Mapping[str, str], now: Mapping[str, str]) -> str:
    """The beginning of a sentence about the first part that differs; empty if none does."""
    for name in before:
        if name in now and before[name] != now[name]:
            return SAID.get(name, f"The code of '{name}' is not the one")
    return ""


def own_parts(config: Config) -> list[str]:
    """The names "module:name" of a configuration, and its files: what the user can edit."""
    p = config.problem
    names = [p.teacher.get("function"), p.initial.get("function"), p.regulariser, p.manifold,
             config.network.features, config.network.activation]  # fmt: skip
    modules = [name for name in names if isinstance(name, str) and ":" in name]
    draws = config.network.draws
    files = [config.diffusion.mesh, "" if draws in (GIVEN, PAPER) else draws,
             p.teacher.get("file"), p.initial.get("file")]  # fmt: skip
    files += filter(is_file, dict.fromkeys((config.network.inputs, config.network.labels)))
    return modules + [file for file in files if file]


def fingerprint(setup: Setup, command: str) -> dict[str, str]:
    """What a run reads, each part as a short text that changes with its values.

    The texts do not depend on the number of ranks, nor on the last digits, in which machines
    differ. Where values at some points do not say everything, as for features, the code of the
    user's module is a part of its own. Call it on all ranks.

    Args:
        setup: the objects of the run.
        command: the job, such as "solve", which decides what is read.

    Raises:
        InputError: if a part cannot be built or evaluated.
    """
    known = setup.fingerprints
    if command not in known:
        solves = command != "train" and setup.problem.teacher.has_values
        solves &= not setup.config.diffusion.tolerance  # the mesh is chosen later
        grid = setup.grid if solves else None  # on all ranks: one of them reads a mesh file
        if grid is not None and grid.built_in and grid.node_count > sizes.WHOLE:
            grid = None  # the configuration says all about it, and no rank should hold the whole
        alone = command == "solve" and setup.config.problem.limit == "unconstrained"
        features = None if alone else setup.features
        known[command] = mpi.from_root(lambda: dict(_parts(setup, grid, features)))
    return known[command]


def _parts(setup: Setup, grid: Grid | None, features: Feature | None) -> Iterator[tuple[str, str]]:
    problem, rng = setup.problem, np.random.default_rng(0)
    points = problem.manifold.sample(POINTS, rng) if grid is None else grid.nodes
    with np.errstate(all="ignore"):
        if grid is not None:
            yield "mesh", _sketch(grid.nodes, grid.cells)
        if setup.config.problem.teacher["kind"] != "unknown":
            yield "teacher", _density(problem.teacher, points)
        yield "initial", _density(problem.initial, points)
        yield "regulariser", _divergence(problem.divergence)
        if features is not None:
            yield "features", _features(features)
            if setup.draws is not None:
                yield "draws", _draws(setup.draws)
            if (data := setup.data) is not None:
                yield "inputs", _given(data.inputs, data.weights)
                yield "labels", _given(data.labels)
        yield "manifold", _manifold(problem.manifold)
    if setup.given_problem is None:
        yield from _modules(setup.config, features is not None)


def _modules(config: Config, trains: bool) -> Iterator[tuple[str, str]]:
    """The code of the user's modules; of a density the diffusion reads no more than its values."""
    p = config.problem
    names = [p.regulariser, p.manifold]
    if trains:
        n = config.network
        names += [n.features, n.activation, p.teacher.get("function"), p.initial.get("function")]
    for name in names:
        if isinstance(name, str) and ":" in name:
            text = source(name, Path(config.folder))
            yield name.partition(":")[0], hashlib.sha256(text.encode()).hexdigest()[:16]


def _density(density: Density, points: Any) -> str:
    if density.has_values:
        return _sketch(density(points), *density.data)
    return _sketch(density.sample(POINTS, np.random.default_rng(0)))


def _divergence(divergence: Divergence) -> str:
    u = np.linspace(0.25, 4.0, 61)
    w = divergence.df(u)
    return _sketch(
        divergence.f(u), w, divergence.conjugate(w), divergence.dconjugate(w),
        divergence.d2conjugate(w),
    )  # fmt: skip


def _features(features: Feature) -> str:
    rng = np.random.default_rng(0)
    omega, x = features.manifold.sample(64, rng), features.inputs(32, rng)
    values, pullback = features(omega, x)
    return _sketch(x, values, pullback(np.ones(len(x))))


def _draws(draws: Draws) -> str:
    return _given(
        draws.inputs, draws.teacher, draws.student, draws.teacher_mass, draws.student_mass
    )


def _given(*arrays: Any) -> str:
    return _sketch(*(array for array in arrays if array is not None))


def _manifold(manifold: Manifold) -> str:
    x, v = np.split(manifold.sample(128, np.random.default_rng(0)), 2)
    tangent = manifold.tangent(x, v)
    sizes = [manifold.dim, manifold.volume, manifold.spectral_gap]
    return _sketch(x, tangent, manifold.retract(x, 0.1 * tangent), np.array(sizes))


def _sketch(*arrays: Any) -> str:
    """A text that says the sizes of arrays, their largest entry, and a sum with random weights."""
    return " ".join(map(_number, arrays))


def _number(array: Any) -> str:
    values = np.asarray(array, dtype=float).ravel()
    largest = float(np.abs(values).max(initial=0.0))
    weights = np.random.default_rng(len(values)).standard_normal(len(values))
    total = float(weights @ (values / (largest or 1.0))) / max(1, len(values)) ** 0.5
    return f"{len(values)}:{largest:.9e}:{total:.10f}"
