"""The error budget of a comparison."""

import numpy as np
import pytest
import xarray as xr

pytest.importorskip("dolfinx")
import configured
from configured import compare_with_budget

from uf_diffusion.cli import main
from uf_diffusion.core.errors import InputError, RunFailure
from uf_diffusion.distances.energy_distances import energy_distance
from uf_diffusion.grids.built_in import grid_on
from uf_diffusion.plots.histories import budget_panels
from uf_diffusion.problem.manifolds import Circle, FlatTorus
from uf_diffusion.reports.html import report
from uf_diffusion.reports.text import print_summary
from uf_diffusion.results.netcdf import read_result, write_result
from uf_diffusion.runs.checks import checks
from uf_diffusion.runs.reading import load_config
from uf_diffusion.runs.result import result_of
from uf_diffusion.studies import cache as runs
from uf_diffusion.studies.error_budget import budget
from uf_diffusion.studies.ladder import ladder

SMALL = ["network.width=32", "network.samples=100", "network.teacher_width=200",
         "network.step=0.015625", "problem.t_end=0.25", "diffusion.snapshots=3",
         "diffusion.cells=64"]  # fmt: skip


def config(source="relu-circle", *overrides):
    return load_config(source, [*SMALL, *overrides])


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """The comparison with `SMALL` settings, and the folder of its reference problems."""
    folder = tmp_path_factory.mktemp("budget")
    return compare_with_budget(config(), folder), folder


def entry(b, name, variable="contribution"):
    return b[variable].sel(source=name).values


def test_entries_bound_the_whole_distance_and_shares_add_up_to_it(compared):
    """The former by the triangle inequality in both metrics, the latter exactly."""
    b = compared[0]["budget"].to_dataset()
    assert list(b.source.values) == [
        "training step", "width", "sampled inputs", "regularisation", "what is not seen",
        "diffusion's time step", "diffusion's mesh",
    ]  # fmt: skip
    for part, whole in ((b.contribution, b.total), (b.contribution_w2, b.total_w2)):
        assert (part.values >= 0).all()
        assert (part.values.sum(axis=0) >= whole.values - 1e-12).all()
    assert b.signed.values.sum(axis=0) == pytest.approx(b.total.values, abs=1e-12)
    assert (np.abs(b.signed.values) <= b.contribution.values + 1e-12).all()  # Cauchy-Schwarz
    assert b.signed.values.min() < 0
    assert entry(b, "training step")[0] < 1e-7  # nothing has moved: the same neurons
    assert entry(b, "sampled inputs")[0] < 1e-7
    assert entry(b, "width")[0] > 0.01
    assert b.time.values == pytest.approx([0, 0.125, 0.25])
    assert all(check.holds is not False for check in checks(compared[0]) if "budget" in check.name)


def atoms(group, row=-1):
    """A network, or a density on the circle as very many atoms, as (points, masses)."""
    if "feature" in group:
        return group.feature.values[row], group.neuron_mass.values
    fine = Circle().even(20_000)
    cells = group.sizes["node"]
    mass = grid_on(Circle(), cells).interpolate(group.density.values[row], fine)
    return fine, mass / mass.sum()


def test_entries_are_those_of_problems_solved_by_hand():
    """The width against the mean-field equation, the inputs and the regularisation, and a share,
    from energy distances of clouds. The training step is the distance to a doubled step.
    """
    wanted = config("relu-circle", "network.lambda=0.01", "network.placement=random")
    b, groups = _by_hand(wanted)
    clouds = [atoms(group) for group in groups]

    def squared(k, m):
        (x, a), (y, c) = clouds[k], clouds[m]
        return energy_distance(x, y, a, c, Circle()) ** 2

    step, width = (entry(b, name)[-1] for name in ("training step", "width"))
    assert step == pytest.approx(np.sqrt(squared(0, 1)), rel=1e-6)
    exact = 2 * squared(0, 2) - squared(1, 2) + 2 * squared(0, 1)  # to 2 x_0 - x_1
    assert width == pytest.approx(np.sqrt(exact), rel=1e-3)
    for k, name in ((2, "sampled inputs"), (3, "regularisation"), (4, "what is not seen")):
        assert entry(b, name)[-1] == pytest.approx(np.sqrt(squared(k, k + 1)), rel=2e-2)
    share = (squared(3, 7) + squared(4, 0) - squared(3, 0) - squared(4, 7)) / 2
    whole = np.sqrt(squared(0, 7))
    assert entry(b, "regularisation", "signed")[-1] == pytest.approx(share / whole, abs=2e-4)
    # the share of the step, 1/2 |x_0 - x_7|^2 of differences with x_1
    inner = (squared(1, 0) + squared(0, 7) - squared(1, 7)) / 2  # <x_0 - x_1, x_0 - x_7>
    assert entry(b, "training step", "signed")[-1] == pytest.approx(-inner / whole, abs=1e-5)


def _by_hand(wanted):
    """The budget, and the groups of the ladder's problems, chosen by hand."""
    rungs, network = ladder(wanted), configured.compare(wanted)
    population = ["network.lambda=0.01", "network.placement=random"]
    meant = [
        configured.train(config("relu-circle", *population, "network.step=0.03125")),
        *(configured.solve(config("relu-circle", *population, *more))
          for more in (
              ["problem.limit=mean-field"],
              ["problem.limit=mean-field", "network.kernel=population"],
              ["problem.limit=constrained"],
              ["diffusion.cells=256", "diffusion.rtol=1e-5"],
              ["diffusion.cells=256"],
          )),
    ]  # fmt: skip
    assert len(rungs) == len(meant)
    results = [result_of(tree) for tree in meant]
    groups = [next(iter(tree.children.values())).to_dataset() for tree in meant]
    first, last = (network[name].to_dataset() for name in ("network", "diffusion"))
    return budget(result_of(network), rungs, results), [first, *groups, last]


def test_ladder_of_other_settings():
    """Which problems a setting needs, and with which weights."""

    def names(*settings):
        return [rung.removed for rung in ladder(config(*settings))]

    assert names("matern-circle") == [
        "training step", "width", "regularisation", "diffusion's time step",
    ]  # fmt: skip
    assert names("matern-circle", "problem.limit=mean-field") == [
        "training step", "width", "diffusion's time step",
    ]  # fmt: skip
    assert names("relu-circle", "problem.limit=constrained") == [
        "training step", "width", "sampled inputs", "regularisation", "diffusion's time step",
    ]  # fmt: skip
    first = ladder(config())[0]
    assert (first.run.config.network.step, first.weight) == (2**-5, -1)
    # an odd number of steps to a snapshot: half the step has half the error
    odd = ladder(config("relu-circle", "diffusion.snapshots=[0, 0.015625, 0.25]"))[0]
    assert (odd.run.config.network.step, odd.weight) == (2**-7, 2)
    flow = ladder(config("relu-circle", "network.algorithm=flow", "network.rtol=1e-4"))[0]
    assert flow.run.config.network.rtol == pytest.approx(8e-4)
    assert flow.weight == pytest.approx(-1 / 3)
    fixed = ladder(config("relu-circle", "diffusion.step=0.01"))[-2:]
    assert fixed[0].run.config.diffusion.step < fixed[1].run.config.diffusion.step == 0.01


@pytest.mark.parametrize("algorithm", ["varpro", "flow"])
def test_training_step_is_the_error_of_the_step(algorithm, tmp_path):
    """Against a network with far smaller steps."""
    settings = ["network.kernel=population", f"network.algorithm={algorithm}",
                "network.placement=even", "network.rtol=1e-2", "network.step=0.001953125",
                "diffusion.snapshots=2"]  # fmt: skip
    b = compare_with_budget(config("matern-circle", *settings), tmp_path)["budget"]
    own, exact = (
        configured.train(config("matern-circle", *settings, *more))["network"].to_dataset()
        for more in ([], ["network.algorithm=flow", "network.rtol=1e-7"])
    )
    error = energy_distance(own.feature.values[-1], exact.feature.values[-1],
                            own.neuron_mass.values, exact.neuron_mass.values, Circle())  # fmt: skip
    assert entry(b, "training step")[-1] == pytest.approx(error, rel=0.5)


def test_torus_has_a_metric(tmp_path):
    """Also the mesh has an entry, which the wrapped difference's may lack, and the bound holds."""
    settings = ["network.width=32", "network.samples=100", "network.teacher_width=200",
                "problem.t_end=0.125", "diffusion.cells=288", "network.profile=gaussian"]  # fmt: skip
    wanted = load_config("radial-torus", [*settings, "diffusion.snapshots=3"])
    result = compare_with_budget(wanted, tmp_path)
    b = result["budget"].to_dataset()
    assert (b.contribution.sel(snapshot=slice(1, None)).values > 0).all()
    assert (b.contribution.sum("source") >= b.total).all()
    assert b.signed.values.sum(axis=0) == pytest.approx(b.total.values, abs=1e-12)
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
        found = b.sel(source=name).isel(snapshot=-1)
        assert float(found.contribution) == pytest.approx(expected, rel=1e-3)
        assert float(found.contribution) < 1e-4
        assert float(found.floor) < 0.01 * expected
    at_start = entry(b, "width")[0]
    neurons = result["network"].feature.values[0]
    even = Circle().even(32)
    assert at_start == pytest.approx(
        energy_distance(even, Circle().even(20_000), manifold=Circle()), rel=1e-3
    )
    assert len(neurons) == 32
    assert (entry(b, "width", "floor") == at_start).all()
    assert (entry(b, "training step", "floor") == 0).all()


def test_more_inputs_and_neurons_make_their_entries_smaller(tmp_path):
    entries = []
    for k, more in enumerate((100, 6400)):
        settings = [f"network.samples={more}", f"network.width={more // 3}",
                    f"network.teacher_width={more}"]  # fmt: skip
        (tmp_path / str(k)).mkdir()
        b = compare_with_budget(config("relu-circle", *settings), tmp_path / str(k))["budget"]
        entries.append(dict(zip(b.source.values, b.contribution.values[:, -1], strict=True)))
    for name in ("sampled inputs", "width"):
        assert entries[1][name] < 0.5 * entries[0][name]


def test_reference_problems_are_solved_once(compared, monkeypatch):
    first, folder = compared

    def forbidden(config):
        raise AssertionError("it is there already")

    monkeypatch.setattr(runs, "WORK", dict.fromkeys(runs.WORK, forbidden))
    again = compare_with_budget(config(), folder)
    assert np.array_equal(first["budget"].contribution, again["budget"].contribution)


def test_the_cache_tells_mean_field_problems_with_other_networks_apart():
    """Unlike the limits, the mean-field equation depends on lambda, inputs and their seed."""

    def keys(*more):
        return {rung.removed: rung.run.key for rung in ladder(config("relu-circle", *more))}

    own = keys()
    for change in ("network.lambda=0.1", "network.seed=1", "network.samples=99"):
        other = keys(change)
        assert other["width"] != own["width"]
        assert other["what is not seen"] == own["what is not seen"]


def test_command_prints_and_draws_it(tmp_path, capsys):
    settings = [part for s in SMALL for part in ("--set", s)]
    with pytest.raises(SystemExit) as end:
        main(["compare", "relu-circle", "--budget", *settings, "--out", str(tmp_path / "run")])
    assert not end.value.code
    printed = capsys.readouterr().out
    stored = read_result(tmp_path / "run" / "result.nc")["budget"]
    lines = printed.splitlines()
    for k, name in enumerate(stored.source.values):
        size, share = (row for row in lines if row.strip().startswith(str(name)))
        assert f"{stored.contribution.values[k, -1]:.4g}" in size
        assert f"{stored.signed.values[k, -1]:.4g}" in share
    assert f"{float(stored.floor[-3, -1]):.1e}" in printed
    assert (tmp_path / "run" / "figure.png").stat().st_size > 10_000


def test_a_budget_of_version_0_2_has_no_shares(compared, tmp_path, capsys):
    """It can still be read, checked, printed and drawn."""
    tree = compared[0].copy()
    new = budget_panels(tree["budget"].to_dataset())
    tree["budget"] = xr.DataTree(tree["budget"].to_dataset().drop_vars("signed"))
    write_result(tmp_path / "result.nc", tree)
    old = read_result(tmp_path / "result.nc")
    assert not [check for check in checks(old) if "shares" in check.name]
    print_summary(result_of(old), tmp_path)
    printed = capsys.readouterr().out
    assert "size of each entry" in printed
    assert "share of each entry" not in printed
    assert "Shares of the" not in report(old)
    assert "Shares of the" in report(compared[0])
    assert [p.name for p in budget_panels(old["budget"].to_dataset())] == [
        p.name for p in new if p.name != "budget-shares"
    ]
    assert "budget-shares" in [p.name for p in new]


def test_refusals(tmp_path, monkeypatch):
    with pytest.raises(InputError, match="fixed features"):
        ladder(config("relu-circle", "network.algorithm=fixed"))

    def failing(config):
        raise RunFailure("Out of luck.")

    monkeypatch.setitem(runs.WORK, "solve", failing)
    with pytest.raises(RunFailure, match=r"reference problem failed\. Out of luck"):
        compare_with_budget(config(), tmp_path)
