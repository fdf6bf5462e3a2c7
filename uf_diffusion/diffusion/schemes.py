"""Time schemes: diagonally implicit, L-stable, stiffly accurate; and the choice of the step."""

from __future__ import annotations

import math
from dataclasses import dataclass

from uf_diffusion.errors import unknown

__all__ = ["SCHEMES", "Scheme", "StepControl", "scheme"]


@dataclass(frozen=True)
class Scheme:
    """A singly diagonally implicit Runge-Kutta scheme with an error estimate.

    The last row of ``a`` gives the step (stiffly accurate). The local error is estimated by
    tau (e_0 k_0 + e_1 k_1 + ... + e_s k_s), where k_0 is the derivative at the step's start.

    Attributes:
        order: order of convergence in tau.
        a: lower triangular rows, constant diagonal.
        error: e_0, ..., e_s, summing to 0; the estimate is of order tau^(order + 1).
    """

    name: str
    order: int
    a: tuple[tuple[float, ...], ...]
    error: tuple[float, ...]

    @property
    def diagonal(self) -> float:
        return self.a[0][0]


def _sdirk2() -> Scheme:
    """Alexander's two-stage scheme (SIAM J. Numer. Anal. 14, 1977), gamma = 1 - 1/sqrt(2).

    The estimate is the second divided difference of k over the nodes 0, gamma, 1, scaled so that
    it equals the leading local error for linear problems: R(z) - exp(z) ~ C z^3 with
    C = 3 gamma^2 - 2 gamma^3 - 1/6, and the difference contributes gamma^2 - gamma/2.
    """
    g = 1 - 1 / math.sqrt(2)
    scale = (3 * g**2 - 2 * g**3 - 1 / 6) / (g**2 - g / 2)
    return Scheme("sdirk2", 2, ((g,), (1 - g, g)), (-scale * (1 - g), scale, -scale * g))


SCHEMES: dict[str, Scheme] = {
    "euler": Scheme("euler", 1, ((1.0,),), (-0.5, 0.5)),
    "sdirk2": _sdirk2(),
}


def scheme(name: str) -> Scheme:
    """The scheme of a name.

    Raises:
        InputError: for an unknown name.
    """
    if name not in SCHEMES:
        raise unknown("diffusion.scheme", name, SCHEMES)
    return SCHEMES[name]


@dataclass(frozen=True)
class StepControl:
    """The next step from the last one's error, as a fraction of the tolerance."""

    order: int
    safety: float = 0.9
    shrink: float = 0.2
    grow: float = 4.0

    def factor(self, error: float) -> float:
        """What to multiply the step by; ``error`` <= 1 was accepted."""
        if error == 0.0:
            return self.grow
        wanted = self.safety * math.pow(error, -1 / (self.order + 1))
        return min(self.grow, max(self.shrink, wanted))
