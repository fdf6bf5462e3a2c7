"""The reference of all keys of a configuration, as text: default, unit, meaning."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields

from uf_diffusion.runs.config import SECTIONS
from uf_diffusion.runs.keys import key_of, toml_of

__all__ = ["DENSITY_KEYS", "key_rows", "key_table"]

# keys of the tables problem.teacher and problem.initial: default, unit and meaning by kind and key
DENSITY_KEYS: dict[str, dict[str, tuple[str, str, str]]] = {
    "uniform": {},
    "bumps": {
        "gamma": ("100.0", "1", "sharpness; half width of a peak: 2 / sqrt(gamma) radians"),
        "centres": ("the paper's", "length", "angles (circle) or points (tori), one for each peak"),
        "weights": ("the paper's", "1", "positive, one for each peak"),
    },
    "von-mises-fisher": {
        "kappa": ("10.0", "1", "concentration, one number or one for each peak"),
        "means": ("[[1, 0, ...]]", "1", "directions, one for each peak"),
        "weights": ("equal", "1", "positive, one for each peak"),
    },
    "diracs": {
        "centres": ("needed", "length", "points; in the chart's coordinates on a torus"),
        "weights": ("equal", "1", "positive, one for each point"),
    },
    "python": {"function": ("needed", "", "'module:name' of a function of points (n, ambient)")},
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
            yield f"problem.teacher.{name}", default, unit, f"of kind '{kind}': {meaning}"


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
            "Keys of problem.teacher are those of problem.initial, too. Lengths and times are "
            "dimensionless: the unit says which quantities scale together.",
            "Give a key by --set section.key=value, or in a TOML file under [section].",
        ]
    )
