"""Exported files say what the result says, and other programs read them."""

import csv
import math

import numpy as np
import pytest
import xarray as xr

from uf_diffusion.core.errors import InputError, Unwritable
from uf_diffusion.library.export import export_result, opened
from uf_diffusion.results.names import dataset
from uf_diffusion.runs.reading import load_config
from uf_diffusion.runs.result import Result
from uf_diffusion.runs.setup import Setup

TIMES = np.array([0.0, 0.25, 1.0])
BASE = ["problem.t_end=1", "diffusion.snapshots=[0, 0.25, 1]", "problem.teacher=uniform"]
CASES = {
    "circle": ("relu-circle", ["diffusion.cells=40"]),
    "circle, degree 2": ("relu-circle", ["diffusion.cells=40", "diffusion.degree=2"]),
    "sphere": ("sphere", ["diffusion.cells=80"]),
    "sphere, degree 3": ("sphere", ["diffusion.cells=80", "diffusion.degree=3"]),
    "T^1": ("radial-torus", ["problem.dim=1", "diffusion.cells=7"]),
    "T^2": ("radial-torus", ["diffusion.cells=300"]),
    "coarsest T^2": ("radial-torus", ["diffusion.cells=18"]),
    "T^2, degree 2": ("radial-torus", ["diffusion.cells=300", "diffusion.degree=2"]),
    "T^3": ("radial-torus", ["problem.dim=3", "diffusion.cells=750"]),
}
VOLUMES = {"T^1": 4, "T^2": 16, "coarsest T^2": 16, "T^2, degree 2": 16, "T^3": 64}


def solved(case, rng):
    """A result with any positive numbers at the nodes."""
    preset, more = CASES[case]
    setup = Setup(load_config(preset, [*BASE, *more]))
    nodes = setup.grid.nodes
    values = rng.uniform(0.5, 2, (2, len(TIMES), len(nodes)))
    group = dataset(
        snapshot_time=(("snapshot",), TIMES),
        node_position=(("node", "ambient"), nodes),
        teacher=(("node",), rng.uniform(0.5, 2, len(nodes))),
        density=(("snapshot", "node"), values[0]),
        outer_weight=(("snapshot", "node"), values[1]),
    )
    return result_with(setup, diffusion=group)


def trained(setup, rng, neurons=9):
    """A network whose neurons lie anywhere."""
    points = np.stack([setup.manifold.sample(neurons, rng) for _ in TIMES])
    return dataset(
        snapshot_time=(("snapshot",), TIMES),
        feature=(("snapshot", "neuron", "ambient"), points),
        outer_weight=(("snapshot", "neuron"), rng.normal(size=(len(TIMES), neurons))),
        neuron_mass=(("neuron",), np.full(neurons, 1 / neurons)),
    )


def result_with(setup, **groups):
    root = xr.Dataset(attrs={"config": setup.config.to_toml(), "warnings": ""})
    return Result(
        setup, xr.DataTree.from_dict({"/": root, **{f"/{k}": v for k, v in groups.items()}})
    )


def pyvista():
    return pytest.importorskip("pyvista", exc_type=ImportError)


def corners(result):
    """How many of the nodes the mesh shows: all but those inside edges and cells."""
    grid = result.grid
    return len(grid.base.nodes) if grid.degree > 1 else len(grid.nodes)


def edge_lengths(mesh):
    cells = np.concatenate(list(mesh.cells_dict.values()))
    points = mesh.points[cells]
    return np.linalg.norm(points[:, :, None] - points[:, None], axis=3)


@pytest.mark.parametrize("case", CASES)
def test_vtu_has_the_values_at_the_nodes(case, tmp_path, rng):
    """Each point is a node, on a torus up to whole turns; no cell is longer than the spacing."""
    pv = pyvista()
    result, file = solved(case, rng), tmp_path / "a.vtu"
    said = export_result(result, file)
    assert said[-1].split() == ["vtu", str(file)]
    assert ("corners" in " ".join(said)) == ("degree" in case)
    mesh, group = pv.read(file), result.group("diffusion")
    nodes = group.node_position.values[: corners(result)]
    shape = opened(result.grid)
    assert set(shape.node) == set(range(len(nodes)))
    moved = mesh.points[:, : nodes.shape[1]] - nodes[shape.node]
    if period := result.manifold.period:
        moved -= period * np.rint(moved / period)
    assert np.abs(moved).max() < 1e-12
    assert not mesh.points[:, nodes.shape[1] :].any()
    for name in ("density", "outer_weight"):
        assert (mesh[name] == group[name].values[-1][shape.node]).all()
    assert (mesh["teacher"] == group.teacher.values[shape.node]).all()
    assert mesh.n_cells == result.grid.cell_count
    assert edge_lengths(mesh).max() < result.grid.spacing * (1 + 1e-9)
    if case in VOLUMES:
        sizes = mesh.compute_cell_sizes()
        kind = {1: "Length", 2: "Area", 3: "Volume"}[result.manifold.dim]
        assert np.abs(sizes[kind]).sum() == pytest.approx(VOLUMES[case], rel=1e-12)


@pytest.mark.parametrize("case", ["T^2", "T^3"])
@pytest.mark.parametrize("axis", [0, 1])
def test_the_seam_of_a_torus(case, axis, tmp_path, rng):
    """Just left and just right of it the field is the grid's own interpolation, and is the same."""
    pv = pyvista()
    result, file = solved(case, rng), tmp_path / "a.vtu"
    export_result(result, file, time=0.3)  # the nearest snapshot is that at 0.25
    mesh, half = pv.read(file), result.manifold.period / 2
    density = result.group("diffusion").density.values[1]
    points = rng.uniform(-0.98 * half, 0.98 * half, (40, result.manifold.dim))
    seen = []
    for side in (-half + 1e-7, half - 1e-7):
        points[:, axis] = side
        space = np.hstack([points, np.zeros((len(points), 3 - points.shape[1]))])
        sampled = pv.PolyData(space).sample(mesh)
        assert sampled["vtkValidPointMask"].all()
        seen.append(sampled["density"])
        assert sampled["density"] == pytest.approx(
            result.grid.interpolate(density, points), rel=1e-6
        )
    assert seen[0] == pytest.approx(seen[1], rel=1e-4)


@pytest.mark.parametrize("case", ["circle", "sphere", "T^2", "T^3"])
def test_xdmf_has_all_times(case, tmp_path, rng):
    pv = pyvista()
    result, file = solved(case, rng), tmp_path / "a.xdmf"
    export_result(result, file)
    assert [p.name for p in tmp_path.iterdir()] == ["a.xdmf"]  # one file, complete in itself
    reader, shape = pv.get_reader(file), opened(result.grid)
    assert reader.time_values == list(TIMES)
    for k, t in enumerate(TIMES):
        reader.set_active_time_value(t)
        mesh = reader.read()[0]
        assert mesh.n_cells == result.grid.cell_count
        assert mesh.points == pytest.approx(shape.points, abs=1e-6)
        for name in ("density", "outer_weight"):
            wanted = result.group("diffusion")[name].values[k][shape.node]
            assert np.ravel(mesh[name]) == pytest.approx(wanted, rel=1e-6)


@pytest.mark.parametrize("case", ["circle, degree 2", "T^3"])
def test_csv_has_all_nodes_and_times(case, tmp_path, rng):
    """Also those nodes that are no corners; the numbers are exact."""
    result, file = solved(case, rng), tmp_path / "a.csv"
    export_result(result, file)
    group = result.group("diffusion")
    with file.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    axes = "xyz"[: result.manifold.ambient]
    assert list(rows[0]) == ["time", *axes, "density", "outer_weight", "teacher"]
    table = np.array([[float(v) for v in row.values()] for row in rows])
    count = group.sizes["node"]
    assert len(table) == len(TIMES) * count
    assert (table[:, 0] == np.repeat(TIMES, count)).all()
    assert (table[:count, 1 : 1 + len(axes)] == group.node_position.values).all()
    assert (table[:, -3] == group.density.values.ravel()).all()
    assert (table[:, -1] == np.tile(group.teacher.values, len(TIMES))).all()
    export_result(result, file, time=0.25)
    assert len(file.read_text().splitlines()) == 1 + count


def test_npz_has_all_arrays_by_their_names(tmp_path, rng):
    result = solved("T^2", rng)
    result = result_with(result.setup, diffusion=result.group("diffusion"),
                         network=trained(result.setup, rng))  # fmt: skip
    export_result(result, tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz") as arrays:
        for name in ("diffusion", "network"):
            for key, variable in result.group(name).variables.items():
                assert (arrays[f"{name}/{key}"] == variable.values).all()
        assert len(arrays.files) == 5 + 4
    export_result(result, tmp_path / "b.npz", time=1.0)
    with np.load(tmp_path / "b.npz") as arrays:
        assert arrays["diffusion/density"].shape == (1, result.grid.node_count)
        assert (arrays["network/snapshot_time"] == [1.0]).all()


def test_neurons(tmp_path, rng):
    """As vertices, or as a table; of a comparison where asked for, of a network alone anyway."""
    pv = pyvista()
    both = solved("sphere", rng)
    network = trained(both.setup, rng)
    alone = result_with(both.setup, network=network)
    both = result_with(both.setup, diffusion=both.group("diffusion"), network=network)
    for result, choice in ((alone, False), (both, True)):
        export_result(result, tmp_path / "a.vtu", network=choice)
        mesh = pv.read(tmp_path / "a.vtu")
        assert (mesh.points == network.feature.values[-1]).all()
        assert (mesh["outer_weight"] == network.outer_weight.values[-1]).all()
        assert mesh.n_cells == 9
        export_result(result, tmp_path / "a.csv", network=choice)
        lines = (tmp_path / "a.csv").read_text().splitlines()
        assert lines[0] == "time,x,y,z,outer_weight,neuron_mass"
        assert len(lines) == 1 + 9 * len(TIMES)
    export_result(both, tmp_path / "a.vtu")
    assert pv.read(tmp_path / "a.vtu").n_cells == 80


def test_refusals_leave_what_was_there(tmp_path, rng):
    result = solved("circle", rng)
    wide = Setup(load_config("sphere", ["problem.dim=5", *BASE]))
    neurons = result_with(wide, network=trained(wide, rng))
    before = tmp_path / "a.vtu"
    before.write_text("before")
    for bad, arguments, said in (
        (result, (tmp_path / "a.doc",), r"as .xdmf, .vtu, .csv, .npz, and '.*a.doc' is none"),
        (result, (before, 1.5), "--time must lie between 0 and 1, not 1.5"),
        (result, (before, math.nan), "--time must lie"),
        (result, (before, None, True), "has no network"),
        (result_with(result.setup), (before,), "neither a diffusion nor a network"),
        (neurons, (before,), "6 coordinates cannot be shown in space: export them as .csv or .npz"),
        (neurons, (tmp_path / "a.xdmf",), "Neurons move"),
    ):
        with pytest.raises(InputError, match=said):
            export_result(bad, *arguments)
    for suffix in ("xdmf", "vtu", "csv", "npz"):
        with pytest.raises(Unwritable, match=r"Cannot write '.*nowhere.*': No such file"):
            export_result(result, tmp_path / "nowhere" / f"a.{suffix}")
    assert [p.name for p in tmp_path.iterdir()] == ["a.vtu"]
    assert before.read_text() == "before"
    export_result(neurons, tmp_path / "a.csv")
    assert (tmp_path / "a.csv").read_text().startswith("time,x1,x2,x3,x4,x5,x6,outer_weight")
