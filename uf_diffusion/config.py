"""Configuration: TOML files and presets to frozen values, every key checked.

Sections and keys are those of a run folder's ``run.toml``; the defaults are the paper's section
6.1. A mistake is one sentence, before any work is done.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from uf_diffusion.errors import InputError, shown, unknown
from uf_diffusion.keys import Snapshots, key_of, one_of, positive, settle_types, toml_of
from uf_diffusion.notebook import html_table, one_line
from uf_diffusion.problem import Problem
from uf_diffusion.problem.arguments import LARGEST
from uf_diffusion.problem.densities import PLACEMENTS, density
from uf_diffusion.problem.divergences import divergence
from uf_diffusion.problem.manifolds import MANIFOLDS, Array, Manifold, manifold

__all__ = ["Config", "DiffusionConfig", "NetworkConfig", "ProblemConfig", "config_from_toml",
           "config_of", "load_config", "presets"]  # fmt: skip

ALGORITHMS = ["varpro", "two-timescale", "flow", "joint", "fixed"]
MOST_STEPS = 10**9  # of a run: months
# beside its own error tomllib lets through those of int() and of tables nested too deep
NOT_TOML = (ValueError, RecursionError)


@dataclass(frozen=True)
class ProblemConfig:
    """Section [problem]: what is solved."""

    manifold: str = "circle"
    dim: int = 0  # 0: the manifold's default or only dimension
    period: float = 4.0
    regulariser: str = "unbiased"
    power: float = 2.0
    t_end: float = 10.0
    limit: str = "unconstrained"
    teacher: Any = None  # none: the paper's bumps, von Mises-Fisher on a sphere
    initial: Any = "uniform"

    def __post_init__(self) -> None:
        settle_types("problem", self)
        if self.manifold not in MANIFOLDS and ":" not in self.manifold:
            raise unknown("problem.manifold", self.manifold, MANIFOLDS)
        if self.dim < 0:
            raise InputError(f"problem.dim must be positive, not {self.dim}.")
        positive("problem.t_end", self.t_end)
        if self.t_end > LARGEST:
            raise InputError(f"problem.t_end must be at most {LARGEST:g}, not {self.t_end:g}.")
        one_of("problem.limit", self.limit, ["unconstrained", "constrained"])
        if self.dim == 0:
            object.__setattr__(self, "dim", MANIFOLDS.get(self.manifold, 0))
        default = "von-mises-fisher" if self.manifold == "sphere" else "bumps"
        for name in ("teacher", "initial"):
            spec = default if getattr(self, name) is None else getattr(self, name)
            table = {"kind": spec} if isinstance(spec, str) else dict(spec)
            object.__setattr__(self, name, table)

    def shape(self, folder: str = ".") -> Manifold:
        """The feature space; ``folder`` is first on the import path of a user's own."""
        return manifold(self.manifold, self.dim, self.period, folder)

    def build(self, folder: str = ".") -> Problem:
        """The problem's values.

        Args:
            folder: first on the import path of what is named "module:name".
        """
        shape = self.shape(folder)
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
        settle_types("diffusion", self)
        positive("diffusion.cells", self.cells)
        one_of("diffusion.degree", self.degree, [1, 2, 3])
        one_of("diffusion.scheme", self.scheme, ["euler", "sdirk2", "sdirk3", "esdirk4"])
        if not 0 < self.rtol < 1:
            raise InputError(f"diffusion.rtol must lie between 0 and 1, not {self.rtol}.")
        if self.step < 0:
            raise InputError(f"diffusion.step must not be negative, but is {self.step}.")
        positive("diffusion.checkpoint", self.checkpoint)


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
        settle_types("network", self)
        for name in ("width", "samples", "teacher_width", "truncation", "step", "ratio"):
            positive(f"network.{name}", getattr(self, name))
        positive("network.lambda", self.regularisation)
        one_of("network.kernel", self.kernel, ["sampled", "population", "low-rank"])
        one_of("network.algorithm", self.algorithm, ALGORITHMS)
        one_of("network.placement", self.placement, PLACEMENTS)
        if self.teacher_placement:
            one_of("network.teacher_placement", self.teacher_placement, PLACEMENTS)
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
        for name, cls in _SECTIONS.items():
            if not isinstance(getattr(self, name), cls):
                raise InputError(
                    f"Config.{name} must be a {cls.__name__}, not {shown(getattr(self, name))}."
                )
        self._require_few_steps("diffusion.step", self.diffusion.step)
        if not self.problem.dim:
            dim = self.shape().dim
            object.__setattr__(self, "problem", dataclasses.replace(self.problem, dim=dim))
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

    def _require_few_steps(self, name: str, step: float) -> None:
        if step * MOST_STEPS < self.problem.t_end and step > 0:
            raise InputError(
                f"{name} = {step:g} makes more than {MOST_STEPS:g} steps to "
                f"problem.t_end = {self.problem.t_end:g}."
            )

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
            InputError: when the end is less than one step away, or steps without end.
        """
        if self.network.algorithm == "flow":
            return self.times()
        tau = self.network.step
        self._require_few_steps("network.step", tau)
        steps = np.unique(np.rint(self.times() / tau))
        if len(steps) < 2:
            raise InputError(
                f"network.step = {tau} is longer than the run to t = {self.times()[-1]}."
            )
        return steps * tau

    def shape(self) -> Manifold:
        """The feature space."""
        return self.problem.shape(self.folder)

    def build(self) -> Problem:
        """The problem's values."""
        return self.problem.build(self.folder)

    def __repr__(self) -> str:
        p, n = self.problem, self.network
        return one_line(
            "Config", name=self.name, manifold=p.manifold, dim=p.dim, regulariser=p.regulariser,
            t_end=p.t_end, features=n.features, width=n.width, regularisation=n.regularisation,
        )  # fmt: skip

    def _repr_html_(self) -> str:
        """All keys by section, in bold those that differ from the defaults."""
        plain = Config()

        def rows(name: str, cls: Any) -> Iterator[tuple[str, str, bool]]:
            section, usual = getattr(self, name), getattr(plain, name)
            for f in fields(cls):
                value = getattr(section, f.name)
                yield key_of(f), toml_of(value), value != getattr(usual, f.name)

        return html_table(self.name, {name: rows(name, cls) for name, cls in _SECTIONS.items()})

    def to_toml(self) -> str:
        """The configuration as TOML text that `load_config` reads."""
        lines = []
        for name, cls in _SECTIONS.items():
            section = getattr(self, name)
            lines.append(f"[{name}]")
            lines += [f"{key_of(f)} = {toml_of(getattr(section, f.name))}" for f in fields(cls)]
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
    except NOT_TOML as error:
        reason = str(error).rstrip(".")
        raise InputError(f"The configuration '{name}' is not valid TOML: {reason}.") from None
    if isinstance(overrides, str):
        raise InputError(f"Overrides are a list of section.key=value, not {shown(overrides)}.")
    for override in overrides:
        _apply(tables, str(override))
    for section in tables:
        if section not in _SECTIONS:
            raise unknown("section", section, _SECTIONS)
    sections = {key: _section(key, tables.get(key, {})) for key in _SECTIONS}
    return Config(**sections, name=name, folder=folder)


def config_of(result: Any) -> Config:
    """The configuration of a result.

    Raises:
        InputError: for what is no result.
    """
    text = getattr(result, "attrs", {}).get("config")
    if not isinstance(text, str):
        raise InputError("This is not a result of uf_diffusion: its configuration is missing.")
    return config_from_toml(text)


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
    except OSError as error:
        raise InputError(f"Cannot read {shown(str(path))}: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise InputError(f"Cannot read {shown(str(path))}: it is not UTF-8 text.") from None
    except ValueError:  # a zero byte
        raise InputError(f"Cannot read {shown(path_or_preset)}: there is no such path.") from None


def _apply(tables: dict[str, Any], override: str) -> None:
    """Set one "section.key=value" in nested tables."""
    name, equals, text = override.partition("=")
    keys = [key.strip() for key in name.split(".")]
    if not equals or len(keys) < 2 or not all(keys):
        raise InputError(f"--set takes section.key=value, not {shown(override)}.")
    if re.fullmatch(r"(?!(true|false|inf|nan)$)[A-Za-z/.][\w./:-]*", text.strip()):
        text = json.dumps(text.strip(), ensure_ascii=False)
    try:
        table = tomllib.loads(f"value = {text}")
    except NOT_TOML:
        table = {}
    if set(table) != {"value"}:
        raise InputError(f"{shown(text)} in --set {shown(name)}=... is not a TOML value.")
    value = table["value"]
    table = tables
    for key in keys[:-1]:
        child = table.setdefault(key, {})
        if isinstance(child, str):  # a density given by its kind alone
            child = table[key] = {"kind": child}
        if not isinstance(child, dict):
            raise InputError(f"--set {shown(name)}: {shown(key)} is a value, not a table.")
        table = child
    table[keys[-1]] = value


def _section(name: str, table: Any) -> Any:
    """The section's dataclass from its TOML table; unknown keys and wrong types are refused."""
    if not isinstance(table, dict):
        raise InputError(f"[{name}] must be a table of keys, not {shown(table)}.")
    by_key = {key_of(f): f for f in fields(_SECTIONS[name])}
    also = {f.name: key_of(f) for f in fields(_SECTIONS[name])}  # their names in Python
    values = {}
    for key, value in table.items():
        if key not in by_key:
            raise unknown(f"key in [{name}]", key, by_key, also)
        values[by_key[key].name] = value
    return _SECTIONS[name](**values)
