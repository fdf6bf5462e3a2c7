"""What a result says of itself when it is read: nothing where it is sound, what is wrong elsewhere."""

from mpi4py import MPI  # noqa: F401 (before DOLFINx)

import re

import configured
import numpy as np
import pytest

from uf_diffusion.runs.reading import load_config
from uf_diffusion.runs.setup import Setup
from uf_diffusion.runs.warnings_after import findings
from uf_diffusion.runs.warnings_before import cautions


def network(*overrides):
    """A small run to t = 1/4 with an injective kernel."""
    return load_config(
        "matern-circle",
        ["network.width=128", "network.teacher_width=256", "diffusion.cells=512",
         "problem.t_end=0.25", "diffusion.snapshots=2", *overrides],
    )  # fmt: skip


@pytest.fixture(scope="module")
def compared():
    config = network("network.lambda=1e-2", "network.step=0.01")
    return configured.compare(config)


def test_a_good_result_gives_no_findings(compared):
    assert findings(compared) == []


@pytest.mark.parametrize("algorithm", ["two-timescale", "joint", "fixed"])
def test_outer_weights_that_no_step_projects_are_no_finding(algorithm):
    """Only the first ones are optimal; how far the others are from that is no fault."""
    config = network("network.lambda=1e-2", "network.step=0.001", f"network.algorithm={algorithm}")
    tree = configured.train(config)
    group = tree["network"]
    assert group.attrs["projections"] == (algorithm == "fixed")
    assert (group.attrs["projection_residual"] > 1e-6) == (algorithm != "fixed")
    assert not any("residual" in s.lower() for s in findings(tree))


def test_rising_risk_is_found():
    config = network("network.step=0.05")
    (sentence,) = findings(configured.train(config))
    assert re.match(
        r"Steps in which the network's risk rose: \d, not none; network.step is too large", sentence
    )


def test_unseen_harmonics_and_truncation_are_found():
    config = load_config(
        "relu-circle",
        ["problem.t_end=0.05", "diffusion.snapshots=2", "diffusion.cells=128",
         "network.kernel=low-rank", "network.truncation=100.0"],
    )  # fmt: skip
    truncated, unseen = findings(configured.compare(config))
    assert "network.truncation" in truncated
    assert unseen == cautions(Setup(config))[0]


def test_a_front_that_forms_during_a_run_is_found():
    """Both densities are resolved at the start; the front at t = 0.25 is not."""
    config = load_config("sphere", ["problem.t_end=0.5", "diffusion.cells=5120"])
    assert cautions(Setup(config), trained=False) == []
    result = configured.solve(config)
    (sentence,) = findings(result)
    found = re.match(
        r"The mesh leaves an error of the density of about (\S+) in L1, and of (\S+) at a place where "
        r"it is (\S+) \(t = \S+\): use more diffusion.cells\.$", sentence,
    )  # fmt: skip
    assert found is not None, sentence
    error, most, there = map(float, found.groups())
    assert 0.001 < error < 0.1
    assert most > 0.2 * there
    d = result["diffusion"]
    assert d.mesh_error.values[0] < 0.2 * d.mesh_error.values[-1]


def spoilt(result, group, variable, change):
    """A copy of a result with another variable."""
    copy = result.copy(deep=True)
    copy[group].dataset = copy[group].to_dataset().assign(
        {variable: change(copy[group][variable].copy())}
    )  # fmt: skip
    return copy


def with_last(value):
    def change(series):
        series[-1] = value
        return series

    return change


@pytest.mark.parametrize(
    ("group", "variable", "change", "words"),
    [
        (
            "diffusion",
            "mass",
            with_last(1 + 1e-6),
            "1e-06, not at most 1e-10; the linear solver is inexact",
        ),
        ("diffusion", "risk", with_last(5.0), "Risk of the diffusion: largest rise"),
        ("diffusion", "max_ratio", with_last(50.0), "Maximum principle"),
        ("diffusion", "min_ratio", with_last(1e-9), "Maximum principle"),
        ("diffusion", "density", with_last(np.nan), "not finite: 1, not none; do not use density"),
        (
            "network",
            "outer_weight",
            with_last(np.inf),
            "not finite: 1, not none; do not use outer_weight",
        ),
        ("comparison", "w2_diffusion", with_last(np.nan), "W2 to the diffusion was not"),
    ],
)
def test_what_is_wrong_with_a_result_is_found(compared, group, variable, change, words):
    first, *others = findings(spoilt(compared, group, variable, change))
    assert words in first
    assert all("nan" in sentence for sentence in others)  # what follows from a NaN


def test_an_inexact_projection_and_lost_snapshots_are_found(compared):
    copy = compared.copy(deep=True)
    copy["network"].attrs["projection_residual"] = 1e-5
    (sentence,) = findings(copy)
    assert "Residual of the outer weights, relative: 1e-05, not at most 1e-10" in sentence
    config = network(
        "network.lambda=1e-2", "diffusion.snapshots=[0.0, 0.01, 0.25]", "network.step=0.125"
    )
    (*_, sentence) = findings(configured.train(config))
    assert sentence.startswith("There are 2 snapshots of the network, not 3")
