"""Activation functions sigma of one variable, with their derivatives and their symmetry."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import erf, expit, ndtr

from uf_diffusion.core.arrays import Array
from uf_diffusion.core.errors import InputError
from uf_diffusion.core.wording import cause, shown, unknown
from uf_diffusion.kernels.seen_spaces import SeenSpace, space_of_degrees

__all__ = ["NONLINEARITIES", "Nonlinearity", "nonlinearity"]

DEGREES = np.arange(8)  # enough to tell the spaces apart
TRIED = np.linspace(-4.05, 4.05, 82)  # where a user's function is tried, without 0
NEAR = 1e-5  # step of the central differences there, in double precision
ROOT = math.sqrt(2 * math.pi)


@dataclass(frozen=True)
class Nonlinearity:
    """A function sigma of one variable, dimensionless.

    Attributes:
        name: its name.
        value: sigma, elementwise.
        slope: its derivative, elementwise.
        even, odd: the degrees of its even and its odd part if they are polynomials, -1 for one that
            is 0; None for others.
        costly: whether it is evaluated faster by a table, see `tabulated`.
        known: whether ``even`` and ``odd`` are known; not for a user's function.
        hinge: (a, b) if sigma(z) = a z + b |z|, else None.
    """

    name: str
    value: Callable[[Array], Array]
    slope: Callable[[Array], Array]
    even: int | None = None
    odd: int | None = None
    costly: bool = False
    known: bool = True
    hinge: tuple[float, float] | None = None

    def sees(self, degree: Any) -> Any:
        """Whether features sigma(omega.x) see the harmonics of a degree, elementwise.

        It holds for inputs x of full support with a law that is invariant under rotations.
        """
        degree = np.asarray(degree)
        even, odd = (np.inf if most is None else most for most in (self.even, self.odd))
        return degree <= np.where(degree % 2 == 0, even, odd)

    @property
    def space(self) -> SeenSpace | None:
        """What is seen of a measure with such inputs; None if it is none of the known spaces."""
        return space_of_degrees(self.sees(DEGREES)) if self.known else None


def _normal(z: Array) -> Array:
    return np.exp(-0.5 * z * z) / ROOT


def _silu_slope(z: Array) -> Array:
    return np.asarray(expit(z) * (1 + z * expit(-z)))


def _leaky(slope: float) -> Nonlinearity:
    linear, bent = (1 + slope) / 2, (1 - slope) / 2
    return Nonlinearity(
        "leaky-relu", lambda z: np.where(z > 0, z, slope * z),
        lambda z: np.where(z > 0, 1.0, slope), even=None if bent else -1, odd=1 if linear else -1,
        hinge=(linear, bent),
    )  # fmt: skip


_TABLE = (
    Nonlinearity("relu", lambda z: np.maximum(z, 0.0), lambda z: (z > 0).astype(float),
                 odd=1, hinge=(0.5, 0.5)),
    Nonlinearity("softplus", lambda z: np.logaddexp(0.0, z), expit, odd=1, costly=True),
    Nonlinearity("gelu", lambda z: z * ndtr(z), lambda z: ndtr(z) + z * _normal(z), odd=1,
                 costly=True),
    Nonlinearity("silu", lambda z: z * expit(z), _silu_slope, odd=1, costly=True),
    Nonlinearity("elu", lambda z: np.where(z > 0, z, np.expm1(np.minimum(z, 0.0))),
                 lambda z: np.exp(np.minimum(z, 0.0))),
    Nonlinearity("tanh", np.tanh, lambda z: 1 - np.tanh(z) ** 2, even=-1),
    Nonlinearity("erf", erf, lambda z: 2 / math.sqrt(math.pi) * np.exp(-z * z), even=-1,
                 costly=True),
    Nonlinearity("sigmoid", expit, lambda z: expit(z) * expit(-z), even=0, costly=True),
    Nonlinearity("sin", np.sin, np.cos, even=-1, costly=True),
    Nonlinearity("cos", np.cos, lambda z: -np.sin(z), odd=-1, costly=True),
    Nonlinearity("abs", np.abs, np.sign, odd=-1, hinge=(0.0, 1.0)),
    Nonlinearity("exp", np.exp, np.exp),
    Nonlinearity("gaussian", lambda z: np.exp(-0.5 * z * z), lambda z: -z * np.exp(-0.5 * z * z),
                 odd=-1),
    Nonlinearity("relu2", lambda z: np.maximum(z, 0.0) ** 2, lambda z: 2 * np.maximum(z, 0.0),
                 even=2),
)  # fmt: skip
NONLINEARITIES = {each.name: each for each in (*_TABLE, _leaky(0.01))}


def nonlinearity(function: Any, slope: float = 0.01) -> Nonlinearity:
    """The activation function that is meant.

    Args:
        function: a key of `NONLINEARITIES`, a `Nonlinearity`, or a user's function that maps an
            array z to the arrays sigma(z) and sigma'(z).
        slope: the derivative of "leaky-relu" at negative z.

    Raises:
        InputError: for an unknown name, a slope that is not finite, or a function whose values
            cannot be used or do not fit to its derivatives.
    """
    if isinstance(function, Nonlinearity):
        return function
    if callable(function):
        return _own(function)
    if not isinstance(function, str):
        raise InputError(
            f"network.activation must be a name or a function of an array, not {shown(function)}."
        )
    if function not in NONLINEARITIES:
        raise unknown("network.activation", function, NONLINEARITIES)
    if function != "leaky-relu":
        return NONLINEARITIES[function]
    if not isinstance(slope, int | float | np.number) or not math.isfinite(slope):
        raise InputError(f"network.slope must be a number, not {shown(slope)}.")
    return _leaky(float(slope))


def _own(function: Callable[[Array], Any]) -> Nonlinearity:
    """A user's function, tried at some points."""
    name = str(getattr(function, "__name__", type(function).__name__))
    try:
        with np.errstate(all="ignore"):
            value, slope = (np.asarray(part) for part in function(TRIED.copy()))
            precision = float(np.finfo(np.result_type(value, slope, np.float16)).eps)
            near = max(NEAR, precision ** (1 / 3))
            after, before = (
                np.asarray(function(TRIED + shift)[0], float) for shift in (near, -near)
            )
    except Exception as error:
        raise InputError(
            f"Activation '{name}' must map an array z to two arrays, sigma(z) and its derivative, "
            f"but failed with {cause(error)}."
        ) from error
    if value.shape != TRIED.shape or slope.shape != TRIED.shape:
        raise InputError(
            f"Activation '{name}' must give two arrays of the shape of z, not of the shapes "
            f"{value.shape} and {slope.shape} for {TRIED.shape}."
        )
    if not (np.isfinite(value).all() and np.isfinite(slope).all()):
        raise InputError(f"Activation '{name}' has values or derivatives that are not finite.")
    measured = (after - before) / (2 * near)
    off = np.abs(measured - slope)
    allowed = 1e-4 * np.abs(slope).max() + 10 * precision * np.abs(value).max() / near
    if np.median(off) > allowed or (off > max(1e-2, 100 * allowed)).mean() > 0.1:
        k = int(np.argmax(off))
        raise InputError(
            f"Activation '{name}' has derivatives that are not those of its values: "
            f"{slope[k]:.3g} at z = {TRIED[k]:.3g}, where values change by {measured[k]:.3g}."
        )
    return Nonlinearity(
        name, lambda z: np.asarray(function(z)[0]), lambda z: np.asarray(function(z)[1]),
        costly=True,
        known=False,
    )  # fmt: skip
