"""Curves of finished runs that are kept in the repository, so that figures are drawn in seconds."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import xarray as xr

from paper_figures.paper import vertices
from paper_figures.scale import ITERATION
from uf_diffusion.core.arrays import Array, Index
from uf_diffusion.core.errors import InputError
from uf_diffusion.results.netcdf import read_sealed, write_result
from uf_diffusion.runs.result import Result
from uf_diffusion.runs.setup import Setup
from uf_diffusion.studies.cache import Run

__all__ = ["FOLDER", "keep", "kept"]

FOLDER = Path(__file__).parent / "data"
POINTS = 300  # of a risk, evenly spaced and as many again in the logarithm
WANTED = {
    "network": ("risk", "feature", "neuron_mass"),
    "comparison": ("energy_distance_teacher", "energy_distance_diffusion"),
}


def kept(run: Run, folder: Path = FOLDER) -> Result | None:
    """The curves of a run, as a result with fewer values; None if they are not kept."""
    path = folder / _name(run)
    if not path.exists():
        return None
    try:
        return Result(Setup(run.config), read_sealed(path))
    except InputError:
        return None


def keep(run: Run, result: Result, neurons: bool = False, folder: Path = FOLDER) -> Path:
    """Store the curves of a run in single precision; returns the file.

    Args:
        run: the run, of the job "follow".
        result: its result.
        neurons: whether the neurons are kept, too, which a figure of densities needs.
        folder: where the file is put.

    Raises:
        Unwritable: if it cannot be written.
    """
    groups = {"/": xr.Dataset(attrs=result.tree.attrs)}
    for name, wanted in WANTED.items():
        group = result.tree[name].to_dataset()
        chosen = [v for v in wanted if v in group and (neurons or "neuron" not in group[v].dims)]
        data = group[chosen].drop_attrs(deep=False).astype(np.float32)
        groups[f"/{name}"] = _thinned(run, data)
    folder.mkdir(exist_ok=True)
    path = folder / _name(run)
    write_result(path, xr.DataTree.from_dict(groups))
    return path


def _name(run: Run) -> str:
    """The name of a run's file: what it is, and a digest of its whole configuration."""
    p, n = run.config.problem, run.config.network
    digest = hashlib.sha256(f"{run.job}\n{run.config.to_toml()}".encode()).hexdigest()[:10]
    return f"{p.manifold}-{n.features}-{n.width}-{n.regularisation:g}-{n.seed}-{digest}.nc"


def _thinned(run: Run, data: xr.Dataset) -> xr.Dataset:
    """The risk at the vertices of the paper's curves and some hundred other iterations."""
    if "step" not in data.dims:
        return data
    count = data.sizes["step"]
    return data.isel(step=_rows(data.time.values / ITERATION, run, count))


def _rows(iterations: Array, run: Run, count: int) -> Index:
    experiment = {"circle": "relu1d", "torus": "convolution"}.get(run.config.problem.manifold)
    exact = run.config.network.algorithm != "flow" and experiment is not None
    rows = [k for k in vertices(experiment, "risk") if k < count] if exact and experiment else []
    even = np.linspace(0, count - 1, POINTS)
    wide = np.geomspace(1, count - 1, POINTS)
    return np.unique(np.concatenate([rows, np.rint(even), np.rint(wide)]).astype(int))
