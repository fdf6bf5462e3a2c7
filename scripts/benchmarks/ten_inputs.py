"""Mean heights of networks with ten inputs, and of the diffusion: ``ten_inputs.py``.

The teacher is proportional to exp(6 s) on S^9, the start is uniform, and the features are random
Fourier features of scale 1. The mean height of infinitely many neurons at lambda = 1e-4 is
.1228 .1743 .2409 .3439, from a prototype of the mean-field equation. ``--widest 10000`` takes
a few minutes more.
"""

import argparse
import time
import warnings

import numpy as np

import uf_diffusion as uf

AXIS = np.eye(10)[0]
TIMES = [0.0, 0.05, 0.1, 0.2, 0.5]
RTOL = 1e-3  # of the gradient flow; descent would need a thousand steps
# profile, lambda, width
ROWS = (
    ("gaussian", 1e-2, 1000), ("gaussian", 1e-3, 1000), ("gaussian", 1e-4, 1000),
    ("gaussian", 1e-5, 1000), ("matern", 1e-3, 1000), ("matern", 1e-4, 1000),
    ("gaussian", 1e-4, 3000), ("matern", 1e-4, 3000), ("gaussian", 1e-4, 10000),
)  # fmt: skip


def heights(problem, profile, regularisation, width, samples, placement):
    network = uf.train(
        problem, uf.RandomFourier(scale=1.0, profile=profile), until=TIMES[-1], snapshots=TIMES,
        width=width, regularisation=regularisation, samples=samples, teacher_width=16384,
        placement=placement, teacher_placement="quantile", algorithm="flow", rtol=RTOL,
        cautious=False,
    )  # fmt: skip
    limit = uf.solve(problem, until=TIMES[-1], snapshots=TIMES, cells=1000)
    far = uf.compare(network, limit).energy_distance_diffusion[-1]
    return [float(network.mass @ (x @ AXIS)) for x in network.feature], float(far)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--widest", type=int, default=3000, help="leave out wider networks")
    parser.add_argument("--samples", type=int, default=4096, help="number of inputs")
    parser.add_argument("--placement", default="quantile", choices=["quantile", "random"])
    parser.add_argument("--quick", action="store_true", help="two rows of small networks")
    chosen = parser.parse_args()
    warnings.simplefilter("ignore", uf.Caution)
    problem = uf.Problem(uf.Sphere(9), teacher=lambda x: np.exp(6 * x[:, 0]), axis=AXIS)
    limit = uf.solve(problem, until=TIMES[-1], snapshots=TIMES, cells=1000)
    of_limit = (limit.density * limit.volume) @ (limit.grid.nodes @ AXIS)
    head = "".join(f"{f't = {t:g}':>10}" for t in TIMES[1:])
    print(f"{'mean height':34}{head}{'E, t = 0.5':>12}{'seconds':>9}")
    print(f"{'diffusion':34}" + "".join(f"{h:10.4f}" for h in of_limit[1:]))
    rows = [(*row[:2], 50) for row in ROWS[:2]] if chosen.quick else ROWS
    for profile, regularisation, width in rows:
        if width > chosen.widest:
            continue
        start = time.perf_counter()
        found, far = heights(
            problem, profile, regularisation, width, chosen.samples, chosen.placement
        )
        name = f"{profile}, lambda = {regularisation:g}, M = {width}"
        print(f"{name:34}" + "".join(f"{h:10.4f}" for h in found[1:])
              + f"{far:12.4f}{time.perf_counter() - start:9.0f}", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
