"""What a run says of itself: warned where, and only where, its numbers are wrong."""

from mpi4py import MPI  # noqa: F401 (before DOLFINx)

import re
import warnings
from functools import cache
from html import escape

import configured
import numpy as np
import pytest
from processes import cli

import uf_diffusion
from uf_diffusion.core.errors import Caution
from uf_diffusion.distances.measures import Measure
from uf_diffusion.distances.named import distance
from uf_diffusion.grids.built_in import grid_on
from uf_diffusion.kernels.features import Laplace, ReLU
from uf_diffusion.kernels.identifiability import identifiability
from uf_diffusion.kernels.projection import measure
from uf_diffusion.problem.densities import Bumps, Uniform, VonMisesFisher
from uf_diffusion.problem.manifolds import Circle, FlatTorus, Sphere
from uf_diffusion.reports.html import write_report
from uf_diffusion.runs.reading import load_config
from uf_diffusion.runs.setup import Setup
from uf_diffusion.runs.training import algorithm as algorithm_of
from uf_diffusion.runs.warnings_before import (
    cautions,
    effective_dimension,
    fastest_rate,
    interpolation_error,
)

CIRCLE, TORUS, SPHERE = Circle(), FlatTorus(2, 4.0), Sphere(2)
COARSE = "The mesh does not resolve"


def said(preset, *overrides, **what):
    return cautions(Setup(load_config(preset, overrides)), **what)


def of_mesh(*overrides, preset="relu-circle"):
    return [s for s in said(preset, *overrides, trained=False) if s.startswith(COARSE)]


# the mesh


@pytest.mark.parametrize(
    ("density", "cells", "degree"),
    [
        (Bumps(CIRCLE, 1e3), 128, 1),
        (Bumps(CIRCLE, 1e4), 128, 2),
        (Bumps(CIRCLE, 1e4), 128, 3),
        (Bumps(TORUS, 1e2), 800, 1),
        (VonMisesFisher(SPHERE, 30.0), 320, 1),
        (VonMisesFisher(SPHERE, 30.0), 320, 2),
    ],
)
def test_interpolation_error_is_the_l1_norm(density, cells, degree):
    """Against the sum over a fine lattice."""
    grid, manifold = grid_on(density.manifold, cells, degree), density.manifold
    x = manifold.even(250_000 if manifold.dim == 1 else 40_000)
    gap = density(x) - grid.interpolate(density(grid.nodes), x)
    norm = np.abs(gap).mean() * manifold.volume
    assert interpolation_error(density, grid) == pytest.approx(norm, rel=0.06)


def solved(cells, preset, overrides, degree="diffusion.degree=1"):
    brief = ["problem.t_end=0.5", "diffusion.snapshots=[0.0, 0.05, 0.5]", "diffusion.rtol=1e-3"]
    config = load_config(preset, [*overrides, *brief, degree, f"diffusion.cells={cells}"])
    group = configured.solve(config)["diffusion"].to_dataset()
    return config, Setup(config).grid, group


PROBLEMS = {  # cells of the reference, of the meshes; preset; overrides
    "circle": (4096, (32, 256), "relu-circle", ["problem.teacher.gamma=1000.0"]),
    "circle, sharp": (8192, (128, 1024), "relu-circle", ["problem.teacher.gamma=1e4"]),
    "circle, sharp start": (
        8192, (128, 1024), "relu-circle",
        ["problem.teacher.gamma=10.0", "problem.initial={kind='bumps', gamma=1e4, centres=[2.0]}"],
    ),
    "torus": (12800, (200, 3200), "radial-torus", ["problem.teacher.gamma=10.0"]),
    "sphere": (
        5120, (80, 1280), "sphere",
        ["problem.teacher={kind='von-mises-fisher', kappa=4.0}"],
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def references():
    """The solutions on the finest meshes, each computed once."""
    return cache(lambda problem: solved(PROBLEMS[problem][0], *PROBLEMS[problem][2:])[2])


@pytest.mark.parametrize(
    ("problem", "degree"),
    [*((name, 1) for name in PROBLEMS), ("circle", 2), ("circle", 3), ("circle, sharp start", 2)],
)
def test_a_mesh_is_warned_of_where_the_diffusion_is_wrong(references, problem, degree):
    """L1 errors of real solutions, largest over time, against one on a fine mesh."""
    _, sizes, preset, overrides = PROBLEMS[problem]
    fine, verdicts = references(problem), []
    for cells in sizes:
        config, grid, coarse = solved(cells, preset, overrides, f"diffusion.degree={degree}")
        error = max(
            float(
                fine.node_measure.values
                @ np.abs(grid.interpolate(a, fine.node_position.values) - b)
            )
            for a, b in zip(coarse.density.values[1:], fine.density.values[1:], strict=True)
        )
        warned = bool(cautions(Setup(config), trained=False))
        assert warned or error < 0.02
        assert not warned or error > 0.003
        verdicts.append(warned)
    assert verdicts[0] and not verdicts[-1]


@pytest.mark.parametrize(("gamma", "degree"), [(1e3, 1), (1e5, 1), (1e5, 3)])
def test_the_mesh_that_a_caution_names_is_fine_enough_and_not_much_finer(gamma, degree):
    overrides = [f"problem.teacher.gamma={gamma}", f"diffusion.degree={degree}"]
    (sentence,) = of_mesh(*overrides, "diffusion.cells=50")
    named = int(re.search(r"use diffusion.cells >= (\d+)\.$", sentence)[1])
    assert not of_mesh(*overrides, f"diffusion.cells={named}")
    assert of_mesh(*overrides, f"diffusion.cells={named // 3}")


def test_a_peak_between_two_nodes_is_seen():
    """At no node of 64 cells is a peak of half width 2e-5 visible."""
    teacher = f"problem.teacher={{kind='bumps', gamma=1e10, centres=[{np.pi / 64}]}}"
    (sentence,) = of_mesh(teacher, "diffusion.cells=64")
    assert "off in L1" in sentence
    assert interpolation_error(Bumps(CIRCLE, 1e10, [np.pi / 64]), grid_on(CIRCLE, 64)) > 0.9


def test_a_uniform_density_needs_no_mesh():
    assert not of_mesh("problem.teacher=uniform", "diffusion.cells=3")


# the step


def network(*overrides, algorithm="varpro", step=1e-4, width=128, t_end=0.25):
    """A network on the circle with the Matern-3/2 kernel, which is injective."""
    return load_config(
        "matern-circle",
        [f"network.width={width}", f"network.step={step}", f"network.algorithm={algorithm}",
         f"problem.t_end={t_end}", "diffusion.snapshots=2", "network.teacher_width=256",
         "network.rtol=1e-6", *overrides],
    )  # fmt: skip


def steps_of(config):
    training = configured.training(config)
    return training, algorithm_of(training.network, config.network)


@pytest.mark.parametrize("algorithm", ["varpro", "two-timescale", "joint"])
def test_the_fastest_rate_is_that_of_the_whole_matrix(algorithm):
    """The Jacobian of a step in all angles and outer weights of 24 neurons, by differences."""
    config = network("network.lambda=1e-2", algorithm=algorithm, step=1e-2, width=24)
    training, steps = steps_of(config)
    net, x0 = training.network, training.features
    angle = CIRCLE.chart(x0)[:, 0]
    u0, M = net.project(x0).outer_weight, len(x0)

    def step(z):
        x, u = CIRCLE.unchart(z[:M, None]), z[M:]
        if algorithm == "varpro":
            layer = net.project(x)
        else:
            eta = steps.rate
            psi_r = net.at(x).potential(net.mass * u)
            u = u - eta * (net.regularisation * (u - 1) - psi_r)
            layer = measure(net.at(x), net.mass, net.divergence, net.regularisation, u)
        turn = layer.velocity[:, 1] * np.cos(z[:M]) - layer.velocity[:, 0] * np.sin(z[:M])
        return np.concatenate([z[:M] + steps.step_size * turn, layer.outer_weight])

    z0, h = np.concatenate([angle, u0]), 1e-4
    columns = [(step(z0 + h * e) - step(z0 - h * e)) / (2 * h) for e in np.eye(2 * M)]
    if algorithm == "varpro":  # there the outer weights of before are forgotten
        columns[M:] = list(np.eye(2 * M)[M:])
    values = np.linalg.eigvals(np.array(columns).T - np.eye(2 * M))
    assert fastest_rate(steps, x0) == pytest.approx(np.abs(values).max(), rel=0.05)


def test_the_fastest_rate_at_equilibrium_is_that_of_a_wave():
    """With u = 1 and mu uniform, waves decay at k^2 kappa_k / (kappa_k + lambda)."""
    lam, tau = 1e-2, 1.0
    config = network("problem.teacher=uniform", f"network.lambda={lam}", step=tau, t_end=2.0)
    training, steps = steps_of(config)
    k, s = np.arange(60), config.network.scale
    kappa = 2 * s / np.pi / (1 + (s * k) ** 2) ** 2
    wave = tau * (k**2 * kappa / (kappa + lam)).max()
    found = fastest_rate(steps, training.features)
    assert 0.85 * wave < found < 1.01 * wave  # the power method comes from below


def limit_of(algorithm, step=0.01):
    """The step whose fastest rate is 2."""
    for _ in range(3):
        training, steps = steps_of(network(algorithm=algorithm, step=step))
        step *= 2 / fastest_rate(steps, training.features)
    return step


def run(algorithm, step, **what):
    return configured.train(network(algorithm=algorithm, step=step, **what))["network"]


def test_varpro_moves_neurons_wrongly_above_the_limit_and_their_density_far_above():
    """Distances to the gradient flow, of the positions and of the distributions."""
    limit = limit_of("varpro")
    exact = run("flow", limit, t_end=100 * limit)
    mass = exact.neuron_mass.values
    x = exact.feature.values[-1]

    def errors(multiple):
        y = run("varpro", multiple * limit, t_end=100 * limit).feature.values[-1]
        w2 = distance("w2", Measure(CIRCLE, x, mass), Measure(CIRCLE, y, mass)).value
        return np.sqrt(mass @ ((y - x) ** 2).sum(axis=1)), w2

    half, below, above, far = map(errors, (0.4, 0.8, 1.6, 8.0))
    assert below[0] / half[0] == pytest.approx(2, rel=0.3)  # first order in the step
    assert above[0] > 5 * 2 * below[0]
    assert above[1] < 0.2 * above[0]
    assert far[1] > 50 * above[1]


@pytest.mark.parametrize(
    ("algorithm", "far"), [("varpro", 8), ("two-timescale", 6), ("joint", 6)]
)  # fmt: skip
def test_far_above_the_limit_the_risk_rises_and_below_it_does_not(algorithm, far):
    limit = limit_of(algorithm)
    assert run(algorithm, 0.8 * limit).attrs["risk_rises"] == 0
    assert run(algorithm, far * limit).attrs["risk_rises"] > 5


@pytest.mark.parametrize("algorithm", ["varpro", "two-timescale", "joint"])
def test_a_step_is_warned_of_above_the_limit_alone(algorithm):
    def warned(step):
        config = network(algorithm=algorithm, step=step)
        return [s for s in cautions(Setup(config), solved=False) if "network.step" in s]

    limit = limit_of(algorithm)
    (sentence,) = warned(1.3 * limit)
    assert "change places" in sentence
    assert "the risk may rise" in warned(6 * limit)[0]
    named = float(re.search(r"use network.step <= (\S+)\.$", sentence)[1])
    assert 0.7 * limit < named < limit
    assert not warned(named)
    assert not warned(0.95 * limit)


@pytest.mark.parametrize("algorithm", ["flow", "fixed"])
def test_other_algorithms_have_no_limit(algorithm):
    config = network(algorithm=algorithm, step=0.125)
    assert not cautions(Setup(config), solved=False)


# lambda


@pytest.mark.parametrize(
    ("phi", "name"), [(Laplace(CIRCLE, 0.5), "laplace"), (ReLU(CIRCLE), "relu")]
)
def test_the_effective_dimension_is_a_trace(phi, name):
    """Of K (K + lambda)^-1, K the kernel between evenly spaced points."""
    lam, points = 1e-3, CIRCLE.even(600)
    values = np.linalg.eigvalsh(phi.kernel(points, points)[0] / len(points))
    seen = identifiability(phi, Uniform(CIRCLE), Uniform(CIRCLE))
    assert effective_dimension(seen, lam) == pytest.approx(
        (values / (values + lam)).sum(), rel=1e-3
    )


@pytest.mark.parametrize("name", ["width", "samples"])
def test_less_than_the_effective_dimension_is_warned_of_and_wrong(name):
    """Outer weights at the start against those of 4096 neurons and infinitely many inputs."""
    few = {"width": "network.width=12", "samples": "network.samples=5"}[name]
    enough = {"width": "network.width=512", "samples": "network.samples=512"}[name]
    kernel = "population" if name == "width" else "sampled"
    base = (f"network.kernel={kernel}", "network.placement=random", "network.lambda=1e-3")
    exact = network(*base[1:], "network.width=4096", "network.placement=even")

    def error(*overrides):
        config = network(*base, "network.width=1024", *overrides)
        return outer_weight_error(config, exact), [
            s for s in cautions(Setup(config), solved=False) if s.startswith(f"network.{name} =")
        ]

    wrong, warned = error(few)
    right, silent = error(enough)
    assert len(warned) == 1 and not silent
    assert wrong > 0.3 and right < 0.2


def outer_weight_error(config, exact):
    """Root mean square, over that of u - 1."""

    def projected(c):
        training = configured.training(c)
        layer = training.network.project(training.features)
        return CIRCLE.chart(training.features)[:, 0], layer.outer_weight

    (x, u), (y, v) = projected(config), projected(exact)
    order = np.argsort(y)
    there = np.interp(x, y[order], v[order], period=2 * np.pi)
    return np.sqrt(((u - there) ** 2).mean() / ((there - 1) ** 2).mean())


def test_a_lambda_above_the_eigenvalues_keeps_the_outer_weights_near_one():
    """The largest but the constant's is 1/8 for ReLU: u - 1 is damped by 1 + 8 lambda."""
    config = load_config("relu-circle", ["network.lambda=2.0", "network.kernel=population"])
    (sentence,) = [s for s in cautions(Setup(config), solved=False) if "lambda = 2" in s]
    assert "0.12 " in sentence and "by 17 or more" in sentence and "stay near 1;" in sentence
    training = configured.training(config)
    u = training.network.project(training.features).outer_weight
    assert np.abs(u - 1).max() < 0.2
    assert not [s for s in said("relu-circle") if "eigenvalues" in s]


def test_a_lambda_lost_in_round_off_is_said():
    config = network("network.lambda=1e-17")
    (sentence,) = [
        s for s in cautions(Setup(config), solved=False) if "round-off" in s or "Newton" in s
    ]
    assert sentence.endswith("; use a larger network.lambda.")


# presets


@pytest.mark.parametrize(
    ("preset", "starts"),
    [
        ("relu-circle", ["The features do not see odd degrees >= 3"]),
        ("paper-6.1", ["The features do not see odd degrees >= 3"]),
        ("matern-circle", []),
        ("radial-torus", []),
        ("sphere", ["The features do not see odd degrees >= 3"]),
    ],
)
def test_the_presets_say_what_is_true_of_them(preset, starts):
    found = said(preset)
    assert len(found) == len(starts)
    assert all(a.startswith(b) for a, b in zip(found, starts, strict=True))


def test_the_constrained_limit_is_what_the_features_see():
    assert not said("relu-circle", "problem.limit=constrained")


# when and where it is said

UNSOUND = ["problem.t_end=0.5", "network.step=0.25", "diffusion.cells=16", "network.width=64",
           "diffusion.snapshots=3"]  # fmt: skip
SOUND = ["problem.t_end=0.125", "network.width=64", "diffusion.snapshots=3"]


def test_cautions_are_warnings_of_python(tmp_path):
    """Once each, before the work is done, and kept with the result; nothing where all is well."""
    config, steps = load_config("relu-circle", UNSOUND), []
    with pytest.warns(Caution) as caught:
        result = uf_diffusion.run(config, watch=[lambda s: steps.append(len(caught))])
    told = [str(w.message) for w in caught]
    for start in (COARSE, "The features do not see", "network.step"):
        assert sum(sentence.startswith(start) for sentence in told) == 1
    assert steps[0] == len([w for w in caught if w.category is Caution])
    assert set(result.warnings) == set(told)
    assert {w.filename for w in caught} == {__file__}  # where the caller is
    page = write_report(result, tmp_path).read_text()
    assert escape(told[0]) in page

    for sure, settings in ((True, SOUND), (False, UNSOUND)):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            result = configured.compare(load_config("matern-circle", settings), cautious=sure)
        assert result.attrs["warnings"] == ""


def test_cautions_come_before_a_run_that_fails(tmp_path):
    """Without a terminal, too; and one line each."""
    done = cli("train", "matern-circle", "--set", "network.lambda=1e-12", "--out", tmp_path / "run")
    *before, last = done.stderr.splitlines()
    assert done.returncode == 1
    assert any("effective dimension" in line for line in before)
    assert all(line.startswith("warning   ") for line in before)
    assert last.startswith("uf-diffusion: Training failed at the start: The projection did not")


def test_two_ranks_say_it_once(tmp_path):
    settings = [word for pair in UNSOUND for word in ("--set", pair)]
    done = cli("compare", *settings, "--out", tmp_path / "run", launcher=("mpiexec", "-n", "2"))
    assert done.stderr.count(COARSE) == done.stdout.count(COARSE) == 1
