"""What a run says when it is done, where its numbers cannot be trusted: read off the result."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import xarray as xr

from uf_diffusion.comparison.cautions import blindness
from uf_diffusion.config import Config, config_from_toml
from uf_diffusion.problem.manifolds import Array, Sphere
from uf_diffusion.problem.triangulations import Triangulation, inspect_mesh

__all__ = ["findings"]

DRIFT = 1e-10  # of the mass
SLACK = 1e-6  # of the maximum principle and the decay of the risk, relative
RESIDUAL = 1e-8  # of the projection
TRUNCATION = 0.1  # of the outer weights, whose scale is 1


def findings(result: xr.DataTree) -> list[str]:
    """One sentence for each reason not to trust a result, with the number and the remedy.

    Args:
        result: of `solve`, `train` or `compare`, or as read from a run's folder.
    """
    config, parts = config_from_toml(result.attrs["config"]), []
    for name, look in (
        ("diffusion", _diffusion), ("network", _network), ("comparison", _comparison),
    ):  # fmt: skip
        if name in result:
            group = result[name].to_dataset()
            parts += [*_broken(name, group), *look(config, group)]
    return parts


def _broken(name: str, group: xr.Dataset) -> Iterator[str]:
    """Numbers that are none; W2 is not a number where it has not been computed."""
    bad = [str(key) for key, variable in group.items() if key != "w2_diffusion"
           and variable.dtype.kind == "f" and not np.isfinite(variable.values).all()]  # fmt: skip
    if bad:
        yield f"/{name} has numbers that are not finite, in {', '.join(bad)}: do not use them."


def _diffusion(config: Config, d: xr.Dataset) -> Iterator[str]:
    if "cell" in d:
        surface = Triangulation(Sphere(2), d.node.values, d.cell.values)
        yield from inspect_mesh(surface).warnings
    drift = float(np.abs(d.mass.values - 1).max())
    if not drift <= DRIFT:
        yield f"The diffusion's mass drifted by {drift:.1e}: the linear solver is inexact."
    lowest = float(d.min_ratio.min())
    if not lowest > 0:
        yield f"The diffusion's density has the value {lowest:.2g} times the teacher's."
    less = "use a smaller diffusion.rtol, or more diffusion.cells"
    if (rise := _rise(d.risk.values)) > SLACK:
        yield f"The diffusion's risk rose by {rise:.1e} of its value in one step; {less}."
    if config.problem.limit == "constrained":  # which has no maximum principle
        return
    beyond = max(_rise(d.max_ratio.values), _rise(1 / d.min_ratio.values) if lowest > 0 else 0.0)
    if beyond > SLACK:
        yield (
            f"The diffusion broke its maximum principle: the bounds of density / teacher widened "
            f"by {beyond:.1e} of their value in one step; {less}."
        )


def _rise(values: Array) -> float:
    """The largest rise from one step to the next, of values that should fall, relative."""
    scale = np.maximum(np.abs(values[:-1]), 1e-3)
    return float((np.diff(values) / scale).max(initial=0.0))


def _network(config: Config, n: xr.Dataset) -> Iterator[str]:
    steps, rises = n.sizes["step"] - 1, n.attrs["risk_rises"]
    if rises:
        key = "rtol" if config.network.algorithm == "flow" else "step"
        yield (
            f"The network's risk rose in {rises} of {steps} steps: network.{key} is too large for "
            f"network.lambda = {config.network.regularisation:g}."
        )
    residual = n.attrs["projection_residual"]
    if n.attrs["projections"] and not residual <= RESIDUAL:
        yield (
            f"The outer weights violate the projection's equation by {residual:.1e}, relative: "
            "network.lambda is lost in round-off; use a larger one."
        )
    error = n.attrs["truncation_error"]
    if error > TRUNCATION:
        yield (
            f"The truncated kernel may move the outer weights by {error:.2g} (root mean square); "
            "use a smaller network.truncation."
        )
    if n.sizes["snapshot"] < len(config.times()):
        yield (
            f"There are {n.sizes['snapshot']} snapshots of the network, not {len(config.times())}: "
            "network.step is longer than the time between them."
        )


def _comparison(config: Config, c: xr.Dataset) -> Iterator[str]:
    yield from blindness(config, c.attrs)
    if "w2_diffusion" in c and np.isnan(c.w2_diffusion.values).any():
        yield (
            "W2 to the diffusion was not computed, as it would take long: "
            "use fewer diffusion.cells or a smaller network.width."
        )
