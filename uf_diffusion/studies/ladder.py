"""The ladder of an error budget: problems that lead from a network to its diffusion.

Each rung removes one approximation. "Training step" is the network without the error of its step,
extrapolated from the network and another one with a doubled step. "Width" is a network of infinite
width, the mean-field equation with the network's inputs and with the teacher's density for its
neurons, and "sampled inputs" the same with infinitely many inputs. "Regularisation" is the limit
lambda -> 0 that belongs to the kernel, the constrained equation for ReLU, else the ultra-fast
diffusion, which is also "what is not seen" where the constrained equation came before. Before
"diffusion's time step" the run's equation is solved with small steps on a finer mesh, and before
"diffusion's mesh" with the run's steps on that mesh.

The network without the error of its step is 2 x - y with the network x and the network y of a
doubled step, as the error is of order 1. The teacher's neurons are a part of the width: to separate
them would take a second network with the same inputs. Between the ends the meshes are coarser than
the run's, so that the budget costs about as much as the run.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from uf_diffusion.core.errors import InputError
from uf_diffusion.runs.config import Config, DiffusionConfig, NetworkConfig
from uf_diffusion.runs.inputs import measures_errors
from uf_diffusion.runs.setup import Setup
from uf_diffusion.studies.cache import Run

__all__ = ["Rung", "ladder"]

# for each equation: the factor by which its reference refines the mesh along each axis, in one
# dimension and in more, and the factor by which it reduces rtol. Equations of transport have
# smaller factors, because their time steps follow fronts from cell to cell.
FINER = {
    "unconstrained": ((4, 2), 10), "constrained": ((2, 2), 3), "mean-field": ((2, 2), 3),
}  # fmt: skip
# the same for the equations between the ends, whose errors are far below the entries there: the
# factor by which they coarsen the mesh, and the number of cells below which they do not
COARSER = ((4, 1024), (2, 4096))


@dataclass(frozen=True)
class Rung:
    """One problem of the ladder.

    Attributes:
        removed: the approximation that this rung does not have, unlike the one before it.
        run: the run that solves the problem.
        weight: how the rung is made of runs: it is the rung before plus this weight times the
            difference of the run and the run before. None: it is the run.
    """

    removed: str
    run: Run
    weight: float | None = None


def ladder(config: Config, longer: bool = True) -> list[Rung]:
    """The rungs between a configuration's network and its diffusion, ends excluded.

    Args:
        config: the configuration.
        longer: whether the error of the training step may be found from longer steps, which costs
            less. They may be unstable where the network's own are not.

    Raises:
        InputError: for network.algorithm "fixed", which does not follow the gradient flow, for
            random draws that are given, since the reference problems have others, and for inputs
            or labels of the user's own, since infinitely many inputs have the features' law.
    """
    if config.network.draws:
        raise InputError("An error budget draws its own random numbers: leave network.draws empty.")
    if config.network.inputs or measures_errors(config.network):
        raise InputError(
            "An error budget has inputs of the features' own law and exact labels: leave "
            "network.inputs, labels, noise and held_out out."
        )
    if config.network.algorithm == "fixed":
        raise InputError("A network with fixed features has no limit: there is no error budget.")
    times = config.clock_times()  # at which the comparison is made
    problem = replace(config.problem, t_end=float(times[-1]))
    diffusion = replace(config.diffusion, snapshots=tuple(times.tolist()))
    config = replace(config, problem=problem, diffusion=diffusion)
    return [*_networks(config, longer), *_equations(config)]


def _networks(config: Config, longer: bool) -> Iterator[Rung]:
    """The rungs that remove the error of the training step, and sampled inputs about an axis, for
    which there is no mean-field equation.
    """
    setup = Setup(config)
    network, weight = _other_steps(config, longer)
    yield Rung("training step", Run("train", replace(config, network=network)), weight)
    if setup.problem.axis is not None and network.kernel == "sampled":
        network = replace(network, kernel=_unsampled(setup))
        yield Rung("sampled inputs", Run("train", replace(config, network=network)), 1.0)


def _other_steps(config: Config, longer: bool) -> tuple[NetworkConfig, float]:
    """A network with other steps, and the weight with which it cancels the error of the steps.

    If the error of the other steps is e times that of the network, the weight is 1 / (1 - e).
    """
    n = config.network
    if n.algorithm == "flow":  # of order 2 in steps that are proportional to rtol^(1/3)
        factor = 2.0 if longer and 8 * n.rtol < 1 else 0.5
        return replace(n, rtol=factor**3 * n.rtol), 1 / (1 - factor**2)
    if n.algorithm == "joint":  # its limit for small steps is another flow
        return replace(n, algorithm="flow", rtol=1e-5), 1.0
    steps = np.rint(config.clock_times() / n.step)
    factor = 2.0 if longer and not (steps % 2).any() else 0.5  # both must meet all snapshots
    return replace(n, step=factor * n.step), 1 / (1 - factor)


def _unsampled(setup: Setup) -> str:
    """The kernel of infinitely many inputs that is the fastest one."""
    # kernels in closed form cost O(M) on the circle only
    closed = setup.manifold.dim == 1 and setup.features.kernel is not None
    return "population" if closed else "low-rank"


def _equations(config: Config) -> Iterator[Rung]:
    """The rungs that are densities."""
    setup, limit, n = Setup(config), config.problem.limit, config.network
    ring, unsampled, removed = setup.problem.axis is not None, _unsampled(setup), "width"
    if limit != "mean-field":
        if n.kernel == "sampled" and not ring:
            yield _between(removed, setup, "mean-field", n.kernel)
            removed = "sampled inputs"
        own = ring and n.kernel != "sampled"  # all kernels of rings are fast
        yield _between(removed, setup, "mean-field", n.kernel if own else unsampled)
        removed = "regularisation"
    if limit == "unconstrained" and setup.space is not None and not setup.space.everything:
        yield _between(removed, setup, "constrained", n.kernel)
        removed = "what is not seen"
    yield _finer(removed, setup, FINER[limit][1])
    yield _finer("diffusion's time step", setup, 1)


def _between(removed: str, setup: Setup, limit: str, kernel: str) -> Rung:
    """A rung with another equation, on a coarser mesh with adaptive steps."""
    coarser, least = COARSER[_dim(setup) > 1]
    own, coarse = _on_built_in(setup), _on_built_in(setup, 1 / coarser)
    cells = max(coarse.cells, min(own.cells, least))
    config = replace(
        setup.config,
        problem=replace(setup.config.problem, limit=limit),
        network=replace(setup.config.network, kernel=kernel),
        diffusion=replace(own, cells=cells, degree=1, step=0.0),
    )
    return Rung(removed, Run("solve", config))


def _finer(removed: str, setup: Setup, smaller: float) -> Rung:
    """A rung with the run's equation on a finer mesh, with rtol divided by ``smaller``."""
    from uf_diffusion.diffusion.schemes import scheme  # needs DOLFINx, unlike this module

    finer = FINER[setup.config.problem.limit][0][_dim(setup) > 1]
    d = _on_built_in(setup, finer)
    order = scheme(d.scheme).order
    step = d.step / math.ceil(smaller ** (1 / (order + 1)))
    diffusion = replace(d, rtol=d.rtol / smaller, step=step)
    return Rung(removed, Run("solve", replace(setup.config, diffusion=diffusion)))


def _dim(setup: Setup) -> int:
    """The dimension in which the diffusion is solved."""
    return setup.manifold.dim if setup.problem.axis is None else 1


def _on_built_in(setup: Setup, finer: float = 1) -> DiffusionConfig:
    """The section [diffusion] with a built-in mesh, finer by a factor along each axis."""
    d = setup.config.diffusion
    cells = setup.grid.cell_count if d.mesh else d.cells
    return replace(d, mesh="", cells=max(1, round(cells * finer ** _dim(setup))))
