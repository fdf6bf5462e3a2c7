"""The values that configuration keys take: checked, typed, and written as TOML."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import field, fields
from typing import Any

import numpy as np

from uf_diffusion.core.arguments import reals
from uf_diffusion.core.errors import InputError
from uf_diffusion.core.wording import shown, unknown

__all__ = ["Snapshots", "Vector", "key", "key_of", "one_of", "positive", "settle_types", "toml_of"]

type Snapshots = int | tuple[float, ...]  # the number of snapshot times, or these times
type Vector = tuple[float, ...]  # finite coordinates; empty if it is not given

MOST_SNAPSHOTS = 100_000


def key(default: Any, meaning: str, unit: str = "1", name: str = "") -> Any:
    """A dataclass field that is a key of the configuration.

    Args:
        default: the value where the key is not given.
        meaning: what the key means, as the reference of all keys prints it.
        unit: "1" for a pure number. All quantities are dimensionless except for wall-clock time;
            "length" and "time" say which of them scale together.
        name: the name of the key where it differs from that of the field.
    """
    about = {"meaning": meaning, "unit": unit} | ({"key": name} if name else {})
    return field(default=default, metadata=about)


def settle_types(section: str, values: Any) -> None:
    """Give every field of a section the type that it is declared with, or refuse its value.

    Args:
        section: the name of the section.
        values: the section's frozen dataclass, whose fields may still hold anything.

    Raises:
        InputError: for a value of another type, or one that is not finite.
    """
    for f in fields(values):
        value = getattr(values, f.name)
        if value is not f.default:
            typed = _typed(f"{section}.{key_of(f)}", value, str(f.type))
            object.__setattr__(values, f.name, typed)


def _typed(name: str, value: Any, kind: str) -> Any:
    """The value of a key as the type that its annotation ``kind`` names."""
    value = value.item() if isinstance(value, np.generic) else value
    number = isinstance(value, int | float) and not isinstance(value, bool)
    whole = number and (kind == "int" or (kind == "float" and isinstance(value, int)))
    if whole and 2**63 <= abs(value) != math.inf:
        raise InputError(f"{name} must be smaller than 2^63 in magnitude.")
    if kind == "int" and number and value == int(value if math.isfinite(value) else 0):
        return int(value)
    if kind == "float" and number and math.isfinite(value):
        return float(value)
    if kind == "str" and isinstance(value, str):
        return value
    if kind == "bool" and isinstance(value, bool):
        return value
    if kind == "Any" and isinstance(value, str | Mapping):
        return value
    if kind == "Snapshots":
        return _snapshots(value)
    if kind == "Vector" and isinstance(value, list | tuple | np.ndarray):
        if (vector := reals(name, value)).ndim == 1:
            return tuple(vector.tolist())
    wanted = {"int": "a whole number", "float": "a finite number", "str": "a string",
              "bool": "true or false",
              "Vector": "a list of numbers",
              "Any": 'a table such as {kind = "uniform"}'}[kind]  # fmt: skip
    raise InputError(f"{name} must be {wanted}, not {shown(value)}.")


def _snapshots(value: Any) -> Snapshots:
    """The checked value of the key diffusion.snapshots."""
    if isinstance(value, int) and not isinstance(value, bool):
        if value < 2:
            raise InputError(f"diffusion.snapshots must be at least 2, not {value}.")
        if value > MOST_SNAPSHOTS:
            raise InputError(
                f"diffusion.snapshots must be at most {MOST_SNAPSHOTS}, not {shown(value)}."
            )
        return value
    wanted = InputError(
        "diffusion.snapshots must be a whole number or times that increase from 0 to "
        f"problem.t_end, not {shown(value)}."
    )
    if not isinstance(value, list | tuple) or len(value) < 2:
        raise wanted
    if not all(type(t) in (int, float) and math.isfinite(t) for t in value):
        raise wanted
    if value[0] != 0 or not (np.diff(value) > 0).all():
        raise wanted
    return tuple(map(float, value))


def key_of(f: Any) -> str:
    """The key that a dataclass field of a section stands for."""
    return str(f.metadata.get("key", f.name))


def positive(name: str, value: float) -> None:
    """Refuse a value that is not positive.

    Raises:
        InputError: for such a value; ``name`` is its key.
    """
    if not value > 0:
        raise InputError(f"{name} must be positive, not {value}.")


def one_of(name: str, value: Any, valid: Iterable[Any]) -> None:
    """Refuse a value that is not one of the valid ones.

    Raises:
        InputError: for such a value; ``name`` is its key.
    """
    valid = list(valid)
    if value in valid:
        return
    if isinstance(value, str):
        raise unknown(name, value, valid)
    raise InputError(f"{name} must be {' or '.join(map(str, valid))}, not {shown(value)}.")


def toml_of(value: Any) -> str:
    """A value in TOML syntax."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{k} = {toml_of(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(toml_of, value)) + "]"
    return repr(value)
