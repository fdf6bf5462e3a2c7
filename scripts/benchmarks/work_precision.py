"""Rows of a work-precision diagram, the lower envelope of a method, tables and the figure."""

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import matplotlib
import numpy as np

MARKERS = "os^vDPX*<>"
LEVELS = (1e-4, 1e-5, 1e-6, 1e-7, 1e-8)


@dataclass(frozen=True)
class Row:
    """One setting of a method: the errors of its density and the CPU seconds.

    Attributes:
        problem, method: names.
        cells: number of cells, or of nodes for finite differences.
        rtol: tolerance of the time steps.
        error_1, error_5: L1 errors of the density at t = 1 and 5.
        setting: all that the method was told, in words.
        cpu: CPU seconds of the process for the whole run, without compilation; the median.
        counts: steps, Newton iterations and the like, by name.
    """

    problem: str
    method: str
    cells: int
    rtol: float
    error_1: float
    error_5: float
    setting: str
    cpu: float = np.nan
    counts: dict = field(default_factory=dict)

    @property
    def error(self):
        return max(self.error_1, self.error_5)


@dataclass(frozen=True)
class Trial:
    """A setting that is tried: the work that is timed, and the row of its result.

    Attributes:
        work: does the work and returns what ``row`` takes.
        row: maps it to a row, without ``cpu``; this is not timed.
    """

    work: Callable
    row: Callable

    def timed(self):
        """The row with its CPU time; None where the solver gives up."""
        clock = time.process_time()
        try:
            result = self.work()
        except RuntimeError:
            return None
        seconds = time.process_time() - clock
        return replace(self.row(result), cpu=seconds)


def measured(ladders, rounds=3, near=1.2):
    """The rows of all settings that are worth it, with the median of their times.

    A ladder is a list of trials with smaller and smaller tolerances on one grid. It is climbed
    until the error has twice stopped to fall, where the grid is what limits it. Settings near the
    envelope of their method are run again, one after the other in each round, so that noise falls
    on all methods alike.

    Args:
        ladders: lists of trials.
        rounds: number of runs of the settings near an envelope.
        near: how much slower than the envelope of its method a setting may be to be run again.
    """
    found = [(trial, row) for ladder in ladders for trial, row in climbed(ladder)]
    rows = [row for _, row in found]
    kept = [(trial, row) for trial, row in found if _is_near(row, rows, near)]
    times = [[] for _ in kept]
    for _ in range(rounds):
        for (trial, _), own in zip(kept, times, strict=True):
            own.append(trial.timed().cpu)
    return [
        replace(row, cpu=float(np.median(own)))
        for (_, row), own in zip(kept, times, strict=True)
    ]  # fmt: skip


def climbed(ladder):
    """The trials of a ladder that were run and worked, with their rows."""
    found, best, stops = [], np.inf, 0
    for trial in ladder:
        if (row := trial.timed()) is None:
            continue
        found.append((trial, row))
        stops = stops + 1 if row.error > 0.9 * best else 0
        best = min(best, row.error)
        if stops == 2:
            break
    return found


def _is_near(row, rows, near):
    better = [r.cpu for r in rows if r.method == row.method and r.error <= row.error]
    return row.cpu <= near * min(better)


def envelope(rows):
    """The rows that no other row beats in both error and time, the most accurate one first."""
    best, found = np.inf, []
    for row in sorted(rows, key=lambda r: (r.error, r.cpu)):
        if row.cpu < best:
            best = row.cpu
            found.append(row)
    return found


def seconds_at(rows, error):
    """The CPU seconds at an error on the envelope, interpolated in log-log; NaN if not reached."""
    found = envelope(rows)
    if not found or error < found[0].error:
        return np.nan
    x, y = np.log([[r.error, r.cpu] for r in found]).T
    return float(np.exp(np.interp(np.log(error), x, y)))


def by_method(rows):
    """The rows of each method, in the order in which the methods appear."""
    return {m: [r for r in rows if r.method == m] for m in dict.fromkeys(r.method for r in rows)}


def table(rows, ours="uf", levels=LEVELS):
    """Print the seconds of all methods at given errors, and how many times as long as ours."""
    methods = by_method(rows)
    print(f"  {'CPU seconds at an L1 error of':30}" + "".join(f"{e:>17.0e}" for e in levels))
    base = [seconds_at(methods.get(ours, []), e) for e in levels]
    for name, found in methods.items():
        costs = [seconds_at(found, e) for e in levels]
        cells = [_cost(c, b) for c, b in zip(costs, base, strict=True)]
        print(f"  {name:30}" + "".join(f"{c:>17}" for c in cells), flush=True)


def _cost(seconds, base):
    """A time with its ratio to ours in brackets, where both are known."""
    if np.isnan(seconds):
        return "-"
    ratio = "" if np.isnan(base) else f" ({seconds / base:.2g})"
    return f"{seconds:.2g}{ratio}"


def best_settings(rows):
    """Print the envelope of each method with its settings."""
    for name, found in by_method(rows).items():
        print(f"  {name}:")
        for row in reversed(envelope(found)):
            counts = ", ".join(f"{v} {k}" for k, v in row.counts.items())
            print(f"    {row.error:8.1e} {row.cpu:9.4f} s  {row.setting} ({counts})", flush=True)


def figure(rows, file):
    """Save the diagram, with a panel for each problem, as an image."""
    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    problems = list(dict.fromkeys(r.problem for r in rows))
    fig, panels = plt.subplots(
        1, len(problems), figsize=(4.2 * len(problems), 4.2), squeeze=False, layout="constrained"
    )
    names = list(by_method(rows))
    for panel, problem in zip(panels[0], problems, strict=True):
        for name, found in by_method([r for r in rows if r.problem == problem]).items():
            front = envelope(found)
            k = names.index(name) % len(MARKERS)
            panel.loglog(
                [r.error for r in front], [r.cpu for r in front], marker=MARKERS[k], ms=4,
                lw=2 if name == "uf" else 1, color=f"C{k}", label=name,
            )  # fmt: skip
        panel.set(title=problem, xlabel="L1 error of the density, the larger of t = 1 and 5")
        panel.grid(alpha=0.3)
        panel.legend(fontsize=7)
    panels[0][0].set_ylabel("CPU time (seconds)")
    fig.savefig(file, dpi=150)
    plt.close(fig)


def finish(rows, file, name):
    """Save the diagram and, where a file is given, the rows as a JSON list beside it."""
    if file is not None:
        text = json.dumps([asdict(row) for row in rows], indent=1)
        file.write_text(text + "\n", encoding="utf-8")
    image = Path(f"{name}.png") if file is None else file.with_suffix(".png")
    figure(rows, image)
    print(f"The diagram is in {image}.")
