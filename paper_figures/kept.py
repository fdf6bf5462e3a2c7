"""Curves of finished runs that are kept in the repository, so that figures are drawn in seconds."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
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
NEURONS = ("snapshot_time", "feature", "neuron_mass")
WANTED = {
    "network": ("time", "risk", *NEURONS),
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
    run: Run, result: Result, vertices: Iterable[int], snapshots: Sequence[int] = (),
    folder: Path = FOLDER,
) -> Path:  # fmt: skip
    """Store the curves of a run in single precision; returns the file.

    Args:
        run: the run, of the job "follow".
        result: its result.
        vertices: iterations at which the curves are kept, beside `POINTS` others.
        snapshots: iterations at which the neurons are kept, too, as for a figure of densities.
        folder: where the file is put.

    Raises:
        Unwritable: if it cannot be written.
    """
    attributes = {k: result.tree.attrs[k] for k in ATTRIBUTES if k in result.tree.attrs}
    groups = {"/": xr.Dataset(attrs=attributes)}
    for name, wanted in WANTED.items():
        group = result.tree[name].to_dataset()
        chosen = [v for v in wanted if v in group and (snapshots or v not in NEURONS)]
        data = group[chosen].drop_attrs(deep=False).astype(np.float32)
        if "snapshot_time" in data:
            data = data.isel(snapshot=_nearest(data.snapshot_time.values, snapshots))
        series = str(data.time.dims[0])
        groups[f"/{name}"] = data.isel({series: _rows(data.time.values, vertices)})
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
    last = len(times) - 1
    even, wide = np.linspace(0, last, POINTS), np.geomspace(1, last, POINTS)
    others = np.rint(np.concatenate([even, wide])).astype(int)
    return np.unique(np.concatenate([_nearest(times, vertices), others]))


def _nearest(times: Array, iterations: Iterable[int]) -> Index:
    """The rows of a series at some iterations, as far as it has them."""
    rows = np.searchsorted(times / ITERATION, np.fromiter(iterations, dtype=float) - 0.5)
    return rows[rows < len(times)]
