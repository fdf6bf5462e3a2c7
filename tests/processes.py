"""The command line in tests: as a process of its own, or in this one."""

import os
import subprocess
import sys

import pytest

from uf_diffusion.cli import main

COMMAND = [sys.executable, "-m", "uf_diffusion"]


def environment():
    """Without what tells a process that an MPI launcher has started it, which pytest's may have."""
    return {k: v for k, v in os.environ.items() if not k.startswith(("PMI", "_PYTEST_MPI"))}


def cli(*args, launcher=(), **options):
    """A process of its own, to its end."""
    return subprocess.run(
        [*launcher, *COMMAND, *map(str, args)], capture_output=True, text=True, timeout=300,
        env=environment(), **options,
    )  # fmt: skip


def without_warnings(stderr):
    """What a command said beside its warnings."""
    lines = stderr.splitlines(keepends=True)
    return "".join(line for line in lines if not line.startswith("warning   "))


def refusal(args, capsys):
    """What a command that is refused prints: stdout, and the one sentence on stderr."""
    with pytest.raises(SystemExit) as stopped:
        main(args)
    printed = capsys.readouterr()
    assert stopped.value.code == 1
    assert printed.err.startswith("uf-diffusion: ")
    assert printed.err.count("\n") == 1
    return printed
