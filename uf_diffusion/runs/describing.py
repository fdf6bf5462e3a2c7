"""Describes given objects by configuration keys, so that a result records how it was made.

Objects of built-in classes can be built again from these keys. A user's own functions and classes
are named as "module:name", which works again wherever that module can be imported.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from uf_diffusion.kernels.activations import Activation
from uf_diffusion.kernels.base import Feature
from uf_diffusion.problem import Problem
from uf_diffusion.problem.densities import Density
from uf_diffusion.problem.divergences import Divergence, Power
from uf_diffusion.problem.manifolds import Circle, FlatTorus, Manifold, Sphere
from uf_diffusion.problem.own_densities import Function, Height
from uf_diffusion.runs.building import DENSITIES, DIVERGENCES, FEATURES

__all__ = ["features_keys", "problem_keys"]


def problem_keys(problem: Problem) -> dict[str, Any]:
    """The fields of the section [problem] that describe a problem."""
    return {
        "axis": problem.axis or (),
        **_manifold(problem.manifold),
        **_divergence(problem.divergence),
        "teacher": _density(problem.teacher),
        "initial": _density(problem.initial),
    }


def features_keys(features: Feature) -> dict[str, Any]:
    """The fields of the section [network] that describe features."""
    names = {cls: name for name, cls in FEATURES.items()}
    if type(features) not in names:
        return {"features": _own(features)}
    if isinstance(features, Activation):
        known = isinstance(features.function, str)
        return {
            "features": "activation",
            "activation": features.function if known else _own(features.function),
            "scale": float(features.scale), "bias": features.bias, "slope": features.slope,
        }  # fmt: skip
    keys = {f.name: getattr(features, f.name) for f in fields(features) if f.name != "manifold"}  # type: ignore[arg-type]
    return {"features": names[type(features)], **keys}


def _manifold(manifold: Manifold) -> dict[str, Any]:
    if type(manifold) is FlatTorus:
        return {"manifold": "torus", "dim": manifold.dim, "period": manifold.period}
    names: dict[type, str] = {Circle: "circle", Sphere: "sphere"}
    return {"manifold": names.get(type(manifold), _own(manifold)), "dim": manifold.dim}


def _divergence(divergence: Divergence) -> dict[str, Any]:
    if isinstance(divergence, Power):
        return {"regulariser": "power", "power": divergence.power}
    known = divergence.name in DIVERGENCES or ":" in divergence.name
    return {"regulariser": divergence.name if known else _own(divergence)}


def _density(density: Density) -> dict[str, Any]:
    if isinstance(density, Function):
        name = density.name if ":" in density.name else _own(density.values)
        if not isinstance(density, Height):
            return {"kind": "python", "function": name}
        axis = {} if density.axis is None else {"axis": density.axis}
        return {"kind": "height", "function": name, **axis}
    kinds = {cls: kind for kind, cls in DENSITIES.items()}
    if type(density) not in kinds:
        return {"kind": "python", "function": _own(density)}
    values = {f: getattr(density, f.name) for f in fields(density) if f.init}
    given = {f.name: v for f, v in values.items() if f.name != "manifold" and v != f.default}
    return {"kind": kinds[type(density)], **given}


def _own(value: Any) -> str:
    """The name "module:name" of a user's function or class."""
    named = value if hasattr(value, "__qualname__") else type(value)
    return f"{named.__module__}:{named.__qualname__}"
