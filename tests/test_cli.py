"""The command line as a user meets it: run folder, one-sentence errors, life without DOLFINx."""

import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest
from processes import cli, without_warnings

from uf_diffusion.results.netcdf import read_result

FAST = ["--set", "problem.t_end=0.0625", "--set", "network.width=16", "--set", "network.samples=40",
        "--set", "network.teacher_width=40", "--set", "diffusion.cells=64",
        "--set", "diffusion.snapshots=3"]  # fmt: skip


def test_compare_writes_the_whole_run_folder(tmp_path):
    """Every file of the contract; the run can be repeated from its own run.toml."""
    pytest.importorskip("dolfinx")
    folder = tmp_path / "run"
    done = cli("compare", "relu-circle", *FAST, "--out", folder)
    assert done.returncode == 0, done.stderr
    assert without_warnings(done.stderr) == ""
    assert all(line in done.stdout for line in done.stderr.splitlines())
    names = {p.name for p in folder.iterdir()}
    assert names == {"run.toml", "result.nc", "figure.png", "figure.pdf", "report.html",
                     "fields.bp"}  # fmt: skip
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
        children = set(read_result(tmp_path / command / "result.nc").children)
        assert children == {group, "timings"}
    info = cli("info")
    assert info.returncode == 0
    assert "PETSc" in info.stdout
    assert "mumps" in info.stdout


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


def test_an_interrupted_run_leaves_nothing_half_written(tmp_path):
    """No result appears, there is a checkpoint; without it the folder can be used for another run."""
    folder = tmp_path / "run"
    args = ["train", *FAST, "--set", "problem.t_end=1000", "--out", str(folder)]
    running = subprocess.Popen(
        [sys.executable, "-m", "uf_diffusion", *args], stderr=subprocess.PIPE, text=True
    )
    while not (folder / "checkpoint.nc").exists():
        assert running.poll() is None
        time.sleep(0.05)
    running.send_signal(signal.SIGINT)
    _, stderr = running.communicate(timeout=60)
    assert running.returncode == 130
    assert without_warnings(stderr).startswith("uf-diffusion: Interrupted at t = ")
    assert stderr.endswith(f". Go on with: uf-diffusion resume {folder}\n")
    assert {p.name for p in folder.glob("[!.]*")} == {"run.toml", "checkpoint.nc"}
    other = cli("train", *FAST, "--out", folder)
    assert other.returncode == 1
    assert f"remove the file '{folder / 'checkpoint.nc'}'" in other.stderr
    (folder / "checkpoint.nc").unlink()
    assert cli("train", *FAST, "--out", folder).returncode == 0
