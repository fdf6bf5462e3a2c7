"""Solutions of the diffusion in closed form, for tests of the solver.

For a uniform teacher the first eigenmode decays at the rate f''(1) times the spectral gap, to first
order in its amplitude. On the circle with a uniform teacher and p = 2, the quantile function
X(s, t) of mu, with s in [0, 1), solves the heat equation dX/dt = X_ss / (2 pi)^2, and
mu(X(s, t), t) = 1 / X_s(s, t).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from uf_diffusion.core.arrays import Array
from uf_diffusion.problem.densities import Density
from uf_diffusion.problem.manifolds import Circle

__all__ = ["FirstMode", "QuantileHeatFlow"]


@dataclass(frozen=True)
class FirstMode(Density):
    """The uniform density times (1 + amplitude times the first harmonic)."""

    amplitude: float = 0.01

    def formula(self, x: Any, xp: Any) -> Any:
        mode = self.manifold.first_harmonic(x, xp)
        return (1 + self.amplitude * mode) / self.manifold.volume


@dataclass(frozen=True)
class QuantileHeatFlow(Density):
    """The density with X = 2 pi s + sum_k a_k exp(-k^2 t) sin(2 pi k s + c_k), at one time t.

    Attributes:
        manifold: the circle.
        t: time, dimensionless.
        amplitudes: a_1, a_2, ... with sum k |a_k| < 1, so that X increases in s.
        phases: c_1, c_2, ... in radians.
    """

    manifold: Circle
    t: float = 0.0
    amplitudes: tuple[float, ...] = (0.3, 0.1, 0.05)
    phases: tuple[float, ...] = (0.0, 1.0, 2.0)

    def at(self, t: float) -> QuantileHeatFlow:
        """The same solution at another time."""
        return QuantileHeatFlow(self.manifold, t, self.amplitudes, self.phases)

    def quantile(self, s: Array) -> tuple[Array, Array]:
        """X and X_s at ``s``, all of shape ``(n,)``: angles in radians and their derivatives."""
        x, dx = 2 * math.pi * s, np.full_like(s, 2 * math.pi)
        for k, (a, c) in enumerate(zip(self.amplitudes, self.phases, strict=True), start=1):
            decayed = a * math.exp(-k * k * self.t)
            x = x + decayed * np.sin(2 * math.pi * k * s + c)
            dx = dx + 2 * math.pi * k * decayed * np.cos(2 * math.pi * k * s + c)
        return x, dx

    def formula(self, x: Any, xp: Any) -> Array:
        """The density 1 / X_s; Newton's method finds the s at which X(s) is the angle of ``x``."""
        angle = np.arctan2(x[1], x[0])
        s = angle / (2 * math.pi)
        for _ in range(50):
            value, slope = self.quantile(s)
            change = (value - angle) / slope
            s = s - np.clip(change, -0.1, 0.1)
            if np.abs(change).max() < 1e-15:
                break
        return 1 / self.quantile(s)[1]

    def sample(self, n: int, rng: np.random.Generator) -> Array:
        return self.manifold.unchart(self.quantile(rng.random(n))[0])
