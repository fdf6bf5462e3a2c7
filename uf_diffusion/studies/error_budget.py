"""The error budget of a comparison: which approximation keeps a network from its limit.

Between the network that was trained and the diffusion that was solved lies a ladder of reference
problems. Each rung removes one approximation: the training step, the sampled inputs, the teacher's
finitely many neurons, the width, the regularisation, what the features do not see, the diffusion's
time step, its mesh. The distances between neighbouring rungs are the entries of the budget. They
add up to at least the whole distance, as the energy distance and W_2 are metrics. On tori of two
and more dimensions the energy distance of wrapped differences is not: there the budget measures
the chords of the torus as a product of circles, which are those differences where they are small.
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

# evenly placed neurons that stand for infinitely many: in one dimension, and in more
MEAN_FIELD = (100_000, 20_000)
TEACHER = 16_384  # evenly placed neurons that stand for the teacher's density
# how many times more cells in each direction the diffusion's reference has in one dimension, and in
# more, and how many times less tolerance; the steps of the constrained equation follow its shocks
# from cell to cell
FINER = {"unconstrained": ((4, 2), 10), "constrained": ((2, 2), 3)}


@dataclass(frozen=True)
class Rung:
    """One reference problem.

    Attributes:
        removed: the approximation that the rung before still has.
        run: solves the problem.
    """

    removed: str
    run: Run


def ladder(config: Config) -> list[Rung]:
    """The rungs from a configuration's network up to its diffusion, both not included.

    Raises:
        InputError: for a network that does not follow the gradient flow: algorithm "fixed".
    """
    if config.network.algorithm == "fixed":
        raise InputError("A network with fixed features has no limit: there is no error budget.")
    return [*_networks(config), *_limits(config)]


def _networks(config: Config) -> Iterator[Rung]:
    n, setup = config.network, Setup(config)
    manifold, phi = setup.manifold, setup.features
    tight = 1e-5 if n.algorithm != "flow" else n.rtol / 10
    # closed-form kernels cost O(M) on the circle alone
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
    """`compare`, and the group /budget beside its groups.

    Args:
        setup: the run.
        folder: of the run; its folder "budget" keeps the reference problems' results, so that what
            is there need not be solved again.
        watch, cautious: as `compare` takes them.

    Raises:
        InputError: as `compare` does, and for a network without a limit.
        RunFailure: also when a reference problem cannot be solved.
    """
    config = setup.config
    rungs = ladder(_on_clock(config))  # its mistakes first
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
    """The group /budget.

    Args:
        compared: the result of the comparison.
        rungs: its ladder.
        results: of the rungs' runs.

    Raises:
        RunFailure: when one of these failed.
    """
    tree = compared.tree
    steps = [tree["network"], *map(_last_group, results), tree["diffusion"]]
    removed = [rung.removed for rung in rungs] + ["diffusion's mesh"]
    return _measured(compared.manifold, [s.to_dataset() for s in steps], removed)


def _last_group(result: Result | Failure) -> xr.DataTree:
    """The network or the diffusion of a reference problem."""
    if isinstance(result, Failure):
        raise RunFailure(f"No error budget: a reference problem failed. {result.reason}")
    return next(iter(result.tree.children.values()))


def _on_clock(config: Config) -> Config:
    """The configuration with the end that the comparison's clock has."""
    end = float(config.clock_times()[-1])
    return replace(config, problem=replace(config.problem, t_end=end))


def _measured(manifold: Manifold, steps: list[xr.Dataset], removed: list[str]) -> xr.Dataset:
    """The distances between neighbours, and between the ends, at the times that all share."""
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
    """Neighbours, and the two ends."""
    yield from itertools.pairwise(series)
    yield series[0], series[-1]


class _Series(NamedTuple):
    """Measures at k times: a network's, whose points move, or a diffusion's, whose weights do.

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
    """A network or a diffusion at these times."""
    rows = [int(np.argmin(np.abs(step.snapshot_time.values - t))) for t in times]
    if "feature" in step:
        return _Series(step.feature.values[rows], step.neuron_mass.values)
    return _Series(step.node_position.values, step.density.values[rows] * step.node_measure.values)


def _energies(manifold: Manifold | None, mu: _Series, nu: _Series) -> Array:
    """Energy distances ``(k,)``, without computing twice what does not change with time.

    Networks come before diffusions.
    """
    if mu.moves and nu.moves:
        return np.array([energy_distance(x, y, mu.weights, nu.weights, manifold)
                         for x, y in zip(mu.points, nu.points, strict=True)])  # fmt: skip
    if mu.moves:
        return energy_distance_series(mu.points, nu.points, nu.weights, manifold, mu.weights)
    return energy_distances_of_densities(mu.points, mu.weights, nu.points, nu.weights, manifold)


def _circles(torus: Manifold, points: Array) -> Array:
    """Points ``(..., dim)`` of a torus on a product of circles, ``(..., 2 dim)``."""
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
