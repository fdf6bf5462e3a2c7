"""What goes wrong around a run: other processes, full disks, dying ranks, readers that leave."""

import contextlib
import math
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import configured as jobs
import numpy as np
import psutil
import pytest
import xarray as xr
from configured import solve, train
from processes import COMMAND, cli, environment, without_warnings

from uf_diffusion import load_config
from uf_diffusion.cli import main
from uf_diffusion.core import mpi
from uf_diffusion.core.errors import InputError, Interrupted, Unwritable
from uf_diffusion.core.files import appearing
from uf_diffusion.distances.pair_loops import over_rows
from uf_diffusion.results.netcdf import read_result, read_sealed, write_result
from uf_diffusion.runs import jobs as runs_jobs
from uf_diffusion.runs import stored
from uf_diffusion.runs.checkpoints import Checkpoints, interrupted
from uf_diffusion.runs.folders import run_folder
from uf_diffusion.runs.stored import BEFORE, CHECKPOINT, Job
from uf_diffusion.studies.cache import Run, Runs

SHORT = ["problem.t_end=0.125", "network.step=0.0078125", "diffusion.rtol=1e-3",
         "network.width=16", "network.samples=40",
         "network.teacher_width=40", "diffusion.cells=64", "diffusion.snapshots=3"]  # fmt: skip
OFTEN = [*SHORT, "diffusion.checkpoint=1e-9"]


def sets(pairs):
    return [word for pair in pairs for word in ("--set", pair)]


class Stop(Exception):
    """Ends a run as a kill would, without a word to anyone."""


def stop_at(step):
    def look(state):
        if state.step == step:
            raise Stop

    return look


def groups(result):
    return {k: v.to_dataset() for k, v in result.children.items() if k != "timings"}


JOBS = {
    "diffusion": ("solve", "relu-circle", []),
    "degree 2": ("solve", "relu-circle", ["diffusion.degree=2"]),
    "sphere": ("solve", "sphere", []),
    "torus": ("solve", "radial-torus", []),
    "constrained": ("solve", "relu-circle", ["problem.limit=constrained"]),
    "fixed step": ("solve", "relu-circle", ["diffusion.step=0.01"]),
    "compare": ("compare", "matern-circle", []),
}


@pytest.mark.parametrize("case", JOBS)
def test_a_run_goes_on_bit_for_bit(case, tmp_path):
    """Broken off and repeated: the very numbers of an unbroken run."""
    pytest.importorskip("dolfinx")
    name, preset, more = JOBS[case]
    job, config = getattr(jobs, name), load_config(preset, [*OFTEN, *more])
    whole = groups(job(config))
    for place, first in ((6, 6), (math.inf, None)):  # in the middle, and after the last step
        folder, seen = tmp_path / str(place), []
        with contextlib.suppress(Stop):
            job(config, folder, [stop_at(place)])
        assert interrupted(folder) == Job(name, config)
        again = groups(job(config, folder, [lambda state, seen=seen: seen.append(state.step)]))
        assert (seen[0] if seen else None) == first
        assert again.keys() == whole.keys()
        for group, values in whole.items():
            assert values.identical(again[group]), group


def test_another_job_waits_until_it_is_given_up(tmp_path):
    """A checkpoint is gone on from by its own command alone; `resume` has its configuration.

    Other commands leave it alone, unless the run had done nothing yet.
    """
    config, other = (load_config("relu-circle", [*OFTEN, f"network.seed={k}"]) for k in (0, 1))
    with Checkpoints(tmp_path, Job("train", other)):
        pass
    with pytest.raises(Stop):
        train(config, tmp_path, [stop_at(6)])
    before = (tmp_path / CHECKPOINT).read_bytes()
    with pytest.raises(InputError, match="holds the checkpoint of another configuration"):
        train(other, tmp_path)
    with pytest.raises(InputError, match=r"command \(train relu-circle\); choose another folder"):
        solve(config, str(tmp_path))
    for command in (["spectrum"], ["study", "width"]):
        with pytest.raises(SystemExit) as stopped:
            main([*command, "--out", str(tmp_path)])
        assert stopped.value.code == 1
    assert (tmp_path / CHECKPOINT).read_bytes() == before
    (tmp_path / "run.toml").write_text("nonsense")
    assert interrupted(tmp_path).config == config
    for name in (CHECKPOINT, BEFORE):
        (tmp_path / name).unlink()
    seen = []
    result = train(other, tmp_path, [lambda state: seen.append(state.step)])
    assert seen[0] == 0
    assert groups(result)["network"].identical(groups(train(other))["network"])


def test_mistakes_leave_what_was_there(tmp_path):
    """A refused command touches neither the interrupted run nor its run.toml."""
    config = load_config("relu-circle", OFTEN)
    with pytest.raises(Stop):
        train(config, tmp_path, [stop_at(6)])
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    for bad in ("network.step=30", "network.width=1000000000", "network.placement=evn"):
        with pytest.raises(SystemExit) as stopped:
            main(["train", "--out", str(tmp_path), "--set", bad])
        assert stopped.value.code == 1
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_one_run_at_a_time_in_a_folder(tmp_path):
    """Another process is refused with one sentence; a process that was killed leaves no lock."""
    folder = tmp_path / "run"
    with run_folder(folder), run_folder(folder):
        done = cli("train", *sets(SHORT), "--out", folder)
    assert done.returncode == 1
    assert done.stderr.startswith(f"uf-diffusion: Another process is at work in '{folder}'")
    assert done.stderr.count("\n") == 1
    assert not folder.exists()  # an empty folder is not left behind
    long = [*COMMAND, "train", *sets([*SHORT, "problem.t_end=1000"]), "--out", folder]
    process = subprocess.Popen(long, env=environment())
    while not (folder / CHECKPOINT).exists():
        assert process.poll() is None
        time.sleep(0.05)
    with pytest.raises(InputError, match="Another process"), run_folder(folder):
        pass
    process.kill()
    process.wait()
    with run_folder(folder):
        pass


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs Linux's read-only /proc")
def test_a_folder_that_cannot_be_written(capsys):
    with pytest.raises(SystemExit):
        main(["train", *sets(SHORT), "--out", "/proc/uf"])
    assert capsys.readouterr().err.startswith("uf-diffusion: Cannot write to '/proc/uf': ")


def test_a_full_disk_loses_nothing(tmp_path):
    """Files may not grow beyond 150 kB: the run stops with a sentence at a whole checkpoint, and
    goes on when there is room, to the very numbers of an undisturbed run.
    """
    args = sets([*OFTEN, "network.width=400", "diffusion.snapshots=9"])

    def little_room():
        resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, 150_000))

    folder = tmp_path / "run"
    done = cli("train", "matern-circle", *args, "--out", folder, preexec_fn=little_room)
    assert done.returncode == 1
    path = folder / CHECKPOINT
    assert without_warnings(done.stderr) == (
        f"uf-diffusion: Cannot write '{path}': File too large. "
        f"Go on with: uf-diffusion resume {folder}\n"
    )
    assert {p.name for p in folder.iterdir()} == {"run.toml", CHECKPOINT, BEFORE}
    assert read_sealed(path)["network"].attrs["step"] > 0
    assert cli("resume", folder).returncode == 0
    whole = train(load_config(folder / "run.toml"))
    assert groups(read_result(folder / "result.nc"))["network"].equals(groups(whole)["network"])


def test_a_full_disk_stops_a_study(tmp_path, monkeypatch):
    """It is not taken for a failure of each run in turn."""
    runs = [Run("train", load_config("relu-circle", [*SHORT, f"network.seed={k}"])) for k in (0, 1)]
    attempts = []

    def full(path, tree):
        attempts.append(path)
        raise Unwritable("Cannot write: the disk is full.")

    monkeypatch.setattr("uf_diffusion.studies.cache.write_result", full)
    with pytest.raises(Unwritable, match="disk is full"):
        Runs(tmp_path).results(runs)
    assert len(attempts) == 1


def test_files_appear_whole_or_not_at_all(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("before")
    with pytest.raises(Stop), appearing(path) as partial:
        partial.write_text("half")
        raise Stop
    assert [p.name for p in tmp_path.iterdir()] == ["file.txt"]
    assert path.read_text() == "before"


def test_every_bit_of_a_sealed_file_counts(tmp_path, rng):
    """Whatever bit is wrong, wherever the file ends too early: it is refused."""
    path = tmp_path / "a.nc"
    write_result(path, xr.DataTree(xr.Dataset({"x": ("n", rng.normal(size=50))})))
    content = path.read_bytes()
    assert read_sealed(path)["x"].shape == (50,)
    for place in rng.integers(8 * len(content), size=40):
        wrong = bytearray(content)
        wrong[place // 8] ^= 1 << place % 8
        path.write_bytes(wrong)
        with pytest.raises(InputError, match="damaged"):
            read_sealed(path)
    for end in rng.integers(len(content), size=10):
        path.write_bytes(content[:end])
        with pytest.raises(InputError, match="damaged"):
            read_sealed(path)


def test_checkpoints_of_other_versions_are_refused(tmp_path, monkeypatch, capsys):
    config = load_config("relu-circle", OFTEN)
    monkeypatch.setattr(stored, "LAYOUT", 1)
    with Checkpoints(tmp_path, Job("train", config)):
        pass
    monkeypatch.undo()
    for args in (["resume", str(tmp_path)], ["train", *sets(OFTEN), "--out", str(tmp_path)]):
        with pytest.raises(SystemExit):
            main(args)
        said = capsys.readouterr().err
        assert "Another version of uf_diffusion wrote this checkpoint; begin the run anew" in said
        assert said.count("\n") == 1


def test_ctrl_c_while_the_result_is_made(tmp_path, monkeypatch, capsys):
    """After the last step nothing has to be computed again."""
    pytest.importorskip("dolfinx")
    args, folder = ["compare", *sets(SHORT), "--out", str(tmp_path)], tmp_path

    def interrupt(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(runs_jobs, "distances", interrupt)
        with pytest.raises(SystemExit) as stopped:
            main(args)
    assert stopped.value.code == 130
    assert f"Interrupted. Go on with: uf-diffusion resume {folder}" in capsys.readouterr().err
    seen = []
    result = jobs.compare(interrupted(folder).config, folder, [lambda s: seen.append(s)])
    assert not seen
    whole = jobs.compare(interrupted(folder).config)
    for group, values in groups(whole).items():
        assert values.identical(groups(result)[group])


def test_a_dying_rank_ends_the_run_and_loses_nothing(tmp_path):
    """One of two ranks is killed: mpiexec returns, and one rank alone goes on."""
    pytest.importorskip("dolfinx")
    args = sets([*SHORT, "diffusion.cells=1280", "diffusion.rtol=1e-6", "diffusion.checkpoint=0.2"])
    folder = tmp_path / "run"
    process = subprocess.Popen(
        ["mpiexec", "-n", "2", *COMMAND, "solve", "sphere", *args, "--out", folder],
        env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    while not (folder / CHECKPOINT).exists() or "diffusion" not in read_sealed(folder / CHECKPOINT):
        assert process.poll() is None
        time.sleep(0.05)
    ranks = [p for p in psutil.Process(process.pid).children(recursive=True)
             if "uf_diffusion" in p.cmdline()]  # fmt: skip
    ranks[-1].kill()
    assert process.wait(timeout=60) != 0
    name, config = interrupted(folder)
    assert name == "solve"
    result, whole = jobs.solve(config, folder), jobs.solve(config)
    assert result["diffusion"].density.values == pytest.approx(
        whole["diffusion"].density.values, rel=1e-9
    )


ALONE = """
import sys
from mpi4py import MPI
from uf_diffusion import cli
from uf_diffusion.library import running

def job(setup, folder):
    if MPI.COMM_WORLD.rank == 1:
        raise {error}
    MPI.COMM_WORLD.barrier()

running.JOBS["train"] = job
cli.main(["train", "--out", sys.argv[1]])
"""


@pytest.mark.parametrize("error", ["MemoryError", "KeyboardInterrupt", "ZeroDivisionError"])
def test_a_rank_in_trouble_does_not_leave_the_others_waiting(error, tmp_path):
    done = subprocess.run(
        ["mpiexec", "-n", "2", sys.executable, "-c", ALONE.format(error=error), tmp_path / "run"],
        env=environment(), capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode != 0
    said = {"MemoryError": "does not fit into memory", "KeyboardInterrupt": "Interrupted"}
    assert said.get(error, "ZeroDivisionError") in done.stderr


@pytest.mark.parallel(2)
def test_all_ranks_hear_what_stopped_the_root():
    """Ctrl-C on rank 0, at work for all, ends the others, too."""
    pytest.importorskip("mpi4py.MPI")

    def interrupt():
        raise Interrupted("Interrupted.")

    with pytest.raises(Interrupted):
        mpi.on_root(interrupt)


@pytest.mark.parallel(2)
def test_the_root_at_work_does_not_wait_for_the_others(monkeypatch):
    """Neither for itself to be told, nor for a count of the cores' owners."""
    comm = pytest.importorskip("mpi4py.MPI").COMM_WORLD
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)

    def work():
        over_rows(lambda rows: None, 2**12, 2**11)
        return mpi.size(), mpi.from_root(lambda: 7)

    assert mpi.on_root(work) == ((1, 7) if comm.rank == 0 else None)
    assert mpi.size() == 2


def test_a_reader_that_leaves_is_no_error():
    """As in ``uf-diffusion info | head -1``: nothing is said."""
    pytest.importorskip("dolfinx")
    process = subprocess.Popen(
        [*COMMAND, "info"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()
    )
    process.stdout.close()
    assert process.wait(timeout=60) == 1
    with process.stderr as said:
        assert said.read() == b""


def test_a_second_ctrl_c_does_not_wait(tmp_path):
    """The first is kept for the end of the step, the second acts at once."""
    config = load_config("relu-circle", OFTEN)
    heard = []

    def impatient(state):
        if state.step == 3:
            os.kill(os.getpid(), signal.SIGINT)
            heard.append("first")
            os.kill(os.getpid(), signal.SIGINT)
            heard.append("second")

    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path, [impatient])
    assert heard == ["first"]
    assert np.isfinite(train(config, tmp_path)["network"].risk.values).all()


def test_a_reader_that_leaves_does_not_keep_the_folder(tmp_path):
    """The run is complete all the same: no checkpoint is left that would refuse the next one."""
    command = [*COMMAND, "train", *sets(SHORT), "--out", str(tmp_path / "run")]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    running.stdout.close()
    running.wait(timeout=60)
    assert (tmp_path / "run" / "result.nc").exists()
    assert not (tmp_path / "run" / CHECKPOINT).exists()
