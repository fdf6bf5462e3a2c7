"""Kill runs, spoil their environments and edit their inputs, and look at what becomes of them.

    python scripts/fault_campaign.py [--trials 200] [--seed 0] [--workers 2] [--only NAME ...]

A trial disturbs one run and then continues it, by `resume` or by repeating its command. It is
"lost" if the run cannot be continued to its end, and "wrong" if a file is not complete or the
numbers differ from those of an undisturbed run. A process that ends by itself must succeed or say
one sentence; everything else counts as a traceback. Nothing of this may happen.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

from faults.edits import EDITS
from faults.environments import ENVIRONMENTS
from faults.kills import KILLS

COLUMNS = ("trials", "lost", "wrong", "tracebacks")

# each makes, with a folder for undisturbed runs, a function that does one trial with random numbers
# in an empty folder; or returns the reason why that is impossible here
type Trial = Callable[[random.Random, Path], Counter[str]]
TRIALS: dict[str, Callable[[Path], Trial | str]] = {**KILLS, **ENVIRONMENTS, **EDITS}


def campaign(name: str, trials: int, seed: int, workers: int, where: Path) -> Counter[str]:
    """Do trials of one kind, and print their row of the table."""
    begin = time.perf_counter()
    trial = TRIALS[name](where)
    if isinstance(trial, str):
        print(f"{name:34}left out: {trial}", flush=True)
        return Counter()

    def one(k: int) -> Counter[str]:
        with TemporaryDirectory() as folder:
            return trial(random.Random(f"{seed} {name} {k}"), Path(folder))

    with ThreadPoolExecutor(workers) as pool:
        count = sum(pool.map(one, range(trials)), Counter(trials=trials))
    row(name, time.perf_counter() - begin, count)
    return count


def row(name: str, seconds: float, count: Counter[str]) -> None:
    numbers = "".join(f"{count[column]:>11}" for column in COLUMNS)
    print(f"{name:34}{seconds:9.0f}{numbers}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=200, help="at least this many in all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2, help="trials at the same time")
    parser.add_argument("--only", nargs="*", choices=TRIALS, default=list(TRIALS))
    arguments = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    begin, total, left = time.perf_counter(), Counter[str](), arguments.trials
    print(f"{'trial':34}{'seconds':>9}" + "".join(f"{column:>11}" for column in COLUMNS))
    with TemporaryDirectory() as where:
        for k, name in enumerate(arguments.only):
            some = -(-left // (len(arguments.only) - k))
            count = campaign(name, some, arguments.seed, arguments.workers, Path(where))
            left, total = left - count["trials"], total + count
    row("all", time.perf_counter() - begin, total)
    sys.exit(any(total[column] for column in COLUMNS[1:]))


if __name__ == "__main__":
    main()
