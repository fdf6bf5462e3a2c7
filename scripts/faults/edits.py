"""Inputs that are edited between the kill of a run and its continuation.

Right is a refusal in one sentence, after which the run goes on from the old inputs, or the result
that a new run of the edited inputs has.
"""

from __future__ import annotations

import random
import shutil
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

from faults.processes import (
    CHECKPOINT,
    Case,
    ended,
    incomplete,
    judged,
    noted,
    reference,
    same,
    sets,
    start,
    stopped,
    unbroken,
)

OFTEN = sets("diffusion.checkpoint=0.05", "diffusion.step=0.001", "network.step=0.001")
CIRCLE = """
[problem]
manifold = "circle"
t_end = 1.0
teacher = {kind = "python", function = "own:density"}
"""
DENSITY = """
import numpy as np


def density(x):
    return np.exp(FACTOR * x[:, 0])
"""
SPHERE = """
[problem]
manifold = "sphere"
t_end = 1.0
teacher = {kind = "von-mises-fisher", kappa = 1.0}
[diffusion]
mesh = "mesh.off"
"""


def octahedra(bend: float) -> str:
    """A mesh of the sphere in OFF, with the same number of nodes for every ``bend``."""
    import numpy as np

    from uf_diffusion.grids.built_in import grid_on
    from uf_diffusion.problem.manifolds import Sphere

    surface = grid_on(Sphere(2), 320).surface
    nodes = surface.nodes * np.array([1.0, 1.0, bend])
    nodes /= np.linalg.norm(nodes, axis=1, keepdims=True)
    lines = ["OFF", f"{len(nodes)} {len(surface.cells)} 0"]
    lines += [" ".join(map(repr, map(float, node))) for node in nodes]
    lines += [" ".join(map(str, [3, *cell])) for cell in surface.cells.tolist()]
    return "\n".join(lines) + "\n"


def own_density(folder: Path, edited: bool) -> None:
    (folder / "own.py").write_text(DENSITY.replace("FACTOR", "1.5" if edited else "1.0"))
    (folder / "own.toml").write_text(CIRCLE)


def own_mesh(folder: Path, edited: bool) -> None:
    (folder / "mesh.off").write_text(octahedra(1.3 if edited else 1.0))
    (folder / "own.toml").write_text(SPHERE)


def settings(folder: Path, edited: bool) -> None:
    """The run's own run.toml, or before the run begins the file from which it is made."""
    text = SPHERE.replace('mesh = "mesh.off"', "cells = 320")
    (folder / "own.toml").write_text(text)
    copy = folder / "run" / "run.toml"
    if copy.exists():
        values = ("kappa = 1.0", "kappa = 1.5")
        copy.write_text(copy.read_text().replace(*values if edited else values[::-1]))
    elif edited:
        (folder / "own.toml").write_text(text.replace("kappa = 1.0", "kappa = 1.5"))


def edits(
    write: Callable[[Path, bool], None], job: str, where: Path
) -> Callable[[random.Random, Path], Counter[str]]:
    """Kill a run after a checkpoint, edit what it reads, and go on."""
    command, wholes = [job, "own.toml", *OFTEN], {}
    for edited in (False, True):
        place = where / f"{write.__name__} {edited}"
        place.mkdir(exist_ok=True)
        write(place, edited)
        wholes[edited] = reference(Case(command, cwd=place), where)

    def trial(draw: random.Random, at: Path) -> Counter[str]:
        case, folder = Case(command, cwd=at), at / "run"
        write(at, False)
        _killed_halfway(case, folder, draw)
        count = incomplete(folder)
        write(at, True)
        resume = draw.random() < 0.5 or write is settings
        end = ended(start(case.words(folder, resume), cwd=at))
        count += judged(end)
        if end.code == 0:
            right = same(case, folder, wholes[True])
            return count if right else count + noted("wrong", "not the result of the edited inputs")
        write(at, False)
        return count + unbroken(case, folder, wholes[False], resume)

    return trial


def _killed_halfway(case: Case, folder: Path, draw: random.Random) -> None:
    """Kill a run whose checkpoint holds a step; a run that ends too early is redone."""
    while True:
        shutil.rmtree(folder, ignore_errors=True)
        process, seen = start(case.words(folder), cwd=case.cwd), set[float]()
        while process.poll() is None and len(seen) < 2:  # the first is written before any step
            with suppress(OSError):
                seen.add((folder / CHECKPOINT).stat().st_mtime)
            time.sleep(0.01)
        if stopped(process, draw.uniform(0, 0.3), case, draw) and (folder / CHECKPOINT).exists():
            return


EDITS = {
    "edited density": partial(edits, own_density, "solve"),
    "edited density of a training": partial(edits, own_density, "train"),
    "edited mesh": partial(edits, own_mesh, "solve"),
    "edited run.toml": partial(edits, settings, "solve"),
}
