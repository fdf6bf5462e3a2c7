"""What a run gives: its numbers by groups, with the objects that it was made of."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import xarray as xr

from uf_diffusion.core.errors import InputError
from uf_diffusion.grids.base import Grid
from uf_diffusion.grids.built_in import with_degree
from uf_diffusion.grids.triangulations import Triangulation
from uf_diffusion.problem import Problem
from uf_diffusion.problem.manifolds import Manifold, Sphere
from uf_diffusion.runs.config import Config
from uf_diffusion.runs.reading import config_from_toml
from uf_diffusion.runs.setup import Setup

__all__ = ["Result", "result_of"]


@dataclass(frozen=True, eq=False)
class Result:
    """The groups of a run and what it was made of.

    Attributes:
        setup: the run's objects.
        tree: the groups, as result.nc holds them; on ranks other than 0 the attributes alone.
    """

    setup: Setup
    tree: xr.DataTree

    @property
    def config(self) -> Config:
        """Describes the run."""
        return self.setup.config

    @property
    def problem(self) -> Problem:
        """What was solved.

        Raises:
            InputError: where it was read from a file and names what is out of reach.
        """
        return self.setup.problem

    @property
    def manifold(self) -> Manifold:
        """The feature space."""
        return self.setup.manifold

    @property
    def manifold_name(self) -> str:
        """Of the feature space, in sentences."""
        return self.config.problem.manifold

    @property
    def title(self) -> str:
        """What was run, in a line."""
        p, n = self.config.problem, self.config.network
        text = f"{p.manifold} (dimension {p.dim}), {p.regulariser} regulariser"
        if p.limit == "constrained":
            text += ", constrained limit"
        if self.group("network") is not None:
            text += (
                f"; {n.features} network of width {n.width}, $\\lambda$ = {n.regularisation:g}, "
                f"{n.algorithm}, {n.pace}"
            )
        return text

    @cached_property
    def grid(self) -> Grid:
        """The diffusion's mesh: from its own cells where the result has them, else built in."""
        diffusion = self.group("diffusion")
        if diffusion is None or "cell" not in diffusion or self.setup.given_grid is not None:
            return self.setup.grid
        corners = diffusion.node_position.values[: int(diffusion.cell.values.max()) + 1]
        surface = Triangulation(Sphere(2), corners, diffusion.cell.values)
        return with_degree(surface, self.config.diffusion.degree)

    def group(self, name: str) -> xr.Dataset | None:
        """A group such as "diffusion" or "network", where it is there."""
        return self.tree[name].to_dataset() if name in self.tree.children else None

    @property
    def attributes(self) -> dict[Any, Any]:
        """What produced it: configuration, versions, seed, ranks, commit, seconds."""
        return self.tree.attrs

    def to_xarray(self) -> xr.DataTree:
        """The groups as xarray has them: what result.nc holds."""
        return self.tree

    @property
    def warnings(self) -> list[str]:
        """Reasons not to trust the numbers, a sentence each."""
        return [line for line in self.tree.attrs.get("warnings", "").splitlines() if line]

    def warn(self, sentences: Iterable[str]) -> None:
        """Add to the `warnings` what is new."""
        self.tree.attrs["warnings"] = "\n".join(dict.fromkeys([*self.warnings, *sentences]))


def result_of(value: Any) -> Result:
    """A result as it is, or made of a tree that was read from a result.nc.

    Raises:
        InputError: for anything else.
    """
    if isinstance(value, Result):
        return value
    tree = getattr(value, "tree", value)
    text = getattr(tree, "attrs", {}).get("config")
    if not isinstance(tree, xr.DataTree) or not isinstance(text, str):
        raise InputError("This is not a result of uf_diffusion: its configuration is missing.")
    return Result(Setup(config_from_toml(text)), tree)
