"""The command line as a user meets it: run folder, one-sentence errors, life without DOLFINx."""

import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from uf_diffusion.cli import main
from uf_diffusion.store import read_result

FAST = ["--set", "problem.t_end=0.0625", "--set", "network.width=16", "--set", "network.samples=40",
        "--set", "network.teacher_width=40", "--set", "diffusion.cells=64",
        "--set", "diffusion.snapshots=3"]  # fmt: skip


def cli(*args, cwd=None, launcher=()):
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PMI", "_PYTEST_MPI"))}
    return subprocess.run(
        [*launcher, sys.executable, "-m", "uf_diffusion", *map(str, args)],
        capture_output=True, text=True, timeout=300, cwd=cwd, env=environment,
    )  # fmt: skip


def test_compare_writes_the_whole_run_folder(tmp_path):
    """Every file of the contract; the run can be repeated from its own run.toml."""
    pytest.importorskip("dolfinx")
    folder = tmp_path / "run"
    done = cli("compare", "relu-circle", *FAST, "--out", folder)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    names = {p.name for p in folder.iterdir()}
    assert names == {"run.toml", "result.nc", "figure.png", "figure.pdf", "fields.bp"}
    assert str(folder / "figure.png") in done.stdout
    again = cli("compare", folder / "run.toml", "--out", tmp_path / "again")
    assert again.returncode == 0
    first, second = (read_result(f / "result.nc") for f in (folder, tmp_path / "again"))
    assert first["comparison"].to_dataset().identical(second["comparison"].to_dataset())
    assert first.attrs["config"] == (folder / "run.toml").read_text()


def test_same_numbers_under_mpiexec(tmp_path):
    """Two ranks against one; options after -- reach PETSc."""
    pytest.importorskip("dolfinx")
    assert cli("compare", "relu-circle", *FAST, "--out", tmp_path / "one").returncode == 0
    two = cli("compare", "relu-circle", *FAST, "--out", tmp_path / "two", "--",
              "-uf_ksp_type", "cg", "-uf_ksp_rtol", "1e-14", launcher=("mpiexec", "-n", "2"))  # fmt: skip
    assert two.returncode == 0, two.stderr
    a, b = (read_result(tmp_path / name / "result.nc") for name in ("one", "two"))
    assert b.attrs["ranks"] == 2
    assert b["diffusion"].density.values == pytest.approx(a["diffusion"].density.values, rel=1e-10)
    assert b["network"].to_dataset().identical(a["network"].to_dataset())
    assert (b["diffusion"].linear_iterations.values[1:] > 0).all()


def test_solve_train_and_info(tmp_path):
    pytest.importorskip("dolfinx")
    for command, group in (("solve", "diffusion"), ("train", "network")):
        done = cli(command, "sphere", *FAST, "--out", tmp_path / command)
        assert done.returncode == 0, done.stderr
        assert set(read_result(tmp_path / command / "result.nc").children) == {group}
    info = cli("info")
    assert info.returncode == 0
    assert "PETSc" in info.stdout
    assert "mumps" in info.stdout


BAD = {
    "unknown preset": (["compare", "relu-circel"], "did you mean 'relu-circle'?"),
    "unknown command": (["compair"], "compare"),
    "unknown option": (["compare", "--outt", "x"], "--out"),
    "missing file": (["solve", "nowhere.toml"], "Cannot read 'nowhere.toml'"),
    "folder as file": (["solve", "folder.toml"], "Cannot read 'folder.toml'"),
    "not TOML": (["solve", "broken.toml"], "not valid TOML"),
    "not text": (["solve", "binary.toml"], "not UTF-8"),
    "unknown section": (["solve", "section.toml"], "did you mean 'network'?"),
    "unknown key": (["train", "--set", "network.widht=3"], "did you mean 'width'?"),
    "set without value": (["train", "--set", "network.width"], "section.key=value"),
    "set not TOML": (["train", "--set", "network.width=[1,"], "not a TOML value"),
    "width 0": (["train", "--set", "network.width=0"], "network.width must be positive"),
    "width not whole": (["train", "--set", "network.width=1.5"], "whole number"),
    "lambda 0": (["train", "--set", "network.lambda=0.0"], "network.lambda must be positive"),
    "lambda negative": (["train", "--set", "network.lambda=-1.0"], "network.lambda must be positive"),
    "lambda nan": (["train", "--set", "network.lambda=nan"], "finite"),
    "step 0": (["train", "--set", "network.step=0"], "network.step must be positive"),
    "step beyond the end": (["compare", "--set", "network.step=30"], "longer than the run"),
    "too wide": (["train", "--set", "network.width=1000000000"], "GiB of memory"),
    "too wide for dense features": (["train", "sphere", "--set", "network.width=10000000", "--set", "diffusion.snapshots=2"], "GiB of memory"),
    "t_end inf": (["solve", "--set", "problem.t_end=inf"], "finite"),
    "t_end negative": (["solve", "--set", "problem.t_end=-1"], "problem.t_end must be positive"),
    "wrong type": (["solve", "--set", "diffusion.cells='many'"], "whole number"),
    "no cells": (["solve", "--set", "diffusion.cells=0"], "diffusion.cells must be positive"),
    "cells beyond all bounds": (["solve", "--set", f"diffusion.cells=1{400 * '0'}"], "smaller than 2^63"),
    "cells as a huge float": (["solve", "--set", "diffusion.cells=1e300"], "smaller than 2^63"),
    "huge seed": (["train", "--set", f"network.seed={2**70}"], "smaller than 2^63"),
    "no density": (["solve", "--set", "problem.initial=''"], "Unknown density kind ''"),
    "unknown scheme": (["solve", "--set", "diffusion.scheme=sdirk"], "did you mean 'sdirk3'?"),
    "degree 4": (["solve", "--set", "diffusion.degree=4"], "diffusion.degree must be 1 or 2 or 3"),
    "degree 3 in 3-D": (["solve", "--set", "problem.manifold=torus", "--set", "problem.dim=3", "--set", "diffusion.degree=3"], "one of 1, 2 in dimension 3"),
    "no eigenvalues": (["spectrum", "--count", "0"], "between 1 and 100"),
    "too many eigenvalues": (["spectrum", "--count", "20", "--set", "diffusion.cells=16"], "too few"),
    "nothing to resume": (["resume", "foreign"], "no checkpoint"),
    "rtol 0": (["solve", "--set", "diffusion.rtol=0"], "between 0 and 1"),
    "manifold": (["solve", "--set", "problem.manifold=spere"], "did you mean 'sphere'?"),
    "dimension": (["solve", "--set", "problem.manifold=torus", "--set", "problem.dim=4"], "dimension"),
    "period": (["solve", "radial-torus", "--set", "problem.period=-4"], "period must be positive"),
    "regulariser": (["solve", "--set", "problem.regulariser=entropie"], "did you mean 'entropy'?"),
    "power": (["solve", "--set", "problem.regulariser=power", "--set", "problem.power=9"], "(1, 4]"),
    "kernel": (["train", "--set", "network.kernel=sampeld"], "did you mean 'sampled'?"),
    "algorithm": (["train", "--set", "network.algorithm=varpor"], "did you mean 'varpro'?"),
    "ratio 0": (["train", "--set", "network.ratio=0"], "network.ratio must be positive"),
    "network rtol": (["train", "--set", "network.rtol=2"], "network.rtol must lie"),
    "truncation 0": (["train", "--set", "network.truncation=0"], "network.truncation must be positive"),
    "low-rank of everything": (["train", "radial-torus", "--set", "network.kernel=low-rank", "--set", "network.truncation=1e-9"], "more than"),
    "quantiles": (["train", "sphere", "--set", "network.placement=quantile"], "one dimension"),
    "gamma negative": (["solve", "--set", "problem.teacher.gamma=-1"], "gamma must be"),
    "gamma inf": (["solve", "--set", "problem.teacher.gamma=inf"], "gamma must be"),
    "density kind": (["solve", "--set", "problem.teacher=bumbs"], "did you mean 'bumps'?"),
    "density key": (["solve", "--set", "problem.teacher.gama=1"], "did you mean 'gamma'?"),
    "density home": (["solve", "sphere", "--set", "problem.teacher={kind='bumps'}"], "circle and the torus"),
    "weights": (["solve", "--set", "problem.teacher={kind='bumps', weights=[1, -1]}"], "positive"),
    "negative density": (["solve", "negative.toml"], "is negative"),
    "nan density": (["solve", "nan.toml"], "not finite"),
    "vanishing density": (["solve", "vanishing.toml"], "positive and finite"),
    "no such function": (["solve", "--set", "problem.teacher={kind='python', function='os:nope'}"], "Cannot import"),
    "features": (["train", "--set", "network.features=radial"], "live on the torus"),
    "population": (["train", "radial-torus", "--set", "network.kernel=population"], "closed form"),
    "even placement": (["train", "radial-torus", "--set", "network.placement=even"], "2-th power"),
    "mesh missing": (["mesh", "check", "nowhere.msh"], "Cannot read 'nowhere.msh'"),
    "mesh folder": (["mesh", "check", "foreign"], "Cannot read 'foreign': Is a directory"),
    "mesh not a mesh": (["mesh", "convert", "binary.toml", "x.msh"], "not a complete mesh file"),
    "mesh format": (["mesh", "make", "x.doc"], ".msh"),
    "mesh cells": (["mesh", "make", "x.msh", "--cells", "0"], "--cells must be positive"),
    "mesh place": (["mesh", "make", "nowhere/x.msh", "--cells", "20"], "Cannot write 'nowhere/x.msh'"),
    "mesh of a run": (["solve", "sphere", "--set", "diffusion.mesh='nowhere.msh'"], "nowhere.msh': No such file"),
    "mesh of a circle": (["solve", "--set", "diffusion.mesh='x.msh'"], "dimension 2 only"),
    "foreign folder": (["train", "--out", "foreign"], "not a run's folder"),
    "file as folder": (["train", "--out", "binary.toml"], "Cannot write"),
}  # fmt: skip


@pytest.fixture(scope="module")
def mistakes(tmp_path_factory):
    """A folder with the files that the bad cases name."""
    folder = tmp_path_factory.mktemp("mistakes")
    (folder / "folder.toml").mkdir()
    (folder / "foreign").mkdir()
    (folder / "foreign" / "thesis.tex").write_text("do not touch")
    (folder / "broken.toml").write_text("[network\nwidth = 3")
    (folder / "binary.toml").write_bytes(b"\xff\xfe\x00")
    (folder / "section.toml").write_text("[netwrok]\nwidth = 3\n")
    (folder / "wrong.py").write_text(
        textwrap.dedent("""\
        import numpy as np
        def negative(x): return x[:, 0]
        def nan(x): return np.where(x[:, 0] > 0, np.nan, 1.0)
        def vanishing(x): return np.maximum(x[:, 0], 0)
        """)
    )
    for name in ("negative", "nan", "vanishing"):
        (folder / f"{name}.toml").write_text(
            f"[problem]\nteacher = {{kind = 'python', function = 'wrong:{name}'}}\n"
        )
    return folder


@pytest.mark.parametrize("case", BAD)
def test_bad_input_gets_one_sentence(case, mistakes, monkeypatch, capsys):
    """Non-zero exit, one line on stderr with a hint, no traceback, nothing written."""
    pytest.importorskip("dolfinx")
    args, hint = BAD[case]
    monkeypatch.chdir(mistakes)
    with pytest.raises(SystemExit) as stopped:
        main(args)
    printed = capsys.readouterr()
    assert stopped.value.code == 1
    assert printed.out == ""
    assert hint in printed.err
    assert printed.err.startswith("uf-diffusion: ")
    assert printed.err.count("\n") == 1
    assert "Traceback" not in printed.err
    assert list((mistakes / "foreign").iterdir()) == [mistakes / "foreign" / "thesis.tex"]
    assert not list(mistakes.glob("runs/*/result.nc"))


def test_bad_input_from_a_shell(mistakes):
    """The same through a real process."""
    done = cli("compare", "relu-circel", cwd=mistakes)
    assert done.returncode == 1
    assert done.stderr == (
        "uf-diffusion: Unknown preset (and not a .toml file) 'relu-circel': "
        "did you mean 'relu-circle'?\n"
    )


def test_bad_input_is_the_same_on_all_ranks(mistakes):
    pytest.importorskip("dolfinx")
    done = cli("solve", "vanishing.toml", cwd=mistakes, launcher=("mpiexec", "-n", "2"))
    assert done.returncode != 0
    assert done.stderr.count("uf-diffusion: ") == 1
    assert "Traceback" not in done.stderr


def test_network_side_lives_without_dolfinx(tmp_path):
    """With DOLFINx, PETSc and mpi4py out of reach: train works, solve says what to install."""
    (tmp_path / "sitecustomize.py").write_text(
        textwrap.dedent("""\
        import sys
        class Blocked:
            def find_spec(self, name, path=None, target=None):
                if name.split('.')[0] in ('dolfinx', 'petsc4py', 'mpi4py', 'ufl', 'basix'):
                    raise ImportError(f'{name} is blocked')
        sys.meta_path.insert(0, Blocked())
        """)
    )
    code = "import uf_diffusion.cli as c; c.main()"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    for command, good in (("train", True), ("solve", False), ("compare", False), ("info", True)):
        args = [] if command == "info" else [*FAST, "--out", str(tmp_path / command)]
        done = subprocess.run(
            [sys.executable, "-c", code, command, *args],
            capture_output=True, text=True, env=environment, timeout=300,
        )  # fmt: skip
        assert (done.returncode == 0) == good, done.stderr
        if not good:
            assert "needs DOLFINx: install it with `pip install 'uf-diffusion[fem]'`" in done.stderr
            assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=["ctrl-C", "kill"])
def test_an_interrupted_run_leaves_nothing_half_written(tmp_path, number):
    """No result appears, Ctrl-C leaves a checkpoint, and the folder can be used again."""
    folder = tmp_path / "run"
    args = ["train", *FAST, "--set", "problem.t_end=1000", "--out", str(folder)]
    running = subprocess.Popen(
        [sys.executable, "-m", "uf_diffusion", *args], stderr=subprocess.PIPE, text=True
    )
    while not (folder / "run.toml").exists():
        assert running.poll() is None
        time.sleep(0.05)
    time.sleep(1)
    running.send_signal(number)
    _, stderr = running.communicate(timeout=60)
    if number == signal.SIGINT:
        assert running.returncode == 130
        assert stderr.startswith("uf-diffusion: Interrupted at t = ")
        assert stderr.endswith(f"go on with: uf-diffusion resume {folder}\n")
    left = {"run.toml"} | ({"checkpoint.nc"} if number == signal.SIGINT else set())
    assert {p.name for p in folder.iterdir()} == left
    assert cli("train", *FAST, "--out", folder).returncode == 0
