"""Without the extra [fem]: what needs it says so in one sentence before any work."""

import sys
from importlib.util import find_spec

import pytest
from processes import refusal

import uf_diffusion as uf
from uf_diffusion.cli import app, main
from uf_diffusion.core.environment import require_mpi4py
from uf_diffusion.core.errors import InputError
from uf_diffusion.library import commands

SMALL = [word for pair in (
    "problem.t_end=0.0625", "network.width=16", "network.samples=40", "network.teacher_width=36",
    "network.step=0.0078125", "diffusion.snapshots=3", "diffusion.cells=64",
) for word in ("--set", pair)]  # fmt: skip
DOLFINX, MESHES, MESHIO = (
    "needs DOLFINx: install it with",
    "trimesh: install it with",
    "meshio: install it with",
)
FEM = (
    "dolfinx",
    "petsc4py",
    "slepc4py",
    "mpi4py",
    "mpi4py.MPI",
    "ufl",
    "basix",
    "ffcx",
    "meshio",
    "trimesh",
)

JAX = "Deep networks need JAX"

# for each command: its arguments, and what it says; None where it works
CASES = {
    "solve": (["solve", *SMALL, "--out", "new"], DOLFINX),
    "solve with options of PETSc": (["solve", *SMALL, "--out", "new", "--", "-a"], DOLFINX),
    "train": (["train", *SMALL, "--out", "new"], None),
    "compare": (["compare", *SMALL, "--out", "new"], DOLFINX),
    "compare --budget": (["compare", "--budget", *SMALL, "--out", "new"], DOLFINX),
    "spectrum": (["spectrum", *SMALL, "--out", "new"], None),
    "study mesh": (["study", "mesh", "--out", "new"], DOLFINX),
    "study lambda": (["study", "lambda", "--out", "new"], DOLFINX),
    "figures": (["figures", "--quick", "--out", "new"], DOLFINX),
    "figures without runs": (["figures", "relu-teachers", "--quick", "--out", "new"], None),
    "mesh check": (["mesh", "check", "a.off"], MESHES),
    "mesh make": (["mesh", "make", "b.off", "--cells", "20"], MESHIO),
    "mesh convert": (["mesh", "convert", "a.off", "b.off"], MESHES),
    "export": (["export", "run", "a.vtu", "--network"], MESHIO),
    "export csv": (["export", "run", "a.csv", "--network"], None),
    "report": (["report", "run"], None),
    "open": (["open", "run"], None),
    "resume": (["resume", "new"], "there is nothing to go on with"),
    "keys": (["keys"], None),
    "deep": (["deep", "cifar", "new"], "holds neither" if find_spec("jax") else JAX),
    "info": (["info"], None),
}


def sphere():
    return uf.Problem(uf.Sphere(2), teacher=uf.Uniform())


CALLS = {
    "solve": lambda p: uf.solve(p, until=0.1),
    "solve on a mesh": lambda p: uf.solve(sphere(), until=0.1, mesh="a.off"),
    "evolution": lambda p: uf.evolution(p),
    "stepping": lambda p: next(uf.stepping(p, until=0.1)),
    "run": lambda p: uf.run("relu-circle", "solve"),
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    uf.run("relu-circle", "train", out=folder / "run", overrides=SMALL[1::2])
    return folder


@pytest.fixture
def without_fem(monkeypatch):
    """As if nothing of the extra were installed."""
    for name in list(sys.modules):
        if name.startswith("uf_diffusion.diffusion") or name.partition(".")[0] in FEM:
            monkeypatch.delitem(sys.modules, name)
    for name in FEM:
        monkeypatch.setitem(sys.modules, name, None)


def test_every_command_has_its_case():
    known = {words[0] for words, _ in CASES.values()}
    assert {name for name in app if not name.startswith("-")} == known


@pytest.mark.parametrize("case", CASES)
def test_every_command(case, trained, without_fem, tmp_path, monkeypatch, capsys):
    words, hint = CASES[case]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(commands.webbrowser, "open", lambda url: False)
    (tmp_path / "run").symlink_to(trained / "run")
    (tmp_path / "a.off").write_text("OFF\n")
    if hint is not None:
        assert hint in refusal(words, capsys).err
        assert not list(tmp_path.rglob("*.nc"))
        return
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert not ended.value.code


@pytest.mark.parametrize("case", CALLS)
def test_every_call(case, without_fem, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.off").write_text("OFF\n")
    with pytest.raises(InputError, match="install it with") as refused:
        CALLS[case](uf.Problem(uf.Circle(), teacher=uf.Bumps(gamma=10.0)))
    assert "\n" not in str(refused.value)


def test_several_processes_need_mpi4py(without_fem, monkeypatch):
    """Otherwise each would do the whole work, and they would write the same files."""
    require_mpi4py()
    monkeypatch.setenv("PMI_SIZE", "2")
    with pytest.raises(InputError, match="need mpi4py to work together"):
        require_mpi4py()
