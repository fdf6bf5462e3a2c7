"""Half and half is the whole: interrupted runs go on, on any number of ranks."""

import os
import signal
import subprocess
import time

import configured
import numpy as np
import pytest
from processes import COMMAND, cli, environment

pytest.importorskip("dolfinx")
from mpi4py import MPI

from uf_diffusion.cli import main
from uf_diffusion.core.errors import InputError
from uf_diffusion.diffusion.history import DiffusionHistory
from uf_diffusion.diffusion.stored_state import pack, restore
from uf_diffusion.diffusion.ultra_fast import UltraFastDiffusion
from uf_diffusion.grids.built_in import grid_on
from uf_diffusion.library import saving
from uf_diffusion.problem import Problem
from uf_diffusion.problem.densities import Bumps, Uniform, VonMisesFisher
from uf_diffusion.problem.divergences import Unbiased
from uf_diffusion.problem.manifolds import Circle, FlatTorus, Sphere
from uf_diffusion.results.netcdf import read_result
from uf_diffusion.runs.checkpoints import Checkpoints, interrupted
from uf_diffusion.runs.reading import load_config
from uf_diffusion.runs.stored import BEFORE, CHECKPOINT, Job, last_checkpoint

CASES = {
    "circle": (Bumps(Circle(), 20.0), 64, 1),
    "curved": (VonMisesFisher(Sphere(2), 2.0), 80, 2),
    "torus": (Bumps(FlatTorus(2, 4.0), 3.0), 128, 1),
}
TIMES = np.linspace(0, 0.2, 5)
JOB = Job("solve", load_config("relu-circle"))


def solver_of(name, comm, cells=None):
    teacher, wanted, degree = CASES[name]
    problem = Problem(teacher.manifold, teacher, Uniform(teacher.manifold), Unbiased())
    return UltraFastDiffusion(
        problem, grid_on(teacher.manifold, cells or wanted, degree), rtol=1e-3, comm=comm
    )


def run(solver, history, start=None, folder=None, stop=None):
    with Checkpoints(folder, JOB) as checkpoints:
        for state in solver.iterate(TIMES[-1], start=start):
            history(state)
            if state.step == stop:
                checkpoints.write("diffusion", lambda s=state: pack(s, solver, history))
                break
    return history


def stored(folder):
    with Checkpoints(folder, JOB) as checkpoints:
        return checkpoints.stored("diffusion")


def fields(solver, history):
    return [solver.gathered(np.array(history.ratios)), history.series("t"), history.series("risk")]


@pytest.mark.parallel(2)
def test_resume_on_other_ranks(shared_folder):
    """Written by all ranks and read by one, and the other way round; 1e-9 against the whole."""
    comm = MPI.COMM_WORLD
    for name in CASES:
        serial, together = solver_of(name, MPI.COMM_SELF), solver_of(name, comm)
        whole = fields(serial, run(serial, DiffusionHistory(serial, TIMES)))
        for writer, reader, way in ((together, serial, "a"), (serial, together, "b")):
            folder = shared_folder / f"{name}-{way}"
            run(writer, DiffusionHistory(writer, TIMES), None, folder, stop=7)
            comm.barrier()
            history = DiffusionHistory(reader, TIMES)
            start = restore(stored(folder), reader, history)
            assert start.step == 7
            found = fields(reader, run(reader, history, start))
            for a, b in zip(found[1:], whole[1:], strict=True):
                assert a == pytest.approx(b, rel=1e-9)
            if found[0] is not None:
                assert found[0] == pytest.approx(whole[0], rel=1e-9)


def damage(path):
    """One bit is wrong."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_foreign_checkpoints_are_refused(tmp_path):
    """Another mesh, and a file with one bit that is wrong."""
    solver = solver_of("circle", MPI.COMM_SELF)
    run(solver, DiffusionHistory(solver, TIMES), None, tmp_path, stop=3)
    other = solver_of("circle", MPI.COMM_SELF, cells=80)
    with pytest.raises(InputError, match="80 nodes"):
        restore(stored(tmp_path), other, DiffusionHistory(other, TIMES))
    for name in (CHECKPOINT, BEFORE):
        damage(tmp_path / name)
    with pytest.raises(InputError, match="is damaged"):
        interrupted(tmp_path)
    with pytest.raises(InputError, match="begin the run anew"), Checkpoints(tmp_path, JOB):
        pass


LONG = ["--set", "diffusion.cells=20000", "--set", "diffusion.rtol=1e-5", "--set",
        "diffusion.checkpoint=0.3"]  # fmt: skip


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_stopped_process_goes_on(number, tmp_path):
    """SIGTERM leaves a checkpoint of the last step, SIGKILL the last periodic one."""
    out = tmp_path / "run"
    process = subprocess.Popen(
        [*COMMAND, "solve", "radial-torus", *LONG, "--out", out], env=environment(),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    while not (out / "checkpoint.nc").exists():
        time.sleep(0.05)
        assert process.poll() is None, process.communicate()
    process.send_signal(number)
    error = process.communicate(timeout=60)[1]
    if number == signal.SIGTERM:
        assert process.returncode == 130
        assert f"uf-diffusion resume {out}" in error
    again = cli("resume", out)
    assert again.returncode == 0, again.stderr
    assert not (out / "checkpoint.nc").exists()
    result = read_result(out / "result.nc")["diffusion"]
    assert (np.diff(result.time.values) > 0).all()
    assert result.time.values[0] == 0
    assert np.abs(result.mass.values - 1).max() < 1e-12
    nothing = cli("resume", out)
    assert nothing.returncode == 0
    assert nothing.stdout == f"The run in '{out}' is complete.\n"


# --- two generations ----------------------------------------------------------------------------

FEW = load_config("relu-circle", ["problem.t_end=0.125", "network.step=0.0078125",
                  "network.width=16", "network.samples=40", "network.teacher_width=40",
                  "diffusion.snapshots=3", "diffusion.checkpoint=1e-9"])  # fmt: skip


class Stop(Exception):
    """Ends a run as a kill would."""


def stop_at(step):
    def look(state):
        if state.step == step:
            raise Stop

    return look


WOUNDS = {
    "one bit": damage,
    "empty": lambda path: path.write_bytes(b""),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:1000]),
    "gone": lambda path: path.unlink(),
}


@pytest.mark.parametrize("wound", WOUNDS)
@pytest.mark.parametrize("how", ["resume", "command"])
def test_the_checkpoint_before_a_damaged_one_is_used(wound, how, tmp_path, capsys, monkeypatch):
    """It says so, with the time; the end is that of a run that nothing happened to."""
    monkeypatch.setattr(saving, "save_figure", lambda *result: None)
    out = tmp_path / "out"
    with pytest.raises(Stop):
        configured.train(FEW, out, [stop_at(9)], cautious=False)
    WOUNDS[wound](out / CHECKPOINT)
    (tmp_path / "few.toml").write_text(FEW.to_toml())
    with pytest.raises(SystemExit) as ended:
        main(["resume", str(out)] if how == "resume" else
             ["train", str(tmp_path / "few.toml"), "--out", str(out)])  # fmt: skip
    assert not ended.value.code
    said = capsys.readouterr().err
    if wound != "gone":
        assert f"'{out / CHECKPOINT}' is damaged: its checksum " in said
        assert "the checkpoint before it is used, and the run goes on from t = 0.0546875." in said
    found, whole = read_result(out / "result.nc")["network"], configured.train(FEW)["network"]
    assert found.to_dataset().identical(whole.to_dataset())
    assert not {CHECKPOINT, BEFORE} & {p.name for p in out.iterdir()}


def test_a_good_checkpoint_is_not_lost_to_the_damaged_one(tmp_path):
    """Damaged again and again, the run goes on each time from the checkpoint before."""
    reached = []
    for last in (5, 7, 9):
        with pytest.raises(Stop):
            configured.train(FEW, tmp_path, [stop_at(last)], cautious=False)
        damage(tmp_path / CHECKPOINT)
        reached.append(round(last_checkpoint(tmp_path).reached / FEW.network.step))
    assert reached == [3, 5, 7]


def kills(module, name, monkeypatch):
    """Contexts in which a function of a module kills the process before or after its n-th call."""
    real = getattr(os, name)
    for count in range(1, 7):
        for after in (False, True):
            calls = []

            def killed(*arguments, calls=calls, count=count, after=after):
                calls.append(arguments)
                if len(calls) == count and not after:
                    raise Stop
                real(*arguments)
                if len(calls) == count:
                    raise Stop

            with monkeypatch.context() as patched:
                patched.setattr(f"{module}.{name}", killed)
                yield f"{count}-{after}"


@pytest.mark.parametrize(("name", "links"), [
    ("fsync", True), ("link", True), ("replace", True), ("replace", False), ("fsync", False),
])  # fmt: skip
def test_a_kill_at_any_moment_leaves_a_good_checkpoint(name, links, tmp_path, monkeypatch):
    """Around each call that changes a file; also on a file system without hard links."""

    def no_link(*arguments):
        raise PermissionError("no links here")

    if not links:
        monkeypatch.setattr("uf_diffusion.core.files.os.link", no_link)
    begun = 0
    for case in kills("uf_diffusion.core.files.os", name, monkeypatch):
        out = tmp_path / case
        with pytest.raises(Stop):
            configured.train(FEW, out, cautious=False)
        found = last_checkpoint(out)
        assert found is not None or not begun
        begun += found is not None
        assert found is None or not found.damage
    assert begun >= 8
