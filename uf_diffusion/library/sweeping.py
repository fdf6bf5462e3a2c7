"""Studies over keys of a configuration: the function `study`, its result, and its command."""

from __future__ import annotations

import dataclasses
import shutil
import tempfile
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xarray as xr

from uf_diffusion.core import mpi
from uf_diffusion.core.errors import Finding, InputError, Interrupted, RunFailure
from uf_diffusion.core.files import write_text
from uf_diffusion.core.paths import user_path
from uf_diffusion.core.reprs import one_line
from uf_diffusion.core.wording import shown, unknown
from uf_diffusion.library import commands
from uf_diffusion.library.keeping import remove_others, settled
from uf_diffusion.library.outputs import save_figure
from uf_diffusion.library.running import only_work_of
from uf_diffusion.library.setups import network_setup
from uf_diffusion.problem import Problem
from uf_diffusion.reports.terminal import Verbosity
from uf_diffusion.reports.text import provenance_lines, time_line
from uf_diffusion.results.netcdf import write_result
from uf_diffusion.results.provenance import run_attributes
from uf_diffusion.results.timings import Timings
from uf_diffusion.runs import presets
from uf_diffusion.runs.config import DiffusionConfig
from uf_diffusion.runs.fingerprint import code
from uf_diffusion.runs.folders import run_folder
from uf_diffusion.runs.reading import key_and_values, load_config
from uf_diffusion.runs.setup import Setup
from uf_diffusion.runs.stored import Job
from uf_diffusion.studies.cache import Runs
from uf_diffusion.studies.catalogue import STUDIES
from uf_diffusion.studies.given_parts import plain
from uf_diffusion.studies.sweep_orders import axes_of, orders_along, quantities_of
from uf_diffusion.studies.sweeps import COMMANDS, Sweep, sweep_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Study", "study", "study_over"]

DEFAULT = "relu-circle"


class Study:
    """A study over keys of a configuration: all its numbers, and the orders along its axes.

    On ranks other than 0 it has no arrays, and what returns one raises an `InputError`.

    Args:
        sweep: what was studied.
        data: the dataset, None on ranks other than 0.
        failures: a sentence for each reason why runs failed; their numbers are NaN.
    """

    def __init__(self, sweep: Sweep, data: xr.Dataset | None, failures: Sequence[str]) -> None:
        self.sweep = sweep
        self.failures = list(failures)
        self._data = data

    def to_xarray(self) -> xr.Dataset:
        """All numbers, dimensionless, with an axis for each key, "seed", and "time" or "snapshot".

        The axes have the names of the keys, such as "network.lambda". Where all points have the
        same snapshot times the last axis is "time"; otherwise it is "snapshot", and "time" is a
        variable.

        Raises:
            InputError: on ranks other than 0.
        """
        if self._data is None:
            raise InputError("On ranks other than 0 a study has no arrays.")
        return self._data

    @property
    def orders(self) -> dict[str, xr.Dataset]:
        """The fits along each numeric axis at the last snapshot, by the names of the axes.

        Each has the variables order, order_low, order_high (the ends of the 95 % confidence
        interval), factor, local_order_first and local_order_last, with the dimension "quantity"
        and the other axes. The interval comes from the seeds; a single seed has none.

        Raises:
            InputError: on ranks other than 0.
        """
        data = self.to_xarray()
        found = {axis: orders_along(data, axis) for axis in axes_of(data)}
        return {axis: fits for axis, fits in found.items() if fits}

    @property
    def table(self) -> str:
        """The quantities at the last snapshot, and the orders, as text.

        Raises:
            InputError: on ranks other than 0.
        """
        from uf_diffusion.reports.sweeps import sweep_table

        return sweep_table(self.to_xarray())

    def plot(self, path: str | Path | None = None) -> Figure | None:
        """Draw a panel for each quantity on rank 0, and return the matplotlib figure there.

        Args:
            path: a file to which the figure is written, in the format of its suffix.

        Raises:
            Unwritable: if the file cannot be written.
        """
        from uf_diffusion.reports.sweeps import draw_sweep  # matplotlib takes long to load

        return mpi.on_root(lambda: draw_sweep(self.to_xarray(), path))

    def save(self, folder: str | Path, force: bool = False) -> Path:
        """Write run.toml, study.nc and the figure into a folder, and return it.

        Args:
            folder: the folder.
            force: whether to replace the result or the interrupted run of something else.

        Raises:
            InputError: if the folder holds other files, or is in use, or without ``force`` holds
                another result or an interrupted run.
            Unwritable: if a file cannot be written.
        """
        path, job = user_path(folder), _job(self.sweep)
        with run_folder(path):
            if not force:
                mpi.on_root(lambda: settled(path, job))
            mpi.on_root(lambda: self._write(path, job))
        return path

    def _write(self, folder: Path, job: Job) -> None:
        from uf_diffusion.reports.sweeps import draw_sweep

        data = self.to_xarray()
        write_text(folder / "run.toml", job.config.to_toml())
        write_result(folder / "study.nc", xr.DataTree(data))
        save_figure(draw_sweep(data), folder)
        remove_others(folder, job, ())

    def __repr__(self) -> str:
        sizes = {axis.key: len(axis.values) for axis in self.sweep.axes}
        words = ", ".join(f"{key} x {count}" for key, count in sizes.items())
        return one_line("Study", over=words, seeds=len(self.sweep.seeds))

    def _repr_html_(self) -> str:
        return str(self.to_xarray()._repr_html_()) if self._data is not None else repr(self)


def study(
    problem: Problem,
    features: Any = None,
    *,
    over: Mapping[str, Iterable[Any]],
    until: float,
    command: str = "compare",
    seeds: int = 1,
    snapshots: int | Sequence[float] = 17,
    limit: str = "unconstrained",
    diffusion: Mapping[str, Any] | None = None,
    out: str | Path | None = None,
    force: bool = False,
    **settings: Any,
) -> Study:
    """Compare, solve or train at all combinations of the values of some keys. Call on all ranks.

    Args:
        problem: the problem.
        features: the feature function, as in `train`.
        over: for each key of a configuration, such as "network.lambda" or "problem.regulariser",
            its values.
        until: final time, dimensionless.
        command: "compare", "solve" or "train".
        seeds: number of seeds of each point; the first is the setting ``seed``.
        snapshots, limit: as in `solve`.
        diffusion: further keys of the section [diffusion], such as ``{"cells": 1024}``.
        out: a folder for run.toml, study.nc, the figure, and the finished runs, so that an
            interrupted study goes on. If None, nothing is kept.
        force: whether to replace the result of something else in the folder.
        settings: further keys of the section [network], as in `train`.

    Raises:
        InputError: for a mistake in the arguments, at any of the points, before any computation.
        RunFailure: if all runs failed. If some failed, a `Finding` is issued for each reason.
        Interrupted, Unwritable: as `uf_diffusion.studies.cache.Runs.results`.
    """
    if not isinstance(over, Mapping):
        raise InputError(f"over is a mapping from keys to their values, not {shown(over)}.")
    keys = _known(dict(diffusion or {}))
    base = network_setup(problem, features, until, snapshots, settings, keys)
    base = base.described_by(base.config.changed(problem={"limit": limit}))
    sweep = sweep_of(plain(base), over.items(), seeds, command)
    found = _unkept(sweep) if out is None else _kept(sweep, user_path(out), force)
    for sentence in found.failures:
        warnings.warn(f"A run failed. {sentence}", Finding, stacklevel=2)
    return found


def _known(diffusion: dict[str, Any]) -> dict[str, Any]:
    """The given keys of the section [diffusion], if it has all of them."""
    known = {f.name for f in dataclasses.fields(DiffusionConfig)} - {"snapshots"}
    for name in diffusion:
        if name not in known:
            raise unknown("key of diffusion", name, known)
    return diffusion


def _unkept(sweep: Sweep) -> Study:
    """As `_computed`, in a folder that all ranks share and that rank 0 removes afterwards."""
    folder = mpi.from_root(lambda: tempfile.mkdtemp(prefix="uf-study-"))
    try:
        return _computed(sweep, Path(folder))
    except Interrupted:
        said = "Interrupted; only with a folder out are finished runs kept."
        raise Interrupted(said) from None
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _job(sweep: Sweep) -> Job:
    return Job(sweep.title, sweep.base.config)


def _computed(sweep: Sweep, folder: Path) -> Study:
    """Do the runs of a study that are missing in a folder, and measure. Call it on all ranks.

    Raises:
        RunFailure: if all runs failed.
        InputError, Interrupted, Unwritable: as `Sweep.results`.
    """
    clock, job = Timings(), _job(sweep)
    results = sweep.results(Runs(folder / "runs"))
    failures = mpi.from_root(lambda: sweep.failures(results))
    data = mpi.on_root(lambda: sweep.measured(results))
    if mpi.from_root(lambda: data is not None and not quantities_of(data)):
        raise RunFailure(f"All runs failed. {failures[0]}")
    attributes = run_attributes(job.config.to_toml(), sweep.seeds[0], clock.total)
    attributes |= {"command": job.name, "code": code()}
    return Study(sweep, None if data is None else data.assign_attrs(attributes), failures)


def _kept(sweep: Sweep, folder: Path, force: bool) -> Study:
    """As `_computed`, and write the files of the study into its folder. Call it on all ranks.

    Raises:
        InputError: if the folder holds other files, or without ``force`` something else's results.
    """
    job = _job(sweep)
    with run_folder(folder):
        if not force:
            mpi.on_root(lambda: settled(folder, job))
        with only_work_of(folder, job, force):
            mpi.on_root(lambda: write_text(folder / "run.toml", job.config.to_toml()))
        found = _computed(sweep, folder)
        found.save(folder, force=True)
        return found


def study_over(
    name: str, config: str, over: Sequence[str], command: str, overrides: Sequence[str],
    values: str, seeds: int | None, out: Path | None, verbosity: Verbosity, force: bool,
) -> None:  # fmt: skip
    """A study over keys, or without keys one of the catalogue, as the command line asks for it.

    Args:
        name: a preset or a TOML file, or without ``over`` the name of a study.
        config, values: as `commands.study`, where there is no ``over``.
        over: strings "section.key=v1,v2"; the values are in TOML syntax.
        command: "compare", "solve" or "train"; "" chooses "compare".
        overrides, out, verbosity, force: as in `commands.run`.
        seeds: number of seeds of each point; None chooses 1.

    Raises:
        InputError: for a mistake in the arguments.
        RunFailure: if some of the runs failed.
    """
    _require_kind(name, config, over, command, values)
    if not over:
        commands.study(name, config, overrides, values, seeds, out, verbosity, force)
        return
    base = Setup(load_config(name or DEFAULT, overrides))
    axes = [key_and_values(text) for text in over]
    with verbosity.applied():
        sweep = sweep_of(base, axes, 1 if seeds is None else seeds, command or COMMANDS[0])
        folder = out or Path("runs") / f"study-{base.config.name}"
        found = _kept(sweep, folder, force)
        mpi.on_root(lambda: _summarise(found, folder, verbosity))


def _summarise(found: Study, folder: Path, verbosity: Verbosity) -> None:
    if not verbosity.quiet:
        attributes = found.to_xarray().attrs
        print(f"{found.table}\n")
        if verbosity.verbose:
            print("\n".join(provenance_lines(attributes)))
        print(time_line(attributes["ranks"]))
        print(f"figure    {folder / 'figure.png'}\nresult    {folder / 'study.nc'}")
    commands.tell_failures(found.failures, "the study lacks them", verbosity)


def _require_kind(name: str, config: str, over: Sequence[str], command: str, values: str) -> None:
    """Refuse arguments of a study over keys together with those of one of the catalogue.

    Raises:
        InputError: with a sentence that says what to leave out.
    """
    form = "--over section.key=v1,v2"
    if over and name in STUDIES:
        raise InputError(
            f"'{name}' is a study of the catalogue, whose values --values sets: leave --over out, "
            "or name a preset or a TOML file instead."
        )
    if over and config:
        raise InputError(f"With --over a study takes one preset or TOML file, not also '{config}'.")
    if over and values:
        raise InputError("--values is for the studies of the catalogue: --over has its own values.")
    if not over and command:
        raise InputError(f"--command is for a study with {form}.")
    if not over and not name:
        raise InputError(f"A study needs {form}, or a name: {', '.join(STUDIES)}.")
    if not over and (name in presets() or name.endswith(".toml")):
        raise InputError(f"A study of '{name}' needs to know what to sweep over: {form}.")
