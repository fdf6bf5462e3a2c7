"""The command line as a user meets it: run folder, one-sentence errors, life without DOLFINx."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
import time
import tomllib
import webbrowser
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from processes import cli, refusal, without_warnings

from uf_diffusion import load_config
from uf_diffusion.cli import app, main
from uf_diffusion.core import progress
from uf_diffusion.problem.own_densities import Function
from uf_diffusion.reports.keys import DENSITY_KEYS, key_rows
from uf_diffusion.results.netcdf import read_result
from uf_diffusion.runs.building import DENSITIES
from uf_diffusion.runs.checkpoints import Checkpoints, interrupted
from uf_diffusion.runs.config import Config
from uf_diffusion.runs.jobs import train
from uf_diffusion.runs.setup import Setup
from uf_diffusion.runs.stored import BEFORE, CHECKPOINT, Job

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
                     "fields.bp", "state.nc"}  # fmt: skip
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
    names = {p.name for p in folder.glob("[!.]*")}
    assert names == {"run.toml", "checkpoint.nc", "checkpoint-before.nc"}
    other = cli("train", *FAST, "--out", folder)
    assert other.returncode == 1
    assert "or give it up with --force" in other.stderr
    assert cli("train", *FAST, "--out", folder, "--force").returncode == 0


def test_quiet_says_nothing_but_warnings(tmp_path):
    """Also what is found after the run, which the summary would have said."""
    coarse = [*FAST, "--set", "network.teacher_width=3", "--set", "network.width=3"]
    done = cli("train", *coarse, "--out", tmp_path / "quiet", "--quiet")
    assert done.returncode == 0
    assert done.stdout == ""
    assert without_warnings(done.stderr) == ""
    warnings = read_result(tmp_path / "quiet" / "result.nc").attrs["warnings"].splitlines()
    assert done.stderr.splitlines() == [f"warning   {sentence}" for sentence in warnings]
    usual = cli("train", *coarse, "--out", tmp_path / "usual")
    assert "network   3 neurons" in usual.stdout
    both = cli("train", *FAST, "--out", tmp_path / "both", "--quiet", "--verbose")
    assert both.returncode == 1
    assert "Of --quiet and --verbose one can be given, not both." in both.stderr
    assert not (tmp_path / "both").exists()


def test_verbose_says_where_the_time_went(tmp_path):
    """And the wall time is that of the whole process, imports and writing included."""
    begin = time.time()
    done = cli("train", *FAST, "--out", tmp_path, "--verbose")
    took = time.time() - begin
    assert done.returncode == 0
    assert re.search(r"^ +\d+\.\d+ s +1 x  network$", done.stdout, re.MULTILINE)
    assert f"numpy          {np.__version__}" in done.stdout
    said = float(re.search(r"^time +([\d.]+) s on 1 rank", done.stdout, re.MULTILINE)[1])
    assert read_result(tmp_path / "result.nc").attrs["wall_seconds"] < said < took + 0.1
    refused = cli("train", "--set", "network.width=0", "--verbose")
    assert refused.stderr.startswith("Traceback")
    assert refused.stderr.splitlines()[-1].startswith("uf-diffusion: network.width must be")


def run(args):
    """A command in this process, to its good end."""
    with pytest.raises(SystemExit) as stopped:
        main(args)
    assert not stopped.value.code


def begun(folder, *more):
    """Another run's checkpoint in a folder; the files that are there."""
    config = load_config("relu-circle", ["problem.t_end=0.0625", "network.width=16",
                         "network.samples=40", "network.teacher_width=40",
                         "diffusion.snapshots=3", "diffusion.checkpoint=1e-9", *more])  # fmt: skip

    def stop(state):
        if state.step == 6:
            raise KeyboardInterrupt

    with contextlib.suppress(KeyboardInterrupt):
        train(Setup(config), folder, [stop], cautious=False)
    return {p.name: p.read_bytes() for p in folder.iterdir()}


@pytest.mark.parametrize("command", ["train", "spectrum"])
def test_force_gives_up_another_run(command, tmp_path, capsys):
    """Once it has begun: a command that is refused leaves the other run as it was."""
    before = begun(tmp_path)
    arguments = [command, *FAST, "--out", str(tmp_path)]
    assert "holds the checkpoint of another" in refusal(arguments, capsys).err
    bad = {"train": ["--set", "network.width=1000000000"], "spectrum": ["--count", "0"]}
    refusal([*arguments, "--force", *bad[command]], capsys)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before
    run([*arguments, "--force"])
    names = {p.name for p in tmp_path.iterdir()}
    state = {"state.nc"} if command == "train" else set()
    assert names == {"run.toml", "result.nc", "figure.png", "figure.pdf"} | state
    config = tomllib.loads((tmp_path / "run.toml").read_text())
    assert config["diffusion"]["checkpoint"] == 60.0


def test_force_takes_what_cannot_be_read(tmp_path, capsys):
    """Damaged checkpoints are given up, too."""
    assert begun(tmp_path).keys() >= {CHECKPOINT, BEFORE}
    for name in (CHECKPOINT, BEFORE):
        (tmp_path / name).write_bytes(b"nonsense")
    arguments = ["train", *FAST, "--out", str(tmp_path)]
    assert "is damaged" in refusal(arguments, capsys).err
    run([*arguments, "--force"])
    assert not {CHECKPOINT, BEFORE} & {p.name for p in tmp_path.iterdir()}


def test_force_goes_on_with_its_own_run(tmp_path, monkeypatch):
    """What the same command has begun is not thrown away; nor what it begins and is broken off."""
    begun(tmp_path, "network.seed=3")
    steps = []

    def look(self, side, pack):
        return lambda state: steps.append(state.step)

    monkeypatch.setattr(Checkpoints, "watch", look)
    same = [word for pair in ("problem.t_end=0.0625", "network.width=16", "network.samples=40",
            "network.teacher_width=40", "diffusion.snapshots=3", "diffusion.checkpoint=1e-9",
            "network.seed=3") for word in ("--set", pair)]  # fmt: skip
    run(["train", *same, "--out", str(tmp_path), "--force"])
    assert steps[0] == 6


def test_force_keeps_what_it_has_begun(tmp_path, monkeypatch, capsys):
    """Broken off, it is the new run that can be gone on with."""
    begun(tmp_path)

    def stop(self, side, pack):
        raise KeyboardInterrupt

    monkeypatch.setattr(Checkpoints, "watch", stop)
    with pytest.raises(SystemExit) as stopped:
        main(["train", *FAST, "--out", str(tmp_path), "--force"])
    assert stopped.value.code == 130
    assert "Go on with: uf-diffusion resume" in capsys.readouterr().err
    job = interrupted(tmp_path)
    assert job == Job("train", job.config)
    assert job.config.diffusion.checkpoint == 60.0
    assert {p.name for p in tmp_path.iterdir()} == {"run.toml", CHECKPOINT}


def test_force_never_takes_a_foreign_folder(tmp_path, capsys):
    (tmp_path / "letter.txt").write_text("dear reader")
    said = refusal(["train", *FAST, "--out", str(tmp_path), "--force"], capsys).err
    assert "not a run's folder" in said
    assert [p.name for p in tmp_path.iterdir()] == ["letter.txt"]


def test_force_of_a_study(tmp_path, capsys):
    begun(tmp_path)
    arguments = ["study", "samples", "--values", "4,8,16", "--seeds", "1", *FAST,
                 "--set", "network.step=0.0078125", "--out", str(tmp_path)]  # fmt: skip
    assert "holds the checkpoint of another" in refusal(arguments, capsys).err
    run([*arguments, "--force", "--quiet"])
    assert capsys.readouterr().out == ""
    assert (tmp_path / "study.nc").exists()
    assert not list(tmp_path.glob("*checkpoint*"))


def test_keys_are_all_keys(capsys):
    """With the defaults of the code, units and meanings; those of densities, too."""
    run(["keys"])
    printed = capsys.readouterr().out
    rows = list(key_rows())
    assert all(len(row) == 4 and row[3] for row in rows)
    for section, table in tomllib.loads(Config().to_toml()).items():
        for key in table:
            line = next(x for x in printed.splitlines() if x.startswith(f"{section}.{key} "))
            assert len(line.split()) > 3
    assert re.search(r"^network\.lambda +0\.001 +- +regularisation", printed, re.MULTILINE)
    assert re.search(r"^diffusion\.checkpoint +60\.0 +seconds +", printed, re.MULTILINE)
    assert DENSITY_KEYS.keys() == DENSITIES.keys()
    for kind, cls in DENSITIES.items():
        known = {f.name: f.default for f in fields(cls) if f.init and f.name != "manifold"}
        if not issubclass(cls, Function):
            assert DENSITY_KEYS[kind].keys() == known.keys()
            for name, (default, *_) in DENSITY_KEYS[kind].items():
                assert known[name] is None or repr(known[name]) == default


def test_progress_in_lines(tmp_path, monkeypatch, capsys):
    """Without a terminal the command line tells how far it is, unless it is quiet."""
    monkeypatch.setattr(progress, "FIRST_LINE", 0.0)
    run(["train", *FAST, "--out", str(tmp_path)])
    line = without_warnings(capsys.readouterr().err)
    assert re.fullmatch(
        r"network   t = \S+ of 0\.0625, \d+ %, \d+ s gone, about \S+ s left\n", line
    )
    run(["train", *FAST, "--out", str(tmp_path), "--quiet"])
    assert without_warnings(capsys.readouterr().err) == ""


@pytest.fixture
def trained(tmp_path, capsys):
    folder = tmp_path / "run"
    run(["train", *FAST, "--out", str(folder), "--quiet"])
    capsys.readouterr()
    return folder


def test_open_shows_the_report(trained, monkeypatch, capsys):
    """Written where it is missing, and only there; without a browser a sentence says where it is."""
    shown = []
    monkeypatch.setattr(webbrowser, "open", lambda url: not shown.append(url))
    run(["open", str(trained)])
    report = trained / "report.html"
    assert shown == [report.resolve().as_uri()]
    assert capsys.readouterr().out == f"report    {report.resolve()}\n"
    report.write_text("another")
    monkeypatch.setattr(webbrowser, "open", lambda url: False)
    run(["open", str(trained)])
    assert report.read_text() == "another"
    assert capsys.readouterr().out == (
        f"There is no browser here that could be started; the report is '{report.resolve()}'.\n"
    )
    assert "There is no file" in refusal(["open", str(trained / "nowhere")], capsys).err


def test_export_from_the_command_line(trained, tmp_path, capsys):
    """Of a run's folder or its result.nc; mistakes are one sentence."""
    for source in (trained, trained / "result.nc"):
        run(["export", str(source), str(tmp_path / "a.csv")])
        assert "neurons   16, " in capsys.readouterr().out
        assert (tmp_path / "a.csv").read_text().startswith("time,x,y,outer_weight,neuron_mass")
    for name, said in (("a.doc", "exported as .xdmf, .vtu, .csv, .npz"), ("a", "none of them"),
                       ("a.xdmf", "Neurons move"), ("no/a.csv", "Cannot write")):  # fmt: skip
        assert said in refusal(["export", str(trained), str(tmp_path / name)], capsys).err
    missing = ["export", str(tmp_path / "nowhere"), str(tmp_path / "a.csv")]
    assert "There is no file" in refusal(missing, capsys).err


def test_completion_knows_commands_and_options(tmp_path):
    """The script for bash, as --install-completion writes it."""
    script = app.generate_completion(prog_name="uf-diffusion", shell="bash")
    for word in ("compare", "export", "keys", "--quiet", "--force", "--set", "figures"):
        assert word in script
    home = {**os.environ, "HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "uf_diffusion", "--install-completion", "--shell", "bash",
         "--output", str(tmp_path / "script")],
        env=home, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert str(tmp_path / "script") in done.stdout
    assert (tmp_path / "script").read_text() == script
    if shutil.which("bash"):
        subprocess.run(["bash", "-n", str(tmp_path / "script")], check=True)


def test_info_names_no_mpiexec_that_is_not_there(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    run(["info"])
    assert re.search(r"^mpiexec +none$", capsys.readouterr().out, re.MULTILINE)
    Path(tmp_path / "mpiexec").touch(0o755)
    run(["info"])
    assert f"{tmp_path / 'mpiexec'}" in capsys.readouterr().out
