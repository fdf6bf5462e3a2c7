"""The command line: ``uf-diffusion compare | solve | train | spectrum | study | resume | ...``.

Everything after ``--`` goes to PETSc; the options of the linear solver have the prefix ``uf_``.
"""

from __future__ import annotations

import os
import platform
import shutil
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import cyclopts
import xarray as xr
from matplotlib.figure import Figure

from paper_figures import GROUPS, Scale, chosen, regenerate
from uf_diffusion import parallel
from uf_diffusion.comparison import compare as jobs
from uf_diffusion.comparison.budget import compare_with_budget
from uf_diffusion.comparison.runs import Runs
from uf_diffusion.comparison.studies import STUDIES, study_named
from uf_diffusion.comparison.sweeps import numbers
from uf_diffusion.config import Config, load_config, presets
from uf_diffusion.errors import InputError, RunFailure
from uf_diffusion.meshfiles import read_mesh, require_usable, write_mesh
from uf_diffusion.plots import draw, save
from uf_diffusion.problem.grids import Icosphere, grid_on
from uf_diffusion.problem.manifolds import Sphere
from uf_diffusion.problem.triangulations import inspect_mesh
from uf_diffusion.summary import mesh_table, print_summary
from uf_diffusion.store import (
    open_folder,
    run_attributes,
    version_of,
    write_result,
    write_text,
)
from uf_diffusion.study_report import draw_study, study_table
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
    _run(config, set_, out, compare_with_budget if budget else jobs.compare)


@app.command
def solve(config: Source = "relu-circle", /, *, set_: Set = [], out: Out = None) -> None:
    """Solve the PDE alone."""
    _run(config, set_, out, lambda c, folder: jobs.solve(c, folder))


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
    _run(config, set_, out, lambda c, folder: jobs.spectrum(c, count))


@app.command
def train(config: Source = "relu-circle", /, *, set_: Set = [], out: Out = None) -> None:
    """Train the network alone."""
    _run(config, set_, out, lambda c, folder: jobs.train(c, folder))


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
    clock = time.perf_counter()
    plan = study_named(name).plan(config, set_, numbers(values), seeds)
    folder = open_folder(out or Path("runs") / f"study-{name}", plan.base)
    results = Runs(folder / "runs").results(plan.runs)

    def write() -> None:
        attributes = run_attributes(plan.base, time.perf_counter() - clock)
        data = plan.measured(results).assign_attrs(attributes)
        write_result(folder / "study.nc", xr.DataTree(data))
        _save_figure(draw_study(data), folder)
        print(study_table(data))
        print(f"\nfigure    {folder / 'figure.png'}\nresult    {folder / 'study.nc'}")
        if failures := plan.failures(results):
            print("\n".join(f"failed    {sentence}" for sentence in failures))
            raise RunFailure(f"{len(failures)} run(s) failed; the study lacks them.")

    parallel.on_root(write)


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
    report = regenerate(chosen(names), scale, folder)

    def tell() -> None:
        if report.agreement:
            write_text(folder / "agreement.txt", report.agreement + "\n")
            print(f"{report.agreement}\n")
        for name, file in report.files.items():
            print(f"{name:26}{report.seconds[name]:8.0f} s  {file}")
        print(f"{'all runs, on one core':26}{report.total:8.0f} s")
        if report.failures:
            print("\n".join(f"failed    {sentence}" for sentence in report.failures))
            raise RunFailure(f"{len(report.failures)} run(s) failed; their figures are missing.")

    parallel.on_root(tell)


@app.command
def resume(
    run_dir: Annotated[Path, cyclopts.Parameter(help="An interrupted run's folder.")], /
) -> None:
    """Go on with an interrupted run, on any number of ranks."""
    job = jobs.interrupted(run_dir)
    _finish(job(load_config(run_dir / "run.toml"), run_dir), run_dir)


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


def _run(
    source: str, overrides: list[str], out: Path | None, job: Callable[[Config, Path], xr.DataTree]
) -> None:
    """Load, check, compute; then store, draw, summarise."""
    config = load_config(source, overrides)
    folder = open_folder(out or Path("runs") / config.name, config)
    parallel.on_root(lambda: (folder / jobs.CHECKPOINT).unlink(missing_ok=True))
    _finish(job(config, folder), folder)


def _finish(result: xr.DataTree, folder: Path) -> None:
    def write() -> None:
        write_result(folder / "result.nc", result)
        _save_figure(draw(result), folder)
        (folder / jobs.CHECKPOINT).unlink(missing_ok=True)
        print_summary(result, folder)

    parallel.on_root(write)


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
        app(argv[:end], exit_on_error=False, print_error=False)
    except (InputError, RunFailure, cyclopts.CycloptsError) as error:  # the same on all ranks
        _fail(" ".join(str(error).split()), 1)
    except KeyboardInterrupt as interrupt:
        _fail(str(interrupt) or "Interrupted before the end; this run left no result.", 130)
    except MemoryError as error:
        _fail(f"The run does not fit into memory: {error}.", 1)
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        _fail(f"{error.strerror or error}{where}.", 1)
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
