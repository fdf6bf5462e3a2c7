"""Shared by all tests: strict floating point, and mpiexec of this environment on the path."""

import atexit
import faulthandler
import os
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
os.environ.setdefault("OMP_NUM_THREADS", "1")  # ranks share the cores
if "_PYTEST_MPI_CHILD_PROCESS" in os.environ:
    # a rank that waits for ever fails the test
    faulthandler.dump_traceback_later(300, exit=True)
    # pytest prunes its folder of temporary paths: ranks that share it trip over each other
    os.environ["PYTEST_DEBUG_TEMPROOT"] = _own = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, _own, ignore_errors=True)
np.seterr(all="raise", under="ignore")
settings.register_profile("fixed", derandomize=True, deadline=None)
settings.register_profile("explore", deadline=None, max_examples=500)  # with --hypothesis-seed
settings.load_profile("fixed")

# tests that repeat what others show, for longer, with other numbers of ranks or by killing whole
# processes; "make test" leaves them out, "make test-all" does not
SLOW = (
    "test_the_walk_through_a_change_arrives", "test_killed_and_repeated_is_the_whole",
    "test_a_stopped_process_goes_on", "test_two_timescales_converge_to_varpro",
    "test_same_trajectory_on_any_number_of_ranks[nprocs=3]", "test_multigrid_on_several_ranks[nprocs=3]",
    "test_the_same_numbers_on_any_number_of_ranks[nprocs=3", "test_the_same_numbers_on_three_ranks",
    "test_direct_solvers_on_two_ranks[circle", "test_solution_does_not_depend_on_ranks[nprocs=3",
    "test_a_command_of_a_document_runs[python scripts/fault_campaign",
    "test_a_command_of_a_document_runs[python scripts/fuzz",
    "test_a_command_of_a_document_runs[python scripts/benchmarks/single_precision.py chaos",
    "test_a_command_of_a_document_runs[python scripts/benchmarks/ten_inputs.py --widest",
    "test_a_command_of_a_document_runs[python scripts/benchmarks/transport.py line",
    "test_a_command_of_a_document_runs[mpiexec -n 2 python scripts/benchmarks/transport",
    "test_ctrl_c_tells_how_to_go_on[ranks]", "test_budget_with_an_axis[3]",
    "test_two_ways_to_the_next_dimension_but_one", "test_two_ranks_give_the_same_datasets",
    "test_figure_and_report_are_written_without_warnings[9]",
)  # fmt: skip


def pytest_addoption(parser):
    parser.addoption("--fast", action="store_true", help="leave out the tests in conftest.SLOW")


def pytest_collection_modifyitems(config, items):
    if config.getoption("--fast"):
        slow = [item for item in items if item.name.startswith(SLOW)]
        config.hook.pytest_deselected(items=slow)
        items[:] = [item for item in items if item not in slow]


@pytest.fixture
def rng():
    return np.random.default_rng(20251123)


@pytest.fixture
def shared_folder():
    """A temporary folder that all ranks of a parallel test share; each has a tmp_path of its own."""
    from mpi4py import MPI

    comm = MPI.COMM_WORLD
    folder = comm.bcast(tempfile.mkdtemp() if comm.rank == 0 else None)
    yield Path(folder)
    comm.barrier()
    if comm.rank == 0:
        shutil.rmtree(folder)
