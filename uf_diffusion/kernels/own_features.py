"""Features on the manifold of a problem; a user's own features are tested on a few points."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from uf_diffusion.core.arrays import Array
from uf_diffusion.core.errors import InputError
from uf_diffusion.core.wording import cause, shown
from uf_diffusion.kernels.base import Feature
from uf_diffusion.problem.manifolds import NOWHERE, Manifold

__all__ = ["drawn_inputs", "placed_features"]

TRIED = (32, 4)  # number of points and of inputs in the test of a user's features
MORE = 7  # another number of inputs
NEAR = 1e-4  # step of the central differences with which gradients are compared, at most
FAST = 100.0  # slopes, relative to the values, from which the step is shorter


def placed_features(features: Any, manifold: Manifold, name: str = "") -> Feature:
    """Put features on a manifold and check them.

    Args:
        features: a `Feature` such as ``ReLU()``, with or without a manifold, or a class or function
            that makes a `Feature` for a manifold.
        manifold: the manifold.
        name: the name in messages; by default that of the class or function.

    Raises:
        InputError: for other objects, features on another manifold, or features whose values and
            gradients are not consistent.
    """
    if getattr(features, "manifold", manifold) is NOWHERE and not isinstance(features, type):
        features = replace(features, manifold=manifold)
    name = name or str(getattr(features, "__qualname__", type(features).__qualname__))
    if not callable(features):
        raise InputError(
            f"Features are a value such as ReLU(), or what makes a Feature of a manifold, not "
            f"{shown(features)}."
        )
    value = _complete(features) and not isinstance(features, type)
    return _tried(name, manifold, (lambda _: features) if value else features)


def drawn_inputs(feature: Feature, n: int, rng: np.random.Generator) -> Array:
    """n inputs of a feature, ``(n, d)``.

    Raises:
        InputError: if the feature fails to draw them, or gives another number of rows.
    """
    call = f"{type(feature).__qualname__}.inputs({n}, rng)"
    try:
        x = np.asarray(feature.inputs(n, rng))
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"{call} failed with {cause(error)}.") from error
    if x.ndim != 2 or len(x) != n:
        raise InputError(
            f"{call} must draw {n} inputs, an array ({n}, d), but gave shape {x.shape}; "
            "of stored data return rows at rng.integers(len(data), size=n)."
        )
    if x.dtype.kind not in "biuf" or not np.isfinite(x).all():
        raise InputError(f"{call} must give finite real numbers.")
    return x


def _complete(features: Any) -> bool:
    """Whether this is a `Feature`, and not something that makes one."""
    return all(hasattr(features, member) for member in ("manifold", "inputs", "kernel"))


def _tried(name: str, manifold: Manifold, make: Callable[[Manifold], Any]) -> Feature:
    """A user's features, after a test on a few points and inputs."""
    rng = np.random.default_rng(0)
    try:
        found: Feature = make(manifold)
        if found.manifold != manifold:
            raise InputError(f"Features '{name}' must live on the problem's manifold.")
        _ = found.kernel  # fails if it is missing
        if wrong := _wrong(found, rng):
            raise InputError(f"Features '{name}' {wrong}.")
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"Features '{name}' failed on {manifold} with {cause(error)}.") from error
    return found


def _wrong(found: Feature, rng: np.random.Generator) -> str:
    """What is wrong with the values and gradients of features; empty if nothing is."""
    manifold, (m, n) = found.manifold, TRIED
    drawn_inputs(found, MORE, rng)
    omega, x, one = manifold.sample(m, rng), drawn_inputs(found, n, rng), np.ones(n)
    values, pullback = found(omega, x)
    slope, again = np.asarray(pullback(one)), np.full((m, n), np.nan)
    if (np.shape(values), slope.shape) != ((m, n), omega.shape):
        return f"must give values (m, n) and gradients (m, {manifold.ambient}) of m points"
    found.values(omega, x, 1.0, again)
    if not (np.isfinite(values).all() and np.isfinite(slope).all()):
        return "have values or gradients that are not finite"
    size = float(np.abs(values).max())
    small = 1e-6 * max(float(np.abs(slope).max()), 1e-6 * size)  # round-off, also of float32
    if np.abs(again - values).max() > 1e-5 * size:
        return "have `values` that are not those of the call"
    if np.abs(found.gradient(omega, x, 1.0, one, again) - slope).max() > 100 * small:
        return "have a `gradient` that is not that of the call"
    if np.abs(manifold.tangent(omega, slope) - slope).max() > small:
        return "have gradients that are not tangent to the manifold"
    if (kernel := found.kernel) is not None:
        values, pullback = kernel(omega, omega[:n])
        shapes = np.shape(values), np.shape(pullback(one))
        if shapes != ((m, n), omega.shape):
            return "have a `kernel` with values {} and gradients {}, not {} and {}".format(
                *shapes, (m, n), omega.shape
            )
    return _unlike_differences(found, omega, x, slope, rng)


def _unlike_differences(
    found: Feature, omega: Array, x: Array, slope: Array, rng: np.random.Generator
) -> str:
    """A message if the gradients differ from central differences of the values; else empty.

    Differences across kinks and jumps are meaningless, so the median over the points decides.
    Errors within the round-off of single precision are accepted.
    """
    manifold = found.manifold
    way = manifold.tangent(omega, rng.standard_normal((len(omega), manifold.ambient)))
    said, size = (slope * way).sum(axis=1), float(np.abs(found(omega, x)[0]).max())
    steepness = float(np.abs(said).max()) / max(size, 1e-300)
    near = NEAR / max(1.0, steepness / FAST)
    ahead, behind = (
        np.asarray(found(manifold.retract(omega, s * way), x)[0], float).sum(axis=1)
        for s in (near, -near)
    )
    measured = (ahead - behind) / (2 * near)
    error = np.abs(measured - said)
    lost = 1e-7 * float(np.abs(ahead).max()) / near
    if np.median(error) <= 0.01 * np.mean(np.maximum(np.abs(measured), np.abs(said))) + lost:
        return ""
    k = int(np.argsort(error)[len(error) // 2])
    return (
        "have gradients that are not those of their values: along one direction "
        f"{said[k]:.3g}, where values change by {measured[k]:.3g}"
    )
