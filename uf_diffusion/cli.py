"""The command line: ``uf-diffusion compare | solve | train | spectrum | study | resume | ...``.

Everything after ``--`` goes to PETSc; the options of the linear solver have the prefix ``uf_``.
"""

from __future__ import annotations

import os
import platform
import shutil
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import cyclopts
import xarray as xr
from matplotlib.figure import Figure

from paper_figures import GROUPS, Report, Scale, chosen, regenerate
from uf_diffusion import parallel
from uf_diffusion.checkpoints import CHECKPOINT, Job, has_begun, interrupted, work_of
from uf_diffusion.comparison import compare as jobs
from uf_diffusion.comparison.budget import compare_with_budget
from uf_diffusion.comparison.findings import note
from uf_diffusion.comparison.runs import Failure, Runs
from uf_diffusion.comparison.studies import STUDIES, study_named
from uf_diffusion.comparison.sweeps import Plan, numbers
from uf_diffusion.config import Config, load_config, presets
from uf_diffusion.errors import InputError, Interrupted, RunFailure, Unwritable, told_at_once
from uf_diffusion.meshfiles import read_mesh, require_usable, write_mesh
from uf_diffusion.plots import draw, save
from uf_diffusion.problem.grids import Icosphere, grid_on
from uf_diffusion.problem.manifolds import Sphere
from uf_diffusion.problem.triangulations import inspect_mesh
from uf_diffusion.store import (
    read_result,
    run_attributes,
    run_folder,
    version_of,
    write_result,
    write_text,
)
from uf_diffusion.study_report import draw_study, study_table
from uf_diffusion.summary import mesh_table, print_summary
from uf_diffusion.timings import Timings
from uf_diffusion.version import __version__

__all__ = ["app", "main"]

app = cyclopts.App(
    name="uf-diffusion",
    help="Ultra-fast diffusion and variable-projection training, solved and compared.",
    help_epilogue=f"Presets: {', '.join(presets())}.",
    version=__version__,
    help_format="plaintext",
    suppress_keyboard_interrupt=False,
)

mesh = cyclopts.App(name="mesh", help="Check, make or convert meshes of the sphere.")
app.command(mesh)

Source = Annotated[str, cyclopts.Parameter(help="A preset or a TOML file.")]
Set = Annotated[
    list[str],
    cyclopts.Parameter(
        name="--set", negative="", help="section.key=value, the value in TOML syntax; repeatable."
    ),
]
Out = Annotated[
    Path | None, cyclopts.Parameter(name="--out", help="The run's folder; default runs/<name>.")
]


@app.command
def compare(
    config: Source = "relu-circle",
    /,
    *,
    budget: Annotated[
        bool, cyclopts.Parameter(negative="", help="Also say which approximation is to blame.")
    ] = False,
    set_: Set = [],
    out: Out = None,
) -> None:
    """Solve the PDE, train the network, and measure how far they are apart."""
    _run("compare --budget" if budget else "compare", config, set_, out)


@app.command
def solve(config: Source = "relu-circle", /, *, set_: Set = [], out: Out = None) -> None:
    """Solve the PDE alone."""
    _run("solve", config, set_, out)


@app.command
def spectrum(
    config: Source = "relu-circle",
    /,
    *,
    count: Annotated[int, cyclopts.Parameter(help="How many eigenvalues.")] = 6,
    set_: Set = [],
    out: Out = None,
) -> None:
    """Print the smallest non-zero eigenvalues of the weighted Laplacian; they set the last rate."""
    chosen_config = load_config(config, set_)
    folder = out or Path("runs") / f"spectrum-{chosen_config.name}"
    with run_folder(folder):
        _require_free(folder, Job("spectrum", chosen_config))
        result = jobs.spectrum(chosen_config, count)
        parallel.on_root(lambda: note(result))
        parallel.on_root(lambda: _publish(result, folder))


@app.command
def train(config: Source = "relu-circle", /, *, set_: Set = [], out: Out = None) -> None:
    """Train the network alone."""
    _run("train", config, set_, out)


@app.command
def study(
    name: Annotated[str, cyclopts.Parameter(help=f"One of {', '.join(STUDIES)}.")],
    config: Annotated[
        str, cyclopts.Parameter(help="A preset or a TOML file instead of the study's own problem.")
    ] = "",
    /,
    *,
    values: Annotated[str, cyclopts.Parameter(help="What to sweep over, such as 32,64,128.")] = "",
    seeds: Annotated[
        int | None, cyclopts.Parameter(help="How many runs of each value that is random.")
    ] = None,
    set_: Set = [],
    out: Out = None,
) -> None:
    """Measure an order of convergence or a rate. An interrupted study goes on when repeated."""
    clock = Timings()
    plan = study_named(name).plan(config, set_, numbers(values), seeds)
    folder = out or Path("runs") / f"study-{name}"
    with run_folder(folder):
        _require_free(folder, Job("study", plan.base))
        parallel.on_root(lambda: write_text(folder / "run.toml", plan.base.to_toml()))
        results = Runs(folder / "runs").results(plan.runs)
        attributes = run_attributes(plan.base, clock.total)
        parallel.on_root(lambda: _finish_study(plan, results, folder, attributes))


@app.command
def figures(
    *names: Annotated[
        str, cyclopts.Parameter(help=f"Of {', '.join(GROUPS)}, or of a single figure; all if none.")
    ],
    quick: Annotated[
        bool, cyclopts.Parameter(negative="", help="The first 1000 steps, small networks.")
    ] = False,
    widest: Annotated[
        int, cyclopts.Parameter(help="Leave out wider networks: those on the torus take longest.")
    ] = 1024,
    seeds: Annotated[
        int | None,
        cyclopts.Parameter(help="Runs of each network; 1 with --quick, else the paper's 6."),
    ] = None,
    out: Annotated[
        Path | None, cyclopts.Parameter(name="--out", help="Default runs/figures or runs/quick.")
    ] = None,
) -> None:
    """Regenerate the paper's figures, and ours. When interrupted, repeat it: it goes on."""
    scale = Scale((1 if quick else 6) if seeds is None else seeds, quick, widest)
    folder = out or Path("runs") / ("quick" if quick else "figures")
    wanted = chosen(names)
    with run_folder(folder, mark="runs"):
        drawn = regenerate(wanted, scale, folder)
        parallel.on_root(lambda: _finish_figures(drawn, folder))


@app.command
def report(run_dir: Annotated[Path, cyclopts.Parameter(help="A run's folder.")], /) -> None:
    """Write a run's report.html: one file with everything, to be looked at offline."""
    parallel.on_root(lambda: print(f"report    {_write_report(_result_in(run_dir), run_dir)}"))


@app.command
def resume(
    run_dir: Annotated[Path, cyclopts.Parameter(help="An interrupted run's folder.")], /
) -> None:
    """Go on with an interrupted run, on any number of ranks."""
    name, config = interrupted(run_dir)
    if name not in JOBS:
        raise InputError(f"The checkpoint in '{run_dir}' is of an unknown job, '{name}'.")
    _complete(name, config, run_dir)


@app.command
def info() -> None:
    """Print versions, MPI and the solvers found."""
    rows = {
        "uf_diffusion": __version__,
        "Python": platform.python_version(),
        "numpy": version_of("numpy"),
        "scipy": version_of("scipy"),
        "DOLFINx": version_of("dolfinx-solver-real", "fenics-dolfinx"),
        "cores": str(os.cpu_count()),
        "ranks": str(parallel.size()),
    }
    try:
        from uf_diffusion.diffusion import describe
    except InputError as error:
        rows["PDE side"] = str(error)
    else:
        rows |= describe()
    rows["mpiexec"] = shutil.which("mpiexec") or str(Path(sys.executable).parent / "mpiexec")
    rows["presets"] = ", ".join(presets())
    if parallel.rank() == 0:
        for name, value in rows.items():
            print(f"{name:13} {value}")


@mesh.command
def check(file: Path, /) -> None:
    """Print what a mesh file is like and whether the PDE can be solved on it."""
    report = inspect_mesh(read_mesh(file))
    if parallel.rank() == 0:
        print(mesh_table(report), flush=True)
    require_usable(file, report)


@mesh.command
def make(file: Path, /, *, cells: int = 4096) -> None:
    """Write the built-in mesh of the sphere, an icosphere of at least so many triangles."""
    if cells < 1:
        raise InputError(f"--cells must be positive, not {cells}.")
    grid = grid_on(Sphere(2), cells)
    assert isinstance(grid, Icosphere)
    write_mesh(file, grid.surface)


@mesh.command
def convert(source: Path, target: Path, /) -> None:
    """Write the triangles of one mesh file to another; the suffix says in which format."""
    write_mesh(target, read_mesh(source))


# a checkpoint has the name
JOBS: dict[str, Callable[[Config, Path], xr.DataTree]] = {
    "solve": jobs.solve,
    "train": jobs.train,
    "compare": jobs.compare,
    "compare --budget": compare_with_budget,
}


def _run(job: str, source: str, overrides: list[str], out: Path | None) -> None:
    config = load_config(source, overrides)
    _complete(job, config, out or Path("runs") / config.name)


def _complete(job: str, config: Config, folder: Path) -> None:
    """Compute; then store, draw, summarise. Whatever stops it says how to go on."""
    with run_folder(folder):
        _require_free(folder, Job(job, config))
        try:
            result = JOBS[job](config, folder)
            parallel.on_root(lambda: _publish(result, folder))
        except (KeyboardInterrupt, Unwritable) as stop:
            if not has_begun(folder, Job(job, config)):
                raise
            said = str(stop) or "Interrupted."
            raise type(stop)(f"{said} Go on with: uf-diffusion resume {folder}") from None


def _require_free(folder: Path, job: Job) -> None:
    """Before any work: nobody else's is in the folder."""
    parallel.on_root(lambda: work_of(folder, job))


def _publish(result: xr.DataTree, folder: Path) -> None:
    """All files of a run that is complete; those of another run go."""
    write_text(folder / "run.toml", result.attrs["config"])
    write_result(folder / "result.nc", result)
    _save_figure(draw(result), folder)
    if "diffusion" not in result:
        shutil.rmtree(folder / "fields.bp", ignore_errors=True)
    if "comparison" in result:
        _write_report(result, folder)
    else:
        (folder / "report.html").unlink(missing_ok=True)
    (folder / CHECKPOINT).unlink(missing_ok=True)
    print_summary(result, folder)


def _result_in(folder: Path) -> xr.DataTree:
    path = folder / "result.nc"
    if not path.exists():
        if (folder / CHECKPOINT).exists():
            raise InputError(
                f"The run in '{folder}' is not complete; go on with: uf-diffusion resume {folder}"
            )
        if (folder / "study.nc").exists():
            raise InputError(f"'{folder}' holds a study, which has no report but a figure.")
    return read_result(path)


def _write_report(result: xr.DataTree, folder: Path) -> Path:
    from uf_diffusion.report import write_report  # plotly takes long to load

    return write_report(result, folder)


def _finish_study(
    plan: Plan,
    results: list[xr.DataTree | Failure],
    folder: Path,
    attributes: dict[str, Any],
) -> None:
    data = plan.measured(results).assign_attrs(attributes)
    write_result(folder / "study.nc", xr.DataTree(data))
    _save_figure(draw_study(data), folder)
    print(study_table(data))
    print(f"\nfigure    {folder / 'figure.png'}\nresult    {folder / 'study.nc'}")
    _tell_failures(plan.failures(results), "the study lacks them")


def _finish_figures(drawn: Report, folder: Path) -> None:
    if drawn.agreement:
        write_text(folder / "agreement.txt", drawn.agreement + "\n")
        print(f"{drawn.agreement}\n")
    for name, file in drawn.files.items():
        print(f"{name:26}{drawn.seconds[name]:8.0f} s  {file}")
    print(f"{'all runs, on one core':26}{drawn.total:8.0f} s")
    _tell_failures(drawn.failures, "their figures are missing")


def _tell_failures(failures: list[str], loss: str) -> None:
    if failures:
        print("\n".join(f"failed    {sentence}" for sentence in failures))
        raise RunFailure(f"{len(failures)} run(s) failed; {loss}.")


def _save_figure(figure: Figure, folder: Path) -> None:
    for suffix in ("pdf", "png"):
        save(figure, folder / f"figure.{suffix}")


def main(argv: list[str] | None = None) -> None:
    """Entry point; exits with 0, with 1 after one sentence about a mistake, or 130 on Ctrl-C."""
    argv = sys.argv[1:] if argv is None else argv
    end = argv.index("--") if "--" in argv else len(argv)
    try:
        if petsc := argv[end + 1 :]:
            _petsc_options(petsc)
        with told_at_once():
            app(argv[:end], exit_on_error=False, print_error=False)
    except (InputError, RunFailure, cyclopts.CycloptsError) as error:  # the same on all ranks
        _fail(" ".join(str(error).split()), 1)
    except Interrupted as interrupt:  # the same on all ranks
        _fail(str(interrupt), 130)
    except KeyboardInterrupt as interrupt:
        _fail_alone(str(interrupt) or "Interrupted before the work began.", 130)
    except MemoryError as error:
        _fail_alone(f"The run does not fit into memory: {error or 'too little is free'}.", 1)
    except BrokenPipeError:  # nobody reads any more, as in `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1) from None
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        _fail_alone(f"{error.strerror or error}{where}.", 1)
    except Exception:
        traceback.print_exc()
        parallel.abort_all(1)
        raise SystemExit(1) from None


def _petsc_options(options: list[str]) -> None:
    """Hand options to PETSc; the rest of the run reads them by their prefix."""
    from uf_diffusion.diffusion import insert_options

    insert_options(options)


def _fail(message: str, code: int) -> None:
    if parallel.rank() == 0:
        print(f"uf-diffusion: {message}", file=sys.stderr)
    raise SystemExit(code)


def _fail_alone(message: str, code: int) -> None:
    """Of this rank; the others may be waiting for it, and end with it."""
    print(f"uf-diffusion: {message}", file=sys.stderr)
    parallel.abort_all(code)
    raise SystemExit(code)
