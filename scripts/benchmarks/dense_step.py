"""Pieces of a dense VarPro step: ``python scripts/benchmarks/dense_step.py [--quick]``.

Everything is measured when the script runs, in one thread. It takes half a minute.
"""

from mpi4py import MPI  # noqa: F401

import time
from contextlib import ExitStack, contextmanager
from unittest.mock import patch

import numpy as np
import parts
from network import TAU, problem_of

from uf_diffusion.core.threads import using_threads
from uf_diffusion.kernels.features import Radial, ReLU
from uf_diffusion.kernels.hinges import HingeNeurons
from uf_diffusion.kernels.passes import Passes
from uf_diffusion.kernels.preconditioner import Smooth
from uf_diffusion.kernels.sampled import SampledNeurons
from uf_diffusion.network.training import VarProDescent

PIECES = {
    "features": ((Radial, "values"), (ReLU, "values")),
    "products": ((Passes, "from_left"), (Passes, "from_right"), (HingeNeurons, "moments"),
                 (HingeNeurons, "values"), (HingeNeurons, "product")),
    "gradient": ((SampledNeurons, "gradient"), (HingeNeurons, "gradient")),
    "preconditioner": ((Smooth, "solver"),),
}  # fmt: skip


def split(widths=(128, 512, 1024), samples=4096, steps=60):
    """A step and its pieces at lambda = 1e-3; ms, medians."""
    print(
        "Arithmetic bounds all pieces on S^2, features and gradient on T^2. A product on T^2 is a"
    )
    print("pass over N M numbers in memory, of 8 bytes each, or of 4 in single precision.")
    print(f"{'':10} {'width':>6} {'step':>7} " + " ".join(f"{name:>14}" for name in PIECES))
    for name in ("T2 radial", "S2 ReLU"):
        for width in widths:
            network, feature, _ = problem_of(name, width, samples, lam=1e-3)
            algorithm, rows = VarProDescent(network, TAU), []
            with timed() as seconds, using_threads(many=False):
                state = algorithm.start(feature)
                for _ in range(steps):
                    seconds.update(dict.fromkeys(PIECES, 0.0))
                    clock = time.perf_counter()
                    state = algorithm.step(state, np.inf)
                    rows.append([time.perf_counter() - clock, *seconds.values()])
            whole, *pieces = 1e3 * np.median(rows, axis=0)
            print(f"{name:10} {width:6d} {whole:7.2f} "
                  + " ".join(f"{piece:14.2f}" for piece in pieces), flush=True)  # fmt: skip


@contextmanager
def timed():
    """Collect the seconds that the methods of PIECES take, each without those that it calls."""
    seconds, running = dict.fromkeys(PIECES, 0.0), []

    def clocked(piece, function):
        def call(*args, **kwargs):
            running.append(0.0)
            clock = time.perf_counter()
            result = function(*args, **kwargs)
            took = time.perf_counter() - clock
            seconds[piece] += took - running.pop()
            if running:
                running[-1] += took
            return clocked(piece, result) if callable(result) else result

        return call

    with ExitStack() as patches:
        for piece, methods in PIECES.items():
            for owner, name in methods:
                patches.enter_context(patch.object(owner, name, clocked(piece, vars(owner)[name])))
        yield seconds


if __name__ == "__main__":
    quick = {"split": {"widths": (32,), "samples": 64, "steps": 3}}
    parts.run(__doc__, {"split": split}, quick)
