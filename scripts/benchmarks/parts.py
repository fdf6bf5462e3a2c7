"""The common command line of the benchmarks: it runs all parts or those that are named."""

import argparse
import inspect
import json
import subprocess
import sys
from pathlib import Path

MPIEXEC = Path(sys.executable).parent / "mpiexec"


def on_ranks(script, ranks, *words):
    """Call the worker of a script on new MPI ranks; returns the dictionary that rank 0 prints."""
    command = [MPIEXEC, "-n", ranks, sys.executable, script, "--worker", *words]
    done = subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True)
    return json.loads(done.stdout.strip().splitlines()[-1])


def run(description, parts, quick, worker=None):
    """Run the parts that the command line names, at their smallest sizes with ``--quick``.

    On ranks that `on_ranks` has started, the worker is called instead.

    Where a part has an argument ``file``, the command line takes ``--json FILE`` for it.

    Args:
        description: description of the script.
        parts: the functions by name; the first line of the docstring of each is printed.
        quick: the arguments of each function for the smallest size, by name.
        worker: a function of the words of `on_ranks`, which are text.
    """
    if worker is not None and sys.argv[1:2] == ["--worker"]:
        worker(*sys.argv[2:])
        return
    writing = [name for name in parts if "file" in inspect.signature(parts[name]).parameters]
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(parts))
    parser.add_argument("--quick", action="store_true", help="smallest sizes")
    if writing:
        parser.add_argument(
            "--json", type=Path, metavar="FILE", help=f"rows of {' or '.join(writing)}, one at once"
        )
    arguments = parser.parse_intermixed_args()  # options may stand between the parts
    chosen = arguments.parts or list(parts)
    if unknown := set(chosen) - parts.keys():
        parser.error(f"unknown part {', '.join(unknown)}; parts are {', '.join(parts)}")
    file = arguments.json if writing else None
    if file is not None:
        _check(parser, file, set(chosen) & set(writing), writing)
    for name in chosen:
        print(f"\n== {name}: {parts[name].__doc__.splitlines()[0]}", flush=True)
        asked = {"file": file} if file is not None and name in writing else {}
        parts[name](**(quick[name] if arguments.quick else {}), **asked)


def _check(parser, file, chosen, writing):
    """Stop before any work where ``--json`` cannot be obeyed."""
    if len(chosen) != 1:
        parser.error(f"--json needs exactly one of the parts {', '.join(writing)}")
    if file.is_dir() or not file.parent.is_dir():
        parser.error(f"--json needs a file in a folder that exists, not {file}")
