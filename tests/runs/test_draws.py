"""Runs from random draws that are given: arrays, files, the paper's own."""

import numpy as np
import pytest
import xarray as xr
from configured import train

import uf_diffusion as uf
from uf_diffusion.core.errors import InputError
from uf_diffusion.network.draws import Draws
from uf_diffusion.runs.fingerprint import fingerprint
from uf_diffusion.runs.reading import config_from_toml, load_config
from uf_diffusion.runs.setup import Setup

RNG = np.random.default_rng(5)
STUDENT, TEACHER = (x / np.linalg.norm(x, axis=1)[:, None] for x in
                    (RNG.normal(size=(12, 2)), RNG.normal(size=(9, 2))))  # fmt: skip
MASS = np.arange(1.0, 10.0) / 45
GIVEN = {"inputs": RNG.normal(size=(30, 2)), "teacher": TEACHER, "student": STUDENT,
         "teacher_mass": MASS}  # fmt: skip
SHORT = ["problem.t_end=0.03125", "diffusion.snapshots=2", "network.step=0.0078125"]
PROBLEM = uf.Problem(uf.Circle(), teacher=uf.Bumps(gamma=100.0))


def stored(path, arrays):
    if path.suffix == ".npz":
        np.savez(path, **arrays)
    else:
        dims = {name: [f"{name}_{k}" for k in range(np.ndim(a))] for name, a in arrays.items()}
        xr.Dataset({n: (dims[n], a) for n, a in arrays.items()}).to_netcdf(path, engine="h5netcdf")
    return path


def textbook(steps, tau=0.0078125, lam=1e-3):
    """VarPro with ridge regression on dense features of the given arrays."""
    x, w = GIVEN["inputs"], STUDENT.copy()
    y, n, m = MASS @ np.maximum(TEACHER @ x.T, 0), len(GIVEN["inputs"]), len(STUDENT)
    for k in range(steps + 1):
        Phi = np.maximum(w @ x.T, 0)
        u = np.linalg.solve(Phi @ Phi.T / n / m + lam * np.eye(m), Phi @ y / n + lam)
        if k < steps:
            slope = (w @ x.T > 0) * ((y - u @ Phi / m) / (lam * n))
            gradient = slope @ x
            gradient -= np.sum(gradient * w, axis=1)[:, None] * w
            w = w + tau * u[:, None] * gradient
            w /= np.linalg.norm(w, axis=1)[:, None]
    return w, u


@pytest.mark.parametrize("suffix", [".npz", ".nc"])
def test_a_training_from_a_file_is_the_textbooks(suffix, tmp_path):
    """Inputs, masses and neurons are used as they are; the widths are those of the arrays."""
    path = stored(tmp_path / f"draws{suffix}", GIVEN)
    config = load_config("relu-circle", [*SHORT, f"network.draws='{path}'"])
    n = config.network
    assert (n.width, n.samples, n.teacher_width) == (12, 30, 9)
    assert config_from_toml(config.to_toml()) == config
    group = train(config)["network"]
    feature, u = textbook(4)
    assert group.feature.values[-1] == pytest.approx(feature, abs=1e-9)
    assert group.outer_weight.values[-1] == pytest.approx(u, abs=1e-9)
    again = uf.train(PROBLEM, uf.ReLU(), until=0.03125, snapshots=2, step=0.0078125, draws=GIVEN)
    assert np.array_equal(again.group("network").feature.values, group.feature.values)
    assert again.config.network.width == 12


def test_a_path_is_relative_to_the_configuration(tmp_path, monkeypatch):
    stored(tmp_path / "mine.npz", GIVEN)
    (tmp_path / "own.toml").write_text('[network]\ndraws = "mine.npz"\n')
    monkeypatch.chdir("/")
    assert load_config(str(tmp_path / "own.toml")).network.draws == str(tmp_path / "mine.npz")


def test_the_papers_draws():
    """Each seed has its own, and no other generator is used."""
    common = [*SHORT, "network.width=32", "network.draws=paper"]
    one, same, two = (
        train(load_config("relu-circle", [*common, f"network.seed={seed}"]))["network"]
        for seed in (0, 0, 1)
    )
    assert np.array_equal(one.feature.values, same.feature.values)
    assert not np.array_equal(one.feature.values, two.feature.values)
    assert one.risk.values[0] == pytest.approx(0.796425, abs=2e-6)  # the paper's, seed 0, M = 32


def test_edited_draws_are_noticed(tmp_path):
    """By value: they are a part of the fingerprint of a training, not of a solve."""
    path = stored(tmp_path / "draws.npz", GIVEN)
    words = [*SHORT, f"network.draws='{path}'"]
    before = fingerprint(Setup(load_config("relu-circle", words)), "train")
    stored(path, GIVEN | {"inputs": GIVEN["inputs"] + 1e-3})
    after = fingerprint(Setup(load_config("relu-circle", words)), "train")
    assert [name for name in before if before[name] != after[name]] == ["draws"]
    from uf_diffusion.studies.cache import Run

    key = Run("train", load_config("relu-circle", words)).key
    stored(path, GIVEN)
    assert Run("train", load_config("relu-circle", words)).key != key


def test_given_arrays_cannot_be_taken_from_a_configuration(tmp_path):
    found = uf.train(PROBLEM, uf.ReLU(), until=0.03125, snapshots=2, step=0.0078125, draws=GIVEN)
    with pytest.raises(InputError, match="were given as arrays in Python"):
        train(found.config)


BAD = {
    "no student": ({"student": None}, "need the array 'student'"),
    "flat": ({"inputs": np.ones(3)}, r"'inputs' must have a shape \(n, columns\), not \(3,\)"),
    "text": ({"inputs": np.array([["a", "b"]])}, "'inputs' must hold finite real numbers"),
    "nan": ({"student": STUDENT * np.nan}, "'student' must hold finite real numbers"),
    "empty": ({"teacher": np.empty((0, 2))}, "'teacher' must have a shape"),
    "inside": ({"student": STUDENT / 2}, "Row 0 of the drawn array 'student' is not a point of"),
    "wide": ({"teacher": np.ones((9, 3))}, r"'teacher' must have shape \(n, 2\), not \(9, 3\)"),
    "inputs": ({"inputs": np.ones((30, 3))}, r"inputs must have shape \(n, 2\), not \(30, 3\)"),
    "masses": ({"teacher_mass": 2 * MASS}, "'teacher_mass' does not fit: Weights must sum to 1"),
    "few": ({"teacher_mass": np.ones(2) / 2}, "'teacher_mass' does not fit"),
    "zero": ({"student_mass": np.eye(12)[0]}, "'student_mass' must be positive"),
    "name": ({"students": STUDENT}, "Unknown array of random draws 'students'"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_mistake_is_one_sentence(case):
    change, said = BAD[case]
    given = {k: v for k, v in (GIVEN | change).items() if v is not None}
    with pytest.raises(InputError, match=said) as raised:
        uf.train(PROBLEM, uf.ReLU(), until=0.03125, snapshots=2, step=0.0078125, draws=given)
    assert "\n" not in str(raised.value)


def test_points_outside_of_the_torus_are_refused():
    torus = uf.FlatTorus(2, 4.0)
    inside = np.array([[2.0, -2.0], [0.5, 1.0]])
    student, _ = Draws(np.ones((3, 2)), inside, inside).atoms(torus)
    assert (student.points >= -2).all() and (student.points < 2).all()
    with pytest.raises(InputError, match="Row 1 of the drawn array 'student' is not a point"):
        Draws(np.ones((3, 2)), inside, inside + np.array([[-1.0, 0.0], [0.0, 3.0]])).atoms(torus)


@pytest.mark.parametrize("kernel", ["population", "low-rank"])
def test_a_population_has_no_inputs(kernel):
    with pytest.raises(InputError, match=f"the kernel '{kernel}' has none"):
        load_config("relu-circle", ["network.draws=paper", f"network.kernel={kernel}"])


def test_an_error_budget_has_draws_of_its_own():
    from uf_diffusion.studies.ladder import ladder

    with pytest.raises(InputError, match=r"leave network\.draws empty"):
        ladder(load_config("relu-circle", ["network.draws=paper"]))


@pytest.mark.parametrize("name", ["missing.npz", "text.npz", "text.nc", "folder.npz"])
def test_a_file_that_cannot_be_read(name, tmp_path):
    (tmp_path / "text.npz").write_text("no archive")
    (tmp_path / "text.nc").write_text("no NetCDF")
    (tmp_path / "folder.npz").mkdir()
    path = tmp_path / name
    with pytest.raises(InputError, match=str(path)):
        train(load_config("relu-circle", [*SHORT, f"network.draws='{path}'"]))


def test_objects_are_not_unpickled(tmp_path):
    np.savez(tmp_path / "evil.npz", inputs=np.array([print], dtype=object), teacher=1, student=1)
    with pytest.raises(InputError, match=r"Cannot read the random draws '.*evil\.npz'"):
        train(load_config("relu-circle", [*SHORT, f"network.draws='{tmp_path}/evil.npz'"]))
