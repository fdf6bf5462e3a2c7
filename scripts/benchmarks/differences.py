"""Conservative finite differences for the ultra-fast diffusion on the circle, for ODE solvers.

The equation mu_t = -(nu (nu / mu)')' is discretised on n equidistant nodes. The flux nu u' lives
half-way between the nodes, and both derivatives are staggered differences of order 2, 4, 6 or 8, so
the sum of mu is conserved. The nodes are folded into the order 0, n-1, 1, n-2, ..., in which the
Jacobian is a band without corners. All functions are machine code.
"""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numba import njit

from uf_diffusion.problem.densities import Bumps
from uf_diffusion.problem.manifolds import Circle

# weights of f(x + (k + 1/2) h) - f(x - (k + 1/2) h) in h f'(x), by order
STAGGERED = {
    2: (1.0,),
    4: (9 / 8, -1 / 24),
    6: (75 / 64, -25 / 384, 3 / 640),
    8: (1225 / 1024, -245 / 3072, 49 / 5120, -5 / 7168),
}
VARIABLES = ("mu", "log", "u")  # mu, log(mu / nu) and nu / mu


@njit(nogil=True, error_model="numpy", cache=True)
def rate(y, out, kind, nu, half, weights, places, u, flux):
    """Write the time derivative of the folded variable y ``(n,)`` to ``out``.

    ``u`` and ``flux`` are work arrays ``(n + 2 p,)`` for p weights.
    """
    n, p = len(nu), len(weights)
    for i in range(n):
        v = y[places[i]]
        u[p + i] = nu[i] / v if kind == 0 else (np.exp(-v) if kind == 1 else v)
    for k in range(p):
        u[k], u[n + p + k] = u[n + k], u[p + k]
    for i in range(n):
        flux[p + i] = 0.0
    for k in range(p):
        for i in range(n):
            flux[p + i] += weights[k] * (u[p + i + 1 + k] - u[p + i - k])
    for i in range(n):
        flux[p + i] *= half[i]
    for k in range(p):
        flux[k], flux[n + p + k] = flux[n + k], flux[p + k]
    for i in range(n):
        growth = 0.0
        for k in range(p):
            growth -= weights[k] * (flux[p + i + k] - flux[p + i - 1 - k])
        if kind == 1:
            growth *= u[p + i] / nu[i]
        elif kind == 2:
            growth *= -u[p + i] * u[p + i] / nu[i]
        out[places[i]] = growth


@njit(nogil=True, error_model="numpy", cache=True)
def band(y, slope, kind, nu, rows, places, top, out):
    """Write the Jacobian to ``out``, whose entry (i, j) is ``out[j, i - j + top]``.

    ``slope`` is `rate` at y, and ``rows[i]`` holds row i of u -> (nu u')', ``(n, 2 r + 1)``.
    """
    n, r = len(nu), rows.shape[1] // 2
    for i in range(n):
        for m in range(-r, r + 1):
            j = (i + m) % n
            a, b = places[i], places[j]
            entry = rows[i, m + r]
            if kind == 0:
                entry *= nu[j] / (y[b] * y[b])
            elif kind == 1:
                entry *= np.exp(-y[a] - y[b]) / nu[i]
                if m == 0:
                    entry -= slope[a]
            else:
                entry *= y[a] * y[a] / nu[i]
                if m == 0:
                    entry += 2 * slope[a] / y[a]
            out[b, a - b + top] = entry


@dataclass(frozen=True)
class Differences:
    """The ODE for one of `VARIABLES` on n equidistant nodes; the teacher is Bumps(gamma).

    Attributes:
        gamma: sharpness of the teacher.
        n: number of nodes, larger than twice the order.
        order: order of the differences, a key of `STAGGERED`.
        variable: one of `VARIABLES`.
    """

    gamma: float
    n: int
    order: int
    variable: str
    manifold: Circle = field(default_factory=Circle)

    def density(self, angles):
        """The teacher at angles ``(k,)``."""
        return Bumps(self.manifold, self.gamma)(self.manifold.unchart(angles[:, None]))

    @property
    def nodes(self):
        """The angles of the nodes ``(n,)``."""
        return 2 * np.pi * np.arange(self.n) / self.n - np.pi

    @property
    def kind(self):
        return VARIABLES.index(self.variable)

    @property
    def width(self):
        """The number of diagonals of the folded Jacobian on each side of the main one."""
        return 2 * (self.order - 1)

    @cached_property
    def weights(self):
        return np.array(STAGGERED[self.order])

    @cached_property
    def nu(self):
        return self.density(self.nodes)

    @cached_property
    def half(self):
        """The teacher half-way between the nodes, divided by the squared width of a cell."""
        h = 2 * np.pi / self.n
        return self.density(self.nodes + h / 2) / h**2

    @cached_property
    def places(self):
        """The place of each node in the folded order, ``(n,)``."""
        folded = np.empty(self.n, int)
        folded[0::2] = np.arange((self.n + 1) // 2)
        folded[1::2] = self.n - 1 - np.arange(self.n // 2)
        return np.argsort(folded)

    @cached_property
    def rows(self):
        """The rows of u -> (nu u')', ``(n, 2 r + 1)``, from its values on one impulse at a time."""
        r = self.order - 1
        w = np.concatenate([-self.weights[::-1], self.weights])
        p = len(self.weights)
        rows = np.zeros((self.n, 2 * r + 1))
        for a in range(2 * p):  # the flux at i + a - p + 1/2
            flux = np.roll(self.half, -(a - p))
            for b in range(2 * p):  # u at i + (a - p) + (b - p + 1)
                rows[:, (a - p) + (b - p + 1) + r] += w[a] * flux * w[b]
        return rows

    @cached_property
    def arguments(self):
        """What `rate` takes after y and ``out``."""
        room = [np.zeros(self.n + 2 * len(self.weights)) for _ in range(2)]
        return (self.kind, self.nu, self.half, self.weights, self.places, *room)

    @property
    def start(self):
        """The uniform density in the variable, folded ``(n,)``."""
        mu = np.full(self.n, 1 / (2 * np.pi))
        y = (mu, np.log(mu / self.nu), self.nu / mu)[self.kind]
        folded = np.empty(self.n)
        folded[self.places] = y
        return folded

    def mu(self, folded):
        """The density mu at the nodes for values of the variable ``(..., n)``, folded."""
        y = folded[..., self.places]
        return (y, self.nu * np.exp(y), self.nu / y)[self.kind]
