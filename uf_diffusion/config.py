"""Configuration: TOML files and presets to frozen values, every key checked.

Sections and keys are those of a run folder's ``run.toml``; the defaults are the paper's section
6.1. A mistake is one sentence, before any work is done.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from uf_diffusion.errors import InputError, unknown
from uf_diffusion.problem import Problem
from uf_diffusion.problem.densities import density
from uf_diffusion.problem.divergences import divergence
from uf_diffusion.problem.manifolds import Array, Circle, FlatTorus, Manifold, Sphere

__all__ = ["Config", "DiffusionConfig", "NetworkConfig", "ProblemConfig", "config_from_toml",
           "load_config", "presets"]  # fmt: skip

ALGORITHMS = ["varpro", "two-timescale", "flow", "joint", "fixed"]
PLACEMENTS = ["random", "even", "quantile"]
type Snapshots = int | tuple[float, ...]  # how many times, or the times

MANIFOLDS = {"circle": 1, "sphere": 2, "torus": 2}  # with their default dimensions


@dataclass(frozen=True)
class ProblemConfig:
    """Section [problem]: what is solved."""

    manifold: str = "circle"
    dim: int = 0  # 0: the manifold's default dimension
    period: float = 4.0
    regulariser: str = "unbiased"
    power: float = 2.0
    t_end: float = 10.0
    limit: str = "unconstrained"
    teacher: Any = None  # none: the paper's bumps, von Mises-Fisher on a sphere
    initial: Any = "uniform"

    def __post_init__(self) -> None:
        if self.manifold not in MANIFOLDS:
            raise unknown("problem.manifold", self.manifold, MANIFOLDS)
        if self.dim < 0:
            raise InputError(f"problem.dim must be positive, not {self.dim}.")
        _positive("problem.t_end", self.t_end)
        _one_of("problem.limit", self.limit, ["unconstrained", "constrained"])
        if self.dim == 0:
            object.__setattr__(self, "dim", MANIFOLDS[self.manifold])
        default = "von-mises-fisher" if self.manifold == "sphere" else "bumps"
        for name in ("teacher", "initial"):
            spec = default if getattr(self, name) is None else getattr(self, name)
            table = {"kind": spec} if isinstance(spec, str) else dict(spec)
            object.__setattr__(self, name, table)

    def shape(self) -> Manifold:
        """The feature space."""
        if self.manifold == "circle":
            return Circle(self.dim)
        if self.manifold == "sphere":
            return Sphere(self.dim)
        return FlatTorus(self.dim, self.period)

    def build(self, folder: str = ".") -> Problem:
        """The problem's values.

        Args:
            folder: first on the import path of "python" densities.
        """
        shape = self.shape()
        return Problem(
            manifold=shape,
            teacher=density(self.teacher, shape, folder),
            initial=density(self.initial, shape, folder),
            divergence=divergence(self.regulariser, self.power, folder),
            t_end=self.t_end,
        )


@dataclass(frozen=True)
class DiffusionConfig:
    """Section [diffusion]: how the PDE is solved."""

    cells: int = 4096
    degree: int = 1
    scheme: str = "sdirk2"
    rtol: float = 1e-4
    step: float = 0.0  # a fixed time step, for studies; 0: as rtol allows
    mesh: str = ""  # a file with a triangulation of the sphere; none: built in, from cells
    snapshots: Snapshots = 21  # how many, evenly spaced from 0 to t_end, or a list of these times
    checkpoint: float = 60.0  # seconds of wall time between checkpoints

    def __post_init__(self) -> None:
        _positive("diffusion.cells", self.cells)
        _one_of("diffusion.degree", self.degree, [1, 2, 3])
        _one_of("diffusion.scheme", self.scheme, ["euler", "sdirk2", "sdirk3", "esdirk4"])
        if not 0 < self.rtol < 1:
            raise InputError(f"diffusion.rtol must lie between 0 and 1, not {self.rtol}.")
        if self.step < 0:
            raise InputError(f"diffusion.step must not be negative, but is {self.step}.")
        _positive("diffusion.checkpoint", self.checkpoint)
        object.__setattr__(self, "snapshots", _snapshots(self.snapshots))


@dataclass(frozen=True)
class NetworkConfig:
    """Section [network]: how the network is trained. ``regularisation`` is the key ``lambda``."""

    width: int = 512
    regularisation: float = field(default=1e-3, metadata={"key": "lambda"})
    features: str = ""  # none: radial on a torus, ReLU elsewhere
    scale: float = 0.5
    profile: str = "laplace"
    kernel: str = "sampled"
    samples: int = 4096
    teacher_width: int = 4096
    truncation: float = 1e-2  # of kernel "low-rank": what K may lose, over lambda
    algorithm: str = "varpro"
    step: float = 2.0**-10
    ratio: float = 1.0  # of "two-timescale": total rate of the outer steps for each inner one
    rtol: float = 1e-5  # of "flow": error of a step, in radians or their like
    seed: int = 0
    placement: str = "random"
    teacher_placement: str = ""  # none: as placement

    @property
    def pace(self) -> str:
        """What sets the time steps, in words."""
        return f"rtol {self.rtol:.0e}" if self.algorithm == "flow" else f"step {self.step:.3g}"

    def __post_init__(self) -> None:
        for name in ("width", "samples", "teacher_width", "truncation", "step", "ratio"):
            _positive(f"network.{name}", getattr(self, name))
        _positive("network.lambda", self.regularisation)
        _one_of("network.kernel", self.kernel, ["sampled", "population", "low-rank"])
        _one_of("network.algorithm", self.algorithm, ALGORITHMS)
        _one_of("network.placement", self.placement, PLACEMENTS)
        if self.teacher_placement:
            _one_of("network.teacher_placement", self.teacher_placement, PLACEMENTS)
        if not 0 < self.rtol < 1:
            raise InputError(f"network.rtol must lie between 0 and 1, not {self.rtol}.")
        if self.seed < 0:
            raise InputError(f"network.seed must not be negative, but is {self.seed}.")


@dataclass(frozen=True)
class Config:
    """A whole run, resolved.

    Attributes:
        problem, diffusion, network: the sections.
        name: the preset's or the file's name.
        folder: where the file lies; first on the import path of "python" densities, and what
            ``diffusion.mesh`` is relative to.
    """

    problem: ProblemConfig = field(default_factory=ProblemConfig)
    diffusion: DiffusionConfig = field(default_factory=DiffusionConfig)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    name: str = field(default="run", compare=False)
    folder: str = field(default=".", compare=False)

    def __post_init__(self) -> None:
        if not self.network.features:
            default = "radial" if self.problem.manifold == "torus" else "relu"
            network = dataclasses.replace(self.network, features=default)
            object.__setattr__(self, "network", network)
        if self.times()[-1] != self.problem.t_end:
            raise InputError(
                "The last of diffusion.snapshots must be problem.t_end = "
                f"{self.problem.t_end}, not {self.times()[-1]}."
            )
        if self.problem.limit == "constrained":
            self._require_constrained()
        if self.diffusion.mesh:
            if (self.problem.manifold, self.problem.dim) != ("sphere", 2):
                raise InputError(
                    "diffusion.mesh is for problem.manifold = 'sphere' of dimension 2 only."
                )
            # absolute, so that run.toml can be run from anywhere
            path = os.path.abspath(os.path.join(self.folder, self.diffusion.mesh))
            diffusion = dataclasses.replace(self.diffusion, mesh=path)
            object.__setattr__(self, "diffusion", diffusion)

    def _require_constrained(self) -> None:
        if (self.problem.manifold, self.problem.dim) not in (("circle", 1), ("sphere", 2)):
            raise InputError("problem.limit = 'constrained' is for the circle and the sphere S^2.")
        if self.network.features != "relu":
            raise InputError(
                "problem.limit = 'constrained' is the limit for network.features = 'relu', "
                f"not '{self.network.features}'."
            )
        if self.diffusion.degree != 1:
            raise InputError("problem.limit = 'constrained' needs diffusion.degree = 1.")

    def times(self) -> Array:
        """The snapshot times, increasing from 0 to t_end."""
        chosen = self.diffusion.snapshots
        if isinstance(chosen, int):
            return np.linspace(0, self.problem.t_end, chosen)
        return np.array(chosen)

    def clock_times(self) -> Array:
        """The snapshot times of both sides of a comparison.

        They are moved to whole training steps, but for the gradient flow, whose steps meet them.

        Raises:
            InputError: when the end is less than one step away.
        """
        if self.network.algorithm == "flow":
            return self.times()
        tau = self.network.step
        steps = np.unique(np.rint(self.times() / tau))
        if len(steps) < 2:
            raise InputError(
                f"network.step = {tau} is longer than the run to t = {self.times()[-1]}."
            )
        return steps * tau

    def build(self) -> Problem:
        """The problem's values."""
        return self.problem.build(self.folder)

    def to_toml(self) -> str:
        """The configuration as TOML text that `load_config` reads."""
        lines = []
        for name, cls in _SECTIONS.items():
            section = getattr(self, name)
            lines.append(f"[{name}]")
            lines += [f"{_key(f)} = {_toml(getattr(section, f.name))}" for f in fields(cls)]
            lines.append("")
        return "\n".join(lines)


_SECTIONS: dict[str, Any] = {
    "problem": ProblemConfig,
    "diffusion": DiffusionConfig,
    "network": NetworkConfig,
}


def presets() -> list[str]:
    """The names of the configurations that come with the package."""
    files = (resources.files("uf_diffusion") / "presets").iterdir()
    return sorted(f.name.removesuffix(".toml") for f in files if f.name.endswith(".toml"))


def load_config(path_or_preset: str | Path, overrides: Sequence[str] = ()) -> Config:
    """Read a preset or a TOML file and apply overrides.

    Args:
        path_or_preset: the name of a preset, or a file ending in ``.toml``.
        overrides: "section.key=value" each, the value in TOML syntax; a bare word is a string.

    Raises:
        InputError: for anything that cannot be read, is unknown, or is out of range.
    """
    text, name, folder = _source(str(path_or_preset))
    config = config_from_toml(text, overrides, name, folder)
    config.build()  # manifold, densities and divergence check their own values
    return config


def config_from_toml(
    text: str, overrides: Sequence[str] = (), name: str = "run", folder: str = "."
) -> Config:
    """`load_config` of TOML text, such as the ``config`` attribute of a result.

    The densities are not built: those of kind "python" may be out of reach.
    """
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"The configuration '{name}' is not valid TOML: {error}.") from None
    for override in overrides:
        _apply(tables, override)
    for section in tables:
        if section not in _SECTIONS:
            raise unknown("section", section, _SECTIONS)
    sections = {key: _section(key, tables.get(key, {})) for key in _SECTIONS}
    return Config(**sections, name=name, folder=folder)


def _source(path_or_preset: str) -> tuple[str, str, str]:
    """The text, name and folder of a preset or a file."""
    if path_or_preset in presets():
        text = (resources.files("uf_diffusion") / "presets" / f"{path_or_preset}.toml").read_text()
        return text, path_or_preset, "."
    path = Path(path_or_preset)
    if path.suffix != ".toml":
        raise unknown("preset (and not a .toml file)", path_or_preset, presets())
    try:
        return path.read_text(encoding="utf-8"), path.stem, str(path.resolve().parent)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise InputError(f"Cannot read '{path}': {reason}.") from None


def _apply(tables: dict[str, Any], override: str) -> None:
    """Set one "section.key=value" in nested tables."""
    name, equals, text = override.partition("=")
    keys = [key.strip() for key in name.split(".")]
    if not equals or len(keys) < 2 or not all(keys):
        raise InputError(f"--set takes section.key=value, not '{override}'.")
    if re.fullmatch(r"(?!(true|false|inf|nan)$)[A-Za-z/.][\w./:-]*", text.strip()):
        text = json.dumps(text.strip(), ensure_ascii=False)
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        raise InputError(f"'{text}' in --set {name}=... is not a TOML value.") from None
    table = tables
    for key in keys[:-1]:
        child = table.setdefault(key, {})
        if isinstance(child, str):  # a density given by its kind alone
            child = table[key] = {"kind": child}
        if not isinstance(child, dict):
            raise InputError(f"--set {name}: '{key}' is a value, not a table.")
        table = child
    table[keys[-1]] = value


def _section(name: str, table: Any) -> Any:
    """The section's dataclass from its TOML table; unknown keys and wrong types are refused."""
    if not isinstance(table, dict):
        raise InputError(f"[{name}] must be a table of keys, not {table!r}.")
    by_key = {_key(f): f for f in fields(_SECTIONS[name])}
    values = {}
    for key, value in table.items():
        if key not in by_key:
            raise unknown(f"key in [{name}]", key, by_key)
        values[by_key[key].name] = _typed(f"{name}.{key}", value, str(by_key[key].type))
    return _SECTIONS[name](**values)


def _typed(name: str, value: Any, kind: str) -> Any:
    """The value as int, float, str or a density, or one sentence why not."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    whole = number and (kind == "int" or isinstance(value, int))
    if whole and 2**63 <= abs(value) != math.inf:
        raise InputError(f"{name} must be smaller than 2^63 in magnitude.")
    if kind == "int" and number and value == int(value if math.isfinite(value) else 0):
        return int(value)
    if kind == "float" and number and math.isfinite(value):
        return float(value)
    if kind == "str" and isinstance(value, str):
        return value
    if kind == "Any" and isinstance(value, str | dict):
        return value
    if kind == "Snapshots":
        return value  # its section says what it may be
    wanted = {"int": "a whole number", "float": "a finite number", "str": "a string",
              "Any": 'a table such as {kind = "uniform"}'}[kind]  # fmt: skip
    raise InputError(f"{name} must be {wanted}, not {value!r}.")


def _snapshots(value: Any) -> Snapshots:
    """The key diffusion.snapshots, checked."""
    if isinstance(value, int) and not isinstance(value, bool):
        if value < 2:
            raise InputError(f"diffusion.snapshots must be at least 2, not {value}.")
        return value
    wanted = InputError(
        "diffusion.snapshots must be a whole number or times that increase from 0 to "
        f"problem.t_end, not {value!r}."
    )
    if not isinstance(value, list | tuple) or len(value) < 2:
        raise wanted
    if not all(type(t) in (int, float) and math.isfinite(t) for t in value):
        raise wanted
    if value[0] != 0 or not (np.diff(value) > 0).all():
        raise wanted
    return tuple(map(float, value))


def _key(f: Any) -> str:
    return str(f.metadata.get("key", f.name))


def _positive(name: str, value: float) -> None:
    if not value > 0:
        raise InputError(f"{name} must be positive, not {value}.")


def _one_of(name: str, value: Any, valid: Iterable[Any]) -> None:
    valid = list(valid)
    if value in valid:
        return
    if isinstance(value, str):
        raise unknown(name, value, valid)
    raise InputError(f"{name} must be {' or '.join(map(str, valid))}, not {value}.")


def _toml(value: Any) -> str:
    """A value in TOML syntax."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{k} = {_toml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return repr(value)
