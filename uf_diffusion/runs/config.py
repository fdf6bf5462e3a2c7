"""The configuration of a run: one frozen dataclass for each section, with every key checked.

Sections and keys are those of the file ``run.toml`` in a run's folder. The defaults are the setting
of section 6.1 of the paper. A mistake is reported in one sentence before any work is done.
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
from uf_diffusion.core.paths import user_path
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
MOST_STEPS = 10**9  # time steps of a run, at most; so many would take months


@dataclass(frozen=True)
class ProblemConfig:
    """Section [problem]: what is solved."""

    manifold: str = key(
        "circle", "feature space: circle, sphere, torus, or your own as 'module:name'"
    )
    dim: int = key(0, "dimension of the manifold; 0 chooses the usual one, such as 2 on a sphere")
    period: float = key(4.0, "length of each axis of a torus", "length")
    regulariser: str = key(
        "unbiased",
        "divergence f that penalises the outer weights: unbiased, biased, entropy, power, or your "
        "own as 'module:name'",
    )
    power: float = key(2.0, "exponent p of the regulariser 'power', with 1 < p <= 4")
    t_end: float = key(10.0, "final time of the diffusion and of the training", "time")
    limit: str = key(
        "unconstrained",
        "which equation the diffusion solves: unconstrained (ultra-fast diffusion), or constrained "
        "(the limit of ReLU features)",
    )
    teacher: Any = key(
        None,
        "target density: a kind such as 'uniform', or a table with the kind and its keys; if not "
        "given, von-mises-fisher on a sphere, and the paper's bumps elsewhere",
        "1/volume",
    )
    initial: Any = key(
        "uniform", "density of the student at t = 0, written in the same way", "1/volume"
    )

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

    def space(self, folder: str | None = ".") -> Manifold:
        """The feature space. A manifold "module:name" is searched for in ``folder`` first.

        Raises:
            InputError: for a manifold that does not exist, or not in this dimension.
        """
        return manifold(self.manifold, self.dim, self.period, folder)

    def build(self, folder: str | None = ".") -> Problem:
        """The manifold, the densities and the divergence that this section names, as `space`.

        Raises:
            InputError: for a name that is unknown or a value out of range.
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

    cells: int = key(4096, "the built-in mesh has at least this number of cells")
    degree: int = key(1, "degree of the finite elements: 1, 2 or 3; on T^3 1 or 2")
    scheme: str = key("sdirk2", "time scheme: euler, sdirk2, sdirk3 or esdirk4, of order 1 to 4")
    rtol: float = key(1e-4, "relative error that an adaptive time step may make")
    step: float = key(0.0, "length of fixed time steps; 0 chooses steps that keep to rtol", "time")
    mesh: str = key("", "file with a mesh of the sphere; if empty, the built-in mesh is used")
    snapshots: Snapshots = key(
        21,
        "number of times at which results are stored, evenly spaced from 0 to t_end, or a list of "
        "these times",
        "time",
    )
    checkpoint: float = key(60.0, "wall-clock time between two checkpoints", "seconds")

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
    """Section [network]: how the network is trained; ``regularisation`` is the key ``lambda``."""

    width: int = key(512, "number of neurons of the student")
    regularisation: float = key(1e-3, "regularisation strength of the outer weights", name="lambda")
    features: str = key(
        "",
        "feature function: relu (spheres), radial (tori), laplace (circle), or your own as "
        "'module:name'; if empty, radial on a torus and relu elsewhere",
    )
    scale: float = key(0.5, "width of the features 'radial' and 'laplace'", "length")
    profile: str = key("laplace", "shape of the features 'radial': laplace, gaussian or matern")
    kernel: str = key(
        "sampled",
        "how the inputs enter: sampled (drawn at random), population (infinitely many), or "
        "low-rank (the population's kernel, truncated)",
    )
    samples: int = key(4096, "number of inputs of the kernel 'sampled'")
    teacher_width: int = key(4096, "number of neurons of the teacher")
    truncation: float = key(
        1e-2, "how much of K(w, w) the kernel 'low-rank' may leave out, as a multiple of lambda"
    )
    algorithm: str = key(
        "varpro",
        "training algorithm: varpro, two-timescale, joint (one rate for both layers), flow "
        "(gradient flow with adaptive steps), or fixed (the features do not move)",
    )
    step: float = key(2.0**-10, "length of a training step", "time")
    ratio: float = key(
        1.0, "steps of the outer weights for each step of the features, in 'two-timescale'"
    )
    rtol: float = key(1e-5, "error that a step of the algorithm 'flow' may make", "length")
    seed: int = key(0, "seed of all random numbers")
    placement: str = key(
        "random",
        "how the student's neurons are placed: random, even (on a lattice, with the density as "
        "their masses), or quantile (at quantiles, in one dimension only)",
    )
    teacher_placement: str = key(
        "", "how the teacher's neurons are placed; if empty, as the student's"
    )

    @property
    def pace(self) -> str:
        """The key that sets the time steps and its value, such as "step 0.001"."""
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
    """The configuration of a whole run, with all defaults filled in.

    Attributes:
        problem, diffusion, network: the sections.
        name: the name of the preset or of the file.
        folder: the folder of the file. Modules of a "module:name" are searched for there first,
            and ``diffusion.mesh`` is relative to it.
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
            path = os.path.abspath(os.path.join(self.folder, user_path(self.diffusion.mesh)))
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
        unless they are given here too.

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
            lines += [f"{key_of(f)} = {toml_of(getattr(section, f.name))}" for f in fields(cls)]
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
