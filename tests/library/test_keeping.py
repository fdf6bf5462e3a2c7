"""Results are kept: what another command or configuration left is never replaced unasked."""

import os
import re
import shutil

import numpy as np
import pytest
from processes import refusal

import uf_diffusion as uf
from uf_diffusion.cli import main
from uf_diffusion.library import commands, saving
from uf_diffusion.reports import html
from uf_diffusion.results.netcdf import read_result
from uf_diffusion.runs.stored import CHECKPOINT, STATE, job_of

SMALL = ["problem.t_end=0.0625", "network.width=16", "network.samples=40",
         "network.teacher_width=40", "network.step=0.0078125", "diffusion.cells=64",
         "diffusion.snapshots=3"]  # fmt: skip


@pytest.fixture
def no_pictures(monkeypatch):
    """They take longest."""
    for module in (saving, commands):
        monkeypatch.setattr(module, "save_figure", lambda *result: None)
    monkeypatch.setattr(html, "write_report", lambda *result: None)


def words(job, *settings, out=None):
    pairs = [word for setting in (*SMALL, *settings) for word in ("--set", setting)]
    return [*job.split(), *pairs, *(["--out", str(out)] if out else [])]


def run(arguments):
    with pytest.raises(SystemExit) as ended:
        main([*arguments, "--quiet"])
    assert not ended.value.code


def contents(folder):
    return {p: p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


STUDY = "study samples --values 4,8,16 --seeds 1"

# what was done in a folder, what is to be done there, and what the refusal says
ANOTHER = {
    "seed": ("train", "train", ["network.seed=1"], "network.seed = 1, and it was 0"),
    "teacher": ("train", "train", ["problem.teacher.gamma=7.0"], "problem.teacher = "),
    "preset": (
        "train",
        "train matern-circle",
        [],
        "problem.t_end|network.features|problem.teacher",
    ),
    "command": ("train", "solve", [], r"another command \(train\)"),
    "comparison": ("train", "compare", [], r"another command \(train\)"),
    "count": ("spectrum --count 4", "spectrum --count 5", [], r"\(spectrum --count 4\)"),
    "spectrum": ("train", "spectrum", [], r"another command \(train\)"),
    "study": ("train", STUDY, [], r"another command \(train\)"),
    "run": (STUDY, "train", [], r"\(study samples --values 4,8,16 --seeds 1\)"),
    "values": (STUDY, STUDY.replace(",16", ""), [], r"\(study samples --values 4,8,16 --seeds 1\)"),
    "shorter": ("train", "train", ["problem.t_end=0.03125"], "problem.t_end = 0.03125, and it was"),
}


@pytest.mark.parametrize("case", ANOTHER)
def test_what_something_else_left_is_kept(case, tmp_path, capsys, no_pictures):
    """One sentence and no file is touched; with --force the folder is that of the new command."""
    pytest.importorskip("dolfinx")
    first, second, settings, said = ANOTHER[case]
    out = tmp_path / "out"
    run(words(first, out=out))
    before = contents(out)
    arguments = words(second, *settings, out=out)
    assert re.search(said, error := refusal(arguments, capsys).err), error
    assert "choose another folder, or replace what is there with --force" in error
    assert contents(out) == before
    run([*arguments, "--force"])
    shutil.copytree(out, tmp_path / "forced")
    shutil.rmtree(out)
    run(arguments)
    names = [
        {p.name for p in f.glob("[!.]*") if p.name != "runs"} for f in (tmp_path / "forced", out)
    ]
    assert names[0] == names[1]
    run(arguments)  # the same again is fine


def test_three_configurations_of_a_preset(tmp_path, monkeypatch, capsys, no_pictures):
    """They all go to runs/relu-circle: the first stays, the others are told."""
    monkeypatch.chdir(tmp_path)
    run(words("train"))
    first = contents(tmp_path / "runs" / "relu-circle")
    for width in (17, 18):
        said = refusal(words("train", f"network.width={width}"), capsys).err
        assert f"network.width = {width}, and it was 16" in said
    assert contents(tmp_path / "runs" / "relu-circle") == first


@pytest.mark.parametrize(
    "name", ["fields.bp", "figure.png", "report.html", "result.nc", "study.nc"]
)
def test_foreign_files_are_kept(name, tmp_path, capsys, no_pictures):
    """A run.toml alone makes no result ours: what somebody put beside it is not removed."""
    (tmp_path / "run.toml").write_text("[network]\nwidth = 16\n")
    if name == "fields.bp":
        (tmp_path / name).mkdir()
        (tmp_path / name / "data.0").write_text("a week's work")
    else:
        (tmp_path / name).write_text("a week's work")
    before = contents(tmp_path)
    assert f"holds '{name}' of something else" in refusal(words("train", out=tmp_path), capsys).err
    assert contents(tmp_path) == before
    run([*words("train", out=tmp_path), "--force"])
    assert not (tmp_path / "fields.bp").exists()
    assert job_of(tmp_path / "result.nc").name == "train"


def test_a_link_in_the_place_of_the_fields(tmp_path, capsys, no_pictures):
    """What it leads to is not ours either, even where there is nothing."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "run.toml").write_text("")
    os.symlink(tmp_path / "nowhere", tmp_path / "out" / "fields.bp")
    said = refusal(words("train", out=tmp_path / "out"), capsys).err
    assert "fields.bp' was not written by a run and is in its way" in said


def test_a_folder_with_a_configuration_alone_is_free(tmp_path, no_pictures):
    (tmp_path / "run.toml").write_text("[network]\nwidth = 3\n")
    run(words("train", out=tmp_path))
    assert job_of(tmp_path / "result.nc").config.network.width == 16


def test_a_result_of_other_inputs_is_kept(tmp_path, capsys, no_pictures):
    """The command is the same, but the density that its module computes is not."""
    own, out = tmp_path / "own.py", tmp_path / "out"
    (tmp_path / "own.toml").write_text(
        "[problem]\nteacher = {kind = 'python', function = 'own:peak'}\n"
    )
    own.write_text("import numpy as np\n\ndef peak(x):\n    return np.exp(x[:, 0])\n")
    arguments = words(f"train {tmp_path / 'own.toml'}", out=out)
    run(arguments)
    run(arguments)
    before = contents(out)
    own.write_text("import numpy as np\n\ndef peak(x):\n    return np.exp(2 * x[:, 0])\n")
    said = refusal(arguments, capsys).err
    assert said.startswith("uf-diffusion: The teacher's density is not the one of the result in")
    assert contents(out) == before
    longer = [*arguments, "--set", "problem.t_end=0.125"]
    assert "The teacher's density is not the one that the run in" in refusal(longer, capsys).err
    assert contents(out) == before
    run([*arguments, "--force"])


def trained(seed=0, sharpness=1.0):
    problem = uf.Problem(uf.Circle(), teacher=lambda x: np.exp(sharpness * x[:, 0]))
    return uf.train(problem, until=0.0625, snapshots=3, width=16, samples=40, teacher_width=40,
                    step=0.0078125, seed=seed)  # fmt: skip


def test_save_keeps_another_result(tmp_path, no_pictures):
    """Of another seed, of another function of the same name, of another kind, of a study."""
    out = tmp_path / "out"
    trained().save(out)
    trained().save(out)
    before = contents(out)
    for other, said in ((trained(seed=1), "network.seed = 1"),
                        (trained(sharpness=2.0), "The teacher's density is not the one"),
                        (uf.spectrum(uf.Problem(uf.Circle(), uf.Bumps())), "another command")):  # fmt: skip
        with pytest.raises(uf.InputError, match=said):
            other.save(out)
        assert contents(out) == before
    trained(seed=1).save(out, force=True)
    assert uf.load(out).config.network.seed == 1
    run(words(STUDY, out=tmp_path / "study"))
    with pytest.raises(uf.InputError, match="another command"):
        trained().save(tmp_path / "study")


def test_save_keeps_an_interrupted_run(tmp_path, no_pictures):
    """A checkpoint is work, too; and with force nothing of it is left to go on with."""
    out = tmp_path / "out"
    run(words("train", out=out))
    (out / STATE).rename(out / CHECKPOINT)
    with pytest.raises(uf.InputError, match=r"holds an interrupted run \(train relu-circle\)"):
        trained().save(out)
    trained().save(out, force=True)
    assert {p.name for p in out.iterdir()} == {"run.toml", "result.nc"}


def test_run_in_python_is_held_to_the_same(tmp_path, no_pictures):
    uf.run("relu-circle", "train", out=tmp_path, overrides=SMALL)
    again = uf.run("relu-circle", "train", out=tmp_path, overrides=SMALL)
    with pytest.raises(uf.InputError, match="another configuration"):
        uf.run("relu-circle", "train", out=tmp_path, overrides=[*SMALL, "network.seed=1"])
    longer = uf.run("relu-circle", "train", out=tmp_path,
                    overrides=[*SMALL, "problem.t_end=0.125"])  # fmt: skip
    assert np.array_equal(longer.feature[:3], again.feature)
    forced = uf.run("relu-circle", "train", out=tmp_path, force=True,
                    overrides=[*SMALL, "network.seed=1"])  # fmt: skip
    assert forced.config.network.seed == 1


@pytest.mark.parametrize("command", ["report", "open", "export"])
def test_no_old_result_beside_a_new_run_toml(command, tmp_path, capsys, no_pictures):
    """Neither its report, nor one that was written before; the result alone can still be read."""
    run(words("train", out=tmp_path))
    (tmp_path / "report.html").write_text("the old one")
    text = (tmp_path / "run.toml").read_text()
    (tmp_path / "run.toml").write_text(text.replace("t_end = 0.0625", "t_end = 0.125"))
    file = [str(tmp_path / "neurons.csv"), "--network"] if command == "export" else []
    said = refusal([command, str(tmp_path), *file], capsys).err
    assert "is not the configuration of the result beside it (problem.t_end = 0.125" in said
    with pytest.raises(uf.InputError, match="is not the configuration"):
        uf.load(tmp_path)
    assert uf.load(tmp_path / "result.nc").config.problem.t_end == 0.0625


def test_open_writes_a_report_that_is_older_than_its_result(tmp_path, monkeypatch):
    monkeypatch.setattr(saving, "save_figure", lambda *result: None)
    monkeypatch.setattr("webbrowser.open", lambda address: True)
    run(words("train", out=tmp_path))
    report = tmp_path / "report.html"
    report.write_text("the old one")
    os.utime(report, (1, 1))
    with pytest.raises(SystemExit):
        main(["open", str(tmp_path)])
    assert "<html" in report.read_text()


def test_a_result_says_what_made_it(tmp_path, no_pictures):
    """The command, the configuration, the code, and what was read."""
    run(words("train", out=tmp_path))
    about = read_result(tmp_path / "result.nc").attrs
    assert about["command"] == "train"
    assert about["code"].startswith(f"{uf.__version__}+")
    assert {"teacher", "initial", "regulariser", "features"} <= uf.load(tmp_path).inputs.keys()
