"""Studies over any keys of a configuration: a grid of values, with several seeds at each point.

`sweep_of` checks all points before any work. `Sweep.results` does the runs that are missing: each
different diffusion is solved once and each different network is trained once, and then they are
measured. `Sweep.measured` makes one dataset of the measurements, with an axis for each key.
"""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np
import xarray as xr

from uf_diffusion.core import mpi
from uf_diffusion.core.arguments import whole_number
from uf_diffusion.core.arrays import Array
from uf_diffusion.core.errors import Caution, InputError
from uf_diffusion.core.wording import shown, unknown
from uf_diffusion.results.names import dataset
from uf_diffusion.runs.config import SECTIONS, merged
from uf_diffusion.runs.keys import key_of, toml_of
from uf_diffusion.runs.over_time import at_clock_times
from uf_diffusion.runs.reading import change_of
from uf_diffusion.runs.setup import Setup
from uf_diffusion.studies.cache import BEGINNINGS, Failure, Run, Runs, settings_read
from uf_diffusion.studies.given_parts import setup_at
from uf_diffusion.studies.sweep_orders import orders

__all__ = ["COMMANDS", "Axis", "Sweep", "sweep_of"]

COMMANDS = ("compare", "solve", "train")
MANY = 1000  # runs from which on a study is likely to be a mistake
SEED = "network.seed"


@dataclass(frozen=True)
class Axis:
    """A key and the values that it takes.

    Attributes:
        key: the key, such as "network.lambda" or "problem.teacher.gamma".
        values: its values, numbers, texts or tables.
    """

    key: str
    values: tuple[Any, ...]

    @property
    def numeric(self) -> bool:
        """Whether all values are numbers."""
        return all(type(value) in (int, float) for value in self.values)

    @property
    def names(self) -> tuple[str, ...]:
        """The values as short texts."""
        return tuple(v if isinstance(v, str) else toml_of(v) for v in self.values)

    @property
    def coordinate(self) -> xr.Variable:
        """The values ``(values,)`` as numbers, or as texts if one is not a number."""
        section, _, name = self.key.partition(".")
        meanings = {key_of(f): f.metadata["meaning"] for f in fields(SECTIONS[section])}
        about = {"long_name": meanings.get(name, f"key {self.key}")}
        values = self.values if self.numeric else self.names
        return xr.Variable((self.key,), np.array(values), about | {"units": "1"})


@dataclass(frozen=True, eq=False)
class Sweep:
    """A study over keys of a configuration.

    Attributes:
        base: the setup whose keys are swept.
        axes: the keys with their values.
        seeds: the seeds of each point.
        command: what is done at each point, one of `COMMANDS`.
    """

    base: Setup
    axes: tuple[Axis, ...]
    seeds: tuple[int, ...]
    command: str

    @property
    def shape(self) -> tuple[int, ...]:
        """The number of values of each axis, and the number of seeds."""
        return (*(len(axis.values) for axis in self.axes), len(self.seeds))

    @property
    def title(self) -> str:
        """The sweep in the words of the command line."""
        over = [f"--over {axis.key}={','.join(axis.names)}" for axis in self.axes]
        return " ".join(["study", *over, f"--command {self.command} --seeds {len(self.seeds)}"])

    @cached_property
    def setups(self) -> list[Setup]:
        """The setup of each point and seed, in the order of the axes, the seeds last.

        Raises:
            InputError: if the configuration of a point is not valid.
        """
        keys = [axis.key for axis in self.axes]
        found = []
        for *values, seed in itertools.product(*(a.values for a in self.axes), self.seeds):
            changes = merged(*map(change_of, [*keys, SEED], [*values, seed]))
            found.append(setup_at(self.base, self.base.config.changed(**changes), keys))
        return found

    @cached_property
    def runs(self) -> list[tuple[Run, ...]]:
        """The runs that measure each of the `setups`; their parts solve and train.

        Raises:
            InputError: if a run of a network would be shorter than a step, or too long.
        """
        return [self._runs_of(setup) for setup in self.setups]

    def _runs_of(self, setup: Setup) -> tuple[Run, ...]:
        given = setup if setup.given_problem or setup.given_features else None
        train = Run("train", setup.config, given)
        if self.command == "train":
            return (Run("measure network", setup.config, given, (train,)),)
        config = setup.config if self.command == "solve" else at_clock_times(setup.config)
        solve = Run("solve", config, given)
        alone = Run("measure diffusion", config, given, (solve,))
        if self.command == "solve":
            return (alone,)
        return (Run("measure both", setup.config, given, (solve, train)), alone)

    def require_possible(self) -> None:
        """Refuse a study of which no run can begin. Call it on all ranks.

        Raises:
            InputError: with the reason why the first run cannot begin.
        """
        reasons = (_reason(self.command, setup) for setup in self.setups[:: len(self.seeds)])
        first = next(reasons)
        if first and all(reasons):
            raise InputError(first)

    def results(self, store: Runs) -> dict[str, Any]:
        """Do the runs that are missing. Call it on all ranks.

        Returns:
            On rank 0 the `Result` or the `Failure` of each run that measures, by its key; nothing
            on the other ranks.

        Raises:
            Interrupted, Unwritable, InputError: as `Runs.results`.
        """
        runs = list(itertools.chain.from_iterable(self.runs))
        missing = mpi.from_root(lambda: [k for k, r in enumerate(runs) if not store.stored(r)])
        parts = [part for k in missing for part in runs[k].parts]
        done = store.results(parts, keep=False)
        failures = {f.run.key: f for f in done if isinstance(f, Failure)}

        def lacking(run: Run) -> Failure | None:
            found = (failures.get(part.key) for part in run.parts)
            return next((f for f in found if f is not None), None)

        blocked = mpi.from_root(lambda: [k for k in missing if lacking(runs[k]) is not None])
        free = [run for k, run in enumerate(runs) if k not in {*blocked}]
        found = store.results(free)
        stopped = {runs[k].key: lacking(runs[k]) for k in blocked} if mpi.rank() == 0 else {}
        return stopped | dict(zip([r.key for r in free], found, strict=True) if found else [])

    def failures(self, results: Mapping[str, Any]) -> list[str]:
        """A sentence for each reason why runs failed, with the first of its points.

        Args:
            results: what `results` returned.
        """
        failed: dict[str, list[str]] = {}
        names = itertools.product(*(a.names for a in self.axes), self.seeds)
        for runs, (*values, seed) in zip(self.runs, names, strict=True):
            words = [f"{a.key} = {v}" for a, v in zip(self.axes, values, strict=True)]
            point = ", ".join([*words, *([f"seed {seed}"] if len(self.seeds) > 1 else [])])
            reasons = [r.reason for run in runs if isinstance(r := results[run.key], Failure)]
            for reason in dict.fromkeys(reasons):
                failed.setdefault(reason, []).append(point)
        return [
            f"{first}{f' and {len(others)} more' if others else ''}: {reason}"
            for reason, (first, *others) in failed.items()
        ]

    def measured(self, results: Mapping[str, Any]) -> xr.Dataset:
        """The dataset of study.nc: the quantities over time, NaN where a run failed, and orders.

        Args:
            results: what `results` returned.
        """
        times = [_times(self.command, setup) for setup in self.setups]
        most, values = max(map(len, times)), dict[str, Array]()
        for k, runs in enumerate(self.runs):
            for run in runs:
                if isinstance(found := results[run.key], Failure):
                    continue
                for name, array in found.tree["measured"].to_dataset().data_vars.items():
                    rows = values.setdefault(str(name), np.full((len(times), most), math.nan))
                    rows[k, : array.size] = array.values
        return self._dataset(times, values)

    def _dataset(self, times: Sequence[Array], values: Mapping[str, Array]) -> xr.Dataset:
        """The dataset of values ``(points, snapshots)`` at these times of each point."""
        dims = (*(axis.key for axis in self.axes), "seed")
        clock = np.full((len(times), max(map(len, times))), math.nan)
        for row, t in zip(clock, times, strict=True):
            row[: len(t)] = t
        one = bool((clock == clock[0]).all())
        along = "time" if one else "snapshot"
        found = {n: ((*dims, along), v.reshape(*self.shape, -1)) for n, v in values.items()}
        every = clock.reshape(*self.shape, -1)[..., 0, :]
        found["time"] = ((along,), clock[0]) if one else ((*dims[:-1], along), every)
        data = dataset(**found, seed=(("seed",), self.seeds)).set_coords("time")
        data = data.assign_coords({axis.key: axis.coordinate for axis in self.axes})
        data = data.assign_attrs(what=self.title, axes=" ".join(dims[:-1]))
        return data.merge(orders(data))


def sweep_of(
    base: Setup, over: Iterable[tuple[str, Iterable[Any]]], seeds: int = 1, command: str = "compare"
) -> Sweep:
    """A study over keys of a configuration, with all its points checked. Call it on all ranks.

    Args:
        base: the setup whose keys are swept.
        over: each key with its values.
        seeds: number of seeds of each point; the first seed is that of the configuration.
        command: what is done at each point, one of `COMMANDS`.

    Raises:
        InputError: for a key that is unknown or given twice, a value that is repeated or out of
            range, no values, seeds where nothing is random, or if no run can begin.
    """
    if command not in COMMANDS:
        raise unknown("command of a study", command, COMMANDS)
    whole_number("The number of seeds", seeds, 1)
    axes = tuple(_axis(key, values) for key, values in over)
    keys = [axis.key for axis in axes]
    if not axes:
        raise InputError("A study needs a key with values: --over section.key=v1,v2.")
    for key in keys:
        if keys.count(key) > 1:
            raise InputError(f"The key {key} is given twice.")
    first = base.config.network.seed
    sweep = Sweep(base, axes, tuple(range(first, first + seeds)), command)
    if (count := math.prod(sweep.shape)) > MANY:
        said = f"This study has {count // seeds} points and {seeds} seeds: {count} runs."
        mpi.on_root(lambda: warnings.warn(said, Caution, stacklevel=2))
    for setup in sweep.setups[::seeds]:
        _ = setup.problem  # manifold, densities and divergence check their own values
        _ = _times(command, setup)
    _require_effect(sweep)
    sweep.require_possible()
    return sweep


def _axis(key: str, values: Any) -> Axis:
    """A key with its values, which are not empty and not repeated.

    Raises:
        InputError: for other values.
    """
    if isinstance(values, str | Mapping) or not isinstance(values, Iterable):
        raise InputError(f"The values of {key} must be a list, not {shown(values)}.")
    found = [v.item() if isinstance(v, np.generic) else v for v in values]
    if not found:
        raise InputError(f"{key} has no values to sweep over.")
    if twice := [v for k, v in enumerate(found) if v in found[:k]]:
        raise InputError(f"{key} takes each value once, and {shown(twice[0])} is repeated.")
    if key == SEED:
        raise InputError(f"{SEED} is not swept over: use --seeds (in Python seeds=...).")
    for value in found:
        change_of(key, value)
    return Axis(key, tuple(found))


def _times(command: str, setup: Setup) -> Array:
    """The snapshot times of a point, ``(snapshots,)``."""
    return setup.times if command == "solve" else setup.clock_times


def _require_effect(sweep: Sweep) -> None:
    """Refuse a key, or several seeds, on which no run depends.

    Raises:
        InputError: with the name of the key.
    """
    texts = np.empty(len(sweep.setups), dtype=object)
    texts[:] = [settings_read(sweep.command, setup.config).to_toml() for setup in sweep.setups]
    texts = texts.reshape(sweep.shape)
    for k, axis in enumerate(sweep.axes):
        if len(axis.values) > 1 and (texts == texts.take([0], axis=k)).all():
            raise InputError(f"{axis.key} changes nothing that '{sweep.command}' reads.")
    if len(sweep.seeds) > 1 and (texts == texts[..., :1]).all():
        raise InputError("Nothing is random where no network is trained: use one seed.")


def _reason(command: str, setup: Setup) -> str:
    """Why a run cannot begin; empty if it can."""
    try:
        BEGINNINGS[command](setup.described_by(setup.config))
    except InputError as error:
        return str(error)
    return ""
