"""The studies of ``uf-diffusion study``: each is one value."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import xarray as xr

from uf_diffusion.comparison.diffusions import grid_of
from uf_diffusion.comparison.distances import energy_distance
from uf_diffusion.comparison.sweeps import Measure, Quantity, Series, Study
from uf_diffusion.config import Config, config_of
from uf_diffusion.errors import InputError, unknown
from uf_diffusion.problem.manifolds import Manifold
from uf_diffusion.threads import blocks_of

__all__ = ["STUDIES", "study_named"]


DEGENERATE = 5e-3  # eigenvalues that a mesh splits by less than this fraction belong together

# --- what is measured, of the last snapshot -----------------------------------------------------


def _energy_to_network(run: xr.DataTree, reference: xr.DataTree, value: float) -> float:
    """Energy distance between two networks."""
    a, b = run["network"], reference["network"]
    return energy_distance(
        a.feature.values[-1], b.feature.values[-1], a.neuron_mass.values, b.neuron_mass.values,
        manifold=_manifold(run),
    )  # fmt: skip


def _energy_to_density(t: float = math.inf) -> Measure:
    """Energy distance between a network and a diffusion, at the snapshot nearest to t."""

    def measure(run: xr.DataTree, reference: xr.DataTree, value: float) -> float:
        a, b = run["network"], reference["diffusion"]
        times = b.snapshot_time.values
        k = int(np.argmin(np.abs(times - min(t, times[-1]))))
        mass = b.density.values[k] * b.node_measure.values
        return energy_distance(
            a.feature.values[k], b.node.values, a.neuron_mass.values, mass, manifold=_manifold(run)
        )

    return measure


def _displacement(run: xr.DataTree, reference: xr.DataTree, value: float) -> float:
    """Root mean square geodesic distance between the neurons of one and the same start."""
    a, b = run["network"], reference["network"]
    x, y, distance = a.feature.values[-1], b.feature.values[-1], _manifold(run).distance
    blocks = [np.diagonal(distance(x[rows], y[rows])) for rows in blocks_of(len(x), 64)]
    return math.sqrt(float(a.neuron_mass.values @ np.concatenate(blocks) ** 2))


def _weight_error(run: xr.DataTree, reference: xr.DataTree, value: float) -> float:
    """Root mean square over the neurons of u_i - nu/mu(omega_i)."""
    a, b = run["network"], reference["diffusion"]
    grid = grid_of(_config(reference), _manifold(reference))
    limit = grid.interpolate(b.outer_weight.values[-1], a.feature.values[-1])
    return math.sqrt(float(a.neuron_mass.values @ (a.outer_weight.values[-1] - limit) ** 2))


def _density_error(run: xr.DataTree, reference: xr.DataTree, value: float) -> float:
    """L2 norm of the difference of two densities, at the reference's nodes."""
    a, b = run["diffusion"], reference["diffusion"]
    grid = grid_of(_config(run), _manifold(run))
    error = grid.interpolate(a.density.values[-1], b.node.values) - b.density.values[-1]
    return math.sqrt(float(b.node_measure.values @ error**2))


def _compared(name: str) -> Quantity:
    """A distance of the group /comparison."""
    return Quantity(name, lambda run, _, value: float(run["comparison"].to_dataset()[name][-1]))


def _decay_rate(run: xr.DataTree, reference: xr.DataTree, value: float) -> float:
    """f''(1) lambda_1 of the run's problem."""
    rate = run["diffusion"].attrs.get("decay_rate")
    if rate is None:
        raise InputError("lambda_1 is not computed on so fine a mesh: use fewer diffusion.cells.")
    return float(rate)


def _slowest_mode(run: xr.DataTree, reference: xr.DataTree, value: float) -> float:
    """Norm of the part of mu/nu - 1 in the eigenspace of lambda_1, at the time value /
    (f''(1) lambda_1); linear in its logarithm between snapshots, not a number after the last.
    """
    d, s = run["diffusion"], reference["spectrum"]
    first = s.eigenvalue.values < (1 + DEGENERATE) * s.eigenvalue.values[0]
    weighted = (d.density.values - d.teacher.values) * d.node_measure.values
    amplitude = np.linalg.norm(weighted @ s.eigenfunction.values[first].T, axis=1)
    logarithm = np.log(np.maximum(amplitude, np.finfo(float).tiny))
    clock = d.snapshot_time.values * _decay_rate(run, reference, value)
    return math.exp(float(np.interp(value, clock, logarithm, right=math.nan)))


def _config(result: xr.DataTree) -> Config:
    return config_of(result)


def _manifold(result: xr.DataTree) -> Manifold:
    return _config(result).shape()


# --- the studies --------------------------------------------------------------------------------

# a network without sampling noise, but for what a study adds
_NOISELESS = ("network.kernel=population", "network.placement=even",
              "network.teacher_placement=even")  # fmt: skip
_AT_ONE = ("problem.t_end=1.0", "diffusion.snapshots=2")


def _finest_step(values: Sequence[float]) -> tuple[str, ...]:
    return ("diffusion.scheme=esdirk4", f"diffusion.step={min(values) / 4!r}")


def _finest_mesh(values: Sequence[float]) -> tuple[str, ...]:
    return ("diffusion.degree=3", f"diffusion.cells={8 * int(max(values))}")


def _many_particles(values: Sequence[float]) -> tuple[str, ...]:
    return (
        f"network.width={49 * int(max(values))}",
        "network.placement=even",
        "network.seed=0",
    )


# starts without the symmetries that would leave out the slowest mode
_CIRCLE = ("problem.teacher={kind='bumps', gamma=10.0}", "problem.t_end=16.0",
           "diffusion.cells=1024")  # fmt: skip
_SPHERE = (
    "problem.teacher={kind='von-mises-fisher', kappa=1.0}",
    "problem.initial={kind='von-mises-fisher', kappa=0.5, means=[[0.0, 1.0, 1.0]]}",
    "problem.t_end=10.0", "diffusion.cells=5120",
)  # fmt: skip
_TORUS = (
    "problem.teacher={kind='bumps', gamma=10.0}",
    "problem.initial={kind='bumps', gamma=1.0, centres=[[0.3, -0.7]]}",
    "problem.t_end=16.0", "diffusion.cells=8192",
)  # fmt: skip

# to the limit lambda -> 0: modes with eigenvalues far below lambda are damped away
_LINE = ("network.kernel=population", "network.rtol=1e-4", "diffusion.cells=4096",
         "diffusion.rtol=1e-4")  # fmt: skip
_GLOBE = ("network.kernel=low-rank", "network.truncation=1.0", "network.rtol=1e-3",
          "diffusion.cells=20480", "diffusion.rtol=1e-3")  # fmt: skip

_ALL = (
    Study(
        name="width",
        what="Distance of M neurons to the mean-field limit (theory: order -1/2 if random)",
        preset="matern-circle",
        problem=("network.lambda=1e-2", *_AT_ONE),
        overrides=_NOISELESS,
        job="train",
        parameter="network.width",
        label="width M (neurons)",
        values=tuple(2**k for k in range(5, 12)),
        quantities=(Quantity("energy_distance", _energy_to_network),),
        series=(
            Series("random", ("network.placement=random",), seeds=32, expected=-0.5),
            Series("even"),
        ),
        reference_job="train",
        reference=_many_particles,
    ),
    Study(
        name="lambda",
        what="Distance of the mean-field network to the diffusion, its limit as lambda falls",
        preset="matern-circle",
        problem=_AT_ONE,
        overrides=(
            *_NOISELESS,
            "network.width=100000",
            "network.teacher_width=100000",
            "network.algorithm=flow",
            "network.rtol=1e-5",
            "diffusion.cells=65536",
            "diffusion.rtol=1e-6",
        ),
        job="train",
        parameter="network.lambda",
        label=r"regularisation $\lambda$ (dimensionless)",
        values=(1e-1, 1e-2, 1e-3, 1e-4, 1e-5),
        quantities=(
            Quantity("energy_distance", _energy_to_density()),
            Quantity("outer_weight_rms", _weight_error),
        ),
        series=(Series("flow"),),
        reference_job="solve",
    ),
    Study(
        name="limit",
        what="Which limit a ReLU network has as lambda falls: the constrained equation or the "
        "ultra-fast diffusion",
        preset="relu-circle",
        problem=(),
        overrides=(
            "problem.t_end=5.0",
            "diffusion.snapshots=6",
            "network.placement=even",
            "network.width=10000",
            "network.teacher_width=16384",
            "network.algorithm=flow",
        ),
        job="train",
        parameter="network.lambda",
        label=r"regularisation $\lambda$ (dimensionless)",
        values=(1e-2, 1e-3, 1e-4, 1e-5, 1e-6),
        quantities=(
            Quantity("energy_distance_at_one", _energy_to_density(1.0)),
            Quantity("energy_distance", _energy_to_density()),
        ),
        series=tuple(
            Series(f"{limit}, {name}", (f"problem.limit={limit}", *own), preset=preset)
            for name, preset, own in (("$S^1$", "relu-circle", _LINE), ("$S^2$", "sphere", _GLOBE))
            for limit in ("constrained", "unconstrained")
        ),
        reference_job="solve",
    ),
    Study(
        name="samples",
        what="Distance of a network with N inputs to one with infinitely many (theory: order -1/2)",
        preset="relu-circle",
        problem=_AT_ONE,
        overrides=(*_NOISELESS, "network.kernel=sampled", "network.width=8192"),
        job="train",
        parameter="network.samples",
        label="inputs N",
        values=tuple(2**k for k in range(7, 15)),
        quantities=(
            Quantity("displacement", _displacement),
            Quantity("energy_distance", _energy_to_network),
        ),
        series=(Series("random inputs", seeds=8, expected=-0.5),),
        reference_job="train",
        reference=lambda values: ("network.kernel=population", "network.seed=0"),
    ),
    Study(
        name="step",
        what="Distance of gradient descent to the gradient flow (theory: order 1)",
        preset="matern-circle",
        problem=("network.lambda=1e-2", *_AT_ONE),
        overrides=_NOISELESS,
        job="train",
        parameter="network.step",
        label=r"training step $\tau$ (time)",
        values=tuple(2.0**-k for k in range(7, 13)),
        quantities=(Quantity("displacement", _displacement),),
        series=(Series("varpro", expected=1.0),),
        reference_job="train",
        reference=lambda values: ("network.algorithm=flow", "network.rtol=1e-8"),
    ),
    Study(
        name="mesh",
        what="Error of the density by the elements' degree (theory: order degree + 1)",
        preset="relu-circle",
        problem=("problem.t_end=0.5", "diffusion.snapshots=2"),
        overrides=("diffusion.step=0.015625",),  # the same in all, so that its error is none of h
        job="solve",
        parameter="diffusion.cells",
        label="longest edge h (length)",
        values=(128, 181, 256, 362, 512),
        quantities=(Quantity("density_error", _density_error),),
        series=tuple(
            Series(f"degree {k}", (f"diffusion.degree={k}",), expected=k + 1) for k in (1, 2, 3)
        ),
        reference_job="solve",
        reference=_finest_mesh,
        abscissa=lambda config, value: grid_of(config, config.shape()).spacing,
    ),
    Study(
        name="time-step",
        what="Error of the density by the time scheme (theory: the scheme's own order)",
        preset="relu-circle",
        # mild: the orders show once a step resolves the fastest decay of the start
        problem=("problem.teacher.gamma=2.0", "diffusion.cells=1024", *_AT_ONE),
        overrides=(),
        job="solve",
        parameter="diffusion.step",
        label=r"time step $\tau$ (time)",
        values=tuple(2.0**-k for k in range(5, 10)),
        quantities=(Quantity("density_error", _density_error),),
        series=tuple(
            Series(name, (f"diffusion.scheme={name}",), expected=order)
            for name, order in (("euler", 1), ("sdirk2", 2), ("sdirk3", 3), ("esdirk4", 4))
        ),
        reference_job="solve",
        reference=_finest_step,
    ),
    Study(
        name="gamma",
        what="How a comparison depends on the teacher's sharpness (measured, not predicted)",
        preset="matern-circle",
        problem=_AT_ONE,
        overrides=(
            *_NOISELESS,
            "network.width=8192",
            "network.teacher_width=8192",
            "network.algorithm=flow",
            "diffusion.cells=16384",
        ),
        job="compare",
        parameter="problem.teacher.gamma",
        label=r"sharpness $\gamma$ of the teacher (dimensionless)",
        values=(1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0),
        quantities=(
            _compared("energy_distance_diffusion"),
            _compared("energy_distance_teacher"),
            Quantity("decay_rate", _decay_rate),
        ),
        series=(Series("flow"),),
    ),
    Study(
        name="two-timescale",
        what="Distance to VarPro by the total rate of the outer steps (theory: order -1)",
        preset="matern-circle",
        problem=("network.lambda=0.1", *_AT_ONE),
        overrides=(*_NOISELESS, "network.algorithm=two-timescale", "network.step=0.00048828125"),
        job="train",
        parameter="network.ratio",
        label="outer rate for each inner step (dimensionless)",
        values=tuple(2.0**k for k in range(-6, 0)),
        quantities=(Quantity("displacement", _displacement),),
        series=(Series("two-timescale", expected=-1.0),),
        reference_job="train",
        reference=lambda values: ("network.algorithm=varpro",),
    ),
    Study(
        name="decay",
        what="The last decay of the ratio in units of its predicted rate (theory: -1)",
        preset="relu-circle",
        problem=(),
        overrides=("diffusion.rtol=1e-5", "diffusion.snapshots=61"),
        job="solve",
        parameter="",
        label=r"time $t\, f''(1)\, \lambda_1$ (dimensionless)",
        values=tuple(np.arange(6, 12.1, 0.5).tolist()),
        quantities=(Quantity("slowest_mode", _slowest_mode),),
        series=(
            Series("$S^1$", _CIRCLE, expected=-1.0, preset="relu-circle"),
            Series("$S^2$", _SPHERE, expected=-1.0, preset="sphere"),
            Series("$T^2$", _TORUS, expected=-1.0, preset="radial-torus"),
        ),
        reference_job="spectrum",
        law="exponential",
    ),
)

STUDIES = {s.name: s for s in _ALL}


def study_named(name: str) -> Study:
    """The study of a name.

    Raises:
        InputError: for an unknown name.
    """
    if name not in STUDIES:
        raise unknown("study", name, STUDIES)
    return STUDIES[name]
