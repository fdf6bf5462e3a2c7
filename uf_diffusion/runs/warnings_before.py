"""Warnings before a run: reasons why its numbers could not be trusted.

Each warning rests on a measurement that predicts the error of the run:

* The mesh. The diffusion works with densities that are interpolated between nodes. The L1 norm of
  rho - I rho, where I is the interpolation, is estimated from a sample of rho. It predicts the
  largest L1 error over time of the computed densities. Where the norm was between 1 % and 50 %, the
  error was 0.4 to 1 times the norm for teachers on the circle and on tori with degrees 1 to 3, and
  up to 2 times for sharp initial densities and on the sphere.
* The step. A training step maps features and outer weights to new ones. A perturbation that this
  map multiplies by a factor below -1 grows and alternates in sign, so the spectral radius of
  (map - identity) must stay below 2. It is measured at the initial features with optimal outer
  weights, and decreases as these tend to 1. Slightly above 2 single neurons overshoot and change
  places, which makes the error of their positions much larger. Their density becomes wrong, and
  the risk rises, only beyond the factors in `FAR`.
* Lambda. Let kappa be the eigenvalues of the kernel for uniform features. Then the network learns
  d = sum kappa / (kappa + lambda) directions, the effective dimension of kernel ridge regression.
  With fewer neurons or inputs it cannot follow the limit, and with lambda above all eigenvalues it
  learns nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from uf_diffusion.core.arrays import Array
from uf_diffusion.core.errors import InputError, RunFailure
from uf_diffusion.grids.base import Grid, coarse_enough
from uf_diffusion.grids.built_in import grid_of
from uf_diffusion.kernels.identifiability import Identifiability, unseen_sentence
from uf_diffusion.network.training import TwoTimescale, VarProDescent
from uf_diffusion.problem.densities import Density
from uf_diffusion.results import sizes
from uf_diffusion.runs.config import Config
from uf_diffusion.runs.setup import Setup
from uf_diffusion.runs.training import algorithm, training

__all__ = ["blindness", "cautions", "effective_dimension", "fastest_rate",
           "interpolation_error"]  # fmt: skip

COARSE = 0.01  # interpolation error above which a mesh is too coarse for a density
CELLS = 400_000  # largest number of cells that is tried in the search for a finer mesh
SAMPLE = 4096  # number of points at which an interpolation error is measured
SMALLER = {"width": 512, "samples": 4096}  # largest size of the network used for the measurement
NUDGE = 1e-3  # length of the perturbations, larger than the distance of the kinks of ReLU features
ITERATIONS = 12  # iterations of the power method
FAR = {"varpro": 4.0, "two-timescale": 1.5, "joint": 1.5}  # multiples of the largest stable step
ENOUGH = 4  # recommended number of neurons or inputs for each direction that is learnt


def cautions(setup: Setup, solved: bool = True, trained: bool = True) -> list[str]:
    """One sentence for each reason not to trust a run, with a number and a remedy.

    Call it on all ranks. It takes as long as a few tens of training steps; if the mesh is too
    coarse, finer meshes are built as well.

    Args:
        setup: the objects of the run.
        solved: whether the run solves the diffusion.
        trained: whether the run trains a network.

    Raises:
        InputError: if the network cannot be trained.
    """
    found: list[str] = []
    if solved:
        found += _mesh(setup)
    if trained:
        found += [*_kernel(setup, solved), *_step(setup)]
    return found


def interpolation_error(density: Density, grid: Grid) -> float:
    """The L1 norm of rho - I rho, where I rho interpolates a density rho between the grid's nodes.

    It is estimated by the mean of |1 - I rho / rho| over a fixed sample of rho, so that no peak is
    too narrow to be noticed. It is dimensionless, since rho has mass 1.
    """
    x = density.sample(SAMPLE, np.random.default_rng(0))
    numbers, basis = grid.basis(x)
    used, place = np.unique(numbers, return_inverse=True)
    values = density(grid.part(0, 1).nodes_at(used))[place.reshape(numbers.shape)]
    return float(np.abs(1 - (basis * values).sum(axis=1) / density(x)).mean())


def _mesh(setup: Setup) -> Iterator[str]:
    if setup.config.diffusion.tolerance:  # which chooses a mesh that resolves them
        return
    grid = setup.grid
    for name in ("teacher", "initial"):
        density = getattr(setup.problem, name)
        coarse = coarse_enough(grid, sizes.WHOLE) or grid
        error = interpolation_error(density, coarse)
        if coarse is not grid and not error <= COARSE:
            error = interpolation_error(density, grid)
        if not error <= COARSE:  # also NaN
            yield (
                f"The mesh does not resolve the {name} density: interpolation between its nodes "
                f"is {_percent(error)} off in L1, and the diffusion will be about as far off; "
                f"{_finer(setup, density, grid, error)}."
            )


def _percent(error: float) -> str:
    return f"{100 * error:.2g} %" if error < 1 else "more than 100 %"


def _finer(setup: Setup, density: Density, grid: Grid, error: float) -> str:
    """The advice which mesh is fine enough, as the end of a sentence."""
    d, dim, cells = setup.config.diffusion, grid.manifold.dim, grid.cell_count
    if not grid.built_in:
        return "use a diffusion.mesh that is finer there"
    while error > COARSE and cells < CELLS:
        factor = min(2**dim, max(1.2, (error / COARSE) ** (dim / (d.degree + 1))))
        cells = min(CELLS, math.ceil(cells * factor))
        error = interpolation_error(density, grid_of(setup.problem, cells, d.degree))
    if error > COARSE:
        return f"diffusion.cells = {CELLS} would not suffice either"
    return f"use diffusion.cells >= {cells}"


def blindness(config: Config, attributes: Mapping[Any, Any]) -> list[str]:
    """At most one sentence, on what the features cannot see although the diffusion depends on it.

    Args:
        config: the configuration of the run.
        attributes: the attributes of an `Identifiability`.
    """
    sentence = unseen_sentence(attributes)
    if config.problem.limit != "unconstrained" or not sentence:
        return []
    return [f"The features do not see {sentence}."]


def _kernel(setup: Setup, compared: bool) -> Iterator[str]:
    config, problem = setup.config, setup.problem
    try:
        seen = setup.seen
    except InputError:  # eigenvalues are not known, or the teacher has no density
        return
    if compared:
        yield from blindness(config, seen.attributes)
    n, lam = config.network, config.network.regularisation
    largest = float(seen.eigenvalue[1:].max())
    if lam > largest > 0:
        start = float(problem.divergence.dconjugate(np.zeros(1))[0])
        yield (
            f"network.lambda = {lam:g} is above the kernel's eigenvalues, at most {largest:.2g} "
            f"without the constant: it damps what is learnt by {1 + lam / largest:.2g} or more, "
            f"and outer weights stay near {start:g}; use network.lambda <= {largest / 10:.1g}."
        )
    learnt = effective_dimension(seen, lam)
    for name, count in (("width", n.width), ("samples", n.samples)):
        if count < learnt and (name == "width" or n.kernel == "sampled"):
            yield (
                f"network.{name} = {count} cannot carry network.lambda = {lam:g}, with which the "
                f"kernel has an effective dimension of {learnt:.3g}; "
                f"use network.{name} >= {math.ceil(ENOUGH * learnt)} or a larger network.lambda."
            )


def effective_dimension(seen: Identifiability, regularisation: float) -> float:
    """The number of directions that are learnt: sum of kappa / (kappa + lambda), dimensionless.

    The sum is over all eigenfunctions of the kernel, with eigenvalues kappa.
    """
    damping = seen.eigenvalue / (seen.eigenvalue + regularisation)
    return float(seen.multiplicity @ damping)


def _step(setup: Setup) -> Iterator[str]:
    n = setup.config.network
    if n.algorithm not in FAR:
        return
    small = training(_smaller(setup))
    tried = algorithm(small.network, n)
    assert isinstance(tried, VarProDescent | TwoTimescale)
    try:
        rate = fastest_rate(tried, small.features)
    except RunFailure as failure:
        reason = str(failure).removesuffix(".")
        yield f"There are no optimal outer weights: {reason}; use a larger network.lambda."
        return
    if rate <= 2:
        return
    follows = "the neurons' density will be wrong, and the risk may rise"
    if rate <= 2 * FAR[n.algorithm]:
        follows = "single neurons change places, though their density is hardly affected"
    yield (
        f"network.step = {n.step:.3g} is {rate / 2:.2g} times as long as training is stable with "
        f"at the start: {follows}; use network.step <= {0.9 * 2 / rate * n.step:.2g}."
    )


def _smaller(setup: Setup) -> Setup:
    """A setup with a network of the same kind, but no larger than `SMALLER`."""
    config = setup.config
    n = config.network
    size = {name: min(getattr(n, name), most) for name, most in SMALLER.items()}
    if n.placement != "random":
        size["width"] = setup.manifold.even_count(size["width"])
    kernel = "sampled" if n.kernel == "low-rank" else n.kernel  # truncation takes too long
    return setup.described_by(replace(config, network=replace(n, **size, kernel=kernel)))


def fastest_rate(algorithm: VarProDescent | TwoTimescale, feature: Array) -> float:
    """The spectral radius of (training step - identity), by the power method on differences.

    The step starts at this rank's features ``(M, ambient)`` with their optimal outer weights. For
    VarPro this is the step length times the spectral radius of the velocity's Jacobian. The result
    is dimensionless.

    Raises:
        RunFailure: if the optimal outer weights cannot be computed.
    """
    net, rng = algorithm.network, np.random.default_rng(0)
    optimal = net.project(feature)

    def change(x: Array, u: Array) -> tuple[Array, Array]:
        velocity, weight = algorithm.moves(x, u)
        return algorithm.step_size * velocity, weight - u

    def norm(of_feature: Array, of_weight: Array) -> float:
        squared = net.mass @ (np.einsum("ij,ij->i", of_feature, of_feature) + of_weight**2)
        return math.sqrt(float(net.share.sum(np.array(squared))))

    rows, radius = net.share.rows, 0.0
    nudge = NUDGE / math.sqrt(net.manifold.spectral_gap)
    moved, adapted = change(feature, optimal.outer_weight)
    d = rng.standard_normal((len(net.masses), feature.shape[1]))[rows]
    e = np.zeros_like(optimal.outer_weight)
    d = 0.1 * d + moved / max(norm(moved, e), 1e-300)  # noise plus the smooth velocity
    for _ in range(ITERATIONS):
        size = nudge / max(norm(d, e), 1e-300)
        there = change(net.manifold.retract(feature, size * d), optimal.outer_weight + size * e)
        d, e = net.manifold.tangent(feature, there[0] - moved), there[1] - adapted
        radius = norm(d, e) / nudge
    return radius
