"""Runs with densities from data: files in a configuration, records by value, whole comparisons."""

import os

import numpy as np
import pytest
import xarray as xr
from configured import compare, train

import uf_diffusion as uf
from uf_diffusion.core.errors import InputError
from uf_diffusion.library import saving
from uf_diffusion.runs.building import density
from uf_diffusion.runs.fingerprint import fingerprint
from uf_diffusion.runs.reading import config_from_toml, load_config
from uf_diffusion.runs.result import result_from
from uf_diffusion.runs.setup import Setup
from uf_diffusion.studies.cache import Run

RNG = np.random.default_rng(11)
CIRCLE = uf.Circle()
ANGLE = RNG.vonmises(0.5, 2.0, 60)
POINTS = CIRCLE.unchart(ANGLE)
WEIGHTS = RNG.random(60) + 0.5
NODES = -np.pi + 2 * np.pi * np.arange(48) / 48
SHORT = ["problem.t_end=0.125", "diffusion.snapshots=3", "diffusion.cells=96", "network.width=16",
         "network.teacher_width=60", "network.samples=60", "network.step=0.0078125"]  # fmt: skip
KINDS = {
    "samples": "file = 'points.csv', width = 0.3",
    "histogram": "file = 'counts.npy', floor = 0.01",
    "grid": "file = 'belt.nc'",
}


@pytest.fixture
def folder(tmp_path):
    """A folder with data in each format."""
    rows = "\n".join(f"{x!r},{y!r}" for x, y in POINTS.tolist())
    (tmp_path / "points.csv").write_text(f"# measured\n\n{rows}\n")
    table = np.column_stack([WEIGHTS, POINTS])
    rows = "\n".join(",".join(map(repr, row)) for row in table.tolist())
    (tmp_path / "named.csv").write_text(f"weights, x, y\n{rows}\n")
    np.savetxt(tmp_path / "header.csv", table, delimiter=",", header='"Weight",x,y')
    np.save(tmp_path / "points.npy", POINTS)
    np.savez(tmp_path / "points.npz", points=POINTS, weights=WEIGHTS)
    arrays = {"points": (("n", "axis"), POINTS), "weights": ("n", WEIGHTS)}
    xr.Dataset(arrays).to_netcdf(tmp_path / "points.nc", engine="h5netcdf")
    np.save(tmp_path / "counts.npy", np.histogram(ANGLE, bins=12, range=(-np.pi, np.pi))[0])
    belt = xr.DataArray(1.5 + np.sin(NODES), dims="angle", coords={"angle": NODES})
    other = xr.DataArray(np.ones(3), dims="z")
    xr.Dataset({"belt": belt}).to_netcdf(tmp_path / "belt.nc", engine="h5netcdf")
    xr.Dataset({"belt": belt, "other": other}).to_netcdf(tmp_path / "two.nc", engine="h5netcdf")
    return tmp_path


def configured(folder, kind, *more):
    path = folder / f"{kind}.toml"
    table = f"{{kind = '{kind}', {KINDS[kind]}}}"
    path.write_text(f"[problem]\nteacher = {table}\n")
    return load_config(str(path), [*SHORT, *more])


def test_every_format_has_the_same_points(folder):
    plain = uf.Samples(CIRCLE, points=POINTS, width=0.3)
    weighted = uf.Samples(CIRCLE, points=POINTS, weights=WEIGHTS, width=0.3)
    x = CIRCLE.even(50)
    for name, wanted in (("points.csv", plain), ("points.npy", plain), ("named.csv", weighted), ("header.csv", weighted),
                         ("points.npz", weighted), ("points.nc", weighted)):  # fmt: skip
        table = {"kind": "samples", "file": str(folder / name), "width": 0.3}
        found = density(table, CIRCLE)
        assert found(x) == pytest.approx(wanted(x), rel=1e-12), name
        assert found.data[1] == pytest.approx(wanted.data[1]), name


@pytest.mark.parametrize("kind", KINDS)
def test_a_comparison_runs_and_its_record_says_how(kind, folder, tmp_path, monkeypatch):
    """From any folder; the diffusion has the density, and the result can be read again."""
    pytest.importorskip("dolfinx")
    config = configured(folder, kind)
    monkeypatch.chdir("/")
    assert os.path.isabs(config.problem.teacher["file"])
    assert config_from_toml(config.to_toml()) == config
    tree = compare(config)
    nodes = tree["diffusion"]
    rho = config.build().teacher(nodes.node_position.values)
    mass = (rho * nodes.node_measure.values).sum()
    assert nodes.teacher.values == pytest.approx(rho / mass, rel=1e-12)
    assert mass == pytest.approx(1, abs=2e-2)
    again = result_from(tree, "This", trust=False, complete=True)
    assert again.config.build() == config.build()


def test_a_teachers_neurons_are_the_points(folder):
    """With the algorithm that does not move the student, of which the teacher is the same width."""
    config = configured(folder, "samples", "problem.initial={kind='samples', file='points.npz'}",
                        "network.width=60", "network.algorithm=fixed")  # fmt: skip
    group = train(config)["network"]
    order = np.argsort(ANGLE)
    assert group.feature.values[0] == pytest.approx(POINTS[order], abs=1e-12)
    assert group.neuron_mass.values == pytest.approx((WEIGHTS / WEIGHTS.sum())[order])


@pytest.mark.parametrize("kind", KINDS)
def test_changed_data_are_noticed(kind, folder):
    """By value, in the fingerprint, in the key of the cache, and by densities themselves."""
    config = configured(folder, kind)
    before, key = fingerprint(Setup(config), "train"), Run("train", config).key
    built = config.build()
    assert config.build() == built
    if kind == "samples":  # the same density in another order gives other draws
        lines = (folder / "points.csv").read_text().splitlines()
        (folder / "points.csv").write_text("\n".join(lines[:2] + lines[:1:-1]))
    elif kind == "histogram":
        np.save(folder / "counts.npy", np.load(folder / "counts.npy") + np.eye(12)[3])
    else:
        belt = xr.DataArray(1.5 + np.cos(NODES), dims="angle", coords={"angle": NODES})
        belt.to_dataset(name="belt").to_netcdf(folder / "belt.nc", engine="h5netcdf")
    after = fingerprint(Setup(config), "train")
    assert [name for name in before if before[name] != after[name]] == ["teacher"]
    assert Run("train", config).key != key
    assert config.build() != built


def test_a_run_with_changed_data_is_not_continued(folder):
    pytest.importorskip("dolfinx")
    configured(folder, "samples")
    arguments = (str(folder / "samples.toml"), "train")
    uf.run(*arguments, out=folder / "run", overrides=SHORT, cautious=False)
    (folder / "points.csv").write_text("0.1\n0.2\n0.5\n")
    with pytest.raises(InputError, match=r"teacher's density is not the one of the result in"):
        uf.run(*arguments, out=folder / "run", overrides=SHORT, cautious=False)


def test_data_from_python_are_recorded(tmp_path, monkeypatch):
    """A run of arrays can be read, and run again, from its folder: all numbers are in run.toml."""
    monkeypatch.setattr(saving, "save_figure", lambda *result: None)
    longitude, latitude = np.arange(6) * np.pi / 3, np.linspace(-np.pi / 2, np.pi / 2, 5)
    values = 1 + np.outer(np.ones(6), np.cos(latitude))
    sphere, torus = uf.Sphere(2), uf.FlatTorus(2, 4.0)
    for k, (manifold, teacher) in enumerate([
        (uf.Circle(), uf.Samples(points=ANGLE, weights=WEIGHTS)),
        (sphere, uf.Samples(points=sphere.sample(20, RNG), floor=0.1)),
        (sphere, uf.Interpolated(values=values, coordinates=[longitude, latitude])),
        (torus, uf.Histogram(counts=RNG.integers(1, 9, (4, 4)))),
    ]):  # fmt: skip
        problem = uf.Problem(manifold, teacher, initial=teacher)
        network = uf.train(problem, until=0.03125, snapshots=2, width=20, step=2**-7,
                           teacher_width=20, samples=30, cautious=False)  # fmt: skip
        network.save(tmp_path / f"run{k}")
        for again in (uf.load(tmp_path / f"run{k}").problem,
                      load_config(str(tmp_path / f"run{k}" / "run.toml")).build()):  # fmt: skip
            assert again == problem


def test_solve_and_spectrum_on_a_torus():
    """A smooth density: the diffusion of a student that is the teacher stays where it is."""
    pytest.importorskip("dolfinx")
    torus = uf.FlatTorus(2, 2.0)
    teacher = uf.Samples(points=torus.sample(30, RNG), width=0.4)
    problem = uf.Problem(torus, teacher, initial=teacher)
    solution = uf.solve(problem, until=0.1, cells=200, snapshots=2, cautious=False)
    assert solution.density[-1] == pytest.approx(solution.density[0], rel=1e-8)
    found = uf.spectrum(problem, count=2, cells=200).to_xarray()
    assert (found["kernel"].teacher_share.values == found["kernel"].initial_share.values).all()


def broken(folder):
    """Damaged files, with what is said of each."""
    for name, text in (
        ("empty.csv", ""), ("comment.csv", "# nothing\n"), ("names.csv", "x,y\n"),
        ("text.csv", "x,y\n1,2\nsecret,3\n"), ("ragged.csv", "1,2\n3\n"), ("hole.csv", "1,2\n,3\n"),
        ("twice.csv", "x,x\n1,2\n"), ("index.csv", ",x\n0,1\n"), ("word.csv", "0.1\nword\n"), ("one_row.csv", "0.3\n"), ("empty.npy", ""),
        ("empty.npz", ""), ("empty.nc", ""), ("text.nc", "no NetCDF"), ("text.npz", "no archive"),
        ("points.txt", "1,2\n"),
    ):  # fmt: skip
        (folder / name).write_text(text)
    (folder / "binary.csv").write_bytes(b"\xff\xfe\x00")
    (folder / "folder.csv").mkdir()
    os.mkfifo(folder / "pipe.csv")
    np.save(folder / "objects.npy", np.array([print], dtype=object))
    np.savez(folder / "other.npz", a=np.ones((3, 2)))
    whole = (folder / "points.npz").read_bytes()
    (folder / "half.npz").write_bytes(whole[: len(whole) // 2])
    (folder / "flipped.npz").write_bytes(whole[:300] + bytes(99) + whole[399:])
    whole = (folder / "points.nc").read_bytes()
    (folder / "half.nc").write_bytes(whole[: len(whole) // 2])
    arrays = {"points": ("n", np.ones(4))}
    xr.Dataset(arrays).to_netcdf(folder / "flat.nc", engine="h5netcdf")
    np.savez(folder / "minus.npz", points=POINTS, weights=-WEIGHTS)
    np.savez(folder / "nan.npz", points=POINTS * np.nan)
    return {
        ("samples", "missing.csv"): "No such file", ("samples", "folder.csv"): "directory",
        ("samples", "pipe.csv"): "it is a pipe or a device", ("samples", "empty.csv"): "it is empty",
        ("samples", "comment.csv"): "no row of numbers", ("samples", "names.csv"): "no row of numbers",
        ("samples", "text.csv"): "line 3 does not hold 2 numbers separated by commas",
        ("samples", "ragged.csv"): "line 2 does not hold 2 numbers",
        ("samples", "hole.csv"): "line 2 does not hold 2 numbers",
        ("samples", "word.csv"): "line 2 does not hold one number.",
        ("samples", "twice.csv"): "a different name for each of the 2 columns", ("samples", "binary.csv"): "it is not UTF-8 text",
        ("samples", "index.csv"): "a different name for each", ("samples", "one_row.csv"): "at least two points", ("samples", "empty.npy"): "it is empty",
        ("samples", "empty.npz"): "it is empty", ("samples", "empty.nc"): "it is empty",
        ("samples", "text.nc"): "Cannot read the file", ("samples", "text.npz"): "Cannot read",
        ("samples", "points.txt"): "must end in .csv, .npy, .npz, .nc",
        ("samples", "objects.npy"): "Cannot read", ("samples", "half.npz"): "Cannot read",
        ("samples", "flipped.npz"): "Cannot read", ("samples", "half.nc"): "Cannot read the file",
        ("samples", "other.npz"): "no array 'points'", ("samples", "minus.npz"): "60 positive numbers",
        ("samples", "nan.npz"): "points must be finite",
        ("samples", "flat.nc"): "The points repeat one another",
        ("histogram", "points.npz"): "There is no array 'counts'",
        ("histogram", "counts.npy"): "give a floor", ("grid", "two.nc"): "which are belt, other",
        ("grid", "points.nc"): "which are points, weights", ("grid", "points.csv"): "Cannot read",
    }  # fmt: skip


def test_a_file_that_cannot_be_used_is_one_sentence(folder):
    """With the name of the file, and nothing of its content."""
    counts = np.load(folder / "counts.npy")
    counts[0] = 0
    np.save(folder / "counts.npy", counts)
    for (kind, name), said in broken(folder).items():
        with pytest.raises(InputError) as raised:
            density({"kind": kind, "file": str(folder / name)}, CIRCLE)
        text = str(raised.value)
        assert said in text and name in text, f"{name}: {text}"
        assert "\n" not in text and text.endswith(".") and "secret" not in text, text


def test_a_variable_that_is_missing_is_named(folder):
    table = {"kind": "grid", "file": str(folder / "two.nc"), "variable": "belts"}
    with pytest.raises(
        InputError, match=r"two\.nc': Unknown variable 'belts': did you mean 'belt'"
    ):
        density(table, CIRCLE)
    assert density(table | {"variable": "belt"}, CIRCLE)(POINTS).shape == (60,)


def test_weights_beside_a_file_are_refused(folder):
    table = {"kind": "samples", "file": str(folder / "points.csv"), "weights": [1.0] * 60}
    with pytest.raises(InputError, match="The weights of points in a file are its array 'weights'"):
        density(table, CIRCLE)
