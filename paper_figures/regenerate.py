"""Regenerates figures by name: computes the runs that are missing, then draws."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from paper_figures import beyond, relu, resnet, torus
from paper_figures.drawing import Drawing, Results
from paper_figures.kept import keep, kept
from paper_figures.paper import HEAD
from paper_figures.scale import Scale
from uf_diffusion.core import mpi
from uf_diffusion.core.wording import unknown
from uf_diffusion.runs.result import Result
from uf_diffusion.studies.cache import Failure, Run, Runs

__all__ = ["FIGURES", "GROUPS", "Report", "chosen", "regenerate"]

GROUPS: dict[str, dict[str, Callable[[Scale], Drawing]]] = {
    "relu": {
        "relu-teachers": relu.teachers,
        "relu-risks-by-width": relu.risks_by_width,
        "relu-distances-by-width": relu.distances_by_width,
        "relu-risks-by-lambda": relu.risks_by_lambda,
        "relu-distances-by-lambda": relu.distances_by_lambda,
        "relu-densities": relu.densities,
        "relu-gammas": relu.gammas,
        "relu-two-timescale": relu.two_timescale,
    },
    "torus": {
        "torus-teacher": torus.teacher,
        "torus-risks-by-width": torus.risks_by_width,
        "torus-distances-by-width": torus.distances_by_width,
        "torus-by-lambda": torus.by_lambda,
        "torus-diracs": torus.diracs,
        "torus-diffusion": torus.diffusion,
    },
    "resnet": {
        "resnet-risks": resnet.risks,
        "resnet-accuracies": resnet.accuracies,
    },
    "beyond": {
        "sphere": beyond.sphere,
        "injective": beyond.injective,
        "decay": beyond.decay,
    },
    "longer": {  # whose runs are not kept
        "error-budget": beyond.error_budget,
        "movie-circle": beyond.movie_circle,
        "movie-torus": beyond.movie_torus,
        "movie-sphere": beyond.movie_sphere,
    },
}
FIGURES = {name: draw for group in GROUPS.values() for name, draw in group.items()}


@dataclass(frozen=True)
class Report:
    """What `regenerate` has done; empty on ranks other than 0.

    Attributes:
        files: the main file of each figure that was drawn, by the name of the figure.
        seconds: the seconds that the runs of each figure took on one core; figures share runs.
        total: the seconds of all runs.
        agreement: a table that compares our curves with the paper's.
        failures: one sentence for each run that failed.
        empty: the names of figures of which no curve is kept.
    """

    files: dict[str, Path]
    seconds: dict[str, float]
    total: float
    agreement: str
    failures: list[str]
    empty: Sequence[str] = ()


def chosen(names: Sequence[str]) -> list[str]:
    """The names of figures for names of figures and groups; no name means all but `longer`.

    Raises:
        InputError: for an unknown name.
    """
    found: dict[str, None] = {}
    for name in names or [group for group in GROUPS if group != "longer"]:
        if name not in (*GROUPS, *FIGURES):
            raise unknown("figure", name, (*GROUPS, *FIGURES))
        found |= dict.fromkeys(GROUPS.get(name, [name]))
    return list(found)


def regenerate(names: Sequence[str], scale: Scale, folder: Path, store: bool = False) -> Report:
    """Compute the runs that are neither kept in the repository nor in the folder, and draw.

    Call it on all ranks.

    Args:
        names: the names of figures, as in `FIGURES`.
        scale: how much is computed.
        folder: where the figures go, as ``<name>.png`` and others. Its subfolder ``runs`` keeps
            the results.
        store: whether to keep the curves of finished runs in the repository.

    Raises:
        Interrupted: as `Runs.results`.
        InputError: if the folder cannot be made.
    """
    drawings = {name: FIGURES[name](scale) for name in names}
    wanted = {run.key: run for drawing in drawings.values() for run in drawing.runs}
    curves = mpi.on_root(lambda: {key: kept(run) for key, run in wanted.items()}) or {}
    known = {key: result for key, result in curves.items() if result is not None}
    there = mpi.broadcast(set(known))
    runs = sorted((run for key, run in wanted.items() if key not in there), key=_work)
    results = Runs(folder / "runs").results(runs, _keeper(scale) if store else None)

    def drawn() -> Report:
        computed = dict(zip((run.key for run in runs), results, strict=True))
        return _drawn(drawings, {**computed, **known}, folder)

    return mpi.on_root(drawn) or Report({}, {}, 0.0, "", [])


def _keeper(scale: Scale) -> Callable[[Run, Result | Failure], None]:
    """A function that keeps the curves of a finished run for all figures of a scale."""
    snapshots: dict[str, Sequence[int]] = {}
    vertices: dict[str, set[int]] = {}
    for drawing in (draw(scale) for draw in FIGURES.values()):
        snapshots |= drawing.snapshots
        for key, found in drawing.vertices.items():
            vertices.setdefault(key, set()).update(found)

    def finished(run: Run, result: Result | Failure) -> None:
        if run.job == "follow" and not isinstance(result, Failure):
            keep(run, result, vertices.get(run.key, ()), snapshots.get(run.key, ()))

    return finished


def _work(run: Run) -> float:
    """The approximate cost of a run. Short runs come first, since each can be kept when it ends;
    of several ranks the first one begins with the longest, see `Runs.results`.
    """
    n, dim = run.config.network, run.config.problem.dim
    return n.width * (n.samples if dim > 1 else 1.0) * run.config.problem.t_end / n.step


def _drawn(
    drawings: dict[str, Drawing], outcome: dict[str, Result | Failure], folder: Path
) -> Report:
    failures = [f"{r.run.job}: {r.reason}" for r in outcome.values() if isinstance(r, Failure)]
    found = {key: r for key, r in outcome.items() if not isinstance(r, Failure)}
    results, files, lines = Results(found), {}, [HEAD]
    for name, drawing in drawings.items():
        if not drawing.empty and all(run.key in found for run in drawing.runs):
            files[name] = drawing.write(results, folder / name)
            if rows := drawing.agreement(results):
                lines += [name, *(f"  {row}" for row in rows)]
    spent = {key: float(result.attributes["wall_seconds"]) for key, result in found.items()}
    seconds = {
        name: sum(spent[key] for key in {run.key for run in drawings[name].runs}) for name in files
    }
    table = "\n".join(lines) if len(lines) > 1 else ""
    empty = [name for name, drawing in drawings.items() if drawing.empty]
    return Report(files, seconds, sum(spent.values()), table, failures, empty)
