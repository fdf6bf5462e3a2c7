"""Which equation is the limit of a network: what problem.limit = "auto" chooses, and why."""

from __future__ import annotations

from dataclasses import replace

from uf_diffusion.core.errors import InputError
from uf_diffusion.kernels.seen_spaces import SeenSpace
from uf_diffusion.runs.setup import Setup

__all__ = ["constrained_space", "settled_limit", "why"]


def settled_limit(setup: Setup) -> Setup:
    """The setup with the limit of its features if problem.limit is "auto"; else as it is.

    Raises:
        InputError: if the features cannot be built, or the limit does not fit to other settings.
    """
    config = setup.config
    if config.problem.limit != "auto":
        return setup
    problem = replace(config.problem, limit=_limit_of(setup.space))
    return replace(setup, config=replace(config, problem=problem))


def _limit_of(space: SeenSpace | None) -> str:
    if space is None:
        return "mean-field"
    return "unconstrained" if space.everything else "constrained"


def why(setup: Setup) -> str:
    """A sentence on the limit that belongs to the features of a run."""
    space = setup.space
    if space is None:
        return (
            "What these features see with these inputs is no known space: the network follows the "
            "mean-field equation at its lambda."
        )
    equation = "the ultra-fast diffusion" if space.everything else "a constrained equation"
    return f"As lambda tends to 0, these features see {space.name}: the limit is {equation}."


def constrained_space(setup: Setup) -> SeenSpace:
    """What the features of a run see of a measure, for problem.limit = "constrained".

    Raises:
        InputError: if they see everything, or no known space.
    """
    space = setup.space
    if space is None:
        raise InputError(
            "problem.limit = 'constrained' needs features that see a known space, but what these "
            "see with these inputs is none: use 'mean-field'."
        )
    if space.everything:
        raise InputError(
            "problem.limit = 'constrained' is for features that do not see all functions, but "
            "these do: use 'unconstrained'."
        )
    return space
