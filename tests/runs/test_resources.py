"""What a run needs is known before it starts: meshes' sizes, memory, disk."""

import subprocess
import sys
import textwrap
import time
from collections import namedtuple
from pathlib import Path

import pytest
from configured import train
from processes import environment

from uf_diffusion import load_config
from uf_diffusion.core.errors import InputError
from uf_diffusion.grids.built_in import grid_on, with_degree
from uf_diffusion.grids.icosphere import Icosphere
from uf_diffusion.problem.manifolds import Circle, FlatTorus, Sphere
from uf_diffusion.results.netcdf import write_result
from uf_diffusion.runs import resources as memory
from uf_diffusion.runs.resources import (
    diffusion_bytes,
    require_disk,
    require_memory_of_diffusion,
    require_memory_of_spectrum,
    result_bytes,
    spectrum_bytes,
)
from uf_diffusion.runs.setup import Setup

MESHES = [(Circle(), 3), (FlatTorus(1), 3), (FlatTorus(2), 3), (FlatTorus(3), 2), (Sphere(2), 3)]


@pytest.mark.parametrize(("manifold", "degrees"), MESHES, ids=str)
def test_the_size_of_a_mesh_is_known_before_it_is_built(manifold, degrees):
    for degree in range(1, degrees + 1):
        grid = grid_on(manifold, 1000, degree)
        counted = grid.node_count, grid.cell_count
        assert counted == (len(grid.nodes), len(grid.cells))


def test_the_size_of_a_given_mesh_is_known_before_its_nodes_of_higher_degree():
    grid = with_degree(Icosphere(Sphere(2), 2).surface, 3)
    assert (grid.node_count, grid.cell_count) == (len(grid.nodes), len(grid.cells))


def require(preset, *overrides):
    config = load_config(preset, overrides)
    require_memory_of_diffusion(config, Setup(config).grid)


@pytest.mark.parametrize("preset", ["relu-circle", "sphere", "radial-torus"])
def test_a_mesh_that_does_not_fit_is_refused_before_it_is_built(preset):
    start = time.perf_counter()
    wanted = r"The diffusion needs about .* GiB of memory .* are free; use fewer diffusion\.cells"
    with pytest.raises(InputError, match=wanted):
        require(preset, "diffusion.cells=1000000000000000000")
    with pytest.raises(InputError, match=r"use fewer diffusion\.cells"):
        require_memory_of_spectrum(grid_on(load_config(preset).space(), 10**18))
    assert time.perf_counter() - start < 2
    require(preset)


def test_snapshots_that_do_not_fit_are_refused():
    cells = "diffusion.cells=100000"
    require("relu-circle", cells)
    with pytest.raises(InputError, match=r"diffusion\.snapshots"):
        require("relu-circle", cells, "diffusion.snapshots=100000")


def test_the_estimates_grow_with_what_is_asked():
    grid = grid_on(Sphere(2), 1000)
    finer = grid_on(Sphere(2), 4000)
    assert diffusion_bytes(grid, 3) < diffusion_bytes(grid, 30)
    assert diffusion_bytes(grid, 3) < diffusion_bytes(with_degree(grid, 2), 3)
    assert diffusion_bytes(finer, 3) == pytest.approx(4 * diffusion_bytes(grid, 3), rel=0.02)
    assert diffusion_bytes(grid, 3) < diffusion_bytes(grid, 3, transported=True)
    assert spectrum_bytes(grid_on(Sphere(2), 10**6)) > 40 * spectrum_bytes(
        grid_on(Sphere(2), 10**4)
    )


MEASURE = """\
    import re
    from pathlib import Path
    from mpi4py import MPI
    from uf_diffusion import load_config
    from uf_diffusion.runs.jobs import solve
    from uf_diffusion.runs.setup import Setup
    from uf_diffusion.runs.resources import diffusion_bytes

    def peak():
        status = Path("/proc/self/status").read_text()  # getrusage counts the parent, too
        return 1024 * int(re.search(r"VmHWM:\\s+(\\d+) kB", status)[1])

    def run(cells):
        config = load_config("sphere", ["problem.t_end=1e-4", "diffusion.snapshots=21",
                                        f"diffusion.cells={cells}"])
        solve(Setup(config))
        return diffusion_bytes(Setup(config).grid, 21)

    run(20)
    before = peak()
    print(run(80000) / (peak() - before))
"""


def test_the_estimate_of_memory_agrees_with_a_run():
    """The peak of a real run on 40 962 nodes, in a process of its own."""
    pytest.importorskip("dolfinx")
    if not Path("/proc/self/status").exists():
        pytest.skip("the peak of the memory is read from Linux's /proc")
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(MEASURE)],
        capture_output=True, text=True, timeout=300, check=False,
        env=environment(),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert 0.7 < float(done.stdout) < 2


def test_a_result_that_does_not_fit_on_the_disk_is_refused(tmp_path, monkeypatch):
    """By the free space of the folder that is there already."""
    asked = []
    usage = namedtuple("usage", "total used free")

    def disk_usage(place):
        asked.append(place)
        return usage(2**40, 0, 2**20)

    monkeypatch.setattr(memory.shutil, "disk_usage", disk_usage)
    require_disk(tmp_path / "a" / "b", 2**20)
    with pytest.raises(
        InputError, match=r"The result needs about 1\.0 GiB and .* has 1\.0 MiB free"
    ):
        require_disk(tmp_path / "a" / "b", 2**30)
    assert asked == [tmp_path, tmp_path]


def test_the_estimate_of_a_result_holds_its_file(tmp_path):
    config = load_config("relu-circle", ["network.width=2000", "network.samples=10",
                                         "network.teacher_width=10", "problem.t_end=0.0625",
                                         "diffusion.snapshots=5"])  # fmt: skip
    write_result(tmp_path / "result.nc", train(config))
    size = (tmp_path / "result.nc").stat().st_size
    estimate = result_bytes(config, "train")
    assert size < estimate < 4 * size  # two checkpoints beside it
    assert result_bytes(config, "compare") > estimate
    assert result_bytes(config, "compare") > result_bytes(config, "solve")
