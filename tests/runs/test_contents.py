"""A result that is not as a run writes it is refused in one sentence that names what is wrong."""

import numpy as np
import pytest
import xarray as xr
from processes import refusal

pytest.importorskip("dolfinx")

import configured

from uf_diffusion.core.errors import InputError
from uf_diffusion.library.calls import load
from uf_diffusion.results.netcdf import write_result
from uf_diffusion.runs.contents import GROUPS, require_contents
from uf_diffusion.runs.reading import load_config

SMALL = ["problem.t_end=0.1", "diffusion.cells=48", "diffusion.snapshots=3", "network.width=8",
         "network.samples=16", "network.teacher_width=16", "network.step=0.05"]  # fmt: skip
SIDES = ("diffusion", "network", "comparison", "timings")
CASES = [(group, name) for group in SIDES for name in GROUPS[group].variables]


@pytest.fixture(scope="module")
def config():
    return load_config("relu-circle", SMALL)


@pytest.fixture(scope="module")
def whole(config):
    return configured.compare(config)


def changed(whole, group, change):
    """A copy with another group."""
    tree = whole.copy()
    tree[group] = xr.DataTree(change(whole[group].to_dataset()))
    return tree


def test_a_result_of_a_run_is_accepted(whole, config, tmp_path):
    require_contents(whole, config, complete=True)
    write_result(tmp_path / "result.nc", whole)
    assert load(tmp_path).times[-1] == pytest.approx(0.1)
    spectrum = configured.spectrum(config)
    assert {"kernel", "spectrum"} <= set(spectrum.children)
    require_contents(spectrum, config, complete=True)


@pytest.mark.parametrize("group, name", CASES)
def test_each_variable_is_needed_in_its_shape_and_type(group, name, whole, config):
    """Deleted, of another type, with a dimension more; a tree that a user made may lack it."""
    lacking = changed(whole, group, lambda data: data.drop_vars(name))
    with pytest.raises(InputError, match=rf"^/{group} lacks '{name}'\.$"):
        require_contents(lacking, config, complete=True)
    require_contents(lacking, config, complete=False)
    other = np.arange if name == "entry" else lambda count: np.ones(count, complex)
    for change in (
        lambda data: data.assign({name: (data[name].dims, other(data[name].size).reshape(data[name].shape))}),
        lambda data: data.drop_vars(name).assign({name: data[name].variable.expand_dims("more")}),
    )[: 1 if name == "entry" else 2]:  # fmt: skip
        with pytest.raises(InputError, match=rf"^/{group}/{name} must "):
            require_contents(changed(whole, group, change), config, complete=False)


def with_value(name, value, place=-1):
    def change(data):
        values = data[name].values.astype(float)
        values[place] = value
        return data.assign({name: (data[name].dims, values)})

    return change


WRONG = {
    "time not a number": ("network", with_value("time", np.nan), "time must be finite"),
    "snapshots back in time": ("diffusion", with_value("snapshot_time", 0.0), "must increase from 0"),
    "time before 0": ("comparison", with_value("time", -1.0, 0), "must increase from 0"),
    "node elsewhere": ("diffusion", with_value("node_position", 2.0), "not on the manifold"),
    "feature infinite": ("network", with_value("feature", np.inf), "feature must be finite"),
    "feature at the centre": ("network", with_value("feature", 0.0), "not on the manifold"),
    "mass negative": ("network", with_value("neuron_mass", -0.1), "must not be negative"),
    "no teacher": ("diffusion", with_value("teacher", 0.0, ...), "nor 0 throughout"),
    "more snapshots": ("comparison", lambda data: data.isel(snapshot=[0, 1]), "2 in /comparison"),
    "no snapshots": ("network", lambda data: data.isel(snapshot=[]), "is empty"),
    "other coordinates": ("diffusion", lambda data: data.isel(ambient=[0]), "must have 2 coordinates"),
    "a word as a number": ("network", lambda data: data.assign_attrs(risk_rises="many"), "must be a number"),
    "three slacks": ("diffusion", lambda data: data.assign_attrs(slack=np.ones(3)), "must be a number"),
    "half of what is not seen": ("comparison", lambda data: data.assign_attrs(unseen_teacher=""), "must be a number"),
    "wrong cells": ("diffusion", lambda data: data.assign(cell=(("cell", "corner"), [[0, 1, 48]])),
                    "three numbers of nodes"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_everything_is_measured_with_must_be_sound(case, whole, config):
    group, change, hint = WRONG[case]
    with pytest.raises(InputError, match=hint):
        require_contents(changed(whole, group, change), config, complete=True)


def test_densities_may_have_any_values(whole, config):
    """The checks of the report pronounce on them."""
    tree = changed(whole, "diffusion", with_value("density", np.nan))
    require_contents(tree, config, complete=True)


ATTRIBUTES = {
    "no configuration": ({"config": None}, "its configuration is missing"),
    "not TOML": ({"config": "x ="}, "not valid TOML"),
    "no version": ({"version": None}, "'version' must be a text"),
    "seconds in words": ({"wall_seconds": "long"}, "'wall_seconds' must be a number"),
    "no date": ({"date": "yesterday"}, "not a date: 'yesterday'"),
    "another manifold": ({"config": "[problem]\nmanifold = 'sphere'\n"}, "must have 3 coordinates"),
    "numbers as warnings": ({"warnings": 3}, "'warnings' must be a text"),
}


@pytest.mark.parametrize("case", ATTRIBUTES)
def test_commands_refuse_wrong_attributes(case, whole, tmp_path, capsys):
    attributes, hint = ATTRIBUTES[case]
    tree = whole.copy()
    tree.attrs = {k: v for k, v in (whole.attrs | attributes).items() if v is not None}
    write_result(tmp_path / "result.nc", tree)
    for words in (["report"], ["open"], ["export"]):
        more = [str(tmp_path / "a.csv")] * (words == ["export"])
        said = refusal([*words, str(tmp_path), *more], capsys).err
        assert said.startswith(f"uf-diffusion: '{tmp_path / 'result.nc'}' is not a result of")
        assert hint in said


def test_a_mesh_that_is_not_the_results_is_noticed(whole, tmp_path, capsys):
    """Without building a mesh of 10^12 cells."""
    tree = whole.copy()
    tree.attrs["config"] = whole.attrs["config"].replace("cells = 48", "cells = 1000000000000")
    write_result(tmp_path / "result.nc", tree)
    said = refusal(["export", str(tmp_path), str(tmp_path / "a.vtu")], capsys).err
    assert "one of 1000000000000 nodes, and /diffusion has 48" in said
