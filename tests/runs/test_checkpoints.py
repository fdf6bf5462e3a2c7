"""Half and half is the whole: interrupted runs go on, on any number of ranks."""

import signal
import subprocess
import time

import numpy as np
import pytest
from processes import COMMAND, cli, environment

pytest.importorskip("dolfinx")
from mpi4py import MPI

from uf_diffusion.core.errors import InputError
from uf_diffusion.diffusion.history import DiffusionHistory
from uf_diffusion.diffusion.stored_state import pack, restore
from uf_diffusion.diffusion.ultra_fast import UltraFastDiffusion
from uf_diffusion.grids.built_in import grid_on
from uf_diffusion.problem import Problem
from uf_diffusion.problem.densities import Bumps, Uniform, VonMisesFisher
from uf_diffusion.problem.divergences import Unbiased
from uf_diffusion.problem.manifolds import Circle, FlatTorus, Sphere
from uf_diffusion.results.netcdf import read_result
from uf_diffusion.runs.checkpoints import Checkpoints, interrupted
from uf_diffusion.runs.reading import load_config
from uf_diffusion.runs.stored import BEFORE, CHECKPOINT, Job

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
