"""Large fields: files beside result.nc and checkpoints, which no rank has as a whole."""

import os

import h5netcdf
import numpy as np
import pytest
import xarray as xr

pytest.importorskip("dolfinx")
from mpi4py import MPI

import uf_diffusion as uf
from uf_diffusion.core.errors import InputError, Unwritable
from uf_diffusion.core.mpi import on_root
from uf_diffusion.diffusion import gathering
from uf_diffusion.diffusion.history import DiffusionHistory
from uf_diffusion.diffusion.stored_state import pack, restore
from uf_diffusion.diffusion.ultra_fast import UltraFastDiffusion
from uf_diffusion.distances import large_fields
from uf_diffusion.grids.lattice import Lattice
from uf_diffusion.library.saving import load_result, publish
from uf_diffusion.problem.manifolds import FlatTorus
from uf_diffusion.results import sizes
from uf_diffusion.runs.checkpoints import Checkpoints
from uf_diffusion.runs.jobs import compare, solve
from uf_diffusion.runs.reading import load_config
from uf_diffusion.runs.setup import Setup
from uf_diffusion.runs.stored import Job, last_checkpoint

SMALL = [
    "problem.dim=2", "problem.teacher.gamma=5.0", "diffusion.cells=1152", "diffusion.rtol=1e-2",
    "diffusion.snapshots=3", "problem.t_end=0.01",
]  # fmt: skip


@pytest.fixture
def small(monkeypatch):
    """Fields of 576 nodes are large, and their pieces have 100 nodes."""
    monkeypatch.setattr(sizes, "WHOLE", 500)
    monkeypatch.setattr(sizes, "PICTURE", 200)
    monkeypatch.setattr(gathering, "PIECE", 100)
    monkeypatch.setattr(large_fields, "PIECE", 100)


def setup():
    return Setup(load_config("radial-torus", SMALL))


def fields(folder, name="fields.nc"):
    with xr.open_dataset(folder / name, engine="h5netcdf") as file:
        return file.load()


@pytest.mark.parallel([1, 2])
def test_files_hold_all_and_the_result_a_coarse_picture(shared_folder, small):
    """The file has the bits of the result in memory, and the picture those of its shared nodes."""
    out = shared_folder / "run"
    whole = solve(setup(), cautious=False)
    result = solve(setup(), out, cautious=False)
    if MPI.COMM_WORLD.rank == 0:
        d, found = whole.tree["diffusion"].to_dataset(), fields(out)
        names = ("node_position", "node_measure", "teacher", "density", "outer_weight")
        assert all(np.array_equal(found[name], d[name]) for name in names)
        assert np.array_equal(found.snapshot_time, d.snapshot_time)
        publish(result, out)
        seen = load_result(out)
        e = seen.group("diffusion")
        place = Lattice(FlatTorus(2), 24).coarser().place
        assert (seen.grid.per_axis, e.attrs["whole_nodes"]) == (12, 576)
        assert np.array_equal(e.density, d.density[:, place])
        assert np.array_equal(e.node_position, seen.grid.nodes)
        assert float(e.node_measure.sum()) == pytest.approx(float(d.node_measure.sum()))


TIMES = np.linspace(0, 0.01, 3)


def equation(comm):
    problem = setup().problem
    return UltraFastDiffusion(problem, Lattice(FlatTorus(2), 24), rtol=1e-2, comm=comm)


def run(solver, history, checkpoints=None, folder=None, start=None):
    """Run to the end; with checkpoints, write them after steps 3 and 5, and stop there."""
    for state in solver.iterate(TIMES[-1], start=start):
        history(state)
        if checkpoints is not None and state.step in (3, 5):
            checkpoints.write("diffusion", lambda s=state: pack(s, solver, history, folder))
            if state.step == 5:
                break
    return solver.everywhere(np.array(history.ratios))


@pytest.mark.parallel([1, 2])
def test_runs_go_on_from_pieces(shared_folder, small):
    """With the same bits, also where other ranks read; from the checkpoint before the last if the
    last fields are damaged. Files to which no checkpoint refers are removed.
    """
    out, together = shared_folder / "run", equation(MPI.COMM_WORLD)
    job = Job("solve", setup().config)
    whole = run(together, DiffusionHistory(together, TIMES))
    with Checkpoints(out, job) as checkpoints:
        (out / "checkpoint-fields-1.nc").write_text("of a run that was killed")
        together.comm.barrier()
        run(together, DiffusionHistory(together, TIMES), checkpoints, out)
    together.comm.barrier()
    names = [f"checkpoint-fields-{step}.nc" for step in (3, 5)]
    assert sorted(path.name for path in out.glob("checkpoint-fields-*")) == names
    for step in (5, 3):
        group = last_checkpoint(out).groups["diffusion"]
        assert group.attrs["count"] == step
        assert "node" not in group.sizes
        history, alone = DiffusionHistory(together, TIMES), equation(MPI.COMM_SELF)
        start = restore(group, together, history, out)
        other = restore(group, alone, DiffusionHistory(alone, TIMES), out)
        assert np.array_equal(alone.everywhere(other.ratio), together.everywhere(start.ratio))
        assert np.array_equal(run(together, history, start=start), whole)
        together.comm.barrier()
        on_root(lambda: os.truncate(out / names[1], 5000))


@pytest.mark.parallel([1, 2])
def test_a_full_disk_stops_all_ranks(shared_folder, small, monkeypatch):
    """The error of rank 0 in the middle of a file is raised on all, and nothing is left."""
    solver = equation(MPI.COMM_WORLD)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(h5netcdf.Variable, "__setitem__", full)
    with pytest.raises(Unwritable, match="No space left"):
        pack(solver.state(solver.problem.initial), solver, DiffusionHistory(solver, TIMES),
             shared_folder)  # fmt: skip
    assert not list(shared_folder.glob("*fields*"))


SPHERE = ["diffusion.cells=1280", "diffusion.rtol=1e-2", "diffusion.snapshots=2",
          "problem.t_end=0.5", "network.width=50"]  # fmt: skip
FROM_WHOLE = ["energy_distance_diffusion", "outer_weight_error"]


@pytest.mark.parallel([1, 2])
@pytest.mark.parametrize("name", ["radial-torus", "sphere"])
def test_comparisons_use_all_nodes(shared_folder, small, monkeypatch, name):
    """The numbers are those of a field that fits, and only W_2 is that of the coarse picture."""
    settings = [*SMALL, "network.width=50", "network.step=1e-3"] if name != "sphere" else SPHERE
    config = load_config(name, settings)
    found = compare(Setup(config), shared_folder / "run", cautious=False).group("comparison")
    monkeypatch.setattr(sizes, "WHOLE", 1000)
    whole = compare(Setup(config), cautious=False).group("comparison")
    if MPI.COMM_WORLD.rank == 0:
        assert found.attrs["from_whole"].split() == FROM_WHOLE
        assert "whole_nodes" not in whole.attrs
        for key in FROM_WHOLE:
            assert np.allclose(found[key], whole[key], rtol=1e-12, atol=0)
        assert not np.allclose(found.w2_diffusion, whole.w2_diffusion, rtol=1e-3)


def test_stored_results_are_compared_with_all_their_nodes(tmp_path, small):
    """If their file is there and intact; without it by the coarse picture, as the report says."""
    out, other = tmp_path / "limit", ["network.width=50", "network.step=1e-3"]
    uf.run("radial-torus", "solve", out=out, overrides=[*SMALL, *other], cautious=False)
    network = uf.run("radial-torus", "train", overrides=[*SMALL, *other], cautious=False)
    both = uf.run("radial-torus", out=tmp_path / "both", overrides=[*SMALL, *other], cautious=False)
    found = uf.compare(network, uf.load(out))
    assert found.grid.node_count == 144
    for key in FROM_WHOLE:
        assert np.array_equal(found.group("comparison")[key], both.group("comparison")[key])
    report = (tmp_path / "both" / "report.html").read_text()
    assert "energy distance to the diffusion, median |uᵢ − u(ωᵢ)| with all 576 nodes" in report
    moved = uf.load(out).save(tmp_path / "moved")
    assert (moved / "fields.nc").read_bytes() == (out / "fields.nc").read_bytes()
    again = uf.compare(network, uf.load(moved)).energy_distance_diffusion
    assert np.array_equal(again, found.energy_distance_diffusion)
    (out / "fields.nc").rename(tmp_path / "elsewhere.nc")
    coarse = uf.compare(network, uf.load(out))
    assert coarse.group("comparison").attrs["from_whole"] == ""
    assert not np.allclose(coarse.energy_distance_diffusion, found.energy_distance_diffusion)
    (out / "fields.nc").write_bytes((tmp_path / "elsewhere.nc").read_bytes()[:-100])
    with pytest.raises(InputError, match="damaged"):
        uf.compare(network, uf.load(out))
