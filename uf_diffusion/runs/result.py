"""The result of a run: its arrays in groups, and the objects from which they were computed."""

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
from uf_diffusion.runs.stored import inputs_of

__all__ = ["Result", "result_of"]


@dataclass(frozen=True, eq=False)
class Result:
    """The result of a run.

    Attributes:
        setup: the objects of the run.
        tree: the groups of arrays, as in result.nc; on ranks other than 0 it has only attributes.
    """

    setup: Setup
    tree: xr.DataTree

    @property
    def config(self) -> Config:
        """The configuration of the run."""
        return self.setup.config

    @property
    def problem(self) -> Problem:
        """The problem that was solved.

        Raises:
            InputError: for a result from a file that names a Python object which cannot be found.
        """
        return self.setup.problem

    @property
    def manifold(self) -> Manifold:
        """The feature space."""
        return self.setup.manifold

    @property
    def manifold_name(self) -> str:
        """The name of the feature space, as in the configuration."""
        return self.config.problem.manifold

    @property
    def title(self) -> str:
        """A title that says what was run, as text for matplotlib."""
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
        """The diffusion's mesh: made from the cells that the result stores, or else built in.

        Raises:
            InputError: if there is no mesh of the manifold.
        """
        diffusion = self.group("diffusion")
        if diffusion is None or "cell" not in diffusion or self.setup.given_grid is not None:
            return self.setup.grid
        corners = diffusion.node_position.values[: int(diffusion.cell.values.max()) + 1]
        surface = Triangulation(Sphere(2), corners, diffusion.cell.values)
        return with_degree(surface, self.config.diffusion.degree)

    def group(self, name: str) -> xr.Dataset | None:
        """The group with a name such as "diffusion" or "network"; None if there is none."""
        return self.tree[name].to_dataset() if name in self.tree.children else None

    @property
    def attributes(self) -> dict[Any, Any]:
        """How the result was made: configuration, versions, seed, ranks, commit, seconds taken."""
        return self.tree.attrs

    @property
    def inputs(self) -> dict[str, str]:
        """The `fingerprint` of what the run read; empty if it is not known."""
        return inputs_of(self.attributes)

    def to_xarray(self) -> xr.DataTree:
        """The groups as an xarray tree, the same as in result.nc."""
        return self.tree

    @property
    def warnings(self) -> list[str]:
        """Reasons not to trust the numbers, one sentence each."""
        return [line for line in self.tree.attrs.get("warnings", "").splitlines() if line]

    def warn(self, sentences: Iterable[str]) -> None:
        """Add those sentences to the `warnings` that are not among them yet."""
        self.tree.attrs["warnings"] = "\n".join(dict.fromkeys([*self.warnings, *sentences]))


def result_of(value: Any) -> Result:
    """A `Result`, from a `Result` or from the xarray tree of a result.nc.

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
