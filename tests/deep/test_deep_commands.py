"""``uf-diffusion deep``: the runs of an experiment, interrupted, continued, refused."""

import signal
import tomllib
from dataclasses import replace

import pytest
from processes import refusal
from small_deep import images

# isort: split
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from uf_diffusion import deep
from uf_diffusion.cli import main
from uf_diffusion.deep import commands
from uf_diffusion.deep.data import labelled
from uf_diffusion.deep.experiment import CIFAR, DIGITS, Experiment, Run, _method
from uf_diffusion.results.netcdf import read_result


def two_layers(key, passes):
    network = deep.TwoLayer(jax.random.normal(key, (8, 6)) / 3)
    return network, eqx.nn.State(network)


def data():
    x, labels = images(48, (6,), classes=3)
    part = labelled(x[:40], labels[:40], 127.0, 70.0, classes=3)
    return part, labelled(x[40:], labels[40:], 127.0, 70.0, classes=3)


@pytest.fixture
def small(monkeypatch, tmp_path):
    """Two layers on random inputs, in a folder of its own."""
    tiny = Experiment("digits", two_layers, 8, None, (8, 16), 4, 1, 2)
    monkeypatch.setattr(commands, "DIGITS", tiny)
    monkeypatch.setattr(commands, "digits", data)
    monkeypatch.setattr(commands, "CIFAR", replace(tiny, name="cifar"))
    monkeypatch.setattr(commands, "cifar10", lambda folder: data())
    monkeypatch.chdir(tmp_path)


def succeed(*words):
    with pytest.raises(SystemExit) as stopped:
        main([*words])
    assert stopped.value.code in (0, None)


def test_an_experiment_has_all_its_runs(small, tmp_path, capsys):
    succeed("deep", "digits")
    folder = tmp_path / "runs" / "deep-digits"
    said = capsys.readouterr().out
    assert "plan      Shampoo    4 runs" in said
    assert "4 epochs of each run take about" in said
    assert "mean (range) of 2 seeds over the last 4 epochs" in said
    assert {path.name for path in folder.iterdir()} == {
        "run.toml", "result.nc", "figure.png", "figure.pdf", "runs"}  # fmt: skip
    result = read_result(folder / "result.nc")
    assert dict(result.sizes) == {"method": 3, "batch": 2, "seed": 2, "epoch": 5}
    assert result.method.values.tolist() == ["VarPro", "SGD", "Shampoo"]
    assert tomllib.loads(result.attrs["config"])["batches"] == [8, 16]
    assert np.isfinite(result.accuracy.values).all()
    starts = result.accuracy.isel(epoch=0).values  # of a seed all methods begin alike
    assert (starts == starts[0, 0]).all()
    varpro, sgd, shampoo = result.minibatch_risk.isel(epoch=0).values  # before the first step
    assert (sgd == shampoo).all()
    assert (varpro < sgd).all()  # half of the way to the optimum of a convex function
    before = (folder / "runs" / "sgd-8-1.nc").stat().st_mtime_ns
    succeed("deep", "digits", "--quiet")
    assert (folder / "runs" / "sgd-8-1.nc").stat().st_mtime_ns == before
    assert capsys.readouterr().out == ""


def test_the_tests_mean_is_that_of_the_runs(small, tmp_path):
    """The joined arrays are those of the files of each run, at their places."""
    succeed("deep", "cifar", ".", "--batch", "16", "--seeds", "3", "--epochs", "2", "--out", "here")
    result = read_result(tmp_path / "here" / "result.nc")
    for method in ("VarPro", "SGD", "Shampoo"):
        for seed in range(3):
            run = read_result(tmp_path / "here" / "runs" / f"{method.lower()}-16-{seed}.nc")
            at = {"method": method, "batch": 16, "seed": seed}
            assert (result.minibatch_risk.sel(at).values == run.minibatch_risk.values).all()


def test_an_interrupted_run_goes_on_bit_for_bit(small, tmp_path, monkeypatch, capsys):
    """Ctrl-C in the middle of an epoch; the same command ends with the same numbers."""
    succeed("deep", "digits", "--quiet", "--out", "whole")
    usual, steps = deep.Training.step, [0]

    def counted(self, state):
        steps[0] += 1
        if steps[0] == 33:
            signal.raise_signal(signal.SIGINT)
        return usual(self, state)

    monkeypatch.setattr(deep.Training, "step", counted)
    with pytest.raises(SystemExit) as stopped:
        main(["deep", "digits", "--quiet", "--out", "halved"])
    assert stopped.value.code == 130
    assert "Interrupted at step 13 of varpro-8-1" in capsys.readouterr().err
    monkeypatch.setattr(deep.Training, "step", usual)
    assert (tmp_path / "halved" / "runs" / "varpro-8-1.checkpoint.nc").exists()
    succeed("deep", "digits", "--quiet", "--out", "halved")
    one, other = (read_result(tmp_path / n / "result.nc") for n in ("whole", "halved"))
    for name in ("accuracy", "minibatch_risk"):
        assert one[name].values.tobytes() == other[name].values.tobytes()
    assert not list((tmp_path / "halved" / "runs").glob("*.checkpoint.nc"))


MISTAKES = {
    "no epochs": (["digits", "--epochs", "0"], "must be positive"),
    "no seeds": (["digits", "--seeds", "0"], "must be positive"),
    "no inputs": (["digits", "--batch", "0"], "must be positive"),
    "a batch size twice": (["digits", "--batch", "8", "--batch", "8"], "can be given once"),
    "not a number": (["digits", "--batch", "many"], "Invalid value"),
    "no data": (["cifar", "nowhere"], "'nowhere' holds neither cifar-10-binary"),
    "no experiment": (["mnist"], "Unknown command"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_is_one_sentence(case, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    words, message = MISTAKES[case]
    assert message in refusal(["deep", *words], capsys).err
    assert not (tmp_path / "runs").exists()


def test_other_settings_are_refused_or_replaced(small, tmp_path, capsys):
    one = ["deep", "digits", "--quiet", "--batch", "8", "--seeds", "1", "--out", "here"]
    succeed(*one, "--epochs", "1")
    again = [*one, "--epochs", "2"]
    assert "holds a run of other settings" in refusal(again, capsys).err
    succeed(*again, "--force")
    assert read_result(tmp_path / "here" / "result.nc").sizes["epoch"] == 3


def test_a_run_that_diverges_ends_early_and_is_named(small, tmp_path, monkeypatch, capsys):
    """The others are drawn all the same."""

    def steep(key, passes):
        network, state = two_layers(key, passes)
        return eqx.tree_at(lambda n: n.omega, network, network.omega * 1e20), state

    monkeypatch.setattr(commands, "DIGITS", replace(commands.DIGITS, network=steep))
    said = refusal(["deep", "digits", "--seeds", "1", "--batch", "8", "--out", "here"], capsys)
    assert "Some runs left the finite numbers, and end early: varpro-8-0" in said.err
    result = read_result(tmp_path / "here" / "result.nc")
    assert np.isnan(result.minibatch_risk.values[0, ..., -1]).all()
    assert (tmp_path / "here" / "figure.png").exists()


@pytest.mark.parametrize("name", ["VarPro", "SGD"])
def test_the_rate_is_halved_in_the_last_epochs(name):
    method = _method(name, 0.064, 3)
    gradient = (jnp.ones(2), jnp.zeros((2, 1)))
    state, rates = method.optimiser.init(gradient), []
    for k in range(5):
        updates, state = method.optimiser.update((jnp.ones(2), gradient[1]), state)
        momentum = sum(0.9**j for j in range(k + 1)) if name == "SGD" else 1
        rates.append(-float(updates[0][0]) / momentum)
    assert rates == pytest.approx([0.064] * 3 + [0.032] * 2)


def test_the_settings_are_the_papers():
    """100 epochs, then 10 at half the rate; the rate is 64e-3, tenfold for Shampoo."""
    assert CIFAR.batches == (64, 128, 256, 512, 1024)
    assert (CIFAR.epochs, CIFAR.slower, CIFAR.features) == (110, 10, 64)
    assert len(CIFAR.runs) == 15
    assert len(DIGITS.runs) == 75
    run = Run(CIFAR, "VarPro", 64, 0)
    inputs = labelled(np.zeros((50_000, 1)), np.zeros(50_000))
    assert run.training(inputs).epoch == 782
    assert run.training(inputs).method.momentum == 0.5
    assert run.training(inputs).method is Run(CIFAR, "VarPro", 64, 1).training(inputs).method
