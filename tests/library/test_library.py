"""The library takes objects and returns objects; a configuration of the same says the same."""

import inspect
from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
from documents import ROOT

import uf_diffusion as uf
from uf_diffusion.core import mpi
from uf_diffusion.network.training import NetworkState
from uf_diffusion.problem.divergences import Custom
from uf_diffusion.runs.config import Config, NetworkConfig, ProblemConfig
from uf_diffusion.runs.describing import features_keys, problem_keys

FAST = {"width": 24, "samples": 60, "teacher_width": 80, "step": 2.0**-6}


def fem():
    pytest.importorskip("dolfinx")


def peak(x):
    """Not normalised, as a user writes it."""
    return np.exp(3 * x[:, 0])


def problem(teacher=peak, **more):
    return uf.Problem(uf.Circle(), teacher=teacher, **more)


# --- problems -------------------------------------------------------------------------------------


def test_a_function_becomes_a_density_of_mass_one():
    teacher = problem().teacher
    angle = np.linspace(-np.pi, np.pi, 4097)[:-1]
    values = teacher(np.column_stack([np.cos(angle), np.sin(angle)]))
    assert values.mean() * 2 * np.pi == pytest.approx(1, abs=1e-12)
    assert values[0] / values[2048] == pytest.approx(np.exp(-6), rel=1e-12)


def test_a_density_without_a_manifold_gets_the_problems():
    placed = uf.Problem(uf.FlatTorus(2, 4.0), teacher=uf.Bumps(gamma=9.0))
    assert placed.teacher == uf.Bumps(uf.FlatTorus(2, 4.0), gamma=9.0)
    assert placed.initial == uf.Uniform(uf.FlatTorus(2, 4.0))
    assert placed.divergence is uf.UNBIASED
    again = replace(placed, divergence=uf.ENTROPY)
    assert (again.teacher, again.divergence) == (placed.teacher, uf.ENTROPY)


def test_a_divergence_of_ones_own_is_checked():
    class Burg:
        f = staticmethod(lambda t: t - 1 - np.log(t))
        df = staticmethod(lambda t: 1 - 1 / t)
        conjugate = staticmethod(lambda w: -np.log1p(-w))
        dconjugate = staticmethod(lambda w: 1 / (1 - w))
        d2conjugate = staticmethod(lambda w: 1 / (1 - w) ** 2)

    assert isinstance(problem(divergence=Burg).divergence, Custom)
    Burg.df = staticmethod(lambda t: 1 - 2 / t)
    with pytest.raises(uf.InputError, match="derivative of f"):
        problem(divergence=Burg())


MISTAKES = {
    "manifold": (lambda: uf.Problem("circle", teacher=peak), "begins with a manifold, not 'circle'"),
    "a manifold's class": (lambda: uf.Problem(uf.Circle, teacher=peak), "begins with a manifold"),
    "teacher a number": (lambda: problem(3.0), "must be a density such as Uniform"),
    "teacher a class": (lambda: problem(uf.Uniform), "must be a density such as Uniform"),
    "teacher of one point": (lambda: problem(lambda x: np.exp(x[0])), "must map (n, 2) to (n,)"),
    "teacher a list": (lambda: problem(lambda x: [1.0, 2.0]), "must map (n, 2) to (n,)"),
    "teacher negative": (lambda: problem(lambda x: x[:, 0]), "is negative"),
    "teacher not a number": (lambda: problem(lambda x: np.nan * x[:, 0]), "not finite"),
    "teacher of zeros": (lambda: problem(lambda x: 0 * x[:, 0]), "cannot be normalised"),
    "teacher that fails": (lambda: problem(lambda x: x.nothing), "failed with AttributeError"),
    "teacher elsewhere": (lambda: problem(uf.Bumps(uf.FlatTorus(1))), "lives on FlatTorus"),
    "bumps on a sphere": (lambda: uf.Problem(uf.Sphere(), uf.Bumps()), "use 'von-mises-fisher'"),
    "divergence": (lambda: problem(divergence="unbiased"), "must be one such as UNBIASED"),
    "divergence incomplete": (lambda: problem(divergence=np), "has no function f, df"),
    "solve no problem": (lambda: uf.solve(uf.Circle(), until=1.0), "A Problem is needed here"),
    "solve backwards": (lambda: uf.solve(problem(), until=-1.0), "until must be a positive number, not -1"),
    "solve until a word": (lambda: uf.solve(problem(), until="soon"), "positive number, not 'soon'"),
    "solve on a mesh of words": (lambda: uf.solve(problem(), until=1.0, mesh=3), "A mesh is a grid"),
    "solve with a scheme": (lambda: uf.solve(problem(), until=1.0, scheme="eulre"), "'euler'?"),
    "stepping": (lambda: next(uf.stepping(problem(), until=1.0, cell=3)), "did you mean 'cells'?"),
    "train": (lambda: uf.train(problem(), until=1.0, widht=3), "did you mean 'width'?"),
    "train half a neuron": (lambda: uf.train(problem(), until=1.0, width=1.5), "whole number"),
    "features": (lambda: uf.train(problem(), uf.Radial(), until=1.0), "live on the torus"),
    "features a word": (lambda: uf.train(problem(), "relu", until=1.0), "Features are a value such as"),
    "features elsewhere": (
        lambda: uf.train(problem(), uf.ReLU(uf.Sphere(2)), until=1.0),
        "must live on the problem's manifold",
    ),
    "compare nothing": (lambda: uf.compare(3, 4), "compare takes a TrainedNetwork here, not 3"),
    "run": (lambda: uf.run("relu-circle", "comapre"), "did you mean 'compare'?"),
    "budget nowhere": (lambda: uf.run("sphere", "compare --budget"), "needs a folder"),
    "load": (lambda: uf.load("nowhere"), "There is no file"),
    "draw": (lambda: uf.draw({}), "not a result"),
}  # fmt: skip


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_gets_one_sentence(case):
    fem()
    call, hint = MISTAKES[case]
    with pytest.raises(uf.InputError) as refused:
        call()
    assert hint in str(refused.value)
    assert "\n" not in str(refused.value)


# --- the same numbers as a configuration --------------------------------------------------------


def test_objects_and_configuration_give_the_same_bits():
    """Preset relu-circle, made of objects: the groups are identical, and so is the description."""
    fem()
    overrides = ["problem.t_end=0.125", "diffusion.snapshots=3", "diffusion.cells=128",
                 *(f"network.{name}={value}" for name, value in FAST.items())]  # fmt: skip
    told = uf.run("relu-circle", overrides=overrides)
    made = uf.Problem(uf.Circle(), teacher=uf.Bumps(gamma=100.0))
    limit = uf.solve(made, until=0.125, snapshots=3, cells=128)
    network = uf.train(made, uf.ReLU(), until=0.125, snapshots=3, **FAST)
    both = uf.compare(network, limit)
    for name in ("diffusion", "network", "comparison"):
        xr.testing.assert_identical(both.group(name), told.group(name))
    assert both.config.problem.manifold == "circle"
    assert both.config.build() == told.config.build() == made
    assert (both.config.network, both.config.diffusion.cells) == (told.config.network, 128)


def test_a_result_goes_to_a_folder_and_comes_back(tmp_path):
    """Also where the teacher is a function that cannot be imported."""
    fem()
    made = problem(lambda x: np.exp(x[:, 1]))
    network = uf.train(made, uf.Laplace(scale=0.3), until=0.125, snapshots=3, **FAST)
    limit = uf.solve(made, until=0.125, snapshots=network.times, cells=96)
    both = uf.compare(network, limit)
    assert both.save(tmp_path / "run") == tmp_path / "run"
    assert {"run.toml", "result.nc", "figure.png", "figure.pdf", "report.html"} == {
        p.name for p in (tmp_path / "run").iterdir()
    }
    back = uf.load(tmp_path / "run")
    assert type(back) is uf.Comparison
    assert np.array_equal(back.solution.density, limit.density)
    assert np.array_equal(back.network.outer_weight, network.outer_weight)
    assert back.grid.nodes == pytest.approx(limit.grid.nodes)
    assert back.config.network.scale == 0.3
    back.plot(tmp_path / "again.png")
    with pytest.raises(uf.InputError, match="is code that a file names"):
        _ = back.problem
    with pytest.raises(uf.InputError, match="Cannot import density"):
        _ = uf.load(tmp_path / "run", trust=True).problem
    xr.testing.assert_identical(
        both.to_xarray()["comparison"].to_dataset(), back.to_xarray()["comparison"].to_dataset()
    )


def test_arrays_have_the_shapes_that_are_said():
    fem()
    made = uf.Problem(uf.Sphere(), teacher=lambda x: np.exp(x[:, 2]))
    limit = uf.solve(made, until=0.05, snapshots=3, cells=320)
    network = uf.train(made, until=0.0625, snapshots=[0.0, 0.03125, 0.0625], **FAST)
    nodes = len(limit.grid.nodes)
    assert limit.density.shape == limit.outer_weight.shape == (3, nodes)
    assert limit.teacher.shape == (nodes,)
    assert limit.risk.shape == limit.step_times.shape
    assert network.feature.shape == (3, 24, 3)
    assert network.outer_weight.shape == (3, 24)
    assert network.mass.sum() == pytest.approx(1)
    assert network.risk.shape == network.step_times.shape == (5,)
    assert network.teacher.points.shape == (80, 3)
    assert isinstance(network.features, uf.ReLU)
    with pytest.raises(uf.InputError, match="fewer than two snapshot times in common"):
        uf.compare(network, limit)
    other = uf.solve(uf.Problem(uf.Sphere(), teacher=lambda x: np.exp(x[:, 2])), until=0.0625,
                     snapshots=3, cells=320)  # fmt: skip
    with pytest.raises(uf.InputError, match="different problems"):
        uf.compare(network, other)


def test_loops_of_ones_own_see_the_states_of_a_run():
    fem()
    made = problem()
    states = list(uf.stepping(made, until=0.1, cells=64))
    solver = uf.evolution(made, cells=64)
    limit = uf.solve(made, until=0.1, cells=64, snapshots=2)
    assert [s.t for s in states] == limit.step_times.tolist()
    density = solver.gathered(states[-1].ratio * solver.teacher)  # in the grid's numbering
    assert np.array_equal(density, limit.density[-1])
    last = None
    for last in uf.training(made, uf.ReLU(), until=0.125, **FAST).states():
        assert isinstance(last, NetworkState)
    network = uf.train(made, uf.ReLU(), until=0.125, **FAST)
    assert np.array_equal(last.feature, network.feature[-1])


def test_meshes_and_times_are_values():
    fem()
    made, grid = problem(), uf.grid_on(uf.Circle(), 77)
    limit = uf.solve(made, until=np.float64(0.1), mesh=grid, degree=np.int64(2), snapshots=(0, 0.1))
    assert limit.grid.node_count == 2 * 77
    assert limit.times.tolist() == [0, 0.1]
    surface = uf.grid_on(uf.Sphere(), 320).surface
    sphere = uf.Problem(uf.Sphere(), teacher=uf.VonMisesFisher(kappa=np.float32(2)))
    given = uf.solve(sphere, until=0.01, mesh=surface, snapshots=2, rtol=1e-3)
    built = uf.solve(sphere, until=0.01, cells=320, snapshots=2, rtol=1e-3)
    assert given.density[-1] == pytest.approx(built.density[-1], rel=1e-6)
    assert "cell" in given.group("diffusion") and "cell" not in built.group("diffusion")


def test_a_mesh_file_is_in_the_configuration(tmp_path):
    fem()
    file = ROOT / "meshes" / "fibonacci-500.msh"  # nodes of valence 5, 6 and 7
    sphere = uf.Problem(uf.Sphere(), teacher=uf.VonMisesFisher(kappa=2.0))
    limit = uf.solve(sphere, until=0.01, mesh=file, snapshots=2, rtol=1e-3)
    assert limit.config.diffusion.mesh == str(file)
    network = uf.train(sphere, until=0.01, snapshots=2, width=16, samples=64, step=0.01)
    both = uf.compare(network, limit)
    both.save(tmp_path / "run")
    again = uf.run(tmp_path / "run" / "run.toml", "solve")
    assert again.density == pytest.approx(limit.density, rel=1e-12)
    with pytest.raises(uf.InputError, match="dimension 2 only"):
        uf.solve(problem(), until=0.01, mesh=file)


def test_spectrum_of_objects():
    fem()
    found = uf.spectrum(
        uf.Problem(uf.Circle(), teacher=uf.Uniform()), uf.ReLU(), count=2, cells=200
    )
    assert found.eigenvalue == pytest.approx([1, 1], rel=1e-3)
    assert found.kernel_eigenvalue[3] == 0


# --- descriptions -------------------------------------------------------------------------------

PROBLEMS = [
    uf.Problem(uf.Circle(), uf.Bumps(gamma=7.0), uf.VonMisesFisher(kappa=2.0), uf.BIASED),
    uf.Problem(uf.Sphere(2), uf.VonMisesFisher(kappa=[1.0, 2.0], means=np.eye(3)[:2])),
    uf.Problem(uf.FlatTorus(2, 4.0), uf.Bumps(), uf.Uniform(), uf.ENTROPY),
    uf.Problem(uf.FlatTorus(1, 1.0), uf.Bumps(gamma=3.0), uf.Bumps(), uf.Power(1.5)),
    uf.Problem(uf.Circle(), uf.Diracs(centres=[[0.0, 1.0]])),
]


@pytest.mark.parametrize("made", PROBLEMS, ids=repr)
def test_a_description_builds_the_problem_again(made):
    assert ProblemConfig(**problem_keys(made)).build() == made


def test_features_are_described():
    torus = uf.FlatTorus(2, 4.0)
    assert features_keys(uf.ReLU(uf.Circle())) == {"features": "relu"}
    keys = features_keys(uf.Radial(torus, 0.7, "matern"))
    assert keys == {"features": "radial", "scale": 0.7, "profile": "matern"}
    assert NetworkConfig(**keys).scale == 0.7
    keys = features_keys(uf.RandomFourier(uf.Sphere(9), 2.0))
    assert keys == {"features": "fourier", "scale": 2.0, "profile": "gaussian"}


def test_the_profile_that_is_not_given_is_that_of_the_features():
    """And is written out; new features do not keep the profile of others."""
    assert Config().network.profile == "laplace"
    waves = Config().changed(network={"features": "fourier"})
    assert waves.network.profile == "gaussian"
    assert 'profile = "gaussian"' in waves.to_toml()
    rough = waves.changed(network={"profile": "matern"})
    assert rough.changed(network={"features": "fourier", "scale": 2.0}).network.profile == "matern"
    assert rough.changed(network={"features": "relu"}).network.profile == "laplace"
    assert rough.changed(problem={"manifold": "torus"}).network.profile == "laplace"
    both = rough.changed(network={"features": "laplace", "profile": "gaussian"})
    assert both.network.profile == "gaussian"


def test_changes_of_a_configuration_follow_the_manifold():
    on_torus = Config().changed(problem={"manifold": "torus"})
    assert (on_torus.problem.dim, on_torus.network.features) == (2, "radial")
    back = on_torus.changed(problem={"manifold": "sphere"})
    assert (back.problem.teacher["kind"], back.network.features) == ("von-mises-fisher", "relu")
    sharper = Config().changed(problem={"teacher": {"gamma": 5.0}})
    assert sharper.problem.teacher == {"kind": "bumps", "gamma": 5.0}


def test_every_public_name_is_documented():
    for name in uf.__all__:
        value = getattr(uf, name)
        assert isinstance(value, str) or inspect.getdoc(value), name


def both_sides():
    problem = uf.Problem(uf.Circle(), teacher=lambda x: np.exp(x[:, 0]))
    settings = {"width": 32, "kernel": "population", "step": 2.0**-11}
    network = uf.train(problem, uf.Laplace(), until=0.25, **settings)
    return uf.compare(network, uf.solve(problem, until=0.25, cells=64))


@pytest.mark.parallel(2)
def test_objects_work_on_several_ranks(tmp_path):
    fem()
    folder = mpi.broadcast(tmp_path)
    found = both_sides()
    figure = found.plot(folder / "figure.png")
    found.save(folder / "run")
    kind = uf.run("relu-circle", "solve", overrides=["problem.t_end=0.1", "diffusion.cells=64"])
    assert isinstance(kind, uf.Solution)  # on all ranks
    assert (figure is None) == (mpi.rank() == 1)
    serial, stored = mpi.on_root(lambda: (both_sides(), uf.load(folder / "run"))) or (None, None)
    if mpi.rank() == 1:
        assert repr(found) == "Comparison(manifold=Circle(dim=1))"
        with pytest.raises(uf.InputError, match="on ranks other than 0 it has no arrays"):
            _ = found.w2_diffusion
        return
    for name in ("energy_distance_diffusion", "w2_diffusion", "outer_weight_error"):
        value = getattr(serial, name)
        assert getattr(found, name) == pytest.approx(value, rel=1e-8, abs=1e-12)
        assert getattr(stored, name) == pytest.approx(getattr(found, name), rel=0, abs=0)
    assert (folder / "figure.png").stat().st_size > 10_000
