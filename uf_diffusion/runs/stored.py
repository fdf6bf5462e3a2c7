"""What runs leave in their folders to go on from: checkpoints, and the state at the end.

There are two checkpoints, the last one and the one before it. At any moment at least one of them is
complete, so that neither a process that is killed nor a damaged file costs more than the work
between them. When a run is complete, its last checkpoint is kept as the state at the end, from
which a longer run goes on.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import xarray as xr

from uf_diffusion.core.arguments import undamaged
from uf_diffusion.core.errors import InputError
from uf_diffusion.results.netcdf import (
    read_attributes,
    read_sealed,
    require_sealed,
    write_result,
)
from uf_diffusion.runs.config import Config
from uf_diffusion.runs.fingerprint import code
from uf_diffusion.runs.reading import config_from_toml

__all__ = ["BEFORE", "CHECKPOINT", "STATE", "Job", "Stored", "inputs_of", "job_of",
           "last_checkpoint", "remove_unused_fields", "state_at_end",
           "write_checkpoint"]  # fmt: skip

CHECKPOINT, BEFORE = "checkpoint.nc", "checkpoint-before.nc"
STATE = "state.nc"
FIELDS = "checkpoint-fields-*.nc"  # files of large fields, to which a checkpoint refers
LAYOUT = 4  # version of the files' contents; increase it when they change


class Job(NamedTuple):
    """What a run does: the name of the job, such as "compare", and its configuration."""

    name: str
    config: Config


@dataclass(frozen=True)
class Stored:
    """A checkpoint, or the state at the end of a run.

    Attributes:
        job: the job that stored it.
        groups: the arrays of "diffusion" and "network"; without any, no work has been done.
        inputs: the `fingerprint` of what the job reads.
        code: the version of the code that wrote the file, as `uf_diffusion.runs.fingerprint.code`.
        path: the file; None before it is written.
        damage: why a newer file could not be read; empty if there is none.
    """

    job: Job
    groups: Mapping[str, xr.Dataset | None] = field(default_factory=dict)
    inputs: Mapping[str, str] = field(default_factory=dict)
    code: str = field(default_factory=code)
    path: Path | None = None
    damage: str = ""

    @property
    @undamaged("The checkpoint")
    def reached(self) -> float:
        """The time t that the diffusion or the network has reached, whichever is later."""
        numbers = [data.attrs for data in self.groups.values() if data is not None]
        return max((float(n.get("last_t", n.get("t", 0.0))) for n in numbers), default=0.0)


def write_checkpoint(folder: Path, stored: Stored) -> None:
    """Write a checkpoint; the last one becomes the one before. Call it on rank 0.

    Raises:
        Unwritable: if the file cannot be written; what was there before is kept.
    """
    name, config = stored.job
    root = xr.Dataset(
        attrs={"command": name, "config": config.to_toml(), "name": config.name,
               "folder": config.folder, "inputs": json.dumps(dict(stored.inputs)),
               "code": stored.code, "layout": LAYOUT}
    )  # fmt: skip
    groups = {k: v for k, v in stored.groups.items() if v is not None}
    for group in groups.values():
        if "fields" in group.attrs:
            root.attrs["fields"] = group.attrs["fields"]
    tree = xr.DataTree.from_dict({"/": root, **groups})
    write_result(folder / CHECKPOINT, tree, before=folder / BEFORE)
    remove_unused_fields(folder)


def remove_unused_fields(folder: Path) -> None:
    """Remove the files of large fields to which no checkpoint refers any more."""
    files = list(folder.glob(FIELDS))
    if files:
        texts = [read_attributes(folder / name).get("fields", "") for name in
                 (CHECKPOINT, BEFORE, STATE)]  # fmt: skip
        for path in files:
            if path.name not in texts:
                path.unlink(missing_ok=True)


def last_checkpoint(folder: Path) -> Stored | None:
    """The last checkpoint in a folder that can be read; None if there is none.

    Raises:
        InputError: if there are checkpoints and none of them can be read.
    """
    refusal: InputError | None = None
    for path in (folder / CHECKPOINT, folder / BEFORE):
        if path.exists():
            try:
                return _read(path, str(refusal or ""))
            except InputError as error:
                refusal = refusal or error
    if refusal is not None:
        raise refusal
    return None


def state_at_end(folder: Path) -> Stored | None:
    """The state at the end of the run in a folder; None if there is none that can be read."""
    try:
        return _read(folder / STATE)
    except InputError:
        return None


def job_of(path: Path) -> Job | None:
    """The job that wrote a result, a study or a state; None if the file does not say it."""
    about = read_attributes(path)
    try:
        return Job(str(about["command"]), config_from_toml(str(about["config"])))
    except (KeyError, InputError):
        return None


def inputs_of(attributes: Mapping[Any, Any]) -> dict[str, str]:
    """The `fingerprint` in the attributes of a result; empty if they have none."""
    try:
        return dict(json.loads(str(attributes.get("inputs", "{}"))))
    except (TypeError, ValueError):
        return {}


def _read(path: Path, damage: str = "") -> Stored:
    advice = "begin the run anew with its command and --force"
    try:
        tree = read_sealed(path)
        if "fields" in tree.attrs:
            require_sealed(path.parent / str(tree.attrs["fields"]))
    except InputError as error:
        raise InputError(f"{str(error).rstrip('.')}; {advice}.") from None
    about = tree.attrs
    if about.get("layout") != LAYOUT:
        raise InputError(f"Another version of uf_diffusion wrote this checkpoint; {advice}.")
    with undamaged(f"'{path}'"):
        name, home = str(about["name"]), str(about["folder"])
        config = config_from_toml(str(about["config"]), (), name, home)
        groups = {k: node.to_dataset().drop_encoding() for k, node in tree.children.items()}
        job, inputs = Job(str(about["command"]), config), inputs_of(about)
        return Stored(job, groups, inputs, str(about["code"]), path, damage)
