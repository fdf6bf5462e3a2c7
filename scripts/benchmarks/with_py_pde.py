"""The equation by py-pde on the flat torus: explicit steps on a periodic Cartesian grid.

Its implicit solvers are fixed-point iterations, and those of scipy get no sparse Jacobian from it,
so the explicit adaptive Runge-Kutta scheme is the fastest one that it has for this equation. It
runs without numba: the machine code of an expression takes minutes to compile.
"""

import importlib.util
from dataclasses import dataclass

import numpy as np

INSTALL = "Left out: py-pde, which the extra bench installs: pip install 'uf-diffusion[bench]'."


def available():
    """Whether py-pde is installed."""
    return importlib.util.find_spec("pde") is not None


@dataclass
class Cells:
    """The centres of the cells ``(n, 2)`` and their volumes ``(n,)``."""

    points: np.ndarray
    volume: np.ndarray


def by_py_pde(teacher, n, t_end, shots, tolerance):
    """Solve on n cells along each axis; returns the cells, the densities at ``shots``, and counts.

    The conservative form -div(nu grad u) is discretised by py-pde's central differences.
    """
    import pde

    period, count = teacher.manifold.period, 0
    grid = pde.CartesianGrid(2 * [[0, period]], n, periodic=True)
    points = teacher.manifold.wrap(grid.cell_coords.reshape(-1, 2))
    values = teacher(points).reshape(n, n)
    nu = pde.ScalarField(grid, values / values.mean() / period**2)

    class Equation(pde.PDEBase):
        def evolution_rate(self, state, t=0):
            nonlocal count
            count += 1
            return -1 * (nu * (nu / state).gradient("periodic")).divergence("periodic")

    state, now, found = pde.ScalarField(grid, 1 / period**2), 0.0, []
    for t in (*shots, t_end):
        state = Equation().solve(
            state, t_range=(now, t), dt=1e-6, solver="runge-kutta", adaptive=True,
            tolerance=tolerance, tracker=None, backend="numpy",
        )  # fmt: skip
        now = t
        found.append(state.data.ravel().copy())
    volume = np.full(n * n, period**2 / n**2)
    return Cells(points, volume), found[:-1], {"rhs": count}
