"""The built-in regularisers in machine code, for arrays ``(p, m)`` of outer weights or potentials.

A regulariser is given by its kind, one of `KINDS`, and its power. The potential w belongs to its
homogeneous form, as everywhere in the solver of the diffusion.
"""

from __future__ import annotations

import math

from uf_diffusion.core.arrays import Array
from uf_diffusion.core.compiled import reordered
from uf_diffusion.problem.divergences import Biased, Entropy, Power, Unbiased

__all__ = ["KINDS", "energies", "potentials", "ratios_and_slopes"]

KINDS: dict[type, int] = {Unbiased: 0, Biased: 1, Power: 2, Entropy: 3}


@reordered
def ratios_and_slopes(power: float, w: Array, ratio: Array, slope: Array) -> None:
    """The ratio h = 1 / f*'(w), and f*''(w) / f*'(w), the derivative of log u, from w; see the
    module for the shapes.
    """
    p, m = w.shape
    for a in range(p):
        if power == 2.0:
            for c in range(m):
                ratio[a, c] = 1 / w[a, c]
                slope[a, c] = ratio[a, c]
        elif power == 1.0:
            for c in range(m):
                ratio[a, c] = math.exp(-w[a, c])
                slope[a, c] = 1.0
        else:
            for c in range(m):
                z = (power - 1) * w[a, c]
                ratio[a, c] = z ** (-1 / (power - 1))
                slope[a, c] = 1 / z


@reordered
def potentials(power: float, ratio: Array, w: Array) -> None:
    """The potential w = f'(1 / h) of a ratio h; see the module for the shapes."""
    p, m = w.shape
    for a in range(p):
        if power == 2.0:
            for c in range(m):
                w[a, c] = 1 / ratio[a, c]
        elif power == 1.0:
            for c in range(m):
                w[a, c] = -math.log(ratio[a, c])
        else:
            for c in range(m):
                w[a, c] = ratio[a, c] ** (1 - power) / (power - 1)


@reordered
def energies(kind: int, power: float, ratio: Array, weight: Array) -> tuple[float, float]:
    """The risk, int mu f(u), and the dual energy of a ratio h = 1/u with masses ``weight`` of the
    teacher; see the module for the shapes.
    """
    p, m = ratio.shape
    risk = dual = 0.0
    for a in range(p):
        for c in range(m):
            h = ratio[a, c]
            u, mass = 1 / h, weight[a, c]
            log = -math.log(h)
            if kind == 0:
                risk += mass * h * (0.5 * (u - 1) ** 2)
            elif kind == 1:
                risk += mass * h * (0.5 * u * u)
            elif kind == 2:
                value = (u**power - power * (u - 1) - 1) / (power * (power - 1))
                risk += mass * h * value
            else:
                risk += mass * h * (u * log - u + 1)
            if power == 2.0:
                dual += mass * log
            elif power == 1.0:
                dual += mass * (1 - (1 + log) * h)
            else:
                scaled = math.expm1((power - 2) * log) / ((power - 1) * (power - 2))
                dual += mass * scaled
    return risk, dual
