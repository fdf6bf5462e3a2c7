"""What a notebook shows of values: one line, or a table of the configuration."""

import tomllib
import xml.etree.ElementTree as ElementTree

import configured
import pytest

from uf_diffusion.runs.reading import config_from_toml, load_config

SMALL = ["problem.t_end=0.0625", "network.width=16", "network.samples=40", "network.step=0.0078125",
         "network.teacher_width=36", "diffusion.cells=64", "diffusion.snapshots=3"]  # fmt: skip


def table(config):
    """Rows by section: key, value, and whether it is bold; the HTML is well-formed."""
    root = ElementTree.fromstring(config._repr_html_())
    rows, section = {}, None
    for row in root.iter("tr"):
        if row.find("th") is not None:
            section = row.find("th").text.strip("[]")
        else:
            key, value = row.findall("td")
            rows[section, key.text] = ("".join(value.itertext()), value.find(".//b") is not None)
    return root.find("caption").text, rows


def test_configuration_is_a_table_of_every_key():
    """The same keys and values as run.toml; bold is what differs from the defaults."""
    config = load_config("sphere", ["network.width=99"])
    name, rows = table(config)
    assert name == "sphere"
    again = config_from_toml(
        "\n".join(
            f"[{section}]\n"
            + "\n".join(f"{k} = {v}" for (s, k), (v, _) in rows.items() if s == section)
            for section in ("problem", "diffusion", "network")
        )
    )
    assert again == config
    keys = tomllib.loads(config.to_toml())
    assert list(rows) == [(section, key) for section in keys for key in keys[section]]
    assert rows["network", "width"] == ("99", True)
    assert rows["network", "lambda"] == ("0.001", False)
    assert not any(bold for _, bold in table(config_from_toml(""))[1].values())


def test_what_a_user_writes_is_escaped():
    config = config_from_toml("", ["problem.teacher={kind='<script>&', gamma=1}"], name="<b>")
    text = config._repr_html_()
    assert "<script>" not in text
    name, rows = table(config)
    assert name == "<b>"
    assert rows["problem", "teacher"][0] == '{kind = "<script>&", gamma = 1}'


def test_configuration_in_one_line():
    shown = repr(load_config("relu-circle", SMALL))
    assert shown == (
        "Config(name=relu-circle, manifold=circle, dim=1, regulariser=unbiased, t_end=0.0625, "
        "features=relu, width=16, regularisation=0.001)"
    )


def test_states_and_networks_show_no_arrays():
    """One line each, with what the state itself says."""
    training = configured.training(load_config("relu-circle", SMALL))
    for state in training.states():
        pass
    assert repr(state) == (
        f"NetworkState(t=0.0625, step=8, risk={state.outer.risk:.6g}, neurons=16, "
        f"projections={state.projections})"
    )
    assert "neurons=16" in repr(training.network)
    assert state.risk == state.outer.risk
    assert repr(training) == (
        f"Training(network={training.network!r}, algorithm=VarProDescent, t_end=0.0625)"
    )
    assert "array" not in repr(training) + repr(state)


def test_diffusion_shows_no_arrays():
    pytest.importorskip("dolfinx")
    solver = configured.evolution(load_config("relu-circle", SMALL))
    assert repr(solver) == (
        "UltraFastDiffusion(manifold=Circle(dim=1), nodes=64, scheme=sdirk2, rtol=0.0001, ranks=1)"
    )
    for state in solver.iterate(0.0625):
        pass
    assert repr(state).startswith(f"DiffusionState(t=0.0625, step={state.step}, mass=1, risk=")
    assert "array" not in repr(state)
