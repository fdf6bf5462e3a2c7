"""Runs that are killed or interrupted at random times, also while they compile."""

from __future__ import annotations

import random
import signal
import time
from collections import Counter
from collections.abc import Callable
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
    stopped,
    unbroken,
)

OFTEN = sets("diffusion.checkpoint=0.2")
PDE = sets("problem.t_end=2.0", "diffusion.cells=5120", "diffusion.rtol=1e-5")
NET = sets("problem.t_end=2.0", "network.step=0.001", "network.width=256", "network.samples=1024")
BOTH = sets("problem.t_end=1.0", "diffusion.cells=1024", "network.step=0.001")
CASES = {
    "solve": Case(["solve", "sphere", *PDE, *OFTEN]),
    "solve, 2 ranks": Case(["solve", "sphere", *PDE, *OFTEN], ranks=2),
    "solve constrained": Case(
        ["solve", "relu-circle", *sets("problem.limit=constrained", "problem.t_end=2.0",
                                       "diffusion.cells=512"), *OFTEN]),
    "train": Case(["train", "relu-circle", *NET, *OFTEN]),
    "train flow": Case(
        ["train", "relu-circle", *sets("network.algorithm=flow", "problem.t_end=5.0"), *OFTEN]),
    "compare": Case(["compare", "matern-circle", *BOTH, *OFTEN]),
    "compare, 2 ranks": Case(
        ["compare", "sphere", *BOTH, *sets("network.width=64", "network.samples=256"), *OFTEN],
        ranks=2),
    "compare --budget": Case(
        ["compare", "matern-circle", "--budget", *BOTH, *OFTEN]),
    "study": Case(["study", "width", "--values", "32,64,128", "--seeds", "3"], "study.nc",
                  resumable=False),
    "figures": Case(["figures", "relu-risks-by-width", "--quick"], "relu-risks-by-width.png",
                    resumable=False),
}  # fmt: skip
SMALL = sets("problem.t_end=0.5", "diffusion.cells=256")
FIRST = {
    "solve": Case(["solve", "radial-torus", *SMALL, *OFTEN]),
    "2 ranks": Case(["solve", "radial-torus", *SMALL, *OFTEN], ranks=2),
}


def kills(case: Case, where: Path) -> Callable[[random.Random, Path], Counter[str]]:
    """Kill a run once, or sometimes more often, and continue it."""
    whole, begin = reference(case, where), time.perf_counter()
    ended(start(case.words(where / f"again {begin}")))
    seconds = time.perf_counter() - begin

    def trial(draw: random.Random, at: Path) -> Counter[str]:
        folder, again, count, times = at / "run", False, Counter[str](), 0
        while times == 0 or draw.random() < 0.25:
            delay = draw.uniform(0.2, 1.0) * seconds
            if not stopped(start(case.words(folder, again)), delay, case, draw):
                break
            times += 1
            count += incomplete(folder)
            again = case.resumable and (folder / CHECKPOINT).exists() and draw.random() < 0.5
        return count + unbroken(case, folder, whole, again)

    return trial


def first_compilations(case: Case, where: Path) -> Callable[[random.Random, Path], Counter[str]]:
    """Kill runs while they compile into an empty cache, and repeat them, sometimes two at once."""
    whole = reference(case, where)

    def trial(draw: random.Random, at: Path) -> Counter[str]:
        around = Around({"XDG_CACHE_HOME": str(at / "cache"), "MPLCONFIGDIR": str(at / "mpl")})
        count = Counter[str]()
        for k in range(draw.randint(1, 3)):
            process = start(case.words(at / str(k)), around)
            while process.poll() is None and not list((at / "cache").rglob("*.c")):
                time.sleep(0.01)
            stopped(process, draw.uniform(0, 1.5), case, draw)
        others = [start(case.words(at / f"other {k}"), around) for k in range(draw.randint(0, 1))]
        end = ended(start(case.words(at / "run"), around))
        for each in [end, *map(ended, others)]:
            count += judged(each)
        return count + unbroken(case, at / "run", whole, resume=False)

    return trial


def interruptions(case: Case, where: Path) -> Callable[[random.Random, Path], Counter[str]]:
    """Press Ctrl-C at a random time, also during the imports."""
    whole, begin = reference(case, where), time.perf_counter()
    ended(start(case.words(where / f"again {begin}")))
    seconds = time.perf_counter() - begin

    def trial(draw: random.Random, at: Path) -> Counter[str]:
        folder = at / "run"
        process = start(case.words(folder))
        time.sleep(draw.uniform(0.3, seconds))  # Python itself starts in less
        process.send_signal(signal.SIGINT)
        end = ended(process)
        resume = (folder / CHECKPOINT).exists() and draw.random() < 0.5
        return judged(end) + incomplete(at) + unbroken(case, folder, whole, resume)

    return trial


KILLS = (
    {f"kill {name}": partial(kills, case) for name, case in CASES.items()}
    | {f"kill first compilation, {name}": partial(first_compilations, case)
       for name, case in FIRST.items()}
    | {f"Ctrl-C {name}": partial(interruptions, CASES[name]) for name in ("solve", "compare")}
)  # fmt: skip
