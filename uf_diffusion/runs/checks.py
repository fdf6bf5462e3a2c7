"""Checks, from a result alone, whether it has the properties that the theory guarantees."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from uf_diffusion.core.arrays import Array
from uf_diffusion.core.errors import InputError
from uf_diffusion.grids.mesh_quality import inspect_mesh
from uf_diffusion.grids.triangulations import Triangulation
from uf_diffusion.problem.manifolds import Sphere
from uf_diffusion.runs.config import Config
from uf_diffusion.runs.result import result_of

__all__ = ["Check", "checks"]

MASS = 1e-10  # allowed drift of the diffusion's mass
RESIDUAL = 1e-10  # allowed relative residual of the equation for the outer weights
ROUND_OFF = 1e-12
# NaN where it would take too long, or infinite where the diffusion has no mass
OPTIONAL = ("w2_diffusion", "contribution_w2", "total_w2", "chi2_height", "kl_height")


@dataclass(frozen=True)
class Check:
    """One property of a result, its measured value and its bound.

    Attributes:
        name: what is measured.
        measured: the measured value, dimensionless.
        bound: the bound in words, or the reason why there is none.
        kept: whether the value keeps the bound; None if there is no bound.
        remedy: what to do if it does not, in words.
    """

    name: str
    measured: float
    bound: str
    kept: bool | None
    remedy: str = ""

    @property
    def holds(self) -> bool | None:
        """Whether the value keeps the bound, which NaN never does; None if there is no bound."""
        return self.kept if math.isfinite(self.measured) else False

    @property
    def sentence(self) -> str:
        """A sentence that says which bound is violated and what to do about it."""
        name, remedy = self.name[0].upper() + self.name[1:], self.remedy and f"; {self.remedy}"
        bound = self.bound if math.isfinite(self.measured) else "a finite number"
        return f"{name}: {self.measured:.2g}, not {bound}{remedy}."


def checks(result: Any) -> list[Check]:
    """All checks that apply to a result of `solve`, `train`, `compare` or `spectrum`.

    Sources: docs/theory.md, "How the diffusion is solved"; for the constrained equation
    `uf_diffusion.diffusion.constrained`.

    Raises:
        InputError: if ``result`` is not a result, or an older version that recorded less wrote it.
    """
    result = result_of(result)
    config, found = result.config, list[Check]()
    for name, measured in (("diffusion", _diffusion), ("network", _network),
                           ("comparison", _comparison), ("budget", _budget),
                           ("kernel", _kernel), ("spectrum", _spectrum)):  # fmt: skip
        if (group := result.group(name)) is not None:
            with np.errstate(all="ignore"):  # what becomes NaN keeps no bound
                found += [_finite(name, group), *measured(group, config)]
    return found


def _finite(name: str, group: xr.Dataset) -> Check:
    """The check of all numbers of a group, except those that are NaN where they cost too much."""
    bad = [
        str(key)
        for key, variable in group.items()
        if key not in OPTIONAL and variable.dtype.kind == "f" and not np.isfinite(variable).all()
    ]
    what = f"variables of /{name} with numbers that are not finite"
    return Check(what, len(bad), "none", not bad, f"do not use {', '.join(bad)}")


def _at_most(
    name: str, measured: float, bound: float, free: str = "", remedy: str = ""
) -> Check:  # fmt: skip
    """The check of an upper bound; with a reason ``free`` the value is reported without a bound."""
    if free:
        return Check(name, measured, free, None)
    return Check(name, measured, f"at most {bound:.0e}", measured <= bound, remedy)


def _diffusion(d: xr.Dataset, config: Config) -> list[Check]:
    if "slack" not in d.attrs:
        raise InputError("An older version of uf_diffusion wrote this result: run it again.")
    drift = float(np.abs(d.mass.values - 1).max())
    ratios = (d.min_ratio.values, d.density.values / d.teacher.values)
    lowest = float(np.min([ratio.min() for ratio in ratios]))  # NaN if there is one, unlike min
    limit = config.problem.limit
    slack, free = float(d.attrs["slack"]), _unprincipled(d, config)
    transported = limit != "unconstrained"
    ratio = f"not a principle of the {limit} equation" if transported else free
    risk = _without_steps(config) if transported else free
    low, high = np.log(d.min_ratio.values), np.log(d.max_ratio.values)
    finer = "use a smaller diffusion.rtol, or more diffusion.cells"
    finer = "use a smaller diffusion.tolerance" if config.diffusion.tolerance else finer
    return [
        _at_most("mass drift of the diffusion, |∫μ − 1|", drift, MASS,
                 remedy="the linear solver is inexact"),
        Check("positivity: smallest μ/ν̄", lowest, "greater than 0", lowest > 0, finer),
        _at_most("maximum principle: largest fall of min μ/ν̄ in a step, relative",
                 _largest(-np.diff(low)), slack, ratio, finer),
        _at_most("maximum principle: largest rise of max μ/ν̄ in a step, relative",
                 _largest(np.diff(high)), slack, ratio, finer),
        _at_most("risk of the diffusion: largest rise in a step, relative",
                 _rise(d.risk.values), slack, risk, finer),
        _at_most("error that Newton's method left in a stage, relative",
                 float(d.stage_error.values.max()), slack, remedy=finer),
        *_within(d, config.diffusion.tolerance),
        *_balance(d),
        *(Check(f"{kind} iterations of a step, the most", float(d[name].max(skipna=False)),
                "no bound", None)
          for kind, name in (("Newton", "newton_iterations"), ("linear", "linear_iterations"))),
    ]  # fmt: skip


def _within(d: xr.Dataset, tolerance: float) -> Iterator[Check]:
    """Whether the estimated error of the density is within the tolerance, if there is one."""
    if tolerance:
        error = float(np.max(d.mesh_error.values + d.time_error.values))
        yield Check("estimated error of the density, L1", error, f"at most {tolerance:g}",
                    error <= tolerance, "run it again")  # fmt: skip


def _balance(d: xr.Dataset) -> Iterator[Check]:
    """How well the fall of the risk agrees with dL/dt = -int mu |grad G|^2, by the
    trapezoidal rule over the steps.
    """
    if "dissipation" not in d:
        return
    t, rate, risk = (d[name].values for name in ("time", "dissipation", "risk"))
    lost = float(np.diff(t) @ (rate[1:] + rate[:-1]) / 2)
    gap = abs(float(risk[0] - risk[-1]) - lost) / max(lost, 1e-300)
    yield Check("energy balance: fall of the risk less the dissipation, relative", gap,
                "no bound: an error of the time steps", None)  # fmt: skip


def _without_steps(config: Config) -> str:
    """The reason why fixed steps of a higher-order scheme need not keep bounds, or ""."""
    if config.diffusion.step and config.diffusion.scheme != "euler":
        return f"no principle of {config.diffusion.scheme} with fixed steps"
    return ""


def _unprincipled(d: xr.Dataset, config: Config) -> str:
    """The reason why bounds and risk need not be monotone, or "" if they must be."""
    degree = int(d.attrs.get("degree", config.diffusion.degree))
    if degree > 1:
        return f"a principle of degree 1, not of degree {degree}"
    if "cell" in d:
        surface = Triangulation(Sphere(2), d.node_position.values, d.cell.values)
        if inspect_mesh(surface).obtuse_angles:
            return "a principle of meshes without obtuse angles"
    return _without_steps(config)


def _rise(risk: Array) -> float:
    """The largest rise in a step, relative to the risk or to 1e-3, whichever is larger.

    The step control uses the same scale.
    """
    return _largest(np.diff(risk) / np.maximum(np.abs(risk[:-1]), 1e-3))


def _largest(changes: Array) -> float:
    return float(changes.max(initial=0.0))


def _network(n: xr.Dataset, config: Config) -> list[Check]:
    rises, residual = float(n.attrs["risk_rises"]), float(n.attrs["projection_residual"])
    truncation = float(n.attrs["truncation_error"])
    free = "" if n.attrs["projections"] else "no bound: the outer weights are not projected"
    kernel = "a bound itself, of root mean square" if truncation else "exact kernel"
    chosen = config.network
    key = "rtol" if chosen.algorithm == "flow" else "step"
    less = f"network.{key} is too large for network.lambda = {chosen.regularisation:g}"
    lost = "network.lambda is lost in round-off: use a larger one"
    masses = math.fabs(float(n.neuron_mass.values.sum()) - 1)
    return [
        Check("steps in which the network's risk rose", rises, "none", rises == 0, less),
        _at_most("residual of the outer weights, relative", residual, RESIDUAL, free, lost),
        Check("error of the outer weights by truncation, at most", truncation, kernel, None),
        _at_most("masses of the neurons, |sum − 1|", masses, ROUND_OFF),
    ]


def _comparison(c: xr.Dataset, config: Config) -> list[Check]:
    """Nothing but that its numbers are finite."""
    return []


def _budget(b: xr.Dataset, config: Config) -> list[Check]:
    spare = float((b.contribution.values.sum(axis=0) - b.total.values).min())
    name = "error budget: sum of the entries less the whole distance, smallest"
    found = [Check(name, spare, "at least 0", spare >= -ROUND_OFF)]
    if "signed" in b:
        gap = float(np.abs(b.signed.values.sum(axis=0) - b.total.values).max())
        name = "error budget: sum of the shares less the whole distance, largest"
        found.append(_at_most(name, gap, ROUND_OFF))
    return found


def _kernel(k: xr.Dataset, config: Config) -> list[Check]:
    lowest = float(k.eigenvalue.values.min())
    return [Check("smallest eigenvalue of the kernel", lowest, "at least 0", lowest >= 0)]


def _spectrum(s: xr.Dataset, config: Config) -> list[Check]:
    lowest = float(s.eigenvalue.values.min())
    return [Check("smallest eigenvalue of the Laplacian", lowest, "greater than 0", lowest > 0)]
