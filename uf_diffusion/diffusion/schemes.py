"""Implicit, L-stable and stiffly accurate time schemes, and the step control."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from uf_diffusion.core.arrays import Array
from uf_diffusion.core.compiled import compiled
from uf_diffusion.core.wording import unknown

__all__ = ["SCHEMES", "Scheme", "StepControl", "scheme", "step_factor"]


@dataclass(frozen=True)
class Scheme:
    """A singly diagonally implicit Runge-Kutta scheme with an error estimate.

    Stage i solves h_i = h_0 + tau (a_i0 k_0 + ... + a_ii k_i), where k_i is its derivative and k_0
    that at the start of the step. The last stage is the result (stiffly accurate). The local error
    is estimated by tau (e_0 k_0 + e_1 k_1 + ... + e_s k_s).

    Attributes:
        name: the name in `SCHEMES`.
        order: order of convergence in tau.
        error_order: order of the error estimate in tau.
        a: rows (a_i0, ..., a_ii) for i = 1, ..., s, with a constant diagonal a_ii.
        error: e_0, ..., e_s, summing to 0.
        coupling: empty; only linearly implicit schemes have it, see `linearly_implicit`.
    """

    name: str
    order: int
    error_order: int
    a: tuple[tuple[float, ...], ...]
    error: tuple[float, ...]
    coupling: tuple[tuple[float, ...], ...] = ()

    @property
    def linear(self) -> bool:
        """Whether the scheme is linearly implicit."""
        return bool(self.coupling)

    @property
    def nodes(self) -> tuple[float, ...]:
        """The times of the stages 1, ..., s as fractions of the step."""
        return tuple(map(sum, self.a))

    def stage_start(self, h: Array, tau: float, row: Sequence[float], k: Sequence[Array]) -> Array:
        """The known part of a stage, h_0 + tau (a_i0 k_0 + ... + a_i,i-1 k_(i-1)), ``(n,)``.

        Args:
            h: h_0, ``(n,)``.
            tau: length of the step.
            row: the stage's row of ``a``.
            k: the derivatives k_0, ..., k_(i-1), ``(n,)`` each.
        """
        return sum(
            (tau * a * rate for a, rate in zip(row[:-1], k, strict=True) if a), start=1.0 * h
        )

    def error_of(self, tau: float, k: Sequence[Array]) -> Array:
        """The estimated local error ``(n,)`` of a step tau with derivatives k_0, ..., k_s."""
        return np.asarray(tau * sum(e * rate for e, rate in zip(self.error, k, strict=True)))


def _sdirk2() -> Scheme:
    """Alexander's two-stage scheme (SIAM J. Numer. Anal. 14, 1977), gamma = 1 - 1/sqrt(2).

    The estimate is the second divided difference of k at the nodes 0, gamma, 1. It is scaled such
    that it equals the leading local error for linear problems: R(z) - exp(z) ~ C z^3 with
    C = 3 gamma^2 - 2 gamma^3 - 1/6, and the unscaled difference has gamma^2 - gamma/2 for C.
    """
    g = 1 - 1 / math.sqrt(2)
    scale = (3 * g**2 - 2 * g**3 - 1 / 6) / (g**2 - g / 2)
    return Scheme("sdirk2", 2, 3, ((0, g), (0, 1 - g, g)), (-scale * (1 - g), scale, -scale * g))


def _sdirk3() -> Scheme:
    """Alexander's three-stage scheme (same source), gamma^3 - 3 gamma^2 + 3/2 gamma - 1/6 = 0.

    The estimate is the difference to the quadrature with the nodes 0, gamma, (1 + gamma)/2. This
    violates one condition of order 3, so the estimate is of order tau^3: it is pessimistic.
    """
    g = 0.43586652150845900
    c = (1 + g) / 2
    last = (-(6 * g**2 - 16 * g + 1) / 4, (6 * g**2 - 20 * g + 5) / 4, g)
    # interpolatory weights on 0, g, c, exact for degree 2
    second = (1 / 3 - c / 2) / (g * (g - c))
    third = (1 / 3 - g / 2) / (c * (c - g))
    error = (-(1 - second - third), last[0] - second, last[1] - third, last[2])
    return Scheme("sdirk3", 3, 3, ((0, g), (0, (1 - g) / 2, g), (0, *last)), error)


def _esdirk4() -> Scheme:
    """The implicit part of ARK4(3)6L[2]SA (Kennedy and Carpenter, Appl. Numer. Math. 44, 2003).

    It has five implicit stages of stage order 2, gamma = 1/4, and an embedded scheme of order 3.
    """
    g = 1 / 4
    last = (82889 / 524892, 0, 15625 / 83664, 69875 / 102672, -2260 / 8211, g)
    embedded = (
        4586570599 / 29645900160, 0, 178811875 / 945068544, 814220225 / 1159782912,
        -3700637 / 11593932, 61727 / 225920,
    )  # fmt: skip
    a = (
        (g, g),
        (8611 / 62500, -1743 / 31250, g),
        (5012029 / 34652500, -654441 / 2922500, 174375 / 388108, g),
        (15267082809 / 155376265600, -71443401 / 120774400, 730878875 / 902184768,
         2285395 / 8070912, g),
        last,
    )  # fmt: skip
    error = tuple(b - c for b, c in zip(last, embedded, strict=True))
    return Scheme("esdirk4", 4, 4, a, error)


def _esdirk5() -> Scheme:
    """ESDIRK5(4)7L[2]SA2 (Kennedy and Carpenter, Appl. Numer. Math. 146, 2019).

    It has six implicit stages of stage order 2, gamma = 23/125, and an embedded scheme of order 4.
    """
    g = 23 / 125
    third, fourth = 791020047304 / 3561426431547, -158159076358 / 11257294102345
    fifth, sixth = -1653327111580 / 4048416487981, -4540011970825 / 8418487046959
    first, embedded = -188593204321 / 4778616380481, -582099335757 / 7214068459310
    last = (
        first, first, 2809310203510 / 10304234040467, 1021729336898 / 2364210264653,
        870612361811 / 2470410392208, -1307970675534 / 8059683598661, g,
    )  # fmt: skip
    lower = (
        embedded, embedded, 615023338567 / 3362626566945, 3192122436311 / 6174152374399,
        6156034052041 / 14430468657929, -1011318518279 / 9693750372484,
        1914490192573 / 13754262428401,
    )  # fmt: skip
    a = (
        (g, g),
        (third, third, g),
        (fourth, fourth, -85517644447 / 5003708988389, g),
        (fifth, fifth, 1514767744496 / 9099671765375, 14283835447591 / 12247432691556, g),
        (sixth, sixth, -1790937573418 / 7393406387169, 10819093665085 / 7266595846747,
         4109463131231 / 7386972500302, g),
        last,
    )  # fmt: skip
    error = tuple(b - c for b, c in zip(last, lower, strict=True))
    return Scheme("esdirk5", 5, 5, a, error)


def linearly_implicit(
    name: str, order: int, gamma: float, a: Sequence[Sequence[float]],
    coupling: Sequence[Sequence[float]],
) -> Scheme:  # fmt: skip
    """A Rosenbrock scheme, whose stages are linear systems with the same matrix.

    With the derivative J of the right-hand side F at the start h of the step, stage i solves

        (1 / (gamma tau) - J) k_i = F(h + a_i1 k_1 + ... + a_i,i-1 k_(i-1))
                                    + (c_i1 k_1 + ... + c_i,i-1 k_(i-1)) / tau.

    The result is the point where the last stage takes F, plus its k. This k is the estimated error.

    Args:
        name, order: see `Scheme`.
        gamma: the number gamma, which is put behind each row of ``a``.
        a: rows (a_i1, ..., a_i,i-1) for the second and each later stage but the last, whose row is
            that of the stage before it and a one.
        coupling: rows (c_i1, ..., c_i,i-1) for the second and each later stage.
    """
    rows = ((), *map(tuple, a), (*a[-1], 1.0))
    return Scheme(name, order, order, tuple((*row, gamma) for row in rows), (),
                  ((), *map(tuple, coupling)))  # fmt: skip


def _rodas4() -> Scheme:
    """RODAS of Hairer and Wanner (Solving Ordinary Differential Equations II, 1996, IV.7).

    It has six stages.
    """
    a = (
        (1.544,), (0.9466785280815826, 0.2557011698983284),
        (3.314825187068521, 2.896124015972201, 0.9986419139977817),
        (1.221224509226641, 6.019134481288629, 12.53708332932087, -0.687886036105895),
    )  # fmt: skip
    coupling = (
        (-5.6688,), (-2.430093356833875, -0.2063599157091915),
        (-0.1073529058151375, -9.594562251023355, -20.47028614809616),
        (7.496443313967647, -10.24680431464352, -33.99990352819905, 11.7089089320616),
        (8.083246795921522, -7.981132988064893, -31.52159432874371, 16.31930543123136,
         -6.058818238834054),
    )  # fmt: skip
    return linearly_implicit("rodas4", 4, 0.25, a, coupling)


def _rodas5p() -> Scheme:
    """Rodas5P (Steinebach, BIT Numerical Mathematics 63, 2023), for parabolic problems.

    It has eight stages.
    """
    last = (-7.502846399306121, 2.561846144803919, -11.627539656261098, -0.18268767659942256,
            0.030198172008377946)  # fmt: skip
    a = (
        (3.0,), (2.849394379747939, 0.45842242204463923),
        (-6.954028509809101, 2.489845061869568, -10.358996098473584),
        (2.8029986275628964, 0.5072464736228206, -0.3988312541770524, -0.04721187230404641),
        last, (*last, 1.0),
    )  # fmt: skip
    coupling = (
        (-14.155112264123755,), (-17.97296035885952, -2.859693295451294),
        (147.12150275711716, -1.41221402718213, 71.68940251302358),
        (165.43517024871676, -0.4592823456491126, 42.90938336958603, -5.961986721573306),
        (24.854864614690072, -3.0009227002832186, 47.4931110020768, 5.5814197821558125,
         -0.6610691825249471),
        (30.91273214028599, -3.1208243349937974, 77.79954646070892, 34.28646028294783,
         -19.097331116725623, -28.087943162872662),
        (37.80277123390563, -3.2571969029072276, 112.26918849496327, 66.9347231244047,
         -40.06618937091002, -54.66780262877968, -9.48861652309627),
    )  # fmt: skip
    return linearly_implicit("rodas5p", 5, 0.21193756319429014, a, coupling)


SCHEMES: dict[str, Scheme] = {
    s.name: s
    for s in (
        Scheme("euler", 1, 2, ((0, 1.0),), (-0.5, 0.5)), _sdirk2(), _sdirk3(), _esdirk4(),
        _esdirk5(), _rodas4(), _rodas5p(),
    )
}  # fmt: skip


def scheme(name: str) -> Scheme:
    """The scheme with this name.

    Raises:
        InputError: for an unknown name.
    """
    if name not in SCHEMES:
        raise unknown("diffusion.scheme", name, SCHEMES)
    return SCHEMES[name]


class StepControl(NamedTuple):
    """Proportional-integral control of the step (Gustafsson, ACM TOMS 17, 1991).

    Attributes:
        error_order: order of the error estimate in tau.
        safety: factor that makes the next step smaller than the error alone would allow.
        shrink, grow: smallest and largest factor between two steps.
    """

    error_order: int
    safety: float = 0.9
    shrink: float = 0.2
    grow: float = 4.0

    def factor(self, error: float, previous: float = 0.0) -> float:
        """The factor by which to multiply the step, see `step_factor`."""
        return step_factor(self, error, previous)


@compiled
def step_factor(control: StepControl, error: float, previous: float) -> float:
    """The factor by which to multiply the step.

    Args:
        control: the control.
        error: estimated error as a multiple of the tolerance; a step with <= 1 is accepted.
        previous: the error of the accepted step before; 0 after a rejection or at the start.
    """
    if error == 0.0:
        return control.grow
    if not math.isfinite(error):
        return control.shrink
    wanted = control.safety * math.pow(error, -1 / control.error_order)
    if previous > 0:
        wanted *= math.pow(error, 0.1 / control.error_order)
        wanted *= math.pow(max(previous, 1e-3), 0.2 / control.error_order)
    return min(control.grow, max(control.shrink, wanted))
