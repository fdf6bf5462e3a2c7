"""Which equation is the limit of a network: what problem.limit = "auto" chooses, and why."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import fields, replace

from uf_diffusion.core.errors import InputError
from uf_diffusion.kernels.seen_spaces import SeenSpace
from uf_diffusion.runs.keys import key_of
from uf_diffusion.runs.setup import Setup

__all__ = ["constrained_space", "mismatches", "settled_limit", "why"]

# keys of the network on which its mean-field equation depends
SHARED = ("regularisation", "features", "scale", "profile", "activation", "slope", "bias")


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


def mismatches(network: Setup, limit: Setup) -> list[str]:
    """Sentences on a solution that is not of the equation which belongs to a network.

    Args:
        network: the setup of the network.
        limit: that of the solution.
    """
    equation, found = limit.config.problem.limit, []
    if equation == "constrained":
        with suppress(InputError):  # features that cannot be built again
            seen, own = limit.space, network.space
            if seen is not None and seen != own:
                sight = "no known space" if own is None else own.name
                found.append(
                    f"The constrained equation is that of features which see {seen.name}, while "
                    f"those of the network see {sight}."
                )
    if equation == "mean-field":
        a, b = network.config.network, limit.config.network
        found += [
            f"The mean-field equation has network.{names[key]} = {getattr(b, key)}, while the "
            f"network has {getattr(a, key)}."
            for names in [{f.name: key_of(f) for f in fields(a)}]
            for key in SHARED
            if getattr(a, key) != getattr(b, key)
        ]
    return found


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
