"""The command line: ``uf-diffusion compare | solve | train | spectrum | study | deep | ...``.

Everything after ``--`` is passed to PETSc; the options of the linear solver have the prefix
``uf_``. This module defines the commands and their options. Their work is done in
`uf_diffusion.library.commands`, which is imported only when a command runs, so that ``--help`` is
fast.
"""

from __future__ import annotations

import os
import sys
import traceback
from importlib.metadata import entry_points
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated

import cyclopts

from uf_diffusion.core.environment import require_mpi4py
from uf_diffusion.core.errors import InputError, Interrupted, RunFailure
from uf_diffusion.core.paths import require_text
from uf_diffusion.core.version import __version__
from uf_diffusion.reports.terminal import Verbosity, path_argument, warnings_at_once
from uf_diffusion.runs import presets
from uf_diffusion.studies import NAMES as STUDIES

__all__ = ["app", "main"]

PLUGINS = "uf_diffusion.commands"  # entry points by which other packages add commands

app = cyclopts.App(
    name="uf-diffusion",
    help="Ultra-fast diffusion and variable-projection training, solved and compared.",
    help_epilogue=f"Presets: {', '.join(presets())}.",
    version=__version__,
    help_format="plaintext",
    suppress_keyboard_interrupt=False,
)
app.register_install_completion_command()

mesh = cyclopts.App(name="mesh", help="Check, make or convert meshes of the sphere.")
app.command(mesh)
app.command(  # imported when it runs, as it needs JAX
    "uf_diffusion.deep.command_line:deep", name="deep",
    help="Train deep networks by VarPro, SGD and Shampoo with several batch sizes.",
)  # fmt: skip

Source = Annotated[str, cyclopts.Parameter(help="A preset or a TOML file.")]
Set = Annotated[
    list[str],
    cyclopts.Parameter(
        name="--set", negative="", help="section.key=value, the value in TOML syntax; repeatable."
    ),
]
Out = Annotated[
    Path | None,
    cyclopts.Parameter(
        name="--out", converter=path_argument, help="The run's folder; default runs/<name>."
    ),
]
Force = Annotated[
    bool,
    cyclopts.Parameter(
        negative="",
        show_default=False,
        help="Replace what something else has left in the folder: results, or an interrupted run.",
    ),
]
Verbose = Annotated[Verbosity, cyclopts.Parameter(name="*", negative="", show_default=False)]
Folder = Annotated[Path, cyclopts.Parameter(converter=path_argument, help="A run's folder.")]
File = Annotated[Path, cyclopts.Parameter(converter=path_argument)]
Trust = Annotated[
    bool,
    cyclopts.Parameter(
        negative="",
        show_default=False,
        help="Import the code that the folder's files name as module:name; else it is not run.",
    ),
]
USUAL = Verbosity()


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
    force: Force = False,
    verbosity: Verbose = USUAL,
) -> None:
    """Solve the PDE, train the network, and measure how far they are apart."""
    from uf_diffusion.library import commands

    commands.run("compare --budget" if budget else "compare", config, set_, out, verbosity, force)


@app.command
def solve(
    config: Source = "relu-circle",
    /,
    *,
    set_: Set = [],
    out: Out = None,
    force: Force = False,
    verbosity: Verbose = USUAL,
) -> None:
    """Solve the PDE without training a network."""
    from uf_diffusion.library import commands

    commands.run("solve", config, set_, out, verbosity, force)


@app.command
def spectrum(
    config: Source = "relu-circle",
    /,
    *,
    count: Annotated[int, cyclopts.Parameter(help="How many eigenvalues.")] = 6,
    set_: Set = [],
    out: Out = None,
    force: Force = False,
    verbosity: Verbose = USUAL,
) -> None:
    """Print eigenvalues of the weighted Laplacian, which set the last rate, and of the kernel."""
    from uf_diffusion.library import commands

    commands.spectrum(config, set_, count, out, verbosity, force)


@app.command
def train(
    config: Source = "relu-circle",
    /,
    *,
    set_: Set = [],
    out: Out = None,
    force: Force = False,
    verbosity: Verbose = USUAL,
) -> None:
    """Train the network without solving the PDE."""
    from uf_diffusion.library import commands

    commands.run("train", config, set_, out, verbosity, force)


@app.command
def study(
    name: Annotated[
        str,
        cyclopts.Parameter(
            help=f"One of {', '.join(STUDIES)}; with --over a preset or a TOML file instead."
        ),
    ] = "",
    config: Annotated[
        str, cyclopts.Parameter(help="A preset or a TOML file instead of the study's own problem.")
    ] = "",
    /,
    *,
    over: Annotated[
        list[str],
        cyclopts.Parameter(negative="", help="section.key=v1,v2,... to sweep over; repeatable."),
    ] = [],
    command: Annotated[
        str, cyclopts.Parameter(help="With --over: compare (the default), solve or train.")
    ] = "",
    values: Annotated[str, cyclopts.Parameter(help="What to sweep over, such as 32,64,128.")] = "",
    seeds: Annotated[
        int | None, cyclopts.Parameter(help="How many runs of each value that is random.")
    ] = None,
    set_: Set = [],
    out: Out = None,
    force: Force = False,
    verbosity: Verbose = USUAL,
) -> None:
    """Measure an order of convergence, or sweep over any keys. Repeat the command to continue."""
    from uf_diffusion.library import sweeping

    sweeping.study_over(name, config, over, command, set_, values, seeds, out, verbosity, force)


@app.command
def report(run_dir: Folder, /, *, trust: Trust = False) -> None:
    """Write the report of a run: one HTML file, report.html, that works offline."""
    from uf_diffusion.library import commands

    commands.report(run_dir, trust)


@app.command(name="open")
def open_(run_dir: Folder, /, *, trust: Trust = False) -> None:
    """Show the report of a run in a browser, after writing it if it is missing."""
    from uf_diffusion.library import commands

    commands.open_report(run_dir, trust)


@app.command
def export(
    run_dir: Annotated[
        Path, cyclopts.Parameter(converter=path_argument, help="A run's folder, or its result.nc.")
    ],
    file: Annotated[
        Path,
        cyclopts.Parameter(converter=path_argument, help="Ends in .xdmf, .vtu, .csv or .npz."),
    ],
    /,
    *,
    time: Annotated[
        float | None,
        cyclopts.Parameter(help="Only the snapshot at this time; .vtu: default the last."),
    ] = None,
    network: Annotated[
        bool, cyclopts.Parameter(negative="", help="The neurons instead of the diffusion's fields.")
    ] = False,
    trust: Trust = False,
) -> None:
    """Write densities or neurons to a file: .xdmf or .vtu for ParaView, .csv, or .npz for numpy."""
    from uf_diffusion.library import commands

    commands.export(run_dir, file, time, network, trust)


@app.command
def resume(
    run_dir: Annotated[
        Path,
        cyclopts.Parameter(
            converter=path_argument, help="An interrupted or complete run's folder."
        ),
    ],
    /,
    *,
    trust: Trust = False,
    verbosity: Verbose = USUAL,
) -> None:
    """Continue an interrupted run, or a complete one to the later times of its run.toml."""
    from uf_diffusion.library import commands

    commands.resume(run_dir, verbosity, trust)


@app.command
def keys() -> None:
    """List every key of a configuration with its default, unit and meaning."""
    from uf_diffusion.library import commands

    commands.keys()


@app.command
def info() -> None:
    """Print the versions of the packages and solvers found, and the number of MPI ranks."""
    from uf_diffusion.library import commands

    commands.info()


@mesh.command
def check(file: File, /) -> None:
    """Print the properties of a mesh file and whether the PDE can be solved on it."""
    from uf_diffusion.library import mesh_commands

    mesh_commands.check(file)


@mesh.command
def make(file: File, /, *, cells: int = 4096) -> None:
    """Write the built-in mesh of the sphere, an icosphere with at least --cells triangles."""
    from uf_diffusion.library import mesh_commands

    mesh_commands.make(file, cells)


@mesh.command
def convert(
    source: File,
    target: File,
    /,
    *,
    project: Annotated[
        bool, cyclopts.Parameter(negative="", help="Move the nodes onto the unit sphere.")
    ] = False,
    merge: Annotated[
        float | None, cyclopts.Parameter(help="Make nodes one that are closer than this.")
    ] = None,
    triangulate: Annotated[
        bool, cyclopts.Parameter(negative="", help="Split polygons into triangles.")
    ] = False,
) -> None:
    """Write the triangles of one mesh file to another, whose suffix chooses the format."""
    from uf_diffusion.library import mesh_commands

    mesh_commands.convert(source, target, project, merge, triangulate)


def _add_plugins() -> None:
    """Add the commands of other installed packages; each is imported when it runs."""
    for found in entry_points(group=PLUGINS):
        app.command(
            found.value,
            name=found.name,
            help=f"A command of the package {found.module.partition('.')[0]}.",
        )


_add_plugins()


def main(argv: list[str] | None = None) -> None:
    """Run the command line ``argv``, by default that of this process.

    Raises:
        SystemExit: with code 1 after a mistake or a failure, or 130 on Ctrl-C.
    """
    argv = sys.argv[1:] if argv is None else argv
    end = argv.index("--") if "--" in argv else len(argv)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # letters that the encoding lacks are no error
            stream.reconfigure(errors="backslashreplace")
    try:
        for word in argv:
            require_text(word)
        _require_working_folder()
        require_mpi4py()
        if petsc := argv[end + 1 :]:
            _petsc_options(petsc)
        with warnings_at_once():
            app(argv[:end], exit_on_error=False, print_error=False)
    except (InputError, RunFailure, cyclopts.CycloptsError) as error:  # the same on all ranks
        _fail(" ".join(str(error).split()), 1, "--verbose" in argv[:end])
    except Interrupted as interrupt:  # the same on all ranks
        _fail(str(interrupt), 130)
    except KeyboardInterrupt as interrupt:
        _fail_alone(str(interrupt) or "Interrupted before the work began.", 130)
    except MemoryError as error:
        _fail_alone(f"The run does not fit into memory: {str(error) or 'too little is free'}.", 1)
    except BrokenPipeError:  # the reader has ended, as in `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1) from None
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        _fail_alone(f"{error.strerror or error}{where}.", 1, "--verbose" in argv[:end])
    except Exception:
        traceback.print_exc()
        _abort(1)
        raise SystemExit(1) from None


def _require_working_folder() -> None:
    try:
        Path.cwd()
    except OSError:
        raise InputError("The working folder was deleted: change to another folder.") from None


def _petsc_options(options: list[str]) -> None:
    """Insert options into PETSc's database, from which the solvers read them."""
    from uf_diffusion.diffusion import insert_options

    insert_options(options)


def _fail(message: str, code: int, traced: bool = False) -> None:
    """Print a message on rank 0, and exit; all ranks call this.

    With ``traced`` the traceback of the current exception is printed too.
    """
    from uf_diffusion.core import mpi

    if mpi.rank() == 0:
        _say(message, traced)
    raise SystemExit(code)


def _fail_alone(message: str, code: int, traced: bool = False) -> None:
    """Print a message on this rank, and end all ranks, since others may be waiting for this one."""
    _say(message, traced)
    _abort(code)
    raise SystemExit(code)


def _say(message: str, traced: bool) -> None:
    if traced:
        traceback.print_exc()
    print(f"uf-diffusion: {message}", file=sys.stderr)


def _abort(code: int) -> None:
    from uf_diffusion.core import mpi

    mpi.abort_all(code)
