"""Runs of problems that are symmetric about an axis: configuration, result, files, reports."""

import csv
import warnings

import numpy as np
import pytest
import xarray as xr
from processes import refusal

pytest.importorskip("dolfinx")

import uf_diffusion as uf
from uf_diffusion.cli import main
from uf_diffusion.core.errors import InputError
from uf_diffusion.grids.rings import Rings
from uf_diffusion.library.calls import load
from uf_diffusion.library.export import export_result
from uf_diffusion.results.netcdf import read_result, write_result
from uf_diffusion.runs.contents import require_contents
from uf_diffusion.runs.reading import config_from_toml, load_config

TOML = """\
[problem]
manifold = "sphere"
dim = 9
axis = [0, 0, 3, 0, 0, 0, 0, 0, 4, 0]
teacher = {kind = "height", function = "heights_of_this_test:peak"}
initial = {kind = "von-mises-fisher", kappa = 2.0, means = [[0, 0, -3, 0, 0, 0, 0, 0, -4, 0]]}
t_end = 0.125

[diffusion]
cells = 64
snapshots = 3

[network]
width = 24
samples = 60
teacher_width = 80
step = 0.015625
placement = "quantile"
"""
AXIS = [0, 0, 0.6, 0, 0, 0, 0, 0, 0.8, 0]


def peak(s):
    return np.exp(6 * s)


@pytest.fixture
def source(tmp_path):
    """A configuration with a function of the height in a module beside it."""
    (tmp_path / "heights_of_this_test.py").write_text(
        "import numpy as np\n\n\ndef peak(s):\n    return np.exp(6 * s)\n"
    )
    (tmp_path / "nine.toml").write_text(TOML)
    return tmp_path / "nine.toml"


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """A comparison on S^9, with von Mises-Fisher densities, so that its axis is found."""
    return uf.run(small(9), "compare", cautious=False)


def small(dim, *more):
    settings = ["problem.manifold=sphere", f"problem.dim={dim}", "problem.t_end=0.125",
                "problem.teacher={kind='von-mises-fisher', kappa=6.0}", "diffusion.cells=64",
                "diffusion.snapshots=3", "network.width=24", "network.samples=60",
                "network.teacher_width=80", "network.step=0.015625"]  # fmt: skip
    return load_config("sphere", [*settings, *more])


def run(arguments):
    with pytest.raises(SystemExit) as ended:
        main([*map(str, arguments), "--quiet"])
    assert not ended.value.code


def test_a_configuration_with_an_axis_and_a_function_of_the_height(source, tmp_path):
    """The densities are those of the formula; the command and the library give the same numbers."""
    config = load_config(str(source))
    problem = config.build()
    assert problem.axis == pytest.approx(AXIS, abs=1e-15)
    x = problem.manifold.sample(20, np.random.default_rng(0))
    expected = uf.VonMisesFisher(problem.manifold, 6.0, [AXIS])(x)
    assert problem.teacher(x) == pytest.approx(expected, rel=1e-9)
    run(["solve", source, "--out", tmp_path / "out"])
    stored, ours = load(tmp_path / "out"), uf.run(config, "solve")
    assert (stored.tree["diffusion"].density.values == ours.tree["diffusion"].density.values).all()
    assert stored.attributes["axis"] == pytest.approx(AXIS, abs=1e-15)
    e = np.array(AXIS)
    start, end = (stored.tree["diffusion"].density[k].values for k in (0, -1))
    measure, height = stored.tree["diffusion"].node_measure.values, stored.grid.nodes @ e
    assert measure @ start == pytest.approx(1, abs=1e-12)
    assert (measure * end) @ height > (measure * start) @ height + 0.1  # towards the teacher


def test_run_toml_describes_the_run(source, tmp_path):
    """Written, read, and written again it stays the same, with the same axis bit for bit."""
    config = load_config(str(source))
    text = config.to_toml()
    again = config_from_toml(text, folder=str(tmp_path), trusted=True)
    assert again.problem == config.problem
    assert again.to_toml() == text
    assert again.build().axis == config.build().axis
    run(["solve", source, "--out", tmp_path / "out"])
    (tmp_path / "out" / "heights_of_this_test.py").write_text(
        (tmp_path / "heights_of_this_test.py").read_text()
    )
    run(["solve", tmp_path / "out" / "run.toml", "--out", tmp_path / "again"])
    first, second = (read_result(tmp_path / name / "result.nc") for name in ("out", "again"))
    assert (first["diffusion"].density.values == second["diffusion"].density.values).all()


def test_objects_are_described_and_kept(tmp_path):
    """An axis, a Height and the result of the issue's example, through save and load."""
    e = np.eye(10)[0]
    own = uf.Problem(uf.Sphere(9), teacher=lambda x: np.exp(6 * x[:, 0]), axis=e)
    result = uf.solve(own, until=0.1, cells=64, snapshots=3)
    result.save(tmp_path / "own")
    loaded = uf.load(tmp_path / "own")
    assert loaded.density == pytest.approx(result.density, rel=0, abs=0)
    assert (loaded.attributes["axis"] == e).all()
    same = uf.solve(
        uf.Problem(uf.Sphere(9), teacher=uf.Height(values=peak)), until=0.1, cells=64, snapshots=3
    )
    assert same.density == pytest.approx(result.density, rel=1e-8)
    assert list(same.config.problem.axis) == e.tolist()
    assert same.config.problem.teacher["kind"] == "height"


def test_the_grid_of_a_loaded_result_is_that_of_the_run(compared, tmp_path):
    """Made from the stored nodes, without the densities."""
    assert isinstance(compared.grid, Rings)
    compared.save(tmp_path / "out")
    loaded = uf.load(tmp_path / "out")
    assert isinstance(loaded.grid, Rings)
    assert loaded.meridian == compared.meridian
    assert loaded.grid.angles == pytest.approx(compared.setup.grid.angles, abs=1e-14)
    assert loaded.grid.volumes == pytest.approx(compared.setup.grid.volumes, rel=1e-6)
    d = loaded.tree["diffusion"]
    assert d.node_measure.values == pytest.approx(compared.setup.grid.volumes, rel=1e-12)
    assert d.node_position.shape == (65, 10)


def test_what_a_comparison_in_ten_dimensions_contains(compared):
    """Every distance has a value at every time; angles bound nothing from above."""
    c = compared.tree["comparison"].to_dataset()
    assert "w2_diffusion" not in c
    for name in ("energy_distance_teacher", "energy_distance_diffusion", "w1_lower", "w2_lower",
                 "chi2_height", "kl_height", "l1_height", "outer_weight_error"):  # fmt: skip
        assert c[name].dims == ("snapshot",)
        assert np.isfinite(c[name].values).all() and (c[name].values >= 0).all(), name
        assert c[name].attrs["long_name"]
    assert (c.w1_lower <= c.w2_lower).all()
    assert (c.l1_height <= 2).all()
    assert (c.l1_height**2 / 2 <= c.kl_height * (1 + 1e-9)).all()  # Pinsker's inequality
    assert (c.kl_height <= np.log1p(c.chi2_height) * (1 + 1e-9)).all()
    assert compared.w2_lower == pytest.approx(c.w2_lower.values)
    with pytest.raises(InputError, match="no w2_diffusion"):
        _ = compared.w2_diffusion
    require_contents(compared.tree, compared.config, complete=True)


def test_two_objects_are_compared():
    """`uf.compare` of a network and a diffusion that were computed apart."""
    problem = uf.Problem(uf.Sphere(9), uf.VonMisesFisher(kappa=6.0))
    limit = uf.solve(problem, until=0.125, cells=64, snapshots=3)
    network = uf.train(problem, until=0.125, width=16, samples=40, teacher_width=40,
                       step=0.015625, snapshots=3, placement="quantile")  # fmt: skip
    result = uf.compare(network, limit)
    assert result.w2_lower.shape == (3,)
    # neurons at quantiles begin close to the uniform density, with a spacing of about 1 / 16
    assert result.w2_lower[0] < 0.1
    assert result.times == pytest.approx([0, 0.0625, 0.125])


def test_quantile_placement_is_exact_in_the_height():
    """Each neuron lies at the quantile of its rank; the directions are spread about the axis."""
    from uf_diffusion.network.placement import place

    problem = uf.Problem(uf.Sphere(9), uf.VonMisesFisher(kappa=6.0))
    atoms = place(problem.teacher, 200, "quantile", np.random.default_rng(0), problem.meridian)
    law = problem.laws[1]
    ranks = np.sort(law.below(problem.meridian.angle(atoms.points)))
    assert ranks == pytest.approx((np.arange(200) + 0.5) / 200, abs=1e-6)
    assert atoms.weights == pytest.approx(np.full(200, 1 / 200))
    across = atoms.points[:, 1:] / np.linalg.norm(atoms.points[:, 1:], axis=1, keepdims=True)
    assert np.abs(across.mean(axis=0)).max() < 3 / np.sqrt(9 * 200)


def test_export(compared, tmp_path):
    """Tables and arrays have the numbers of the result."""
    for suffix in ("csv", "npz"):
        export_result(compared, tmp_path / f"a.{suffix}")
    arrays = np.load(tmp_path / "a.npz")
    name = next(key for key in arrays if key.endswith("density"))
    assert (arrays[name] == compared.tree["diffusion"].density.values).all()
    files = list(tmp_path.glob("*.csv"))
    assert files
    for file in files:
        with file.open(newline="") as lines:
            rows = list(csv.reader(lines))
        assert len({len(row) for row in rows if row and not row[0].startswith("#")}) == 1


def test_export_of_a_mesh(compared, tmp_path):
    """A line of rings on a half circle, with the densities."""
    pv = pytest.importorskip("pyvista", exc_type=ImportError)
    export_result(compared, tmp_path / "a.vtu")
    mesh = pv.read(tmp_path / "a.vtu")
    d = compared.tree["diffusion"]
    assert (mesh["density"] == d.density.values[-1]).all()
    assert mesh.points[:, 0] == pytest.approx(d.node_position.values[:, 0], abs=1e-14)
    assert np.linalg.norm(mesh.points, axis=1) == pytest.approx(1, abs=1e-14)
    assert mesh.n_cells == 64
    said = export_result(compared, tmp_path / "a.xdmf")
    assert said[-1].split() == ["xdmf", str(tmp_path / "a.xdmf")]


def test_spectrum_in_ten_dimensions():
    """A uniform teacher: k (k + 8) for functions of the height."""
    config = small(9, "problem.teacher=uniform", "diffusion.cells=512")
    try:
        found = uf.run(config, "spectrum")
    except InputError as error:
        if "What features see is known" in str(error):
            pytest.skip("what features see is not known in ten dimensions")
        raise
    assert found.eigenvalue[:3] == pytest.approx([9, 20, 33], rel=1e-3)


@pytest.mark.parametrize("dim", [1, 2, 9])
def test_figure_and_report_are_written_without_warnings(dim, tmp_path, monkeypatch):
    manifold = "circle" if dim == 1 else "sphere"
    axis = [1.0] + dim * [0.0]
    config = small(dim, f"problem.manifold={manifold}", f"problem.axis={axis}")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", uf.Caution)
        warnings.simplefilter("ignore", DeprecationWarning)
        result = uf.run(config, "compare", out=tmp_path / "out")
    names = {p.name for p in (tmp_path / "out").iterdir()}
    assert {"figure.png", "figure.pdf", "report.html", "result.nc", "run.toml"} <= names
    assert (tmp_path / "out" / "figure.png").stat().st_size > 10_000
    figure = uf.draw(result)
    labels = {ax.get_xlabel() for ax in figure.axes}
    assert "height s along the axis" in labels
    assert all(ax.has_data() for ax in figure.axes if ax.get_title())
    report = (tmp_path / "out" / "report.html").read_text()
    assert "height s along the axis" in report


@pytest.mark.parametrize("dim", [1, 3])
def test_budget_with_an_axis(dim, tmp_path):
    """Entries bound the whole distance, by the triangle inequality; there is no W2."""
    space = "circle" if dim == 1 else "sphere"
    # on S^3 the kernel of few landmarks is not accurate enough for a smaller lambda
    coarse = small(dim, f"problem.axis={[1.0] + dim * [0.0]}", "network.lambda=0.01",
                   "network.truncation=1.0", f"problem.manifold={space}")  # fmt: skip
    result = uf.run(coarse, "compare --budget", out=tmp_path / "out", cautious=False)
    b = result.tree["budget"].to_dataset()
    assert {"width", "diffusion's mesh", "diffusion's time step"} <= set(b.source.values)
    assert (b.contribution.values >= 0).all()
    assert (b.contribution.values.sum(axis=0) >= b.total.values - 1e-9).all()
    assert b.signed.values.sum(axis=0) == pytest.approx(b.total.values, abs=1e-12)
    assert np.isnan(b.total_w2.values).all()
    assert b.attrs["distance"] == "energy distance"


# --- damage ---------------------------------------------------------------------------------------

DAMAGED = {
    "too short": np.array([1.0, 0.0]),
    "too long": np.eye(11)[0],
    "a matrix": np.eye(10),
    "a number": 1.0,
    "words": "north",
    "not a number": np.full(10, np.nan),
    "too large": np.full(10, 1e200),
    "zero": np.zeros(10),
    "not a unit vector": 2 * np.eye(10)[0],
}


@pytest.mark.parametrize("case", DAMAGED)
def test_a_damaged_axis_is_refused(case, compared, tmp_path, capsys):
    """In one sentence, from the library and the command."""
    tree = compared.tree.copy()
    tree.attrs["axis"] = DAMAGED[case]
    sentence = "the attribute 'axis' must be a unit vector with 10 coordinates"
    with pytest.raises(InputError, match=sentence):
        require_contents(tree, compared.config, complete=True)
    if np.ndim(DAMAGED[case]) < 2:  # which a file does not hold
        (tmp_path / "out").mkdir()
        write_result(tmp_path / "out" / "result.nc", tree)
        assert sentence in refusal(["report", str(tmp_path / "out")], capsys).err


def test_an_axis_of_a_torus_is_refused():
    tree = xr.DataTree(xr.Dataset(attrs={"axis": np.array([1.0, 0.0])}))
    with pytest.raises(InputError, match="the attribute 'axis' is for spheres, not for 'torus'"):
        require_contents(tree, load_config("radial-torus"), complete=False)
