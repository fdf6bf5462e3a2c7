"""Against curves that the paper's authors computed with their own code."""

import csv
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("dolfinx")
from mpi4py import MPI

from uf_diffusion.diffusion.history import DiffusionHistory
from uf_diffusion.diffusion.ultra_fast import UltraFastDiffusion
from uf_diffusion.grids.built_in import grid_on
from uf_diffusion.runs.reading import load_config

CURVES = Path(__file__).parents[2] / "paper_figures" / "curves"


def test_densities_of_the_diffusion():
    """Section 6.1, gamma = 100: the density at five iterations, read off the figure.

    The authors' scheme is of first order (L1 error about 1e-4), the reading has five digits.
    """
    series = defaultdict(list)
    with open(CURVES / "density_evolution__ultrafast_diffusion.csv") as file:
        for row in csv.DictReader(file):
            series[row["series"]].append((float(row["x"]), float(row["y"])))
    problem = load_config("relu-circle").build()
    solver = UltraFastDiffusion(problem, grid_on(problem.manifold, 4096), comm=MPI.COMM_SELF)
    iterations = [0, 100, 1000, 5000, 10000]
    history = DiffusionHistory(solver, np.array(iterations) / 1024)
    for state in solver.iterate(iterations[-1] / 1024):
        history(state)
    ours = {"teacher density mu_gamma": solver.teacher}
    for k, ratio in zip(iterations, history.ratios, strict=True):
        ours[next(s for s in series if s.startswith(f"iteration={k} "))] = ratio * solver.teacher
    assert set(ours) == set(series)
    for name, density in ours.items():
        angle, paper = np.array(series[name]).T
        points = problem.manifold.unchart(angle)
        found = solver.grid.interpolate(solver.gathered(density), points)
        assert np.abs(found / paper - 1).max() < 3e-3, name
        assert np.median(np.abs(found / paper - 1)) < 2e-4, name
