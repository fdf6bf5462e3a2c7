"""Runs in environments that lack something: they succeed, or say what is wrong and lose nothing."""

from __future__ import annotations

import random
import shutil
import subprocess
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from faults.processes import (
    CHECKPOINT,
    Around,
    Case,
    ended,
    incomplete,
    judged,
    reference,
    sets,
    start,
    unbroken,
)

OFTEN = sets("diffusion.checkpoint=0.1", "problem.t_end=1.0", "network.step=0.002")
SOLVE = Case(["solve", "sphere", *OFTEN, *sets("diffusion.cells=1280", "diffusion.rtol=1e-3")])
TRAIN = Case(["train", "relu-circle", *OFTEN, *sets("network.width=256", "network.samples=256")])
COMPARE = Case(["compare", "matern-circle", *OFTEN, *sets("diffusion.cells=512")])

# variables of an environment, chosen with random numbers; ``at`` is an empty folder
VARIABLES: dict[str, Callable[[random.Random, Path], dict[str, str | None]]] = {
    "no HOME": lambda draw, at: {"HOME": None},
    "HOME that does not exist": lambda draw, at: {"HOME": "/proc/nowhere"},
    "no git and no compiler": lambda draw, at: {"PATH": str(at)},
    "no compiler, empty cache": lambda draw, at: {
        "XDG_CACHE_HOME": str(at / "cache"), "CC": draw.choice(["nonsense", "false", "cat"])},
    "cache that cannot be written": lambda draw, at: {"XDG_CACHE_HOME": "/proc/nowhere"},
    "odd locale": lambda draw, at: {
        "LC_ALL": draw.choice(["C", "POSIX", "xx_YY.KOI8-R"]),
        "PYTHONIOENCODING": draw.choice(["ascii", "latin-1", "utf-16"]), "PYTHONUTF8": "0"},
    "odd numbers of threads": lambda draw, at: {
        "OMP_NUM_THREADS": draw.choice(["", "4,2", "x", "-3", "0", "1e3"])},
    "backend of Jupyter": lambda draw, at: {"MPLBACKEND": "module://not_installed.backend_inline"},
}  # fmt: skip


# limits of a process, chosen with random numbers
LIMITS: dict[str, Callable[[random.Random], str]] = {
    "little address space": lambda draw: f"ulimit -v {draw.randint(150_000, 2_500_000)}",
    "strict umask": lambda draw: "umask 077",
}


@contextmanager
def disk(at: Path, options: str) -> Iterator[Path]:
    """A file system of its own in memory."""
    place = at / "disk"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", place], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", place], check=True)
        place.rmdir()


def mountable(where: Path) -> bool:
    with suppress(OSError, subprocess.CalledProcessError), disk(where, "size=1m"):
        return True
    return False


def fill(place: Path) -> None:
    """Write a file until the disk is full."""
    with suppress(OSError), (place / "filler").open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))


def disturbed(
    case: Case, whole: Path, around: Around, folder: Path, draw: random.Random,
    mended: Callable[[], object] = lambda: None,
) -> Counter[str]:  # fmt: skip
    """Do a run in an environment; where it is refused or stopped, continue it in a good one."""
    end = ended(start(case.words(folder), around))
    count = judged(end)
    mended()
    if folder.exists():
        count += incomplete(folder)
    if end.code == 0:
        return count + unbroken(case, folder, whole, resume=True)
    resume = (folder / CHECKPOINT).exists() and draw.random() < 0.5
    return count + unbroken(case, folder, whole, resume)


def trials(
    disturb: Callable[[random.Random, Path, Case, Path], Counter[str]],
    cases: tuple[Case, ...],
    mounts: bool,
    where: Path,
) -> Callable[[random.Random, Path], Counter[str]] | str:
    """One trial of an environment, for a case chosen at random."""
    if mounts and not mountable(where):
        return "this user cannot mount a file system"
    wholes = [(case, reference(case, where)) for case in cases]

    def trial(draw: random.Random, at: Path) -> Counter[str]:
        return disturb(draw, at, *draw.choice(wholes))

    return trial


def with_variables(
    name: str, draw: random.Random, at: Path, case: Case, whole: Path
) -> Counter[str]:
    around = Around(VARIABLES[name](draw, at))
    return disturbed(case, whole, around, at / "run", draw)


def with_limit(name: str, draw: random.Random, at: Path, case: Case, whole: Path) -> Counter[str]:
    return disturbed(case, whole, Around(limits=LIMITS[name](draw)), at / "run", draw)


def tiny_disk(draw: random.Random, at: Path, case: Case, whole: Path) -> Counter[str]:
    """A disk that is too small from the beginning, or just large enough."""
    with disk(at, f"size={int(draw.uniform(50, 12000))}k") as place:
        end = ended(start(case.words(place / "run")))
        count = judged(end)
        if (place / "run").exists():
            count += incomplete(place / "run")
            shutil.copytree(place / "run", at / "run")
    resume = end.code == 0 or (at / "run" / CHECKPOINT).exists()
    return count + unbroken(case, at / "run", whole, resume)


def filling_disk(draw: random.Random, at: Path, case: Case, whole: Path) -> Counter[str]:
    """Another program fills the disk at a random time."""
    with disk(at, "size=40m") as place:
        timer = threading.Timer(draw.uniform(0, 6), fill, [place])
        timer.start()

        def mended() -> None:
            timer.cancel()
            timer.join()
            (place / "filler").unlink(missing_ok=True)

        return disturbed(case, whole, Around(), place / "run", draw, mended)


def read_only(draw: random.Random, at: Path, case: Case, whole: Path) -> Counter[str]:
    """A folder that cannot be written, from the beginning or from a random time on."""
    with disk(at, "size=40m") as place:
        freeze = ["mount", "-o", "remount,ro", str(place)]
        late = draw.random() < 0.5
        timer = threading.Timer(draw.uniform(0, 6) if late else 0, subprocess.run, [freeze],
                                {"stderr": subprocess.DEVNULL})  # fmt: skip
        timer.start()
        if not late:
            timer.join()

        def mended() -> None:
            timer.cancel()
            timer.join()
            subprocess.run(["mount", "-o", "remount,rw", place], check=True)

        return disturbed(case, whole, Around(), place / "run", draw, mended)


def small_files(draw: random.Random, at: Path, case: Case, whole: Path) -> Counter[str]:
    around = Around(limits=f"ulimit -f {draw.randint(1, 400)}")
    return disturbed(case, whole, around, at / "run", draw)


EVERY = (SOLVE, TRAIN, COMPARE)
ENVIRONMENTS = (
    {name: partial(trials, partial(with_variables, name), EVERY, False) for name in VARIABLES}
    | {name: partial(trials, partial(with_limit, name), EVERY, False) for name in LIMITS}
    | {
        "tiny disk": partial(trials, tiny_disk, EVERY, True),
        "disk that becomes full": partial(trials, filling_disk, EVERY, True),
        "read-only folder": partial(trials, read_only, EVERY, True),
        "limit of the size of files": partial(trials, small_files, (TRAIN,), False),
    }
)
