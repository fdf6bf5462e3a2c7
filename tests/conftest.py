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
