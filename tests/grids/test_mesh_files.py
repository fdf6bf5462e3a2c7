"""Mesh files as other programs write them: all variants are read, and `mesh convert` repairs."""

import os
import shlex
import sys

import numpy as np
import pytest
from defective_meshes import CELLS, NODES, ROUND, SPHERE, as_set
from processes import refusal

from uf_diffusion.cli import main
from uf_diffusion.core.errors import InputError
from uf_diffusion.grids.mesh_files import read_mesh, read_usable_mesh
from uf_diffusion.grids.mesh_quality import inspect_mesh
from uf_diffusion.grids.triangulations import Triangulation

meshio = pytest.importorskip("meshio")
pytest.importorskip("trimesh")

LAT, LON = 8, 12


def lines(pattern, rows):
    return "".join(pattern.format(*row) + "\n" for row in rows)


def belts():
    """Nodes and faces of a globe: triangles at the poles and planar quads elsewhere."""
    height = np.cos(np.linspace(0, np.pi, LAT + 1)[1:-1])
    angle = 2 * np.pi * np.arange(LON) / LON
    z, a = (grid.ravel() for grid in np.meshgrid(height, angle, indexing="ij"))
    ring = np.sqrt(1 - z**2)
    nodes = np.vstack(
        [[0, 0, 1], np.column_stack([ring * np.cos(a), ring * np.sin(a), z]), [0, 0, -1]]
    )
    k, ahead = np.arange(LON), np.roll(np.arange(LON), -1)
    top = np.column_stack([0 * k, 1 + k, 1 + ahead])
    last = 1 + (LAT - 2) * LON
    bottom = np.column_stack([0 * k + len(nodes) - 1, last + ahead, last + k])
    rows = [1 + LON * row for row in range(LAT - 2)]
    quads = np.vstack(
        [np.column_stack([r + k, r + LON + k, r + LON + ahead, r + ahead]) for r in rows]
    )
    return nodes, np.vstack([top, bottom]), quads


GLOBE, TRIANGLES, QUADS = belts()
OBJ = lines("v {:.9f} {:.9f} {:.9f}", NODES)
PLACES = lines("{!r} {!r} {!r}", NODES.tolist())
# what is written into a file of the suffix
VARIANTS = {
    "normals": (".obj", OBJ + "vn 0 0 1\n" * 162 + lines("f {0}//{0} {1}//{1} {2}//{2}", CELLS + 1)),
    "from the end": (".obj", OBJ + lines("f {} {} {}", CELLS - 162)),
    "Blender's": (".obj", "# Blender 4.2\nmtllib none.mtl\no Sphere\n" + OBJ + "vn 0 0 1\nvn 0 1 0\n"
                  + "vt 0 0\nvt 1 0\nvt 0 1\ns 1\nusemtl A\n"
                  + lines("f {0}/1/1 {1}/2/1 {2}/3/1", CELLS[:160] + 1) + "g rest\nusemtl B\ns off\n"
                  + lines("f {0}/2/2 {1}/3/2 {2}/1/2", CELLS[160:] + 1)),
    "coloured faces": (".off", f"OFF\n162 320 480\n{PLACES}" + lines("3 {} {} {} 255 0 0", CELLS)),
    "coloured nodes": (".off", "COFF\n# nodes\n162 320 0\n" + lines("{} {} {} 10 20 30 255", NODES.tolist())
                       + lines("3 {} {} {}", CELLS)),
    "polygons of VTK": (".vtk", "# vtk DataFile Version 3.0\nsphere\nASCII\nDATASET POLYDATA\n"
                        f"POINTS 162 double\n{PLACES}POLYGONS 320 1280\n" + lines("3 {} {} {}", CELLS)),
}  # fmt: skip


def written(folder, name, suffix, text):
    path = folder / f"{name.replace(' ', '-')}{suffix}"
    path.write_text(text)
    return path


@pytest.mark.parametrize("name", VARIANTS)
def test_variants_of_other_programs_are_read(name, tmp_path, capfd):
    if name == "polygons of VTK":
        pytest.importorskip("pyvista")
    mesh = read_usable_mesh(written(tmp_path, name, *VARIANTS[name]))
    assert mesh.node_count == 162
    assert as_set(mesh) == as_set(ROUND)
    assert capfd.readouterr() == ("", "")


def test_quads_of_off_and_obj_are_split(tmp_path):
    faces = [*TRIANGLES.tolist(), *QUADS.tolist()]
    off = f"OFF\n{len(GLOBE)} {len(faces)} 0\n" + lines("{!r} {!r} {!r}", GLOBE.tolist())
    off += "".join(f"{len(f)} {' '.join(map(str, f))}\n" for f in faces)
    obj = lines("v {!r} {!r} {!r}", GLOBE.tolist())
    obj += "".join(f"f {' '.join(str(k + 1) for k in f)}\n" for f in faces)
    for suffix, text in ((".off", off), (".obj", obj)):
        mesh = read_usable_mesh(written(tmp_path, "globe", suffix, text))
        assert mesh.cell_count == len(TRIANGLES) + 2 * len(QUADS)


def far(nodes):
    return 6371 * nodes + [10.0, -20, 30]


def soup(nodes, shift):
    """Triangles that share no node; the copies of a node are a little apart."""
    corners = nodes[CELLS].reshape(-1, 3)
    apart = np.random.default_rng(0).uniform(-shift, shift, corners.shape)
    return corners + apart, np.arange(len(corners)).reshape(-1, 3)


# points, cells, what is wrong, and the option that repairs it
REPAIRED = {
    "five digits": (np.round(NODES, 5), [("triangle", CELLS)], "off the unit sphere", "--project"),
    "in kilometres": (far(NODES), [("triangle", CELLS)], "radius 6371", "--project"),
    "copies": (soup(NODES, 2e-8)[0], [("triangle", soup(NODES, 0)[1])], "open", "--merge 0.0003"),
    "copies of five digits": (soup(NODES, 5e-6)[0], [("triangle", soup(NODES, 0)[1])], "off",
                              "--project --merge 0.0003"),
    "quads": (GLOBE, [("triangle", TRIANGLES), ("quad", QUADS)], "triangles (quad)", "--triangulate"),
}  # fmt: skip


@pytest.mark.parametrize("name", REPAIRED)
def test_the_refusal_names_the_command_that_repairs(name, tmp_path, monkeypatch, capsys):
    """It is run as it stands there, and the mesh is usable."""
    points, cells, wrong, options = REPAIRED[name]
    monkeypatch.chdir(tmp_path)
    meshio.Mesh(points, cells).write("mine.vtu")
    said = refusal(["mesh", "check", "mine.vtu"], capsys).err
    assert wrong in said
    command = said.strip().partition(" with: uf-diffusion ")[2]
    assert command == f"mesh convert mine.vtu repaired.vtu {options}"
    with pytest.raises(SystemExit) as stopped:
        main(shlex.split(command))
    assert stopped.value.code == 0
    assert "problem" not in capsys.readouterr().out
    mesh = read_usable_mesh(tmp_path / "repaired.vtu")
    assert np.abs(np.linalg.norm(mesh.nodes, axis=1) - 1).max() < 1e-6
    if name != "quads":
        assert (mesh.node_count, mesh.cell_count) == (162, 320)
        assert np.abs(np.sort(mesh.nodes[:, 2]) - np.sort(NODES[:, 2])).max() < 1e-5


def test_a_repaired_mesh_is_solved_on(tmp_path, monkeypatch):
    """The density at the nodes differs from that of the mesh with all digits by the rounding."""
    pytest.importorskip("dolfinx")
    import uf_diffusion as uf

    monkeypatch.chdir(tmp_path)
    meshio.Mesh(np.round(NODES, 5), [("triangle", CELLS)]).write("mine.ply")
    with pytest.raises(SystemExit):
        main(["mesh", "convert", "mine.ply", "round.msh", "--project"])
    problem = uf.Problem(SPHERE, uf.VonMisesFisher(SPHERE, kappa=3.0), uf.Uniform())
    found, right = (
        uf.solve(problem, until=0.1, snapshots=2, mesh=mesh, step=0.05, cautious=False)
        for mesh in ("round.msh", Triangulation(SPHERE, NODES, CELLS))
    )
    assert np.abs(found.density - right.density).max() < 1e-4 * right.density.max()
    assert found.density[-1].std() > 0.01


def test_what_cannot_be_repaired_gets_no_command(tmp_path):
    meshio.Mesh(NODES, [("triangle", CELLS[1:])]).write(tmp_path / "hole.vtu")
    with pytest.raises(InputError, match=r"is open \(3 edges in one triangle only\)\.$"):
        read_usable_mesh(tmp_path / "hole.vtu")


def test_convert_says_what_is_left(tmp_path, capsys):
    meshio.Mesh(np.round(NODES, 5), [("triangle", CELLS[1:])]).write(tmp_path / "hole.vtu")
    with pytest.raises(SystemExit) as stopped:
        main(["mesh", "convert", str(tmp_path / "hole.vtu"), str(tmp_path / "a.off"), "--project"])
    assert stopped.value.code == 0
    assert "problem   The mesh is open" in capsys.readouterr().out
    assert inspect_mesh(read_mesh(tmp_path / "a.off")).off_sphere < 1e-15
    for tolerance, hint in (("-1", "not negative"), ("3", "leaves no triangle")):
        words = [str(tmp_path / "hole.vtu"), str(tmp_path / "a.off"), "--merge", tolerance]
        assert hint in refusal(["mesh", "convert", *words], capsys).err


REASONS = {
    "a.off": ("OFF\n3 1 0\n0 0 1\n", "cannot reshape"),
    "a.obj": ("v 1 0 0\nv 0 1 0\nv 0 0 1\nf 1 2 9\n", "out of bounds"),
    "a.vtk": ("# vtk DataFile Version 3.0\nx\nASCII\nDATASET FIELD\n", "supported (not FIELD)"),
    "a.toml": ("[problem]\n", "Could not deduce file format"),
}


@pytest.mark.parametrize("name", REASONS)
def test_the_refusal_has_the_reason(name, tmp_path):
    text, reason = REASONS[name]
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError) as raised:
        read_mesh(tmp_path / name)
    assert reason in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("missing, name", [("trimesh", "normals"), ("pyvista", "polygons of VTK")])
def test_a_package_that_is_missing_gets_a_sentence(missing, name, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, missing, None)
    path = written(tmp_path, name, *VARIANTS[name])
    with pytest.raises(InputError, match=rf"need {missing}: install it with `pip install"):
        read_mesh(path)


def test_pipes_are_not_read(tmp_path):
    """Neither as the mesh nor as the file that an XDMF file names; reading one would not end."""
    os.mkfifo(tmp_path / "a.stl")
    with pytest.raises(InputError, match="pipe or a device"):
        read_mesh(tmp_path / "a.stl")
    heavy = tmp_path / "a.xdmf"
    meshio.Mesh(NODES, [("triangle", CELLS)]).write(heavy)
    assert as_set(read_mesh(heavy)) == as_set(ROUND)
    (tmp_path / "a.h5").unlink()
    os.mkfifo(tmp_path / "a.h5")
    with pytest.raises(InputError, match=r"a\.h5': it is a pipe"):
        read_mesh(heavy)
