"""problem.limit = "auto": which equation is taken, for which features and inputs, and what is said."""

import configured
import numpy as np
import pytest

import uf_diffusion as uf
from uf_diffusion.cli import main
from uf_diffusion.core.errors import InputError
from uf_diffusion.runs.limit import settled_limit, why
from uf_diffusion.runs.reading import load_config
from uf_diffusion.runs.setup import Setup

SMALL = ["problem.limit=auto", "problem.t_end=0.0625", "diffusion.cells=64", "diffusion.snapshots=2",
         "network.width=16", "network.samples=128", "network.teacher_width=32"]  # fmt: skip


def chosen(source, *settings):
    return settled_limit(Setup(load_config(source, [*SMALL, *settings])))


@pytest.mark.parametrize(
    ("source", "settings", "limit"),
    [
        ("relu-circle", [], "constrained"),
        ("matern-circle", [], "unconstrained"),
        ("radial-torus", [], "unconstrained"),
        ("sphere-9", [], "unconstrained"),
        ("sphere-9", ["network.features=relu"], "constrained"),
        ("relu-circle", ["network.features=activation", "network.activation=erf"], "constrained"),
        ("relu-circle", ["network.features=activation", "network.activation=exp"], "unconstrained"),
        ("relu-circle", ["network.features=activation", "network.bias=true"], "mean-field"),
        ("relu-circle", ["network.inputs=gaussian"], "constrained"),
        ("relu-circle", ["network.inputs=sphere"], "constrained"),
        ("relu-circle", ["network.inputs=cube"], "constrained"),
    ],
)
def test_the_limit_of_features_and_inputs(source, settings, limit):
    setup = chosen(source, *settings)
    assert setup.config.problem.limit == limit
    said = why(setup)
    assert said.endswith(".") and ("mean-field" in said) == (limit == "mean-field")


def test_the_measured_kernel_of_a_law_has_its_space():
    """The table of eigenvalues is that of the inputs; what is seen is that of the limit."""
    seen = chosen("relu-circle", "network.inputs=cube").seen
    assert seen.inputs == 128 and seen.even_and_linear
    assert seen.null_space == "odd degrees >= 3"


def test_inputs_of_ones_own_have_no_known_space(tmp_path):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).standard_normal((50, 2)))
    setup = chosen("relu-circle", f"network.inputs={tmp_path / 'x.npy'}")
    assert setup.config.problem.limit == "mean-field"


@pytest.mark.parametrize("activation", ["tanh", "exp"])
def test_compare_says_which_it_took(activation, tmp_path, capsys):
    """On the command line; run.toml and the result hold the equation that was solved."""
    pytest.importorskip("dolfinx")
    words = [f"--set={s}" for s in (*SMALL, "network.features=activation",
                                    f"network.activation={activation}")]  # fmt: skip
    with pytest.raises(SystemExit) as stopped:
        main(["compare", "relu-circle", *words, "--out", str(tmp_path / "run")])
    assert stopped.value.code in (0, None)
    limit = {"tanh": "constrained", "exp": "unconstrained"}[activation]
    space = {"tanh": "odd functions", "exp": "all functions"}[activation]
    assert f"these features see {space}" in capsys.readouterr().out
    assert f'limit = "{limit}"' in (tmp_path / "run" / "run.toml").read_text()
    found = uf.load(tmp_path / "run")
    assert found.config.problem.limit == limit
    assert found.tree["comparison"].attrs["seen_space"] == space


def test_auto_in_python_is_the_equation_by_name():
    """The same density as with the limit's own name, for features with and without parity."""
    pytest.importorskip("dolfinx")
    problem = uf.Problem(uf.Circle(), teacher=uf.Bumps(gamma=5.0))
    options = {"until": 0.05, "cells": 64, "snapshots": 2, "cautious": False}
    for phi, limit in ((uf.Activation("tanh"), "constrained"), (uf.Laplace(), "unconstrained")):
        auto = uf.solve(problem, limit="auto", features=phi, **options)
        known = {} if limit == "unconstrained" else {"features": phi}
        named = uf.solve(problem, limit=limit, **known, **options)
        assert auto.config.problem.limit == limit
        assert (auto.density == named.density).all()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["network.features=activation", "network.activation=tanhh"], "did you mean 'tanh'"),
        (["network.bias=1"], "network.bias must be true or false"),
        (["network.features=activation", "network.scale=-2"], "network.scale must be positive"),
        (["network.features=activation", "network.slope=nan"], "network.slope"),
        (["diffusion.degree=2"], "'constrained' needs diffusion.degree = 1"),
        (["diffusion.scheme='rodas4'"], "'rodas4' needs problem.limit = 'unconstrained'"),
        (["problem.limit=constrained", "network.features=activation", "network.activation=elu"],
         "use 'unconstrained'"),
        (["problem.limit=constrained", "network.features=activation", "network.bias=true"],
         "use 'mean-field'"),
        (["problem.limit=constrained", "problem.regulariser=power", "problem.power=3"],
         "power 2 or less"),
    ],
)  # fmt: skip
def test_mistakes(settings, said):
    with pytest.raises(InputError, match=said):
        configured.evolution(chosen("relu-circle", *settings).config)


def test_a_limit_of_another_network_gets_a_caution():
    pytest.importorskip("dolfinx")
    problem = uf.Problem(uf.Circle(), teacher=uf.Bumps(gamma=2.0))
    small = {"until": 0.05, "snapshots": 2, "cautious": False}
    net = {"width": 16, "samples": 64, "teacher_width": 32, "step": 0.025}
    network = uf.train(problem, uf.Activation("gelu"), regularisation=1e-2, **net, **small)
    odd = uf.solve(problem, limit="auto", features=uf.Activation("tanh"), cells=64, **small)
    with pytest.warns(uf.Caution, match="odd functions, while those of the network see even and"):
        assert "odd functions" in " ".join(uf.compare(network, odd).warnings)
    near = {"features": uf.Activation("gelu"), "network": {"regularisation": 1e-3, "samples": 64}}
    other = uf.solve(problem, limit="mean-field", cells=64, **near, **small)
    with pytest.warns(uf.Caution, match=r"network\.lambda = 0\.001, while the network has 0\.01"):
        uf.compare(network, other)
    near["network"]["regularisation"] = 1e-2
    own = uf.solve(problem, limit="mean-field", cells=64, **near, **small)
    assert not uf.compare(network, own).warnings
