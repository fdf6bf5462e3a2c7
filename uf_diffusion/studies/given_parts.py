"""The objects of a point of a study whose problem or features the caller has made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from uf_diffusion.core.errors import InputError
from uf_diffusion.problem import Problem
from uf_diffusion.runs.building import density, divergence
from uf_diffusion.runs.config import Config
from uf_diffusion.runs.fingerprint import own_parts
from uf_diffusion.runs.setup import Setup

__all__ = ["plain", "setup_at"]

SPACE = ("manifold", "dim", "period", "axis")


def plain(setup: Setup) -> Setup:
    """A setup without the given objects where its configuration makes equal ones."""
    if any(":" in name for name in own_parts(setup.config)):  # code that would be imported
        return setup
    made = Setup(setup.config)
    same = made.problem == setup.problem and made.features == setup.features
    return made if same else setup


def setup_at(base: Setup, config: Config, keys: Sequence[str]) -> Setup:
    """The setup of a point.

    Args:
        base: the setup of the study. Its given objects stay, but for the parts that a key names.
        config: the configuration of the point.
        keys: the keys that differ from those of ``base``.

    Raises:
        InputError: if a key changes the manifold of a problem with functions or classes of the
            caller.
    """
    features = base.given_features
    if ":" not in config.network.features or "network.features" in keys:
        features = None  # the configuration makes them
    problem = base.given_problem
    if problem is not None:
        parts = [key.split(".")[1] for key in keys if key.startswith("problem.")]
        problem = _changed(problem, config, parts)
    return Setup(config, problem, features)


def _changed(problem: Problem, config: Config, parts: Sequence[str]) -> Problem:
    """The problem with these parts made from the configuration."""
    p, home, new = config.problem, config.home, dict[str, Any]()
    for part in parts:
        if part in SPACE:
            raise InputError(
                f"problem.{part} cannot be swept for a problem with a function of your own: its "
                "values belong to one manifold."
            )
        if part in ("teacher", "initial"):
            new[part] = density(getattr(p, part), problem.manifold, home)
        if part in ("regulariser", "power"):
            new["divergence"] = divergence(p.regulariser, p.power, home)
    return replace(problem, **new) if new else problem
