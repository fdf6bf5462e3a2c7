"""The configuration of a run: frozen values by section, every key checked.

Sections and keys are those of a run folder's ``run.toml``; the defaults are the paper's section
6.1. A mistake is one sentence, before any work is done.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np

from uf_diffusion.core.arguments import LARGEST
from uf_diffusion.core.arrays import Array
from uf_diffusion.core.errors import InputError
from uf_diffusion.core.reprs import html_table, one_line
from uf_diffusion.core.wording import shown, unknown
from uf_diffusion.network.placement import PLACEMENTS
from uf_diffusion.problem import Problem
from uf_diffusion.problem.manifolds import Manifold
from uf_diffusion.runs.building import MANIFOLDS, density, divergence, manifold
from uf_diffusion.runs.keys import (
    Snapshots,
    key,
    key_of,
    one_of,
    positive,
    settle_types,
    toml_of,
)

__all__ = ["SECTIONS", "Changes", "Config", "DiffusionConfig", "NetworkConfig", "ProblemConfig",
           "merged"]  # fmt: skip

type Changes = Mapping[str, Mapping[str, Any]]  # new values of fields, by section

ALGORITHMS = ["varpro", "two-timescale", "flow", "joint", "fixed"]
KERNELS = ["sampled", "population", "low-rank"]
LIMITS = ["unconstrained", "constrained"]
SCHEMES = ["euler", "sdirk2", "sdirk3", "esdirk4"]
MOST_STEPS = 10**9  # of a run: months


@dataclass(frozen=True)
class ProblemConfig:
    """Section [problem]: what is solved."""

    manifold: str = key("circle", "feature space: circle, sphere, torus, or 'module:name'")
    dim: int = key(0, "dimension of a sphere or a torus; 0: the manifold's usual one")
    period: float = key(4.0, "of tori: length of an axis", "length")
    regulariser: str = key(
        "unbiased",
        "divergence f of the outer weights: unbiased, biased, entropy, power, or 'module:name'",
    )
    power: float = key(2.0, "of regulariser 'power': the exponent, above 1 and up to 4")
    t_end: float = key(10.0, "final time", "time")
    limit: str = key(
        "unconstrained", "equation: unconstrained, or the constrained limit of ReLU features"
    )
    teacher: Any = key(
        None,
        "target density, a kind or a table with kind and its keys; not given: the paper's "
        "bumps, von-mises-fisher on a sphere",
        "1/volume",
    )
    initial: Any = key("uniform", "density of the student at t = 0, likewise", "1/volume")

    def __post_init__(self) -> None:
        settle_types("problem", self)
        if self.manifold not in MANIFOLDS and ":" not in self.manifold:
            raise unknown("problem.manifold", self.manifold, MANIFOLDS)
        if self.dim < 0:
            raise InputError(f"problem.dim must be positive, not {self.dim}.")
        positive("problem.t_end", self.t_end)
        if self.t_end > LARGEST:
            raise InputError(f"problem.t_end must be at most {LARGEST:g}, not {self.t_end:g}.")
        one_of("problem.limit", self.limit, LIMITS)
        if self.dim == 0:
            object.__setattr__(self, "dim", MANIFOLDS.get(self.manifold, 0))
        default = "von-mises-fisher" if self.manifold == "sphere" else "bumps"
        for name in ("teacher", "initial"):
            spec = default if getattr(self, name) is None else getattr(self, name)
            table = {"kind": spec} if isinstance(spec, str) else dict(spec)
            object.__setattr__(self, name, table)

    def space(self, folder: str = ".") -> Manifold:
        """The feature space; ``folder`` is first on the import path of a user's own."""
        return manifold(self.manifold, self.dim, self.period, folder)

    def build(self, folder: str = ".") -> Problem:
        """The problem's values.

        Args:
            folder: first on the import path of what is named "module:name".
        """
        space = self.space(folder)
        return Problem(
            manifold=space,
            teacher=density(self.teacher, space, folder),
            initial=density(self.initial, space, folder),
            divergence=divergence(self.regulariser, self.power, folder),
        )


@dataclass(frozen=True)
class DiffusionConfig:
    """Section [diffusion]: how the PDE is solved."""

    cells: int = key(4096, "cells of the built-in mesh, at least")
    degree: int = key(1, "degree of the finite elements: 1, 2, 3 (1, 2 on T^3)")
    scheme: str = key("sdirk2", "time scheme: euler, sdirk2, sdirk3, esdirk4 (orders 1 to 4)")
    rtol: float = key(1e-4, "relative tolerance of the adaptive time steps")
    step: float = key(0.0, "a fixed time step; 0: as long as rtol allows", "time")
    mesh: str = key("", "a file with a mesh of the sphere; not given: built in, from cells")
    snapshots: Snapshots = key(
        21, "how many times are kept, evenly spaced from 0 to t_end; or a list of these", "time"
    )
    checkpoint: float = key(60.0, "wall-clock time between checkpoints", "seconds")

    def __post_init__(self) -> None:
        settle_types("diffusion", self)
        positive("diffusion.cells", self.cells)
        one_of("diffusion.degree", self.degree, [1, 2, 3])
        one_of("diffusion.scheme", self.scheme, SCHEMES)
        if not 0 < self.rtol < 1:
            raise InputError(f"diffusion.rtol must lie between 0 and 1, not {self.rtol}.")
        if self.step < 0:
            raise InputError(f"diffusion.step must not be negative, but is {self.step}.")
        positive("diffusion.checkpoint", self.checkpoint)


@dataclass(frozen=True)
class NetworkConfig:
    """Section [network]: how the network is trained. ``regularisation`` is the key ``lambda``."""

    width: int = key(512, "number of neurons")
    regularisation: float = key(1e-3, "regularisation of the outer weights", name="lambda")
    features: str = key(
        "",
        "relu (spheres), radial (tori), laplace (circle) or 'module:name'; not given: radial on "
        "a torus, else relu",
    )
    scale: float = key(0.5, "of features radial and laplace: their width", "length")
    profile: str = key("laplace", "of features radial: laplace, gaussian, matern")
    kernel: str = key(
        "sampled", "sampled inputs, population (infinitely many), or low-rank (truncated)"
    )
    samples: int = key(4096, "of kernel 'sampled': number of inputs")
    teacher_width: int = key(4096, "number of the teacher's neurons")
    truncation: float = key(
        1e-2, "of kernel 'low-rank': what K(w, w) may lose, as a multiple of lambda"
    )
    algorithm: str = key("varpro", "varpro, two-timescale, joint, flow, or fixed features")
    step: float = key(2.0**-10, "training step", "time")
    ratio: float = key(1.0, "of algorithm 'two-timescale': outer steps for each inner step")
    rtol: float = key(1e-5, "of algorithm 'flow': error of a step", "length")
    seed: int = key(0, "of all random draws")
    placement: str = key(
        "random",
        "of the neurons: random, even (a lattice weighted by the density), or quantile "
        "(one dimension)",
    )
    teacher_placement: str = key("", "of the teacher's neurons; not given: as placement")

    @property
    def pace(self) -> str:
        """What sets the time steps, in words."""
        return f"rtol {self.rtol:.0e}" if self.algorithm == "flow" else f"step {self.step:.3g}"

    def __post_init__(self) -> None:
        settle_types("network", self)
        for name in ("width", "samples", "teacher_width", "truncation", "step", "ratio"):
            positive(f"network.{name}", getattr(self, name))
        positive("network.lambda", self.regularisation)
        one_of("network.kernel", self.kernel, KERNELS)
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
        for name, cls in SECTIONS.items():
            if not isinstance(getattr(self, name), cls):
                raise InputError(
                    f"Config.{name} must be a {cls.__name__}, not {shown(getattr(self, name))}."
                )
        self._require_few_steps("diffusion.step", self.diffusion.step)
        if not self.problem.dim:
            dim = self.space().dim
            object.__setattr__(self, "problem", replace(self.problem, dim=dim))
        if not self.network.features:
            default = "radial" if self.problem.manifold == "torus" else "relu"
            network = replace(self.network, features=default)
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
            diffusion = replace(self.diffusion, mesh=path)
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

    def changed(self, **sections: Mapping[str, Any]) -> Config:
        """The same with other values; what follows from the manifold is chosen anew with it.

        Args:
            sections: by their names, mappings from a field of the section to its new value; of
                the densities a mapping changes single keys.

        Raises:
            InputError: as the sections do.
        """
        parts = {name: _changed(getattr(self, name), dict(new)) for name, new in sections.items()}
        if "manifold" in sections.get("problem", {}):
            before = parts.get("network", self.network)
            parts["network"] = _changed(before, {"features": "", **sections.get("network", {})})
        return replace(self, **parts)

    def space(self) -> Manifold:
        """The feature space."""
        return self.problem.space(self.folder)

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

        return html_table(self.name, {name: rows(name, cls) for name, cls in SECTIONS.items()})

    def to_toml(self) -> str:
        """The configuration as TOML text that `load_config` reads."""
        lines = []
        for name, cls in SECTIONS.items():
            section = getattr(self, name)
            lines.append(f"[{name}]")
            lines += [f"{key_of(f)} = {toml_of(getattr(section, f.name))}" for f in fields(cls)]
            lines.append("")
        return "\n".join(lines)


SECTIONS: dict[str, Any] = {
    "problem": ProblemConfig,
    "diffusion": DiffusionConfig,
    "network": NetworkConfig,
}


def _changed(section: Any, new: dict[str, Any]) -> Any:
    """A section with other values."""
    if "manifold" in new:
        new = {"dim": 0, "teacher": None} | new
    for name, value in new.items():
        if name in ("teacher", "initial") and isinstance(value, Mapping) and "kind" not in value:
            new[name] = {**getattr(section, name), **value}
    return replace(section, **new)


def merged(*changes: Changes) -> dict[str, dict[str, Any]]:
    """Several changes as one; of two for the same field the later one counts."""
    found: dict[str, dict[str, Any]] = {}
    for change in changes:
        for section, new in change.items():
            for name, value in new.items():
                before = found.setdefault(section, {}).get(name)
                partly = isinstance(value, Mapping) and "kind" not in value  # keys of a density
                both = {**before, **value} if partly and isinstance(before, Mapping) else value
                found[section][name] = both
    return found
