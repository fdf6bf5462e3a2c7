"""Bad inputs, labels and weights: one sentence each, before any work, and what is accepted."""

import numpy as np
import pytest
import xarray as xr

import uf_diffusion as uf
from uf_diffusion.core.errors import InputError
from uf_diffusion.runs import jobs
from uf_diffusion.runs.reading import load_config
from uf_diffusion.runs.setup import Setup
from uf_diffusion.studies.ladder import ladder

RNG = np.random.default_rng(1)
X, N = RNG.normal(size=(20, 2)), 20
Y = X[:, 0]
HOLED = np.where(np.arange(40).reshape(20, 2) == 7, np.nan, X)
PROBLEM = uf.Problem(uf.Circle(), divergence=uf.BIASED)


def train(**given):
    given = {"inputs": X, "labels": Y, "until": 0.015625, "snapshots": 2, **given}
    given = {name: value for name, value in given.items() if value is not None}
    return uf.train(PROBLEM, uf.ReLU(), width=8, step=2**-9, regularisation=0.1, cautious=False,
                    **given)  # fmt: skip


# arrays, and what is said of them
ARRAYS = {
    "nan": ({"inputs": HOLED}, r"Row 3 of the inputs is not finite .*nan"),
    "infinite": ({"labels": np.full(N, np.inf)}, "Row 0 of the labels is not finite"),
    "overflow": ({"inputs": 1e200 * X}, r"Row \d+ of the inputs is not finite and below 1e\+50"),
    "flat": ({"inputs": Y}, r"The inputs must have a shape \(n, columns\), not \(20,\)"),
    "cube": ({"inputs": X[None]}, r"The inputs must have a shape \(n, columns\), not \(1, 20, 2\)"),
    "wide": ({"inputs": np.ones((N, 3))}, r"must have shape \(n, 2\) for these .*\(20, 3\)"),
    "empty": ({"inputs": np.empty((0, 2))}, r"must have a shape \(n, columns\), not \(0, 2\)"),
    "ragged": ({"inputs": [[1.0, 2.0], [3.0]]}, "rows of the inputs have different lengths"),
    "mixed": ({"inputs": [[1.0, "a"]] * N}, "The inputs must be real numbers, not <U"),
    "objects": ({"inputs": np.array([[1.0, None]] * N)}, "must be real numbers, not object"),
    "texts": ({"labels": ["a"] * N}, "The labels must be real numbers, not <U1"),
    "complex": ({"inputs": X + 1j}, "The inputs must be real numbers, not complex128"),
    "dates": ({"labels": np.full(N, "2020-01-01", "M8[D]")}, "must be real numbers, not datetime"),
    "few labels": ({"labels": Y[:-1]}, "There are 19 labels for 20 inputs: each input needs one"),
    "columns of labels": ({"labels": X}, r"The labels must have a shape \(n,\), not \(20, 2\)"),
    "few weights": ({"weights": np.ones(3)}, "There are 3 weights for 20 inputs"),
    "negative weight": ({"weights": Y}, "The weights must not be negative, nor all of them 0"),
    "no weight": ({"weights": np.zeros(N)}, "The weights must not be negative, nor all of them 0"),
    "weights alone": ({"inputs": None, "labels": None, "weights": np.ones(N)}, "give inputs as well"),
    "labels alone": ({"inputs": None}, "network.labels belong to inputs that are given"),
    "labels of a law": ({"inputs": "cube"}, "network.labels belong to inputs that are given"),
    "no teacher": ({"labels": None}, "The problem has no teacher: give it one"),
    "all held out": ({"held_out": 1.0}, r"held_out must be at least 0 and below 1, not 1\.0"),
    "none held out": ({"held_out": 0.01}, r"held_out = 0.01 of 20 input\(s\) holds out none"),
    "none left": ({"held_out": 0.99}, r"held_out = 0.99 of 20 input\(s\) holds out all"),
    "negative part": ({"held_out": -0.1}, "held_out must be at least 0 and below 1, not -0.1"),
    "negative noise": ({"noise": -1.0}, r"network.noise must not be negative, but is -1\.0"),
    "no noise": ({"noise": float("nan")}, "network.noise must be a finite number, not nan"),
    "a law that is misspelt": ({"inputs": "gausian"}, "did you mean 'gaussian'"),
    "another file": ({"inputs": "data.xlsx"}, "Unknown network.inputs 'data.xlsx'"),
}  # fmt: skip


@pytest.mark.parametrize("case", ARRAYS)
def test_a_mistake_in_arrays_is_one_sentence(case):
    change, said = ARRAYS[case]
    with pytest.raises(InputError, match=said) as raised:
        train(**change)
    sentence = str(raised.value)
    assert "\n" not in sentence
    assert sentence[-1] in ".?"


ROWS = "0.5,1.5,1\n0.25,-1,2\n"
FILES = {
    "missing.csv": (None, "No such file or directory"),
    "empty.csv": ("", "is empty"),
    "names.csv": ("a,b,label\n", "it has no row of numbers"),
    "labels.csv": ("label\n1\n2\n", "has no inputs: it needs a column beside labels and weights"),
    "no labels.csv": (ROWS, "has no labels: it needs a column 'label', or no other column"),
    "texts.csv": ("a,b,label\n1,2,red\n", "line 2 does not hold numbers separated by commas"),
    "hole.csv": ("a,b,label\n1,,3\n", "line 2 does not hold numbers"),
    "nan.csv": ("a,b,label\n1,nan,3\n", r"Row 0 of the inputs is not finite"),
    "complex.csv": ("a,b,label\n1,2+1j,3\n", "line 2 does not hold numbers"),
    "date.csv": ("a,b,label\n1,2,3\n1,2,2020-01-01\n", "line 3 does not hold 3 numbers"),
    "semicolons.csv": ("a;b;label\n1;2;3\n", "line 2 does not hold numbers separated by commas"),
    "note.csv": ("a,b,label\n1,2,3 # good\n", "line 2 does not hold numbers"),
    "ragged.csv": ("a,b,label\n1,2,3\n4,5\n", "line 3 does not hold 3 numbers"),
    "few names.csv": ("a,label\n1,2,3\n", "a different name for each of the 3 columns"),
    "index.csv": (",a,b,label\n0,1,2,3\n", "a different name for each of the 4 columns"),
    "typing.csv": ("1,x,3\n1,2,3\n", "first line must hold numbers, or a different name for each"),
    "first hole.csv": ("1,,3\n1,2,3\n", "first line must hold numbers, or a different name"),
    "twice.csv": ("a,a,label\n1,2,3\n", "a different name for each of the 3 columns"),
    "long name.csv": (f'"{200_000 * "a"}",b,label\n1,2,3\n', "a different name for each"),
    "two labels.csv": ("a,label,Labels\n1,2,3\n", "a different name for each of the 3 columns"),
    "wide.csv": ("a,b,c,label\n1,2,3,4\n", r"must have shape \(n, 2\) for these features"),
    "weight.csv": ("a,b,label,weight\n1,2,3,-4\n", "The weights must not be negative"),
    "latin.csv": (b"a,b,label\n1,2,\xff\n", "it is not UTF-8 text"),
    "zero.csv": (b"a,b,label\n1,2,\0\n", "line 2 does not hold numbers"),
    "text.npy": (b"no array", "Cannot read"),
    "text.npz": (b"no archive", "Cannot read"),
    "empty.npy": ("", "it is empty"),
    "text.nc": (b"no NetCDF", "Cannot read the file"),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_cannot_be_used(name, tmp_path):
    content, said = FILES[name]
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=said) as raised:
        train(inputs=path, labels=path)
    assert str(path) in str(raised.value) or "features" in said
    assert "\n" not in str(raised.value)


def saved(path, **arrays):
    """The arrays in a file of the kind that the suffix says."""
    if path.suffix == ".nc":
        dims = {name: [f"{name}_{k}" for k in range(np.ndim(a))] for name, a in arrays.items()}
        data = xr.Dataset({name: (dims[name], a) for name, a in arrays.items()})
        data.to_netcdf(path, engine="h5netcdf")
    else:
        np.savez(path, **arrays)
    return path


@pytest.mark.parametrize("suffix", [".npz", ".nc"])
def test_a_file_without_the_right_arrays(suffix, tmp_path):
    path = saved(tmp_path / f"x{suffix}", labels=Y)
    with pytest.raises(InputError, match="has no inputs: it needs an array 'inputs'"):
        train(inputs=path, labels=path)
    path = saved(tmp_path / f"y{suffix}", inputs=X)
    with pytest.raises(InputError, match="has no labels: it needs an array 'labels'"):
        train(inputs=path, labels=path)
    path = saved(tmp_path / f"z{suffix}", inputs=X, labels=np.array(["a"] * N))
    with pytest.raises(InputError, match="The labels must be real numbers"):
        train(inputs=path, labels=path)
    path = saved(tmp_path / f"two{suffix}", inputs=X, labels=Y, Label=Y)
    with pytest.raises(InputError, match="it has two arrays of labels or of weights"):
        train(inputs=path, labels=path)


@pytest.mark.parametrize("suffix", [".csv", ".npy", ".npz"])
def test_a_file_with_weights_only(suffix, tmp_path):
    """Also with an archive whose name ends as that of a single array."""
    path = tmp_path / f"only{suffix}"
    if suffix == ".csv":
        path.write_text("weight\n1\n2\n")
    else:
        np.savez(tmp_path / "archive.npz", weights=np.ones(N))
        path.write_bytes((tmp_path / "archive.npz").read_bytes())
    with pytest.raises(InputError, match="has no inputs: it needs"):
        train(inputs=path)
    with pytest.raises(InputError, match="has no labels: it needs"):
        train(labels=path)


def test_damaged_bytes_are_refused(tmp_path):
    """Every file that is cut, or has a few bytes changed, trains or is one sentence."""
    np.save(tmp_path / "good.npy", X)
    np.savez_compressed(tmp_path / "good.npz", inputs=X, labels=Y)
    for suffix in (".npy", ".npz"):
        data = (tmp_path / f"good{suffix}").read_bytes()
        for k in range(30):
            bad = bytearray(data[: len(data) - 7 * (k % 3)])
            for place in RNG.integers(len(bad), size=3):
                bad[place] = 0 if k % 2 else 255
            path = tmp_path / f"bad{k}{suffix}"
            path.write_bytes(bad)
            try:
                train(inputs=path, labels=Y)
            except InputError as error:
                assert "\n" not in str(error)


def test_objects_are_not_unpickled(tmp_path):
    np.save(tmp_path / "evil.npy", np.array([print], dtype=object))
    with pytest.raises(InputError, match=r"Cannot read '.*evil\.npy'"):
        train(inputs=tmp_path / "evil.npy")


def test_what_is_accepted():
    """Repeated and constant columns, repeated rows, one row, ratios of weights, whole numbers.

    The regularisation keeps every system regular, and a constant column is a bias.
    """
    same = np.column_stack([X[:, 0], X[:, 0]])
    constant = np.column_stack([X[:, 0], np.ones(N)])
    for x in (same, constant, np.repeat(X[:10], 2, axis=0), np.zeros((N, 2)), X.astype(int)):
        assert np.isfinite(train(inputs=x).training_error).all()
    assert np.isfinite(train(inputs=X[:1], labels=Y[:1]).training_error).all()
    one, two = (train(weights=factor * np.arange(N)) for factor in (1, 8))
    assert np.array_equal(one.feature, two.feature)


@pytest.mark.parametrize("kernel", ["population", "low-rank"])
@pytest.mark.parametrize(
    "setting", ["inputs=cube", "inputs=x.csv", "labels=y.csv", "noise=0.1", "held_out=0.5"]
)
def test_infinitely_many_inputs_have_the_features_law(kernel, setting):
    name = setting.partition("=")[0]
    with pytest.raises(InputError, match=rf"network\.{name} is for network\.kernel = 'sampled'"):
        load_config("relu-circle", [f"network.kernel={kernel}", f"network.{setting}"])


@pytest.mark.parametrize("setting", ["inputs=cube", "labels=y.csv"])
def test_draws_have_inputs_and_a_teacher(setting):
    with pytest.raises(InputError, match=r"network\.draws gives inputs and a teacher"):
        load_config("relu-circle", ["network.draws=paper", f"network.{setting}"])


def test_given_arrays_cannot_be_taken_from_a_configuration():
    found = train()
    with pytest.raises(InputError, match="The inputs of this run were given as arrays"):
        jobs.train(Setup(found.config))


def test_labels_have_no_density(tmp_path):
    """What needs one says so; the checks are before the training, which would take hours."""
    network = train()
    saved(tmp_path / "data.npz", inputs=X, labels=Y)
    words = ["network.inputs=data.npz", "network.labels=data.npz", "network.width=100000"]
    (tmp_path / "own.toml").write_text("")
    config = load_config(tmp_path / "own.toml", words)
    assert config.problem.teacher == {"kind": "unknown"}
    limit = uf.solve(
        uf.Problem(uf.Circle(), uf.Bumps(gamma=1.0)), until=0.125, cells=32, snapshots=2
    )
    needs = [
        lambda: uf.compare(network, limit),
        lambda: uf.solve(PROBLEM, until=1.0),
        lambda: uf.solve(PROBLEM, until=1.0, limit="mean-field",
                         network={"inputs": X, "labels": Y}),
        lambda: network.teacher,
        lambda: jobs.solve(Setup(config)),
        lambda: jobs.compare(Setup(config)),
        lambda: jobs.follow(Setup(config)),
        lambda: jobs.spectrum(Setup(config)),
    ]  # fmt: skip
    for need in needs:
        with pytest.raises(InputError, match="known by no more than labels and has no density"):
            need()
    with pytest.raises(InputError, match=r"leave network\.inputs, labels, noise and held_out out"):
        ladder(config)


def test_the_mean_field_equation_has_exact_labels():
    """The network's noise does not enter: it is how far the network is from the equation."""
    problem = uf.Problem(uf.Circle(), uf.Bumps(gamma=1.0))
    found = [
        uf.solve(problem, until=0.1, limit="mean-field", cells=32, snapshots=2, cautious=False,
                 network={"noise": noise, "samples": 50}).density
        for noise in (0.0, 0.1)
    ]  # fmt: skip
    assert (found[0] == found[1]).all()
