"""Kill runs at random times, continue them, and compare the results with those of undisturbed runs.

    python scripts/fault_campaign.py [--kills 50] [--seed 0] [--only NAME ...]

After each kill all existing files must be complete. Then the run is continued, by `resume` or by
repeating its command. It may be killed again; at the end its numbers must be identical to those of
the reference run.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import xarray as xr
from PIL import Image

from uf_diffusion.core.errors import InputError
from uf_diffusion.results.netcdf import read_result, read_sealed
from uf_diffusion.runs.stored import CHECKPOINT

RUN = [sys.executable, "-m", "uf_diffusion"]
MPIEXEC = shutil.which("mpiexec") or str(Path(sys.executable).parent / "mpiexec")
OFTEN = ["--set", "diffusion.checkpoint=0.2"]
PATIENCE = 300  # seconds after which a process counts as hanging


@dataclass(frozen=True)
class Case:
    """A command to kill.

    Attributes:
        command: the arguments of uf-diffusion, without ``--out``.
        result: the file with its numbers, or a picture.
        ranks: number of MPI ranks.
        resumable: whether `resume` can continue it; repeating the command always can.
    """

    command: list[str]
    result: str = "result.nc"
    ranks: int = 1
    resumable: bool = True

    def launched(self, folder: Path, resume: bool) -> list[str]:
        launcher = [] if self.ranks == 1 else [MPIEXEC, "-n", str(self.ranks)]
        if resume:
            return [*launcher, *RUN, "resume", str(folder)]
        return [*launcher, *RUN, *self.command, "--out", str(folder)]


def small(*pairs: str) -> list[str]:
    return [word for pair in pairs for word in ("--set", pair)]


PDE = small("problem.t_end=2.0", "diffusion.cells=5120", "diffusion.rtol=1e-5")
NET = small("problem.t_end=2.0", "network.step=0.001", "network.width=256", "network.samples=1024")
BOTH = small("problem.t_end=1.0", "diffusion.cells=1024", "network.step=0.001")
CASES = {
    "solve": Case(["solve", "sphere", *PDE, *OFTEN]),
    "solve, 2 ranks": Case(["solve", "sphere", *PDE, *OFTEN], ranks=2),
    "solve constrained": Case(
        ["solve", "relu-circle", *small("problem.limit=constrained", "problem.t_end=2.0",
                                        "diffusion.cells=512"), *OFTEN]),
    "train": Case(["train", "relu-circle", *NET, *OFTEN]),
    "train flow": Case(
        ["train", "relu-circle", *small("network.algorithm=flow", "problem.t_end=5.0"), *OFTEN]),
    "compare": Case(["compare", "matern-circle", *BOTH, *OFTEN]),
    "compare, 2 ranks": Case(
        ["compare", "sphere", *BOTH, *small("network.width=64", "network.samples=256"), *OFTEN],
        ranks=2),
    "compare --budget": Case(
        ["compare", "matern-circle", "--budget", *BOTH, *OFTEN]),
    "study": Case(["study", "width", "--values", "32,64,128", "--seeds", "3"], "study.nc",
                  resumable=False),
    "figures": Case(["figures", "relu-risks-by-width", "--quick"], "relu-risks-by-width.png",
                    resumable=False),
}  # fmt: skip


def start(command: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finished(command: list[str]) -> str:
    """Run a command to its end; returns what went wrong, empty if nothing did."""
    process = start(command)
    try:
        error = process.communicate(timeout=PATIENCE)[1]
    except subprocess.TimeoutExpired:
        kill(process)
        return "hangs"
    return "" if process.returncode == 0 else f"exit {process.returncode}: {error[-300:]}"


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


def killed(command: list[str], delay: float, draw: random.Random, ranks: int) -> bool:
    """Start a command and kill it after the delay; false if it had ended before."""
    process = start(command)
    try:
        process.communicate(timeout=delay)
    except subprocess.TimeoutExpired:
        kill(process, draw if ranks > 1 and draw.random() < 0.5 else None)
        return True
    return False


def broken(folder: Path) -> Iterator[str]:
    """The files that are not complete, with the reason; temporary files are not considered."""
    for path in folder.rglob("[!.]*"):
        try:
            if path.suffix == ".nc":
                (read_sealed if path.name == CHECKPOINT else read_result)(path)
            elif path.suffix == ".toml":
                tomllib.loads(path.read_text())
            elif path.suffix in (".png", ".gif"):
                Image.open(path).load()
        except (InputError, OSError, ValueError) as error:
            yield f"{path.name}: {error}"


def same(case: Case, folder: Path, reference: Path) -> bool:
    """Whether the numbers or the picture are identical to those of the reference."""
    if not (folder / case.result).exists():
        return False
    if case.result.endswith(".png"):
        pictures = (np.asarray(Image.open(f / case.result)) for f in (folder, reference))
        return bool(np.array_equal(*pictures))
    trees = [read_result(f / case.result) for f in (folder, reference)]
    a, b = ({k: v for k, v in groups(t).items() if k != "/timings"} for t in trees)
    return a.keys() == b.keys() and all(a[k].equals(b[k]) for k in a)


def groups(tree: xr.DataTree) -> dict[str, xr.Dataset]:
    return {node.path: node.to_dataset() for node in tree.subtree}


def trial(case: Case, reference: Path, seconds: float, draw: random.Random) -> Counter[str]:
    """Kill a run once, or sometimes more often, and continue it; returns counts of the events."""
    count: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as name:
        folder, again = Path(name) / "run", False
        while count["kills"] == 0 or draw.random() < 0.25:
            if not killed(case.launched(folder, again), draw.uniform(0.2, 1.0) * seconds, draw,
                          case.ranks):  # fmt: skip
                if count["kills"]:
                    break
                continue  # the command had ended before the kill: try again
            count["kills"] += 1
            for sentence in broken(folder):
                count["wrong"] += 1
                print(f"    not whole: {sentence}")
            checkpoint = (folder / CHECKPOINT).exists()
            count["checkpoint"] += checkpoint
            again = case.resumable and checkpoint and draw.random() < 0.5
        done = (folder / case.result).exists() and not (folder / CHECKPOINT).exists()
        problem = "" if done and again else finished(case.launched(folder, again))
        if problem:
            count["lost"] += 1
            print(f"    lost: {problem}")
        elif not same(case, folder, reference):
            count["wrong"] += 1
            print("    wrong: other numbers than without a kill")
    return count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", choices=CASES, default=list(CASES))
    arguments = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    draw, total = random.Random(arguments.seed), Counter[str]()
    print(f"{'command':20}{'seconds':>9}{'kills':>7}{'with checkpoint':>17}{'lost':>6}{'wrong':>7}")
    for k, name in enumerate(arguments.only):
        case, left = CASES[name], len(arguments.only) - k
        with tempfile.TemporaryDirectory() as folder:
            reference, begin = Path(folder) / "run", time.perf_counter()
            if problem := finished(case.launched(reference, resume=False)):
                sys.exit(f"{name} does not run: {problem}")
            seconds, count = time.perf_counter() - begin, Counter[str]()
            while count["kills"] < (arguments.kills - total["kills"]) / left:
                count += trial(case, reference, seconds, draw)
        total += count
        print(f"{name:20}{seconds:9.1f}{count['kills']:7}{count['checkpoint']:17}"
              f"{count['lost']:6}{count['wrong']:7}", flush=True)  # fmt: skip
    print(f"{'all':20}{'':9}{total['kills']:7}{total['checkpoint']:17}"
          f"{total['lost']:6}{total['wrong']:7}")  # fmt: skip
    sys.exit(bool(total["lost"] or total["wrong"]))


if __name__ == "__main__":
    main()
