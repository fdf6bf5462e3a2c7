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
        InputError: for network.algorithm "fixed", which does not follow the gradient flow, and for
            random draws that are given, since the reference problems have others.
    """
    if config.network.draws:
        raise InputError("An error budget draws its own random numbers: leave network.draws empty.")
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
    even = "even" if setup.problem.axis is None else "quantile"
    yield rung("teacher's neurons", teacher_placement=even, teacher_width=TEACHER)
    width = manifold.even_count(max(n.width, MEAN_FIELD[manifold.dim > 1]))
    yield rung("width", placement=even, width=width, kernel=linear)


def _limits(config: Config) -> Iterator[Rung]:
    setup, d = Setup(config), config.diffusion
    dim = setup.manifold.dim if setup.problem.axis is None else 1

    def rung(removed: str, limit: str, tight: bool = True) -> Rung:
        problem, (finer, rtol) = replace(config.problem, limit=limit), FINER[limit]
        cells = d.cells * finer[dim > 1] ** dim
        fine = replace(d, cells=cells, rtol=d.rtol / rtol if tight else d.rtol)
        return Rung(removed, Run("solve", replace(config, problem=problem, diffusion=fine)))

    limit, removed = config.problem.limit, "regularisation"
    if limit == "unconstrained" and setup.features.constrained_limit and d.degree == 1:
        yield rung(removed, "constrained")
        removed = "what is not seen"
    yield rung(removed, limit)
    yield rung("diffusion's time step", limit, tight=False)


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

    Densities are compared as functions, see `distances.energy_modes`. An entry cannot resolve less
    than its floor. That of "width" and "regularisation" is the distance at t = 0 of the last
    network's neurons to the density in which they are placed.

    Args:
        compared: the result of the comparison.
        rungs: the ladder of its configuration.
        results: the results of the rungs' runs, in the order of ``rungs``.

    Raises:
        RunFailure: when one of these runs failed.
    """
    tree = compared.tree
    steps = [(compared, tree["network"].to_dataset())]
    steps += [(result, _last_group(result)) for result in map(_succeeded, results)]
    steps += [(compared, tree["diffusion"].to_dataset())]
    times = _common_times([group for _, group in steps])
    networks = [_Neurons(g, _rows(g, times)) for _, g in steps if "feature" in g]
    densities = [_Density(r.grid, g, _rows(g, times)) for r, g in steps if "density" in g]
    energy, floor, name = _energies(networks, densities, compared.meridian)
    w2 = _all_w2(compared, networks, densities)
    return dataset(
        source=(("source",), np.array([rung.removed for rung in rungs] + ["diffusion's mesh"])),
        time=(("snapshot",), times),
        contribution=(("source", "snapshot"), energy[:-1]),
        floor=(("source", "snapshot"), floor),
        total=(("snapshot",), energy[-1]),
        contribution_w2=(("source", "snapshot"), w2[:-1]),
        total_w2=(("snapshot",), w2[-1]),
    ).assign_attrs(distance=name)


def _succeeded(result: Result | Failure) -> Result:
    if isinstance(result, Failure):
        raise RunFailure(f"No error budget: a reference problem failed. {result.reason}")
    return result


def _last_group(result: Result) -> xr.Dataset:
    """The group of a reference problem's network or diffusion."""
    return next(iter(result.tree.children.values())).to_dataset()


def _on_clock(config: Config) -> Config:
    """The configuration with t_end set to the last time at which the comparison is made."""
    end = float(config.clock_times()[-1])
    return replace(config, problem=replace(config.problem, t_end=end))


def _common_times(groups: Sequence[xr.Dataset]) -> list[float]:
    clocks = [group.snapshot_time.values for group in groups]
    return [t for t in clocks[0] if all(np.isclose(c, t, atol=1e-9).any() for c in clocks)]


def _rows(group: xr.Dataset, times: Sequence[float]) -> list[int]:
    """The snapshots at these times."""
    return [int(np.argmin(np.abs(group.snapshot_time.values - t))) for t in times]


class _Neurons:
    """The neurons of a network at k times: features ``(k, n, ambient)`` and masses ``(n,)``."""

    def __init__(self, group: xr.Dataset, rows: list[int]) -> None:
        self.features, self.masses = group.feature.values[rows], group.neuron_mass.values


class _Density:
    """A density at the nodes of a mesh at k times, ``(k, nodes)``."""

    def __init__(self, grid: Grid, group: xr.Dataset, rows: list[int]) -> None:
        self.grid, self.values = grid, group.density.values[rows]


def _energies(
    networks: Sequence[_Neurons], densities: Sequence[_Density], meridian: Meridian | None
) -> tuple[Array, Array, str]:
    """The distances of neighbours and of the two ends, the floors, and the distance's name."""
    finest = max((d.grid for d in densities), key=lambda grid: grid.cell_count)
    energy: Any = energies_on(finest, meridian)
    of_networks = [
        [energy.between_atoms(x, y, a.masses, b.masses)
         for x, y in zip(a.features, b.features, strict=True)]
        for a, b in itertools.pairwise(networks)
    ]  # fmt: skip
    first, last = ([energy.atoms(x, n.masses) for x in n.features]
                   for n in (networks[0], networks[-1]))  # fmt: skip
    images = [energy.densities(d.grid, d.values) for d in densities]
    pairs = [(last, images[0]), *itertools.pairwise(images), (first, images[-1])]
    found = [[energy.between(*pair) for pair in zip(*both, strict=True)] for both in pairs]
    neurons = np.where(np.arange(len(networks)) < len(networks) - 2, 0.0, found[0][0])
    floor = [np.full(len(first), f) for f in neurons]
    floor += [np.array([energy.left_out(*pair) for pair in zip(*both, strict=True)])
              for both in pairs[1:-1]]  # fmt: skip
    return np.array([*of_networks, *found]), np.array(floor), energy.name


def _all_w2(compared: Result, networks: Sequence[_Neurons], densities: Sequence[_Density]) -> Array:
    """W_2 of neighbours and of the two ends in one dimension, NaN in more and where densities are
    known on rings only; ``(pairs, k)``.
    """
    manifold, count = compared.manifold, len(networks[0].features)
    if manifold.dim > 1 or compared.meridian is not None:
        return np.full((len(networks) + len(densities), count), math.nan)
    atoms = [[Measure(manifold, x, n.masses) for x in n.features] for n in networks]
    limits = [[Quantiles.of(d.grid, row) for row in d.values] for d in densities]
    mixed = [(atoms[-1], limits[0]), (atoms[0], limits[-1])]
    beside, whole = ([_w2(x, y.atoms()) for x, y in zip(*both, strict=True)] for both in mixed)
    return np.array([
        *([_w2(*pair) for pair in zip(*both, strict=True)] for both in itertools.pairwise(atoms)),
        beside,
        *([x.w2(y) for x, y in zip(*both, strict=True)] for both in itertools.pairwise(limits)),
        whole,
    ])  # fmt: skip


def _w2(mu: Measure, nu: Measure) -> float:
    return distance("w2", mu, nu).value
