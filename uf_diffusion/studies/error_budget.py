"""The error budget of a comparison: how much each approximation adds to the distance.

The budget takes a `ladder` of problems that leads from the trained network to the computed
diffusion, x_0, ..., x_n. Each rung removes one approximation.

The energy distance is a norm |x - y|, so that a rung may be a combination of measures: the network
without the error of its step is 2 x - y with the network x and the network y of a doubled step.
Let D_i = x_i - x_(i+1) and d = |x_0 - x_n|. The budget has for each rung

    its own size |D_i|, at least 0; by the triangle inequality the sum is at least d,
    its share <D_i, x_0 - x_n> / d, which is negative if it brings the network closer to the
    diffusion; the sum is d.

On tori of two and more dimensions the energy distance of wrapped differences is not a metric. There
the budget embeds the torus as a product of circles and takes chords, which are close to the wrapped
differences if these are small.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from uf_diffusion.core import mpi
from uf_diffusion.core.arrays import Array
from uf_diffusion.core.errors import InputError, RunFailure
from uf_diffusion.core.progress import Watch
from uf_diffusion.distances.density_quantiles import Quantiles
from uf_diffusion.distances.measures import Measure
from uf_diffusion.distances.named import distance
from uf_diffusion.distances.ring_energies import energies_on
from uf_diffusion.grids.base import Grid
from uf_diffusion.problem.symmetry import Meridian
from uf_diffusion.results.names import dataset
from uf_diffusion.results.timings import Timings
from uf_diffusion.runs.jobs import compare
from uf_diffusion.runs.result import Result
from uf_diffusion.runs.setup import Setup
from uf_diffusion.runs.warnings_after import findings
from uf_diffusion.studies.cache import Failure, Runs
from uf_diffusion.studies.ladder import Rung, ladder

__all__ = ["budget", "compare_with_budget"]


def compare_with_budget(
    setup: Setup, folder: Path, watch: Watch = (), *, cautious: bool = True
) -> Result:
    """`compare`, with the additional group /budget in the result.

    Args:
        setup: the run.
        folder: the run's folder. Its subfolder "budget" stores the results of the reference
            problems, so that they are not solved again when the run is repeated.
        watch, cautious: see `compare`.

    Raises:
        InputError: as `compare` and `ladder` do.
        RunFailure: as `compare` does, and when a reference problem cannot be solved.
    """
    config = setup.config
    if config.diffusion.tolerance:
        raise InputError("An error budget needs diffusion.cells, not diffusion.tolerance.")
    rungs = ladder(config)  # before `compare`, so that its errors appear at once
    clock = Timings()
    result = compare(setup, folder, watch, "compare --budget", cautious=cautious)
    with clock.part("error budget"):
        runs = Runs(folder / "budget")
        results = runs.results([rung.run for rung in rungs])
        if mpi.from_root(lambda: _unstable(results[0])):
            rungs = ladder(config, longer=False)
            results = runs.results([rung.run for rung in rungs])
        group = mpi.on_root(lambda: budget(result, rungs, results))
    tree = result.tree
    if group is not None:
        tree["budget"] = xr.DataTree(group)
        timings = [tree["timings"].to_dataset(), clock.group()]
        tree["timings"] = xr.DataTree(xr.concat(timings, "entry"))
    mpi.on_root(lambda: result.warn(findings(result)))
    tree.attrs["wall_seconds"] = clock.total
    return result


def budget(
    compared: Result, rungs: Sequence[Rung], results: Sequence[Result | Failure]
) -> xr.Dataset:
    """The group /budget of a result.

    Densities are compared as functions, see `distances.energy_modes`. An entry cannot resolve less
    than its floor. That of "width" is the distance at t = 0 of the network's neurons to the density
    in which they are placed; that of densities bounds the waves that are left out.

    Args:
        compared: the result of the comparison.
        rungs: the ladder of its configuration.
        results: the results of the rungs' runs, in the order of ``rungs``.

    Raises:
        RunFailure: when one of these runs failed.
    """
    tree, between = compared.tree, [_succeeded(result) for result in results]
    times = tree["network"].snapshot_time.values
    measures: list[_Measures] = [
        _Neurons(tree["network"].to_dataset()),
        *(_measures(result.grid, _last_group(result)) for result in between),
        _Density(compared.grid, tree["diffusion"].to_dataset()),
    ]
    points = _points(rungs)
    squared, floor, name = _energies(measures, points, compared.meridian)
    size, share, total = _sizes(points, squared)
    w2, total_w2 = _all_w2(compared, measures)
    return dataset(
        source=(("source",), np.array([rung.removed for rung in rungs] + ["diffusion's mesh"])),
        time=(("snapshot",), times),
        contribution=(("source", "snapshot"), size),
        signed=(("source", "snapshot"), share),
        floor=(("source", "snapshot"), floor),
        total=(("snapshot",), total),
        contribution_w2=(("source", "snapshot"), w2),
        total_w2=(("snapshot",), total_w2),
    ).assign_attrs(distance=name)


def _unstable(network: Result | Failure) -> bool:
    """Whether the steps of a network are so long that its risk rises, or worse."""
    return isinstance(network, Failure) or _last_group(network).attrs["risk_rises"] > 0


def _succeeded(result: Result | Failure) -> Result:
    if isinstance(result, Failure):
        raise RunFailure(f"No error budget: a reference problem failed. {result.reason}")
    return result


def _last_group(result: Result) -> xr.Dataset:
    """The group of a reference problem's network or diffusion."""
    return next(iter(result.tree.children.values())).to_dataset()


class _Neurons:
    """The neurons of a network at k times: features ``(k, n, ambient)`` and masses ``(n,)``."""

    def __init__(self, group: xr.Dataset) -> None:
        self.features, self.masses = group.feature.values, group.neuron_mass.values


class _Density:
    """A density at the nodes of a mesh at k times, ``(k, nodes)``."""

    def __init__(self, grid: Grid, group: xr.Dataset) -> None:
        self.grid, self.values = grid, group.density.values


type _Measures = _Neurons | _Density


def _measures(grid: Grid, group: xr.Dataset) -> _Measures:
    return _Neurons(group) if "feature" in group else _Density(grid, group)


def _points(rungs: Sequence[Rung]) -> Array:
    """The points x_0, ..., x_n of the ladder as combinations of the measures, ``(n + 1, n + 1)``.

    The measures are those of the network, of the rungs' runs and of the diffusion.
    """
    unit = np.eye(len(rungs) + 2)
    points = unit.copy()
    for k, rung in enumerate(rungs, start=1):
        if rung.weight is not None:
            points[k] = points[k - 1] + rung.weight * (unit[k] - unit[k - 1])
    return points


def _energies(
    measures: Sequence[_Measures], points: Array, meridian: Meridian | None
) -> tuple[Array, Array, str]:
    """The squared distances of the measures at k times, ``(k, n + 1, n + 1)``, of the pairs that
    `_sizes` needs; the floors ``(n, k)``; the distance's name.
    """
    finest = max((m.grid for m in measures if isinstance(m, _Density)), key=lambda g: g.cell_count)
    energy: Any = energies_on(finest, meridian)
    images = [
        energy.densities(m.grid, m.values) if isinstance(m, _Density)
        else [energy.atoms(x, m.masses) for x in m.features]
        for m in measures
    ]  # fmt: skip
    steps, whole = np.abs(points[:-1] - points[1:]), np.abs(points[0] - points[-1])
    needed = steps.T @ (steps + whole)
    squared = np.zeros((len(images[0]), *needed.shape))
    for i, j in itertools.combinations(range(len(measures)), 2):
        if needed[i, j] or needed[j, i]:
            a, b = measures[i], measures[j]
            if isinstance(a, _Neurons) and isinstance(b, _Neurons):
                found = [energy.between_atoms(x, y, a.masses, b.masses)
                         for x, y in zip(a.features, b.features, strict=True)]  # fmt: skip
            else:
                found = [energy.between(*pair) for pair in zip(images[i], images[j], strict=True)]
            squared[:, i, j] = squared[:, j, i] = np.square(found)
    floor = np.zeros((len(measures) - 1, len(squared)))
    first = next(k for k, m in enumerate(measures) if isinstance(m, _Density))
    floor[first - 1] = math.sqrt(squared[0, 0, first])
    for k, both in enumerate(itertools.pairwise(images[first:]), start=first):
        floor[k] = [energy.left_out(*pair) for pair in zip(*both, strict=True)]
    return squared, floor, energy.name


def _sizes(points: Array, squared: Array) -> tuple[Array, Array, Array]:
    """The sizes ``(n, k)`` and the shares ``(n, k)`` of all steps of the ladder, and the whole
    distance ``(k,)``.

    For two combinations v and w of measures with weights that sum to 0 the inner product is
    -1/2 times the sum of v_i w_j E^2(mu_i, mu_j).
    """
    steps, whole = points[:-1] - points[1:], points[0] - points[-1]

    def root(squares: Array) -> Array:
        return np.sqrt(np.maximum(0.0, squares))

    size = root(-np.einsum("ri,kij,rj->rk", steps, squared, steps) / 2)
    total = root(-np.einsum("i,kij,j->k", whole, squared, whole) / 2)
    inner = -np.einsum("ri,kij,j->rk", steps, squared, whole) / 2
    return size, np.divide(inner, total, out=np.zeros_like(inner), where=total > 0), total


def _all_w2(compared: Result, measures: Sequence[_Measures]) -> tuple[Array, Array]:
    """W_2 of neighbouring runs ``(n, k)`` and of the two ends ``(k,)`` in one dimension; NaN in
    more, and where densities are known on rings only.
    """
    manifold, count = compared.manifold, compared.tree["network"].sizes["snapshot"]
    if manifold.dim > 1 or compared.meridian is not None:
        return np.full((len(measures) - 1, count), math.nan), np.full(count, math.nan)
    found: list[Sequence[Quantiles | Measure]] = [
        [Quantiles.of(m.grid, row) for row in m.values] if isinstance(m, _Density)
        else [Measure(manifold, x, m.masses) for x in m.features]
        for m in measures
    ]  # fmt: skip
    pairs = [*itertools.pairwise(found), (found[0], found[-1])]
    w2 = np.array([[_w2(x, y) for x, y in zip(*both, strict=True)] for both in pairs])
    return w2[:-1], w2[-1]


def _w2(mu: Measure | Quantiles, nu: Measure | Quantiles) -> float:
    if isinstance(mu, Quantiles) and isinstance(nu, Quantiles):
        return mu.w2(nu)
    a, b = (m.atoms() if isinstance(m, Quantiles) else m for m in (mu, nu))
    return distance("w2", a, b).value
