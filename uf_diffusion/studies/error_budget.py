"""The error budget of a comparison: how much each approximation adds to the distance.

The budget takes a sequence of reference problems (the ladder) that leads from the trained network
to the computed diffusion. Each rung removes one approximation: the training step, the sampled
inputs, the teacher's finitely many neurons, the width, the regularisation, what the features do
not see of the densities, the diffusion's time step, its mesh. The entries of the budget are the
distances between neighbouring rungs. Their sum is at least the distance between the two ends, by
the triangle inequality of the energy distance and of W_2. On tori of two and more dimensions the
energy distance of wrapped differences is not a metric. There the budget embeds the torus as a
product of circles and takes chords, which are close to the wrapped differences if these are small.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from uf_diffusion.core import mpi
from uf_diffusion.core.arrays import Array
from uf_diffusion.core.errors import InputError, RunFailure
from uf_diffusion.core.progress import Watch
from uf_diffusion.distances.energy_distances import (
    energy_distance,
    energy_distance_series,
    energy_distances_of_densities,
    negative_type,
)
from uf_diffusion.distances.measures import Measure
from uf_diffusion.distances.named import distance
from uf_diffusion.problem.manifolds import Manifold
from uf_diffusion.results.names import dataset
from uf_diffusion.results.timings import Timings
from uf_diffusion.runs.config import Config
from uf_diffusion.runs.jobs import compare
from uf_diffusion.runs.result import Result
from uf_diffusion.runs.setup import Setup
from uf_diffusion.runs.warnings_after import findings
from uf_diffusion.studies.cache import Failure, Run, Runs

__all__ = ["Rung", "budget", "compare_with_budget", "ladder"]

# number of evenly placed neurons that approximate infinitely many: in one dimension, in more
MEAN_FIELD = (100_000, 20_000)
TEACHER = 16_384  # number of evenly placed neurons that approximate the teacher's density
# for each limit: the factor by which the diffusion's reference refines the mesh along each axis, in
# one dimension and in more, and the factor by which it reduces rtol. The constrained equation has
# smaller factors, because its time steps follow the shocks from cell to cell.
FINER = {"unconstrained": ((4, 2), 10), "constrained": ((2, 2), 3)}


@dataclass(frozen=True)
class Rung:
    """One reference problem.

    Attributes:
        removed: the approximation that this problem does not have, unlike the one before it.
        run: the run that solves the problem.
    """

    removed: str
    run: Run


def ladder(config: Config) -> list[Rung]:
    """The reference problems between a configuration's network and its diffusion, ends excluded.

    Raises:
        InputError: for network.algorithm "fixed", which does not follow the gradient flow.
    """
    if config.network.algorithm == "fixed":
        raise InputError("A network with fixed features has no limit: there is no error budget.")
    return [*_networks(config), *_limits(config)]


def _networks(config: Config) -> Iterator[Rung]:
    n, setup = config.network, Setup(config)
    manifold, phi = setup.manifold, setup.features
    tight = 1e-5 if n.algorithm != "flow" else n.rtol / 10
    # kernels in closed form cost O(M) on the circle only
    linear = "population" if manifold.dim == 1 and phi.kernel is not None else "low-rank"

    def rung(removed: str, **changes: Any) -> Rung:
        nonlocal n
        n = replace(n, **changes)
        return Rung(removed, Run("train", replace(config, network=n)))

    yield rung("training step", algorithm="flow", rtol=tight)
    if n.kernel == "sampled":
        yield rung("sampled inputs", kernel=linear)
    yield rung("teacher's neurons", teacher_placement="even", teacher_width=TEACHER)
    width = manifold.even_count(max(n.width, _by_dimension(MEAN_FIELD, manifold)))
    yield rung("width", placement="even", width=width, kernel=linear)


def _limits(config: Config) -> Iterator[Rung]:
    setup, d = Setup(config), config.diffusion
    manifold = setup.manifold

    def rung(removed: str, limit: str, tight: bool = True) -> Rung:
        problem, (finer, rtol) = replace(config.problem, limit=limit), FINER[limit]
        cells = d.cells * _by_dimension(finer, manifold) ** manifold.dim
        fine = replace(d, cells=cells, rtol=d.rtol / rtol if tight else d.rtol)
        return Rung(removed, Run("solve", replace(config, problem=problem, diffusion=fine)))

    limit, removed = config.problem.limit, "regularisation"
    if limit == "unconstrained" and setup.features.constrained_limit and d.degree == 1:
        yield rung(removed, "constrained")
        removed = "what is not seen"
    yield rung(removed, limit)
    yield rung("diffusion's time step", limit, tight=False)


def _by_dimension(choice: tuple[int, int], manifold: Manifold) -> int:
    return choice[0 if manifold.dim == 1 else 1]


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
        InputError: as `compare` does, and for network.algorithm "fixed".
        RunFailure: as `compare` does, and when a reference problem cannot be solved.
    """
    config = setup.config
    rungs = ladder(_on_clock(config))  # before `compare`, so that its errors appear at once
    clock = Timings()
    result = compare(setup, folder, watch, "compare --budget", cautious=cautious)
    with clock.part("error budget"):
        results = Runs(folder / "budget").results([rung.run for rung in rungs])
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

    Args:
        compared: the result of the comparison.
        rungs: the ladder of its configuration.
        results: the results of the rungs' runs, in the order of ``rungs``.

    Raises:
        RunFailure: when one of these runs failed.
    """
    tree = compared.tree
    steps = [tree["network"], *map(_last_group, results), tree["diffusion"]]
    removed = [rung.removed for rung in rungs] + ["diffusion's mesh"]
    return _measured(compared.manifold, [s.to_dataset() for s in steps], removed)


def _last_group(result: Result | Failure) -> xr.DataTree:
    """The group of a reference problem's network or diffusion."""
    if isinstance(result, Failure):
        raise RunFailure(f"No error budget: a reference problem failed. {result.reason}")
    return next(iter(result.tree.children.values()))


def _on_clock(config: Config) -> Config:
    """The configuration with t_end set to the last time at which the comparison is made."""
    end = float(config.clock_times()[-1])
    return replace(config, problem=replace(config.problem, t_end=end))


def _measured(manifold: Manifold, steps: list[xr.Dataset], removed: list[str]) -> xr.Dataset:
    """The distances between neighbours and between the two ends, at the times common to all."""
    clocks = [step.snapshot_time.values for step in steps]
    times = [t for t in clocks[0] if all(np.isclose(c, t, atol=1e-9).any() for c in clocks)]
    series = [_series(step, times) for step in steps]
    w2 = np.array([_w2(manifold, *pair) for pair in _pairs(series)])
    metric = negative_type(manifold)
    if not metric:
        series = [_Series(_circles(manifold, s.points), s.weights) for s in series]
    space = manifold if metric else None
    energy = np.array([_energies(space, *pair) for pair in _pairs(series)])
    return dataset(
        source=(("source",), np.array(removed)),
        time=(("snapshot",), times),
        contribution=(("source", "snapshot"), energy[:-1]),
        total=(("snapshot",), energy[-1]),
        contribution_w2=(("source", "snapshot"), w2[:-1]),
        total_w2=(("snapshot",), w2[-1]),
    ).assign_attrs(distance="energy distance" + ("" if metric else " on a product of circles"))


def _pairs(series: list[_Series]) -> Iterator[tuple[_Series, _Series]]:
    """All pairs of neighbours, then the pair of the first and the last."""
    yield from itertools.pairwise(series)
    yield series[0], series[-1]


class _Series(NamedTuple):
    """Measures at k times: for a network the points depend on time, for a diffusion the weights do.

    Attributes:
        points: ``(k, n, ambient)`` or ``(n, ambient)``.
        weights: ``(n,)`` or ``(k, n)``.
    """

    points: Array
    weights: Array

    @property
    def moves(self) -> bool:
        return self.points.ndim == 3

    def at(self, k: int) -> tuple[Array, Array]:
        return (self.points[k], self.weights) if self.moves else (self.points, self.weights[k])


def _series(step: xr.Dataset, times: Sequence[float]) -> _Series:
    """The measures of a network or a diffusion at these times."""
    rows = [int(np.argmin(np.abs(step.snapshot_time.values - t))) for t in times]
    if "feature" in step:
        return _Series(step.feature.values[rows], step.neuron_mass.values)
    return _Series(step.node_position.values, step.density.values[rows] * step.node_measure.values)


def _energies(manifold: Manifold | None, mu: _Series, nu: _Series) -> Array:
    """Energy distances ``(k,)``; terms that do not depend on time are computed once.

    If only one of the two is a network, it must be ``mu``.
    """
    if mu.moves and nu.moves:
        return np.array([energy_distance(x, y, mu.weights, nu.weights, manifold)
                         for x, y in zip(mu.points, nu.points, strict=True)])  # fmt: skip
    if mu.moves:
        return energy_distance_series(mu.points, nu.points, nu.weights, manifold, mu.weights)
    return energy_distances_of_densities(mu.points, mu.weights, nu.points, nu.weights, manifold)


def _circles(torus: Manifold, points: Array) -> Array:
    """Embeds points ``(..., dim)`` of a torus in a product of circles, ``(..., 2 dim)``."""
    radius = torus.axes[0].length / (2 * math.pi)
    angle = points / radius
    return radius * np.concatenate([np.cos(angle), np.sin(angle)], axis=-1)


def _w2(manifold: Manifold, mu: _Series, nu: _Series) -> Array:
    """W_2 ``(k,)`` in one dimension, NaN in more."""
    count = len(mu.points) if mu.moves else len(mu.weights)
    if manifold.dim > 1:
        return np.full(count, math.nan)
    return np.array([
        distance("w2", Measure(manifold, *mu.at(k)), Measure(manifold, *nu.at(k))).value
        for k in range(count)
    ])  # fmt: skip
