"""A longer run goes on from the shorter one: its numbers are those of a single long run."""

import re

import configured
import numpy as np
import pytest
import xarray as xr
from processes import refusal

import uf_diffusion as uf
from uf_diffusion.cli import main
from uf_diffusion.core import mpi
from uf_diffusion.core.errors import InputError
from uf_diffusion.library import saving
from uf_diffusion.reports import html
from uf_diffusion.results.netcdf import read_result
from uf_diffusion.runs.extending import extended
from uf_diffusion.runs.reading import load_config
from uf_diffusion.runs.stored import CHECKPOINT, STATE, Job, job_of

SMALL = ["network.width=16", "network.samples=40", "network.teacher_width=40",
         "network.step=0.0078125", "diffusion.cells=64", "diffusion.rtol=1e-4"]  # fmt: skip
FIXED = ["diffusion.step=0.015625"]

# a job, a preset, settings, and the relative difference that is promised
CASES = {
    "fixed steps": ("solve", "relu-circle", FIXED, 0),
    "fixed steps of a decimal": ("solve", "relu-circle", ["diffusion.step=0.0125"], 0),
    "constrained, fixed steps": (
        "solve", "relu-circle", ["problem.limit=constrained", *FIXED], 0),
    "sphere, fixed steps": ("solve", "sphere", [*FIXED, "diffusion.scheme=sdirk3"], 0),
    "adaptive steps": ("solve", "relu-circle", [], 1e-4),
    "constrained, adaptive steps": ("solve", "relu-circle", ["problem.limit=constrained"], 1e-3),
    "torus, adaptive steps": ("solve", "radial-torus", [], 1e-4),
    "varpro": ("train", "relu-circle", [], 0),
    "two-timescale": ("train", "relu-circle", ["network.algorithm=two-timescale"], 0),
    "flow": ("train", "matern-circle", ["network.algorithm=flow"], 1e-4),
    "low-rank": ("train", "matern-circle", ["network.kernel=low-rank", "network.placement=even"], 0),
    "compare": ("compare", "matern-circle", FIXED, 0),
    "compare constrained": ("compare", "relu-circle", ["problem.limit=constrained", *FIXED], 0),
    "compare, adaptive steps": ("compare", "relu-circle", [], 1e-4),
}  # fmt: skip


@pytest.fixture(autouse=True)
def no_pictures(monkeypatch):
    """They take longest."""
    monkeypatch.setattr(saving, "save_figure", lambda *result: None)
    monkeypatch.setattr(html, "write_report", lambda *result: None)


def run(*words):
    with pytest.raises(SystemExit) as ended:
        main([*map(str, words), "--quiet"])
    assert not ended.value.code


def sets(settings):
    return [word for setting in settings for word in ("--set", setting)]


def command(job, preset, settings, t_end, snapshots, out):
    times = (f"problem.t_end={t_end}", f"diffusion.snapshots={snapshots}")
    return [job, preset, *sets([*SMALL, *settings, *times]), "--out", out]


def at(group, times):
    """The snapshots of a group at some times."""
    name = "time" if "snapshot_time" not in group else "snapshot_time"
    rows = [int(np.argmin(np.abs(group[name].values - t))) for t in times]
    assert group[name].values[rows] == pytest.approx(times, abs=1e-9)
    return group.isel(snapshot=rows)


@pytest.mark.parametrize("case", CASES)
def test_short_and_longer_is_the_long_run(case, tmp_path):
    """By the repeated command, to three times the time; what was stored stays as it was."""
    job, preset, settings, promised = CASES[case]
    if job != "train":
        pytest.importorskip("dolfinx")
    out = tmp_path / "out"
    run(*command(job, preset, settings, 0.125, 3, out))
    short = read_result(out / "result.nc")
    run(*command(job, preset, settings, 0.375, 4, out))
    longer = read_result(out / "result.nc")
    whole = getattr(configured, job)(
        load_config(preset, [*SMALL, *settings, "problem.t_end=0.375", "diffusion.snapshots=4"])
    )
    assert longer.children.keys() == whole.children.keys()
    for name in ("diffusion", "network", "comparison"):
        if name not in whole.children:
            continue
        old, new, one = (tree[name].to_dataset() for tree in (short, longer, whole))
        times = np.array([0, 0.0625, 0.125])
        same(at(old, times), at(new, times), 0)
        same(
            at(one, whole_times := np.array([0, 0.125, 0.25, 0.375])),
            at(new, whole_times),
            promised,
            ESTIMATES if promised else (),
        )
        if not promised and name != "comparison":
            for record in ("time", "risk"):
                assert one[record].equals(new[record]), record


ESTIMATES = {"mesh_error", "mesh_error_max", "mesh_error_node", "time_error", "time_error_max"}


def same(one, other, promised, without=ESTIMATES):
    """All arrays over snapshots: the very numbers, or as close as is promised.

    Errors are estimated anew for the whole run, with steps that are made of several of its steps.
    """
    for name, values in one.data_vars.items():
        if "snapshot" in values.dims and name not in without:
            a, b = values.values, other[name].values
            if not promised:
                assert np.array_equal(a, b, equal_nan=True), name
            else:
                assert np.abs(a - b).max() <= promised * np.abs(a).max(), name


def finished(folder, t_end=0.125, snapshots=3, more=()):
    run(*command("train", "relu-circle", more, t_end, snapshots, folder))
    return folder


def edit(folder, key, value):
    """Change a key in run.toml."""
    text, count = re.subn(rf"^{key} = .*$", f"{key} = {value}", (folder / "run.toml").read_text(),
                          flags=re.MULTILINE)  # fmt: skip
    assert count
    (folder / "run.toml").write_text(text, errors="surrogateescape")


def test_a_complete_run_says_so(tmp_path, capsys):
    """`resume` exits with 0 and touches nothing."""
    out = finished(tmp_path / "out")
    there = {p.name: (p.read_bytes(), p.stat().st_mtime_ns) for p in out.iterdir()}
    with pytest.raises(SystemExit) as ended:
        main(["resume", str(out)])
    assert not ended.value.code
    assert capsys.readouterr().out == f"The run in '{out}' is complete.\n"
    assert {p.name: (p.read_bytes(), p.stat().st_mtime_ns) for p in out.iterdir()} == there


def test_resume_goes_on_to_what_run_toml_asks_for(tmp_path):
    """A later end, more snapshots, and the time between checkpoints; the result is in run.toml."""
    out = finished(tmp_path / "out")
    for key, value in (("t_end", 0.25), ("snapshots", 5), ("checkpoint", 7.0)):
        edit(out, key, value)
    run("resume", out)
    config = job_of(out / "result.nc").config
    assert (out / "run.toml").read_text() == config.to_toml()
    assert config.diffusion.snapshots == (0.0, 0.0625, 0.125, 0.1875, 0.25)
    assert config.diffusion.checkpoint == 7.0
    network = read_result(out / "result.nc")["network"]
    assert network.snapshot_time.values == pytest.approx(config.diffusion.snapshots)
    assert not (out / CHECKPOINT).exists()
    assert job_of(out / STATE) == Job("train", config)


def test_an_extended_run_can_be_repeated_and_extended_again(tmp_path):
    """Its own command gives it again, with the snapshots that it has."""
    out = finished(tmp_path / "out", 0.1, 3)
    finished(out, 0.15, 3)  # snapshots every 0.075, of which 0.075 was passed without storing
    first = read_result(out / "result.nc")["network"].to_dataset()
    assert first.snapshot_time.values == pytest.approx([0, 0.05, 0.1, 0.15], abs=0.004)
    finished(out, 0.15, 3)
    assert read_result(out / "result.nc")["network"].to_dataset().identical(first)
    finished(out, 0.3, 3)
    last = read_result(out / "result.nc")["network"].snapshot_time.values
    assert last == pytest.approx([0, 0.05, 0.1, 0.15, 0.3], abs=0.004)


# the edit of run.toml, and what the refusal names
REFUSED = {
    "width": ("width", 17, "network.width = 17, and it was 16"),
    "teacher": ("teacher", '{kind = "bumps", gamma = 50.0}', "problem.teacher"),
    "lambda": ("lambda", 0.1, "network.lambda = 0.1"),
    "shorter": ("t_end", 0.0625, "problem.t_end = 0.0625, and it was 0.125"),
    "passed": ("snapshots", [0, 0.03125, 0.125], "diffusion.snapshots has t = 0.03125"),
    "more of the past": ("snapshots", 9, "diffusion.snapshots = 9"),
    "no TOML": ("width", "[", "not valid TOML"),
    "no text": ("width", "\udcff", "Cannot read"),
    "no number": ("width", '"many"', "network.width must be a whole number"),
}


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.parametrize("complete", [True, False], ids=["complete", "interrupted"])
def test_an_edit_that_cannot_be_honoured_is_refused(case, complete, tmp_path, capsys):
    """By `resume`, of a complete and of an interrupted run, with the key; nothing is touched."""
    out = finished(tmp_path / "out")
    if not complete:
        (out / STATE).rename(out / CHECKPOINT)
        (out / "result.nc").unlink()
    key, value, named = REFUSED[case]
    edit(out, key, value)
    there = {p.name: p.read_bytes() for p in out.iterdir()}
    assert named in refusal(["resume", str(out)], capsys).err
    assert {p.name: p.read_bytes() for p in out.iterdir()} == there


def test_an_interrupted_run_is_extended_too(tmp_path):
    """From the checkpoint in the middle, by resume after an edit and by the longer command."""
    settings = [*SMALL, "diffusion.checkpoint=1e-9"]

    class Stop(Exception):
        pass

    def stop(state):
        if state.step == 9:
            raise Stop

    short, longer = (
        load_config("relu-circle", [*settings, f"problem.t_end={t}", f"diffusion.snapshots={n}"])
        for t, n in ((0.125, 3), (0.25, 5))
    )
    whole = configured.train(longer)["network"].to_dataset()
    for name in ("resume", "command"):
        out = tmp_path / name
        with pytest.raises(Stop):
            configured.train(short, out, [stop])
        if name == "resume":
            edit(out, "t_end", 0.25)
            edit(out, "snapshots", 5)
            run("resume", out)
        else:
            run("train", "relu-circle", *sets([*settings, "problem.t_end=0.25",
                "diffusion.snapshots=5"]), "--out", out)  # fmt: skip
        assert read_result(out / "result.nc")["network"].to_dataset().identical(whole)


def test_a_killed_extension_goes_on(tmp_path, monkeypatch):
    """The short result stays until the long one is there, and `resume` finishes it."""
    out = finished(tmp_path / "out")
    before = (out / "result.nc").read_bytes()

    def stop(*arguments, **more):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("uf_diffusion.network.training.VarProDescent.step", stop)
        with pytest.raises(SystemExit) as ended:
            main([*map(str, command("train", "relu-circle", [], 0.25, 5, out)), "--quiet"])
    assert ended.value.code == 130
    assert (out / "result.nc").read_bytes() == before
    assert job_of(out / CHECKPOINT).config.problem.t_end == 0.25
    run("resume", out)
    longer = load_config("relu-circle", [*SMALL, "problem.t_end=0.25", "diffusion.snapshots=5"])
    whole = configured.train(longer)["network"].to_dataset()
    assert read_result(out / "result.nc")["network"].to_dataset().identical(whole)


def test_fixed_steps_that_would_change_are_refused(tmp_path):
    """A step that does not divide the times would be another one in the longer run."""
    short, longer, other = (
        load_config("relu-circle", ["diffusion.step=0.03", f"problem.t_end={t}"])
        for t in (0.1, 0.2, 0.11)
    )
    with pytest.raises(
        InputError, match=r"diffusion.step = 0.03 makes steps of 0.0275 to t = 0.11"
    ):
        extended(Job("solve", short), 0.1, other)
    with pytest.raises(InputError, match=r"steps of 0.0285714 to t = 0.2, and they were 0.0333333"):
        extended(Job("solve", short), 0.1, longer)
    assert extended(Job("train", short), 0.1, longer).problem.t_end == 0.2


def test_a_longer_run_of_another_time_step_of_training():
    """Snapshots of a network are at whole steps, those that it has passed are recognised there."""
    settings = ["network.step=0.0625", "diffusion.snapshots=3"]
    short, longer = (
        load_config("relu-circle", [*settings, f"problem.t_end={t}"]) for t in (0.4, 0.8)
    )
    reached = float(short.clock_times()[-1])
    assert reached < 0.4  # the nearest whole step lies before the end
    found = extended(Job("train", short), reached, longer)
    assert found.diffusion.snapshots == (0.0, 0.2, 0.4, 0.8)
    assert extended(Job("train", short), reached, found) == found


def test_the_state_at_the_end_is_in_the_folder_alone(tmp_path):
    """It is sealed, holds the job, and belongs to the result; another command removes it."""
    out = finished(tmp_path / "out")
    assert job_of(out / STATE) == job_of(out / "result.nc")
    assert isinstance(read_result(out / STATE), xr.DataTree)
    run("spectrum", "relu-circle", *sets(SMALL), "--out", out, "--force")
    assert not (out / STATE).exists()


@pytest.mark.parallel(2)
def test_two_ranks_extend_a_run(shared_folder):
    """The bits of a single long run on two ranks; a refusal is raised on both."""
    pytest.importorskip("dolfinx")

    def on_two(folder, t_end, snapshots, *more):
        times = (f"problem.t_end={t_end}", f"diffusion.snapshots={snapshots}")
        return uf.run("relu-circle", "compare", out=shared_folder / folder,
                      overrides=[*SMALL, *FIXED, *times, *more])  # fmt: skip

    on_two("short", 0.125, 3)
    longer, whole = on_two("short", 0.25, 3), on_two("whole", 0.25, 3)
    for more in (["network.seed=1"], ["network.width=17"]):
        with pytest.raises(InputError, match=f"another configuration .{more[0].split('=')[0]}"):
            on_two("short", 0.25, 3, *more)
    if mpi.rank() == 0:
        times = np.array([0, 0.125, 0.25])
        for name in ("diffusion", "network", "comparison"):
            same(at(whole.group(name), times), at(longer.group(name), times), 0)
