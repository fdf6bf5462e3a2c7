"""Studies over keys: they equal runs done one by one, go on after a kill, and refuse mistakes."""

import subprocess
import sys
import time
import warnings
from importlib.util import find_spec
from itertools import product
from subprocess import PIPE, Popen

import numpy as np
import pytest
import xarray as xr
from matplotlib.transforms import Bbox
from processes import COMMAND, environment, refusal

import uf_diffusion as uf
from uf_diffusion.cli import main
from uf_diffusion.library import sweeping
from uf_diffusion.reports.sweeps import draw_sweep, sweep_table
from uf_diffusion.runs import jobs
from uf_diffusion.runs.reading import key_and_values, load_config
from uf_diffusion.runs.setup import Setup
from uf_diffusion.studies import cache
from uf_diffusion.studies.sweep_orders import orders, orders_along
from uf_diffusion.studies.sweeps import sweep_of

needs_fem = pytest.mark.skipif(find_spec("dolfinx") is None, reason="needs DOLFINx")

TINY = ["network.samples=40", "network.teacher_width=36", "network.width=16", "diffusion.cells=64",
        "problem.t_end=0.0625", "diffusion.snapshots=3", "network.step=0.0078125"]  # fmt: skip
LAMBDA, WIDTH = "network.lambda", "network.width"
GRID = ["--over", f"{LAMBDA}=1e-1,1e-2", "--over", f"{WIDTH}=16,25", "--seeds", "2"]
DISTANCES = ("energy_distance_diffusion", "energy_distance_teacher", "w2_diffusion",
             "outer_weight_error")  # fmt: skip


def words(*arguments, out):
    """The command line of a tiny study."""
    settings = [word for setting in TINY for word in ("--set", setting)]
    return ["study", "relu-circle", *arguments, *settings, "--out", str(out)]


def do(args, code=0):
    with pytest.raises(SystemExit) as stopped:
        main(args)
    assert stopped.value.code == code


def read(folder):
    with xr.open_dataset(folder / "study.nc", engine="h5netcdf") as data:
        return data.load()


def same(a, b):
    """The same numbers and names, whatever took how long."""
    return a.drop_attrs(deep=False).identical(b.drop_attrs(deep=False))


def synthetic(function, axes, seeds=1):
    """The dataset of a study whose quantity is a function of the values and the seed."""
    shape = [*map(len, axes.values()), seeds]
    values = [function(*point) for point in product(*axes.values(), range(seeds))]
    array = np.reshape(values, [*shape, 1])
    about = {"long_name": "a distance", "units": "1"}
    data = xr.Dataset(
        {"energy_distance_diffusion": ((*axes, "seed", "time"), array, about)},
        {**axes, "seed": range(seeds), "time": [1.0]},
        {"axes": " ".join(axes), "what": "study"},
    )
    return data.merge(orders(data))


@pytest.fixture(scope="module")
def grid(tmp_path_factory):
    """The folder of a study of 2 x 2 points with 2 seeds."""
    pytest.importorskip("dolfinx")
    folder = tmp_path_factory.mktemp("grid")
    do(words(*GRID, out=folder))
    return folder


@pytest.fixture
def undrawn(monkeypatch):
    """Without the figure, which takes longest."""
    monkeypatch.setattr(sweeping, "save_figure", lambda *arguments: None)


# --- the numbers ----------------------------------------------------------------------------------


def test_a_study_equals_the_runs_one_by_one(grid):
    """Bit for bit: distances and the network's risk over time; the diffusion's at its own steps."""
    data = read(grid)
    assert data.sizes == {LAMBDA: 2, WIDTH: 2, "seed": 2, "time": 3, "quantity": 8}
    for lam, width, seed in product([0.1, 0.01], [16, 25], [0, 1]):
        settings = [f"{LAMBDA}={lam}", f"{WIDTH}={width}", f"network.seed={seed}"]
        run = jobs.compare(Setup(load_config("relu-circle", [*TINY, *settings])), cautious=False)
        here = data.sel({LAMBDA: lam, WIDTH: width, "seed": seed})
        both, network = run.group("comparison"), run.group("network")
        assert np.array_equal(here.time.values, both.time.values)
        for name in DISTANCES:
            assert np.array_equal(here[name].values, both[name].values), name
        steps = np.isin(network.time.values, both.time.values)
        assert np.array_equal(here.risk_network.values, network.risk.values[steps])
        diffusion = run.group("diffusion")
        ends = diffusion.risk.values[[0, -1]]
        assert here.risk_diffusion.values[[0, -1]] == pytest.approx(ends, rel=1e-12)
        ratio = diffusion.max_ratio.values[-1] - diffusion.min_ratio.values[-1]
        assert here.ratio_range.values[-1] == pytest.approx(ratio, rel=1e-9)


def test_each_diffusion_is_solved_once(grid):
    """8 networks, 8 comparisons, and one diffusion with its measurements."""
    sizes = sorted(path.stat().st_size for path in (grid / "runs").iterdir())
    assert len(sizes) == 8 + 8 + 2


def test_every_number_has_a_name_and_a_unit(grid):
    data = read(grid)
    for name, variable in data.variables.items():
        assert variable.attrs["long_name"], name
        assert variable.attrs["units"] == "1", name
    assert data[LAMBDA].attrs["long_name"] == "regularisation strength of the outer weights"
    assert data.attrs["command"].startswith("study --over network.lambda=0.1,0.01 --over")
    assert load_config(grid / "run.toml").network.width == 16
    assert {p.name for p in grid.iterdir()} == {
        "run.toml", "study.nc", "figure.png", "figure.pdf", "runs",
    }  # fmt: skip


@needs_fem
def test_the_distance_of_the_diffusion_to_the_teacher_is_that_of_the_densities():
    """Against atoms of the nodes, whose own error is of the order of the mesh."""
    problem = uf.Problem(uf.Circle(), teacher=uf.Bumps(gamma=5.0))
    found = uf.study(problem, over={"diffusion.cells": [512]}, until=0.25, snapshots=2,
                     command="solve").to_xarray()  # fmt: skip
    solution = uf.solve(problem, until=0.25, snapshots=2, cells=512)
    from uf_diffusion.distances import energy_distance

    x, volume = solution.grid.nodes, solution.volume
    expected = [
        energy_distance(x, x, row * volume, solution.teacher * volume, manifold=uf.Circle())
        for row in solution.density / (solution.density @ volume)[:, None]
    ]
    values = found.energy_distance_diffusion_teacher.values.ravel()
    assert values == pytest.approx(expected, rel=1e-3)


# --- orders ---------------------------------------------------------------------------------------


def test_the_orders_of_a_power_of_two_keys():
    """x^0.5 y^-1 exactly: both orders at each value of the other axis, without an interval."""
    axes = {LAMBDA: [1.0, 0.1, 0.01], WIDTH: [16, 64]}
    data = synthetic(lambda x, y, seed: 3 * x**0.5 / y, axes)
    found = orders_along(data, LAMBDA)
    assert found.order.dims == ("quantity", WIDTH)
    assert found.order.values == pytest.approx(np.full((1, 2), 0.5), abs=1e-12)
    assert found.local_order_first.values == pytest.approx(np.full((1, 2), 0.5), abs=1e-12)
    assert found.factor.values == pytest.approx(np.array([[3 / 16, 3 / 64]]), rel=1e-12)
    assert np.isnan(found.order_low.values).all()
    assert orders_along(data, WIDTH).order.values == pytest.approx(np.full((1, 3), -1.0), abs=1e-12)


def test_the_interval_comes_from_the_seeds():
    """Slopes 1 and 2 of two seeds: the mean is 1.5, and the interval that of Student's t."""
    axes = {LAMBDA: [1.0, 0.1]}
    found = orders_along(synthetic(lambda x, seed: x ** (1 + seed), axes, seeds=2), LAMBDA)
    half = 12.706204736 * np.sqrt(0.5) / np.sqrt(2)
    assert float(found.order[0]) == pytest.approx(1.5, abs=1e-12)
    assert float(found.order_high[0] - found.order[0]) == pytest.approx(half, rel=1e-9)


def test_what_is_not_random_has_no_interval():
    """As the diffusion, which is the same for all seeds of the network."""
    found = orders_along(synthetic(lambda x, seed: x, {LAMBDA: [1.0, 0.1]}, seeds=3), LAMBDA)
    assert float(found.order[0]) == pytest.approx(1.0, abs=1e-12)
    assert np.isnan([found.order_low[0], found.order_high[0]]).all()


def test_local_orders_show_a_change_of_slope():
    data = synthetic(lambda x, seed: x + x**2, {LAMBDA: [10.0, 1.0, 0.1]})
    found = orders_along(data, LAMBDA)
    assert float(found.local_order_first[0]) == pytest.approx(np.log10(55), rel=1e-12)
    assert float(found.local_order_last[0]) == pytest.approx(np.log10(2 / 0.11), rel=1e-12)
    assert "local from 1.740 to 1.260" in sweep_table(data)


@pytest.mark.parametrize("values", [["a", "b"], [0.0, 1.0], [3]], ids=["texts", "zero", "one"])
def test_an_axis_without_an_order(values):
    """The values of the quantity are there, and no fit."""
    data = synthetic(lambda x, seed: 2.0, {"problem.regulariser": values})
    assert not orders_along(data, "problem.regulariser")
    assert "order" not in sweep_table(data)


# --- going on, ranks, failures --------------------------------------------------------------------


def test_killed_and_repeated_is_the_whole(tmp_path, undrawn):
    """kill -9 among the runs: what is done is not done again, and the end is the same."""
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    training = [*GRID, "--command", "train"]
    do(words(*training, out=whole))
    process = Popen([*COMMAND, *words(*training, out=broken)], stdout=PIPE, stderr=PIPE, text=True,
                    env=environment())  # fmt: skip
    while len(list((broken / "runs").glob("[!.]*.nc"))) < 3:
        assert process.poll() is None
        time.sleep(0.005)
    process.kill()
    process.communicate()
    assert not (broken / "study.nc").exists()
    done = sorted((broken / "runs").glob("[!.]*.nc"))
    before = {path: path.stat().st_mtime_ns for path in done}
    do(words(*training, out=broken))
    repeated = [path for path in done if path.stat().st_mtime_ns != before[path]]
    assert len(repeated) <= 1  # the one that was being written
    assert same(read(broken), read(whole))


def test_a_second_call_computes_nothing(grid, monkeypatch, undrawn):
    def refuse(*arguments):
        raise AssertionError("this run should be there already")

    for job in ("solve", "train", "measure both", "measure diffusion"):
        monkeypatch.setitem(cache.WORK, job, refuse)
    before = read(grid)
    do(words(*GRID, out=grid))
    assert same(read(grid), before)


def test_further_values_take_what_is_there(grid, tmp_path, monkeypatch, undrawn):
    """--force replaces the study, and keeps its runs: with one more width only that is new."""
    import shutil

    shutil.copytree(grid, tmp_path / "more")
    more = [word.replace("16,25", "16,25,36") for word in GRID]
    done, train = [], cache.WORK["train"]

    def counted(setup):
        done.append(setup.config.network.width)
        return train(setup)

    monkeypatch.setitem(cache.WORK, "train", counted)
    do(words(*more, "--force", out=tmp_path / "more"))
    assert done == [36] * 4
    old = read(tmp_path / "more").sel({WIDTH: [16, 25]})
    assert np.array_equal(old.risk_network.values, read(grid).risk_network.values)


def test_another_study_in_the_folder_is_kept(grid, capsys):
    args = words("--over", f"{WIDTH}=16,25", out=grid)
    assert "holds the result of another command" in refusal(args, capsys).err


# the command line, and then a teacher that cannot be sent from one rank to another
RANKS = """
import sys
import numpy as np
from mpi4py import MPI
import uf_diffusion as uf
from uf_diffusion.cli import main
try:
    main(sys.argv[2:])
except SystemExit as stopped:
    assert stopped.code == 0
problem = uf.Problem(uf.Circle(), teacher=lambda x: np.exp(x[:, 0]))
own = dict(until=0.0625, step=2.0**-7, samples=20, teacher_width=20, width=8, snapshots=2)
found = uf.study(problem, over={"network.width": [8, 9, 10]}, command="train", **own)
found.save(sys.argv[1])
if MPI.COMM_WORLD.rank == 1:
    try:
        found.to_xarray()
    except uf.InputError as error:
        assert "no arrays" in str(error)
"""


def test_two_ranks_give_the_same_datasets(grid, tmp_path):
    command, own_folder = tmp_path / "command", tmp_path / "own"
    launch = ["mpiexec", "-n", "2", sys.executable, "-c", RANKS, str(own_folder)]
    done = subprocess.run([*launch, *words(*GRID, out=command)], capture_output=True, text=True,
                          env=environment(), timeout=300)  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("figure    ") == 1
    assert read(command).attrs["ranks"] == 2
    assert same(read(command), read(grid))
    problem = uf.Problem(uf.Circle(), teacher=lambda x: np.exp(x[:, 0]))
    one = uf.study(problem, over={WIDTH: [8, 9, 10]}, **own())
    assert same(read(own_folder), one.to_xarray())


def let_fail(monkeypatch, width):
    """Networks of this width stop during training."""
    train = cache.WORK["train"]

    def sometimes(setup):
        if setup.config.network.width == width:
            raise uf.RunFailure("It stopped on purpose.")
        return train(setup)

    monkeypatch.setitem(cache.WORK, "train", sometimes)


def test_a_failing_run_leaves_nan(tmp_path, capsys, monkeypatch):
    """The others are kept and drawn; the exit status is 1, and the reason is printed once."""
    let_fail(monkeypatch, 25)
    over = ["--over", f"{WIDTH}=16,25,36", "--command", "train", "--seeds", "2"]
    do(words(*over, out=tmp_path), code=1)
    printed = capsys.readouterr()
    assert printed.err == "uf-diffusion: Some runs failed; the study lacks them.\n"
    line = f"failed    {WIDTH} = 25, seed 0 and 1 more: It stopped on purpose."
    assert printed.out.count("failed    ") == 1
    assert line in printed.out
    data = read(tmp_path)
    assert np.isnan(data.energy_distance_teacher.sel({WIDTH: 25}).values).all()
    assert np.isfinite(data.energy_distance_teacher.sel({WIDTH: [16, 36]}).values).all()
    assert np.isfinite(data[f"order.{WIDTH}"].values).all()
    assert "energy_distance_diffusion" not in data
    assert (tmp_path / "figure.png").exists()


# --- axes of other kinds --------------------------------------------------------------------------


@needs_fem
def test_axes_of_texts_and_tables(tmp_path, capsys, undrawn):
    """Regularisers and teachers: the coordinate has their names, and there is no order."""
    over = ["--over", "problem.regulariser=biased,unbiased", "--over",
            "problem.teacher={kind='bumps', gamma=3.0},uniform", "--command", "solve"]  # fmt: skip
    do(words(*over, out=tmp_path))
    data = read(tmp_path)
    assert data["problem.regulariser"].values.tolist() == ["biased", "unbiased"]
    teachers = ['{kind = "bumps", gamma = 3.0}', "uniform"]
    assert data["problem.teacher"].values.tolist() == teachers
    assert "order" not in capsys.readouterr().out
    assert not [name for name in data if str(name).startswith("order")]
    apart = data.energy_distance_diffusion_teacher.values[..., 0, -1]
    assert (apart[:, 0] > 1e-3).all()
    assert (apart[:, 1] < 1e-12).all()  # the diffusion begins at the teacher


def test_a_manifold_resets_its_teacher_and_features(tmp_path):
    base = Setup(load_config("relu-circle", TINY))
    sweep = sweep_of(base, [("problem.manifold", ["circle", "torus"])], command="train")
    circle, torus = (setup.config for setup in sweep.setups)
    assert (circle.network.features, torus.network.features) == ("relu", "radial")
    assert torus.problem.dim == 2


def test_seeds_of_an_equation_with_drawn_inputs():
    """They differ for the mean-field equation of a sampled kernel, and are one run elsewhere."""
    base = Setup(load_config("relu-circle", TINY))
    over = [("problem.limit", ["unconstrained", "mean-field"])]
    sweep = sweep_of(base, over, 3, "solve")
    keys = [run.parts[0].key for (run,) in sweep.runs]
    assert [len({*keys[:3]}), len({*keys[3:]})] == [1, 3]


def test_a_file_is_swept_over(tmp_path, monkeypatch, undrawn):
    """Its settings are the base, and its name is that of the folder."""
    monkeypatch.chdir(tmp_path)
    settings = {key.partition(".")[2]: value for key, _, value in
                (s.partition("=") for s in TINY if s.startswith("network."))}  # fmt: skip
    lines = ["[problem]", "t_end = 0.0625", "[network]", "seed = 7"]
    lines += [f"{key} = {value}" for key, value in settings.items()]
    (tmp_path / "mine.toml").write_text("\n".join(lines))
    do(["study", "mine.toml", "--over", f"{LAMBDA}=0.1", "--seeds", "2", "--command", "train"])
    data = read(tmp_path / "runs" / "study-mine")
    assert data.seed.values.tolist() == [7, 8]
    run = jobs.train(Setup(load_config("mine.toml", [f"{LAMBDA}=0.1", "network.seed=8"])))
    assert data.risk_network.values[0, 1, -1] == run.group("network").risk.values[-1]


@needs_fem
def test_points_with_times_of_their_own(tmp_path, undrawn):
    """The axis is then the number of the snapshot; the last one of each point is compared."""
    over = ["--over", "problem.t_end=0.0625,0.125", "--over", "diffusion.snapshots=2,3"]
    do(words(*over, "--command", "solve", out=tmp_path))
    data = read(tmp_path)
    expected = [
        [[0, 0.0625, np.nan], [0, 0.03125, 0.0625]],
        [[0, 0.125, np.nan], [0, 0.0625, 0.125]],
    ]
    assert np.array_equal(data.time.values, expected, equal_nan=True)
    risk = data.risk_diffusion.isel(seed=0)
    assert float(risk[0, 0, 1]) == pytest.approx(float(risk[0, 1, 2]), rel=1e-12)
    assert float(risk[1, 0, 1]) < float(risk[0, 0, 1])
    assert "at the last snapshot" in sweep_table(data)


def test_values_of_an_option():
    for text, values in (
        ("1e-1,1e-2", [0.1, 0.01]), ("16, 25", [16, 25]), ("biased,unbiased", ["biased", "unbiased"]),
        ("[0,1],[0,2]", [[0, 1], [0, 2]]), ("{kind='a', b=1},{kind='c'}", [{"kind": "a", "b": 1}, {"kind": "c"}]),
        ("a:b,c:d", ["a:b", "c:d"]), ("", []),
    ):  # fmt: skip
        assert key_and_values(f"x.y={text}") == ("x.y", values)


# --- figures --------------------------------------------------------------------------------------


def shown_ticks(ax):
    """The labels of the ticks within the axes."""
    for axis in (ax.xaxis, ax.yaxis):
        low, high = sorted(axis.get_view_interval())
        for tick in axis.get_major_ticks():
            if low <= tick.get_loc() <= high and tick.label1.get_text():
                yield tick.label1


@pytest.mark.parametrize("first", [[1e-1, 1e-2, 1e-3], ["biased", "unbiased", "entropy"]],
                         ids=["numbers", "texts"])  # fmt: skip
def test_the_labels_of_a_figure_do_not_overlap(first):
    axes = {"network.first": first, WIDTH: [64, 256, 1024], "network.third": ["even", "random"]}
    data = synthetic(lambda x, y, z, seed: (1 + seed) * len(str(x)) / y, axes, seeds=3)
    for name in ("energy_distance_teacher", "w2_diffusion", "risk_network"):
        data[name] = data.energy_distance_diffusion
    figure = draw_sweep(data)
    figure.draw_without_rendering()
    seen = [ax for ax in figure.axes if ax.get_visible()]
    assert len(seen) == 4
    assert seen[0].get_yscale() == "log"
    assert seen[0].get_xscale() == ("log" if first[0] == 0.1 else "linear")
    texts = [text for ax in seen for text in (ax.xaxis.label, ax.yaxis.label, *shown_ticks(ax))]
    texts += [*figure.legends[0].get_texts(), figure._suptitle]
    boxes = [text.get_window_extent() for text in texts]
    inside = figure.bbox.padded(2)
    for k, box in enumerate(boxes):
        assert inside.containsx(box.x0), texts[k]
        assert inside.containsx(box.x1), texts[k]
        for other in boxes[:k]:
            assert Bbox.intersection(box.padded(-1), other.padded(-1)) is None, (box, other)


# --- the library ----------------------------------------------------------------------------------


@needs_fem
def test_python_gives_the_numbers_of_the_command(grid, tmp_path, undrawn):
    """Objects that the configuration describes, and the same study."""
    problem = uf.Problem(uf.Circle(), teacher=uf.Bumps(gamma=100.0))
    found = uf.study(
        problem, uf.ReLU(), over={LAMBDA: np.array([0.1, 0.01]), WIDTH: [16, 25]}, seeds=2,
        until=0.0625, snapshots=3, diffusion={"cells": 64}, samples=40, teacher_width=36,
        step=0.0078125,
    )  # fmt: skip
    data = found.to_xarray()
    assert same(data.drop_attrs(deep=False), read(grid))
    assert set(found.orders) == {LAMBDA, WIDTH}
    order = found.orders[LAMBDA].order.sel({"quantity": "risk_network", WIDTH: 16})
    assert float(order) == float(
        read(grid)[f"order.{LAMBDA}"].sel({"quantity": "risk_network", WIDTH: 16})
    )
    assert "energy distance of the network to the diffusion" in found.table
    assert "network.lambda x 2" in repr(found)
    found.save(tmp_path / "saved")
    assert same(read(tmp_path / "saved"), read(grid))
    found.plot(tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 10_000
    with pytest.raises(uf.InputError, match="another command"):
        uf.study(problem, over={WIDTH: [9]}, until=0.0625, step=2.0**-7, samples=9,
                 teacher_width=9, command="train", out=tmp_path / "saved")  # fmt: skip


def own(**more):
    return {"until": 0.0625, "step": 2.0**-7, "samples": 20, "teacher_width": 20, "width": 8,
            "snapshots": 2, "command": "train"} | more  # fmt: skip


def test_functions_of_the_caller_keep_apart(tmp_path, undrawn):
    """Two teachers of one name are different runs; a key can replace a part of the problem."""

    def teacher(sign):
        return uf.Problem(uf.Circle(), teacher=lambda x: np.exp(sign * x[:, 0]))

    over = {LAMBDA: [0.1, 0.01]}
    one, two = (uf.study(teacher(sign), over=over, out=tmp_path, force=True, **own())
                for sign in (1, 3))  # fmt: skip
    assert len(list((tmp_path / "runs").iterdir())) == 8
    assert not np.array_equal(one.to_xarray().risk_network, two.to_xarray().risk_network)
    over = {"problem.regulariser": ["unbiased", "entropy"]}
    risks = uf.study(teacher(1), over=over, **own()).to_xarray().risk_network.values[:, 0, -1]
    for risk, divergence in zip(risks, (uf.UNBIASED, uf.ENTROPY), strict=True):
        problem = uf.Problem(uf.Circle(), teacher(1).teacher, divergence=divergence)
        assert (
            risk
            == uf.train(
                problem, cautious=False, **{k: v for k, v in own().items() if k != "command"}
            ).risk[-1]
        )
    with pytest.raises(uf.InputError, match=r"problem.dim cannot be swept for a problem with"):
        uf.study(teacher(1), over={"problem.dim": [1, 2]}, **own())


def test_a_failure_in_python_is_a_finding(monkeypatch):
    let_fail(monkeypatch, 9)
    problem = uf.Problem(uf.Circle(), teacher=uf.Bumps())
    with pytest.warns(uf.Caution, match="network.width = 9: It stopped on purpose"):
        found = uf.study(problem, over={WIDTH: [8, 9]}, **own())
    assert found.failures == ["network.width = 9: It stopped on purpose."]
    with pytest.raises(uf.RunFailure, match="All runs failed"):
        uf.study(problem, over={WIDTH: [9]}, **own())


# --- mistakes -------------------------------------------------------------------------------------

MISTAKES = {
    "key": (["--over", "network.widht=1,2"], "did you mean 'width'?"),
    "section": (["--over", "netwrk.width=1,2"], "did you mean 'network'?"),
    "no key": (["--over", "network=1,2"], "A key is written section.key"),
    "field": (["--over", "network.regularisation=1,2"], "did you mean 'lambda'?"),
    "no equals": (["--over", "network.width"], "--over takes section.key=v1,v2"),
    "density's key": (["--over", "problem.teacher.gama=1,2"], "did you mean 'gamma'?"),
    "range": (["--over", f"{LAMBDA}=1e-1,-1e-2"], "network.lambda must be positive, not -0.01"),
    "type": (["--over", f"{WIDTH}=16,25.5"], "network.width must be a whole number, not 25.5"),
    "step": (["--over", "network.step=1.0,30.0"], "longer than the run"),
    "twice": (["--over", f"{WIDTH}=1,2", "--over", f"{WIDTH}=3"], "The key network.width is given twice"),
    "repeated": (["--over", f"{WIDTH}=16,25,16.0"], "takes each value once, and 16.0 is repeated"),
    "empty": (["--over", f"{WIDTH}="], "network.width has no values"),
    "hole": (["--over", f"{WIDTH}=1,,2"], "is not a TOML value"),
    "seed": (["--over", "network.seed=0,1", "--seeds", "2"], "network.seed is not swept over: use --seeds"),
    "seeds": (["--over", f"{WIDTH}=16,25", "--seeds", "0"], "The number of seeds must be a whole number"),
    "catalogue": (["width", "--over", f"{WIDTH}=16,25"], "is a study of the catalogue"),
    "two": (["sphere", "sphere", "--over", f"{WIDTH}=16,25"], "takes one preset or TOML file"),
    "values": (["--over", f"{WIDTH}=16,25", "--values", "3"], "--over has its own values"),
    "command": (["--over", f"{WIDTH}=16,25", "--command", "tran"], "did you mean 'train'?"),
    "no over": (["--command", "train"], "--command is for a study with --over"),
    "nothing": ([], "or a name: width,"),
    "preset": (["sphere"], "needs to know what to sweep over: --over"),
    "unread": (["--over", f"{WIDTH}=16,25", "--command", "solve"], "changes nothing that 'solve' reads"),
    "not random": (["--over", "diffusion.cells=64,128", "--command", "solve", "--seeds", "2"], "use one seed"),
    "possible": (["sphere", "--over", f"{WIDTH}=16,25", "--set", "network.placement=quantile"], "one dimension"),
}  # fmt: skip


@pytest.mark.parametrize("case", MISTAKES)
def test_mistakes_get_one_sentence_before_any_work(case, tmp_path, monkeypatch, capsys):
    args, hint = MISTAKES[case]
    monkeypatch.chdir(tmp_path)
    assert hint in refusal(["study", *args], capsys).err
    assert list(tmp_path.iterdir()) == []


def test_many_runs_are_counted_in_a_warning():
    base = Setup(load_config("relu-circle", TINY))
    over = [(WIDTH, range(8, 58)), (LAMBDA, [1e-1, 1e-2, 1e-3])]
    with pytest.warns(uf.Caution, match="150 points and 10 seeds: 1500 runs"):
        sweep_of(base, over, 10)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sweep_of(base, over[1:], 10)


@pytest.mark.parametrize(("over", "hint"), [
    ({WIDTH: 16}, "must be a list, not 16"),
    ({WIDTH: "16,25"}, "must be a list, not '16,25'"),
    ({}, "needs a key with values"),
    ([WIDTH], "over is a mapping"),
    ({"width": [1]}, "Unknown section 'width'"),
])  # fmt: skip
def test_mistakes_in_python(over, hint):
    problem = uf.Problem(uf.Circle(), teacher=uf.Bumps())
    with pytest.raises(uf.InputError, match=hint):
        uf.study(problem, over=over, **own())
