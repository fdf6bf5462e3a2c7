"""Curves of finished runs that are kept in the repository, so that figures are drawn in seconds."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import xarray as xr

from paper_figures.scale import ITERATION
from uf_diffusion.core.arrays import Array, Index
from uf_diffusion.core.errors import InputError
from uf_diffusion.results.netcdf import read_sealed, write_result
from uf_diffusion.runs.config import SECTIONS, Config
from uf_diffusion.runs.keys import toml_of
from uf_diffusion.runs.result import Result
from uf_diffusion.runs.setup import Setup
from uf_diffusion.studies.cache import Run

__all__ = ["FOLDER", "is_kept", "keep", "kept"]

FOLDER = Path(__file__).parent / "data"
POINTS = 100  # of a curve, evenly spaced and as many again in the logarithm
ATTRIBUTES = ("command", "code", "wall_seconds", "seed")  # of the result, those that are kept
WANTED = {
    "network": ("time", "risk", "snapshot_time", "feature", "neuron_mass"),
    "comparison": ("time", "energy_distance_teacher", "energy_distance_diffusion"),
}


def is_kept(run: Run, folder: Path = FOLDER) -> bool:
    """Whether there is a file with the curves of a run."""
    return (folder / _name(run)).exists()


def kept(run: Run, folder: Path = FOLDER) -> Result | None:
    """The curves of a run, as a result with fewer values; None if they are not kept."""
    if not is_kept(run, folder):
        return None
    try:
        return Result(Setup(run.config), read_sealed(folder / _name(run)))
    except InputError:
        return None


def keep(
    run: Run, result: Result, vertices: Iterable[int], neurons: bool = False, folder: Path = FOLDER
) -> Path:
    """Store the curves of a run in single precision; returns the file.

    Args:
        run: the run, of the job "follow".
        result: its result.
        vertices: iterations at which the curves are kept, beside `POINTS` others.
        neurons: whether all snapshots are kept with their neurons, as for a figure of densities.
        folder: where the file is put.

    Raises:
        Unwritable: if it cannot be written.
    """
    attributes = {k: result.tree.attrs[k] for k in ATTRIBUTES if k in result.tree.attrs}
    groups = {"/": xr.Dataset(attrs=attributes)}
    for name, wanted in WANTED.items():
        group = result.tree[name].to_dataset()
        chosen = [v for v in wanted if v in group and (neurons or "neuron" not in group[v].dims)]
        data = group[chosen].drop_attrs(deep=False).astype(np.float32)
        if "neuron" not in data.dims:
            data = data.drop_vars("snapshot_time", errors="ignore")
            data = data.isel({str(data.time.dims[0]): _rows(data.time.values, vertices)})
        groups[f"/{name}"] = data
    folder.mkdir(exist_ok=True)
    path = folder / _name(run)
    write_result(path, xr.DataTree.from_dict(groups))
    return path


def _name(run: Run) -> str:
    """The name of a run's file: what it is, and a digest of all settings that are not usual ones.

    So a key that a later version adds does not change the names.
    """
    config, usual, chosen = run.config, Config(), [run.job]
    for section in SECTIONS:
        for key, value in sorted(vars(getattr(config, section)).items()):
            if value != getattr(getattr(usual, section), key):
                chosen.append(f"{section}.{key} = {toml_of(value)}")
    digest = hashlib.sha256("\n".join(chosen).encode()).hexdigest()[:10]
    p, n = config.problem, config.network
    return f"{p.manifold}-{n.features}-{n.width}-{n.regularisation:g}-{n.seed}-{digest}.nc"


def _rows(times: Array, vertices: Iterable[int]) -> Index:
    """The rows of a series at the vertices, and others, evenly spaced and in the logarithm."""
    iterations, last = times / ITERATION, len(times) - 1
    rows = np.searchsorted(iterations, np.fromiter(vertices, dtype=float) - 0.5)
    even, wide = np.linspace(0, last, POINTS), np.geomspace(1, last, POINTS)
    return np.unique(np.rint(np.concatenate([rows[rows <= last], even, wide])).astype(int))
