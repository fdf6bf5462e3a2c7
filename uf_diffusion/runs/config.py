"""The configuration of a run: its sections, and the checks of values that must fit together.

Sections and keys are those of the file ``run.toml`` in a run's folder. The defaults are the setting
of section 6.1 of the paper. A mistake is reported in one sentence before any work is done.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from uf_diffusion.core.arrays import Array
from uf_diffusion.core.errors import InputError
from uf_diffusion.core.paths import user_path
from uf_diffusion.core.reprs import html_table, one_line
from uf_diffusion.core.wording import shown
from uf_diffusion.network.data import TEACHER, data_of, is_file
from uf_diffusion.network.draws import GIVEN, PAPER, read_draws
from uf_diffusion.problem import Problem
from uf_diffusion.problem.manifolds import Manifold
from uf_diffusion.runs.keys import key_of, toml_of
from uf_diffusion.runs.sections import CHOSEN, DiffusionConfig, NetworkConfig, ProblemConfig

__all__ = ["SECTIONS", "Changes", "Config", "DiffusionConfig", "NetworkConfig", "ProblemConfig",
           "merged"]  # fmt: skip

type Changes = Mapping[str, Mapping[str, Any]]  # new values of fields, by section

MOST_STEPS = 10**9  # time steps of a run, at most; so many would take months


@dataclass(frozen=True)
class Config:
    """The configuration of a whole run, with all defaults filled in.

    Attributes:
        problem, diffusion, network: the sections.
        name: the name of the preset or of the file.
        folder: the folder of the file. Modules of a "module:name" are searched for there first,
            and the files that the configuration names are relative to it.
        trusted: whether such modules may be imported; not if a result or a checkpoint names them.

    Raises:
        InputError: for values that do not fit together.
    """

    problem: ProblemConfig = field(default_factory=ProblemConfig)
    diffusion: DiffusionConfig = field(default_factory=DiffusionConfig)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    name: str = field(default="run", compare=False)
    folder: str = field(default=".", compare=False)
    trusted: bool = field(default=True, compare=False)

    def __post_init__(self) -> None:
        for name, cls in SECTIONS.items():
            if not isinstance(getattr(self, name), cls):
                raise InputError(
                    f"Config.{name} must be a {cls.__name__}, not {shown(getattr(self, name))}."
                )
        self._require_few_steps("diffusion.step", self.diffusion.step)
        self._settle_density_files()
        if not self.problem.dim:
            dim = self.space().dim
            object.__setattr__(self, "problem", replace(self.problem, dim=dim))
        if not self.network.features:
            default = "radial" if self.problem.manifold == "torus" else "relu"
            object.__setattr__(self, "network", replace(self.network, features=default))
        self._require_activation()
        if not self.network.profile:
            shape = "gaussian" if self.network.features == "fourier" else "laplace"
            object.__setattr__(self, "network", replace(self.network, profile=shape))
        if not self.network.scale:
            usual = 1.0 if self.network.features == "activation" else 0.5
            object.__setattr__(self, "network", replace(self.network, scale=usual))
        if self.times()[-1] != self.problem.t_end:
            raise InputError(
                "The last of diffusion.snapshots must be problem.t_end = "
                f"{self.problem.t_end}, not {self.times()[-1]}."
            )
        limit = self.problem.limit
        if limit == "constrained" and self.problem.manifold not in ("circle", "sphere"):
            raise InputError("problem.limit = 'constrained' is for the circle and the spheres S^d.")
        if limit in ("constrained", "mean-field") and self.diffusion.degree != 1:
            raise InputError(f"problem.limit = '{limit}' needs diffusion.degree = 1.")
        if limit in ("constrained", "mean-field") and self.diffusion.tolerance:
            raise InputError("diffusion.tolerance is for problem.limit = 'unconstrained'.")
        if self.diffusion.mesh:
            if self.problem.axis:
                raise InputError(
                    "With problem.axis the mesh is one of angles: leave diffusion.mesh out."
                )
            if (self.problem.manifold, self.problem.dim) != ("sphere", 2):
                raise InputError(
                    "diffusion.mesh is for problem.manifold = 'sphere' of dimension 2 only."
                )
            diffusion = replace(self.diffusion, mesh=self._absolute(self.diffusion.mesh))
            object.__setattr__(self, "diffusion", diffusion)
        if self.network.draws not in ("", GIVEN, PAPER):
            self._settle_draws()
        self._settle_data()

    def _settle_density_files(self) -> None:
        """Make the paths of files with the data of densities absolute."""
        for name in ("teacher", "initial"):
            table = getattr(self.problem, name)
            if isinstance(file := table.get("file"), str):
                table = table | {"file": self._absolute(file)}
                object.__setattr__(self, "problem", replace(self.problem, **{name: table}))

    def _absolute(self, file: str) -> str:
        """The absolute path of a file, so that run.toml can be run from anywhere."""
        return os.path.abspath(os.path.join(self.folder, user_path(file)))

    def _settle_draws(self) -> None:
        """Take the numbers of neurons and inputs from the file with the draws.

        If it cannot be read, as when a result is read elsewhere, the numbers stay as they are; a
        training will say why.
        """
        new: dict[str, Any] = {"draws": self._absolute(self.network.draws)}
        with suppress(InputError):
            new |= read_draws(Path(new["draws"])).sizes
        object.__setattr__(self, "network", replace(self.network, **new))

    def _settle_data(self) -> None:
        """Take the number of inputs from the file with them, as `_settle_draws`; with labels that
        are given there is no other teacher.
        """
        n = self.network
        new: dict[str, Any] = {
            name: self._absolute(value)
            for name, value in (("inputs", n.inputs), ("labels", n.labels))
            if is_file(value)
        }
        if "inputs" in new:
            with suppress(InputError):
                new["samples"] = len(data_of(new["inputs"], TEACHER).inputs)
        if new:
            object.__setattr__(self, "network", replace(n, **new))
        if n.labels != TEACHER:
            problem = replace(self.problem, teacher={"kind": "unknown"})
            object.__setattr__(self, "problem", problem)

    def _require_activation(self) -> None:
        """Refuse keys of activations with other features."""
        n, usual = self.network, NetworkConfig()
        for name in ("activation", "slope", "bias"):
            if n.features != "activation" and getattr(n, name) != getattr(usual, name):
                raise InputError(
                    f"network.{name} is for network.features = 'activation', not '{n.features}'."
                )

    def _require_few_steps(self, name: str, step: float) -> None:
        if step * MOST_STEPS < self.problem.t_end and step > 0:
            raise InputError(
                f"{name} = {step:g} makes more than {MOST_STEPS:g} steps to "
                f"problem.t_end = {self.problem.t_end:g}."
            )

    def times(self) -> Array:
        """The snapshot times ``(snapshots,)``, increasing from 0 to t_end, dimensionless."""
        chosen = self.diffusion.snapshots
        if isinstance(chosen, int):
            return np.linspace(0, self.problem.t_end, chosen)
        return np.array(chosen)

    def clock_times(self) -> Array:
        """The snapshot times ``(snapshots,)`` of both sides of a comparison, dimensionless.

        Each time is moved to the nearest whole number of training steps. The gradient flow needs
        no such move, because its steps end at the snapshot times.

        Raises:
            InputError: if the run is shorter than a step, or takes more than `MOST_STEPS` steps.
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

    def changed(self, **sections: Mapping[str, Any]) -> Config:
        """A copy with other values.

        A new manifold also resets its dimension, the teacher and the features to their defaults,
        and new features reset their profile, unless they are given here too. A new tolerance of the
        diffusion resets what it chooses in the same way. The scale and the keys
        of activations are reset with a change from or to the features "activation".

        Args:
            sections: for the name of a section, a mapping from its fields to their new values. A
                mapping without a kind, given for a density, changes single keys of it.

        Raises:
            InputError: for values that are out of range or do not fit together.
        """
        parts = {name: _changed(getattr(self, name), dict(new)) for name, new in sections.items()}
        if "manifold" in sections.get("problem", {}):
            before = parts.get("network", self.network)
            parts["network"] = _changed(before, {"features": "", **sections.get("network", {})})
        return replace(self, **parts)

    @property
    def home(self) -> str | None:
        """The folder in which modules are searched for first; None if none may be imported."""
        return self.folder if self.trusted else None

    def space(self) -> Manifold:
        """The feature space, as `ProblemConfig.space`."""
        return self.problem.space(self.home)

    def build(self) -> Problem:
        """The problem that the configuration names, as `ProblemConfig.build`."""
        return self.problem.build(self.home)

    def __repr__(self) -> str:
        p, n = self.problem, self.network
        return one_line(
            "Config", name=self.name, manifold=p.manifold, dim=p.dim, regulariser=p.regulariser,
            t_end=p.t_end, features=n.features, width=n.width, regularisation=n.regularisation,
        )  # fmt: skip

    def _repr_html_(self) -> str:
        """A table of all keys by section; those that differ from the defaults are bold."""

        def rows(name: str, cls: Any) -> Iterator[tuple[str, str, bool]]:
            section, usual = getattr(self, name), getattr(Config(), name)
            for f in fields(cls):
                value = getattr(section, f.name)
                yield key_of(f), toml_of(value), value != getattr(usual, f.name)

        return html_table(self.name, {name: rows(name, cls) for name, cls in SECTIONS.items()})

    def to_toml(self) -> str:
        """The configuration as TOML text that `load_config` reads."""
        lines = []
        for name, cls in SECTIONS.items():
            section = getattr(self, name)
            lines.append(f"[{name}]")
            chosen = CHOSEN if getattr(section, "tolerance", 0) else ()
            lines += [f"{key_of(f)} = {toml_of(getattr(section, f.name))}" for f in fields(cls)
                      if f.name not in chosen]  # fmt: skip
            lines.append("")
        return "\n".join(lines)


SECTIONS: dict[str, Any] = {
    "problem": ProblemConfig,
    "diffusion": DiffusionConfig,
    "network": NetworkConfig,
}


def _changed(section: Any, new: dict[str, Any]) -> Any:
    """A copy of a section with other values, as described in `Config.changed`."""
    if "manifold" in new:
        new = {"dim": 0, "teacher": None} | new
    if new.get("tolerance"):
        new = {f.name: f.default for f in fields(section) if f.name in CHOSEN} | new
    features = getattr(section, "features", "")
    if new.get("features", features) != features:
        other = "activation" in (features, new["features"])
        usual = {"scale": 0.0, "activation": "relu", "slope": 0.01, "bias": False}
        new = {"profile": "", **(usual if other else {}), **new}
    for name, value in new.items():
        if name in ("teacher", "initial") and isinstance(value, Mapping) and "kind" not in value:
            new[name] = {**getattr(section, name), **value}
    return replace(section, **new)


def merged(*changes: Changes) -> dict[str, dict[str, Any]]:
    """Several changes as one; where two of them change the same field, the later one counts."""
    found: dict[str, dict[str, Any]] = {}
    for change in changes:
        for section, new in change.items():
            for name, value in new.items():
                before = found.setdefault(section, {}).get(name)
                partly = isinstance(value, Mapping) and "kind" not in value  # a density's keys
                both = {**before, **value} if partly and isinstance(before, Mapping) else value
                found[section][name] = both
    return found
