"""Training algorithms: against dense textbook versions, each other, and their own restarts."""

import dataclasses
import itertools

import numpy as np
import pytest
import xarray as xr
from configured import compare, train
from small_networks import CIRCLE, FEATURES, TAU

from uf_diffusion.core import mpi, threads
from uf_diffusion.core.errors import InputError
from uf_diffusion.kernels import sampled
from uf_diffusion.kernels.choice import feature_map
from uf_diffusion.kernels.features import Laplace
from uf_diffusion.network.gradient_flow import GradientFlow, chebyshev
from uf_diffusion.network.history import NetworkHistory
from uf_diffusion.network.placement import place
from uf_diffusion.network.training import (
    FixedFeatures,
    Network,
    TrainingFailure,
    VarProDescent,
    joint,
    two_timescale,
)
from uf_diffusion.problem.densities import Bumps
from uf_diffusion.problem.divergences import Biased, Entropy, Power, Unbiased
from uf_diffusion.runs import resources as memory
from uf_diffusion.runs.checkpoints import Checkpoints, Job
from uf_diffusion.runs.reading import load_config
from uf_diffusion.studies.orders import fit


def network_of(name, rng, width=40, samples=200, lam=1e-3, divergence=None, masses=None):
    phi, teacher = FEATURES[name]
    psi = feature_map(phi, "sampled", samples, place(teacher, 100, "random", rng), rng)
    masses = np.full(width, 1 / width) if masses is None else masses
    network = Network(phi.manifold, psi, divergence or Unbiased(), lam, masses)
    return network, phi.manifold.sample(width, rng)


def matern(lam=1e-3, width=64, divergence=None):
    rng = np.random.default_rng(0)
    psi = feature_map(Laplace(CIRCLE), "population", 0, place(Bumps(CIRCLE), 256, "even", rng), rng)
    network = Network(CIRCLE, psi, divergence or Unbiased(), lam, np.full(width, 1 / width))
    return network, CIRCLE.even(width)


def last(algorithm, feature, t_end):
    for state in algorithm.iterate(algorithm.start(feature), [t_end]):
        pass
    return state


@pytest.mark.parametrize("smooth", [True, False])
@pytest.mark.parametrize("name", ["smooth torus", "torus", "sphere"])
def test_an_iterative_solver_changes_nothing(name, smooth, rng, monkeypatch):
    """Width 300: 20 steps, the preconditioner smooth or an earlier inverse, against LU in each."""
    if not smooth:
        monkeypatch.setattr(sampled, "smooth_functions", lambda *_: None)
    network, feature = network_of(name, rng, width=300, samples=400, lam=1e-3)
    psi, algorithm = network.feature_map, VarProDescent(network, TAU)
    state = algorithm.start(feature)
    used = 0
    for _ in range(20):
        state = algorithm.step(state, 1.0)
        Phi = psi.at(state.feature).matrix
        A = Phi @ Phi.T / 300 + 1e-3 * np.eye(300)
        u = np.linalg.solve(A, Phi @ psi.labels + 1e-3)
        assert state.outer.outer_weight == pytest.approx(u, rel=1e-8, abs=1e-9)
        used += bool(psi.keepsake().get("anchor_work"))
    assert used == 0 if smooth else used > 10


def test_threads_do_not_change_the_numbers(rng, monkeypatch):
    """Bit for bit: the blocks of work are the same."""
    monkeypatch.setattr(threads, "_cores", lambda: 3)
    network, feature = network_of("smooth torus", rng, width=300, samples=1100)
    results = []
    for many in (False, True):
        psi = dataclasses.replace(network.feature_map)
        fresh = dataclasses.replace(network, feature_map=psi)
        with threads.using_threads(many):
            results.append(last(VarProDescent(fresh, TAU), feature, 5 * TAU).feature)
    assert np.array_equal(*results)


def test_memory_is_planned(monkeypatch):
    """A network that does not fit is refused before it starts, with what would help."""
    monkeypatch.setattr(memory, "free_memory", lambda: 2**20)
    with pytest.raises(InputError, match=r"needs about .* GiB of memory and 0\.0 GiB are free"):
        train(load_config("sphere", ["network.width=100000"]))
    monkeypatch.undo()
    assert 2**20 < memory.free_memory() < 2**50


@pytest.mark.parametrize("divergence", [Unbiased(), Biased(), Entropy(), Power(1.5), Power(3.0)],
                         ids=lambda d: f"{d.name}-{d.power:g}")  # fmt: skip
def test_every_algorithm_lowers_the_risk_on_the_manifold(divergence, rng):
    for name in FEATURES:
        network, feature = network_of(name, rng, lam=1e-2, divergence=divergence)
        manifold = network.manifold
        for algorithm in (
            VarProDescent(network, TAU), two_timescale(network, TAU, 0.5), joint(network, TAU),
            GradientFlow(network, 1e-3),
        ):  # fmt: skip
            states = list(algorithm.iterate(algorithm.start(feature), [30 * TAU]))
            assert states[-1].t == 30 * TAU
            risk = [s.outer.risk for s in states]
            assert (np.diff(risk) < 1e-12).all()
            assert risk[-1] < risk[0]
            x = states[-1].feature
            assert manifold.distance(x, manifold.retract(x, 0 * x)).diagonal().max() < 1e-12
            if divergence.name == "entropy":
                assert (states[-1].outer.outer_weight > 0).all()


def test_fixed_features_stay(rng):
    network, feature = network_of("sphere", rng)
    algorithm = FixedFeatures(network, TAU)
    states = list(algorithm.iterate(algorithm.start(feature), [3 * TAU]))
    assert [s.t for s in states] == [0, TAU, 2 * TAU, 3 * TAU]
    assert states[-1].feature is states[0].feature
    assert states[-1].projections == 1


def test_two_timescales_converge_to_varpro():
    """The distance of the features at t = 1/8 falls like 1 / ratio.

    That is the order as long as one outer step changes little, ratio times the kernel's eigenvalues
    below 1; beyond, the outer layer forgets exponentially and the distance falls faster.
    """
    network, feature = matern(lam=1e-2)
    tau = 2.0**-14
    projected = last(VarProDescent(network, tau), feature, 0.125).feature
    ratios = [0.25, 0.5, 1, 2]
    errors = [
        np.abs(last(two_timescale(network, tau, r), feature, 0.125).feature - projected).max()
        for r in ratios
    ]
    assert fit(ratios, errors).order == pytest.approx(-1, abs=0.15)
    assert errors[-1] < 0.01
    many = last(two_timescale(network, tau, 64), feature, 0.125).feature
    assert np.abs(many - projected).max() < errors[-1] / 100


def test_a_rate_is_not_the_number_of_steps():
    """Ratio 2.5 is three outer steps of rate 5/6; joint descent has the rate tau / lambda."""
    network, _ = matern()
    assert two_timescale(network, TAU, 2.5).repeats == 3
    assert two_timescale(network, TAU, 2.5).rate == pytest.approx(5 / 6)
    assert joint(network, TAU).rate == pytest.approx(TAU / 1e-3)
    with pytest.raises(InputError, match="ratio"):
        two_timescale(network, TAU, 0.0)


@pytest.mark.parametrize("stages", [2, 3, 5, 20])
def test_stabilised_method(stages):
    """On y' = -y the stability polynomial has order 2 and is at most 1 up to its bound."""
    c = chebyshev(stages)

    def polynomial(z):  # D_j / y_0 of y' = z y with h = 1
        older, newer = 0.0 * z, c.rate[1] * z
        for j in range(2, stages + 1):
            F = c.rate[j] * z * (1 + newer) + c.first[j] * z
            older, newer = newer, c.mu[j] * newer + c.nu[j] * older + F
        return 1 + newer

    z = np.array([1e-2, 1e-3])
    errors = np.abs(polynomial(-z) - np.exp(-z))
    assert fit(z, errors).order == pytest.approx(3, abs=0.1)
    reach = 0.65 * (stages**2 - 1)
    assert np.abs(polynomial(-np.linspace(1e-3, reach, 2001))).max() <= 1


def test_gradient_flow_of_one_neuron_by_hand():
    """Descent with tiny steps tends to the flow; snapshots are met exactly; order 2 in tolerance."""
    network, feature = matern(width=16)
    times = [0.01, 0.05, 0.0625]
    flows = {}
    for tolerance in (1e-4, 1e-5, 1e-7):
        algorithm = GradientFlow(network, tolerance)
        states = list(algorithm.iterate(algorithm.start(feature), times))
        assert set(times) <= {s.t for s in states}
        flows[tolerance] = states[-1].feature
    fine = [last(VarProDescent(network, 2.0**-k), feature, 0.0625).feature for k in (13, 14)]
    extrapolated = 2 * fine[1] - fine[0]
    assert flows[1e-7] == pytest.approx(extrapolated, abs=1e-5)
    assert np.abs(flows[1e-5] - flows[1e-7]).max() < 1e-4


def test_the_flow_is_stable_where_descent_is_not():
    """lambda = 1e-5: 64 steps of 2^-6 blow up, the flow's risk falls in every step."""
    network, feature = matern(lam=1e-5, width=128)
    algorithm = GradientFlow(network, 1e-4)
    risk = [s.outer.risk for s in algorithm.iterate(algorithm.start(feature), [1.0])]
    assert (np.diff(risk) < 0).all()
    states = VarProDescent(network, 2.0**-6)
    risk = [s.outer.risk for s in states.iterate(states.start(feature), [1.0])]
    assert (np.diff(risk) > 0).any()


def test_refusals():
    network = matern()[0]
    for wrong in (lambda: VarProDescent(network, 0.0), lambda: GradientFlow(network, 0.0),
                  lambda: Network(CIRCLE, network.feature_map, Unbiased(), 0.0, network.masses),
                  lambda: Network(CIRCLE, network.feature_map, Unbiased(), 1.0, 0 * network.masses)):  # fmt: skip
        with pytest.raises(InputError):
            wrong()


def test_training_failure_is_a_sentence():
    """A velocity that is not finite stops the run with t and a hint."""
    network, feature = matern()
    algorithm = VarProDescent(network, 0.1)
    state = algorithm.start(feature)
    state.outer.velocity[0] = np.nan
    with pytest.raises(TrainingFailure, match="t = 0"):
        algorithm.step(state, 1.0)


# --- many ranks, and going on after an interruption ----------------------------------------------


MANY = {
    "data are split": ("sphere", "sampled", 30, 301),
    "data are split, iterations": ("sphere", "sampled", 261, 301),
    "data are split, recycled solver": ("smooth torus", "sampled", 260, 300),
    "neurons are split, samples": ("smooth torus", "sampled", 90, 41),
    "neurons are split, Fourier": ("smooth torus", "low-rank", 31, 0),
    "neurons are split, harmonics": ("sphere", "low-rank", 31, 0),
    "every rank has all": ("circle", "sampled", 31, 100),
}


def trained(name, algorithm, lam=1e-2):
    """All features and outer weights after a short training, on every rank."""
    which, kernel, width, samples = MANY[name]
    phi, teacher = FEATURES[which]
    rng = np.random.default_rng(3)
    feature = phi.manifold.sample(width, rng)
    atoms = place(teacher, 50, "random", rng)
    psi = feature_map(phi, kernel, samples, atoms, rng, width, dropped=1e-3)
    masses = rng.random(width) + 0.5
    network = Network(phi.manifold, psi, Unbiased(), lam, masses / masses.sum())
    training = algorithm(network)
    state = last(training, feature[network.share.rows], 10 * TAU)
    gathered = network.share.gathered
    return gathered(state.feature), gathered(state.outer.outer_weight), state.outer.risk


@pytest.mark.parallel([2, 3])
def test_same_trajectory_on_any_number_of_ranks(monkeypatch):
    """1e-10 against the same training by one rank alone: every map of MANY, three algorithms."""
    from mpi4py import MPI

    assert MPI.COMM_WORLD.size > 1
    algorithms = (
        lambda network: VarProDescent(network, TAU),
        lambda network: two_timescale(network, TAU, 1.0),
        lambda network: GradientFlow(network, 1e-3),
    )
    for name, algorithm in itertools.product(MANY, algorithms):
        together = trained(name, algorithm)
        with monkeypatch.context() as alone:
            alone.setattr(mpi, "_world", lambda: None)
            single = trained(name, algorithm)
        for a, b in zip(together, single, strict=True):
            assert a == pytest.approx(b, rel=1e-10, abs=1e-10), name


OVERRIDES = {
    "circle": ("relu-circle", []),
    "recycled": ("radial-torus", ["network.width=300", "network.samples=400"]),
    "hinges": ("sphere", ["network.width=301", "network.samples=400"]),
    "flow": ("matern-circle", ["network.algorithm=flow"]),
    "two-timescale": ("relu-circle", ["network.algorithm=two-timescale", "network.ratio=1.5"]),
    "entropy": ("sphere", ["problem.regulariser=entropy", "network.width=80",
                           "network.samples=100"]),
    "low-rank": ("sphere", ["network.kernel=low-rank"]),
}  # fmt: skip


@pytest.mark.parametrize("case", OVERRIDES)
def test_half_and_half_is_the_whole_bit_for_bit(case, tmp_path):
    """Checkpoints after every step; training is cut off in the middle and goes on from the last."""
    preset, changes = OVERRIDES[case]
    short = ["problem.t_end=0.15", "diffusion.snapshots=3"]
    config = load_config(preset, [*short, *changes, "diffusion.checkpoint=1e-9", "network.seed=5"])
    whole = train(config)["network"].to_dataset()
    middle = whole.time.values[len(whole.time) // 2]

    class Stop(Exception):
        pass

    def cut(state):
        if state.t >= middle:
            raise Stop

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(NetworkHistory, "__call__", cutting(NetworkHistory.__call__, cut))
        with pytest.raises(Stop):
            train(config, tmp_path)
    assert (tmp_path / "checkpoint.nc").exists()
    again = train(config, tmp_path)["network"].to_dataset()
    xr.testing.assert_identical(again, whole)


def cutting(call, cut):
    def record(self, state):
        cut(state)
        call(self, state)

    return record


def test_a_comparison_goes_on_with_its_network(tmp_path, monkeypatch):
    """Cut off twice in the network's half, the second time at once: no training starts again."""
    pytest.importorskip("dolfinx")
    config = load_config("relu-circle", [
        "problem.t_end=0.15", "diffusion.snapshots=3", "diffusion.cells=64",
        "diffusion.checkpoint=1e-9"])  # fmt: skip
    whole = compare(config)["network"].to_dataset()
    record = NetworkHistory.__call__
    for after in (9, 1):
        left = iter(range(after))

        def cut(state, left=left):
            if next(left, None) is None:
                raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(NetworkHistory, "__call__", cutting(record, cut))
            with pytest.raises(KeyboardInterrupt):
                compare(config, tmp_path)
        monkeypatch.setattr(VarProDescent, "start", lambda *_: pytest.fail("it starts again"))
    again = compare(config, tmp_path)["network"].to_dataset()
    xr.testing.assert_identical(again, whole)


def test_other_random_numbers_are_refused(tmp_path):
    """As if another version of numpy had begun the run."""
    config = load_config("matern-circle", ["problem.t_end=0.1", "network.width=16"])
    train(config, tmp_path)
    with Checkpoints(tmp_path, Job("train", config)) as checkpoints:
        group = checkpoints.stored("network")
        checkpoints.write("network", lambda: group.assign_attrs(draws="{}"))
    with pytest.raises(InputError, match="random numbers"):
        train(config, tmp_path)
