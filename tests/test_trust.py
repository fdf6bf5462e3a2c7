"""What SECURITY.md promises: no code of a folder is run, no planted link is followed, no pipe read."""

import os
import shutil
from pathlib import Path

import pytest
from processes import refusal

from uf_diffusion.cli import main
from uf_diffusion.core.errors import InputError
from uf_diffusion.core.files import appearing, write_text
from uf_diffusion.library.calls import load, run
from uf_diffusion.results.netcdf import read_result

SMALL = ["problem.t_end=0.1", "diffusion.cells=64", "diffusion.snapshots=3", "network.width=8",
         "network.samples=16", "network.teacher_width=16", "network.step=0.01"]  # fmt: skip
SETS = [word for text in SMALL for word in ("--set", text)]
OUTPUTS = ["run.toml", "checkpoint.nc", "result.nc", "figure.png", "figure.pdf", "report.html"]


def succeed(*words):
    with pytest.raises(SystemExit) as stopped:
        main(list(map(str, words)))
    assert stopped.value.code in (0, None)


# --- links and pipes


def test_planted_links_are_not_followed(tmp_path):
    """Links at the names of a run's files, and at hidden ones, as someone else may plant them."""
    victim, folder = tmp_path / "victim", tmp_path / "run"
    victim.write_text("precious")
    folder.mkdir()
    (folder / "run.toml").symlink_to(victim)
    for name in OUTPUTS[1:]:
        if name != "checkpoint.nc":  # which would be read
            (folder / name).symlink_to(victim)
    for name in OUTPUTS:
        for hidden in (f".{name}", f"{name}.tmp", f".{name}.tmp", f"{name}~"):
            (folder / hidden).symlink_to(victim)
    succeed("train", "relu-circle", *SETS, "--out", folder, "--force")
    assert victim.read_text() == "precious"
    succeed("report", folder)
    (tmp_path / ".out.csv").symlink_to(victim)
    succeed("export", folder, tmp_path / "out.csv")
    assert victim.read_text() == "precious"
    assert not (folder / "result.nc").is_symlink()
    assert read_result(folder / "result.nc")["network"].sizes["neuron"] == 8


def test_unfinished_files_are_private(tmp_path):
    with appearing(tmp_path / "a.txt") as partial:
        partial.write_text("half")
        assert partial.parent.parent == tmp_path
        assert partial.parent.stat().st_mode & 0o777 == 0o700
        assert not (tmp_path / "a.txt").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
    mask = os.umask(0o027)
    try:
        write_text(tmp_path / "b.txt", "whole")
    finally:
        os.umask(mask)
    assert (tmp_path / "b.txt").stat().st_mode & 0o777 == 0o640


def test_what_a_killed_process_left_is_removed(tmp_path):
    """Also where it was killed before the run's first file, which is no folder of someone else."""
    left = tmp_path / "run" / ".partial-abc"
    left.mkdir(parents=True)
    (left / "run.toml").write_text("[prob")
    succeed("train", "relu-circle", *SETS, "--quiet", "--out", tmp_path / "run")
    assert not left.exists()
    assert (tmp_path / "run" / "result.nc").exists()


IN_THE_WAY = {
    "fields.bp, a link": lambda folder: (folder / "fields.bp").symlink_to(folder.parent),
    "fields.bp, a file": lambda folder: (folder / "fields.bp").write_text("mine"),
    "result.nc, a folder": lambda folder: (folder / "result.nc").mkdir(),
    "figure.png, a folder": lambda folder: (folder / "figure.png").mkdir(),
}


@pytest.mark.parametrize("case", IN_THE_WAY)
def test_what_is_in_the_way_of_a_file_is_noticed_before_the_work(case, tmp_path, capsys):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "run.toml").write_text("")
    IN_THE_WAY[case](folder)
    said = refusal(["solve", "relu-circle", *SETS, "--quiet", "--out", str(folder)], capsys).err
    assert f"{case.partition(',')[0]}' was not written by a run and is in its way" in said
    assert len(list(folder.iterdir())) == 2


def test_pipes_are_refused_and_not_waited_for(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in ("mine.toml", "result.nc", "checkpoint.nc", "mesh.msh"):
        os.mkfifo(name)
    for words in (["solve", "mine.toml"], ["report", "."], ["export", "result.nc", "a.csv"],
                  ["resume", "."], ["mesh", "check", "mesh.msh"],
                  ["solve", "sphere", "--set", "diffusion.mesh=mesh.msh", "--quiet"]):  # fmt: skip
        assert "it is a pipe or a device, not a regular file" in refusal(words, capsys).err


# --- code


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A run whose density notes in a file that its module was imported; and how often that was."""
    home, notes = tmp_path / "home", tmp_path / "imported"
    home.mkdir()
    module = f"with open({str(notes)!r}, 'a') as notes: notes.write('x')\n"
    module += "def three(x): return 2 + x[:, 0]\n"
    (home / "notes_its_import.py").write_text(module)
    (home / "mine.toml").write_text(
        "[problem]\nteacher = {kind = 'python', function = 'notes_its_import:three'}\n"
    )
    monkeypatch.chdir(home)
    return home, lambda: notes.read_text() if notes.exists() else ""


def test_a_result_runs_no_code_unless_trusted(own, capsys):
    """Not even if the folder with the code is the working folder."""
    _, imported = own
    succeed("train", "mine.toml", *SETS, "--quiet", "--out", "run")
    Path("run/report.html").unlink(missing_ok=True)
    before = imported()
    assert before
    succeed("report", "run")
    succeed("open", "run")
    succeed("export", "run", "out.csv")
    back = load("run")
    assert back.outer_weight.shape == (3, 8)
    with pytest.raises(InputError, match=r"is code that a file names.*--trust"):
        _ = back.problem
    assert imported() == before
    assert load("run", trust=True).problem.teacher.name == "notes_its_import:three"
    assert len(imported()) == len(before) + 1


def test_a_configuration_in_a_result_runs_no_code(own, capsys):
    """A manifold of the user's own is needed as soon as the configuration is read."""
    import xarray as xr

    from uf_diffusion.results.netcdf import write_result

    home, imported = own
    config = "[problem]\nmanifold = 'notes_its_import:three'\n"
    write_result(home / "result.nc", xr.DataTree(xr.Dataset(attrs={"config": config})))
    assert "is code that a file names" in refusal(["report", "."], capsys).err
    assert imported() == ""
    assert "failed with TypeError" in refusal(["report", ".", "--trust"], capsys).err
    assert imported() == "x"


def test_resume_runs_no_code_unless_trusted(own, capsys):
    """Repeating the command names the configuration, whose code is trusted."""
    home, imported = own

    def stop(state):
        raise KeyboardInterrupt

    def interrupt():
        with pytest.raises(KeyboardInterrupt):
            run("mine.toml", "train", out="run", overrides=SMALL, watch=[stop])

    interrupt()
    before = imported()
    files = {path: path.read_bytes() for path in Path("run").iterdir()}
    assert "notes_its_import:three' is code" in refusal(["resume", "run"], capsys).err
    assert imported() == before
    assert {path: path.read_bytes() for path in Path("run").iterdir()} == files
    os.chdir("/")  # the module is found beside the configuration, not in the working folder
    succeed("resume", home / "run", "--trust", "--quiet")
    assert (home / "run" / "result.nc").exists()
    os.chdir(home)
    shutil.rmtree(home / "run")
    interrupt()
    succeed("train", "mine.toml", *SETS, "--quiet", "--out", "run")
    assert (home / "run" / "result.nc").exists()


def test_a_run_toml_that_leaves_the_dimension_to_a_manifold_needs_trust(own, capsys):
    """Its manifold is asked for the dimension when run.toml is read."""
    home, _ = own
    (home / "round_place.py").write_text(
        "from uf_diffusion.problem.manifolds import Circle\nplace = Circle(1)\n"
    )
    (home / "mine.toml").write_text("[problem]\nmanifold = 'round_place:place'\n")
    succeed("train", "mine.toml", *SETS, "--quiet", "--out", "run")
    text = Path("run/run.toml").read_text()
    Path("run/run.toml").write_text(text.replace("\ndim = 1\n", "\n"))
    assert Path("run/run.toml").read_text() != text
    for words in (["report", "run"], ["resume", "run"]):
        assert "round_place:place' is code that a file names" in refusal(words, capsys).err
        succeed(*words, "--trust")
