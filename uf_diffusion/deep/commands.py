"""The work of ``uf-diffusion deep``: do the runs of an experiment that are missing, and tell."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import xarray as xr

from uf_diffusion.core import mpi
from uf_diffusion.core.errors import InputError, Interrupted, RunFailure
from uf_diffusion.core.files import write_text
from uf_diffusion.core.progress import progress
from uf_diffusion.core.signals import delayed_signals
from uf_diffusion.deep.command_line import Choices
from uf_diffusion.deep.data import Labelled, cifar10, digits
from uf_diffusion.deep.experiment import CIFAR, DIGITS, METHODS, Experiment, History, Run, joined
from uf_diffusion.deep.stored_state import pack, unpack
from uf_diffusion.deep.training import Training, TrainingState
from uf_diffusion.plots import save
from uf_diffusion.plots.batches import batch_table, draw_batches
from uf_diffusion.reports.terminal import Verbosity
from uf_diffusion.reports.text import provenance_lines, time_line
from uf_diffusion.results.netcdf import read_sealed, write_result
from uf_diffusion.results.provenance import run_attributes, version_of
from uf_diffusion.results.timings import Timings
from uf_diffusion.runs.folders import run_folder

__all__ = ["experiment_on_cifar", "experiment_on_digits"]

STORED = 60.0  # seconds between two checkpoints of a run
TRIED = 3  # steps whose time is measured for the plan


def experiment_on_digits(choices: Choices, verbosity: Verbosity) -> None:
    """The experiment on scikit-learn's digits; raises as `_experiment`."""
    _experiment(DIGITS, digits, choices, verbosity)


def experiment_on_cifar(folder: Path, choices: Choices, verbosity: Verbosity) -> None:
    """The paper's experiment on CIFAR-10 in a folder, see `cifar10`; raises as `_experiment`."""
    _experiment(CIFAR, partial(cifar10, folder), choices, verbosity)


def _changed(usual: Experiment, choices: Choices) -> Experiment:
    """An experiment with other numbers; the part of the epochs with half the rate stays."""
    total = usual.epochs if choices.epochs is None else choices.epochs
    return replace(
        usual, batches=choices.batch or usual.batches, epochs=total,
        slower=round(total * usual.slower / usual.epochs),
        seeds=usual.seeds if choices.seeds is None else choices.seeds,
    )  # fmt: skip


def _experiment(
    usual: Experiment,
    read: Callable[[], tuple[Labelled, Labelled]],
    choices: Choices,
    verbosity: Verbosity,
) -> None:
    """Do the runs that are missing in a folder, and write its table and figure.

    Raises:
        InputError: for several ranks, data that cannot be read, or a folder of other settings.
        RunFailure: after all runs, if one of them left the finite numbers.
        Interrupted: after Ctrl-C or SIGTERM; the same command goes on.
    """
    experiment = _changed(usual, choices)
    if mpi.size() > 1:
        raise InputError("Deep networks are trained by one process: start it without mpiexec.")
    clock, folder = Timings(), choices.out or Path("runs") / f"deep-{experiment.name}"
    training, test = read()
    with verbosity.applied(), run_folder(folder):
        _prepare(folder, experiment, choices.force)
        if not verbosity.quiet:
            _tell_plan(folder, experiment, training)
        found = _results(folder, experiment, training, test)
        attributes = run_attributes(experiment.to_toml(), 0, clock.total)
        attributes |= {"command": f"deep {experiment.name}", "jax": version_of("jax"),
                       "training_inputs": training.size, "test_inputs": test.size}  # fmt: skip
        data = joined(experiment, found).assign_attrs(attributes)
        write_result(folder / "result.nc", xr.DataTree(data))
        figure = draw_batches(data)
        for name in ("figure.pdf", "figure.png"):
            save(figure, folder / name)
        if not verbosity.quiet:
            print(f"{batch_table(data)}\n")
            if verbosity.verbose:
                print("\n".join(provenance_lines(attributes)))
            print(time_line(1))
            print(f"figure    {folder / 'figure.png'}\nresult    {folder / 'result.nc'}")
    lost = [run.name for run, one in zip(experiment.runs, found, strict=True)
            if np.isnan(one.minibatch_risk.values).any()]  # fmt: skip
    if lost:
        raise RunFailure(f"Some runs left the finite numbers, and end early: {', '.join(lost)}.")


def _prepare(folder: Path, experiment: Experiment, force: bool) -> None:
    """Make the folder one of an experiment.

    Raises:
        InputError: if it holds something else, without ``force``.
    """
    settings, text = folder / "run.toml", experiment.to_toml()
    if settings.exists() and settings.read_text(encoding="utf-8") != text:
        if not force:
            raise InputError(
                f"'{folder}' holds a run of other settings: choose another folder with --out, or "
                "replace what is there with --force."
            )
        shutil.rmtree(folder / "runs", ignore_errors=True)
    write_text(settings, text)
    (folder / "runs").mkdir(exist_ok=True)


def _results(
    folder: Path, experiment: Experiment, data: Labelled, test: Labelled
) -> list[xr.Dataset]:
    """The results of all runs, in their order; those that are there are not repeated."""
    found, epochs = [], experiment.epochs
    with delayed_signals() as heard, progress(len(experiment.runs) * epochs, "epochs") as reached:
        for k, run in enumerate(experiment.runs):
            path = folder / "runs" / f"{run.name}.nc"
            if not path.exists():
                training = run.training(data)
                stored = _Stored(run, training, test, path, heard)
                with suppress(RunFailure):  # its result has NaN from there on
                    for state in training.iterate(stored.state, epochs):
                        stored(state)
                        reached(k * epochs + state.step / training.epoch)
                stored.finish(epochs)
            found.append(read_sealed(path).to_dataset())
            reached((k + 1) * epochs)
            if heard:
                raise Interrupted(
                    f"Interrupted with {k + 1} of {len(experiment.runs)} runs done; the same "
                    "command goes on from there."
                )
    return found


class _Stored:
    """An observer that writes a run's checkpoints, and in the end its result.

    Args:
        run: the run.
        training: its training.
        test: the data of the test.
        path: the file of the result.
        heard: signals received so far; with the first one the run stops at the next state.
    """

    def __init__(
        self, run: Run, training: Training, test: Labelled, path: Path, heard: list[int]
    ) -> None:
        self._path, self._heard = path, heard
        self._partial = path.with_suffix(".checkpoint.nc")
        self.state, stored = run.start(training), None
        if self._partial.exists():
            tree = read_sealed(self._partial)
            self.state = unpack(tree["state"].to_dataset(), self.state)
            stored = tree["history"].to_dataset()
        self._history, self._last = History(training, test, stored), time.monotonic()

    def __call__(self, state: TrainingState) -> None:
        self._history(state)
        if self._heard or time.monotonic() - self._last > STORED:
            groups = {"/state": pack(state), "/history": self._history.pack()}
            write_result(self._partial, xr.DataTree.from_dict(groups))
            self._last = time.monotonic()
        if self._heard:
            raise Interrupted(
                f"Interrupted at step {state.step} of {self._path.stem}; the same command goes on "
                "from there."
            )

    def finish(self, epochs: int) -> None:
        """Write the result of a run of this many epochs, and remove its checkpoint."""
        write_result(self._path, xr.DataTree(self._history.result(epochs)))
        self._partial.unlink(missing_ok=True)


def _tell_plan(folder: Path, experiment: Experiment, data: Labelled) -> None:
    """Print how long the missing runs take, from the time of a few steps of each method."""
    missing = [run for run in experiment.runs if not (folder / "runs" / f"{run.name}.nc").exists()]
    if not missing:
        return
    seconds = 0.0
    for method in METHODS:
        runs = [run for run in missing if run.method == method]
        if runs:
            first = min(runs, key=lambda run: run.batch)
            training = first.training(data)
            state = training.step(first.start(training))  # compiles
            float(state.risk)
            begin = time.monotonic()
            for _ in range(TRIED):
                state = training.step(state)
            float(state.risk)
            each = (time.monotonic() - begin) / TRIED * training.epoch
            seconds += each * experiment.epochs * len(runs)
            said = f"{each:.3g} s for an epoch with batch size {first.batch}"
            print(f"plan      {method:8}{len(runs):4} runs, {said}", flush=True)
    said = f"{experiment.epochs} epochs of each run take about {seconds / 60:.3g} min in all"
    print(f"plan      {said}, if larger batches take as long", flush=True)
