"""Times of a training step on the circle for each activation, against dense matrices.

Each row has VarPro with 1024 neurons and 4096 inputs, lambda = 1e-3. The last column is the largest
difference of the neurons' positions after the steps, relative to the way that they have gone.
"""

from mpi4py import MPI  # noqa: F401

import argparse
import statistics
import time
import warnings

import numpy as np

import uf_diffusion as uf
from uf_diffusion.core.mpi import Share
from uf_diffusion.kernels.choice import feature_map
from uf_diffusion.kernels.feature_maps import Atoms
from uf_diffusion.kernels.inputs import Inputs
from uf_diffusion.kernels.nonlinearities import NONLINEARITIES
from uf_diffusion.kernels.sampled import Sampled
from uf_diffusion.network.training import Network, VarProDescent

CIRCLE = uf.Circle()
STEP = 2.0**-10


def timed(psi, start, masses, steps):
    """The median milliseconds of a step, and the positions after all steps."""
    network = Network(CIRCLE, psi, uf.UNBIASED, 1e-3, masses)
    algorithm, seconds = VarProDescent(network, STEP), []
    state = algorithm.start(start)
    for _ in range(steps):
        begun = time.perf_counter()
        state = algorithm.step(state, np.inf)
        seconds.append(time.perf_counter() - begun)
    return 1e3 * statistics.median(seconds), state.feature


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few neurons and inputs")
    width, samples, steps = (64, 600, 3) if parser.parse_args().quick else (1024, 4096, 10)
    warnings.simplefilter("ignore", uf.Caution)
    head = ("activation", "bias", "map", "ms", "dense ms", "ratio", "apart")
    print("{:14}{:6}{:18}{:>8}{:>10}{:>7}{:>10}".format(*head))
    rng = np.random.default_rng(0)
    start, masses = CIRCLE.sample(width, rng), np.full(width, 1 / width)
    points = uf.Bumps(CIRCLE, gamma=10.0).sample(512, rng)
    teacher = Atoms(points, np.full(len(points), 1 / len(points)))
    for name in NONLINEARITIES:
        for bias in (False, True):
            phi = uf.Activation(name, bias=bias, manifold=CIRCLE)
            x = phi.inputs(samples, np.random.default_rng(1))
            fast = feature_map(phi, "sampled", samples, teacher, rng, width, 0.0, Inputs(x))
            dense = Sampled(phi, x, teacher, Share(samples, split=width <= samples))
            (a, there), (b, known) = (timed(psi, start, masses, steps) for psi in (fast, dense))
            way = np.abs(known - start).max()
            print(f"{name:14}{bias!s:6}{type(fast).__name__:18}{a:8.2f}{b:10.1f}{b / a:7.1f}"
                  f"{np.abs(there - known).max() / way:10.0e}", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
