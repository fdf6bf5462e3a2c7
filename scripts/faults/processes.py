"""Runs as processes: started, ended, killed, and their files and numbers compared."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil
import xarray as xr
from PIL import Image

from uf_diffusion.core.errors import InputError
from uf_diffusion.results.netcdf import read_result, read_sealed

RUN = [sys.executable, "-m", "uf_diffusion"]
MPIEXEC = shutil.which("mpiexec") or str(Path(sys.executable).parent / "mpiexec")
CHECKPOINT = "checkpoint.nc"
PATIENCE = 300  # seconds after which a process counts as hanging
CRASHES = (134, 135, 139)  # what launchers return for processes that abort or break


def sets(*pairs: str) -> list[str]:
    return [word for pair in pairs for word in ("--set", pair)]


@dataclass(frozen=True)
class Case:
    """A command to disturb.

    Attributes:
        command: the arguments of uf-diffusion, without ``--out``.
        result: the file with its numbers, or a picture.
        ranks: number of MPI ranks.
        resumable: whether `resume` can continue it; repeating the command always can.
        cwd: the working folder.
    """

    command: list[str]
    result: str = "result.nc"
    ranks: int = 1
    resumable: bool = True
    cwd: Path | None = None

    def words(self, folder: Path, resume: bool = False) -> list[str]:
        launcher = [] if self.ranks == 1 else [MPIEXEC, "-n", str(self.ranks)]
        if resume:
            return [*launcher, *RUN, "resume", str(folder), "--trust"]  # for densities of own.py
        return [*launcher, *RUN, *self.command, "--out", str(folder)]


@dataclass(frozen=True)
class Around:
    """What surrounds a process.

    Attributes:
        variables: environment variables to set, or with None to remove.
        limits: a line of bash that limits the process, such as "umask 077".
    """

    variables: Mapping[str, str | None] = field(default_factory=dict)
    limits: str = ""


def start(
    words: list[str], around: Around = Around(), cwd: Path | None = None
) -> subprocess.Popen[str]:
    merged = {**os.environ, **around.variables}
    if around.limits:
        words = ["bash", "-c", f'{around.limits}; exec "$@"', "bash", *words]
    return subprocess.Popen(
        words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, errors="replace",
        env={k: v for k, v in merged.items() if v is not None}, cwd=cwd,
    )  # fmt: skip


@dataclass(frozen=True)
class Ended:
    """How a process ended: its exit code, None if it hung, and its stderr without warnings."""

    code: int | None
    said: str

    @property
    def orderly(self) -> bool:
        """Whether it succeeded silently, or failed with one sentence."""
        lines = self.said.splitlines()
        one = len(lines) == 1 and lines[0].startswith("uf-diffusion: ")
        return not lines if self.code == 0 else bool(self.code and one)

    @property
    def crashed(self) -> bool:
        """Whether it ended by a signal or an exception."""
        return self.code is None or self.code < 0 or self.code in CRASHES or (
            "Traceback" in self.said
        )  # fmt: skip


def ended(process: subprocess.Popen[str]) -> Ended:
    """Wait for the end of a process."""
    try:
        said = process.communicate(timeout=PATIENCE)[1]
    except subprocess.TimeoutExpired:
        kill(process)
        return Ended(None, "hangs")
    usual = ("warning   ", "runs  ", "diffusion ", "network ")
    lines = [line for line in said.splitlines() if line.strip() and not line.startswith(usual)]
    return Ended(process.returncode, "\n".join(lines))


def kill(process: subprocess.Popen[str], one: random.Random | None = None) -> None:
    """Send SIGKILL to the process and all its descendants, or, with ``one``, to a random rank."""
    everyone = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    ranks = list(filter(is_rank, everyone))
    for victim in [one.choice(ranks)] if one and ranks else everyone:
        with suppress(psutil.NoSuchProcess):
            victim.kill()
    process.communicate(timeout=PATIENCE)


def is_rank(process: psutil.Process) -> bool:
    """Whether a process is a rank of this package; false for the launcher and ended processes."""
    with suppress(psutil.NoSuchProcess):
        command = process.cmdline()
        return "uf_diffusion" in command and "-n" not in command
    return False


def stopped(process: subprocess.Popen[str], delay: float, case: Case, draw: random.Random) -> bool:
    """Kill a process, or one of its ranks, after the delay; false if it had ended before."""
    try:
        process.communicate(timeout=delay)
    except subprocess.TimeoutExpired:
        kill(process, draw if case.ranks > 1 and draw.random() < 0.5 else None)
        return True
    return False


def reference(case: Case, where: Path) -> Path:
    """The folder with the run without a disturbance, which is done once."""
    name = hashlib.sha256(" ".join([*case.command, str(case.ranks), str(case.cwd)]).encode())
    folder = where / name.hexdigest()
    if not folder.exists():
        end = ended(start(case.words(folder), cwd=case.cwd))
        if not (end.code == 0 and end.orderly):
            sys.exit(f"{' '.join(case.command)} does not run: {end.said}")
    return folder


def unbroken(case: Case, folder: Path, whole: Path, resume: bool) -> Counter[str]:
    """Continue a run and compare it with the undisturbed one; counts what is not right."""
    done = (folder / case.result).exists() and not (folder / CHECKPOINT).exists()
    end = (
        Ended(0, "") if done and resume else ended(start(case.words(folder, resume), cwd=case.cwd))
    )
    if end.code:
        return noted("lost", f"{end.code}: {end.said[-300:]}") + judged(end)
    if not same(case, folder, whole):
        return noted("wrong", "other numbers than without a disturbance")
    return judged(end)


def judged(end: Ended) -> Counter[str]:
    """A traceback, unless a process ended in an orderly way."""
    if end.orderly:
        return Counter()
    return noted("tracebacks", f"{end.code}: {end.said[-600:]}")


def noted(what: str, why: str) -> Counter[str]:
    print(f"    {what}: {why}", flush=True)
    return Counter({what: 1})


def incomplete(folder: Path) -> Counter[str]:
    """Count the files that are not complete; temporary files are not considered."""
    return sum((noted("wrong", f"not whole: {s}") for s in broken(folder)), Counter())


def broken(folder: Path) -> Iterator[str]:
    visible = (
        path
        for path in folder.rglob("*")
        if not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )
    for path in visible:
        try:
            if path.suffix == ".nc":
                (read_sealed if path.name == CHECKPOINT else read_result)(path)
            elif path.suffix == ".toml":
                tomllib.loads(path.read_text())
            elif path.suffix in (".png", ".gif"):
                Image.open(path).load()
        except (InputError, OSError, ValueError) as error:
            yield f"{path.name}: {error}"


def same(case: Case, folder: Path, whole: Path) -> bool:
    """Whether the numbers or the picture are identical to those of the undisturbed run."""
    if not (folder / case.result).exists():
        return False
    if case.result.endswith(".png"):
        pictures = (np.asarray(Image.open(f / case.result)) for f in (folder, whole))
        return bool(np.array_equal(*pictures))
    trees = [read_result(f / case.result) for f in (folder, whole)]
    a, b = ({k: v for k, v in groups(t).items() if k != "/timings"} for t in trees)
    return a.keys() == b.keys() and all(a[k].equals(b[k]) for k in a)


def groups(tree: xr.DataTree) -> dict[str, xr.Dataset]:
    return {node.path: node.to_dataset() for node in tree.subtree}
