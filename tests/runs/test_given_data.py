"""Networks that learn inputs, labels and weights of the user's own, against dense formulas."""

import itertools
from dataclasses import dataclass
from typing import Any

import configured
import numpy as np
import pytest
import xarray as xr
from small_networks import CIRCLE, SPHERE, TORUS

import uf_diffusion as uf
from uf_diffusion.core import mpi
from uf_diffusion.core.errors import InputError
from uf_diffusion.kernels.circle_labels import LabelledCircleMap
from uf_diffusion.kernels.feature_maps import Atoms
from uf_diffusion.kernels.hinges import Hinges
from uf_diffusion.kernels.inputs import Inputs, inputs_of_law
from uf_diffusion.kernels.sampled import Sampled
from uf_diffusion.kernels.weighted import Weighted, at_equal_weights
from uf_diffusion.library.setups import diffusion_setup
from uf_diffusion.problem.densities import Density
from uf_diffusion.runs.fingerprint import fingerprint
from uf_diffusion.runs.inputs import inputs_of
from uf_diffusion.runs.mean_field import kernel_at_nodes
from uf_diffusion.runs.reading import load_config
from uf_diffusion.runs.setup import Setup
from uf_diffusion.runs.training import neurons

TAU, LAM, STEPS, N, SEED = 2.0**-10, 1e-2, 100, 150, 4
NUMBERS = np.random.default_rng(8)
X = {2: NUMBERS.normal(size=(N, 2)), 3: NUMBERS.normal(size=(N, 3))}
WEIGHTS = NUMBERS.random(N) * (np.arange(N) % 5 > 0)  # every fifth input is left out
Y = {d: np.tanh(x[:, 0]) + 0.3 * x[:, 1] ** 2 for d, x in X.items()}
MODELS = {
    "circle": (CIRCLE, uf.ReLU(), LabelledCircleMap),
    "sphere": (SPHERE, uf.ReLU(), Hinges),
    "fourier": (SPHERE, uf.RandomFourier(scale=0.7), Sampled),
    "torus": (TORUS, uf.Radial(scale=0.7, profile="gaussian"), Sampled),
}


def of(model):
    """The manifold, the features and the data of a model."""
    manifold, phi, _ = MODELS[model]
    x, y = X[manifold.dim + 1], Y[manifold.dim + 1]
    if model == "torus":
        x = x[:, :2]
    if model == "fourier":
        x = np.column_stack([x, np.linspace(0, 6, N)])
    return manifold, phi, x, y


def train(model, steps=STEPS, **more):
    manifold, phi, x, y = of(model)
    more = {"inputs": x, "labels": y, "width": 24, **more}
    return uf.train(uf.Problem(manifold, divergence=uf.BIASED), phi, until=steps * TAU, snapshots=3,
                    step=TAU, regularisation=LAM, seed=SEED, cautious=False, **more)  # fmt: skip


def textbook(manifold, phi, omega, x, y, w, steps=STEPS):
    """VarPro by ridge regression on dense features; errors of the outputs come with it."""
    m, w = 1 / len(omega), w / w.sum()
    for k in range(steps + 1):
        Phi, pullback = phi(omega, x)
        u = np.linalg.solve((Phi * w) @ Phi.T * m + LAM * np.eye(len(omega)), Phi @ (w * y))
        r = y - m * u @ Phi
        if k < steps:
            omega = manifold.retract(omega, TAU * u[:, None] * pullback(w * r) / LAM)
    return omega, u, w @ r**2


def relu(omega, x):
    """ReLU features by their formula."""
    z = omega @ x.T

    def pullback(weight):
        slope = (z > 0) * weight @ x
        return slope - (slope * omega).sum(axis=1)[:, None] * omega

    return np.maximum(z, 0), pullback


def plain(model, phi, manifold):
    return relu if model in ("circle", "sphere") else type(phi)(manifold, phi.scale, phi.profile)


@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["equal", "weighted"])
@pytest.mark.parametrize("model", MODELS)
def test_a_training_is_the_textbooks(model, weights):
    """Labels with noise and inputs that are held out: 1e-8 after 100 steps."""
    manifold, phi, x, y = of(model)
    given = {} if weights is None else {"weights": weights}
    network = train(model, noise=0.1, held_out=0.2, **given)
    w = np.ones(N) if weights is None else weights
    y = y + 0.1 * np.random.default_rng([SEED, 1]).standard_normal(N)
    used = np.flatnonzero(w)
    order = np.random.default_rng([SEED, 2]).permutation(len(used))
    held, kept = np.split(used[order], [round(0.2 * len(used))])
    phi = plain(model, phi, manifold)
    omega, u, error = textbook(manifold, phi, network.feature[0], x[kept], y[kept], w[kept])
    assert network.feature[-1] == pytest.approx(omega, abs=1e-8)
    assert network.outer_weight[-1] == pytest.approx(u, abs=1e-7)
    assert network.training_error[-1] == pytest.approx(error, rel=1e-8)
    left = (y[held] - u @ phi(omega, x[held])[0] / len(u)) ** 2
    assert network.held_out_error[-1] == pytest.approx(left @ w[held] / w[held].sum(), rel=1e-7)
    assert network.training_error[-1] < network.training_error[0]
    kind = type(configured.training_of(network.setup).network.feature_map)
    assert kind is MODELS[model][2]


@pytest.mark.parametrize("sizes", [(300, 400), (1100, 1030)])
@pytest.mark.parametrize("model", ["sphere", "fourier", "torus"])
def test_weights_with_iterative_solvers(model, sizes, rng):
    """Widths and numbers of inputs from which linear systems are solved by iterations."""
    (manifold, phi, _), (width, n) = MODELS[model], sizes
    x = rng.normal(size=(n, manifold.dim + (model != "torus")))
    y, w = np.tanh(x[:, 0]), rng.random(n)
    if model == "fourier":
        x = np.column_stack([x, rng.uniform(0, 6, n)])
    network = train(model, 3, inputs=x, labels=y, weights=w, width=width)
    phi = plain(model, phi, manifold)
    omega, u, error = textbook(manifold, phi, network.feature[0], x, y, w, 3)
    assert network.feature[-1] == pytest.approx(omega, abs=1e-10)
    assert network.outer_weight[-1] == pytest.approx(u, abs=1e-9)
    assert network.training_error[-1] == pytest.approx(error, rel=1e-9)


def stored(path, x, y, w):
    """The data as a file of the kind that the suffix says."""
    if path.suffix == ".csv":
        table = np.column_stack([y, x, w])
        names = ["Label", *(f"x{k}" for k in range(x.shape[1])), "weight"]
        np.savetxt(path, table, delimiter=",", header=",".join(names), fmt="%.17g")
    elif path.suffix == ".npz":
        np.savez(path, inputs=x, labels=y, weights=w)
    else:
        dims = {"inputs": (("n", "d"), x), "labels": ("n", y), "weights": ("n", w)}
        xr.Dataset(dims).to_netcdf(path, engine="h5netcdf")
    return path


@pytest.mark.parametrize("suffix", [".csv", ".npz", ".nc"])
def test_a_file_has_the_same_bits_as_arrays(suffix, tmp_path):
    path = stored(tmp_path / f"all{suffix}", X[3], Y[3], WEIGHTS)
    arrays = train("sphere", weights=WEIGHTS, held_out=0.25)
    found = train("sphere", inputs=path, labels=str(path), held_out=0.25)
    assert np.array_equal(found.feature, arrays.feature)
    assert np.array_equal(found.held_out_error, arrays.held_out_error)
    assert found.config.network.samples == N
    again = configured.train(load_config(written(tmp_path, found.config)), cautious=False)
    assert np.array_equal(again["network"].feature.values, arrays.feature)


def written(folder, config):
    (folder / "run.toml").write_text(config.to_toml())
    return str(folder / "run.toml")


def test_labels_may_have_a_file_of_their_own(tmp_path):
    np.save(tmp_path / "x.npy", X[2])
    np.save(tmp_path / "y.npy", Y[2])
    (tmp_path / "y.csv").write_text("\n".join(map(repr, Y[2].tolist())))
    one, two = (train("circle", inputs=tmp_path / "x.npy", labels=tmp_path / f"y{suffix}")
                for suffix in (".npy", ".csv"))  # fmt: skip
    assert np.array_equal(one.feature, two.feature)
    assert np.array_equal(one.feature, train("circle").feature)


def test_what_is_beside_the_data_is_passed_over(tmp_path):
    """Comments, empty lines and quotes of a CSV file, and other arrays, even of texts or objects."""
    rows = [
        f'"{a!r}", {b!r} ,{y!r}' for (a, b), y in zip(X[2].tolist(), Y[2].tolist(), strict=True)
    ]
    text = "\n# by hand\n\n".join(['# "x", y, "LABEL"', *rows])
    (tmp_path / "data.csv").write_text("\ufeff" + text)
    arrays = {"inputs": X[2], "labels": Y[2]}
    np.savez(tmp_path / "data.npz", **arrays, names=np.array([None, {}], dtype=object))
    dims = {"inputs": (("n", "d"), X[2]), "names": ("d", ["x", "y"])}
    labelled = xr.Dataset(dims, coords={"labels": ("n", Y[2])})
    labelled.to_netcdf(tmp_path / "data.nc", engine="h5netcdf")
    wanted = train("circle", 3).feature
    for name in ("data.csv", "data.npz", "data.nc"):
        path = tmp_path / name
        assert np.array_equal(train("circle", 3, inputs=path, labels=path).feature, wanted), name


SHORT = ["problem.t_end=0.03125", "diffusion.snapshots=5", "network.width=16",
         "network.step=0.0009765625", "network.lambda=0.01", "problem.regulariser=biased"]  # fmt: skip


@pytest.mark.parametrize("model", ["circle", "sphere"])
def test_a_run_that_was_killed_goes_on_with_the_same_bits(model, tmp_path):
    """All that is recorded, from a file with inputs, labels and weights."""
    _, _, x, y = of(model)
    path = stored(tmp_path / "data.csv", x, y, WEIGHTS)
    words = [f"problem.manifold={model}", f"network.inputs='{path}'", f"network.labels='{path}'",
             "network.noise=0.1", "network.held_out=0.3", "diffusion.checkpoint=1e-9"]  # fmt: skip
    config = load_config("relu-circle", [*SHORT, *words])
    whole = configured.train(config, cautious=False)["network"].to_dataset()

    def stop(state):
        if state.step == 13:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        configured.train(config, tmp_path / "run", watch=[stop], cautious=False)
    resumed = configured.train(config, tmp_path / "run", cautious=False)["network"].to_dataset()
    assert "held_out_error" in whole
    assert resumed.identical(whole)


def test_edited_data_are_noticed(tmp_path):
    """By value, each part by its name; the file's name does not matter."""
    path = stored(tmp_path / "data.npz", X[2], Y[2], WEIGHTS)
    words = [*SHORT, f"network.inputs='{path}'", f"network.labels='{path}'"]

    def stop(state):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        configured.train(load_config("relu-circle", words), tmp_path / "run", watch=[stop])

    def prints():
        return fingerprint(Setup(load_config("relu-circle", words)), "train")

    before = prints()
    edits = {"labels": (X[2], Y[2] + 1e-3, WEIGHTS), "inputs": (X[2], Y[2], WEIGHTS**2)}
    for part, data in edits.items():
        stored(path, *data)
        assert [name for name in before if before[name] != prints()[name]] == [part]
    with pytest.raises(InputError, match="The inputs are not those that the run in"):
        configured.train(load_config("relu-circle", words), tmp_path / "run")


@pytest.mark.parallel(2)
def test_two_ranks_train_the_same(monkeypatch):
    """Inputs or neurons are spread; 1e-10 against one rank alone."""
    from mpi4py import MPI

    assert MPI.COMM_WORLD.size == 2
    settings = {"weights": WEIGHTS, "held_out": 0.2, "noise": 0.1, "steps": 30}
    for model, width in itertools.product(("sphere", "circle", "torus"), (24, 200)):
        together = train(model, width=width, **settings)
        with monkeypatch.context() as alone:
            alone.setattr(mpi, "_world", lambda: None)
            single = train(model, width=width, **settings)
        if MPI.COMM_WORLD.rank == 0:
            for name in ("feature", "training_error", "held_out_error"):
                expected = pytest.approx(getattr(single, name), rel=1e-10, abs=1e-10)
                assert getattr(together, name) == expected, (model, width, name)


@pytest.mark.parametrize("law", ["gaussian", "sphere", "cube"])
def test_inputs_of_a_law(law):
    """Moments; all inputs on the sphere or in the cube; the features see the same numbers."""
    config = load_config("relu-circle", ["problem.manifold=sphere", "problem.teacher=uniform", f"network.inputs={law}",
                                         "network.samples=20000"])  # fmt: skip
    setup = Setup(config)
    x = inputs_of(setup, *neurons(setup)[1:]).training.x
    assert x.shape == (20000, 3)
    size = {"gaussian": 1.0, "sphere": 1.0, "cube": 1 / 3}[law]
    assert x.T @ x / len(x) == pytest.approx(size * np.eye(3), abs=0.03)
    radius = np.linalg.norm(x, axis=1)
    assert law != "sphere" or radius == pytest.approx(np.full(20000, 3**0.5))
    assert law != "cube" or 0.99 < np.abs(x).max() <= 1
    assert law != "gaussian" or radius.max() > 3


def test_the_radius_of_the_sphere_keeps_the_kernel_of_relu(rng):
    """The reason for sqrt(n): ReLU is homogeneous, and the mean of |x|^2 is that of a Gaussian."""
    config = load_config("relu-circle", ["problem.manifold=sphere", "problem.teacher=uniform", "network.inputs=sphere",
                                         "network.samples=400000"])  # fmt: skip
    setup = Setup(config)
    x = inputs_of(setup, *neurons(setup)[1:]).training.x
    omega = SPHERE.sample(5, rng)
    Phi = relu(omega, x)[0]
    assert Phi @ Phi.T / len(x) == pytest.approx(uf.ReLU(SPHERE).kernel(omega, omega)[0], abs=4e-3)


@dataclass(frozen=True)
class Biased(uf.PlainFeature):
    """ReLU features of inputs in the plane with a bias, on the sphere of one dimension more."""

    manifold: Any
    bias = True

    def inputs(self, n, rng):
        return np.column_stack([rng.standard_normal((n, 2)), np.ones(n)])

    def __call__(self, omega, x):
        return relu(omega, x)


def test_features_with_a_bias_take_one_column_less():
    """The ones are appended; the training is that without bias on inputs with a column of ones."""
    ones = np.column_stack([X[2], np.ones(N)])
    common = {"labels": Y[2], "held_out": 0.1, "until": 0.03125, "snapshots": 2, "width": 20,
              "step": TAU, "regularisation": LAM, "cautious": False}  # fmt: skip
    problem = uf.Problem(SPHERE, divergence=uf.BIASED)
    biased = uf.train(problem, Biased, inputs=X[2], **common)
    plain = uf.train(problem, uf.ReLU(), inputs=ones, **common)
    assert biased.feature == pytest.approx(plain.feature, abs=1e-10)
    assert biased.held_out_error == pytest.approx(plain.held_out_error, rel=1e-9)
    of_law = inputs_of_law("cube", Biased(SPHERE), 30, NUMBERS)
    assert of_law.shape == (30, 3)
    assert (of_law[:, 2] == 1).all()
    with pytest.raises(InputError, match=r"shape \(n, 2\) for these features, not \(150, 3\)"):
        uf.train(problem, Biased, inputs=ones, **common)


def test_noise_is_added_to_the_outputs_of_the_teacher():
    """With draws that are given: the errors at the start, by formulas."""
    draws = {
        "inputs": X[3],
        "teacher": SPHERE.sample(7, NUMBERS),
        "student": SPHERE.sample(5, NUMBERS),
    }
    found = uf.train(uf.Problem(SPHERE, uf.Uniform()), draws=draws, noise=0.5, held_out=0.5, seed=SEED,
                     until=2 * TAU, snapshots=2, step=TAU, regularisation=LAM,
                     cautious=False)  # fmt: skip
    y = relu(draws["teacher"], X[3])[0].mean(axis=0)
    y += 0.5 * np.random.default_rng([SEED, 1]).standard_normal(N)
    left, kept = np.split(np.random.default_rng([SEED, 2]).permutation(N), 2)
    Phi = relu(draws["student"], X[3])[0]
    u = np.linalg.solve(
        Phi[:, kept] @ Phi[:, kept].T / len(kept) / 5 + LAM * np.eye(5),
        Phi[:, kept] @ y[kept] / len(kept) + LAM,
    )
    errors = (y - u @ Phi / 5) ** 2
    assert found.training_error[0] == pytest.approx(errors[kept].mean(), rel=1e-9)
    assert found.held_out_error[0] == pytest.approx(errors[left].mean(), rel=1e-9)


def test_ten_inputs():
    """On S^9 without an axis, where nothing but the network can be computed."""
    x = NUMBERS.normal(size=(200, 10))
    network = uf.train(uf.Problem(uf.Sphere(9), divergence=uf.BIASED), inputs=x, labels=np.abs(x[:, 0]),
                       held_out=0.2, until=0.125, snapshots=3, step=2**-8, width=50,
                       regularisation=LAM)  # fmt: skip
    assert network.feature.shape == (3, 50, 10)
    assert network.held_out_error[-1] < network.held_out_error[0]


def test_nothing_changes_where_nothing_is_given():
    """Noise of standard deviation 0, and a fraction of 0, use no random numbers."""
    problem = uf.Problem(CIRCLE, teacher=uf.VonMisesFisher())
    common = {"until": 0.03125, "snapshots": 2, "width": 16, "samples": 64, "cautious": False}
    one, two = (uf.train(problem, step=TAU, **common, **more)
                for more in ({}, {"noise": 0.0, "held_out": 0.0}))  # fmt: skip
    assert np.array_equal(one.feature, two.feature)
    assert set(one.group("network")) == set(two.group("network"))
    with pytest.raises(InputError, match="This result has no training_error"):
        _ = one.training_error
    noisy = uf.train(problem, step=TAU, noise=1e-9, **common)
    assert noisy.feature == pytest.approx(one.feature, abs=1e-6)
    assert np.array_equal(noisy.feature[0], one.feature[0])


@pytest.mark.parametrize("model", ["circle", "sphere"])
def test_the_mean_field_equation_has_the_same_inputs(model, rng):
    """Its kernel is the weighted sum over the inputs that the network is trained with."""
    manifold, phi, x, _ = of(model)
    settings = {"inputs": x, "weights": WEIGHTS, "held_out": 0.2, "seed": SEED}
    problem = uf.Problem(manifold, teacher=uf.VonMisesFisher())
    setup = diffusion_setup(problem, 1.0, 2, "mean-field", phi, settings, 64, None, 1, "sdirk2",
                            1e-4, 0.0, 0.0)  # fmt: skip
    order = np.random.default_rng([SEED, 2]).permutation(np.count_nonzero(WEIGHTS))
    kept = np.flatnonzero(WEIGHTS)[order[round(0.2 * len(order)) :]]
    omega, v = manifold.sample(9, rng), rng.normal(size=9)
    Phi, w = relu(omega, x[kept])[0], WEIGHTS[kept] / WEIGHTS[kept].sum()
    found = kernel_at_nodes(setup).at(omega).potential(v)
    assert found == pytest.approx(-(Phi * w) @ Phi.T @ v, rel=1e-10)


def test_weights_are_copies(rng):
    """An input of weight k counts as k copies, for features that are not homogeneous as well."""
    torus, omega, a = TORUS, TORUS.sample(6, rng), rng.normal(size=6)
    phi = uf.Radial(torus)
    few, copies = X[2][:5], np.array([1, 2, 3, 1, 2])
    weighted, x = at_equal_weights(phi, Inputs(few, copies / copies.sum()))
    assert isinstance(weighted, Weighted)
    many = np.repeat(few, copies, axis=0)
    teacher = Atoms(omega, np.full(6, 1 / 6))
    one, two = (Sampled(f, z, teacher).at(omega) for f, z in ((weighted, x), (phi, many)))
    assert one.kernel == pytest.approx(two.kernel, rel=1e-12)
    assert one.potential(a) == pytest.approx(two.potential(a), abs=1e-12)
    assert one.potential_gradient(a) == pytest.approx(two.potential_gradient(a), abs=1e-12)


def test_the_figure_has_a_panel_of_errors(tmp_path):
    network = train("circle", held_out=0.2)
    drawn = uf.draw(network, panels="output-errors")
    assert len(drawn.axes[0].get_lines()) >= 2
    network.plot(tmp_path / "all.png")
    network.save(tmp_path / "run")
    again = uf.load(tmp_path / "run")
    assert np.array_equal(again.held_out_error, network.held_out_error)
    assert isinstance(again.problem.teacher, Density)
