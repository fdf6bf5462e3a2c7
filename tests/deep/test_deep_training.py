"""Training of deep networks: two layers are the particles, and a run goes on bit for bit."""

from small_deep import images

# isort: split
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import uf_diffusion as uf
from uf_diffusion import deep
from uf_diffusion.core.errors import InputError, RunFailure
from uf_diffusion.deep.augmentation import crop_and_flip
from uf_diffusion.deep.data import labelled
from uf_diffusion.deep.networks import parameters
from uf_diffusion.deep.shampoo import on_spheres
from uf_diffusion.deep.stored_state import read_state, write_state
from uf_diffusion.deep.training import accuracy
from uf_diffusion.problem.divergences import BIASED, UNBIASED

STEP, WIDTH, SAMPLES = 2.0**-8, 24, 60


def last(states):
    for state in states:
        pass
    return state


def same(a, b):
    """Whether all arrays of two trees have the same bits."""
    pairs = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    return all(np.asarray(x).tobytes() == np.asarray(y).tobytes() for x, y in pairs)


@pytest.mark.parametrize("divergence", [BIASED, UNBIASED], ids=lambda d: d.name)
def test_two_layers_follow_the_particles(divergence):
    """100 steps of ReLU on S^2 in double precision, with the inputs of `uf.training`."""
    problem = uf.Problem(uf.Sphere(2), teacher=uf.VonMisesFisher(kappa=5.0), divergence=divergence)
    particles = uf.training(
        problem, uf.ReLU(), until=100 * STEP, step=STEP, width=WIDTH, samples=SAMPLES,
        regularisation=1e-2, kernel="sampled", algorithm="varpro", seed=3,
    )  # fmt: skip
    states = list(particles.states())
    features = particles.network.feature_map
    with jax.enable_x64(True):
        data = labelled(features.data, features.labels * np.sqrt(SAMPLES))
        network = deep.TwoLayer(jnp.asarray(states[0].feature))
    # the mass of a neuron is 1/M, so that its step is M times that of the risk's gradient
    method = deep.VarPro(optax.chain(optax.sgd(WIDTH * STEP), on_spheres()), momentum=0.0)
    training = deep.Training(data, method, SAMPLES, 1e-2, divergence, double=True)
    state = last(training.iterate(training.start(network), 100))
    assert state.step == states[-1].step == 100
    moved = np.linalg.norm(states[-1].feature - states[0].feature, axis=1)
    assert moved.max() > 0.1
    np.testing.assert_allclose(state.network.omega, states[-1].feature, rtol=0, atol=1e-8)
    assert float(state.risk) == pytest.approx(states[-2].risk, rel=1e-8)


def test_nothing_global_is_changed_by_double_precision():
    with jax.enable_x64(True):
        data = labelled(np.eye(4), np.ones(4))
        network = deep.TwoLayer(jnp.eye(4))
    training = deep.Training(data, deep.VarPro(optax.sgd(0.1)), 2, double=True)
    state = training.step(training.start(network))
    assert state.outer.dtype == state.network.omega.dtype == jnp.float64
    assert jnp.zeros(1).dtype == jnp.float32


def cifar(n, seed=0):
    inputs, labels = images(n, (3, 32, 32), seed=seed)
    return labelled(inputs, labels, 127.0, 60.0, classes=10)


def test_the_risk_of_resnet20_falls_on_a_fixed_batch():
    """50 steps on one batch of random images; 0.27 million parameters."""
    network, norm = deep.resnet20(jax.random.key(0), passes=2)
    convolutions = 9 * (3 * 16 + 6 * 16**2 + 16 * 32 + 5 * 32**2 + 32 * 64 + 5 * 64**2)
    shortcuts, norms = 16 * 32 + 32 * 64, 2 * (7 * 16 + 7 * 32 + 7 * 64)
    assert parameters(network, 10) == convolutions + shortcuts + norms + 64 * 10
    assert round(parameters(network, 10) / 1e6, 2) == 0.27
    data = cifar(4)
    training = deep.Training(data, deep.VarPro(optax.sgd(64e-3)), 4)
    states = list(training.iterate(training.start(network, norm), 50))
    features, _ = states[-1].network(data.prepared(data.inputs), norm)
    assert features.shape == (4, 64)
    assert states[-1].outer.shape == (64, 10)
    risks = np.array([float(state.risk) for state in states[1:]])
    assert np.isfinite(risks).all()
    assert risks[-5:].mean() < 0.5 * risks[:5].mean()


def test_two_passes_over_a_minibatch_are_one_that_keeps_less():
    """The features are the same in both passes of the paper's step; only the statistics move."""
    sizes = {"channels": 1, "widths": (4, 8), "depth": 1}
    build = eqx.nn.make_with_state(deep.ResNet)
    network, norm = build(jax.random.key(0), **sizes)
    once, before = build(jax.random.key(0), **sizes, passes=2)
    x = jnp.asarray(images(6, (1, 8, 8))[0] / 255.0)
    first, between = network(x, norm)
    second, after = network(x, between)
    alone, less = once(x, before)
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(first, alone)
    tested, _ = network(x, after, inference=True)
    np.testing.assert_allclose(tested, once(x, less, inference=True)[0], rtol=2e-5, atol=1e-6)


def test_the_statistics_tend_to_those_of_the_data():
    """Then the test sees what the training sees, up to n/(n-1) in the variance."""
    network, norm = eqx.nn.make_with_state(deep.ResNet)(
        jax.random.key(0), channels=1, widths=(4, 8), depth=1
    )
    x = jnp.asarray(images(40, (1, 8, 8))[0] / 255.0)
    tested, _ = network(x, norm, inference=True)
    call = eqx.filter_jit(network)
    for _ in range(150):
        features, norm = call(x, norm)
    assert jnp.abs(tested - features).max() > 0.1
    tested, _ = network(x, norm, inference=True)
    np.testing.assert_allclose(tested, features, atol=5e-3)


METHODS = {
    "VarPro": lambda: deep.VarPro(optax.sgd(8e-3)),
    "SGD": lambda: deep.Joint(optax.sgd(8e-3, momentum=0.9)),
    "Shampoo": lambda: deep.Joint(deep.shampoo(8e-2)),
}


@pytest.mark.parametrize("name", METHODS)
def test_a_run_goes_on_bit_for_bit(name, tmp_path):
    """From a file in the middle of an epoch, with another training object."""
    inputs, labels = images(50, (1, 8, 8), classes=3)
    data = labelled(inputs, labels, 127.0, 60.0, classes=3)
    network, norm = eqx.nn.make_with_state(deep.ResNet)(
        jax.random.key(1), channels=1, widths=(4,), depth=1
    )
    method = METHODS[name]()

    def training():
        return deep.Training(data, method, 16, augment=crop_and_flip, seed=5)

    assert training().epoch == 4  # the last batch has two inputs
    states = list(training().iterate(training().start(network, norm), 3))
    assert [state.step for state in states] == list(range(13))
    write_state(tmp_path / "state.nc", states[6])
    again = read_state(tmp_path / "state.nc", training().start(network, norm))
    assert again.step == 6
    assert same(again, states[6])
    end = last(training().iterate(again, 3))
    assert same(end, states[-1])
    assert not same(end.network, states[6].network)


def test_a_state_of_another_network_is_refused(tmp_path):
    data = labelled(np.eye(4), np.ones(4))
    training = deep.Training(data, deep.VarPro(optax.sgd(0.1)), 2)
    write_state(tmp_path / "state.nc", training.start(deep.TwoLayer(jnp.eye(4))))
    with pytest.raises(InputError, match="another network, method or precision"):
        read_state(tmp_path / "state.nc", training.start(deep.TwoLayer(jnp.eye(4)[:3])))
    damaged = tmp_path / "state.nc"
    damaged.write_bytes(damaged.read_bytes()[:-100] + b"x" * 10 + damaged.read_bytes()[-90:])
    with pytest.raises(InputError, match="its checksum does not fit"):
        read_state(damaged, training.start(deep.TwoLayer(jnp.eye(4))))


def test_a_rate_that_is_too_large_fails_with_one_sentence():
    data = labelled(np.eye(4), np.ones(4))
    training = deep.Training(data, deep.Joint(optax.sgd(1e30)), 2)
    with pytest.raises(RunFailure, match=r"left the finite numbers before step \d+; use a smaller"):
        last(training.iterate(training.start(deep.TwoLayer(jnp.eye(4))), 9))


def test_the_accuracy_counts_the_largest_outputs():
    """Features and outer layer are the identity, so that the outputs are the inputs."""
    inputs, labels = np.eye(5)[[0, 1, 2, 3, 4, 0]], np.array([0, 1, 2, 3, 0, 1])
    data = labelled(inputs, labels, classes=5)
    training = deep.Training(data, deep.VarPro(optax.sgd(0.1)), 2)
    state = training.start(deep.TwoLayer(jnp.eye(5)), outer=jnp.eye(5))
    assert accuracy(state, data) == pytest.approx(4 / 6)


def test_a_crop_is_part_of_the_padded_image():
    """Each result is one of the 81 crops, flipped or not, of numpy."""
    x, _ = images(20, (3, 8, 8))
    changed = np.asarray(crop_and_flip(jax.random.key(0), jnp.asarray(x)))
    assert changed.dtype == np.uint8
    padded = np.pad(x, ((0, 0), (0, 0), (4, 4), (4, 4)))
    seen = set()
    for k in range(20):
        places = {
            (i, j, flip)
            for i in range(9) for j in range(9) for flip in (1, -1)
            if (padded[k, :, i : i + 8, j : j + 8][:, :, ::flip] == changed[k]).all()
        }  # fmt: skip
        assert places
        seen |= places
    assert len({flip for *_, flip in seen}) == 2
    assert len({place[:2] for place in seen}) > 10
