"""A trial of a manifold on a few points, so that a user's mistake is found before any work."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from uf_diffusion.core.arguments import whole_number
from uf_diffusion.core.errors import InputError
from uf_diffusion.core.wording import cause, shown
from uf_diffusion.problem.manifolds import Manifold

__all__ = ["tried"]

COUNTS = (5, 8)  # numbers of points


class _Trial(NamedTuple):
    """A call of a manifold's method, the shape of what it must give, and whether it may refuse."""

    call: str
    shape: tuple[int, ...]
    result: Callable[[], Any]
    optional: bool = False


def tried(manifold: Manifold, name: str) -> Manifold:
    """The manifold, if what its methods give for a few points has the right shapes.

    The manifolds of this package have them.

    Args:
        manifold: the manifold.
        name: its name in messages.

    Raises:
        InputError: in one sentence, with the method and both shapes; or with the exception that the
            method raised.
    """
    whole_number(f"Manifold '{name}': dim", manifold.dim, 1)
    whole_number(f"Manifold '{name}': ambient", manifold.ambient, manifold.dim)
    for key in ("volume", "spectral_gap"):
        value = getattr(manifold, key)
        if not (isinstance(value, int | float) and 0 < value < math.inf):
            raise InputError(f"Manifold '{name}': {key} must be positive, not {shown(value)}.")
    own = type(manifold).__module__ != Manifold.__module__
    for n in COUNTS if own else ():
        for trial in _trials(manifold, n):
            _require(trial, name)
    return manifold


def _trials(manifold: Manifold, n: int) -> Iterator[_Trial]:
    ambient, rng = manifold.ambient, np.random.default_rng(0)
    yield _Trial(f"sample({n}, rng)", (n, ambient), lambda: manifold.sample(n, rng))
    x, y, v = manifold.sample(n, rng), manifold.sample(3, rng), rng.standard_normal((n, ambient))
    points = f"of {n} points"
    yield _Trial(f"tangent {points}", (n, ambient), lambda: manifold.tangent(x, v))
    yield _Trial(f"retract {points}", (n, ambient), lambda: manifold.retract(x, 0.01 * v))
    yield _Trial(f"first_harmonic {points}", (n,), lambda: manifold.first_harmonic(x.T))
    yield _Trial(f"chord {points} and 3", (n, 3), lambda: manifold.chord(x, y))
    yield _Trial(f"distance {points} and 3", (n, 3), lambda: manifold.distance(x, y), True)
    count = manifold.even_count(n)
    yield _Trial(f"even({count})", (count, ambient), lambda: manifold.even(count), True)
    if axes := len(manifold.axes):
        yield _Trial(f"chart {points}", (n, axes), lambda: manifold.chart(x))
        yield _Trial(f"unchart {points}", (n, ambient), lambda: manifold.unchart(manifold.chart(x)))


def _require(trial: _Trial, name: str) -> None:
    try:
        found = np.asarray(trial.result())
    except InputError:
        if trial.optional:
            return
        raise
    except Exception as error:
        raise InputError(f"Manifold '{name}': {trial.call} failed with {cause(error)}.") from error
    if found.dtype.kind not in "iuf" or found.shape != trial.shape:
        raise InputError(
            f"Manifold '{name}': {trial.call} must give numbers of shape {trial.shape}, "
            f"not {found.shape} of type {found.dtype}."
        )
    if not np.isfinite(found).all():
        raise InputError(f"Manifold '{name}': {trial.call} has numbers that are not finite.")
