"""What the commands of the command line do, with configurations, folders and printed lines."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from uf_diffusion.core import mpi
from uf_diffusion.core.errors import InputError, RunFailure, Unwritable
from uf_diffusion.core.files import write_text
from uf_diffusion.core.version import __version__
from uf_diffusion.library.saving import load_result, publish, save_figure
from uf_diffusion.reports.text import print_summary
from uf_diffusion.results.provenance import run_attributes, version_of
from uf_diffusion.results.timings import Timings
from uf_diffusion.runs import jobs, presets
from uf_diffusion.runs.checkpoints import Job, has_begun, interrupted, work_of
from uf_diffusion.runs.config import Config
from uf_diffusion.runs.folders import run_folder
from uf_diffusion.runs.reading import load_config
from uf_diffusion.runs.result import Result
from uf_diffusion.runs.setup import Setup
from uf_diffusion.runs.warnings_after import findings
from uf_diffusion.studies.error_budget import compare_with_budget

__all__ = ["RUNS", "info", "report", "resume", "run", "spectrum", "study", "tell_failures"]

# what a run of the command line and a checkpoint can do, by its name
RUNS: dict[str, Callable[[Setup, Path], Result]] = {
    "solve": jobs.solve,
    "train": jobs.train,
    "compare": jobs.compare,
    "compare --budget": compare_with_budget,
}


def run(job: str, source: str, overrides: Sequence[str], out: Path | None) -> None:
    """Do a job of a preset or a file, into a folder."""
    config = load_config(source, overrides)
    _complete(job, config, out or Path("runs") / config.name)


def resume(folder: Path) -> None:
    """Go on with the run that a folder's checkpoint is of."""
    name, config = interrupted(folder)
    if name not in RUNS:
        raise InputError(f"The checkpoint in '{folder}' is of an unknown job, '{name}'.")
    _complete(name, config, folder)


def _complete(job: str, config: Config, folder: Path) -> None:
    """Compute; then store, draw, summarise. Whatever stops it says how to go on."""
    with run_folder(folder):
        _require_free(folder, Job(job, config))
        try:
            result = RUNS[job](Setup(config), folder)
            mpi.on_root(lambda: _finish(result, folder))
        except (KeyboardInterrupt, Unwritable) as stop:
            if not has_begun(folder, Job(job, config)):
                raise
            said = str(stop) or "Interrupted."
            raise type(stop)(f"{said} Go on with: uf-diffusion resume {folder}") from None


def _require_free(folder: Path, job: Job) -> None:
    """Before any work: nobody else's is in the folder."""
    mpi.on_root(lambda: work_of(folder, job))


def _finish(result: Result, folder: Path) -> None:
    publish(result, folder)
    print_summary(result, folder)


def spectrum(source: str, overrides: Sequence[str], count: int, out: Path | None) -> None:
    """Eigenvalues of a preset's or a file's problem, into a folder of their own."""
    config = load_config(source, overrides)
    folder = out or Path("runs") / f"spectrum-{config.name}"
    with run_folder(folder):
        _require_free(folder, Job("spectrum", config))
        result = jobs.spectrum(Setup(config), count)
        mpi.on_root(lambda: result.warn(findings(result)))
        mpi.on_root(lambda: _finish(result, folder))


def study(
    name: str, source: str, overrides: Sequence[str], values: str, seeds: int | None,
    out: Path | None,
) -> None:  # fmt: skip
    """A study's runs, those that are missing, then its table and figure."""
    from uf_diffusion.studies.cache import Runs
    from uf_diffusion.studies.catalogue import study_named
    from uf_diffusion.studies.plans import numbers

    clock = Timings()
    plan = study_named(name).plan(source, overrides, numbers(values), seeds)
    folder, text = out or Path("runs") / f"study-{name}", plan.base.to_toml()
    with run_folder(folder):
        _require_free(folder, Job("study", plan.base))
        mpi.on_root(lambda: write_text(folder / "run.toml", text))
        results = Runs(folder / "runs").results(plan.runs)
        attributes = run_attributes(text, plan.base.network.seed, clock.total)
        mpi.on_root(lambda: _finish_study(plan, results, folder, attributes))


def _finish_study(plan: Any, results: list[Any], folder: Path, attributes: dict[str, Any]) -> None:
    import xarray as xr

    from uf_diffusion.reports.studies import draw_study, study_table
    from uf_diffusion.results.netcdf import write_result

    data = plan.measured(results).assign_attrs(attributes)
    write_result(folder / "study.nc", xr.DataTree(data))
    save_figure(draw_study(data), folder)
    print(study_table(data))
    print(f"\nfigure    {folder / 'figure.png'}\nresult    {folder / 'study.nc'}")
    tell_failures(plan.failures(results), "the study lacks them")


def tell_failures(failures: Sequence[str], loss: str) -> None:
    """Print what failed, and fail.

    Raises:
        RunFailure: where there is any.
    """
    if failures:
        print("\n".join(f"failed    {sentence}" for sentence in failures))
        raise RunFailure(f"{len(failures)} run(s) failed; {loss}.")


def report(folder: Path) -> None:
    """Write a run's report."""

    def written() -> None:
        from uf_diffusion.reports.html import write_report

        print(f"report    {write_report(load_result(folder), folder)}")

    mpi.on_root(written)


def info() -> None:
    """Print versions, MPI and the solvers found."""
    rows = {
        "uf_diffusion": __version__,
        "Python": platform.python_version(),
        "numpy": version_of("numpy"),
        "scipy": version_of("scipy"),
        "DOLFINx": version_of("dolfinx-solver-real", "fenics-dolfinx"),
        "cores": str(os.cpu_count()),
        "ranks": str(mpi.size()),
    }
    try:
        from uf_diffusion.diffusion import describe
    except InputError as error:
        rows["PDE side"] = str(error)
    else:
        rows |= describe()
    rows["mpiexec"] = shutil.which("mpiexec") or str(Path(sys.executable).parent / "mpiexec")
    rows["presets"] = ", ".join(presets())
    if mpi.rank() == 0:
        for name, value in rows.items():
            print(f"{name:13} {value}")
