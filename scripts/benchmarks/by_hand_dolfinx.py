"""The equation by hand in DOLFINx, as a good user writes it: BDF2 and Newton by PETSc's SNES.

The unknown is u = nu / mu, in which the equation nu (1 / u)_t = -div(nu grad u) has a symmetric and
definite Jacobian. The steps are adapted to the difference between the solution and its
extrapolation from three steps.
"""

from mpi4py import MPI

import h5netcdf  # noqa: F401 (its HDF5 must be loaded before DOLFINx loads another one)
import numpy as np
import ufl
from dolfinx import fem
from dolfinx.fem.petsc import NonlinearProblem

from uf_diffusion.diffusion.meshes import space_on
from uf_diffusion.problem.manifolds import FlatTorus

LU = {"ksp_type": "preonly", "pc_type": "lu", "pc_factor_mat_solver_type": "mumps"}
NEWTON = {"snes_type": "newtonls", "snes_linesearch_type": "basic", "snes_rtol": 1e-4,
          "snes_atol": 1e-12, "snes_max_it": 20}  # fmt: skip
# the Jacobian is factorised once a step with "kept", which is Newton's method with an old matrix
OPTIONS = {
    "dolfinx LU": NEWTON | LU,
    "dolfinx LU kept": NEWTON | LU | {"snes_lag_jacobian": 20},
    "dolfinx CG+GAMG": NEWTON | {"ksp_type": "cg", "pc_type": "gamg", "ksp_rtol": 1e-3},
}


class ByHand:
    """The discretised equation with Lagrange elements.

    Args:
        grid: the grid, of degree 1 or 2; a mesh of its own would look the same.
        teacher: the density nu.
        way: the name of PETSc's options, a key of `OPTIONS`.

    Attributes:
        points: the nodes, ``(n, ambient)``.
        volume: the integral of each basis function, ``(n,)``.
    """

    def __init__(self, grid, teacher, way):
        mesh = space_on(grid, MPI.COMM_SELF)[0].mesh
        V = fem.functionspace(mesh, ("Lagrange", getattr(grid, "degree", 1)))
        v = ufl.TestFunction(V)
        self.volume = fem.assemble_vector(fem.form(v * ufl.dx)).array
        x, manifold = V.tabulate_dof_coordinates()[:, : grid.manifold.ambient], grid.manifold
        self.points = manifold.wrap(x) if isinstance(manifold, FlatTorus) else x
        nu = fem.Function(V)
        nu.x.array[:] = teacher(self.points)
        nu.x.array[:] /= self.volume @ nu.x.array
        self.nu = nu.x.array
        self.u = fem.Function(V)
        self.before = [fem.Function(V), fem.Function(V)]
        self.weights = [fem.Constant(V.mesh, 0.0) for _ in range(3)]
        a, b, c = self.weights
        rate = a / self.u + b / self.before[0] + c / self.before[1]
        F = nu * ufl.inner(ufl.grad(self.u), ufl.grad(v)) * ufl.dx
        # with a consistent mass matrix of degree 1, u reaches 0 at a node on coarse tori
        lumped = {"quadrature_rule": "vertex", "quadrature_degree": 1}
        F -= nu * rate * v * ufl.dx(metadata=lumped if V.element.basix_element.degree == 1 else {})
        self.problem = NonlinearProblem(
            F, self.u, petsc_options_prefix=f"{way.replace(' ', '_')}_", petsc_options=OPTIONS[way]
        )

    def solve(self, t_end, shots, rtol):
        """The densities at the times ``shots``, ``(shots, n)``, and counts.

        Args:
            t_end: final time.
            shots: times of output, interpolated in u by the parabola through three steps.
            rtol: tolerance of the root mean square error of log u in a step.

        Raises:
            RuntimeError: if the steps become too small.
        """
        times, past = [0.0], [self.volume.sum() * self.nu]
        tau, found, newton, steps = 1e-2 * rtol, [], 0, 0
        while times[-1] < t_end:
            guess = self._extrapolated(times, past, times[-1] + tau)
            error, iterations = self._step(times, past, tau, guess, rtol)
            newton += iterations
            if error > 1.5:
                tau *= max(0.2, 0.8 * error ** (-1 / 3))
                if tau < 1e-14:
                    raise RuntimeError("The steps by hand are too small.")
                continue
            times, past = [*times[-2:], times[-1] + tau], [*past[-2:], self.u.x.array.copy()]
            steps += 1
            while len(found) < len(shots) and shots[len(found)] <= times[-1]:
                found.append(self.nu / self._extrapolated(times, past, shots[len(found)]))
            tau *= min(1.8, max(0.3, 0.8 * max(error, 1e-4) ** (-1 / 3)))
        return np.array(found), {"steps": steps, "newton": newton}

    def _extrapolated(self, times, past, t):
        """The parabola, line or constant through the last steps, at a time, in log u."""
        total = 0.0
        for a, u in zip(times, past, strict=True):
            others = [(t - b) / (a - b) for b in times if b != a]
            total = total + np.prod(others) * np.log(u)
        return np.exp(total)

    def _step(self, times, past, tau, guess, rtol):
        """Take a step; returns its error as a multiple of the tolerance, and the iterations."""
        w = tau / (times[-1] - times[-2]) if len(times) > 1 else 0.0  # 0 is implicit Euler
        values = (1 + 2 * w) / (1 + w), -(1 + w), w**2 / (1 + w)
        for weight, value in zip(self.weights, values, strict=True):
            weight.value = value / tau
        self.before[0].x.array[:] = past[-1]
        self.before[1].x.array[:] = past[-2:][0]
        self.u.x.array[:] = guess
        self.problem.solve()
        snes = self.problem.solver
        if snes.getConvergedReason() < 0 or self.u.x.array.min() <= 0:
            return 100.0, snes.getIterationNumber()
        change = np.log(self.u.x.array / guess)
        size = np.sqrt(self.volume * self.nu @ change**2)
        # of a parabola's error at the end of equal steps, a third is that of BDF2 and more
        return size / (3 * rtol if len(times) > 1 else rtol), snes.getIterationNumber()
