"""Builds the objects that the names and numbers of a configuration stand for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from uf_diffusion.core.errors import InputError
from uf_diffusion.core.plugins import load
from uf_diffusion.core.wording import cause, shown, unknown
from uf_diffusion.kernels.activations import Activation
from uf_diffusion.kernels.base import Feature
from uf_diffusion.kernels.features import Laplace, Radial, RandomFourier, ReLU
from uf_diffusion.kernels.own_features import placed_features
from uf_diffusion.problem.densities import (
    Bumps,
    Density,
    Diracs,
    Uniform,
    VonMisesFisher,
)
from uf_diffusion.problem.divergences import (
    BIASED,
    ENTROPY,
    UNBIASED,
    Custom,
    Divergence,
    Power,
)
from uf_diffusion.problem.gridded import Histogram, Interpolated
from uf_diffusion.problem.manifolds import Circle, FlatTorus, Manifold, Sphere
from uf_diffusion.problem.own_densities import Function, Height
from uf_diffusion.problem.own_manifolds import tried
from uf_diffusion.problem.samples import Samples
from uf_diffusion.problem.unknown import Unknown

__all__ = ["DENSITIES", "DIVERGENCES", "FEATURES", "MANIFOLDS", "density", "divergence", "feature",
           "manifold"]  # fmt: skip

MANIFOLDS = {"circle": 1, "sphere": 2, "torus": 2}  # names with their default dimensions
DENSITIES: dict[str, type[Density]] = {
    "uniform": Uniform,
    "bumps": Bumps,
    "von-mises-fisher": VonMisesFisher,
    "diracs": Diracs,
    "samples": Samples,
    "histogram": Histogram,
    "grid": Interpolated,
    "python": Function,
    "height": Height,
    "unknown": Unknown,
}
DIVERGENCES: dict[str, Divergence] = {d.name: d for d in (UNBIASED, BIASED, ENTROPY)}
FEATURES: dict[str, Any] = {
    "relu": ReLU,
    "activation": Activation,
    "fourier": RandomFourier,
    "radial": Radial,
    "laplace": Laplace,
}


def manifold(name: str, dim: int, period: float = 1.0, folder: str | None = ".") -> Manifold:
    """The manifold with a given name.

    "module:name" names a user's own `Manifold`: a value, or a class or function that makes one
    without arguments.

    Args:
        name: one of `MANIFOLDS`, or "module:name".
        dim: the dimension; for a user's own manifold 0 accepts any.
        period: the length of each axis of a torus.
        folder: the folder in which the module of a "module:name" is searched for first.

    Raises:
        InputError: for an unknown name, a dimension that the manifold does not have, or an object
            that is not a manifold.
    """
    if ":" in name:
        return _own_manifold(name, dim, folder)
    if name not in MANIFOLDS:
        raise unknown("problem.manifold", name, MANIFOLDS)
    if name == "torus":
        return FlatTorus(dim, period)
    return Circle(dim) if name == "circle" else Sphere(dim)


def _own_manifold(name: str, dim: int, folder: str | None) -> Manifold:
    found = load(name, folder, "manifold")
    try:
        found = found() if callable(found) else found
    except Exception as error:
        raise InputError(f"Manifold '{name}' failed with {cause(error)}.") from error
    if not isinstance(found, Manifold):
        wanted = {member for member in vars(Manifold) if not member.startswith("_")}
        missing = ", ".join(sorted(wanted - set(dir(found))))
        raise InputError(f"'{name}' is not a manifold: it has no {missing}.")
    if dim not in (0, found.dim):
        raise InputError(f"problem.dim must be {found.dim} on manifold '{name}', not {dim}.")
    return tried(found, name)


def density(spec: str | Mapping[str, Any], manifold: Manifold, folder: str | None = ".") -> Density:
    """The density that a configuration names.

    Args:
        spec: a kind, or a table with ``kind`` and the attributes of its class. A density of kind
            "python" or "height" has the attribute ``function``, a "module:name".
        manifold: the manifold on which the density lives.
        folder: the folder in which the module of a "module:name" is searched for first.

    Raises:
        InputError: for an unknown kind or key, or a value out of range.
    """
    table = dict(spec) if isinstance(spec, Mapping) else {"kind": spec}
    kind = table.pop("kind", None)
    if not isinstance(kind, str):
        raise InputError(f"A density needs a kind: one of {', '.join(DENSITIES)}.")
    if kind not in DENSITIES:
        raise unknown("density kind", kind, DENSITIES)
    cls = DENSITIES[kind]
    own = issubclass(cls, Function)
    valid = {f.name for f in fields(cls) if f.init} - {"manifold"}
    if own:
        valid = valid - {f.name for f in fields(Function)} | {"function"}
    for key in table:
        if key not in valid:
            raise unknown(f"key of density '{kind}'", key, valid) if valid else InputError(
                f"Density '{kind}' takes no key, but '{key}' was given."
            )  # fmt: skip
    if own:
        name = table.pop("function", "")
        table |= {"values": load(name, folder, "density"), "name": name}
    return cls(manifold, **table)


def divergence(name: str, power: float = 2.0, folder: str | None = ".") -> Divergence:
    """The divergence with a given name; only "power" uses the exponent ``power``.

    "module:name" names a user's own divergence, see `Custom`; its module is searched for in
    ``folder`` first.

    Raises:
        InputError: for an unknown name or a power outside (1, 4], and as `Custom`.
    """
    if not isinstance(name, str):
        raise InputError(f"problem.regulariser must be a string, not {shown(name)}.")
    if name == "power":
        return Power(power)
    if ":" in name:
        return Custom(load(name, folder, "regulariser"), name)
    if name not in DIVERGENCES:
        raise unknown("problem.regulariser", name, [*DIVERGENCES, "power"])
    return DIVERGENCES[name]


def feature(
    name: str,
    manifold: Manifold,
    scale: float,
    profile: str,
    folder: str | None = ".",
    activation: str = "relu",
    slope: float = 0.01,
    bias: bool = False,
) -> Feature:
    """The feature function with a given name, checked against the manifold on which it lives.

    "module:name" names a user's own features: a class or function that makes a `Feature` from the
    manifold. As an activation it names a function, see `Activation`. The module is searched for in
    ``folder`` first. ``scale`` is a length.

    Raises:
        InputError: for an unknown name or profile, the wrong manifold, or a scale <= 0.
    """
    if ":" in name:
        return placed_features(load(name, folder, "features"), manifold, name)
    if name not in FEATURES:
        raise unknown("network.features", name, FEATURES)
    if name == "activation":
        function = load(activation, folder, "activation") if ":" in activation else activation
        active: Feature = FEATURES[name](function, scale, bias, slope, manifold)
        return active
    settings = {"relu": (), "laplace": (scale,)}.get(name, (scale, profile))
    made: Feature = FEATURES[name](manifold, *settings)
    return made
