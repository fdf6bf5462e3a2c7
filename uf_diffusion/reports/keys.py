"""The reference of all keys of a configuration, as text: default, unit, meaning."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields

from uf_diffusion.runs.config import SECTIONS
from uf_diffusion.runs.keys import key_of, toml_of

__all__ = ["DENSITY_KEYS", "key_rows", "key_table"]

# default, unit and meaning of the keys of problem.teacher and problem.initial, by kind and key
DENSITY_KEYS: dict[str, dict[str, tuple[str, str, str]]] = {
    "uniform": {},
    "bumps": {
        "gamma": ("100.0", "1", "sharpness; a peak has half width 2 / sqrt(gamma) radians"),
        "centres": ("the paper's", "length", "for each peak an angle (circle) or a point (tori)"),
        "weights": ("the paper's", "1", "a positive weight for each peak"),
    },
    "von-mises-fisher": {
        "kappa": ("10.0", "1", "concentration: a number for all peaks, or one for each"),
        "means": ("[[1, 0, ...]]", "1", "for each peak a vector in the direction of its centre"),
        "weights": ("equal", "1", "a positive weight for each peak"),
    },
    "diracs": {
        "centres": ("needed", "length", "the points; on a torus in the coordinates of the chart"),
        "weights": ("equal", "1", "a positive weight for each point"),
    },
    "samples": {
        "file": ("needed", "", "file (.csv, .npy, .npz, .nc) with an array 'points', or columns"),
        "points": ("those of the file", "length", "the points instead, as vectors or coordinates"),
        "weights": ("equal", "1", "a positive weight for each of the points"),
        "width": ("by cross-validation", "length", "width of the kernel; radians on spheres"),
        "floor": ("0.0", "1", "mass of the uniform density that is mixed in"),
    },
    "histogram": {
        "file": ("needed", "", "file (.csv, .npy, .npz, .nc) with an array 'counts'"),
        "counts": ("those of the file", "1", "the counts instead, one axis for each dimension"),
        "floor": ("0.0", "1", "mass of the uniform density that is mixed in"),
    },
    "grid": {
        "file": ("needed", "", "NetCDF-4 file with values on a regular grid"),
        "variable": ("the only one", "", "name of the file's variable"),
        "values": ("those of the file", "1/volume", "the values instead, as nested lists"),
        "coordinates": ("needed with values", "length", "coordinates of the nodes on each axis"),
        "dims": ("the manifold's", "", "names of the axes of values"),
        "floor": ("0.0", "1", "mass of the uniform density that is mixed in"),
    },
    "height": {
        "function": ("needed", "", "'module:name' of a function from heights (n,) to (n,)"),
        "axis": ("the problem's", "1", "the vector along which heights are measured"),
    },
    "python": {
        "function": ("needed", "", "'module:name' of a function from points (n, ambient) to (n,)")
    },
    "unknown": {},
}


def key_rows() -> Iterator[tuple[str, str, str, str]]:
    """Key, default in TOML syntax, unit and meaning of each key: first the keys of the sections,
    then those of the densities.
    """
    for section, cls in SECTIONS.items():
        for f in fields(cls):
            default = "not given" if f.default is None else toml_of(f.default)
            about = f.metadata
            yield f"{section}.{key_of(f)}", default, about["unit"], about["meaning"]
    for kind, keys in DENSITY_KEYS.items():
        for name, (default, unit, meaning) in keys.items():
            yield f"problem.teacher.{name}", default, unit, f"for kind '{kind}': {meaning}"


def key_table() -> str:
    """The reference as text, with one line for each key."""
    rows = [("key", "default", "unit", "meaning"), *key_rows()]
    rows = [(key, default, "-" if unit in ("", "1") else unit, text)
            for key, default, unit, text in rows]  # fmt: skip
    widths = [max(len(row[k]) for row in rows) for k in range(3)]
    lines = ["  ".join([*(f"{row[k]:{widths[k]}}" for k in range(3)), row[3]]) for row in rows]
    return "\n".join(
        [
            *lines,
            "",
            "The table problem.initial has the same keys as problem.teacher. Lengths and times are "
            "dimensionless: the unit says which quantities scale together.",
            "Set a key by --set section.key=value, or in a TOML file under [section].",
        ]
    )
