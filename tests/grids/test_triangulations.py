"""Meshes of the sphere from files: what is wrong with one, reading, and solving on one."""

import dataclasses
import importlib.util
from pathlib import Path

import numpy as np
import pytest
from defective_meshes import (
    CELLS,
    DEFECTS,
    NODES,
    ROUND,
    SPHERE,
    as_set,
    graded,
    hull,
    surface,
    torus,
)

from uf_diffusion.cli import main
from uf_diffusion.core.errors import InputError
from uf_diffusion.grids.icosphere import Icosphere
from uf_diffusion.grids.mesh_files import SUFFIXES, read_mesh, read_usable_mesh, write_mesh
from uf_diffusion.grids.mesh_quality import inspect_mesh
from uf_diffusion.library.drawing import draw
from uf_diffusion.problem import Problem
from uf_diffusion.problem.densities import Uniform, VonMisesFisher
from uf_diffusion.problem.divergences import Unbiased
from uf_diffusion.runs.reading import load_config

MESHES = Path(__file__).parents[2] / "meshes"


# --- inspection -----------------------------------------------------------------------------------


def test_a_sphere_has_no_problems():
    """The icosphere, the Delaunay meshes, and the numbers that are known for them."""
    report = inspect_mesh(ROUND)
    assert (report.problems, report.warnings) == ([], [])
    assert (report.nodes, report.cells, report.edges, report.euler) == (162, 320, 480, 2)
    assert report.obtuse_angles == report.negative_edges == 0
    assert report.coverage == pytest.approx(1, abs=1e-12)
    assert report.longest_edge == pytest.approx(ROUND.spacing)
    solid = inspect_mesh(Icosphere(SPHERE, 0).surface)
    assert (solid.smallest_angle, solid.largest_angle) == pytest.approx((60, 60))
    assert solid.shortest_edge == pytest.approx(1 / np.sin(2 * np.pi / 5))
    for mesh in (hull(SPHERE.even(500)), graded()):
        report = inspect_mesh(mesh)
        assert (report.problems, report.warnings) == ([], [])
        assert report.obtuse_angles > 0


@pytest.mark.parametrize("case", DEFECTS)
def test_each_defect_is_found(case):
    """Broken on purpose in one way: its numbers, and a sentence that says so."""
    mesh, numbers, hint = DEFECTS[case]
    report = inspect_mesh(mesh)
    assert {name: getattr(report, name) for name in numbers} == numbers
    assert any(hint in sentence for sentence in report.problems), report.problems
    assert all(s[0].isupper() and s.endswith(".") for s in report.problems)


def test_a_torus_on_the_sphere_is_not_a_sphere():
    """Moved onto the sphere, a torus folds; its Euler characteristic alone gives it away, too."""
    report = inspect_mesh(surface(SPHERE.project(torus().nodes), torus().cells))
    assert report.off_sphere < 1e-12
    assert report.euler == 0
    assert report.problems
    only_euler = dataclasses.replace(report, inverted_cells=0)
    assert only_euler.problems == ["The surface is not a sphere: its Euler characteristic is 0."]


def test_negative_edges_are_the_positive_entries_of_the_stiffness_matrix(rng):
    """Counted on a mesh with random edges exchanged; the matrix from gradients of hat functions."""
    mesh = hull(SPHERE.sample(80, rng))
    cells = mesh.cells.copy()
    for _ in range(12):  # exchange the diagonal of two triangles
        i = rng.integers(len(cells))
        a, b, c = cells[i]
        j = next(k for k, t in enumerate(cells) if k != i and {a, b} <= set(t))
        d = (set(cells[j]) - {a, b}).pop()
        cells[i], cells[j] = (c, a, d), (d, b, c)
    K = np.zeros((80, 80))
    for cell in cells:
        basis = np.linalg.qr((mesh.nodes[cell[1:]] - mesh.nodes[cell[0]]).T)[0]
        flat = mesh.nodes[cell] @ basis
        matrix = np.hstack([np.ones((3, 1)), flat])
        gradient = np.linalg.inv(matrix)[1:]
        K[np.ix_(cell, cell)] += abs(np.linalg.det(matrix)) / 2 * gradient.T @ gradient
    positive = np.count_nonzero(np.triu(K, 1) > 1e-12)
    report = inspect_mesh(surface(mesh.nodes, cells))
    assert report.negative_edges == positive > 0
    assert f"{positive} edge" in report.warnings[0]


def test_arrays_that_are_no_triangulation():
    for nodes, cells in (
        (NODES[:, :2], CELLS), (NODES, CELLS[:, :2]), (NODES, np.zeros((0, 3), int)),
        (np.where(NODES > 0.9, np.nan, NODES), CELLS), (NODES, CELLS + 1), (NODES, CELLS - 1),
    ):  # fmt: skip
        with pytest.raises(InputError):
            surface(nodes, cells)


# --- interpolation --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "mesh", [ROUND, hull(SPHERE.even(500)), graded()], ids=["ico", "fib", "graded"]
)
def test_interpolation_is_exact_on_the_planes(mesh, rng):
    """A linear function of space, at points of every flat triangle; rays find their triangle."""
    slope = rng.standard_normal(3)
    weights = rng.dirichlet(np.ones(3), len(mesh.cells))
    flat = np.einsum("ij,ijk->ik", weights, mesh.nodes[mesh.cells])
    found = mesh.interpolate(mesh.nodes @ slope, SPHERE.project(flat))
    assert np.abs(found - flat @ slope).max() < 1e-12
    assert mesh.interpolate(mesh.nodes @ slope, mesh.nodes) == pytest.approx(mesh.nodes @ slope)


# --- files ----------------------------------------------------------------------------------------


@pytest.fixture
def meshio():
    return pytest.importorskip("meshio")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_format_is_read_as_it_was_written(suffix, tmp_path, meshio, capfd):
    path = tmp_path / f"mesh{suffix}"
    write_mesh(path, ROUND)
    mesh = read_usable_mesh(path)
    assert len(mesh.nodes) == len(NODES)
    assert as_set(mesh) == as_set(ROUND)
    if suffix != ".stl":  # which has no node numbers
        assert np.array_equal(mesh.cells, CELLS)
        assert np.abs(mesh.nodes - NODES).max() < 1e-15
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    assert capfd.readouterr() == ("", "")


FOREIGN = {
    "gmsh 4.1 binary": ("a.msh", {"file_format": "gmsh"}),
    "gmsh 4.1 text": ("a.msh", {"file_format": "gmsh", "binary": False}),
    "gmsh 2.2 binary": ("a.msh", {"file_format": "gmsh22"}),
    "compressed xdmf": ("a.xdmf", {}),
    "binary stl": ("a.stl", {"binary": True}),
    "upper case": ("a.OFF", {}),
}


@pytest.mark.parametrize("case", FOREIGN)
def test_other_variants_are_read(case, tmp_path, meshio):
    """Written by meshio with its own defaults; STL in single precision is still on the sphere."""
    name, options = FOREIGN[case]
    meshio.Mesh(NODES, [("triangle", CELLS)]).write(tmp_path / name, **options)
    assert as_set(read_usable_mesh(tmp_path / name)) == as_set(ROUND)


def test_only_the_corners_of_triangles_are_used(tmp_path, meshio):
    """Six-node triangles, points and lines beside them, unused nodes, inward orientation."""
    middle = NODES[CELLS] + NODES[np.roll(CELLS, -1, axis=1)]
    extra = len(NODES) + np.arange(3 * len(CELLS)).reshape(-1, 3)
    quadratic = np.hstack([CELLS, extra])[:, [2, 1, 0, 4, 3, 5]]
    points = np.vstack([NODES, middle.reshape(-1, 3) / 2, [[9, 9, 9]]])
    cells = [("vertex", [[0]]), ("line", [[0, 1]]), ("triangle6", quadratic)]
    for name in ("a.msh", "a.vtu"):
        path = tmp_path / name
        meshio.Mesh(points, cells).write(
            path, **({"file_format": "gmsh22"} if name == "a.msh" else {})
        )
        mesh = read_usable_mesh(path)
        assert np.array_equal(mesh.nodes, NODES)
        assert as_set(mesh) == as_set(ROUND)


BAD_FILES = {
    "quadrilaterals": ([("quad", [[0, 1, 2, 3]])], NODES, "not triangles (quad)"),
    "volume": ([("triangle", CELLS), ("tetra", [[0, 1, 2, 3]])], NODES, "not triangles (tetra)"),
    "lines": ([("line", [[0, 1]])], NODES, "It has no triangles."),
    "nan": ([("triangle", CELLS)], np.where(NODES > 0.9, np.nan, NODES), "Coordinates must be finite"),
    "scaled": ([("triangle", CELLS)], 6371 * NODES, "radius 6371 around"),
    "hole": ([("triangle", CELLS[1:])], NODES, "open"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_FILES)
def test_unusable_meshes_get_one_sentence(case, tmp_path, meshio):
    cells, points, hint = BAD_FILES[case]
    path = tmp_path / "bad.vtu"
    meshio.Mesh(points, cells).write(path)
    with pytest.raises(InputError) as raised:
        read_usable_mesh(path)
    message = str(raised.value)
    assert message.startswith(f"The mesh '{path}' cannot be used: ")
    assert hint in message
    assert "\n" not in message


@pytest.mark.parametrize("suffix", [*SUFFIXES, ".txt", ""])
def test_broken_files_get_one_sentence(suffix, tmp_path, meshio, capfd):
    """Empty, nonsense, cut in half: whatever meshio does with them, nothing is printed."""
    whole = tmp_path / f"whole{suffix}"
    if suffix in SUFFIXES:
        write_mesh(whole, ROUND)
    half = whole.read_bytes()[: whole.stat().st_size // 3] if suffix in SUFFIXES else b"1 2 3"
    for content in (b"", b"\xff\x00 nonsense \n 7", half):
        path = tmp_path / f"broken{suffix}"
        path.write_bytes(content)
        with pytest.raises(InputError) as raised:
            read_usable_mesh(path)
        assert "\n" not in str(raised.value)
        assert str(path) in str(raised.value)
    with pytest.raises(InputError, match="No such file"):
        read_mesh(tmp_path / f"nowhere{suffix}")
    assert capfd.readouterr() == ("", "")


def test_a_corner_that_does_not_exist(tmp_path, meshio):
    (tmp_path / "a.obj").write_text("v 1 0 0\nv 0 1 0\nv 0 0 1\nf 1 2 9\n")
    with pytest.raises(InputError, match="index 8 is out of bounds"):
        read_mesh(tmp_path / "a.obj")
    meshio.Mesh(NODES[:3], [("triangle", [[0, 1, 8]])]).write(tmp_path / "a.vtu")
    with pytest.raises(InputError, match="none of the nodes"):
        read_mesh(tmp_path / "a.vtu")


def test_committed_meshes_are_what_the_script_makes(tmp_path, meshio):
    """Same triangles, nodes to round-off; the broken ones are broken, the others are not."""
    spec = importlib.util.spec_from_file_location("make", MESHES / "make.py")
    make = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make)
    make.main(tmp_path)
    names = {p.name for p in MESHES.iterdir()} - {"README.md", "make.py", "__pycache__"}
    assert names == {p.name for p in tmp_path.iterdir()}
    for name in names:
        kept, made = read_mesh(MESHES / name), read_mesh(tmp_path / name)
        assert np.array_equal(kept.cells, made.cells)
        assert np.abs(kept.nodes - made.nodes).max() < 1e-14
        assert bool(inspect_mesh(kept).problems) == name.startswith("broken")
        assert (MESHES / name).stat().st_size < 150_000


def test_mesh_commands(tmp_path, meshio, capsys):
    """Make, convert, check: a table, and status 1 with one sentence for a broken mesh."""
    made, converted = tmp_path / "a.stl", tmp_path / "b.msh"
    for args in (
        ["make", made, "--cells", 300],
        ["convert", made, converted],
        ["check", converted],
    ):
        with pytest.raises(SystemExit) as stopped:
            main(["mesh", *map(str, args)])
        assert stopped.value.code == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    assert "triangles       320\n" in printed.out
    with pytest.raises(SystemExit) as stopped:
        main(["mesh", "check", str(MESHES / "broken-fin.msh")])
    printed = capsys.readouterr()
    assert stopped.value.code == 1
    assert "problem         The mesh is not a surface (1 edge" in printed.out
    assert printed.err.startswith("uf-diffusion: The mesh ")
    assert printed.err.count("\n") == 1


# --- solving --------------------------------------------------------------------------------------


def vmf_problem(t_end):
    return Problem(SPHERE, VonMisesFisher(SPHERE, 3.0), Uniform(SPHERE), Unbiased())


def last_density(grid, comm, t_end=0.02):
    """The last density in the grid's numbering, and all masses."""
    from uf_diffusion.diffusion.ultra_fast import UltraFastDiffusion

    solver = UltraFastDiffusion(vmf_problem(t_end), grid, comm=comm)
    states = list(solver.iterate(t_end))
    return solver.gathered(states[-1].ratio * solver.teacher), states


def test_the_icosphere_from_a_file_is_the_built_in_one(meshio):
    pytest.importorskip("dolfinx")
    from mpi4py import MPI

    built_in, _ = last_density(Icosphere(SPHERE, 2), MPI.COMM_SELF)
    for name in ("icosphere-320.msh", "icosphere-320.xdmf"):
        density, _ = last_density(read_usable_mesh(MESHES / name), MPI.COMM_SELF)
        assert density == pytest.approx(built_in, rel=1e-10)


def test_mass_and_bounds_on_a_delaunay_mesh(meshio):
    """Nodes on a spiral: mass to 1e-12, and the bounds of mu/nu never widen."""
    pytest.importorskip("dolfinx")
    from mpi4py import MPI

    _, states = last_density(read_usable_mesh(MESHES / "fibonacci-500.msh"), MPI.COMM_SELF, 0.5)
    assert len(states) > 5
    assert max(abs(s.mass - 1) for s in states) < 1e-12
    assert (np.diff([s.min_ratio for s in states]) >= -1e-12).all()
    assert (np.diff([s.max_ratio for s in states]) <= 1e-12).all()


def test_a_run_on_a_file(tmp_path, monkeypatch, meshio):
    """Named relative to the configuration; run.toml from anywhere; pictures without the file."""
    pytest.importorskip("dolfinx")
    from configured import compare

    from uf_diffusion.results.netcdf import read_result, write_result

    (tmp_path / "meshes").mkdir()
    path = tmp_path / "meshes" / "mesh.msh"
    write_mesh(path, ROUND)
    text = "[problem]\nmanifold = 'sphere'\nt_end = 0.02\n[diffusion]\nmesh = 'meshes/mesh.msh'\nsnapshots = 2\n"
    text += "[network]\nwidth = 8\nsamples = 20\nteacher_width = 20\nstep = 0.01\n"
    (tmp_path / "mine.toml").write_text(text)
    config = load_config(tmp_path / "mine.toml")
    assert config.diffusion.mesh == str(path)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    (elsewhere / "run.toml").write_text(config.to_toml())
    assert load_config("run.toml") == config
    write_result(elsewhere / "result.nc", compare(config))
    path.unlink()
    result = read_result(elsewhere / "result.nc")
    assert np.array_equal(result["diffusion"].cell.values, CELLS)
    assert result["diffusion"].cell.dims == ("cell", "corner")
    draw(result, elsewhere / "figure.png")


def test_a_run_warns_of_a_mesh_that_is_not_delaunay(tmp_path, meshio, capsys):
    """The diagonal of two triangles exchanged: solved all the same, with a warning at the end."""
    pytest.importorskip("dolfinx")
    cells = CELLS.copy()
    a, b, c = cells[0]
    j = next(k for k, t in enumerate(cells) if k and {a, b} <= set(t))
    d = (set(cells[j]) - {a, b}).pop()
    cells[0], cells[j] = (c, a, d), (d, b, c)
    write_mesh(tmp_path / "mesh.vtu", surface(cells=cells))
    (tmp_path / "mine.toml").write_text(
        "[diffusion]\nmesh = 'mesh.vtu'\n[problem]\nmanifold = 'sphere'\nt_end = 0.01\n"
    )
    with pytest.raises(SystemExit) as stopped:
        main(["solve", str(tmp_path / "mine.toml"), "--out", str(tmp_path / "run")])
    assert stopped.value.code == 0
    printed = capsys.readouterr().out
    assert (
        "warning   The maximum principle is not guaranteed: the mesh is not Delaunay (1 edge"
        in printed
    )


@pytest.mark.parallel(2)
def test_two_ranks_share_a_file(shared_folder, meshio):
    """The same density as on one; a mistake in the file is raised on both."""
    pytest.importorskip("dolfinx")
    from mpi4py import MPI

    comm = MPI.COMM_WORLD
    mesh = read_usable_mesh(MESHES / "fibonacci-500.msh")
    together, states = last_density(mesh, comm)
    alone, _ = last_density(mesh, MPI.COMM_SELF)
    assert abs(states[-1].mass - 1) < 1e-12
    if comm.rank == 0:
        assert together == pytest.approx(alone, rel=1e-10)
    with pytest.raises(InputError, match="is open"):
        read_usable_mesh(MESHES / "broken-hole.msh")
    path = shared_folder / "a.msh"
    write_mesh(path, mesh)
    assert np.array_equal(read_mesh(path).cells, mesh.cells)
