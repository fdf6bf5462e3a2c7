"""Reads configurations from TOML files, presets and the ``--set`` of the command line."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import fields
from importlib import resources
from pathlib import Path
from typing import Any

from uf_diffusion.core.errors import InputError
from uf_diffusion.core.files import require_file
from uf_diffusion.core.paths import require_text, user_path
from uf_diffusion.core.wording import shown, unknown
from uf_diffusion.runs import presets
from uf_diffusion.runs.config import SECTIONS, Changes, Config
from uf_diffusion.runs.keys import key_of
from uf_diffusion.runs.sections import CHOSEN

__all__ = ["change_of", "changes_of", "config_from_toml", "key_and_values", "load_config"]

# what tomllib raises: its own error, errors of int(), and an error for too deeply nested tables
NOT_TOML = (ValueError, RecursionError)


def load_config(path_or_preset: str | Path, overrides: Sequence[str] = ()) -> Config:
    """Read a preset or a TOML file and apply overrides.

    Args:
        path_or_preset: the name of a preset, or a file ending in ``.toml``.
        overrides: strings "section.key=value" with the value in TOML syntax, where a single word
            needs no quotes.

    Raises:
        InputError: if the file cannot be read, a name is unknown, or a value is out of range.
    """
    text, name, folder = _source(str(path_or_preset))
    config = config_from_toml(text, overrides, name, folder, trusted=True)
    config.build()  # manifold, densities and divergence check their own values
    return config


def config_from_toml(
    text: str,
    overrides: Sequence[str] = (),
    name: str = "run",
    folder: str = ".",
    trusted: bool = False,
) -> Config:
    """As `load_config`, for TOML text such as the attribute ``config`` of a result.

    The densities are not built, because the module of a kind "python" may not be importable.
    ``name``, ``folder`` and ``trusted`` are those of `Config`; what a file says of itself is not.
    """
    try:
        tables = tomllib.loads(text)
    except NOT_TOML as error:
        reason = str(error).rstrip(".")
        raise InputError(f"The configuration '{name}' is not valid TOML: {reason}.") from None
    if isinstance(overrides, str):
        raise InputError(f"Overrides are a list of section.key=value, not {shown(overrides)}.")
    asked: dict[str, Any] = {}
    for override in overrides:
        _apply(asked, str(override))
        _apply(tables, str(override))
    _free(tables, asked)
    for section in tables:
        if section not in SECTIONS:
            raise unknown("section", section, SECTIONS)
    sections = {key: _section(key, tables.get(key, {})) for key in SECTIONS}
    return Config(**sections, name=name, folder=folder, trusted=trusted)


def changes_of(overrides: Sequence[str]) -> Changes:
    """The changes that the ``--set`` of the command line asks for, for use with `Config.changed`.

    Args:
        overrides: strings "section.key=value", as for `load_config`.

    Raises:
        InputError: as `load_config`.
    """
    sections: dict[str, dict[str, Any]] = {}
    for override in overrides:
        _apply(sections, str(override))
    for section in sections:
        if section not in SECTIONS:
            raise unknown("section", section, SECTIONS)
    return {name: _named(name, table) for name, table in sections.items()}


def change_of(key: str, value: Any) -> Changes:
    """The change of one key, such as "network.width" or "problem.teacher.gamma".

    Raises:
        InputError: for an unknown section or key.
    """
    section, *keys = str(key).split(".")
    if section not in SECTIONS:
        raise unknown("section", section, SECTIONS)
    if not all(keys) or not keys:
        raise InputError(f"A key is written section.key, such as network.width, not {shown(key)}.")
    for name in reversed(keys[1:]):
        value = {name: value}
    return {section: _named(section, {keys[0]: value})}


def _source(path_or_preset: str) -> tuple[str, str, str]:
    """The text, name and folder of a preset or a file."""
    if path_or_preset in presets():
        text = (
            resources.files("uf_diffusion.runs") / "presets" / f"{path_or_preset}.toml"
        ).read_text()
        return text, path_or_preset, "."
    path = user_path(path_or_preset)
    if not path.name.endswith(".toml"):
        raise unknown("preset (and not a .toml file)", path_or_preset, presets())
    name, folder = path.name.removesuffix(".toml").strip(".") or "run", str(path.resolve().parent)
    require_text(folder)
    require_file(path)
    try:
        return path.read_text(encoding="utf-8"), name, folder
    except OSError as error:
        raise InputError(f"Cannot read {shown(str(path))}: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise InputError(f"Cannot read {shown(str(path))}: it is not UTF-8 text.") from None


def _apply(tables: dict[str, Any], override: str) -> None:
    """Set one "section.key=value" in nested tables."""
    name, equals, text = override.partition("=")
    keys = [key.strip() for key in name.split(".")]
    if not equals or len(keys) < 2 or not all(keys):
        raise InputError(f"--set takes section.key=value, not {shown(override)}.")
    value, table = _value(text, f"--set {shown(name)}"), tables
    for key in keys[:-1]:
        child = table.setdefault(key, {})
        if isinstance(child, str):  # a density given by its kind alone
            child = table[key] = {"kind": child}
        if not isinstance(child, dict):
            raise InputError(f"--set {shown(name)}: {shown(key)} is a value, not a table.")
        table = child
    table[keys[-1]] = value


def _free(tables: dict[str, Any], asked: dict[str, Any]) -> None:
    """Drop what a tolerance chooses if the tolerance is asked for on top of a file or a preset."""
    new, table = asked.get("diffusion", {}), tables.get("diffusion", {})
    if isinstance(new, dict) and new.get("tolerance") and isinstance(table, dict):
        for name in set(CHOSEN) - set(new):
            table.pop(name, None)


def _value(text: str, option: str) -> Any:
    """A value in TOML syntax, where a single word needs no quotes."""
    if re.fullmatch(r"(?!(true|false|inf|nan)$)[A-Za-z/.][\w./:-]*", text.strip()):
        text = json.dumps(text.strip(), ensure_ascii=False)
    try:
        table = tomllib.loads(f"value = {text}")
    except NOT_TOML:
        table = {}
    if set(table) != {"value"}:
        raise InputError(f"{shown(text)} in {option}=... is not a TOML value.")
    return table["value"]


def key_and_values(text: str) -> tuple[str, list[Any]]:
    """The key and the values in the argument of ``--over``, such as "network.width=64,256".

    Raises:
        InputError: for a text of another form, or a value that is not one of TOML.
    """
    key, equals, listed = text.partition("=")
    if not equals:
        raise InputError(f"--over takes section.key=v1,v2, not {shown(text)}.")
    values, pieces = list[Any](), list[str]()
    for piece in listed.split(",") if listed.strip() else []:
        pieces.append(piece)
        with suppress(InputError):  # a comma within a table or a list
            values.append(_value(",".join(pieces), "--over"))
            pieces = []
    if pieces:
        raise InputError(
            f"{shown(','.join(pieces))} in --over {shown(key)}=... is not a TOML value."
        )
    return key.strip(), values


def _section(name: str, table: Any) -> Any:
    """The dataclass of a section, made from its TOML table."""
    return SECTIONS[name](**_named(name, table))


def _named(name: str, table: Any) -> dict[str, Any]:
    """The values of a section's TOML table by the names of the dataclass fields."""
    if not isinstance(table, dict):
        raise InputError(f"[{name}] must be a table of keys, not {shown(table)}.")
    by_key = {key_of(f): f for f in fields(SECTIONS[name])}
    also = {f.name: key_of(f) for f in fields(SECTIONS[name])}  # the names of the fields in Python
    values = {}
    for key, value in table.items():
        if key not in by_key:
            raise unknown(f"key in [{name}]", key, by_key, also)
        values[by_key[key].name] = value
    return values
