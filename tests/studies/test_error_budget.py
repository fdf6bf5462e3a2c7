"""The error budget of a comparison."""

import numpy as np
import pytest

pytest.importorskip("dolfinx")
import configured
from configured import compare_with_budget

from uf_diffusion.cli import main
from uf_diffusion.core.errors import InputError, RunFailure
from uf_diffusion.distances.energy_distances import energy_distance
from uf_diffusion.grids.built_in import grid_on
from uf_diffusion.problem.manifolds import Circle, FlatTorus
from uf_diffusion.reports.html import report
from uf_diffusion.results.netcdf import read_result
from uf_diffusion.runs.reading import load_config
from uf_diffusion.studies import cache as runs
from uf_diffusion.studies import error_budget as budget
from uf_diffusion.studies.error_budget import ladder

SMALL = ["network.width=32", "network.samples=100", "network.teacher_width=200",
         "network.step=0.015625", "problem.t_end=0.25", "diffusion.snapshots=3",
         "diffusion.cells=64"]  # fmt: skip


@pytest.fixture(autouse=True)
def small_references(monkeypatch):
    monkeypatch.setattr(budget, "MEAN_FIELD", (900, 900))
    monkeypatch.setattr(budget, "TEACHER", 900)


def config(source="relu-circle", *overrides):
    return load_config(source, [*SMALL, *overrides])


def test_entries_bound_the_whole_distance(tmp_path):
    """By the triangle inequality, in both metrics; and no entry is more than its own change."""
    b = compare_with_budget(config(), tmp_path)["budget"].to_dataset()
    assert list(b.source.values) == [
        "training step", "sampled inputs", "teacher's neurons", "width", "regularisation",
        "what is not seen", "diffusion's time step", "diffusion's mesh",
    ]  # fmt: skip
    for part, whole in ((b.contribution, b.total), (b.contribution_w2, b.total_w2)):
        assert (part.values >= 0).all()
        assert (part.values.sum(axis=0) >= whole.values - 1e-12).all()
    at_start = dict(zip(b.source.values, b.contribution.values[:, 0], strict=True))
    assert at_start["training step"] < 1e-7  # nothing has moved: the same neurons
    assert at_start["sampled inputs"] < 1e-7
    assert at_start["width"] > 0.01
    assert b.time.values == pytest.approx([0, 0.125, 0.25])


def test_entry_is_the_distance_of_two_networks(tmp_path):
    """The entry "width", computed once more by hand."""
    result = compare_with_budget(config("matern-circle", "network.placement=random"), tmp_path)
    b = result["budget"].to_dataset()
    settings = ["network.algorithm=flow", "network.rtol=1e-5", "network.teacher_placement=even",
                "network.teacher_width=900"]  # fmt: skip
    narrow, wide = (
        configured.train(config("matern-circle", *settings, *more))["network"].to_dataset()
        for more in (
            ["network.placement=random"],
            ["network.placement=even", "network.width=900"],
        )
    )
    expected = energy_distance(
        narrow.feature.values[-1], wide.feature.values[-1], narrow.neuron_mass.values,
        wide.neuron_mass.values, Circle(),
    )  # fmt: skip
    assert b.contribution.sel(snapshot=-1).values[list(b.source.values).index("width")] == (
        pytest.approx(expected, rel=1e-6)
    )
    assert "sampled inputs" not in b.source.values
    assert "what is not seen" not in b.source.values


def test_torus_has_a_metric(tmp_path):
    """Also the mesh has an entry, which the wrapped difference's may lack, and the bound holds."""
    settings = ["network.width=32", "network.samples=100", "network.teacher_width=200",
                "problem.t_end=0.125", "diffusion.cells=288", "network.profile=gaussian"]  # fmt: skip
    wanted = load_config("radial-torus", [*settings, "diffusion.snapshots=3"])
    result = compare_with_budget(wanted, tmp_path)
    b = result["budget"].to_dataset()
    assert (b.contribution.sel(snapshot=slice(1, None)).values > 0).all()
    assert (b.contribution.sum("source") >= b.total).all()
    assert "Energy distance on a product of circles" in report(result)
    network, d = (result[name].to_dataset() for name in ("network", "diffusion"))
    fine = FlatTorus(2, 4.0).even(100**2)
    last = grid_on(FlatTorus(2, 4.0), 288).interpolate(d.density.values[-1], fine)
    radius = 2 / np.pi
    circles = [radius * np.hstack([np.cos(x / radius), np.sin(x / radius)])
               for x in (network.feature.values[-1], fine)]  # fmt: skip
    by_hand = energy_distance(*circles, network.neuron_mass.values, last / last.sum())
    assert b.total.values[-1] == pytest.approx(by_hand, rel=1e-3)
    near = radius * np.array([[np.cos(x / radius), np.sin(x / radius)] for x in (-1.9, 1.9)])
    assert np.linalg.norm(near[0] - near[1]) == pytest.approx(0.2, rel=1e-2)


def of_linear(values):
    """Fourier coefficients, k = 1 to 100, of a density linear between n even angles from -pi on."""
    n, k = len(values), np.arange(1, 101)
    return np.fft.fft(values)[k] / values.sum() * np.sinc(k / n) ** 2 * (-1.0) ** k


def test_mesh_and_time_step_are_the_errors_of_the_functions(tmp_path):
    """Both entries by Fourier series: of the atoms at the nodes they would be a hundred times as
    large. Neurons have the floor at which they are placed.
    """
    settings = ["diffusion.cells=1024", "problem.teacher={kind='bumps', gamma=10.0}"]
    wanted = config("matern-circle", *settings)
    result = compare_with_budget(wanted, tmp_path)
    b, k = result["budget"].to_dataset(), np.arange(1, 101)
    exact, step = (
        configured.solve(rung.run.config)["diffusion"].density.values[-1]
        for rung in ladder(wanted)[-2:]
    )
    own, kappa = result["diffusion"].density.values[-1], 4 / np.pi / (4 * k**2 - 1)
    for name, f, g in (("diffusion's time step", exact, step), ("diffusion's mesh", step, own)):
        gap = of_linear(f) - of_linear(g)
        expected = np.sqrt(2 * kappa @ np.abs(gap) ** 2)
        entry = b.sel(source=name).isel(snapshot=-1)
        assert float(entry.contribution) == pytest.approx(expected, rel=1e-3)
        assert float(entry.contribution) < 1e-4
        assert float(entry.floor) < 0.01 * expected
    at_start = b.contribution.sel(source="regularisation").values[0]
    assert 0 < at_start < 2 / 900
    assert (b.floor.sel(source=["width", "regularisation"]).values == at_start).all()
    assert (b.floor.sel(source=["training step", "teacher's neurons"]).values == 0).all()


def test_more_inputs_and_neurons_make_their_entries_smaller(tmp_path):
    entries = []
    for k, more in enumerate((100, 6400)):
        settings = [f"network.samples={more}", f"network.width={more // 3}"]
        (tmp_path / str(k)).mkdir()
        b = compare_with_budget(config("relu-circle", *settings), tmp_path / str(k))["budget"]
        entries.append(dict(zip(b.source.values, b.contribution.values[:, -1], strict=True)))
    for name in ("sampled inputs", "width"):
        assert entries[1][name] < 0.5 * entries[0][name]


def test_reference_problems_are_solved_once(tmp_path, monkeypatch):
    first = compare_with_budget(config(), tmp_path)

    def forbidden(config):
        raise AssertionError("it is there already")

    monkeypatch.setattr(runs, "WORK", dict.fromkeys(runs.WORK, forbidden))
    again = compare_with_budget(config(), tmp_path)
    assert np.array_equal(first["budget"].contribution, again["budget"].contribution)


def test_command_prints_and_draws_it(tmp_path, capsys):
    settings = [part for s in SMALL for part in ("--set", s)]
    with pytest.raises(SystemExit) as end:
        main(["compare", "relu-circle", "--budget", *settings, "--out", str(tmp_path / "run")])
    assert not end.value.code
    printed = capsys.readouterr().out
    stored = read_result(tmp_path / "run" / "result.nc")["budget"]
    for name, value in zip(stored.source.values, stored.contribution.values[:, -1], strict=True):
        assert f"{value:.4g}" in next(row for row in printed.splitlines() if name in row)
    assert f"{float(stored.floor[-3, -1]):.1e}" in printed
    assert (tmp_path / "run" / "figure.png").stat().st_size > 10_000


def test_refusals(tmp_path, monkeypatch):
    with pytest.raises(InputError, match="fixed features"):
        ladder(config("relu-circle", "network.algorithm=fixed"))

    def failing(config):
        raise RunFailure("Out of luck.")

    monkeypatch.setitem(runs.WORK, "solve", failing)
    with pytest.raises(RunFailure, match=r"reference problem failed\. Out of luck"):
        compare_with_budget(config(), tmp_path)
