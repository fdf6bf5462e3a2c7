"""The work of the commands of the command line: read configurations, run jobs, print lines."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import webbrowser
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from uf_diffusion.core import mpi
from uf_diffusion.core.errors import InputError, RunFailure
from uf_diffusion.core.files import write_text
from uf_diffusion.core.version import __version__
from uf_diffusion.library.keeping import remove_others, require_own_toml, settled, to_continue
from uf_diffusion.library.outputs import save_figure
from uf_diffusion.library.running import JOBS, complete, only_work_of
from uf_diffusion.library.saving import load_result
from uf_diffusion.reports.terminal import Verbosity
from uf_diffusion.reports.text import print_summary, provenance_lines, time_line
from uf_diffusion.results.provenance import run_attributes, version_of
from uf_diffusion.results.timings import Timings
from uf_diffusion.runs import jobs, presets
from uf_diffusion.runs.config import Config
from uf_diffusion.runs.fingerprint import code
from uf_diffusion.runs.folders import run_folder
from uf_diffusion.runs.limit import settled_limit, why
from uf_diffusion.runs.reading import load_config
from uf_diffusion.runs.result import Result
from uf_diffusion.runs.setup import Setup
from uf_diffusion.runs.stored import Job

__all__ = ["export", "info", "keys", "open_report", "report", "resume", "run", "spectrum",
           "study", "tell_failures"]  # fmt: skip


def run(
    job: str,
    source: str,
    overrides: Sequence[str],
    out: Path | None,
    verbosity: Verbosity,
    force: bool,
) -> None:
    """Run a job of a preset or a TOML file, and write its files into a folder.

    Args:
        job: a name in `JOBS`.
        source: a preset or a TOML file.
        overrides: strings "section.key=value".
        out: the run's folder; None chooses runs/<name>.
        verbosity: how much to print.
        force: whether to discard the checkpoint or the result of another run in the folder.

    Raises:
        InputError, RunFailure, Interrupted: as `complete` and the job.
    """
    config = _settled(source, overrides, verbosity)
    _run(Job(job, config), out or Path("runs") / config.name, verbosity, force)


def _settled(source: str, overrides: Sequence[str], verbosity: Verbosity) -> Config:
    """A configuration whose limit is chosen and said, if it is "auto"."""
    asked = Setup(load_config(source, overrides))
    setup = settled_limit(asked)
    if setup is not asked and not verbosity.quiet:
        mpi.on_root(lambda: print(f"limit     {why(asked)}", flush=True))
    return setup.config


def resume(folder: Path, verbosity: Verbosity, trust: bool) -> None:
    """Continue the run in a folder, to the times that its run.toml asks for now.

    Args:
        folder: the run's folder.
        verbosity: how much to print.
        trust: whether code that the checkpoint names may be imported.

    Raises:
        InputError: if there is nothing to go on with, or run.toml has other changes, and as `run`.
    """
    job = mpi.from_root(lambda: to_continue(folder, trust))
    if job is None:
        mpi.on_root(
            lambda: None if verbosity.quiet else print(f"The run in '{folder}' is complete.")
        )
        return
    if job.name not in JOBS:
        raise InputError(f"The checkpoint in '{folder}' is of an unknown job, '{job.name}'.")
    _run(job, folder, verbosity)


def _run(job: Job, folder: Path, verbosity: Verbosity, force: bool = False) -> None:
    with verbosity.applied():
        work = partial(JOBS[job.name], folder=folder)
        complete(job, work, folder, force, partial(_summarise, folder, verbosity))


def _summarise(folder: Path, verbosity: Verbosity, result: Result) -> None:
    if not verbosity.quiet:
        print_summary(result, folder, verbosity.verbose)


def spectrum(
    source: str,
    overrides: Sequence[str],
    count: int,
    out: Path | None,
    verbosity: Verbosity,
    force: bool,
) -> None:
    """Compute ``count`` eigenvalues, with the other arguments of `run`.

    The default folder is runs/spectrum-<name>. Raises as `complete` and `jobs.spectrum`.
    """
    config = _settled(source, overrides, verbosity)
    folder = out or Path("runs") / f"spectrum-{config.name}"
    with verbosity.applied():
        work = partial(jobs.spectrum, count=count)
        summarise = partial(_summarise, folder, verbosity)
        complete(Job(f"spectrum --count {count}", config), work, folder, force, summarise)


def study(
    name: str, source: str, overrides: Sequence[str], values: str, seeds: int | None,
    out: Path | None, verbosity: Verbosity, force: bool,
) -> None:  # fmt: skip
    """Compute the runs of a study that are missing, and write its table and figure.

    Args:
        name: the name of the study.
        source: a preset or a TOML file; "" chooses the study's own problem.
        overrides, verbosity, force: as in `run`.
        values: values of the swept parameter, such as "32,64"; "" chooses the study's own.
        seeds: number of runs for each value; None chooses the study's own number.
        out: the folder; None chooses runs/study-<name>.

    Raises:
        InputError: for a mistake in the arguments.
        RunFailure: if some of the runs failed.
    """
    from uf_diffusion.studies.cache import Runs
    from uf_diffusion.studies.catalogue import possible_plan
    from uf_diffusion.studies.plans import numbers

    clock = Timings()
    plan = possible_plan(name, source, overrides, numbers(values), seeds)
    folder, text = out or Path("runs") / f"study-{name}", plan.base.to_toml()
    swept = ",".join(f"{value:g}" for value in plan.values)
    drawn = max(series.seeds for series in plan.series)
    words = ["study", name, *[source] * bool(source), "--values", swept, "--seeds", str(drawn)]
    job = Job(" ".join(words), plan.base)
    with verbosity.applied(), run_folder(folder):
        if not force:
            mpi.on_root(lambda: settled(folder, job))
        with only_work_of(folder, job, force):
            mpi.on_root(lambda: write_text(folder / "run.toml", text))
        results = Runs(folder / "runs").results(plan.runs)
        attributes = run_attributes(text, plan.base.network.seed, clock.total)
        attributes |= {"command": job.name, "code": code()}
        mpi.on_root(lambda: _finish_study(plan, results, folder, attributes, verbosity))


def _finish_study(
    plan: Any, results: list[Any], folder: Path, attributes: dict[str, Any], verbosity: Verbosity
) -> None:
    import xarray as xr

    from uf_diffusion.reports.studies import draw_study, study_table
    from uf_diffusion.results.netcdf import write_result

    data = plan.measured(results).assign_attrs(attributes)
    write_result(folder / "study.nc", xr.DataTree(data))
    save_figure(draw_study(data), folder)
    remove_others(folder, Job(attributes["command"], plan.base), ())
    if not verbosity.quiet:
        print(f"{study_table(data)}\n")
        if verbosity.verbose:
            print("\n".join(provenance_lines(attributes)))
        print(time_line(attributes["ranks"]))
        print(f"figure    {folder / 'figure.png'}\nresult    {folder / 'study.nc'}")
    tell_failures(plan.failures(results), "the study lacks them", verbosity)


def tell_failures(failures: Sequence[str], loss: str, verbosity: Verbosity) -> None:
    """Print the failures of runs, and raise an error if there are any.

    Args:
        failures: sentences on the runs that failed.
        loss: the consequence, which ends the sentence of the error.
        verbosity: if it is quiet, the failures are printed on stderr.

    Raises:
        RunFailure: if there is any failure.
    """
    if failures:
        lines = "\n".join(f"failed    {sentence}" for sentence in failures)
        print(lines, file=sys.stderr if verbosity.quiet else sys.stdout)
        raise RunFailure(f"Some runs failed; {loss}.")


def report(folder: Path, trust: bool) -> None:
    """Write the report of a run, and print its path.

    With ``trust``, code that the result names may be imported.

    Raises:
        InputError: as `load_result`.
    """
    mpi.on_root(lambda: print(f"report    {_written_report(folder, trust)}"))


def _written_report(folder: Path, trust: bool) -> Path:
    from uf_diffusion.reports.html import write_report

    return write_report(load_result(folder, trust), folder)


def open_report(folder: Path, trust: bool) -> None:
    """Show the report of a run in a browser; write it first if it is missing or old.

    Raises:
        InputError: as `load_result`.
    """

    def shown() -> None:
        require_own_toml(folder, trust)
        path, result = folder / "report.html", folder / "result.nc"
        if not path.exists() or (result.exists() and _older(path, result)):
            path = _written_report(folder, trust)
        path = path.resolve()
        if webbrowser.open(path.as_uri()):
            print(f"report    {path}")
        else:
            print(f"There is no browser here that could be started; the report is '{path}'.")

    mpi.on_root(shown)


def _older(path: Path, than: Path) -> bool:
    return path.stat().st_mtime < than.stat().st_mtime


def export(folder: Path, file: Path, time: float | None, network: bool, trust: bool) -> None:
    """Write the fields or the neurons of a run to a file that other programs can read.

    With ``trust``, code that the result names may be imported.

    Raises:
        InputError, Unwritable: as `load_result` and `export_result`.
    """

    def written() -> None:
        from uf_diffusion.library.export import export_result, require_known

        require_known(file)
        for line in export_result(load_result(folder, trust), file, time, network):
            print(line)

    mpi.on_root(written)


def keys() -> None:
    """Print every key of a configuration with its default, unit and meaning."""
    from uf_diffusion.reports.keys import key_table

    mpi.on_root(lambda: print(key_table()))


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
    beside = Path(sys.executable).parent / "mpiexec"
    rows["mpiexec"] = shutil.which("mpiexec") or (str(beside) if beside.exists() else "none")
    rows["presets"] = ", ".join(presets())
    if mpi.rank() == 0:
        for name, value in rows.items():
            print(f"{name:13} {value}")
