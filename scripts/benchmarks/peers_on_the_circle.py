"""ODE solvers that an expert would use for `Differences`: CVODE, LSODA and Radau, well set up."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import sundials
from differences import Differences, band, rate
from numba import njit
from scipy.integrate import odeint, solve_ivp
from scipy.sparse import csc_matrix

INSTALL = (
    "scikit-sundae is missing; the extra bench installs it: pip install 'uf-diffusion[bench]'."
)
TOLERANCES = tuple(10.0**-k for k in range(3, 10))
MOST = 100_000  # steps between two times of output


@njit(nogil=True, error_model="numpy", cache=True)
def spread(bands, width, out):
    """Write a band matrix ``bands[j, i - j + width]`` to a full matrix ``out[i, j]``."""
    n = len(bands)
    for j in range(n):
        for i in range(max(0, j - width), min(n, j + width + 1)):
            out[i, j] = bands[j, i - j + width]


class InPython:
    """An ODE of `Differences` as Python functions that call machine code, for solvers in Python."""

    def __init__(self, ode):
        self.ode = ode
        self.kind, self.nu, *_, self.places, _, _ = self.arguments = ode.arguments
        self.rows, self.width = ode.rows, ode.width
        self.out, self.slope = np.empty(ode.n), np.empty(ode.n)
        self.bands = np.zeros((ode.n, 2 * ode.width + 1))

    def rate(self, t, y):
        rate(y, self.out, *self.arguments)
        return self.out

    def jacobian(self, t, y):
        """The Jacobian as a band, column by column ``(n, 2 width + 1)``."""
        rate(y, self.slope, *self.arguments)
        return self.jacobian_at(y, self.slope)

    def jacobian_at(self, y, slope):
        band(y, slope, self.kind, self.nu, self.rows, self.places, self.width, self.bands)
        return self.bands

    @cached_property
    def pattern(self):
        """Where the entries of the sparse Jacobian are in the bands, and its columns and rows."""
        n, w = self.ode.n, self.width
        i, j = np.indices((n, n), sparse=True)
        used = np.abs(i - j) <= w
        columns, rows = np.nonzero(used.T)
        starts = np.concatenate([[0], np.cumsum(used.sum(axis=0))])
        return columns, rows - columns + w, rows, starts

    def sparse(self, t, y):
        bands = self.jacobian(t, y)
        columns, diagonals, rows, starts = self.pattern
        return csc_matrix((bands[columns, diagonals], rows, starts), shape=2 * (self.ode.n,))


def cvode_in_python(ode, times, rtol, atol):
    """CVODE as scikit-sundae offers it: a call of Python for each right side and Jacobian."""
    from sksundae.cvode import CVODE

    problem = InPython(ode)

    def right_side(t, y, out):
        rate(y, out, *problem.arguments)

    def jacobian(t, y, slope, out):
        spread(problem.jacobian_at(y, slope), problem.width, out)

    solver = CVODE(
        right_side, jacfn=jacobian, rtol=rtol, atol=atol, linsolver="band", lband=ode.width,
        uband=ode.width, max_num_steps=MOST,
    )  # fmt: skip
    solution = solver.solve(np.array([0.0, *times]), ode.start)
    if not solution.success:
        raise RuntimeError(f"CVODE stopped: {solution.message}")
    return solution.y[1:], {"rhs": solution.nfev, "jacobians": solution.njev}


def lsoda(ode, times, rtol, atol):
    """LSODA by scipy's odeint, which returns to Python only for the right side and Jacobian."""
    problem = InPython(ode)
    y, report = odeint(
        problem.rate, ode.start, [0.0, *times], Dfun=problem.jacobian, col_deriv=True,
        ml=ode.width, mu=ode.width, rtol=rtol, atol=atol, mxstep=MOST, tfirst=True,
        full_output=True,
    )  # fmt: skip
    if "successful" not in report["message"]:
        raise RuntimeError(f"LSODA stopped: {report['message']}")
    counts = {"steps": "nst", "rhs": "nfe", "jacobians": "nje"}
    return y[1:], {name: int(report[key][-1]) for name, key in counts.items()}


def radau(ode, times, rtol, atol):
    """scipy's Radau with the analytic Jacobian as a sparse matrix."""
    problem = InPython(ode)
    solution = solve_ivp(
        lambda t, y: problem.rate(t, y).copy(), (0, times[-1]), ode.start, method="Radau",
        t_eval=times, rtol=rtol, atol=atol, jac=problem.sparse,
    )  # fmt: skip
    if not solution.success:
        raise RuntimeError(f"Radau stopped: {solution.message}")
    return solution.y.T, {"rhs": solution.nfev, "jacobians": solution.njev}


@dataclass(frozen=True)
class Peer:
    """An ODE solver and the settings that are tried: all combinations of the following.

    Attributes:
        solve: the function (ode, times, rtol, atol) -> (values, counts).
        orders: orders of the differences.
        variables: the variables that are solved for.
        rtols: the tolerances.
        most: how many of the ODEs are tried.
    """

    solve: Callable
    orders: tuple[int, ...] = (6, 8)
    variables: tuple[str, ...] = ("mu",)
    rtols: tuple[float, ...] = TOLERANCES
    most: int | None = None

    def odes(self, gamma):
        """The ODEs with a teacher Bumps(gamma)."""
        return [
            Differences(gamma, n, order, variable)
            for order in self.orders for n in (NODES[gamma] if order > 2 else MANY_NODES)
            for variable in self.variables
        ][: self.most]  # fmt: skip


# more nodes than the largest of these gain nothing down to errors of 1e-8
NODES = {
    10.0: (24, 32, 48, 64, 96, 128), 100.0: (48, 64, 96, 128, 192, 256, 384),
    1000.0: (128, 192, 256, 384, 512, 768),
}  # fmt: skip
MANY_NODES = (256, 1024, 4096)
# the variable log(mu / nu) was no better than mu, and order 4 only at errors above 1e-4
PEERS = {
    "cvode in C": Peer(sundials.cvode, (4, 6, 8), ("mu", "u")),
    "cvode": Peer(cvode_in_python),
    "cvode in C, order 2": Peer(sundials.cvode, (2,), rtols=TOLERANCES[:4]),
    "cvode, order 2": Peer(cvode_in_python, (2,), rtols=TOLERANCES[:4]),
    "lsoda": Peer(lsoda),
    "radau": Peer(radau, (8,), rtols=TOLERANCES[:4]),
}


def absolute(ode, rtol):
    """The absolute tolerance for a relative one: log(mu / nu) passes through 0, mu and u do not."""
    return rtol if ode.variable == "log" else 1e-2 * rtol


def solved(solve, ode, times, rtol):
    """The density at the nodes at the times, ``(times, n)``, and the solver's counts.

    Everything is set up anew, so that the time of a call is that of a first solution.
    """
    ode = replace(ode)
    folded, counts = solve(ode, times, rtol, absolute(ode, rtol))
    return ode.mu(folded), counts
