"""A tolerance instead of cells: what it chooses, keeps, stores and refuses."""

import dataclasses
import re
import signal

import numpy as np
import pytest

pytest.importorskip("dolfinx")
from mpi4py import MPI

import uf_diffusion as uf
from uf_diffusion.core.errors import InputError, Interrupted
from uf_diffusion.problem.exact import QuantileHeatFlow
from uf_diffusion.problem.manifolds import Circle
from uf_diffusion.reports.text import print_summary
from uf_diffusion.runs import jobs, resources
from uf_diffusion.runs.config import Config
from uf_diffusion.runs.reading import config_from_toml, load_config
from uf_diffusion.runs.setup import Setup

CIRCLE, TIMES = Circle(), [0.0, 0.1, 0.5, 2.0]
EXACT = QuantileHeatFlow(CIRCLE)
FLOW = uf.Problem(CIRCLE, teacher=uf.Uniform(), initial=EXACT)
SPHERE = uf.Problem(uf.Sphere(2), teacher=uf.VonMisesFisher(kappa=2.0), initial=uf.Uniform())
X = CIRCLE.sample(20_000, np.random.default_rng(0))


@pytest.mark.parametrize("tolerance", [1e-2, 1e-4])
def test_the_true_error_on_the_circle_is_within_the_tolerance(tolerance):
    """Against the solution in closed form, as a function, at every snapshot."""
    found = uf.solve(FLOW, until=2.0, snapshots=TIMES, tolerance=tolerance)
    for t, values in zip(TIMES, found.density, strict=True):
        error = np.abs(found.grid.interpolate(values, X) - EXACT.at(t)(X)).mean()
        assert error * CIRCLE.volume <= tolerance
    d = found.group("diffusion")
    estimate = (d.mesh_error + d.time_error).values.max()
    assert tolerance / 100 < estimate <= tolerance  # and not much more work than that takes
    assert found.grid.node_count == d.sizes["node"]


def test_the_true_error_on_a_small_sphere_is_within_the_tolerance():
    """Against a solution with other elements, steps and scheme, whose error is 1e-3."""
    found = uf.solve(SPHERE, until=0.5, snapshots=[0.0, 0.1, 0.5], tolerance=2e-2,
                     cautious=False)  # fmt: skip
    exact = uf.solve(SPHERE, until=0.5, snapshots=[0.0, 0.1, 0.5], cells=1280, degree=2,
                     scheme="sdirk3", rtol=1e-4, cautious=False)  # fmt: skip
    x = SPHERE.manifold.sample(20_000, np.random.default_rng(0))
    for a, b in zip(found.density, exact.density, strict=True):
        error = np.abs(found.grid.interpolate(a, x) - exact.grid.interpolate(b, x)).mean()
        assert error * SPHERE.manifold.volume <= 2e-2 + 1e-3
    assert found.grid.cell_count < 20480


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ({"tolerance": -1e-3}, "must be 0 or lie between 1e-10 and 1, not -0.001"),
        ({"tolerance": float("nan")}, "diffusion.tolerance must be a finite number"),
        ({"tolerance": 1.0}, "must be 0 or lie between"),
        ({"tolerance": 1e-3, "cells": 512}, "leave diffusion.cells out, or the tolerance"),
        ({"tolerance": 1e-3, "rtol": 1e-3}, "leave diffusion.rtol out, or the tolerance"),
        ({"tolerance": 1e-3, "degree": 2}, "leave diffusion.degree out, or the tolerance"),
        ({"tolerance": 1e-3, "step": 0.1}, "leave diffusion.step out, or the tolerance"),
        ({"tolerance": 1e-3, "mesh": "sphere.msh"}, "leave diffusion.mesh out, or the tolerance"),
    ],
)
def test_a_tolerance_that_makes_no_sense_is_refused(keys, sentence):
    with pytest.raises(InputError, match=re.escape(sentence)):
        Config().changed(diffusion=keys)


def test_other_limits_are_refused():
    for limit in ("constrained", "mean-field"):
        with pytest.raises(InputError, match=r"is for problem\.limit = "):
            Config().changed(diffusion={"tolerance": 1e-3}, problem={"limit": limit})


def test_a_tolerance_takes_the_place_of_what_a_preset_chooses():
    config = load_config("sphere", ["diffusion.tolerance=1e-2"])
    assert config.diffusion.cells == Config().diffusion.cells
    assert "cells =" not in config.to_toml()
    assert config_from_toml(config.to_toml()) == dataclasses.replace(config)
    with pytest.raises(InputError, match=r"leave diffusion\.cells out"):
        load_config("sphere", ["diffusion.tolerance=1e-2", "diffusion.cells=5120"])


def test_a_tolerance_beyond_the_memory_is_refused(monkeypatch):
    monkeypatch.setattr(resources, "free_memory", lambda: 2**20)
    with pytest.raises(InputError, match=r"tolerance = 1e-08 cannot be reached: it takes about \d"):
        uf.solve(FLOW, until=0.5, snapshots=2, tolerance=1e-8, cautious=False)


def test_a_run_that_is_stopped_goes_on_with_the_mesh_that_it_has_chosen(tmp_path, capsys):
    """With the same densities in the end; the summary says what has been chosen."""
    config = load_config("relu-circle", ["diffusion.tolerance=1e-3", "problem.t_end=0.5",
                                         "diffusion.snapshots=3"])  # fmt: skip
    whole = jobs.solve(Setup(config), cautious=False)

    def stop(state):
        if state.step == 9:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(Interrupted):
        jobs.solve(Setup(config), tmp_path, [stop], cautious=False)
    rest = []
    found = jobs.solve(Setup(config), tmp_path, [rest.append], cautious=False)
    assert rest[0].step == 10
    a, b = (r.group("diffusion") for r in (found, whole))
    assert np.array_equal(a.density, b.density)
    assert a.attrs == b.attrs
    assert found.grid.node_count == a.sizes["node"]
    print_summary(found, tmp_path)
    assert f"chosen    {a.attrs['cells']} cells of degree 3, sdirk2" in capsys.readouterr().out


@pytest.mark.parallel([2])
def test_the_same_choice_on_any_number_of_ranks():
    found = uf.solve(SPHERE, until=0.1, snapshots=2, tolerance=5e-2, cautious=False)
    size = found.group("diffusion").attrs["cells"] if MPI.COMM_WORLD.rank == 0 else 0
    assert MPI.COMM_WORLD.bcast(size) == 180
