"""Studies: nine small ones end to end; runs that are done once, survive kill -9, and may fail."""

import re
import signal
import subprocess
import time
from importlib.util import find_spec

import configured
import numpy as np
import pytest
import xarray as xr
from configured import solve
from processes import COMMAND, environment, refusal
from small_studies import SMALL, SOON, TINY, arguments

from uf_diffusion.cli import main
from uf_diffusion.core import mpi
from uf_diffusion.core.errors import RunFailure
from uf_diffusion.runs.reading import load_config
from uf_diffusion.studies import NAMES
from uf_diffusion.studies import cache as runs_module
from uf_diffusion.studies.cache import Failure, Run, Runs
from uf_diffusion.studies.catalogue import STUDIES, study_named
from uf_diffusion.studies.plans import numbers

needs_fem = pytest.mark.skipif(find_spec("dolfinx") is None, reason="needs DOLFINx")


def command(*args, launcher=()):
    """The command line as a process of its own."""
    return subprocess.Popen(
        [*launcher, *COMMAND, *args],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(),
    )  # fmt: skip


def do(args):
    """The command line in this process, to its good end."""
    with pytest.raises(SystemExit) as stopped:
        main(args)
    assert stopped.value.code == 0


def read(folder):
    with xr.open_dataset(folder / "study.nc", engine="h5netcdf") as data:
        return data.load()


def same(a, b):
    """The same numbers and names, whatever took how long."""
    return a.drop_attrs(deep=False).identical(b.drop_attrs(deep=False))


@needs_fem
@pytest.mark.parametrize("name", STUDIES)
def test_a_study_from_end_to_end(name, tmp_path, capsys):
    """Table, study.nc and figure; where a tiny study can show the theory's order, it does."""
    do(arguments(name, tmp_path))
    table = capsys.readouterr().out
    data, study = read(tmp_path), study_named(name)
    assert {"run.toml", "study.nc", "figure.png", "figure.pdf", "runs"} == {
        p.name for p in tmp_path.iterdir()
    }
    for variable in data.variables.values():
        assert variable.attrs["long_name"]
        assert variable.attrs["units"] == "1"
    assert data["value"].values.tolist() == numbers(TINY[name][0])
    for quantity in study.quantities:
        assert data[quantity.name].attrs["long_name"] in table
        measured = data[quantity.name].values
        counts = np.isfinite(measured).all(axis=1).sum(axis=1)
        assert counts.tolist() == [min(s.seeds, TINY[name][1] or 1) for s in study.series]
        assert (measured[np.isfinite(measured)] > 0).all()
    fits = re.findall(r"(?:order|rate) -?\d+\.\d{4}( \+- |, drifting|, local)?", table)
    seeds = [s.seeds > 1 for _ in study.quantities for s in study.series]
    assert [said == " +- " for said in fits] == seeds  # an interval only where seeds scatter
    assert np.isfinite(data.order_low.values).ravel().tolist() == seeds
    if data.sizes["value"] > 2:
        assert all(fits)
    assert ("floor" in table) == any(q.floor is not None for q in study.quantities)
    expected = data.expected_order.values
    assert np.array_equal(expected, [s.expected for s in study.series], equal_nan=True)
    error = np.abs(data.order.values - expected)[:, np.isfinite(expected)]
    assert (error <= TINY[name][3]).all(), table


def test_the_help_names_all_studies():
    assert NAMES == tuple(STUDIES)


def small_runs(*settings):
    """A few runs that take a moment each."""
    common = ("network.samples=20", "network.teacher_width=20", "network.width=10", *SOON)
    return [
        Run("train", load_config("relu-circle", (*common, f"network.seed={k}", *settings)))
        for k in range(3)
    ]


def forbid(monkeypatch):
    """From now on no run is done."""

    def refuse(config):
        raise AssertionError("this run should be there already")

    monkeypatch.setitem(runs_module.WORK, "train", refuse)


def test_a_second_call_computes_nothing(tmp_path, monkeypatch):
    """The same trees come back from the files, and a run that is asked for twice is done once."""
    runs = small_runs()
    first = Runs(tmp_path).results([*runs, runs[0]])
    assert first[3] is first[0]
    assert len(list(tmp_path.iterdir())) == 3
    forbid(monkeypatch)
    for before, after in zip(first, Runs(tmp_path).results(runs), strict=False):
        assert before.group("network").identical(after.group("network"))
        assert before.attributes == after.attributes
    (new,) = Runs(tmp_path).results(small_runs("network.lambda=1e-2")[:1])
    assert "should be there" in new.reason  # another configuration is another run


def test_the_key_is_all_that_decides(monkeypatch):
    """The job, every setting that it reads, and the code; not the name of the file."""
    config = load_config("relu-circle")
    keys = {Run(job, config).key for job in ("train", "solve", "compare")}
    for override in ("network.seed=1", "problem.teacher.gamma=99.0", "diffusion.snapshots=5"):
        keys.add(Run("train", load_config("relu-circle", [override])).key)
    mean_field = ["problem.limit=mean-field", "network.kernel=population"]
    for override in ("network.lambda=0.5", "network.scale=0.7"):  # of the kernel
        there = load_config("matern-circle", mean_field)
        changed = load_config("matern-circle", [*mean_field, override])
        assert Run("solve", there).key != Run("solve", changed).key
        unread = load_config("matern-circle", [*mean_field, "network.width=3", "network.seed=1"])
        assert Run("solve", there).key == Run("solve", unread).key
    for override in ("diffusion.step=0.5", "problem.limit=constrained"):
        changed = load_config("relu-circle", [override])
        assert Run("train", changed).key == Run("train", config).key
        keys |= {Run("solve", changed).key, Run("compare", changed).key}
    assert len(keys) == 10
    other = load_config("relu-circle", ["network.seed=1"])
    assert Run("solve", other).key == Run("solve", config).key
    monkeypatch.setattr(runs_module, "code", lambda: "another")
    assert Run("train", config).key not in keys


DAMAGE = {
    "empty": lambda content: b"",
    "cut": lambda content: content[: len(content) // 2],
    "unsealed": lambda content: content[:-32],
    "one bit": lambda content: content[:9000] + bytes([content[9000] ^ 1]) + content[9001:],
    "another file": lambda content: b"no NetCDF at all" * 1000,
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_file_is_computed_again(damage, tmp_path):
    """Whatever happened to it; the files beside it are left alone."""
    runs, store = small_runs(), Runs(tmp_path)
    first = store.results(runs)
    path = tmp_path / f"{runs[1].key}.nc"
    content, times = path.read_bytes(), {p: p.stat().st_mtime_ns for p in tmp_path.iterdir()}
    path.write_bytes(DAMAGE[damage](content))
    assert store.stored(runs[1]) is None
    second = store.results(runs)
    for before, after in zip(first, second, strict=True):
        assert before.group("network").identical(after.group("network"))
    changed = {p for p in tmp_path.iterdir() if p.stat().st_mtime_ns != times[p]}
    assert changed == {path}


def test_failing_runs_do_not_lose_the_others(tmp_path, monkeypatch):
    """An impossible network, and whatever else a run may raise: a sentence in its place."""
    good = small_runs()
    bad = Run("train", load_config("sphere", ["network.placement=quantile"]))
    found = Runs(tmp_path).results([good[0], bad, good[1]])
    assert isinstance(found[1], Failure)
    assert "one dimension" in found[1].reason
    assert not isinstance(found[0], Failure)
    assert not isinstance(found[2], Failure)
    for error in (RunFailure("it\nstopped"), MemoryError("8 GiB"), FloatingPointError("overflow"),
                  KeyError("a mistake of ours")):  # fmt: skip

        def fail(config, error=error):
            raise error

        monkeypatch.setitem(runs_module.WORK, "train", fail)
        (failure,) = Runs(tmp_path).results(good[2:])
        assert str(error).split()[-1] in failure.reason
        assert "\n" not in failure.reason
    assert len(list(tmp_path.iterdir())) == 2


@needs_fem
def test_a_study_with_failing_runs_is_written_and_says_so(tmp_path, capsys):
    """30 neurons are no lattice on the torus, 36 are; exit code 1 after everything is there."""
    settings = ["network.kernel=low-rank", "network.truncation=10.0", "network.teacher_width=16",
                "problem.t_end=0.01", "diffusion.cells=512"]  # fmt: skip
    words = [w for s in settings for w in ("--set", s)]
    with pytest.raises(SystemExit) as stopped:
        main(["study", "width", "radial-torus", *words, "--values", "30,36", "--seeds", "2",
              "--out", str(tmp_path)])  # fmt: skip
    printed = capsys.readouterr()
    assert stopped.value.code == 1
    assert printed.err == "uf-diffusion: Some runs failed; the study lacks them.\n"
    assert "failed    even, network.width = 30: Even placement on a torus" in printed.out
    data = read(tmp_path)
    assert np.isnan(data.energy_distance.sel(series="even").values[:, 0]).tolist() == [True, False]
    assert np.isfinite(data.energy_distance.sel(series="random").values).all()
    assert np.isfinite(data.order.sel(series="random").values).all()
    assert (tmp_path / "figure.png").exists()


def test_killed_and_repeated_is_the_whole(tmp_path):
    """kill -9 among the runs: those that are done are kept, the end is that of an unbroken study."""
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    do(arguments("samples", whole, values="50,100,200,400", seeds=5))
    running = command(*arguments("samples", broken, values="50,100,200,400", seeds=5))
    while len(list((broken / "runs").glob("[!.]*.nc"))) < 3:
        assert running.poll() is None
        time.sleep(0.005)
    running.kill()
    running.communicate()
    assert not (broken / "study.nc").exists()
    done = {p: p.read_bytes() for p in (broken / "runs").glob("[!.]*.nc")}
    kept = {p: p.stat().st_mtime_ns for p in done if p.name in sealed(broken)}
    assert 2 <= len(kept) < len(list((whole / "runs").iterdir()))
    do(arguments("samples", broken, values="50,100,200,400", seeds=5))
    assert {p: p.stat().st_mtime_ns for p in kept} == kept
    assert same(read(broken), read(whole))


def sealed(folder):
    """The names of the undamaged files of a tiny study of samples."""
    settings = TINY["samples"][2]
    plan = study_named("samples").plan("", settings, [50, 100, 200, 400], 5)
    store = Runs(folder / "runs")
    return {f"{run.key}.nc" for run in plan.runs if store.stored(run) is not None}


@pytest.mark.parametrize(
    "launcher", [(), pytest.param(("mpiexec", "-n", "2"), marks=needs_fem)], ids=["serial", "ranks"]
)
def test_ctrl_c_tells_how_to_go_on(launcher, tmp_path):
    running = command(*arguments("samples", tmp_path, seeds=400), launcher=launcher)
    while not (tmp_path / "runs").exists() or not any((tmp_path / "runs").iterdir()):
        assert running.poll() is None
        time.sleep(0.01)
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=60)
    assert running.returncode == 130
    assert "median" not in out  # mpiexec has a word of its own
    assert err.startswith("uf-diffusion: Interrupted with ")
    assert err.endswith("of 1201 runs done; the same command goes on from there.\n")


@needs_fem
def test_the_same_numbers_on_three_ranks(tmp_path):
    """Both sides of the comparison, with samples that ranks would share: bit for bit."""
    settings = ["network.kernel=sampled", "network.samples=50", "network.algorithm=varpro"]
    sampled = [word for setting in settings for word in ("--set", setting)]
    three = command(
        *arguments("gamma", tmp_path / "three", values="1,10,30,100"), *sampled,
        launcher=("mpiexec", "-n", "3"),
    )  # fmt: skip
    do([*arguments("gamma", tmp_path / "one", values="1,10,30,100"), *sampled])
    out, err = three.communicate(timeout=200)
    assert (three.returncode, err) == (0, "")
    assert out.count("figure    ") == 1
    one, three = (read(tmp_path / k) for k in ("one", "three"))
    assert (one.attrs["ranks"], three.attrs["ranks"]) == (1, 3)
    assert same(one, three)
    files = [sorted(p.name for p in (tmp_path / k / "runs").iterdir()) for k in ("one", "three")]
    assert files[0] == files[1]


@needs_fem
@pytest.mark.parallel(2)
def test_alone_is_alone():
    """Each rank is the only one, but knows how many share its memory; afterwards all is as before."""
    from mpi4py import MPI

    assert mpi.communicator() is MPI.COMM_WORLD
    with pytest.raises(RuntimeError, match="on purpose"), mpi.alone():
        if MPI.COMM_WORLD.rank == 1:  # nothing here may wait for rank 0
            assert (mpi.rank(), mpi.size(), mpi.ranks_here()) == (0, 1, 2)
            assert mpi.communicator() is MPI.COMM_SELF
            assert mpi.on_root(lambda: 5) == 5
            assert mpi.from_root(lambda: 6) == 6
            assert mpi.highest(7.0) == 7.0
            share = mpi.Share(4, split=True)
            assert share.rows == slice(0, 4)
            assert share.gathered(np.ones(4)).shape == (4,)
        raise RuntimeError("on purpose")
    assert (mpi.rank(), mpi.size()) == (MPI.COMM_WORLD.rank, 2)


MISTAKES = {
    "study": (["study", "widht"], "did you mean 'width'?"),
    "values": (["study", "width", "--values", "32,many"], "numbers such as"),
    "not finite": (["study", "width", "--values", "32,inf"], "numbers such as"),
    "true": (["study", "width", "--values", "32,true"], "numbers such as"),
    "negative": (["study", "lambda", "--values=-1,1"], "positive values, not -1"),
    "half a neuron": (["study", "width", "--values", "32.5"], "whole number"),
    "seeds": (["study", "width", "--seeds", "0"], "--seeds must be positive"),
    "no seeds": (["study", "mesh", "--seeds", "3"], "Nothing is random in study 'mesh'"),
    "key": (["study", "width", "--set", "network.widht=3"], "did you mean 'width'?"),
    "placement": (["train", "--set", "network.teacher_placement=evn"], "did you mean 'even'?"),
    "step": (["solve", "--set", "diffusion.step=-0.1"], "diffusion.step must not be negative"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_mistakes_get_one_sentence_before_any_work(case, tmp_path, monkeypatch, capsys):
    args, hint = MISTAKES[case]
    monkeypatch.chdir(tmp_path)
    assert hint in refusal(args, capsys).err
    assert list(tmp_path.iterdir()) == []


NINE = ["--set", "problem.manifold=sphere", "--set", "problem.dim=9",
        "--set", "problem.teacher={kind='von-mises-fisher', kappa=3.0}",
        "--set", "network.features=relu"]  # fmt: skip
RANDOM = ["--set", "network.placement=random", "--set", "network.teacher_placement=random"]


@pytest.mark.parametrize(("name", "reason"), [
    ("samples", "Even placement is available on spheres of dimension 1 and 2, not 9"),
    ("mesh", "diffusion.degree must be 1 for densities symmetric about an axis"),
    ("gamma", "Unknown key of density"),
])  # fmt: skip
def test_a_study_that_cannot_be_is_refused_before_any_work(
    name, reason, tmp_path, monkeypatch, capsys
):
    """On S^9 there is no even placement: one sentence, with the studies that remain."""
    monkeypatch.chdir(tmp_path)
    said = refusal(["study", name, *NINE], capsys).err
    assert said.startswith(
        f"uf-diffusion: Study '{name}' is not possible for this problem: {reason}"
    )
    assert said.endswith(
        "there are width, lambda, samples, step, time-step, two-timescale, decay.\n"
    )
    assert said.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("name", "values", "order"), [
    ("samples", "100,400,1600", -0.5), ("step", "0.03125,0.015625", 1),
    ("two-timescale", "0.25,0.5,1.0", -1),
])  # fmt: skip
def test_what_remains_on_high_spheres_is_measured(name, values, order, tmp_path):
    """Every run from the neurons of its reference, so that nothing but the swept error is left."""
    small = [w for s in (*SMALL, "network.lambda=0.1") for w in ("--set", s)]
    seeds = ["--seeds", "2"] if name == "samples" else []
    do(["study", name, *NINE, *RANDOM, *small, "--values", values, *seeds, "--out", str(tmp_path)])
    data = read(tmp_path)
    assert np.isfinite(data.displacement.values).all()
    assert data.order.sel(quantity="displacement").values == pytest.approx(order, abs=0.35)


def test_foreign_folders_are_left_alone(tmp_path, capsys):
    (tmp_path / "thesis.tex").write_text("do not touch")
    with pytest.raises(SystemExit):
        main(arguments("samples", tmp_path))
    assert "not a run's folder" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_file_takes_the_place_of_the_problem(tmp_path):
    """Its settings stay but for the study's own; a study of several problems has then one curve."""
    path = tmp_path / "mine.toml"
    path.write_text("[problem]\nt_end = 0.5\nteacher = {kind = 'bumps', gamma = 7.0}\n")
    plan = study_named("time-step").plan(str(path))
    assert {run.config.problem.t_end for run in plan.runs} == {0.5}
    assert {run.config.problem.teacher["gamma"] for run in plan.runs} == {7.0}
    plan = study_named("decay").plan(str(path), ["diffusion.cells=99"])
    assert [c.name for c in plan.series] == [str(path)]
    assert {run.config.diffusion.cells for run in plan.runs} == {99}


def test_the_teacher_has_a_placement_of_its_own():
    """By default the student's; random students can have an even teacher."""
    for settings, even in (
        (["network.placement=even"], True),
        (["network.placement=random"], False),
        (["network.placement=random", "network.teacher_placement=even"], True),
        (["network.placement=even", "network.teacher_placement=random"], False),
    ):
        config = load_config("relu-circle", ["network.teacher_width=64", *settings])
        teacher, lattice = configured.training(config).teacher, config.space().even(64)
        assert np.array_equal(teacher.points, lattice) == even


@needs_fem
def test_fixed_steps_have_one_length():
    """t_end / step of them."""
    config = load_config(
        "relu-circle", ["diffusion.cells=32", "diffusion.step=0.0625", "problem.t_end=0.5"]
    )
    assert solve(config)["diffusion"].time.values == pytest.approx(np.arange(9) / 16, rel=1e-14)
